//! Tunnels of an engine: dialled and accepted, authenticated, kept alive, retired, lost.

mod carrier;
mod keepalive;
mod streams;
mod window;

pub(super) use carrier::Carrier;
use carrier::Ride;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;

use super::Engine;
use super::boundary::{CloseMode, Origin, Output, PodId, SocketId};
use super::flow::{Flow, FlowId, Phase, Side};
use super::sockets::{SocketEntry, User};
use super::timers::Timer;
use crate::fault::{Fault, LimitName, Stage};
use crate::hbone::connect::Authority;
use crate::hbone::mux::{ResetCause, StreamId};
use crate::hbone::tunnel::{Tunnel, TunnelEvent};
use crate::identity::{IdentityFault, PeerIdentity, SpiffeId};
use crate::lies::Lies;
use crate::mesh::Uid;
use crate::slots::key;
use crate::telemetry::{Event, Reason, Reporter};
use crate::time::{Now, Time, WallTime};

key!(
    /// A tunnel of this engine.
    TunnelId,
    "tun"
);

/// Who may share a tunnel (node.md row 45): never two identities, two source addresses or two destinations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PoolKey {
    pub(super) pod: PodId,
    pub(super) peer: SocketAddr,
    pub(super) source_ip: IpAddr,
    pub(super) source: SpiffeId,
    pub(super) expected: Vec<SpiffeId>,
    pub(super) destination: Uid,
    /// Present for a tunnel inside another: whatever leads there otherwise is another way (node.md row 61).
    pub(super) outer: Option<Box<OuterWay>>,
}

/// The way to the far end of a tunnel that is inside another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OuterWay {
    /// The identities that the gateway may have.
    pub(super) expected: Vec<SpiffeId>,
    /// What it is asked for.
    pub(super) authority: Authority,
}

impl PoolKey {
    /// Who shares the tunnel that carries those of this key.
    fn outer_key(&self) -> Option<PoolKey> {
        let outer = self.outer.as_ref()?;
        Some(PoolKey { expected: outer.expected.clone(), outer: None, ..self.clone() })
    }
}

/// What wants a stream of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waiter {
    Flow(FlowId),
    /// A tunnel to be carried by it.
    Tunnel(TunnelId),
}

/// Whose bytes a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamUser {
    Flow(FlowId, Side),
    /// A tunnel inside this one.
    Tunnel(TunnelId),
}

/// How far a tunnel has come; each phase has its own deadline (node.md B1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TunnelPhase {
    Connecting,
    AwaitingCredential,
    Handshaking,
    Preface,
    Open,
    /// What is queued is sent, then FIN.
    Closing,
    /// Our FIN is sent. What the peer has under way is dropped until its own: closing a socket before that is a reset, which
    /// destroys what the peer has not read yet.
    Lingering,
}

/// How long a tunnel that ended in order has for its last bytes and the peer's FIN, and one that did not.
const ORDERLY_CLOSE: Duration = Duration::from_secs(5);
const HASTY_CLOSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct TunnelEntry<L: Lies> {
    pub(super) tunnel: Tunnel<L>,
    pub(super) carrier: Carrier,
    pub(super) pod: PodId,
    /// The accept, or for a dialled tunnel what it would look like from there.
    pub(super) origin: Origin,
    /// Absent for a tunnel that a peer opened.
    pub(super) key: Option<PoolKey>,
    pub(super) phase: TunnelPhase,
    pub(super) peer: Option<PeerIdentity>,
    /// When the peer was authenticated.
    pub(super) authenticated: WallTime,
    /// How often whom we trust had changed when its handshake began.
    pub(super) trusted: u64,
    /// Our own identity on it.
    pub(super) own: Option<SpiffeId>,
    pub(super) streams: BTreeMap<StreamId, StreamUser>,
    pub(super) opened: Time,
    pub(super) idle_since: Time,
    pub(super) last_received: Time,
    pub(super) ping_sent: Option<Time>,
    pub(super) retired: bool,
    /// Our certificate was rotated since it was begun.
    pub(super) outdated: bool,
    /// The socket's FIN has arrived.
    pub(super) heard_end: bool,
    room: usize,
    held: usize,
    window: window::Window,
}

