//! The sockets of an engine: memory lent to the driver, queues towards the kernel, interest, close.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use super::Engine;
use super::boundary::{CloseMode, Interest, Output, PodId, Slices, SocketId};
use super::flow::{End, FlowId, Phase, Side};
use super::timers::Timer;
use super::tunnels::{TunnelId, TunnelPhase};
use crate::fault::{Fault, IoFault};
use crate::lies::Lies;
use crate::telemetry::Event;
use crate::time::Now;

/// Bytes allocated at once for reads of plain sockets: at first, doubled with each block that is used up, and at most.
const BLOCK_FIRST: usize = BLOCK_MIN;
const BLOCK: usize = 64 << 10;
/// A block with less than this left is not read into any more.
const BLOCK_MIN: usize = 16 << 10;
/// Smaller reads are copied out of the block, so that few held bytes never pin much memory (node.md B8).
const COPY_BELOW: usize = 4 << 10;

/// Bytes of an application that are taken before the other end is there.
const EARLY: usize = 16 << 10;

/// The memory that plain sockets are read into, one read at a time.
#[derive(Debug, Default)]
pub(super) struct ReadBlock {
    block: BytesMut,
    size: usize,
}

impl ReadBlock {
    fn space(&mut self) -> &mut [u8] {
        if self.block.len() < BLOCK_MIN {
            self.size = (self.size * 2).clamp(BLOCK_FIRST, BLOCK);
            self.block = BytesMut::zeroed(self.size);
        }
        &mut self.block
    }

    fn take(&mut self, len: usize) -> Bytes {
        let len = len.min(self.block.len());
        if len < COPY_BELOW {
            return Bytes::copy_from_slice(self.block.get(..len).unwrap_or_default());
        }
        self.block.split_to(len).freeze()
    }
}

/// Whose bytes a socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum User {
    Flow(FlowId, Side),
    Tunnel(TunnelId),
    /// The flow is over; what is queued is still written, then the socket is aborted.
    Leaving,
    /// Refused at accept: closed in the same turn.
    Nobody,
}

/// How far an orderly end towards this socket has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    No,
    WhenDrained,
    Sent,
}

#[derive(Debug)]
pub(super) struct SocketEntry {
    pub(super) user: User,
    pub(super) pod: PodId,
    pub(super) connected: bool,
    pub(super) queue: VecDeque<Bytes>,
    pub(super) queued: usize,
    pub(super) finish: Finish,
    interest: Interest,
}

impl SocketEntry {
    pub(super) fn new(user: User, pod: PodId, connected: bool) -> SocketEntry {
        SocketEntry {
            user,
            pod,
            connected,
            queue: VecDeque::new(),
            queued: 0,
            finish: Finish::No,
            interest: Interest::default(),
        }
    }
}

impl<L: Lies> Engine<L> {
    /// Memory to read this socket's bytes into; empty where the engine wants none now. Valid until the next call that
    /// takes `&mut self`; follow with [`super::boundary::Input::Read`].
    pub fn read_space(&mut self, socket: SocketId) -> &mut [u8] {
        match self.sockets.get(socket).map(|entry| entry.user) {
            Some(User::Tunnel(tunnel)) => match self.tunnels.get_mut(tunnel) {
                Some(entry) if entry.phase == TunnelPhase::Lingering => self.block.space(),
                Some(entry) if entry.wants_read() => entry.tunnel.read_space(&mut self.tunnel_block),
                _ => &mut [],
            },
            Some(User::Flow(flow, side)) if self.may_read(flow, side) => self.block.space(),
            _ => &mut [],
        }
    }

