//! The `culvert` binary: parses the command line and hands it to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    culvert::main(std::env::args_os())
}
