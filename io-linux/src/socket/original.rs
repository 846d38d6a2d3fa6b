//! Where a captured connection wanted to go.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use socket2::SockRef;

/// What the kernel knows about the target of an accepted connection (node.md row 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original {
    /// The redirect rewrote it; this was the target before.
    Redirected(SocketAddr),
    /// Nothing rewrote it: it was dialled to this address, which came by transparent interception if it is not one of
    /// the listener's own, and directly to the listener if it is. Directly dialled ones must not be forwarded: they
    /// would come back.
    Local(SocketAddr),
}

impl Original {
    /// The target, whichever way it came.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match *self {
            Self::Local(address) | Self::Redirected(address) => address,
        }
    }
}

/// Asks for the original target of an accepted connection, IPv4-mapped addresses made IPv4.
///
/// Connection tracking answers for connections that were not redirected, too, with their own local address; so the
/// two are compared here. A redirect does not change the address family, so only the connection's own family is asked.
///
/// # Errors
/// The descriptor is not a connected TCP socket.
pub fn original_destination(socket: impl AsFd) -> io::Result<Original> {
    let fd = socket.as_fd();
    let socket = SockRef::from(&fd);
    let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
    let local = canonical(local);
    let answer = if local.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
    match answer {
        Ok(address) => {
            let original = canonical(address.as_socket().ok_or(io::ErrorKind::InvalidData)?);
            if same_endpoint(original, local) {
                Ok(Original::Local(local))
            } else {
                Ok(Original::Redirected(original))
            }
        }
        // Not tracked, or the kernel has no connection tracking for the family: not redirected.
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOPROTOOPT | libc::EOPNOTSUPP)) =>
        {
            Ok(Original::Local(local))
        }
        Err(error) => Err(error),
    }
}

/// Scope and flow label are not part of what was dialled, and connection tracking does not keep them.
fn same_endpoint(a: SocketAddr, b: SocketAddr) -> bool {
    a.ip() == b.ip() && a.port() == b.port()
}

/// An IPv4-mapped IPv6 address as the IPv4 address it stands for.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(v4.into(), v6.port()),
            None => address,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn mapped_addresses_become_plain_and_others_stay() {
        let mapped: SocketAddr = "[::ffff:10.1.2.3]:80".parse().unwrap();
        assert_eq!(canonical(mapped), "10.1.2.3:80".parse().unwrap());
        let scoped: SocketAddr = "[fe80::1%7]:80".parse().unwrap();
        assert_eq!(canonical(scoped), scoped);
    }

    #[test]
    fn a_direct_connection_is_local_in_both_families() {
        for bind in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(bind).unwrap();
            let address = listener.local_addr().unwrap();
            let _dialled = TcpStream::connect(address).unwrap();
            let accepted = listener.accept().unwrap().0;
            assert_eq!(original_destination(&accepted).unwrap(), Original::Local(address));
        }
    }

    #[test]
    fn something_else_than_a_connection_is_an_error() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(original_destination(&file).is_err());
    }
}