impl<L: Lies> TunnelEntry<L> {
    pub(super) fn wants_read(&self) -> bool {
        match self.phase {
            TunnelPhase::Connecting | TunnelPhase::AwaitingCredential | TunnelPhase::Closing => false,
            TunnelPhase::Handshaking | TunnelPhase::Preface | TunnelPhase::Open => self.tunnel.wants_read(),
            TunnelPhase::Lingering => true,
        }
    }

    fn reporter(&self) -> Reporter {
        if self.key.is_some() { Reporter::Source } else { Reporter::Destination }
    }

    /// Whether it carries nothing: no flow has a stream on it, and none that is over has bytes left to send.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.tunnel.mux().open_streams() == 0
    }

    /// Fails where either certificate is past its end: it then takes no new streams, whatever its timer has yet to notice.
    pub(super) fn expired(&self, wall: WallTime) -> Result<(), IdentityFault> {
        planted!(ExpiredStillUsed => return Ok(()));
        let own = self.tunnel.own_not_after();
        let due = match self.peer.iter().map(|peer| peer.not_after).chain(own).min() {
            Some(not_after) if not_after < wall => Err(IdentityFault::Expired { not_after, now: wall }),
            Some(_) | None => Ok(()),
        };
        self.tunnel.lies().validity(due)
    }

    /// Whether it is to take no new streams from here on. One that was accepted before a rotation has its first by then: who
    /// waits for it to open would not wait for another if it were told GOAWAY instead.
    fn is_due(&self) -> bool {
        let outdated = self.outdated && self.key.is_none() && !self.is_empty();
        !self.retired && (outdated || self.tunnel.mux().should_retire())
    }

    fn is_half_open(&self) -> bool {
        self.key.is_none() && self.phase < TunnelPhase::Open
    }
}

impl<L: Lies> Engine<L> {
    /// Starts the dials that the waiters of a key justify.
    pub(super) fn dial_tunnels(&mut self, now: Now, key: &PoolKey) {
        if self.snapshot.workload(key.destination.as_str()).is_none() {
            // It went while they waited for one of its tunnels; its address may be another workload's by now.
            return self.give_up(now, key, &Fault::WorkloadGone);
        }
        for _ in 0..self.pool.dials_wanted(key) {
            if self.pool.dials_wanted(key) == 0 {
                break;
            }
            let presented = self.lies.presents(&key.source);
            let Some(identity) = self.credential(presented.as_ref().unwrap_or(&key.source)) else {
                // It went with its last workload.
                return self.give_up(now, key, &Fault::WorkloadGone);
            };
            let not_after = identity.credential().not_after();
            let expired = IdentityFault::Expired { not_after, now: now.wall };
            let due = if not_after < now.wall { Err(expired) } else { Ok(()) };
            if let Err(fault) = self.lies.validity(due) {
                return self.give_up(now, key, &Fault::Identity(fault));
            }
            let origin = Origin {
                pod: key.pod,
                listener: super::boundary::Listener::Outbound,
                peer: key.peer,
                local: SocketAddr::new(key.source_ip, 0),
                original: None,
            };
            let mut tunnel = Tunnel::client(&self.config.limits, &self.lies);
            tunnel.start(&identity);
            let carrier = match key.outer {
                Some(_) => Carrier::Stream(Ride::default()),
                None => Carrier::Socket(self.sockets.insert(SocketEntry::new(User::Nobody, key.pod, false))),
            };
            let id =
                self.insert_tunnel(now, carrier, tunnel, origin, Some(key.clone()), TunnelPhase::Connecting);
            self.pool.dialling(key, id);
            match self.tunnels.get(id).and_then(TunnelEntry::socket) {
                Some(socket) => {
                    let source = if self.config.bind_pod_address { Some(key.source_ip) } else { None };
                    self.outputs.push_back(Output::Connect {
                        socket,
                        pod: key.pod,
                        target: key.peer,
                        source,
                    });
                    self.timers.set(Timer::Tunnel(id), now.time.after(self.config.limits.tcp_connect));
                }
                None => self.dial_carrier(now, id),
            }
        }
        self.make_room(now, key);
    }

