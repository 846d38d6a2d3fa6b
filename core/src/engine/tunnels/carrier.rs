//! What carries the bytes of a tunnel: a socket, or a stream of another tunnel (node.md row 61). A tunnel on a stream is one as
//! any other to its flows, the pool, its timers and its end; all that differs is here.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use super::{PoolKey, StreamUser, TunnelEntry, TunnelId, TunnelPhase, Waiter};
use crate::engine::Engine;
use crate::engine::boundary::{CloseMode, Output, Slices, SocketId};
use crate::engine::inbound::baggage_of;
use crate::engine::timers::Timer;
use crate::fault::{Fault, LimitName};
use crate::hbone::connect::ConnectRequest;
use crate::hbone::mux::{MuxEvent, MuxRefusal, ResetCause, StreamId};
use crate::hbone::pool::Acquired;
use crate::lies::Lies;
use crate::time::Now;

/// What carries a tunnel's bytes.
#[derive(Debug)]
pub(in crate::engine) enum Carrier {
    /// A socket of its own.
    Socket(SocketId),
    /// A stream of another tunnel.
    Stream(Ride),
}

/// A stream that carries a tunnel, from its dial on.
#[derive(Debug, Default)]
pub(in crate::engine) struct Ride {
    /// Absent while it waits for one.
    on: Option<(TunnelId, StreamId)>,
    /// Bytes that came and that the tunnel has not taken in: nobody was given credit for them yet.
    inbox: VecDeque<Bytes>,
    /// END_STREAM has come.
    ended: bool,
    /// The request was tried once already.
    retried: bool,
}

impl<L: Lies> TunnelEntry<L> {
    /// The socket that carries it, where it has one of its own.
    pub(in crate::engine) fn socket(&self) -> Option<SocketId> {
        match self.carrier {
            Carrier::Socket(socket) => Some(socket),
            Carrier::Stream(_) => None,
        }
    }

    /// The tunnel whose stream carries it, where one does.
    pub(super) fn outer(&self) -> Option<TunnelId> {
        match &self.carrier {
            Carrier::Socket(_) => None,
            Carrier::Stream(ride) => ride.on.map(|(outer, _)| outer),
        }
    }

    fn ride(&self) -> Option<&Ride> {
        match &self.carrier {
            Carrier::Socket(_) => None,
            Carrier::Stream(ride) => Some(ride),
        }
    }

    fn ride_mut(&mut self) -> Option<&mut Ride> {
        match &mut self.carrier {
            Carrier::Socket(_) => None,
            Carrier::Stream(ride) => Some(ride),
        }
    }

    /// Bytes that have come for it and wait in front of it.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.ride().map_or(0, |ride| ride.inbox.iter().map(Bytes::len).sum())
    }
}

impl<L: Lies> Engine<L> {
    /// Gets in line for a stream of a tunnel to the gateway.
    pub(super) fn dial_carrier(&mut self, now: Now, id: TunnelId) {
        let Some(key) = self.tunnels.get(id).and_then(|t| t.key.as_ref()).and_then(PoolKey::outer_key) else {
            return;
        };
        match self.pool.acquire(&key, Waiter::Tunnel(id)) {
            Acquired::Tunnel(outer) => self.open_carrier(now, id, outer),
            Acquired::Full => self.lose_tunnel(now, id, Fault::Limit(LimitName::Waiters)),
            Acquired::Waiting => {
                // A dial's deadlines come first; this one is for tunnels that open and never have room.
                let limits = &self.config.limits;
                let patience = limits.dial() + limits.connect_response;
                self.timers.set(Timer::Tunnel(id), now.time.after(patience));
                self.dial_tunnels(now, &key);
            }
        }
    }

    /// Asks the gateway for the way to the far end.
    pub(super) fn open_carrier(&mut self, now: Now, id: TunnelId, outer: TunnelId) {
        if self.validity(now, outer).is_err() {
            self.retire_tunnel(now, outer);
            return self.dial_carrier(now, id);
        }
        let Some(entry) = self.tunnels.get(id) else { return };
        let Some(asked) = entry.key.as_ref().and_then(|key| key.outer.as_ref()) else { return };
        let mut request = ConnectRequest::new(asked.authority.clone());
        request.baggage = self.workload_of(entry.pod).as_ref().map(baggage_of);
        request.trace = Some(self.fresh_trace());
        match self.request(outer, &request, StreamUser::Tunnel(id)) {
            Ok(stream) => {
                if let Some(ride) = self.tunnels.get_mut(id).and_then(TunnelEntry::ride_mut) {
                    ride.on = Some((outer, stream));
                }
                self.timers.set(Timer::Tunnel(id), now.time.after(self.config.limits.connect_response));
            }
            Err(MuxRefusal::Malformed(_)) => {
                self.lose_tunnel(now, id, Fault::Request("the request cannot be written"));
            }
            Err(MuxRefusal::Full | MuxRefusal::Closing | MuxRefusal::Stream) => {
                self.retire_tunnel(now, outer);
                self.dial_carrier(now, id);
            }
        }
    }

