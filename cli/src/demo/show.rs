//! `culvert demo` from the signal handler to the exit status, in whichever world.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use super::by_hand;
use super::report::{Format, Printer};
use super::runner::{DemoError, Interrupt, Runner};
use super::scenario;
use super::world::{World, WorldError};
use crate::failure::Failure;
use crate::signal;

/// Shows every scenario in the world that `make` makes, and takes the world away again, on Ctrl-C too.
///
/// Call it while the process has one thread. The world is made after the signals are taken care of, so an interrupted
/// demo still drops it. `make` is told the number that makes the canaries of this run differ from those of others.
///
/// # Errors
///
/// Where the demo could not be carried out, and where a flow was not as it must be.
pub fn show<W: World>(
    format: Format,
    make: impl FnOnce(u64) -> Result<W, WorldError>,
) -> Result<(), Failure> {
    let interrupt = Interrupt::new();
    let on_signal = interrupt.clone();
    signal::on_stop(move |_| on_signal.set())
        .map_err(|error| Failure::new(format!("cannot take care of signals: {error}")))?;
    let run = run_number();
    let mut world = make(run).map_err(DemoError::from)?;
    // The link, not where it leads: it works even when the file has been replaced meanwhile.
    let runner = Runner::new("/proc/self/exe", interrupt, run);
    let mut printer = Printer::new(io::stdout(), format);
    let summary = runner.run(&mut world, &scenario::all(), &mut printer)?;
    if summary.success() {
        if format == Format::Table {
            println!("{}", by_hand::text(std::env::current_exe().ok().as_deref()));
        }
        return Ok(());
    }
    let wrong = summary.flows.saturating_sub(summary.ok);
    Err(Failure::new(if wrong > 0 {
        format!("{wrong} of {} flows were not as they must be", summary.flows)
    } else if summary.canary_leaks > 0 {
        "payload of the mesh was seen on the wire".into()
    } else {
        "the sniffer saw nothing at all, so it proves nothing".into()
    }))
}

/// A number that differs from run to run.
fn run_number() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanoseconds = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    nanoseconds ^ (u64::from(std::process::id()) << 48)
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Failure {
        let failure = Failure::from_error(&error);
        match error {
            DemoError::Program { .. } => failure.hint("is its port, from 7100 on, taken by another program?"),
            DemoError::World(_) | DemoError::Interrupted | DemoError::Output(_) | DemoError::Prepare(_) => {
                failure
            }
        }
    }
}
