//! SIGTERM and SIGINT as events: the first asks for an orderly end, the second ends the process at once.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::mpsc::Sender;
use std::thread;

/// Which signal asked for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: a supervisor.
    Terminate,
}

impl Stop {
    /// The exit status by which a shell knows a process that this signal ended.
    pub fn status(self) -> u8 {
        match self {
            Stop::Interrupt => 130,
            Stop::Terminate => 143,
        }
    }
}

/// Calls `notify` at the first SIGTERM or SIGINT and ends the process at the second.
///
/// Call it before any other thread starts: threads inherit that the two signals are blocked, and a thread in which they
/// are not would die of them. Child processes must be started through [`unblocked`].
///
/// # Errors
///
/// The system's, if the signals cannot be blocked or the thread not started.
pub fn on_stop(notify: impl FnOnce(Stop) + Send + 'static) -> io::Result<()> {
    let signals = SignalFd::block_and_open()?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        let Ok(first) = signals.next() else { return };
        notify(first);
        if let Ok(second) = signals.next() {
            std::process::exit(second.status().into());
        }
    })?;
    Ok(())
}

/// The same as [`on_stop`], as an event on a channel.
pub fn channel(events: Sender<Stop>) -> io::Result<()> {
    on_stop(move |stop| {
        // Nobody listens any more: then the process is ending already.
        let _ = events.send(stop);
    })
}

/// Makes a child start with no signal blocked, as programs expect.
pub fn unblocked(command: &mut std::process::Command) -> &mut std::process::Command {
    use std::os::unix::process::CommandExt;
    let unblock = || {
        let set = empty_set();
        // SAFETY: `set` is an initialised signal set, and a null pointer says that the old one is not wanted.
        match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &set, std::ptr::null_mut()) } {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; sigemptyset and pthread_sigmask are.
    unsafe { command.pre_exec(unblock) }
}

struct SignalFd(OwnedFd);

impl SignalFd {
    fn block_and_open() -> io::Result<SignalFd> {
        let mut set = empty_set();
        // SAFETY: `set` is an initialised signal set and both signals exist.
        unsafe {
            libc::sigaddset(&mut set, libc::SIGTERM);
            libc::sigaddset(&mut set, libc::SIGINT);
        }
        // SAFETY: `set` is initialised; a null pointer says that the old mask is not wanted.
        let code = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
        if code != 0 {
            return Err(io::Error::from_raw_os_error(code));
        }
        // SAFETY: -1 asks for a new descriptor; `set` is initialised and only read.
        let fd = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and owned by nobody else.
        Ok(SignalFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Waits for the next signal.
    fn next(&self) -> io::Result<Stop> {
        loop {
            // SAFETY: all bytes zero is a valid value of this plain structure.
            let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
            let size = size_of::<libc::signalfd_siginfo>();
            // SAFETY: `info` has room for `size` bytes, and the kernel writes whole structures only.
            let read = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size) };
            if read < 0 {
                let error = io::Error::last_os_error();
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            }
            match i32::try_from(info.ssi_signo) {
                Ok(libc::SIGINT) => return Ok(Stop::Interrupt),
                Ok(libc::SIGTERM) => return Ok(Stop::Terminate),
                _ => {}
            }
        }
    }
}

fn empty_set() -> libc::sigset_t {
    // SAFETY: all bytes zero is a valid value of this plain structure, and sigemptyset initialises it whole.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_is_read() {
        let signals = SignalFd::block_and_open().unwrap();
        // SAFETY: the signals go to this very thread, which has just blocked them.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGTERM) };
        assert_eq!(signals.next().unwrap(), Stop::Terminate);
        // SAFETY: as above.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGINT) };
        assert_eq!(signals.next().unwrap(), Stop::Interrupt);
        assert_eq!(Stop::Terminate.status(), 143);
    }

    #[test]
    fn children_start_unblocked() {
        let _signals = SignalFd::block_and_open().unwrap();
        let mut command = std::process::Command::new("grep");
        command.args(["SigBlk", "/proc/self/status"]);
        let output = unblocked(&mut command).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "SigBlk:\t0000000000000000");
    }
}