    /// No dial for this key can come to anything.
    fn give_up(&mut self, now: Now, key: &PoolKey, fault: &Fault) {
        for waiter in self.pool.hopeless(key) {
            self.disappoint(now, waiter, fault);
        }
    }

    /// What waited for a tunnel gets none.
    fn disappoint(&mut self, now: Now, waiter: Waiter, fault: &Fault) {
        match waiter {
            Waiter::Flow(flow) => self.fail(now, flow, Reason::Failed(fault.clone())),
            Waiter::Tunnel(tunnel) => self.lose_tunnel(now, tunnel, fault.clone()),
        }
    }

    fn insert_tunnel(
        &mut self,
        now: Now,
        carrier: Carrier,
        tunnel: Tunnel<L>,
        origin: Origin,
        key: Option<PoolKey>,
        phase: TunnelPhase,
    ) -> TunnelId {
        let mut tunnel = tunnel;
        if self.windows_low {
            tunnel.mux_mut().set_stream_window(self.config.limits.stream_window_low);
        }
        let id = self.tunnels.insert(TunnelEntry {
            tunnel,
            carrier,
            pod: origin.pod,
            origin,
            own: key.as_ref().map(|key| key.source.clone()),
            key,
            phase,
            peer: None,
            authenticated: now.wall,
            trusted: self.trusted.changes(),
            streams: BTreeMap::new(),
            opened: now.time,
            idle_since: now.time,
            last_received: now.time,
            ping_sent: None,
            retired: false,
            outdated: false,
            heard_end: false,
            room: 0,
            held: 0,
            window: window::Window::USUAL,
        });
        let socket = self.tunnels.get(id).and_then(TunnelEntry::socket);
        if let Some(entry) = socket.and_then(|socket| self.sockets.get_mut(socket)) {
            entry.user = User::Tunnel(id);
        }
        id
    }

    /// A peer dialled the pod's HBONE listener.
    pub(super) fn accept_tunnel(&mut self, now: Now, origin: Origin) -> SocketId {
        let socket = self.sockets.insert(SocketEntry::new(User::Nobody, origin.pod, true));
        let refusal = if self.draining.is_some() {
            Some(Fault::Drain)
        } else if self.accepted >= self.config.limits.accepted_tunnels {
            Some(Fault::Limit(LimitName::AcceptedTunnels))
        } else if self.half_open >= self.config.limits.half_open_tunnels {
            Some(Fault::Limit(LimitName::HalfOpenTunnels))
        } else {
            self.admit().err()
        };
        if let Some(fault) = refusal {
            self.refuse_socket(socket);
            self.report(Event::TunnelClosed { peer: origin.peer, side: Reporter::Destination, fault });
            return socket;
        }
        self.half_open += 1;
        self.accepted += 1;
        let tunnel = Tunnel::server(&self.config.limits, &self.lies);
        let id = self.insert_tunnel(
            now,
            Carrier::Socket(socket),
            tunnel,
            origin,
            None,
            TunnelPhase::AwaitingCredential,
        );
        self.timers.set(Timer::Tunnel(id), now.time.after(self.config.limits.wait_for_facts));
        self.try_accept_tunnel(now, id);
        socket
    }

