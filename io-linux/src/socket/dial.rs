//! Starting a connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::fault::DialError;
use super::listen::set_transparent;
use super::original::canonical;
use super::{Keepalive, set_keepalive};
use crate::sys;

/// How to dial.
#[derive(Clone, Debug)]
pub struct DialOptions {
    /// Mark of the packets sent (node.md row 16).
    pub mark: Option<u32>,
    /// Source address; the kernel still chooses the port, when it knows the target, so ports do not run out early.
    pub source: Option<IpAddr>,
    /// The source need not be an address of this machine (`IP_TRANSPARENT`, node.md row 14).
    pub transparent: bool,
    /// Probing of a silent connection; `None` turns it off.
    pub keepalive: Option<Keepalive>,
    /// Small segments are sent at once.
    pub nodelay: bool,
    /// How long sent bytes may stay unacknowledged.
    pub user_timeout: Option<Duration>,
}

impl Default for DialOptions {
    /// Keepalive as node.md row 15 says, no delay of small segments, nothing else.
    fn default() -> Self {
        Self {
            mark: None,
            source: None,
            transparent: false,
            keepalive: Some(Keepalive::default()),
            nodelay: true,
            user_timeout: None,
        }
    }
}

/// Starts connecting to `target` and returns the socket, non-blocking; its outcome is [`super::take_error`]'s once the
/// socket is writable.
///
/// # Errors
/// The connection could not be started; sorted by what to do next.
pub fn dial(target: SocketAddr, options: &DialOptions) -> Result<OwnedFd, DialError> {
    let target = canonical(target);
    let socket = prepare(target, options)?;
    match socket.connect(&target.into()) {
        Ok(()) => Ok(socket.into()),
        Err(started) if started.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket.into()),
        Err(refused) => Err(refused.into()),
    }
}

fn prepare(target: SocketAddr, options: &DialOptions) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(target), kind, Some(Protocol::TCP))?;
    if let Some(mark) = options.mark {
        socket.set_mark(mark)?;
    }
    if options.nodelay {
        socket.set_tcp_nodelay(true)?;
    }
    if let Some(keepalive) = &options.keepalive {
        set_keepalive(&socket, keepalive)?;
    }
    if options.user_timeout.is_some() {
        socket.set_tcp_user_timeout(options.user_timeout)?;
    }
    if let Some(source) = options.source {
        bind_source(&socket, source, target, options.transparent)?;
    }
    Ok(socket)
}

/// Binds the source address and leaves the port to `connect`: a port bound now would be taken from all targets.
fn bind_source(socket: &Socket, source: IpAddr, target: SocketAddr, transparent: bool) -> io::Result<()> {
    let source = source.to_canonical();
    if source.is_ipv4() != target.is_ipv4() {
        return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
    }
    if transparent {
        set_transparent(socket, target)?;
    }
    sys::set_option(socket.as_fd(), libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
    socket.bind(&SocketAddr::new(source, 0).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::{accept, listen, set_nodelay};
    use std::net::{Ipv6Addr, TcpListener, TcpStream};

    fn finish(fd: OwnedFd) -> TcpStream {
        let stream = TcpStream::from(fd);
        stream.set_nonblocking(false).unwrap();
        stream
    }

    #[test]
    fn a_started_dial_arrives_from_the_chosen_source() {
        for (bind, source) in [("127.0.0.1:0", "127.0.0.9"), ("[::1]:0", "::1")] {
            let listener = TcpListener::bind(bind).unwrap();
            let options = DialOptions { source: Some(source.parse().unwrap()), ..DialOptions::default() };
            let dialled = dial(listener.local_addr().unwrap(), &options).unwrap();
            let (_accepted, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip(), source.parse::<IpAddr>().unwrap());
            assert!(crate::socket::take_error(&dialled).unwrap().is_none());
            set_nodelay(finish(dialled), true).unwrap();
        }
    }

    #[test]
    fn a_mapped_target_is_dialled_as_ipv4() {
        let listener = listen((Ipv6Addr::UNSPECIFIED, 0).into(), &Default::default()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mapped: SocketAddr = format!("[::ffff:127.0.0.1]:{port}").parse().unwrap();
        let dialled = finish(dial(mapped, &DialOptions::default()).unwrap());
        assert!(dialled.peer_addr().unwrap().is_ipv4());
        assert!(accept(&listener).unwrap().unwrap().1.is_ipv4());
    }

    #[test]
    fn families_of_source_and_target_must_agree() {
        let options = DialOptions { source: Some(Ipv6Addr::LOCALHOST.into()), ..DialOptions::default() };
        let refused = dial("127.0.0.1:9".parse().unwrap(), &options).unwrap_err();
        assert!(matches!(refused, DialError::Invalid(_)), "{refused}");
    }

    #[test]
    fn a_foreign_source_needs_transparency() {
        let options = DialOptions { source: Some("192.0.2.7".parse().unwrap()), ..DialOptions::default() };
        let refused = dial("127.0.0.1:9".parse().unwrap(), &options).unwrap_err();
        assert_eq!(refused.io().raw_os_error(), Some(libc::EADDRNOTAVAIL));
    }
}
