//! Streams of tunnels: opened for our flows, requested by peers, their bytes and ends.

use super::{StreamUser, TunnelId, TunnelPhase, Waiter};
use crate::capture::Decision;
use crate::engine::Engine;
use crate::engine::flow::{End, FlowId, Phase, Side};
use crate::engine::inbound::baggage_of;
use crate::engine::timers::Timer;
use crate::fault::{Fault, Stage};
use crate::hbone::connect::{ConnectRequest, Forwarded, MAX_NETWORK_BYTES, TraceParent};
use crate::hbone::mux::{MuxEvent, MuxFault, MuxRefusal, ResetCause, StreamId};
use crate::identity::IdentityFault;
use crate::lies::Lies;
use crate::telemetry::{Event, Reason};
use crate::time::Now;

impl<L: Lies> Engine<L> {
    pub(super) fn mux_event(&mut self, now: Now, id: TunnelId, event: MuxEvent) {
        if let Some(rider) = self.rider_of(id, &event) {
            return self.carrier_event(now, rider, id, event);
        }
        match event {
            MuxEvent::Request { stream, request, ignored } => {
                self.stream_requested(now, id, stream, request, ignored);
            }
            MuxEvent::Response { stream, response, .. } => {
                self.stream_answered(now, id, stream, response.status)
            }
            MuxEvent::Data { stream, bytes } => match self.user_of(id, stream) {
                Some((flow, side)) => self.bytes_from(now, flow, side, bytes),
                None => self.drop_bytes(id, stream, bytes.len()),
            },
            MuxEvent::End { stream } => {
                if let Some((flow, side)) = self.user_of(id, stream) {
                    self.end_from(now, flow, side);
                }
            }
            MuxEvent::Reset { stream, cause, after_end } => {
                let Some((flow, side)) = self.user_of(id, stream) else { return };
                let opening = self.flows.get(flow).is_some_and(|f| f.phase == Phase::Opening && !f.retried);
                if cause == ResetCause::Refused && opening {
                    return self.retry(now, flow, id, stream);
                }
                // A lost tunnel has a reason, which follows.
                if cause != ResetCause::Tunnel {
                    self.stream_reset(now, flow, side, cause, after_end);
                }
            }
            MuxEvent::Writable { stream } => {
                if let Some((flow, side)) = self.user_of(id, stream) {
                    self.mark_dirty(flow, side.other());
                }
            }
            MuxEvent::PeerSettings { .. } => self.peer_settings(now, id),
            MuxEvent::GoAway { code, .. } => match self.tunnels.get(id).map(|t| t.phase) {
                // Before it was open: it never will be, and whoever waits for it learns it.
                Some(phase) if phase < TunnelPhase::Open => {
                    self.lose_tunnel(now, id, Fault::Http2(MuxFault::Peer { code }));
                }
                _ => self.retire_tunnel(now, id),
            },
            MuxEvent::Pong => self.pong(now, id),
            MuxEvent::Drained => self.shut_tunnel(now, id),
            MuxEvent::Closed(fault) => self.lose_tunnel(now, id, Fault::Http2(fault)),
        }
    }

    fn user_of(&self, id: TunnelId, stream: StreamId) -> Option<(FlowId, Side)> {
        match self.tunnels.get(id)?.streams.get(&stream)? {
            StreamUser::Flow(flow, side) => Some((*flow, *side)),
            StreamUser::Tunnel(_) => None,
        }
    }

    /// The tunnel that the stream of an event carries, if it carries one.
    fn rider_of(&self, id: TunnelId, event: &MuxEvent) -> Option<TunnelId> {
        let stream = match event {
            MuxEvent::Response { stream, .. }
            | MuxEvent::Data { stream, .. }
            | MuxEvent::End { stream }
            | MuxEvent::Reset { stream, .. }
            | MuxEvent::Writable { stream } => stream,
            MuxEvent::Request { .. }
            | MuxEvent::PeerSettings { .. }
            | MuxEvent::GoAway { .. }
            | MuxEvent::Pong
            | MuxEvent::Drained
            | MuxEvent::Closed(_) => return None,
        };
        match self.tunnels.get(id)?.streams.get(stream)? {
            StreamUser::Flow(..) => None,
            StreamUser::Tunnel(rider) => Some(*rider),
        }
    }

    /// Bytes of a stream that were taken, or that nobody waits for any more: credit goes back, so that others are not held up.
    pub(super) fn drop_bytes(&mut self, id: TunnelId, stream: StreamId, len: usize) {
        if let Some(entry) = self.tunnels.get_mut(id) {
            entry.tunnel.mux_mut().release(stream, len);
            self.dirty_tunnels.insert(id);
        }
    }

