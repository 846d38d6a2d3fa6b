//! Child processes whose lines are read as they come, and that never outlive the test.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// Which stream of a child is read line by line; the other is inherited or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard error.
    Errors,
    /// Standard output.
    Output,
}

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<String>,
    ended: bool,
}

/// Whether a thread has stopped, or ended meanwhile. Its state follows the name, which is in brackets and may hold any.
fn is_stopped(task: &Path) -> bool {
    let Ok(stat) = std::fs::read_to_string(task.join("stat")) else { return true };
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['T', 'Z', 'X']))
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Arc<(Mutex<Lines>, Condvar)>,
}

impl Process {
    /// Starts a child that dies with the thread that started it.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn spawn(command: &mut Command, stream: Stream) -> Process {
        command.stdin(Stdio::null());
        match stream {
            Stream::Errors => command.stderr(Stdio::piped()).stdout(Stdio::null()),
            Stream::Output => command.stdout(Stdio::piped()).stderr(Stdio::null()),
        };
        // SAFETY: prctl takes no pointers here and is async-signal-safe; nothing is allocated.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let source: Box<dyn Read + Send> = match stream {
            Stream::Errors => Box::new(child.stderr.take().expect("it is piped")),
            Stream::Output => Box::new(child.stdout.take().expect("it is piped")),
        };
        let lines = Arc::new((Mutex::new(Lines::default()), Condvar::new()));
        let shared = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                shared.0.lock().unwrap().lines.push_back(line);
                shared.1.notify_all();
            }
            shared.0.lock().unwrap().ended = true;
            shared.1.notify_all();
        });
        Process { child, lines }
    }

    /// Takes lines until one is wanted, and returns that one.
    ///
    /// # Panics
    /// The child's output ends, or nothing suitable comes within `time`.
    pub fn wait_for_line(&self, time: Duration, wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + time;
        let mut lines = self.lines.0.lock().unwrap();
        let mut seen = Vec::new();
        loop {
            while let Some(line) = lines.lines.pop_front() {
                if wanted(&line) {
                    return line;
                }
                seen.push(line);
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!lines.ended && !left.is_zero(), "the line that was waited for did not come: {seen:#?}");
            lines = self.lines.1.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        let id = libc::pid_t::try_from(self.child.id()).unwrap();
        // SAFETY: kill takes no pointers; the child is ours and not yet waited for, so its id is its own.
        unsafe { libc::kill(id, signal) };
    }

    /// Stops it in the middle of whatever it does, and returns once none of its threads runs. It goes on with SIGCONT.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
        let tasks = format!("/proc/{}/task", self.id());
        let deadline = Instant::now() + PATIENCE;
        // The signal stops a thread once the kernel has had its turn with it: on a busy machine that takes a while.
        while !std::fs::read_dir(&tasks).unwrap().flatten().all(|task| is_stopped(&task.path())) {
            assert!(Instant::now() < deadline, "the process does not stop");
            std::thread::yield_now();
        }
    }

    /// Ends it without a word and waits until it is gone.
    pub fn kill(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
