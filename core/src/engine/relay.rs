//! Two ends joined: bytes, half-close both ways, aborts that stay aborts (node.md B6), credit (B8).

use bytes::Bytes;

use super::Engine;
use super::boundary::{CloseMode, Output, SocketId};
use super::flow::{End, FlowId, Phase, Side};
use super::sockets::{Finish, User};
use super::timers::Timer;
use super::tunnels::Waiter;
use crate::fault::{Fault, IoFault, Stage, reset_code};
use crate::hbone::mux::ResetCause;
use crate::lies::{Lies, StreamEnd};
use crate::telemetry::{Event, Reason};
use crate::time::{Now, Time};

impl<L: Lies> Engine<L> {
    /// Bytes arrived at one end; they go to the other.
    pub(super) fn bytes_from(&mut self, now: Now, id: FlowId, side: Side, bytes: Bytes) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        flow.active = now.time;
        let to = side.other();
        if *flow.deaf.of(to) {
            // Nobody takes these. The writer learns it once what it is owed was delivered, when its connection closes.
            return;
        }
        *flow.bytes.of_mut(side) += bytes.len() as u64;
        planted!(CreditOnArrival => if let End::Stream(tunnel, stream) = flow.end(side)
            && let Some(entry) = self.tunnels.get_mut(tunnel)
        {
            entry.tunnel.mux_mut().release(stream, bytes.len());
        });
        if flow.phase != Phase::Relaying {
            flow.early_bytes += bytes.len();
            self.mark_dirty(id, side);
        }
        let Some(flow) = self.flows.get_mut(id) else { return };
        match flow.end(to) {
            // In one place, so that they stay in order; and a CONNECT without an answer may have to be made again elsewhere.
            _ if flow.phase != Phase::Relaying => {
                self.held_bytes += bytes.len();
                flow.early.push_back(bytes);
            }
            End::None => {}
            End::Socket(socket) => {
                self.push(socket, bytes);
                // A driver goes on reading only where it was told to stop before: interest that never went cannot come back.
                self.mark_dirty(id, side);
            }
            End::Stream(tunnel, stream) => {
                let Some(entry) = self.tunnels.get_mut(tunnel) else { return };
                // A refused piece belongs to a stream that is over, whose end is told by an event of its own.
                let _over = entry.tunnel.mux_mut().send(stream, bytes);
                self.dirty_tunnels.insert(tunnel);
                self.mark_dirty(id, side);
            }
        }
    }

    /// One end sent FIN or END_STREAM after its last byte.
    pub(super) fn end_from(&mut self, now: Now, id: FlowId, side: Side) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        if *flow.ended.of(side) {
            return;
        }
        *flow.ended.of_mut(side) = true;
        flow.active = now.time;
        // A CONNECT without an answer is not ended either: it may have to be made again elsewhere.
        let opening = flow.phase != Phase::Relaying && matches!(flow.end(side.other()), End::Stream(..));
        if !opening {
            self.pass_end(now, id, side.other());
        }
        self.mark_dirty(id, side);
        self.arm_relay(id);
    }

    /// The other end has sent its last byte: this one is told so after it.
    fn pass_end(&mut self, now: Now, id: FlowId, to: Side) {
        match self.flows.get(id).map(|flow| flow.end(to)) {
            None | Some(End::None) => {}
            Some(End::Socket(socket)) => {
                if let Some(entry) = self.sockets.get_mut(socket)
                    && entry.finish == Finish::No
                {
                    entry.finish = Finish::WhenDrained;
                }
                self.try_finish(now, id, to);
            }
            Some(End::Stream(tunnel, stream)) => {
                let end = self.lies.end(StreamEnd::Finish);
                if let Some(entry) = self.tunnels.get_mut(tunnel) {
                    match end {
                        StreamEnd::Finish => {
                            let _over = entry.tunnel.mux_mut().finish(stream);
                        }
                        StreamEnd::Reset(code) => entry.tunnel.mux_mut().reset(stream, code),
                    }
                    self.dirty_tunnels.insert(tunnel);
                }
                self.finished(now, id, to);
            }
        }
    }

    /// Passes FIN on to a socket whose queue has drained.
    pub(super) fn try_finish(&mut self, now: Now, id: FlowId, side: Side) {
        let Some(End::Socket(socket)) = self.flows.get(id).map(|f| f.end(side)) else { return };
        planted!(FinBeforeLastBytes => if let Some(entry) = self.sockets.get_mut(socket) { entry.queue.clear() });
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        if entry.finish == Finish::WhenDrained && entry.queue.is_empty() && entry.connected {
            entry.finish = Finish::Sent;
            self.outputs.push_back(Output::Finish { socket });
            self.finished(now, id, side);
        }
    }

    fn finished(&mut self, now: Now, id: FlowId, side: Side) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        *flow.finished.of_mut(side) = true;
        self.conclude_if_over(now, id);
    }

    /// A flow is over when FIN was passed on both ways, or one way where the other has nobody left to take anything.
    fn conclude_if_over(&mut self, now: Now, id: FlowId) {
        let Some(flow) = self.flows.get(id) else { return };
        let one_way =
            |side: Side| *flow.deaf.of(side) && *flow.ended.of(side) && *flow.finished.of(side.other());
        planted!(HalfClosedIsClosed => if flow.finished.near || flow.finished.far {
            return self.conclude(now, id, CloseMode::Graceful, Reason::Completed);
        });
        if flow.finished.near && flow.finished.far {
            self.conclude(now, id, CloseMode::Graceful, Reason::Completed);
        } else if let Some(side) = [Side::Near, Side::Far].into_iter().find(|side| one_way(*side)) {
            self.conclude(now, id, CloseMode::Discard, Self::reset_by(side));
        }
    }

    /// The kernel took bytes on this side: credit for whoever they came from.
    pub(super) fn wrote_to(&mut self, now: Now, id: FlowId, side: Side, len: usize) {
        planted!(CreditLeaks, len = len / 2);
        let Some(flow) = self.flows.get_mut(id) else { return };
        flow.active = now.time;
        let of_header = if side == Side::Far { len.min(flow.header_left) } else { 0 };
        flow.header_left -= of_header;
        let len = len - of_header;
        planted!(ReaderNotWoken => if matches!(flow.end(side.other()), End::Socket(_)) {
            return self.try_finish(now, id, side);
        });
        match flow.end(side.other()) {
            End::Stream(tunnel, stream) => {
                if let Some(entry) = self.tunnels.get_mut(tunnel) {
                    entry.tunnel.mux_mut().release(stream, len);
                    self.dirty_tunnels.insert(tunnel);
                    self.count_passed(now, tunnel, len);
                }
            }
            End::Socket(socket) => {
                self.dirty_sockets.insert(socket);
            }
            End::None => {}
        }
        self.try_finish(now, id, side);
        self.try_join(id);
    }

    /// A socket of the flow broke.
    pub(super) fn end_broke(&mut self, now: Now, id: FlowId, side: Side, fault: IoFault) {
        self.drop_queue(id, side);
        let Some(flow) = self.flows.get(id) else { return };
        let reason = match (&flow.phase, fault) {
            (Phase::Dialling, _) if side == Side::Far => {
                return self.attempt_failed(now, &[id], &Fault::Io(fault));
            }
            (_, IoFault::Reset) => Self::reset_by(side),
            (_, fault) => Reason::Failed(Fault::Io(fault)),
        };
        self.fail(now, id, reason);
    }

    /// The peer reset the flow's stream.
    pub(super) fn stream_reset(
        &mut self,
        now: Now,
        id: FlowId,
        side: Side,
        cause: ResetCause,
        after_end: bool,
    ) {
        planted!(ResetAfterEndDestroys => if after_end {
            return self.fail(now, id, Self::reset_by(side));
        });
        let Some(flow) = self.flows.get_mut(id) else { return };
        if after_end || *flow.ended.of(side) {
            // After END_STREAM a reset closes only the sending half: bytes and FIN are delivered first (node.md B6).
            *flow.deaf.of_mut(side) = true;
            return self.conclude_if_over(now, id);
        }
        let reason = match cause {
            ResetCause::Peer { code: reset_code::CONNECT_ERROR } => Self::reset_by(side),
            ResetCause::Peer { code } | ResetCause::Protocol { code } => {
                Reason::Failed(Fault::StreamReset(code))
            }
            ResetCause::Refused => Reason::Failed(Fault::StreamReset(reset_code::REFUSED_STREAM)),
            ResetCause::Tunnel => Reason::Failed(Fault::StreamReset(reset_code::CONNECT_ERROR)),
        };
        self.fail(now, id, reason);
    }

    fn reset_by(side: Side) -> Reason {
        match side {
            Side::Near => Reason::SourceReset,
            Side::Far => Reason::DestinationReset,
        }
    }

    /// Both ends are there: from here on bytes move.
    pub(super) fn start_relay(&mut self, now: Now, id: FlowId) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        flow.phase = Phase::Relaying;
        flow.active = now.time;
        planted!(EarlyCountedTwice => flow.bytes.near += flow.early_bytes as u64);
        let connection = flow.connection.clone();
        let (early, far, header) = (std::mem::take(&mut flow.early), flow.far, flow.header.take());
        flow.header_left = header.as_ref().map_or(0, Bytes::len);
        planted!(
            EarlyBytesReversed,
            early = early.into_iter().rev().collect::<std::collections::VecDeque<_>>()
        );
        // In one piece: a stream's queue takes one, however long, and may refuse a second.
        let early = Bytes::from(early.into_iter().fold(Vec::new(), |mut whole, bytes| {
            whole.extend_from_slice(&bytes);
            whole
        }));
        self.held_bytes = self.held_bytes.saturating_sub(early.len());
        if let (Some(header), End::Socket(far)) = (header, far) {
            self.push(far, header);
        }
        match far {
            End::Socket(far) if !early.is_empty() => self.push(far, early),
            End::Stream(tunnel, stream) if !early.is_empty() => {
                if let Some(entry) = self.tunnels.get_mut(tunnel) {
                    let _over = entry.tunnel.mux_mut().send(stream, early);
                    self.dirty_tunnels.insert(tunnel);
                }
            }
            End::None | End::Socket(_) | End::Stream(..) => {}
        }
        self.report(Event::Opened(connection));
        self.endpoint_reached(id);
        planted!(EarlyFinLost => {
            self.mark_dirty(id, Side::Near);
            self.mark_dirty(id, Side::Far);
            return self.arm_relay(id);
        });
        if self.flows.get(id).is_some_and(|f| f.ended.near) {
            self.pass_end(now, id, Side::Far);
        }
        self.mark_dirty(id, Side::Near);
        self.mark_dirty(id, Side::Far);
        self.arm_relay(id);
        self.try_join(id);
    }

    /// Asks the driver to relay two plain sockets in the kernel, once both queues are empty.
    fn try_join(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get(id) else { return };
        let (End::Socket(a), End::Socket(b)) = (flow.near, flow.far) else { return };
        if flow.phase != Phase::Relaying || flow.joined || flow.never_join || !self.config.join {
            return;
        }
        let idle = |socket| {
            self.sockets.get(socket).is_some_and(|s| s.queue.is_empty() && s.finish != Finish::WhenDrained)
        };
        if !idle(a) || !idle(b) || flow.held.is_some() || self.stale.contains(&id) {
            return;
        }
        if let Some(flow) = self.flows.get_mut(id) {
            flow.joined = true;
            self.outputs.push_back(Output::Join { a, b });
            self.dirty_sockets.extend([a, b]);
        }
    }

    pub(super) fn sockets_moved(&mut self, now: Now, from: SocketId, to: SocketId, len: u64) {
        let (Some((id, side)), Some((same, _))) = (self.flow_of(from), self.flow_of(to)) else { return };
        if id != same {
            return self.report(Event::Misuse("bytes moved between sockets of different flows"));
        }
        if let Some(flow) = self.flows.get_mut(id) {
            *flow.bytes.of_mut(side) += len;
            flow.active = now.time;
        }
    }

    pub(super) fn sockets_parted(&mut self, a: SocketId, b: SocketId) {
        for socket in [a, b] {
            if let Some((id, side)) = self.flow_of(socket) {
                if let Some(flow) = self.flows.get_mut(id) {
                    flow.joined = false;
                    flow.never_join = true;
                }
                self.mark_dirty(id, side);
            }
        }
    }

    fn flow_of(&self, socket: SocketId) -> Option<(FlowId, Side)> {
        match self.sockets.get(socket)?.user {
            User::Flow(flow, side) => Some((flow, side)),
            User::Tunnel(_) | User::Leaving | User::Nobody => None,
        }
    }

    /// The interest of this end's socket may have changed.
    pub(super) fn mark_dirty(&mut self, id: FlowId, side: Side) {
        if let Some(End::Socket(socket)) = self.flows.get(id).map(|f| f.end(side)) {
            self.dirty_sockets.insert(socket);
        }
    }

    /// When this flow is next looked at: the dial has a deadline, half-closed, idle and very old connections have timers
    /// (node.md B7), and a hold ends before any of them. Phases before those keep the timer that they set.
    pub(super) fn arm_relay(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get(id) else { return };
        let deadline = match flow.phase {
            Phase::Waiting(_) | Phase::Pooled(_) | Phase::Opening => return,
            Phase::Dialling => Some(flow.asked.after(self.config.limits.tcp_connect)),
            Phase::Relaying => self.relay_deadline(id).map(|(at, _)| at),
        };
        match flow.held.into_iter().chain(deadline).min() {
            Some(at) => self.timers.set(Timer::Flow(id), at),
            None => self.timers.clear(Timer::Flow(id)),
        }
    }

    fn relay_deadline(&self, id: FlowId) -> Option<(Time, Stage)> {
        let flow = self.flows.get(id)?;
        let limits = &self.config.limits;
        let half_closed = flow.ended.near != flow.ended.far;
        [
            (half_closed && !limits.half_closed_idle.is_zero())
                .then(|| (flow.active.after(limits.half_closed_idle), Stage::HalfClosed)),
            (!limits.connection_idle.is_zero())
                .then(|| (flow.active.after(limits.connection_idle), Stage::Idle)),
            (!limits.connection_max_age.is_zero())
                .then(|| (flow.opened.after(limits.connection_max_age), Stage::Age)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// A relaying flow's timer fired; most often it has moved bytes since and is armed anew.
    pub(super) fn relay_timer(&mut self, now: Now, id: FlowId) {
        planted!(TimerNotRearmed => if self.relay_deadline(id).is_none_or(|(at, _)| at > now.time) {
            return;
        });
        match self.relay_deadline(id) {
            Some((at, stage)) if at <= now.time => self.fail(now, id, Reason::Failed(Fault::Timeout(stage))),
            _ => self.arm_relay(id),
        }
    }

    /// Ends a flow other than in order: whoever is still there sees RST, or the status that says why.
    pub(super) fn fail(&mut self, now: Now, id: FlowId, reason: Reason) {
        let Some(flow) = self.flows.get(id) else { return };
        let (near, far, relaying) = (flow.near, flow.far, flow.phase == Phase::Relaying);
        // What an end sent before it reset the connection, or its tunnel was lost, is delivered first, unless memory runs low.
        // What policy, a deadline or a limit ends is ended at once, and so is what waits for policy: no end may be a way
        // around it (node.md B4, B5).
        let flush = relaying
            && delivers(&reason)
            && self.may_move(id)
            && self.held_bytes <= self.config.limits.memory_low;
        for (end, may_answer) in [(near, !relaying), (far, false)] {
            match (end, &reason) {
                (End::None, _) => {}
                (End::Socket(socket), _) if flush => self.abort_when_drained(now, socket),
                (End::Socket(socket), _) => self.close_socket(socket, CloseMode::Abort),
                (End::Stream(tunnel, stream), Reason::Failed(fault)) if may_answer => {
                    self.refuse_stream(tunnel, stream, fault.status());
                }
                (End::Stream(tunnel, stream), _) => self.reset_stream(now, tunnel, stream, flush),
            }
        }
        self.forget_flow(now, id, reason);
    }

    /// Ends a flow in order.
    fn conclude(&mut self, now: Now, id: FlowId, mode: CloseMode, reason: Reason) {
        let Some(flow) = self.flows.get(id) else { return };
        for end in [flow.near, flow.far] {
            match end {
                End::None => {}
                End::Socket(socket) => self.close_socket(socket, mode),
                End::Stream(tunnel, stream) => self.forget_stream(tunnel, stream),
            }
        }
        self.forget_flow(now, id, reason);
    }

    fn forget_flow(&mut self, now: Now, id: FlowId, reason: Reason) {
        self.timers.clear(Timer::Flow(id));
        self.waiting.remove(&id);
        self.stale.remove(&id);
        self.no_longer_judged(id);
        let Some(flow) = self.flows.remove(id) else { return };
        let early: usize = flow.early.iter().map(bytes::Bytes::len).sum();
        self.uncount_endpoint(flow.endpoint.clone());
        planted!(EarlyMemoryKept, early = early / 2);
        self.held_bytes = self.held_bytes.saturating_sub(early);
        if matches!(flow.phase, Phase::Pooled(_)) {
            self.pool.cancelled(Waiter::Flow(id));
        }
        planted!(SilentEnd => if matches!(flow.phase, Phase::Waiting(_)) {
            return;
        });
        self.report(Event::Closed {
            connection: flow.connection,
            bytes_sent: flow.bytes.near,
            bytes_received: flow.bytes.far,
            duration: now.time.since(flow.opened),
            reason,
        });
    }
}

/// Whether bytes that were taken before the end still go to where they were meant for (node.md B6).
fn delivers(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::SourceReset
            | Reason::DestinationReset
            | Reason::Failed(Fault::StreamReset(_) | Fault::TunnelLost(_) | Fault::Io(_))
    )
}