    /// Adds what is to be written to this socket now. What a tunnel's streams have to say is made into TLS records here, so
    /// that all that was said since the last write shares them; offered bytes stay as they are. Valid until the next call that takes `&mut self`; follow with
    /// [`super::boundary::Input::Wrote`].
    pub fn write_slices<'a>(&'a mut self, socket: SocketId, into: &mut Slices<'a>) {
        if let Some(User::Tunnel(id)) = self.sockets.get(socket).map(|entry| entry.user)
            && let Some(entry) = self.tunnels.get_mut(id)
            && entry.tunnel.seal()
        {
            // Handled with the next input, which follows.
            self.dirty_tunnels.insert(id);
        }
        let Some(entry) = self.sockets.get(socket).filter(|entry| entry.connected) else { return };
        match entry.user {
            User::Tunnel(tunnel) => {
                if let Some(tunnel) = self.tunnels.get(tunnel) {
                    tunnel.tunnel.write_slices(into);
                }
            }
            User::Flow(flow, _) if !self.may_move(flow) => {}
            User::Flow(..) | User::Leaving => {
                for bytes in &entry.queue {
                    if !into.push(bytes) {
                        return;
                    }
                }
            }
            User::Nobody => {}
        }
    }

    /// Whether policy lets bytes of this flow move now (node.md B4, B5).
    pub(super) fn may_move(&self, flow: FlowId) -> bool {
        planted!(StaleBytesMove => return true);
        !self.stale.contains(&flow) && self.flows.get(flow).is_some_and(|f| f.held.is_none())
    }

    /// Whether a joined flow's bytes may be taken from this end by the kernel.
    fn may_relay(&self, id: FlowId, side: Side) -> bool {
        self.flows.get(id).is_some_and(|f| f.joined && !*f.ended.of(side)) && self.may_move(id)
    }

    fn may_read(&self, id: FlowId, side: Side) -> bool {
        let Some(flow) = self.flows.get(id) else { return false };
        if flow.joined || *flow.ended.of(side) {
            return false;
        }
        if flow.phase != Phase::Relaying {
            // A little is taken early: only a socket that is read tells that its application has given up.
            return side == Side::Near && flow.early_bytes < EARLY;
        }
        if !self.may_move(id) {
            return false;
        }
        planted!(QueueUnbounded => return true);
        match flow.end(side.other()) {
            End::None => false,
            End::Socket(socket) => {
                self.sockets.get(socket).is_some_and(|s| s.queued < self.config.limits.relay_queue)
            }
            // Where the stream is gone, what comes has nowhere to go, which its sender must learn.
            End::Stream(tunnel, stream) => self
                .tunnels
                .get(tunnel)
                .is_none_or(|t| t.tunnel.mux().queued(stream) < self.config.limits.relay_queue),
        }
    }

    pub(super) fn socket_connected(&mut self, now: Now, socket: SocketId, local: std::net::SocketAddr) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        if entry.connected {
            return self.report(Event::Misuse("a socket connected twice"));
        }
        entry.connected = true;
        self.dirty_sockets.insert(socket);
        match entry.user {
            User::Tunnel(tunnel) => self.tunnel_connected(now, tunnel),
            User::Flow(flow, _) => self.far_connected(now, flow, local),
            User::Leaving | User::Nobody => {}
        }
    }

    pub(super) fn socket_failed(&mut self, now: Now, socket: SocketId, fault: IoFault) {
        match self.sockets.get(socket).map(|entry| entry.user) {
            Some(User::Tunnel(tunnel)) => self.tunnel_broke(now, tunnel, Fault::Io(fault)),
            Some(User::Flow(flow, side)) => self.end_broke(now, flow, side, fault),
            Some(User::Leaving) => self.close_socket(socket, CloseMode::Abort),
            Some(User::Nobody) | None => {}
        }
    }

    pub(super) fn socket_read(&mut self, now: Now, socket: SocketId, len: usize) {
        match self.sockets.get(socket).map(|entry| entry.user) {
            Some(User::Tunnel(tunnel)) => {
                // What comes after our FIN is read only to be dropped.
                if let Some(entry) =
                    self.tunnels.get_mut(tunnel).filter(|entry| entry.phase != TunnelPhase::Lingering)
                {
                    entry.tunnel.received(&mut self.tunnel_block, len);
                    entry.last_received = now.time;
                    self.dirty_tunnels.insert(tunnel);
                }
            }
            Some(User::Flow(flow, side)) => {
                let bytes = self.block.take(len);
                self.bytes_from(now, flow, side, bytes);
            }
            Some(User::Leaving | User::Nobody) | None => {}
        }
    }

    pub(super) fn socket_read_end(&mut self, now: Now, socket: SocketId) {
        match self.sockets.get(socket).map(|entry| entry.user) {
            Some(User::Tunnel(tunnel)) => self.tunnel_ended(tunnel),
            Some(User::Flow(flow, side)) => self.end_from(now, flow, side),
            Some(User::Leaving | User::Nobody) | None => {}
        }
    }

    pub(super) fn socket_wrote(&mut self, now: Now, socket: SocketId, len: usize) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        match entry.user {
            User::Tunnel(tunnel) => {
                if let Some(entry) = self.tunnels.get_mut(tunnel) {
                    entry.tunnel.wrote(len);
                    self.dirty_tunnels.insert(tunnel);
                }
            }
            User::Flow(flow, side) => {
                let taken = take_from(entry, len);
                self.held_bytes = self.held_bytes.saturating_sub(taken);
                self.dirty_sockets.insert(socket);
                self.wrote_to(now, flow, side, taken);
            }
            User::Leaving => {
                let taken = take_from(entry, len);
                self.held_bytes = self.held_bytes.saturating_sub(taken);
                self.dirty_sockets.insert(socket);
                self.leaving_wrote(socket);
            }
            User::Nobody => {}
        }
    }

    /// Queues bytes towards a plain socket.
    pub(super) fn push(&mut self, socket: SocketId, bytes: Bytes) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let bytes = if bytes.len() < COPY_BELOW { Bytes::copy_from_slice(&bytes) } else { bytes };
        entry.queued += bytes.len();
        self.held_bytes += bytes.len();
        entry.queue.push_back(bytes);
        self.dirty_sockets.insert(socket);
    }

    pub(super) fn close_socket(&mut self, socket: SocketId, mode: CloseMode) {
        planted!(AbortAsFin, mode = CloseMode::Graceful);
        if let Some(entry) = self.sockets.remove(socket) {
            self.held_bytes = self.held_bytes.saturating_sub(entry.queued);
            if entry.user == User::Leaving {
                self.timers.clear(Timer::Socket(socket));
            }
            self.outputs.push_back(Output::Close { socket, mode });
        }
    }

    /// Tells the driver whatever interest has changed.
    pub(super) fn settle_sockets(&mut self) {
        while let Some(socket) = self.dirty_sockets.pop_first() {
            let Some(entry) = self.sockets.get(socket) else { continue };
            let interest = match entry.user {
                User::Leaving => Interest { read: false, write: !entry.queue.is_empty() },
                User::Nobody => Interest::default(),
                _ if !entry.connected => Interest::default(),
                User::Tunnel(tunnel) => match self.tunnels.get(tunnel) {
                    Some(t) => Interest { read: t.wants_read(), write: t.tunnel.wants_write() },
                    None => Interest::default(),
                },
                User::Flow(flow, side) => Interest {
                    read: self.may_read(flow, side) || self.may_relay(flow, side),
                    write: !entry.queue.is_empty() && self.may_move(flow),
                },
            };
            if let Some(entry) = self.sockets.get_mut(socket)
                && entry.interest != interest
            {
                entry.interest = interest;
                self.outputs.push_back(Output::Interest { socket, interest });
            }
        }
    }
}

/// Takes written bytes off the front of the queue.
fn take_from(entry: &mut SocketEntry, len: usize) -> usize {
    let mut left = len;
    while left > 0 {
        let Some(front) = entry.queue.front_mut() else { break };
        if front.len() > left {
            front.advance(left);
            planted!(PartialWriteDropped => front.clear());
            left = 0;
        } else {
            left -= front.len();
            entry.queue.pop_front();
        }
    }
    let taken = len - left;
    entry.queued -= taken;
    if entry.queue.is_empty() && entry.queue.capacity() > 64 {
        entry.queue = VecDeque::new();
    }
    taken
}
