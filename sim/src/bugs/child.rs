//! Hunters that are this program again, in a process with the bug: it may hang, or take all memory, or end.

use std::path::Path;
use std::process::{Command, ExitStatus, Output};

use culvert_core::planted::VARIABLE;

use super::{Finding, HuntError};
use crate::explore;
use crate::scenario::Scenario;

/// Scenarios of one process.
const BATCH: u64 = 25;
/// A process that takes longer has come to hang; what it does takes a few seconds.
const SECONDS: &str = "120";
/// What `timeout` says of a process that it ended.
const TIMED_OUT: i32 = 124;
/// Memory of one process, in KiB: one that wants more leaks.
const MEMORY_KIB: &str = "6000000";

const SEED: &str = "seed ";
const BROKEN: &str = "broken ";

/// Runs the scenarios of some seeds and writes which, and the first law that one breaks.
pub fn walk(from: u64, to: u64) {
    std::panic::set_hook(Box::new(|_| ()));
    for seed in from..to {
        println!("{SEED}{seed}");
        let outcome = Scenario::of_seed(seed).run_twice();
        if let Some(violation) = outcome.violation {
            return println!("{BROKEN}{} {}", violation.law(), violation.message);
        }
    }
}

/// Explores a machine and writes what it breaks.
///
/// # Errors
///
/// None has this name.
pub fn visit(machine: &str, depth: usize) -> Result<(), explore::RunError> {
    let summary = explore::run(machine, depth, &mut std::io::sink())?;
    if let Some(violation) = summary.violation {
        println!("{BROKEN}{violation}");
    }
    Ok(())
}

pub(super) fn scenarios(program: &Path, bug: Option<&str>, seeds: u64) -> Result<Option<Finding>, HuntError> {
    let mut from = 0;
    while from < seeds {
        let to = seeds.min(from.saturating_add(BATCH));
        let output = run(program, bug, &["--walk", &from.to_string(), &to.to_string()])?;
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().filter_map(|line| line.strip_prefix(SEED)).next_back();
        let broken = text.lines().find_map(|line| line.strip_prefix(BROKEN));
        let broken = broken.and_then(|told| told.split_once(' ')).map(|(l, m)| (l.to_owned(), m.to_owned()));
        if let Some((law, message)) = broken.or_else(|| ended(output.status)) {
            let seed: u64 = last.unwrap_or("0").parse()?;
            let by = "scenarios".to_owned();
            return Ok(Some(Finding { law, by, seeds: Some(seed.saturating_add(1)), message }));
        }
        from = to;
    }
    Ok(None)
}

pub(super) fn machine(
    program: &Path,
    bug: Option<&str>,
    law: &str,
    machine: &str,
    depth: usize,
) -> Result<Option<Finding>, HuntError> {
    let output = run(program, bug, &["--visit", machine, &depth.to_string()])?;
    let text = String::from_utf8_lossy(&output.stdout);
    let by = format!("exploration of {machine}");
    let broken = text.lines().find_map(|line| line.strip_prefix(BROKEN));
    let broken = broken.map(|message| (law.to_owned(), message.to_owned()));
    Ok(broken.or_else(|| ended(output.status)).map(|(law, message)| Finding {
        law,
        by,
        seeds: None,
        message,
    }))
}

/// Runs a program with a bug, for a while and within some memory.
pub(super) fn run(program: &Path, bug: Option<&str>, arguments: &[&str]) -> Result<Output, HuntError> {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -v {MEMORY_KIB}; exec timeout -k 1 {SECONDS} \"$0\" \"$@\""));
    command.arg(program).args(arguments).env_remove(VARIABLE).envs(bug.map(|bug| (VARIABLE, bug)));
    command.output().map_err(|error| HuntError::Run { program: program.display().to_string(), error })
}

/// What it means that a process ended otherwise than it should.
pub(super) fn ended(status: ExitStatus) -> Option<(String, String)> {
    match status.code() {
        Some(0) => None,
        Some(TIMED_OUT) => Some(("L9".to_owned(), "it does not come to an end".to_owned())),
        _ => Some(("S22".to_owned(), format!("the process ends with {status}"))),
    }
}