    /// Something happened to the stream that carries a tunnel.
    pub(super) fn carrier_event(&mut self, now: Now, id: TunnelId, outer: TunnelId, event: MuxEvent) {
        let Some(entry) = self.tunnels.get_mut(id) else { return };
        let phase = entry.phase;
        let Some(ride) = entry.ride_mut() else { return };
        self.dirty_tunnels.insert(id);
        match event {
            MuxEvent::Response { response, .. } if phase == TunnelPhase::Connecting => {
                match response.status {
                    200 => self.tunnel_connected(now, id),
                    status => self.lose_tunnel(now, id, Fault::Status(status)),
                }
            }
            MuxEvent::Data { stream, bytes } if phase >= TunnelPhase::Closing => {
                self.drop_bytes(outer, stream, bytes.len());
            }
            MuxEvent::Data { bytes, .. } => {
                ride.inbox.push_back(bytes);
                entry.last_received = now.time;
            }
            MuxEvent::End { .. } => ride.ended = true,
            MuxEvent::Reset { stream, cause: ResetCause::Refused, .. }
                if phase == TunnelPhase::Connecting && !ride.retried =>
            {
                // CONNECT provably did nothing: one more try.
                (ride.retried, ride.on) = (true, None);
                self.forget_stream(outer, stream);
                self.dial_carrier(now, id);
            }
            // A lost tunnel has a reason, which follows.
            MuxEvent::Reset { cause: ResetCause::Tunnel, .. } => {}
            MuxEvent::Reset { cause, .. } => {
                let code = match cause {
                    ResetCause::Peer { code } | ResetCause::Protocol { code } => code,
                    ResetCause::Refused | ResetCause::Tunnel => crate::fault::reset_code::REFUSED_STREAM,
                };
                self.carrier_broke(now, id, Fault::StreamReset(code));
            }
            MuxEvent::Request { .. }
            | MuxEvent::Response { .. }
            | MuxEvent::Writable { .. }
            | MuxEvent::PeerSettings { .. }
            | MuxEvent::GoAway { .. }
            | MuxEvent::Pong
            | MuxEvent::Drained
            | MuxEvent::Closed(_) => {}
        }
    }

    /// The stream under a tunnel is no more. What came on it counts first: it may say why.
    pub(super) fn carrier_broke(&mut self, now: Now, id: TunnelId, fault: Fault) {
        while self.feed(now, id) {
            if let Some(entry) = self.tunnels.get_mut(id) {
                entry.tunnel.turn();
            }
        }
        if let Some(ride) = self.tunnels.get_mut(id).and_then(TunnelEntry::ride_mut) {
            let on = ride.on.take();
            if let Some((outer, stream)) = on {
                self.reset_stream(now, outer, stream, false);
            }
        }
        self.tunnel_broke(now, id, fault);
    }

    /// Gives a tunnel what came for it on its stream, as far as it takes that; true if it took anything.
    pub(super) fn feed(&mut self, now: Now, id: TunnelId) -> bool {
        let Some(entry) = self.tunnels.get_mut(id) else { return false };
        let wants = entry.wants_read();
        let TunnelEntry { tunnel, carrier: Carrier::Stream(ride), .. } = entry else { return false };
        let mut taken = 0;
        while wants && let Some(piece) = ride.inbox.front_mut() {
            let space = tunnel.read_space(&mut self.tunnel_block);
            let len = piece.len().min(space.len());
            if len == 0 && !piece.is_empty() {
                break;
            }
            piece.split_to(len).copy_to_slice(space.get_mut(..len).unwrap_or_default());
            tunnel.received(&mut self.tunnel_block, len);
            taken += len;
            if piece.is_empty() {
                ride.inbox.pop_front();
            }
        }
        let (on, is_over) = (ride.on, ride.ended && ride.inbox.is_empty() && !entry.heard_end);
        planted!(InnerCreditKept, on = None);
        if let Some((outer, stream)) = on.filter(|_| taken > 0) {
            self.drop_bytes(outer, stream, taken);
            self.count_passed(now, outer, taken);
        }
        if is_over {
            self.tunnel_ended(id);
        }
        taken > 0
    }

    /// Puts what a tunnel has to say on its stream, as far as that has room.
    pub(super) fn carry(&mut self, id: TunnelId) {
        loop {
            let Some(entry) = self.tunnels.get(id).filter(|t| t.phase >= TunnelPhase::Handshaking) else {
                return;
            };
            let Some((outer, stream)) = entry.ride().and_then(|ride| ride.on) else { return };
            let Some(queued) = self.tunnels.get(outer).map(|outer| outer.tunnel.mux().queued(stream)) else {
                return;
            };
            if queued >= self.config.limits.relay_queue {
                return;
            }
            let Some(entry) = self.tunnels.get_mut(id) else { return };
            if entry.tunnel.seal() {
                self.dirty_tunnels.insert(id);
            }
            let mut slices = Slices::new();
            entry.tunnel.write_slices(&mut slices);
            let Some(bytes) = slices.as_slice().first().map(|slice| Bytes::copy_from_slice(slice)) else {
                return;
            };
            entry.tunnel.wrote(bytes.len());
            if let Some(outer) = self.tunnels.get_mut(outer) {
                // A stream that is over takes nothing; its end is told by an event of its own.
                let _over = outer.tunnel.mux_mut().send(stream, bytes);
            }
            self.dirty_tunnels.insert(outer);
        }
    }

