//! Which world the demo runs in on this machine.

use super::report::Format;
use super::show::show;
use super::world::Namespaces;
use crate::args::DemoArgs;
use crate::failure::Failure;

/// Runs `culvert demo`. Call it while the process has one thread.
pub(crate) fn start(args: &DemoArgs) -> Result<(), Failure> {
    let format = if args.json { Format::Json } else { Format::Table };
    show(format, Namespaces::new)
}
