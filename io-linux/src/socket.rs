//! TCP sockets as a node needs them, on descriptors of any runtime.
//!
//! Everything here is non-blocking and closed on exec. Functions work on the calling thread's network namespace
//! (see [`crate::netns`]); the sockets they return stay in it.

mod dial;
mod fault;
mod listen;
mod original;

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::sys;

pub use dial::{DialOptions, dial};
pub use fault::{AcceptError, DialError};
pub use listen::{ListenOptions, Transparent, accept, listen};
pub use original::{Original, original_destination};

/// The mark that exempts a node's own packets from the redirect (node.md row 16), in the bits of [`MARK_MASK`].
pub const EXEMPT_MARK: u32 = 0x539;

/// The bits of a packet mark that the redirect reads (node.md row 18).
pub const MARK_MASK: u32 = 0xfff;

/// When a silent connection is probed and given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe; the kernel counts whole seconds.
    pub idle: Duration,
    /// Time between two probes; whole seconds.
    pub interval: Duration,
    /// Unanswered probes after which the connection is dead.
    pub probes: u32,
}

impl Default for Keepalive {
    /// 180 s, 180 s, 9 probes (node.md row 15).
    fn default() -> Self {
        Self { idle: Duration::from_secs(180), interval: Duration::from_secs(180), probes: 9 }
    }
}

impl Keepalive {
    /// `TCP_USER_TIMEOUT` that agrees with these probes: idle and all probes together (node.md row 15).
    #[must_use]
    pub fn user_timeout(&self) -> Duration {
        self.idle.saturating_add(self.interval.saturating_mul(self.probes))
    }
}

/// How the connections of a node are set up (node.md rows 15 and 16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketSettings {
    /// The mark of the node's own packets, which the redirect exempts.
    pub mark: Option<u32>,
    /// Probing of a silent connection; `None` turns it off.
    pub keepalive: Option<Keepalive>,
    /// How long sent bytes may stay unacknowledged; `None` leaves it to the kernel.
    pub user_timeout: Option<Duration>,
}

impl Default for SocketSettings {
    /// No mark, the usual keepalive, no time-out of unacknowledged bytes.
    fn default() -> SocketSettings {
        SocketSettings { mark: None, keepalive: Some(Keepalive::default()), user_timeout: None }
    }
}

/// Turns keepalive on.
///
/// # Errors
/// The descriptor is not a TCP socket, or a value is beyond what the kernel takes.
pub fn set_keepalive(socket: impl AsFd, keepalive: &Keepalive) -> io::Result<()> {
    let fd = socket.as_fd();
    let parameters = TcpKeepalive::new()
        .with_time(keepalive.idle)
        .with_interval(keepalive.interval)
        .with_retries(keepalive.probes);
    SockRef::from(&fd).set_tcp_keepalive(&parameters)
}

/// Sends small segments at once (`TCP_NODELAY`).
///
/// # Errors
/// The descriptor is not a TCP socket.
pub fn set_nodelay(socket: impl AsFd, on: bool) -> io::Result<()> {
    SockRef::from(&socket.as_fd()).set_tcp_nodelay(on)
}

/// Limits how long sent bytes may stay unacknowledged; `None` leaves it to the kernel (`TCP_USER_TIMEOUT`).
///
/// # Errors
/// The descriptor is not a TCP socket.
pub fn set_user_timeout(socket: impl AsFd, timeout: Option<Duration>) -> io::Result<()> {
    SockRef::from(&socket.as_fd()).set_tcp_user_timeout(timeout)
}

/// Marks every packet the socket will send (`SO_MARK`).
///
/// # Errors
/// `PermissionDenied` without `CAP_NET_ADMIN` in the namespace.
pub fn set_mark(socket: impl AsFd, mark: u32) -> io::Result<()> {
    SockRef::from(&socket.as_fd()).set_mark(mark)
}

/// Takes the pending error of a socket: how a connect that was started has ended, once it is writable.
///
/// # Errors
/// The descriptor is not a socket; the pending error itself is the `Some` of the value.
pub fn take_error(socket: impl AsFd) -> io::Result<Option<io::Error>> {
    SockRef::from(&socket.as_fd()).take_error()
}

