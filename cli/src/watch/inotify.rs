//! Events of a directory, through inotify where it can be had, with an eventfd to end the waiting.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// What can make a file of a directory another one. Reading and opening are not in it: looking causes them.
const MASK: u32 = libc::IN_CLOSE_WRITE
    | libc::IN_MODIFY
    | libc::IN_CREATE
    | libc::IN_DELETE
    | libc::IN_MOVED_TO
    | libc::IN_MOVED_FROM
    | libc::IN_ATTRIB;

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// Something happened in the directory.
    Event,
    /// Nothing happened in time.
    Quiet,
    /// The watch is to end.
    Stop,
}

/// A source of events.
pub(super) struct Events {
    stop: File,
    /// `None` where the system gives no inotify: then every wait ends by its time.
    inotify: Option<File>,
}

/// Ends a wait from another thread.
#[derive(Debug)]
pub(super) struct Waker(File);

impl Waker {
    pub(super) fn stop(&self) {
        // An eventfd takes eight bytes; it fails only when its counter is full, and then it is readable anyway.
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }
}

impl Events {
    /// Events of `directory` from now on.
    pub(super) fn open(directory: &Path) -> io::Result<(Events, Waker)> {
        // SAFETY: eventfd takes no pointers.
        let stop = owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        let waker = Waker(stop.try_clone()?);
        // Instances and watches are limited for each user; without them polling remains.
        Ok((Events { stop, inotify: inotify(directory).ok() }, waker))
    }

    /// Waits for an event, at most for `time`.
    pub(super) fn wait(&self, time: Duration) -> Wake {
        let watched = |file: Option<&File>| libc::pollfd {
            // A negative descriptor is passed over by poll.
            fd: file.map_or(-1, AsRawFd::as_raw_fd),
            events: libc::POLLIN,
            revents: 0,
        };
        let mut files = [watched(Some(&self.stop)), watched(self.inotify.as_ref())];
        let milliseconds = libc::c_int::try_from(time.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: the pointer and the count describe `files`, which outlives the call.
        let ready = unsafe { libc::poll(files.as_mut_ptr(), files.len() as libc::nfds_t, milliseconds) };
        let [stop, inotify] = files;
        if ready <= 0 {
            // An interrupted wait is a short one: looking once more is harmless.
            Wake::Quiet
        } else if stop.revents != 0 {
            Wake::Stop
        } else if inotify.revents != 0 {
            self.discard();
            Wake::Event
        } else {
            Wake::Quiet
        }
    }

    /// Reads away the events: that there were some is all that matters.
    fn discard(&self) {
        let Some(mut file) = self.inotify.as_ref() else { return };
        let mut buffer = [0; 4096];
        while file.read(&mut buffer).is_ok_and(|count| count > 0) {}
    }
}

fn inotify(directory: &Path) -> io::Result<File> {
    let path = std::ffi::CString::new(directory.as_os_str().as_bytes())?;
    // SAFETY: inotify_init1 takes no pointers.
    let file = owned(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })?;
    // SAFETY: `path` is a string that ends with a zero byte and outlives the call.
    if unsafe { libc::inotify_add_watch(file.as_raw_fd(), path.as_ptr(), MASK) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

fn owned(fd: libc::c_int) -> io::Result<File> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(unsafe { File::from_raw_fd(fd) })
}
