//! Packet sockets.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

/// The index of a network interface in the calling thread's namespace.
pub(crate) fn interface_index(name: &CStr) -> io::Result<u32> {
    // SAFETY: `name` is a NUL-terminated string that lives for the whole call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// Binds a packet socket to one interface, for frames of every protocol.
pub(crate) fn bind_packet(fd: BorrowedFd<'_>, interface: u32) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = interface.cast_signed();
    let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the kernel reads exactly `size` bytes of `address`.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size) }).map(drop)
}

/// Waits until `socket` is readable or the other end of `wake` is closed; says whether the latter.
pub(crate) fn wait_readable(socket: BorrowedFd<'_>, wake: BorrowedFd<'_>) -> io::Result<bool> {
    let entry = |fd: BorrowedFd<'_>| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut entries = [entry(socket), entry(wake)];
    loop {
        // SAFETY: `entries` has as many entries as said, and outlives the call.
        match check(unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, -1) }) {
            Err(interrupted) if interrupted.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome.map(|_| entries[1].revents != 0),
        }
    }
}

/// How many frames a packet socket has lost for want of room (`PACKET_STATISTICS`).
pub(crate) fn dropped_frames(socket: BorrowedFd<'_>) -> io::Result<u64> {
    // `struct tpacket_stats`: all frames, dropped frames.
    let mut statistics = [0u32; 2];
    let mut size = size_of_val(&statistics) as libc::socklen_t;
    let (level, name) = (libc::SOL_PACKET, libc::PACKET_STATISTICS);
    let into = statistics.as_mut_ptr().cast();
    // SAFETY: the kernel writes at most `size` bytes, which is what `statistics` has.
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, into, &raw mut size) })?;
    Ok(u64::from(statistics[1]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn interfaces_are_found_by_name() {
        assert_eq!(interface_index(c"lo").unwrap(), 1);
        assert!(interface_index(c"no-such-if").is_err());
    }

    #[test]
    fn a_closed_end_wakes() {
        let (wake, end) = crate::sys::pipe::pipe().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _waiting = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(!wait_readable(listener.as_fd(), wake.as_fd()).unwrap());
        drop(end);
        assert!(wait_readable(listener.as_fd(), wake.as_fd()).unwrap());
        assert!(dropped_frames(listener.as_fd()).is_err());
    }
}
