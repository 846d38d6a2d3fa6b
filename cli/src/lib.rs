//! The `culvert` command: arguments, the development CA, credentials on disk, file watching, signals and the demo.
//!
//! Everything here is at the edge: it reads files, starts threads and prints. Decisions are `culvert-core`'s.

use std::ffi::OsString;
use std::process::ExitCode;

mod allocator;
pub mod args;
mod atomic_file;
mod bench;
pub mod ca;
pub mod credentials;
mod cryptography;
pub mod demo;
pub mod failure;
mod mesh_file;
mod node;
mod redirect;
mod run;
pub mod runtime;
mod settings;
pub mod signal;
mod sim;
pub mod usage;
pub mod version;
pub mod watch;

/// Parses `arguments` (the program's name first), runs the command and reports a failure on standard error.
///
/// Exit status: 0 done, 1 failed, 2 wrong usage.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // What is no text is no setting either.
    let text = |word: OsString| word.into_string().ok();
    let environment: Vec<(String, String)> =
        std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect();
    let outcome = args::parse_in(arguments, &environment).and_then(|parsed| match parsed {
        args::Parsed::Text(text) => {
            print!("{text}");
            Ok(())
        }
        args::Parsed::Command(command) => run::run(*command),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprint!("{failure}");
            ExitCode::from(failure.status())
        }
    }
}