    /// Says FIN after all that a tunnel has said.
    pub(super) fn finish_carrier(&mut self, id: TunnelId) {
        match self.tunnels.get(id).map(|entry| (entry.socket(), entry.ride().and_then(|ride| ride.on))) {
            Some((Some(socket), _)) => {
                self.outputs.push_back(Output::Finish { socket });
                self.dirty_sockets.insert(socket);
            }
            Some((None, Some((outer, stream)))) => {
                if let Some(outer) = self.tunnels.get_mut(outer) {
                    let _over = outer.tunnel.mux_mut().finish(stream);
                }
                self.dirty_tunnels.insert(outer);
            }
            Some((None, None)) | None => {}
        }
    }

    /// A tunnel that is no more lets go of what carried it.
    pub(super) fn close_carrier(&mut self, id: TunnelId, carrier: Carrier, mode: CloseMode) {
        match carrier {
            Carrier::Socket(socket) => self.close_socket(socket, mode),
            Carrier::Stream(Ride { on: None, .. }) => self.pool.cancelled(Waiter::Tunnel(id)),
            Carrier::Stream(Ride { on: Some((outer, stream)), .. }) if mode == CloseMode::Abort => {
                self.reset_stream(self.latest, outer, stream, false);
            }
            Carrier::Stream(Ride { on: Some((outer, stream)), inbox, .. }) => {
                let left: usize = inbox.iter().map(Bytes::len).sum();
                self.drop_bytes(outer, stream, left);
                if let Some(outer) = self.tunnels.get_mut(outer) {
                    let _over = outer.tunnel.mux_mut().finish(stream);
                }
                self.forget_stream(outer, stream);
            }
        }
    }

    /// Whether what carries a tunnel is there, so that its last words arrive.
    pub(super) fn has_carrier(&self, entry: &TunnelEntry<L>) -> bool {
        match &entry.carrier {
            Carrier::Socket(socket) => self.sockets.get(*socket).is_some_and(|socket| socket.connected),
            Carrier::Stream(ride) => ride.on.is_some() && entry.phase > TunnelPhase::Connecting,
        }
    }

    /// What carries this tunnel is to be looked at in this turn.
    pub(super) fn mark_carrier(&mut self, id: TunnelId) {
        match self.tunnels.get(id).map(TunnelEntry::socket) {
            Some(Some(socket)) => self.dirty_sockets.insert(socket),
            Some(None) => self.dirty_tunnels.insert(id),
            None => {}
        }
    }

    /// The tunnels whose streams of this one carry them.
    pub(super) fn riders(&self, id: TunnelId) -> Vec<TunnelId> {
        let users = self.tunnels.get(id).into_iter().flat_map(|entry| entry.streams.values());
        let tunnels = users.filter_map(|user| match user {
            StreamUser::Flow(..) => None,
            StreamUser::Tunnel(id) => Some(*id),
        });
        tunnels.collect()
    }

    /// Ends tunnels of which nobody has a stream where others wait for what carries them: the longest idle first. What is kept
    /// for later must not be in the way of what is wanted now.
    pub(super) fn make_room(&mut self, now: Now, key: &PoolKey) {
        let wanted = self.pool.crowded(key);
        planted!(IdleKeepsRoom => return);
        if wanted == 0 {
            return;
        }
        let riders: Vec<TunnelId> = self.pool.open(key).flat_map(|outer| self.riders(outer)).collect();
        let idle = |id: &TunnelId| {
            let entry = self.tunnels.get(*id).filter(|entry| entry.phase >= TunnelPhase::Open)?;
            entry.is_empty().then_some((entry.idle_since, *id, entry.phase > TunnelPhase::Open))
        };
        let (leaving, mut staying): (Vec<_>, Vec<_>) =
            riders.iter().filter_map(idle).partition(|(_, _, leaving)| *leaving);
        staying.sort_unstable();
        for (_, id, _) in staying.into_iter().take(wanted.saturating_sub(leaving.len())) {
            self.retire_tunnel(now, id);
        }
    }

    /// A tunnel may have become idle: whoever waits for what carries it need not wait for its end.
    pub(super) fn yield_carrier(&mut self, now: Now, id: TunnelId) {
        let Some(entry) = self.tunnels.get(id).filter(|entry| entry.is_empty()) else { return };
        if let Some(key) = entry.key.as_ref().and_then(PoolKey::outer_key) {
            self.make_room(now, &key);
        }
    }

    /// Whether what carries a tunnel takes no more streams: then it takes none either.
    pub(super) fn carrier_is_retired(&self, id: TunnelId) -> bool {
        let outer = self.tunnels.get(id).and_then(TunnelEntry::outer);
        outer.is_some_and(|outer| self.tunnels.get(outer).is_none_or(|outer| outer.retired))
    }
}
