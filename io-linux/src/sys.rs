//! The system calls that neither `std` nor `socket2` offers, each behind a safe function.
//!
//! All unsafe code of the crate is here, in the modules below, and in the `pre_exec` hook of [`crate::user_namespace`].

pub(crate) mod packet;
pub(crate) mod pipe;
pub(crate) mod splice;

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Turns the C convention (negative means: look at `errno`) into a `Result`.
fn check(outcome: c_int) -> io::Result<c_int> {
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(outcome) }
}

/// Sets one integer socket option.
pub(crate) fn set_option(fd: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let size = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the whole call, and the kernel reads exactly `size` bytes of `value`.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), size) }).map(drop)
}

/// Bytes of a socket that were sent and not acknowledged.
pub(crate) fn unacknowledged(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: the descriptor is open for the whole call, and this request writes one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Whether the next byte of a TCP socket is its peer's urgent one, wherever that byte is yet (`SIOCATMARK`, tcp(7)).
pub(crate) fn is_at_urgent_mark(fd: BorrowedFd<'_>) -> bool {
    const SIOCATMARK: libc::Ioctl = 0x8905;
    let mut marked: c_int = 0;
    // SAFETY: the descriptor is open for the whole call, and this request writes one int. Sockets of other kinds refuse it.
    let outcome = unsafe { libc::ioctl(fd.as_raw_fd(), SIOCATMARK, &raw mut marked) };
    outcome == 0 && marked != 0
}

/// Moves the calling thread into the network namespace behind `fd`.
pub(crate) fn set_network_namespace(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: setns takes no pointers; a descriptor of another kind is refused with EINVAL.
    check(unsafe { libc::setns(fd.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// Gives the calling thread a network namespace of its own, with nothing in it but a loopback that is down.
pub(crate) fn unshare_network() -> io::Result<()> {
    // SAFETY: unshare takes no pointers; CLONE_NEWNET concerns the calling thread alone.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// The effective user and group of the process.
pub(crate) fn effective_ids() -> (libc::uid_t, libc::gid_t) {
    // SAFETY: both calls take nothing and cannot fail.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// Whether `fd` is a network namespace (`NS_GET_NSTYPE`, ioctl_nsfs(2)).
pub(crate) fn is_network_namespace(fd: BorrowedFd<'_>) -> bool {
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    // SAFETY: this request has no argument; on another kind of file it answers ENOTTY.
    let kind = unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE) };
    kind == libc::CLONE_NEWNET
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn an_option_of_an_unknown_level_is_refused() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let refused = set_option(socket.as_fd(), 0x7fff, 1, 1).unwrap_err();
        assert!(matches!(refused.raw_os_error(), Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP)), "{refused}");
    }

    #[test]
    fn a_descriptor_that_is_no_namespace_cannot_be_entered() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(!is_network_namespace(file.as_fd()));
        assert!(set_network_namespace(file.as_fd()).is_err());
    }
}
