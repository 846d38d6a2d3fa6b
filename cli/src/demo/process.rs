//! Programs of the demo as child processes whose lines are read as they come.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::programs::Program;
use super::runner::Interrupt;
use crate::signal;

/// How often a wait looks whether the demo was interrupted.
const GLANCE: Duration = Duration::from_millis(100);

/// The command that runs `program` as a process of its own: `executable` is a `culvert`.
pub fn command(executable: &Path, program: &Program) -> io::Result<Command> {
    let mut command = Command::new(executable);
    command.arg("demo-program").arg(serde_json::to_string(program)?);
    Ok(command)
}

/// Sets up the standard streams so that [`Process`] can read the lines.
pub fn prepare(command: &mut Command) {
    // A program of the demo ends with its standard input, so none is left behind by a demo that was killed.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    signal::unblocked(command);
}

/// Where `name` is on the search path, if anywhere.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_executable(file.as_os_str()))
}

fn is_executable(path: &OsStr) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Why a wait for a line ended without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLine {
    /// The process closed its output.
    Ended,
    /// The demo is to end.
    Interrupted,
    /// It took too long.
    Late,
}

/// A running child; dropping it ends it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    /// Takes over a child that was started with the streams of [`prepare`].
    pub fn new(mut child: Child) -> io::Result<Process> {
        let output = child.stdout.take().ok_or_else(|| io::Error::other("the output is not piped"))?;
        let (sender, lines) = channel();
        thread::Builder::new().name("lines".into()).spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        })?;
        Ok(Process { child, lines })
    }

    /// The next line, waiting for it at most for `time`.
    pub fn line(&self, time: Duration, interrupt: &Interrupt) -> Result<String, NoLine> {
        let until = Instant::now() + time;
        loop {
            if interrupt.is_set() {
                return Err(NoLine::Interrupted);
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left.min(GLANCE)) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Disconnected) => return Err(NoLine::Ended),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(NoLine::Late),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Waits for the end of a process that has closed its output.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        prepare(&mut command);
        Process::new(command.spawn().unwrap()).unwrap()
    }

    #[test]
    fn lines_come_in_order_then_the_end() {
        let mut process = shell("echo one; echo two");
        let interrupt = Interrupt::new();
        let long = Duration::from_secs(20);
        assert_eq!(process.line(long, &interrupt).as_deref(), Ok("one"));
        assert_eq!(process.line(long, &interrupt).as_deref(), Ok("two"));
        assert_eq!(process.line(long, &interrupt), Err(NoLine::Ended));
        assert!(process.wait().unwrap().success());
    }

    #[test]
    fn a_wait_ends_by_time_and_by_interruption() {
        // `read` waits for the input that the demo holds open.
        let process = shell("read line");
        let interrupt = Interrupt::new();
        assert_eq!(process.line(Duration::from_millis(1), &interrupt), Err(NoLine::Late));
        interrupt.set();
        assert_eq!(process.line(Duration::from_secs(3600), &interrupt), Err(NoLine::Interrupted));
    }

    #[test]
    fn finds_programs_on_the_path() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }
}
