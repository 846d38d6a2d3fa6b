//! `culvert sim`: runs `culvert-sim`, which stands beside this program and is none of it: what is shipped to nodes holds neither
//! the simulator nor its cryptography, nor engines that lie.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::args::SimArgs;
use crate::failure::Failure;

const PROGRAM: &str = "culvert-sim";

/// Becomes `culvert-sim` with these arguments.
pub(crate) fn run(args: &SimArgs) -> Result<(), Failure> {
    let beside = beside().filter(|path| path.is_file());
    let program = beside.unwrap_or_else(|| PathBuf::from(PROGRAM));
    let error = Command::new(&program).args(&args.arguments).exec();
    Err(Failure::new(format!("cannot run {}: {error}", program.display()))
        .hint("`cargo build -p culvert` builds culvert-sim beside culvert; it is also looked for in PATH"))
}

/// Where it is when both were built or installed together.
fn beside() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.with_file_name(PROGRAM))
}
