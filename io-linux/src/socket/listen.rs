//! Listeners, and taking connections from them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::fault::AcceptError;
use super::original::canonical;

/// Whether a listener may take connections to addresses that are not the machine's (`IP_TRANSPARENT`, node.md row 14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transparent {
    /// Ask for it, go on without it.
    #[default]
    BestEffort,
    /// Do not ask.
    Never,
    /// Fail without it.
    Required,
}

/// How to listen.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// See [`Transparent`].
    pub transparent: Transparent,
    /// Connections the kernel may hold ready.
    pub backlog: u32,
    /// Share the port with other listeners that also say so, as an old and a new process do (node.md row 17).
    pub reuse_port: bool,
    /// Mark of the packets that the listener and its connections send; connections inherit it.
    pub mark: Option<u32>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { transparent: Transparent::default(), backlog: 1024, reuse_port: true, mark: None }
    }
}

/// Listens on `address`; `[::]` takes IPv4 too, and becomes `0.0.0.0` where the kernel has no IPv6 (node.md row 12).
///
/// # Errors
/// What the kernel says, of which `AddrInUse` also means that a listener there does not share its port.
pub fn listen(address: SocketAddr, options: &ListenOptions) -> io::Result<TcpListener> {
    match listen_on(address, options) {
        Err(refused) if lacks_ipv6(&refused) && address.is_ipv6() && address.ip().is_unspecified() => {
            listen_on(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()), options)
        }
        outcome => outcome,
    }
}

fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EOPNOTSUPP))
}

fn listen_on(address: SocketAddr, options: &ListenOptions) -> io::Result<TcpListener> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    if let Some(mark) = options.mark {
        socket.set_mark(mark)?;
    }
    match options.transparent {
        Transparent::BestEffort => drop(set_transparent(&socket, address)),
        Transparent::Never => {}
        Transparent::Required => set_transparent(&socket, address)?,
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// The kernel keeps one transparent bit for both families, so the option of the socket's family is enough.
pub(super) fn set_transparent(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => socket.set_ip_transparent_v4(true),
        SocketAddr::V6(_) => socket.set_ip_transparent_v6(true),
    }
}

/// Takes one waiting connection, non-blocking and closed on exec, and its peer's address; `None` if none waits.
///
/// # Errors
/// Sorted by what to do next; see [`AcceptError`].
pub fn accept(listener: impl AsFd) -> Result<Option<(OwnedFd, SocketAddr)>, AcceptError> {
    let fd = listener.as_fd();
    match SockRef::from(&fd).accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) {
        Ok((socket, peer)) => {
            let peer =
                peer.as_socket().ok_or_else(|| AcceptError::Fatal(io::ErrorKind::Unsupported.into()))?;
            Ok(Some((socket.into(), canonical(peer))))
        }
        Err(none) if none.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv6Addr, TcpStream};

    fn any(port: u16) -> SocketAddr {
        (Ipv6Addr::UNSPECIFIED, port).into()
    }

    #[test]
    fn a_dual_stack_listener_reports_canonical_peers() {
        let listener = listen(any(0), &ListenOptions::default()).unwrap();
        assert!(accept(&listener).unwrap().is_none());
        let port = listener.local_addr().unwrap().port();
        let dialled = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let (_socket, peer) = accept(&listener).unwrap().unwrap();
        assert_eq!(peer, dialled.local_addr().unwrap());
    }

    #[test]
    fn ports_are_shared_only_by_those_who_say_so() {
        let first = listen(any(0), &ListenOptions::default()).unwrap();
        let same = any(first.local_addr().unwrap().port());
        let second = listen(same, &ListenOptions::default()).unwrap();
        let alone = ListenOptions { reuse_port: false, ..ListenOptions::default() };
        assert_eq!(listen(same, &alone).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
    }

    #[test]
    fn a_missing_address_is_not_replaced_by_any_address() {
        let elsewhere: SocketAddr = "[fd00:dead::1]:0".parse().unwrap();
        let never = ListenOptions { transparent: Transparent::Never, ..ListenOptions::default() };
        assert!(listen(elsewhere, &never).is_err());
    }
}
