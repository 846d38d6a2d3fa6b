//! The scenario with programs that others wrote: `curl` against `python3 -m http.server`.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{DemoError, Runner, Seen};
use crate::atomic_file;
use crate::demo::canary::{Canary, Payload};
use crate::demo::process::{self, NoLine, Process};
use crate::demo::programs::{Ended, Report};
use crate::demo::scenario::Scenario;
use crate::demo::world::World;

/// Bytes of the file that is fetched.
const FILE_BYTES: usize = 256 * 1024;
const FILE_NAME: &str = "page.txt";
/// What curl prints at the end: bytes sent, bytes received, seconds to the first byte.
const FORMAT: &str = "%{size_request} %{size_download} %{time_starttransfer}\n";

/// Whether this machine has both programs.
pub(super) fn available() -> bool {
    process::find("curl").is_some() && process::find("python3").is_some()
}

/// Fetches a file from the destination and compares it.
pub(super) fn fetch(
    runner: &Runner,
    world: &mut dyn World,
    scenario: &Scenario,
    target: SocketAddr,
) -> Result<Seen, DemoError> {
    let site = Site::new(&runner.canary(scenario.expected.path, scenario.source), runner.run)
        .map_err(DemoError::Prepare)?;
    let _server = serve(runner, world, scenario, target, &site)?;
    let dial = world.dial(scenario.source, target)?;
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--noproxy", "*", "--max-time"])
        .arg(runner.patience.as_secs().max(1).to_string())
        .arg("--output")
        .arg(site.fetched())
        .args(["--write-out", FORMAT])
        .arg(format!("http://{dial}/{FILE_NAME}"));
    process::prepare(&mut command);
    let mut curl = Process::new(world.spawn(scenario.source, command)?).map_err(DemoError::Prepare)?;
    let line = match curl.line(runner.patience, &runner.interrupt) {
        Ok(line) => line,
        Err(NoLine::Interrupted) => return Err(DemoError::Interrupted),
        Err(NoLine::Ended | NoLine::Late) => return Ok(Seen::default()),
    };
    let code = curl.wait().map_err(DemoError::Prepare)?.code();
    Ok(Seen { client: Some(report(&line, code, &site)), server: None })
}

fn serve(
    runner: &Runner,
    world: &mut dyn World,
    scenario: &Scenario,
    target: SocketAddr,
    site: &Site,
) -> Result<Process, DemoError> {
    let mut command = Command::new("python3");
    command
        .args(["-u", "-m", "http.server", "--directory"])
        .arg(&site.dir)
        .arg("--bind")
        .arg(target.ip().to_string())
        .arg(target.port().to_string());
    process::prepare(&mut command);
    let server = Process::new(world.spawn(scenario.destination, command)?).map_err(DemoError::Prepare)?;
    // It says where it serves once it listens.
    match server.line(runner.patience, &runner.interrupt) {
        Ok(_) => Ok(server),
        Err(NoLine::Interrupted) => Err(DemoError::Interrupted),
        Err(NoLine::Ended | NoLine::Late) => {
            Err(DemoError::Program { what: "web server", place: scenario.destination })
        }
    }
}

/// Turns curl's last line and exit code into what the demo's own client would have said.
fn report(line: &str, code: Option<i32>, site: &Site) -> Report {
    let mut fields = line.split_whitespace();
    let bytes_sent = fields.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let bytes_received = fields.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let seconds: Option<f64> = fields.next().and_then(|text| text.parse().ok());
    let ended = match code {
        Some(0) => Ended::Eof,
        // The codes of curl(1): 7 cannot connect, 28 timed out, others are connections that broke.
        Some(7) => Ended::Refused,
        Some(28) => Ended::Timeout,
        _ => Ended::Reset,
    };
    Report {
        bytes_sent,
        bytes_received,
        ended,
        latency_us: seconds.filter(|_| bytes_received > 0).map(|seconds| (seconds * 1e6) as u64),
        matches: site.matches(),
    }
}

/// A directory with the file to fetch, and beside it the one to fetch it into; gone when dropped.
struct Site {
    dir: PathBuf,
}

impl Site {
    fn new(canary: &Canary, run: u64) -> io::Result<Site> {
        let dir = std::env::temp_dir().join(format!("culvert-demo-{}-{run:016x}", std::process::id()));
        // Made anew: a directory that somebody else put there is not to be served.
        fs::create_dir(&dir)?;
        let site = Site { dir };
        let mut content = vec![0; FILE_BYTES];
        Payload::new(canary).fill(&mut content);
        atomic_file::write(&site.dir.join(FILE_NAME), &content, atomic_file::PUBLIC)?;
        Ok(site)
    }

    fn fetched(&self) -> PathBuf {
        self.dir.join("fetched")
    }

    fn matches(&self) -> bool {
        let read = |path: &Path| fs::read(path).ok();
        let served = read(&self.dir.join(FILE_NAME));
        served.is_some() && served == read(&self.fetched())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What cannot be removed is a file of no use in the directory for such files.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curl_s_line_becomes_a_report() {
        let site = Site::new(&Canary::new("x", 1), 0x0cab).unwrap();
        let broken = report("82 100 0.001500", Some(56), &site);
        assert_eq!((broken.bytes_sent, broken.bytes_received), (82, 100));
        assert_eq!((broken.ended, broken.matches, broken.latency_us), (Ended::Reset, false, Some(1500)));
        fs::copy(site.dir.join(FILE_NAME), site.fetched()).unwrap();
        let whole = report("82 262144 0.1", Some(0), &site);
        assert!(whole.matches && whole.ended == Ended::Eof);
        assert_eq!(report("", Some(7), &site).ended, Ended::Refused);
        let dir = site.dir.clone();
        drop(site);
        assert!(!dir.exists());
    }
}