/// The near end of a socket.
///
/// # Errors
/// The descriptor is not an IP socket.
pub fn local_address(socket: impl AsFd) -> io::Result<SocketAddr> {
    let fd = socket.as_fd();
    SockRef::from(&fd).local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// How a connect that was started stands: its near end once it is connected, `None` while it is under way.
///
/// # Errors
/// The connect has failed, or the connection has been lost since.
pub fn connected(socket: impl AsFd) -> io::Result<Option<SocketAddr>> {
    let fd = socket.as_fd();
    let socket = SockRef::from(&fd);
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        Ok(_) => local_address(fd).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sends FIN after the last byte; the other direction goes on.
///
/// A connection that is already gone needs no FIN, so `NotConnected` counts as done.
///
/// # Errors
/// What else `shutdown` says.
pub fn shutdown_write(socket: impl AsFd) -> io::Result<()> {
    match SockRef::from(&socket.as_fd()).shutdown(Shutdown::Write) {
        Err(gone) if gone.kind() == io::ErrorKind::NotConnected => Ok(()),
        outcome => outcome,
    }
}

/// Makes the coming close of the socket's last descriptor an abort: queued bytes are dropped and the peer gets RST.
///
/// For sockets that a runtime owns and closes itself; [`abort`] closes too.
///
/// # Errors
/// The descriptor is not a socket.
pub fn abort_on_close(socket: impl AsFd) -> io::Result<()> {
    SockRef::from(&socket.as_fd()).set_linger(Some(Duration::ZERO))
}

/// Bytes that were written and that the peer's kernel has not acknowledged, FIN among them (SIOCOUTQ, tcp(7)).
///
/// # Errors
/// The descriptor is not a TCP socket.
pub fn unacknowledged(socket: impl AsFd) -> io::Result<usize> {
    sys::unacknowledged(socket.as_fd())
}

/// Undoes [`abort_on_close`]: the close sends what is queued, then FIN.
///
/// # Errors
/// The descriptor is not a socket.
pub fn finish_on_close(socket: impl AsFd) -> io::Result<()> {
    SockRef::from(&socket.as_fd()).set_linger(None)
}

/// Ends a connection at once: queued bytes are dropped and the peer gets RST.
///
/// # Errors
/// The descriptor is not a socket; it is closed all the same, with FIN.
pub fn abort(socket: OwnedFd) -> io::Result<()> {
    abort_on_close(&socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (dialled, listener.accept().unwrap().0)
    }

    #[test]
    fn keepalive_defaults_reach_the_kernel() {
        let (a, _b) = pair();
        set_keepalive(&a, &Keepalive::default()).unwrap();
        set_nodelay(&a, true).unwrap();
        set_user_timeout(&a, Some(Keepalive::default().user_timeout())).unwrap();
        let socket = SockRef::from(&a);
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(180));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(180));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 9);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(1800)));
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
    }

    #[test]
    fn shutdown_write_is_a_half_close_and_repeats_harmlessly() {
        let (a, mut b) = pair();
        shutdown_write(&a).unwrap();
        shutdown_write(&a).unwrap();
        assert_eq!(b.read(&mut [0; 8]).unwrap(), 0);
        std::io::Write::write_all(&mut b, b"still open").unwrap();
        drop(b);
        let mut rest = String::new();
        (&a).read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "still open");
        shutdown_write(&a).unwrap();
    }

    #[test]
    fn abort_resets_the_peer() {
        let (a, mut b) = pair();
        abort(a.into()).unwrap();
        let reset = b.read(&mut [0; 8]).unwrap_err();
        assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_pending_error_is_taken_once() {
        let (a, b) = pair();
        abort(b.into()).unwrap();
        assert_eq!(take_error(&a).unwrap().map(|e| e.kind()), Some(io::ErrorKind::ConnectionReset));
        assert!(take_error(&a).unwrap().is_none());
    }
}
