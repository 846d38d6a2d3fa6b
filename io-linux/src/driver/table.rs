//! The sockets of a worker, by the engine's ids.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::Waker;

use culvert_core::engine::boundary::{Interest, SocketId};

use super::carrier::Carrier;
use super::ready::ReadyQueue;
use super::{Runtime, Token};
use crate::consumer::End;
use crate::socket::abort_on_close;

/// One socket and what is known of it.
pub(super) struct Entry<R: Runtime> {
    pub(super) id: SocketId,
    pub(super) stream: Carrier<R::Stream>,
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
        // Should this process die, its connections must end as aborts (node.md B6): only the engine's word makes a close an
        // orderly end.
        let _gone = abort_on_close(&socket);
        let token = self.ready.token(id.slot());
        let stream = Carrier::Kernel(runtime.stream(socket, &token)?);
        self.put(Entry { id, stream, connecting, interest: Interest::default(), token, joined: None });
        Ok(())
    }

    /// Keeps the engine's end of a connection through memory under its id.
    pub(super) fn insert_memory(&mut self, id: SocketId, end: End) {
        let token = self.ready.token(id.slot());
        let stream = Carrier::Memory(end, Waker::from(token.clone()));
        self.put(Entry { id, stream, connecting: false, interest: Interest::default(), token, joined: None });
    }

    fn put(&mut self, entry: Entry<R>) {
        let slot = entry.id.slot();
        if self.entries.len() <= slot {
            self.entries.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.entries.get_mut(slot) {
            *place = Some(entry);
        }
    }

    pub(super) fn at(&mut self, slot: usize) -> Option<&mut Entry<R>> {
        self.entries.get_mut(slot)?.as_mut()
    }

    pub(super) fn get(&mut self, id: SocketId) -> Option<&mut Entry<R>> {
        self.at(id.slot()).filter(|entry| entry.id == id)
    }

    /// The descriptor of a socket, if it is the kernel's.
    pub(super) fn descriptor(&self, id: SocketId) -> Option<BorrowedFd<'_>> {
        let entry = self.entries.get(id.slot())?.as_ref().filter(|entry| entry.id == id)?;
        entry.stream.descriptor()
    }

    pub(super) fn remove(&mut self, id: SocketId) -> Option<Entry<R>> {
        self.get(id)?;
        self.entries.get_mut(id.slot())?.take()
    }
}