    /// Starts the handshake of an accepted tunnel once its workload and credential are there.
    pub(super) fn try_accept_tunnel(&mut self, now: Now, id: TunnelId) {
        let Some(entry) = self.tunnels.get(id).filter(|t| t.phase == TunnelPhase::AwaitingCredential) else {
            return;
        };
        let Some(workload) = self.workload_of(entry.pod) else { return };
        let presented = self.lies.presents(workload.identity());
        let Some(identity) = self.credential(presented.as_ref().unwrap_or(workload.identity())) else {
            return;
        };
        if let Some(entry) = self.tunnels.get_mut(id) {
            entry.own = Some(workload.identity().clone());
            entry.trusted = self.trusted.changes();
            entry.tunnel.start(&identity);
            entry.phase = TunnelPhase::Handshaking;
            self.mark_carrier(id);
        }
        self.timers.set(Timer::Tunnel(id), now.time.after(self.config.limits.tls_handshake));
    }

    pub(super) fn fail_unaccepted_tunnels(&mut self, now: Now, id: &SpiffeId, fault: &IdentityFault) {
        for tunnel in self.tunnels.keys() {
            let waits = self.tunnels.get(tunnel).is_some_and(|t| t.phase == TunnelPhase::AwaitingCredential);
            let pod = self.tunnels.get(tunnel).map(|t| t.pod);
            if waits && pod.and_then(|pod| self.workload_of(pod)).is_some_and(|w| w.identity() == id) {
                self.lose_tunnel(now, tunnel, Fault::Identity(fault.clone()));
            }
        }
    }

    pub(super) fn tunnel_connected(&mut self, now: Now, id: TunnelId) {
        let Some(entry) = self.tunnels.get_mut(id) else { return };
        entry.phase = TunnelPhase::Handshaking;
        self.dirty_tunnels.insert(id);
        self.timers.set(Timer::Tunnel(id), now.time.after(self.config.limits.tls_handshake));
    }

    /// Drives a tunnel until it has nothing more to say, and handles what it said.
    pub(super) fn turn_tunnel(&mut self, now: Now, id: TunnelId) {
        loop {
            // What one turn has to say is handled together: a turn for each word of it would cost more than the word.
            let mut said = self.feed(now, id);
            let Some(entry) = self.tunnels.get_mut(id) else { return };
            entry.tunnel.turn();
            entry.tunnel.give_back(&mut self.tunnel_block);
            while let Some(entry) = self.tunnels.get_mut(id) {
                let Some(event) = entry.tunnel.poll_event() else { break };
                said = true;
                if entry.phase == TunnelPhase::Closing {
                    // Its last words are on their way, and nobody waits for more of it.
                    continue;
                }
                match event {
                    TunnelEvent::Authenticated(peer) => self.tunnel_authenticated(now, id, peer),
                    TunnelEvent::Mux(event) => self.mux_event(now, id, event),
                    TunnelEvent::Lost(fault) => self.lose_tunnel(now, id, fault),
                }
            }
            if !said {
                break;
            }
        }
        if self.tunnels.get(id).is_some_and(TunnelEntry::is_due) {
            self.retire_tunnel(now, id);
        }
        self.offer_room(now, id);
        self.set_window(id);
        self.carry(id);
        let Some(entry) = self.tunnels.get_mut(id) else { return };
        let held = entry.tunnel.held_bytes() + entry.waiting_bytes();
        self.held_bytes = (self.held_bytes + held).saturating_sub(entry.held);
        entry.held = held;
        if let Some(socket) = entry.socket() {
            self.dirty_sockets.insert(socket);
        }
        if entry.phase == TunnelPhase::Closing && !entry.tunnel.wants_write() {
            self.finish_tunnel(id);
        }
    }

    /// Everything is said: FIN, and the socket closes once the peer's has come.
    fn finish_tunnel(&mut self, id: TunnelId) {
        let Some(entry) = self.tunnels.get_mut(id) else { return };
        if entry.heard_end {
            return self.remove_tunnel(id, CloseMode::Graceful);
        }
        entry.phase = TunnelPhase::Lingering;
        self.finish_carrier(id);
    }

