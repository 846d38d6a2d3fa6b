//! The sockets of a worker, by the engine's ids.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use culvert_core::engine::boundary::{Interest, SocketId};

use super::ready::ReadyQueue;
use super::{Runtime, Token};
use crate::socket::abort_on_close;

/// One socket and what is known of it.
pub(super) struct Entry<R: Runtime> {
    pub(super) id: SocketId,
    pub(super) stream: R::Stream,
    pub(super) connecting: bool,
    pub(super) interest: Interest,
    pub(super) token: Arc<Token>,
    /// The other socket of a joined pair.
    pub(super) joined: Option<SocketId>,
}

/// Sockets by the slot of their id.
pub(super) struct SocketTable<R: Runtime> {
    entries: Vec<Option<Entry<R>>>,
    ready: Arc<ReadyQueue>,
}

impl<R: Runtime> SocketTable<R> {
    pub(super) fn new(ready: Arc<ReadyQueue>) -> Self {
        SocketTable { entries: Vec::new(), ready }
    }

    /// Registers a socket with the runtime and keeps it under its id.
    pub(super) fn insert(
        &mut self,
        runtime: &mut R,
        id: SocketId,
        socket: OwnedFd,
        connecting: bool,
    ) -> io::Result<()> {
        let slot = id.slot();
        // Should this process die, its connections must end as aborts (node.md B6): only the engine's word makes a close an
        // orderly end.
        let _gone = abort_on_close(&socket);
        let token = self.ready.token(slot);
        let stream = runtime.stream(socket, &token)?;
        if self.entries.len() <= slot {
            self.entries.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.entries.get_mut(slot) {
            *place =
                Some(Entry { id, stream, connecting, interest: Interest::default(), token, joined: None });
        }
        Ok(())
    }

    pub(super) fn at(&mut self, slot: usize) -> Option<&mut Entry<R>> {
        self.entries.get_mut(slot)?.as_mut()
    }

    pub(super) fn get(&mut self, id: SocketId) -> Option<&mut Entry<R>> {
        self.at(id.slot()).filter(|entry| entry.id == id)
    }

    /// The descriptor of a socket.
    pub(super) fn descriptor(&self, id: SocketId) -> Option<BorrowedFd<'_>> {
        let entry = self.entries.get(id.slot())?.as_ref().filter(|entry| entry.id == id)?;
        Some(entry.stream.as_fd())
    }

    pub(super) fn remove(&mut self, id: SocketId) -> Option<Entry<R>> {
        self.get(id)?;
        self.entries.get_mut(id.slot())?.take()
    }
}
