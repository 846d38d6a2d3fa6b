//! Hunters that are tests: built by cargo once, run one by one with the bug.

use std::path::PathBuf;
use std::process::Command;

use super::child;
use super::{Finding, HuntError};

/// A test executable.
pub(super) struct Tests {
    package: &'static str,
    program: PathBuf,
}

impl Tests {
    /// Builds it, as cargo was told by the environment to build this program.
    pub(super) fn build(package: &'static str, target: &[&str]) -> Result<Tests, HuntError> {
        let mut command = Command::new("cargo");
        command.args(["test", "--no-run", "--locked", "--message-format=json", "-p", package]).args(target);
        let output =
            command.output().map_err(|error| HuntError::Run { program: "cargo".to_owned(), error })?;
        let said = String::from_utf8_lossy(&output.stdout);
        // Programs of the package are built beside its tests.
        let mut tests = said.lines().filter(|line| line.contains("\"test\":true"));
        let program = tests.find_map(|line| {
            let (_, rest) = line.split_once("\"executable\":\"")?;
            Some(PathBuf::from(rest.split('"').next()?))
        });
        match program.filter(|_| output.status.success()) {
            Some(program) => Ok(Tests { package, program }),
            None => {
                let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(HuntError::Build { package, why })
            }
        }
    }
}

/// Runs the test of a path.
pub(super) fn run(
    tests: Option<&Tests>,
    bug: Option<&str>,
    law: &str,
    path: &str,
) -> Result<Option<Finding>, HuntError> {
    let none = || HuntError::NoTest { hunter: path.to_owned() };
    let Tests { package, program } = tests.ok_or_else(none)?;
    let output = child::run(program, bug, &[path, "--exact"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("running 0 tests") {
        return Err(none());
    }
    let failed = text.lines().find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    let by = |test: &str| format!("`{}` of {package}", test.rsplit("::").next().unwrap_or(test));
    let finding =
        |law: &str, test, message| Finding { law: law.to_owned(), by: by(test), seeds: None, message };
    Ok(match (failed, child::ended(output.status)) {
        (Some(test), _) => Some(finding(law, test, "the test fails".to_owned())),
        (None, Some((law, message))) => Some(finding(&law, path, message)),
        (None, None) => None,
    })
}