    /// The socket's FIN arrived.
    pub(super) fn tunnel_ended(&mut self, id: TunnelId) {
        let Some(entry) = self.tunnels.get_mut(id) else { return };
        entry.heard_end = true;
        if entry.phase == TunnelPhase::Lingering {
            return self.remove_tunnel(id, CloseMode::Graceful);
        }
        entry.tunnel.received_end();
        self.dirty_tunnels.insert(id);
    }

    /// The handshake is done: nothing of a stream is sent before the identity is the one expected.
    fn tunnel_authenticated(&mut self, now: Now, id: TunnelId, peer: PeerIdentity) {
        planted!(WrongPeerTaken => if let Some(key) = self.tunnels.get_mut(id).and_then(|t| t.key.as_mut()) {
            key.expected.push(peer.id.clone());
        });
        if let Err(fault) = self.still_trusted(now, id) {
            return self.lose_tunnel(now, id, Fault::Identity(fault));
        }
        let Some(entry) = self.tunnels.get_mut(id) else { return };
        if let Some(key) = &entry.key
            && !entry.tunnel.lies().believes(&peer.id, &key.expected)
        {
            let expected = key.expected.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
            let fault = Fault::WrongPeer { found: peer.id.to_string(), expected };
            return self.lose_tunnel(now, id, fault);
        }
        entry.peer = Some(peer);
        entry.authenticated = now.wall;
        entry.phase = TunnelPhase::Preface;
        entry.tunnel.authorise();
        self.timers.set(Timer::Tunnel(id), now.time.after(self.config.limits.http2_preface));
        self.index_certificates(id);
    }

    /// What carries a tunnel broke.
    pub(super) fn tunnel_broke(&mut self, now: Now, id: TunnelId, fault: Fault) {
        // Its last words may be an alert that says why.
        if let Some(entry) = self.tunnels.get_mut(id) {
            entry.tunnel.turn();
            while let Some(event) = entry.tunnel.poll_event() {
                if let TunnelEvent::Lost(fault) = event {
                    return self.lose_tunnel(now, id, fault);
                }
            }
        }
        self.lose_tunnel(now, id, fault);
    }

    /// A tunnel ends other than in order: its waiters and its streams learn it at once (node.md B2, B6).
    pub(super) fn lose_tunnel(&mut self, now: Now, id: TunnelId, fault: Fault) {
        let Some(entry) = self.tunnels.get_mut(id) else { return };
        if entry.phase >= TunnelPhase::Closing {
            return self.remove_tunnel(id, CloseMode::Abort);
        }
        let (was_open, streams) = (entry.phase == TunnelPhase::Open, std::mem::take(&mut entry.streams));
        let key = entry.key.clone();
        let report =
            Event::TunnelClosed { peer: entry.origin.peer, side: entry.reporter(), fault: fault.clone() };
        self.leave_half_open(id);
        self.report(report);
        let told = if was_open {
            self.pool.retired(id);
            Vec::new()
        } else {
            self.pool.failed(id)
        };
        self.close_tunnel(now, id, HASTY_CLOSE);
        for (_, user) in streams {
            match user {
                StreamUser::Flow(flow, side) => self.lose_stream(now, flow, side, &fault),
                StreamUser::Tunnel(rider) => {
                    self.carrier_broke(now, rider, Fault::TunnelLost(Box::new(fault.clone())));
                }
            }
        }
        let flows: Vec<FlowId> = told
            .iter()
            .filter_map(|waiter| match waiter {
                Waiter::Flow(flow) => Some(*flow),
                Waiter::Tunnel(_) => None,
            })
            .collect();
        self.attempt_failed(now, &flows, &fault);
        for waiter in told {
            if let Waiter::Tunnel(tunnel) = waiter {
                self.lose_tunnel(now, tunnel, fault.clone());
            }
        }
        if let Some(key) = key {
            self.dial_tunnels(now, &key);
        }
    }

