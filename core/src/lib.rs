//! Culvert's core: every decision of the node proxy as a deterministic state machine, without I/O.
#![forbid(unsafe_code)]

/// Does what is wrong where the process has this bug: a statement, or another value for a variable.
#[cfg(culvert_bugs)]
macro_rules! planted {
    ($bug:ident => $($act:tt)*) => {
        if crate::planted::is(crate::planted::Bug::$bug) {
            $($act)*;
        }
    };
    ($bug:ident, $name:ident = $wrong:expr) => {
        let $name = if crate::planted::is(crate::planted::Bug::$bug) { $wrong } else { $name };
    };
}
/// Nothing, but in builds with `--cfg culvert_bugs`.
#[cfg(not(culvert_bugs))]
macro_rules! planted {
    ($($wrong:tt)*) => {};
}

pub mod capture;
pub mod engine;
pub mod fault;
pub mod hbone;
pub mod identity;
pub mod lies;
pub mod limit;
pub mod mesh;
pub mod planted;
pub mod policy;
pub mod proxy_protocol;
pub mod seed;
mod slots;
pub mod telemetry;
pub mod time;
pub mod tls;
pub mod worklist;
