//! Running without privileges: a child process in user, network and mount namespaces of its own.
//!
//! An ordinary user is root inside a user namespace, which is enough for namespaces, redirect and transparent sockets.
//! The kernel refuses a new user namespace to a process with more than one thread (EINVAL), and a running program
//! usually has several. So the program starts itself again: between `fork` and `exec` the child has one thread.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::sys;

/// A command that starts this program again, inside new namespaces, with `arguments`.
///
/// Standard streams and environment are inherited; set a variable on the command to let the child know what it is.
/// Spawning it fails with `PermissionDenied` or `OutOfMemory` (ENOSPC) where the machine forbids user namespaces.
#[must_use]
pub fn reexec<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments);
    isolate(&mut command);
    command
}

/// Makes `command` run inside new user, network and mount namespaces, the caller's user and group mapped to root.
pub fn isolate(command: &mut Command) -> &mut Command {
    let (user, group) = sys::effective_ids();
    let maps = Maps::new(user, group);
    // SAFETY: the hook allocates nothing and makes only async-signal-safe calls (unshare, open, write, close).
    unsafe { command.pre_exec(move || maps.enter()) }
}

/// The texts of the id maps, made before `fork` because nothing may be allocated after it.
struct Maps {
    user: CString,
    group: CString,
}

impl Maps {
    fn new(user: libc::uid_t, group: libc::gid_t) -> Self {
        let line = |id: u32| CString::new(format!("0 {id} 1")).unwrap_or_default();
        Self { user: line(user), group: line(group) }
    }

    fn enter(&self) -> io::Result<()> {
        let flags = libc::CLONE_NEWUSER | libc::CLONE_NEWNET | libc::CLONE_NEWNS;
        // SAFETY: unshare takes no pointers.
        if unsafe { libc::unshare(flags) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // A group map is accepted only once the process has given up setgroups (user_namespaces(7)).
        write_whole(c"/proc/self/setgroups", c"deny")?;
        write_whole(c"/proc/self/uid_map", &self.user)?;
        write_whole(c"/proc/self/gid_map", &self.group)
    }
}

/// Writes a file in one `write`, as the id maps demand, without allocating.
fn write_whole(path: &CStr, text: &CStr) -> io::Result<()> {
    let bytes = text.to_bytes();
    // SAFETY: `path` is NUL-terminated; the buffer is as long as said; the descriptor is closed once, here.
    let (written, failure) = unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let written = libc::write(fd, bytes.as_ptr().cast(), bytes.len());
        let failure = io::Error::last_os_error();
        libc::close(fd);
        (written, failure)
    };
    match usize::try_from(written) {
        Ok(length) if length == bytes.len() => Ok(()),
        Ok(_) => Err(io::Error::from_raw_os_error(libc::EIO)),
        Err(_) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_name_the_outer_ids_as_root() {
        let maps = Maps::new(1000, 100);
        assert_eq!((maps.user.to_str(), maps.group.to_str()), (Ok("0 1000 1"), Ok("0 100 1")));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error() {
        let refused = write_whole(c"/nonexistent/file", c"x").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ENOENT));
    }
}