    /// The peer's SETTINGS arrived: the tunnel is open, or has another limit, of which the turn's end tells the pool.
    fn peer_settings(&mut self, now: Now, id: TunnelId) {
        let Some(entry) = self.tunnels.get_mut(id) else { return };
        if entry.phase != TunnelPhase::Preface {
            return;
        }
        let report = entry.peer.as_ref().map(|peer| Event::TunnelOpened {
            peer: entry.origin.peer,
            identity: peer.id.clone(),
            side: entry.reporter(),
        });
        self.leave_half_open(id);
        if let Some(entry) = self.tunnels.get_mut(id) {
            entry.phase = TunnelPhase::Open;
            entry.idle_since = now.time;
        }
        if let Some(report) = report {
            self.report(report);
        }
        self.start_keepalive(now, id);
        if self.draining.is_some() && self.tunnels.get(id).is_some_and(|t| t.key.is_none()) {
            self.retire_tunnel(now, id);
        }
    }

    /// Tells the pool how many more streams this tunnel takes; waiters get theirs at once (node.md B3).
    pub(super) fn offer_room(&mut self, now: Now, id: TunnelId) {
        let Some(entry) = self.tunnels.get_mut(id) else { return };
        if entry.key.is_none() || entry.phase != TunnelPhase::Open {
            return;
        }
        if entry.retired {
            if entry.is_empty() {
                self.shut_tunnel(now, id);
            }
            return;
        }
        let mux = entry.tunnel.mux();
        let own = self.config.limits.streams_per_tunnel.saturating_sub(mux.open_streams());
        let room = own.min(mux.room());
        planted!(FullForEver => if entry.room == 0 && !entry.streams.is_empty() {
            return;
        });
        if room == entry.room && room != 0 {
            return self.yield_carrier(now, id);
        }
        entry.room = room;
        for waiter in self.pool.has_room(id, room) {
            match waiter {
                Waiter::Flow(flow) => self.open_stream(now, flow, id),
                Waiter::Tunnel(rider) => self.open_carrier(now, rider, id),
            }
        }
        if let Some(key) = self.tunnels.get(id).and_then(|t| t.key.clone()) {
            self.dial_tunnels(now, &key);
        }
        // One that was dialled before a drain began, or a rotation, has served those that waited for it.
        let outdated = self.tunnels.get(id).is_some_and(|t| t.outdated) || self.carrier_is_retired(id);
        if self.draining.is_some() || outdated {
            self.retire_tunnel(now, id);
        }
        self.yield_carrier(now, id);
    }

    /// Sends CONNECT for a flow (node.md rows 31 to 34).
    pub(in crate::engine) fn open_stream(&mut self, now: Now, id: FlowId, tunnel: TunnelId) {
        if self.validity(now, tunnel).is_err() {
            return self.seek_another(now, id, tunnel);
        }
        let Some(flow) = self.flows.get(id) else { return };
        let Some(Decision::Tunnel(to)) = flow.decision.as_deref() else { return };
        let mut request = ConnectRequest::new(to.authority.clone());
        request.baggage = flow.connection.source_workload.as_ref().map(baggage_of);
        request.forwarded = Some(Forwarded {
            client: Some(flow.origin.peer),
            host: to.service.as_ref().map(|service| service.key.hostname.clone()),
        });
        let network = &self.local.network;
        if to.inner.is_some() && !network.is_empty() && network.len() <= MAX_NETWORK_BYTES {
            request.network = Some(network.clone());
        }
        let trace = self.fresh_trace();
        let trace_id = trace.trace;
        request.trace = Some(trace);
        match self.request(tunnel, &request, StreamUser::Flow(id, Side::Far)) {
            Ok(stream) => {
                let peer = self.tunnels.get(tunnel).and_then(|t| t.peer.as_ref()).map(|peer| peer.id.clone());
                if let Some(flow) = self.flows.get_mut(id) {
                    flow.far = End::Stream(tunnel, stream);
                    flow.phase = Phase::Opening;
                    flow.asked = now.time;
                    let connection = flow.connection_mut();
                    connection.destination_identity = peer;
                    connection.trace = Some(trace_id);
                }
                self.timers.set(Timer::Flow(id), now.time.after(self.config.limits.connect_response));
            }
            Err(MuxRefusal::Malformed(_)) => {
                self.fail(now, id, Reason::Failed(Fault::Request("the request cannot be written")));
            }
            Err(MuxRefusal::Full | MuxRefusal::Closing | MuxRefusal::Stream) => {
                self.seek_another(now, id, tunnel)
            }
        }
    }

