//! The sockets of a worker, by the engine's ids.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use culvert_core::engine::boundary::{Interest, SocketId};
use culvert_core::engine::pump::Socket;
use culvert_linux::socket::abort_on_close;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::ready::{ReadyQueue, Token};

/// One socket and what is known of it.
pub(super) struct Entry {
    pub(super) id: SocketId,
    pub(super) stream: Stream,
    pub(super) connecting: bool,
    pub(super) interest: Interest,
    pub(super) token: Arc<Token>,
    pub(super) waker: Waker,
    /// The other socket of a joined pair.
    pub(super) joined: Option<SocketId>,
}

/// A tokio stream as the engine's pump wants it.
///
/// Polled, not tried: after a read or write that the kernel did not do whole, tokio then knows without another system
/// call that the next would block.
pub(super) struct Stream(pub(super) TcpStream, pub(super) Waker);

impl Socket for Stream {
    fn try_read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut into = ReadBuf::new(space);
        match Pin::new(&mut self.0).poll_read(&mut Context::from_waker(&self.1), &mut into) {
            Poll::Ready(outcome) => outcome.map(|()| into.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.1);
        let stream = Pin::new(&mut self.0);
        let outcome = match slices {
            [one] => stream.poll_write(&mut cx, one),
            many => stream.poll_write_vectored(&mut cx, many),
        };
        match outcome {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// Sockets by the slot of their id.
pub(super) struct SocketTable {
    entries: Vec<Option<Entry>>,
    ready: Arc<ReadyQueue>,
}

impl SocketTable {
    pub(super) fn new(ready: Arc<ReadyQueue>) -> SocketTable {
        SocketTable { entries: Vec::new(), ready }
    }

    pub(super) fn insert(&mut self, id: SocketId, stream: TcpStream, connecting: bool) {
        let slot = id.slot();
        if self.entries.len() <= slot {
            self.entries.resize_with(slot + 1, || None);
        }
        // Should this process die, its connections must end as aborts (node.md B6): only the engine's word makes a close an
        // orderly end.
        let _gone = abort_on_close(&stream);
        let token = self.ready.token(slot);
        let waker = Waker::from(token.clone());
        let entry = Entry {
            id,
            stream: Stream(stream, waker.clone()),
            connecting,
            interest: Interest::default(),
            token,
            waker,
            joined: None,
        };
        if let Some(place) = self.entries.get_mut(slot) {
            *place = Some(entry);
        }
    }

    pub(super) fn at(&mut self, slot: usize) -> Option<&mut Entry> {
        self.entries.get_mut(slot)?.as_mut()
    }

    pub(super) fn get(&mut self, id: SocketId) -> Option<&mut Entry> {
        self.at(id.slot()).filter(|entry| entry.id == id)
    }

    /// The descriptor of a socket.
    pub(super) fn descriptor(&self, id: SocketId) -> Option<BorrowedFd<'_>> {
        let entry = self.entries.get(id.slot())?.as_ref().filter(|entry| entry.id == id)?;
        Some(entry.stream.0.as_fd())
    }

    pub(super) fn remove(&mut self, id: SocketId) -> Option<Entry> {
        self.get(id)?;
        self.entries.get_mut(id.slot())?.take()
    }
}
