//! What a runtime is to a driver: somebody who takes sockets and tells when they are ready. Nothing here knows a protocol.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use culvert_core::engine::pump::Socket;

use super::{Driver, Token};
use crate::socket::AcceptError;

/// A runtime that a worker can run on: tokio, smol, mio. One value for each worker, used on the worker's thread only.
pub trait Runtime: Sized + 'static {
    /// A connection that is registered with the runtime.
    type Stream: Stream;
    /// A listener that is registered with the runtime.
    type Listener: Listen;

    /// Makes a runtime on this thread, gives it to `start`, and turns the driver that `start` returns until it has stopped. A
    /// panic of the driver passes through to the caller.
    ///
    /// # Errors
    /// The runtime cannot be made, `start` fails, or the runtime is broken: no turn comes after that.
    fn run(start: impl FnOnce(Self) -> io::Result<Driver<Self>>) -> io::Result<()>;

    /// Takes in a non-blocking socket, connected or connecting. From then on `token` is woken when it may have become readable or
    /// writable, at least where [`Stream::poll_readable`] or [`Stream::poll_writable`] said no since.
    ///
    /// # Errors
    /// The runtime cannot take more, or not this one.
    fn stream(&mut self, socket: OwnedFd, token: &Arc<Token>) -> io::Result<Self::Stream>;

    /// Takes in a non-blocking listener. From then on `token` is woken when a connection waits, at least where
    /// [`Listen::poll_accept`] had none since.
    ///
    /// # Errors
    /// As of [`Runtime::stream`].
    fn listener(&mut self, listener: TcpListener, token: &Arc<Token>) -> io::Result<Self::Listener>;
}

/// A registered connection. Reading and writing are [`Socket`]'s; dropping it closes the descriptor.
pub trait Stream: Socket + AsFd {
    /// Whether reading is worth a try. Where it is not, the token is woken once it is.
    fn poll_readable(&mut self) -> bool;

    /// Whether writing is worth a try, or a connect has ended. Where not, the token is woken once it is.
    fn poll_writable(&mut self) -> bool;

    /// The kernel was found to have nothing to read, by a system call that the runtime did not see.
    fn read_would_block(&mut self);

    /// The kernel was found to take nothing more, by a system call that the runtime did not see.
    fn write_would_block(&mut self);

    /// Takes the socket back from the runtime.
    ///
    /// # Errors
    /// The runtime cannot let go of it; the socket is closed then.
    fn into_socket(self) -> io::Result<OwnedFd>;
}

/// A registered listener.
pub trait Listen {
    /// Takes one waiting connection, non-blocking, and its peer's address. Where there is none, the token is woken once there is.
    ///
    /// # Errors
    /// As of [`crate::socket::accept`].
    fn poll_accept(&mut self) -> Result<Option<(OwnedFd, SocketAddr)>, AcceptError>;
}