    /// Sends CONNECT on a tunnel, for whom the stream then is.
    pub(super) fn request(
        &mut self,
        tunnel: TunnelId,
        request: &ConnectRequest,
        user: StreamUser,
    ) -> Result<StreamId, MuxRefusal> {
        let request = request.to_http().map(|mut request| {
            self.lies.request(&mut request);
            request
        });
        let entry = self.tunnels.get_mut(tunnel).ok_or(MuxRefusal::Closing)?;
        self.dirty_tunnels.insert(tunnel);
        let request = request.map_err(MuxRefusal::Malformed)?;
        let stream = entry.tunnel.mux_mut().open(request)?;
        entry.streams.insert(stream, user);
        entry.room = entry.room.saturating_sub(1);
        Ok(stream)
    }

    /// A trace of its own for each request (node.md row 34).
    pub(super) fn fresh_trace(&mut self) -> TraceParent {
        // An id of zeros is none (W3C Trace Context section 3.2.2.3).
        let high = u128::from(self.trace_draws.next_u64()) << 64;
        planted!(AmbientTrace, high = high ^ (u128::from(crate::planted::count()) << 64));
        let trace = (high | u128::from(self.trace_draws.next_u64())).max(1).to_be_bytes();
        let parent = self.trace_draws.next_u64().max(1).to_be_bytes();
        TraceParent { trace, parent, flags: 0 }
    }

    /// Fails where a certificate of a tunnel, or of the one that carries it, is past its end.
    pub(super) fn validity(&self, now: Now, id: TunnelId) -> Result<(), IdentityFault> {
        let Some(entry) = self.tunnels.get(id) else { return Ok(()) };
        entry.expired(now.wall)?;
        let outer = entry.outer().and_then(|outer| self.tunnels.get(outer));
        outer.map_or(Ok(()), |outer| outer.expired(now.wall))
    }

    /// The tunnel takes no stream after all: it leaves the pool, and the flow goes back in line.
    fn seek_another(&mut self, now: Now, id: FlowId, tunnel: TunnelId) {
        let key = self.tunnels.get(tunnel).and_then(|t| t.key.clone());
        self.retire_tunnel(now, tunnel);
        if let Some(key) = key {
            self.acquire(now, id, key);
        }
    }

    fn stream_answered(&mut self, now: Now, id: TunnelId, stream: StreamId, status: u16) {
        let Some((flow, Side::Far)) = self.user_of(id, stream) else { return };
        if self.flows.get(flow).is_none_or(|f| f.phase != Phase::Opening) {
            return;
        }
        self.timers.clear(Timer::Flow(flow));
        match status {
            200 => self.start_relay(now, flow),
            status => {
                let fault = Fault::Status(status);
                self.endpoint_failed(now, &[flow], &fault);
                self.fail(now, flow, Reason::Failed(fault));
            }
        }
    }

    /// CONNECT provably did nothing: one more try.
    fn retry(&mut self, now: Now, flow: FlowId, tunnel: TunnelId, stream: StreamId) {
        self.forget_stream(tunnel, stream);
        self.connect_again(now, flow);
    }

    /// CONNECT was not answered in time. A peer that has said nothing at all since then is dead to everybody who waits for
    /// it: they fail together, and the tunnel takes no more streams (node.md B2).
    pub(in crate::engine) fn connect_timed_out(&mut self, now: Now, id: FlowId) {
        let Some(flow) = self.flows.get(id) else { return };
        let (End::Stream(tunnel, _), sent) = (flow.far, flow.asked) else { return };
        let fault = Fault::Timeout(Stage::ConnectResponse);
        self.retire_tunnel(now, tunnel);
        let silent = self.tunnels.get(tunnel).is_some_and(|t| t.last_received < sent);
        planted!(TimeoutTellsOne, silent = false);
        let mut failed = vec![id];
        if silent && let Some(entry) = self.tunnels.get(tunnel) {
            let flows = entry.streams.values().filter_map(|user| match user {
                StreamUser::Flow(flow, _) => Some(*flow),
                StreamUser::Tunnel(_) => None,
            });
            failed.extend(flows.filter(|other| {
                *other != id && self.flows.get(*other).is_some_and(|f| f.phase == Phase::Opening)
            }));
        }
        self.endpoint_failed(now, &failed, &fault);
        for flow in failed {
            self.fail(now, flow, Reason::Failed(fault.clone()));
        }
    }

    /// The flow no longer uses the stream; what it has queued is still sent.
    pub(in crate::engine) fn forget_stream(&mut self, id: TunnelId, stream: StreamId) {
        let latest = self.latest.time;
        if let Some(entry) = self.tunnels.get_mut(id) {
            entry.streams.remove(&stream);
            if entry.streams.is_empty() {
                entry.idle_since = latest;
            }
            self.dirty_tunnels.insert(id);
        }
    }
}
