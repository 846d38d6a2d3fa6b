//! Culvert's core: every decision of the node proxy as a deterministic state machine, without I/O.
#![forbid(unsafe_code)]

pub mod hbone;
pub mod identity;
pub mod seed;
pub mod time;
pub mod tls;