    /// A tunnel whose peer is not to be talked to any more ends at once, and nothing more of it is sent or delivered.
    pub(super) fn sever_tunnel(&mut self, now: Now, id: TunnelId, fault: &IdentityFault) {
        let Some(entry) = self.tunnels.get(id) else { return };
        for user in entry.streams.values().copied().collect::<Vec<_>>() {
            match user {
                StreamUser::Flow(flow, _) => {
                    self.fail(now, flow, Reason::Failed(Fault::Identity(fault.clone())));
                }
                StreamUser::Tunnel(rider) => self.sever_tunnel(now, rider, fault),
            }
        }
        self.lose_tunnel(now, id, Fault::Identity(fault.clone()));
        planted!(RevokedDrains => return);
        self.remove_tunnel(id, CloseMode::Abort);
    }

    /// A stream loses its tunnel. Where its peer has ended it, bytes and FIN are delivered first (node.md B6).
    fn lose_stream(&mut self, now: Now, id: FlowId, side: Side, fault: &Fault) {
        planted!(RetryOfAny => if let Some(flow) = self.flows.get_mut(id).filter(|f| f.phase == Phase::Opening) {
            (flow.far, flow.phase) = (super::flow::End::None, Phase::Waiting(super::flow::Waiting::Facts));
            return self.resume(now, id);
        });
        let ended = |flow: &Flow| flow.phase == Phase::Relaying && *flow.ended.of(side);
        if self.flows.get(id).is_some_and(ended) {
            return self.stream_reset(now, id, side, ResetCause::Tunnel, true);
        }
        self.fail(now, id, Reason::Failed(Fault::TunnelLost(Box::new(fault.clone()))));
    }

    fn leave_half_open(&mut self, id: TunnelId) {
        planted!(HalfOpenLeaks => return);
        if self.tunnels.get(id).is_some_and(TunnelEntry::is_half_open) {
            self.half_open = self.half_open.saturating_sub(1);
        }
    }

    /// Sends what is queued (an alert, GOAWAY), then closes.
    fn close_tunnel(&mut self, now: Now, id: TunnelId, patience: Duration) {
        let Some(connected) = self.tunnels.get(id).map(|entry| self.has_carrier(entry)) else { return };
        let Some(entry) = self.tunnels.get_mut(id) else { return };
        entry.phase = TunnelPhase::Closing;
        entry.tunnel.close();
        if !connected || !entry.tunnel.wants_write() {
            return self.remove_tunnel(id, CloseMode::Abort);
        }
        self.mark_carrier(id);
        self.timers.set(Timer::Tunnel(id), now.time.after(patience));
    }

    /// Ends a tunnel in order.
    pub(super) fn shut_tunnel(&mut self, now: Now, id: TunnelId) {
        let Some(entry) = self.tunnels.get_mut(id) else { return };
        if entry.phase >= TunnelPhase::Closing {
            return;
        }
        let waiting = entry.phase < TunnelPhase::Open;
        if waiting || !entry.streams.is_empty() {
            let fault = if waiting { Fault::Drain } else { Fault::Retired };
            return self.lose_tunnel(now, id, fault);
        }
        let report =
            Event::TunnelClosed { peer: entry.origin.peer, side: entry.reporter(), fault: Fault::Retired };
        self.pool.retired(id);
        self.report(report);
        self.close_tunnel(now, id, ORDERLY_CLOSE);
    }

    /// The drain is over: what still closes does so soon.
    pub(super) fn hurry_tunnels(&mut self, now: Now) {
        for id in self.tunnels.keys() {
            self.shut_tunnel(now, id);
            if self.tunnels.get(id).is_some() {
                self.timers.set(Timer::Tunnel(id), now.time.after(HASTY_CLOSE));
            }
        }
    }

