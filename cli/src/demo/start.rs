//! Which world the demo runs in: network namespaces, if need be those of a user namespace, else loopback addresses.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use culvert_linux::user_namespace;

use super::report::Format;
use super::show::show;
use super::world::{Loopback, Namespaces};
use crate::args::DemoArgs;
use crate::failure::Failure;
use crate::runtime::Runtime;

/// Tells the demo that it was started again inside a user namespace that it can build its network in.
const INSIDE: &str = "CULVERT_DEMO_INSIDE";
/// The hidden command that tries whether the network can be built.
const PROBE: &str = "demo-probe";
const SELF: &str = "/proc/self/exe";

/// Runs `culvert demo`. Call it while the process has one thread.
pub(crate) fn start(args: &DemoArgs) -> Result<(), Failure> {
    let format = if args.json { Format::Json } else { Format::Table };
    let runtime = args.runtime;
    if args.loopback {
        return show(format, |run| Loopback::new(runtime, run));
    }
    if std::env::var_os(INSIDE).is_some() || permitted(&mut Command::new(SELF)).is_ok() {
        return show(format, |run| Namespaces::new(runtime, run));
    }
    let refused = match permitted(user_namespace::isolate(&mut Command::new(SELF))) {
        // The very process goes on, so a signal reaches the demo and nobody in between.
        Ok(()) => again_inside().to_string(),
        Err(why) => why,
    };
    eprintln!("network namespaces are not permitted here ({refused}): on loopback addresses instead");
    show(format, |run| Loopback::new(runtime, run))
}

/// Tries to build the demo's network; for a process of its own, which may be in any namespaces.
pub(crate) fn probe() -> Result<(), Failure> {
    // No canary is ever looked for, so any number will do.
    Namespaces::new(Runtime::default(), 0).map(drop).map_err(|error| Failure::from_error(&error))
}

/// Whether the network can be built by a program that is started so; if not, why.
fn permitted(command: &mut Command) -> Result<(), String> {
    let outcome = command.arg(PROBE).stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if outcome.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&outcome.stderr);
    let line = said.lines().next().unwrap_or("the attempt ended without a word");
    Err(line.trim_start_matches("error: ").to_owned())
}

/// Starts this program again inside a user namespace, in place of itself; returns only if that fails.
fn again_inside() -> io::Error {
    user_namespace::reexec(std::env::args_os().skip(1)).env(INSIDE, "1").exec()
}