    fn remove_tunnel(&mut self, id: TunnelId, mode: CloseMode) {
        self.timers.clear(Timer::Tunnel(id));
        self.forget_certificates(id);
        if let Some(entry) = self.tunnels.remove(id) {
            self.accepted -= usize::from(entry.key.is_none());
            self.held_bytes = self.held_bytes.saturating_sub(entry.held);
            self.close_carrier(id, entry.carrier, mode);
        }
    }

    pub(super) fn drain_tunnel(&mut self, now: Now, id: TunnelId) {
        let Some(entry) = self.tunnels.get_mut(id) else { return };
        match entry.phase {
            TunnelPhase::Closing | TunnelPhase::Lingering => {}
            TunnelPhase::Open => {
                planted!(DrainEndsStreams => return self.lose_tunnel(now, id, Fault::Drain));
                self.retire_tunnel(now, id);
            }
            _ if entry.key.is_none() => self.lose_tunnel(now, id, Fault::Drain),
            _ => {}
        }
    }

    /// A tunnel takes no new streams; what it carries goes on.
    pub(super) fn retire_tunnel(&mut self, now: Now, id: TunnelId) {
        let Some(entry) = self.tunnels.get_mut(id) else { return };
        if entry.retired || entry.phase != TunnelPhase::Open {
            return;
        }
        entry.retired = true;
        planted!(DrainWithoutGoaway => if entry.key.is_none() {
            return;
        });
        let key = entry.key.clone();
        if key.is_none() {
            entry.tunnel.mux_mut().graceful_shutdown();
        }
        self.dirty_tunnels.insert(id);
        self.pool.retired(id);
        let riders = self.riders(id);
        planted!(InnerOutlivesOuter, riders = Vec::new());
        for rider in riders {
            self.retire_tunnel(now, rider);
        }
        if let Some(key) = key {
            self.dial_tunnels(now, &key);
            if self.tunnels.get(id).is_some_and(TunnelEntry::is_empty) {
                self.shut_tunnel(now, id);
            }
        }
    }

    /// A certificate was rotated: tunnels under the old one take no new streams (node.md B3), and those that are still dialled
    /// only those of who waits for them.
    pub(super) fn retire_tunnels_of(&mut self, now: Now, own: &SpiffeId) {
        planted!(RotationKeepsTunnels => return);
        for id in self.tunnels.keys() {
            if let Some(entry) = self.tunnels.get_mut(id).filter(|t| t.own.as_ref() == Some(own)) {
                entry.outdated = true;
                self.retire_tunnel(now, id);
            }
        }
    }

    /// A destination is gone, or is another workload now (node.md B3).
    pub(super) fn close_tunnels_to(&mut self, now: Now, removed: &std::collections::BTreeSet<Uid>) {
        planted!(TunnelsOutliveWorkload => return);
        for id in self.tunnels.keys() {
            let gone = self
                .tunnels
                .get(id)
                .and_then(|t| t.key.as_ref())
                .is_some_and(|k| removed.contains(&k.destination));
            if gone {
                self.lose_tunnel(now, id, Fault::WorkloadGone);
            }
        }
    }

    pub(super) fn tunnel_deadline(&mut self, now: Now, id: TunnelId) {
        let Some(entry) = self.tunnels.get(id) else { return };
        let outer = entry.outer();
        let stage = match entry.phase {
            TunnelPhase::Open => return self.keepalive(now, id),
            TunnelPhase::Closing | TunnelPhase::Lingering => return self.remove_tunnel(id, CloseMode::Abort),
            TunnelPhase::Connecting if entry.socket().is_none() => {
                // As where an application waits: what does not answer takes no more streams.
                if let Some(outer) = outer {
                    self.retire_tunnel(now, outer);
                }
                Stage::ConnectResponse
            }
            TunnelPhase::Connecting => Stage::TcpConnect,
            TunnelPhase::AwaitingCredential => Stage::Credential,
            TunnelPhase::Handshaking => Stage::TlsHandshake,
            TunnelPhase::Preface => Stage::Http2Preface,
        };
        self.lose_tunnel(now, id, Fault::Timeout(stage));
    }
}
