//! What an application of a local pod dials: decide, find a tunnel or a socket, relay.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::boundary::{CloseMode, Listener, Origin, Output, PodId, SocketId};
use super::flow::{Both, End, Flow, FlowId, Kind, Phase, Side, Waiting};
use super::judge::decided_by;
use super::sockets::{SocketEntry, User};
use super::timers::Timer;
use super::tunnels::{OuterWay, PoolKey, Waiter};
use crate::capture::{Decision, LocalTo, Need, RouteFault, TunnelTo};
use crate::fault::{Fault, LimitName, Stage};
use crate::hbone::connect::Authority;
use crate::hbone::pool::Acquired;
use crate::identity::{IdentityFault, SpiffeId};
use crate::lies::Lies;
use crate::mesh::Workload;
use crate::policy::Verdict;
use crate::telemetry::{Connection, Path, Reason, Reporter};
use crate::time::Now;

impl<L: Lies> Engine<L> {
    /// A connection was accepted from an application of a local pod, or in clear for one (node.md rows 50 and 68).
    pub(super) fn accept_connection(&mut self, now: Now, kind: Kind, origin: Origin) -> SocketId {
        let id = self.new_flow(now, kind, origin, origin.original.unwrap_or(origin.local));
        let socket = self.sockets.insert(SocketEntry::new(User::Flow(id, Side::Near), origin.pod, true));
        if let Some(flow) = self.flows.get_mut(id) {
            flow.near = End::Socket(socket);
            flow.never_join = origin.listener == Listener::Consumer;
        }
        self.dirty_sockets.insert(socket);
        match (self.admit(), origin.original) {
            (Err(fault), _) => self.fail(now, id, Reason::Failed(fault)),
            (Ok(()), None) => self.fail(now, id, Reason::Failed(Fault::Route(RouteFault::SelfCall))),
            (Ok(()), Some(_)) => {
                self.timers.set(Timer::Flow(id), now.time.after(self.config.limits.wait_for_facts));
                self.resume(now, id);
            }
        }
        socket
    }

    pub(super) fn new_flow(
        &mut self,
        now: Now,
        kind: Kind,
        origin: Origin,
        destination: SocketAddr,
    ) -> FlowId {
        let reporter = if kind == Kind::Outbound { Reporter::Source } else { Reporter::Destination };
        let connection = Connection {
            reporter,
            path: Path::Refused,
            source: origin.peer,
            destination,
            hbone: None,
            target: None,
            source_identity: None,
            destination_identity: None,
            source_workload: None,
            destination_workload: None,
            service: None,
            policy: None,
            trace: None,
            opened: now.wall,
        };
        self.flows.insert(Flow {
            kind,
            pod: origin.pod,
            origin,
            phase: Phase::Waiting(Waiting::Facts),
            near: End::None,
            far: End::None,
            ended: Both::default(),
            finished: Both::default(),
            bytes: Both::default(),
            deaf: Both::default(),
            early: Default::default(),
            early_bytes: 0,
            draw: self.draws.next_u64(),
            authority: None,
            for_another: false,
            header: None,
            header_left: 0,
            decision: None,
            judged_at: None,
            held: None,
            asked: now.time,
            retried: false,
            joined: false,
            never_join: false,
            endpoint: None,
            avoid: None,
            connection: Arc::new(connection),
            opened: now.time,
            active: now.time,
        })
    }

    /// Takes a waiting flow as far as the facts allow now.
    pub(super) fn resume(&mut self, now: Now, id: FlowId) {
        let Some(flow) = self.flows.get(id) else { return };
        if !matches!(flow.phase, Phase::Waiting(_)) {
            return;
        }
        match flow.kind {
            Kind::Outbound => self.decide(now, id),
            Kind::Plaintext => self.admit_plaintext(now, id),
            Kind::Tunnelled => self.admit_tunnelled(now, id),
        }
    }

    pub(super) fn wait(&mut self, id: FlowId, what: Waiting) {
        if let Some(flow) = self.flows.get_mut(id) {
            flow.phase = Phase::Waiting(what);
            self.waiting.insert(id);
        }
    }

    fn decide(&mut self, now: Now, id: FlowId) {
        let Some(flow) = self.flows.get(id) else { return };
        let pod = flow.pod;
        let Some(source) = self.workload_of(pod) else { return self.wait(id, Waiting::Facts) };
        if let Some(flow) = self.flows.get_mut(id) {
            let connection = flow.connection_mut();
            connection.source_identity = Some(source.identity().clone());
            connection.source_workload = Some(source.clone());
        }
        self.no_longer_judged(id);
        if let Some(decision) = self.decision_for(now, id, &source) {
            self.follow(now, id, pod, &source, decision);
        }
    }

    /// Goes where it was decided.
    pub(super) fn follow(
        &mut self,
        now: Now,
        id: FlowId,
        pod: PodId,
        source: &Arc<Workload>,
        decision: Decision,
    ) {
        self.count_endpoint(id, &decision);
        match decision {
            // The deadline of the wait was set when the connection came, or was begun anew.
            Decision::Wait(Need::Resolve { .. } | Need::Facts { .. }) => self.wait(id, Waiting::Facts),
            Decision::Refuse(fault) => self.fail(now, id, Reason::Failed(Fault::Route(fault))),
            Decision::Passthrough { target } => {
                self.learn(id, |c| {
                    c.path = Path::Plaintext;
                    c.target = Some(target);
                });
                self.connect_far(now, id, pod, target, self.own_source(source));
            }
            Decision::Plaintext { target, destination, service } => {
                self.learn(id, |c| {
                    c.path = Path::Plaintext;
                    c.target = Some(target);
                    c.destination_workload = Some(destination);
                    c.service = service;
                });
                self.connect_far(now, id, pod, target, self.own_source(source));
            }
            Decision::Tunnel(to) => {
                planted!(PlaintextFallback => if let Authority::Ip(target) = to.authority {
                    return self.connect_far(now, id, pod, target, self.own_source(source));
                });
                self.want_tunnel(now, id, source, *to);
            }
            Decision::Local(to) => self.want_local(now, id, source, &to),
        }
    }

    pub(super) fn learn(&mut self, id: FlowId, with: impl FnOnce(&mut Connection)) {
        if let Some(flow) = self.flows.get_mut(id) {
            with(flow.connection_mut());
        }
    }

    /// The source that a dial for a workload names, where it must name one.
    pub(super) fn own_source(&self, workload: &Workload) -> Option<IpAddr> {
        if self.config.bind_pod_address { workload.ips.first().copied() } else { None }
    }

    fn want_tunnel(&mut self, now: Now, id: FlowId, source: &Arc<Workload>, to: TunnelTo) {
        let Some(pod) = self.flows.get(id).map(|f| f.pod) else { return };
        if self.credential(source.identity()).is_none() {
            return self.wait(id, Waiting::Credential);
        }
        let (expected, outer) = match &to.inner {
            None => (to.expected.clone(), None),
            Some(inner) => {
                let outer = OuterWay { expected: to.expected.clone(), authority: to.authority.clone() };
                (inner.clone(), Some(Box::new(outer)))
            }
        };
        let key = PoolKey {
            pod,
            source: source.identity().clone(),
            source_ip: self.flows.get(id).map_or(to.peer.ip(), |f| f.origin.peer.ip()),
            expected,
            peer: to.peer,
            destination: to.destination.uid.clone(),
            outer,
        };
        planted!(
            KeyByHash,
            key = self
                .tunnels
                .iter()
                .filter_map(|(_, tunnel)| tunnel.key.as_ref())
                .find(|other| crate::planted::weak_hash(other) == crate::planted::weak_hash(&key))
                .cloned()
                .unwrap_or(key)
        );
        planted!(
            IdentityNotInKey,
            key = self
                .tunnels
                .iter()
                .filter_map(|(_, tunnel)| tunnel.key.as_ref())
                .find(|other| (other.peer, &other.destination) == (key.peer, &key.destination))
                .cloned()
                .unwrap_or(key)
        );
        self.learn(id, |c| {
            c.path = Path::Hbone;
            c.hbone = Some(to.peer);
            c.target = match to.authority {
                Authority::Ip(address) => Some(address),
                Authority::Host { .. } => None,
            };
            c.destination_workload = Some(to.destination.clone());
            c.service = to.service.clone();
        });
        if let Some(flow) = self.flows.get_mut(id) {
            flow.decision = Some(Box::new(Decision::Tunnel(Box::new(to))));
        }
        self.acquire(now, id, key);
    }

    /// Gets in line for a tunnel of this key.
    pub(super) fn acquire(&mut self, now: Now, id: FlowId, key: PoolKey) {
        match self.pool.acquire(&key, Waiter::Flow(id)) {
            Acquired::Tunnel(tunnel) => self.open_stream(now, id, tunnel),
            Acquired::Full => self.fail(now, id, Reason::Failed(Fault::Limit(LimitName::Waiters))),
            Acquired::Waiting => {
                // A dial's deadlines come first, and end all that wait for it. This one is for tunnels that open and never
                // have room.
                let limits = &self.config.limits;
                let inside = limits.tls_handshake + limits.http2_preface + limits.connect_response;
                let inside = if key.outer.is_some() { inside } else { Duration::ZERO };
                let patience = limits.dial() + inside + limits.connect_response;
                self.timers.set(Timer::Flow(id), now.time.after(patience));
                if let Some(flow) = self.flows.get_mut(id) {
                    flow.phase = Phase::Pooled(Box::new(key.clone()));
                }
                self.dial_tunnels(now, &key);
            }
        }
    }

    /// Both workloads are on this node: no tunnel, the same identities and policies (node.md B14).
    fn want_local(&mut self, now: Now, id: FlowId, source: &Arc<Workload>, to: &LocalTo) {
        self.learn(id, |c| {
            c.target = Some(to.target);
            c.destination_identity = Some(to.destination.identity().clone());
            c.destination_workload = Some(to.destination.clone());
            c.service = to.service.clone();
        });
        for identity in [source.identity(), to.destination.identity()] {
            let Some(own) = self.credential(identity) else { return self.wait(id, Waiting::Credential) };
            let not_after = own.credential().not_after();
            if not_after < now.wall {
                let expired = IdentityFault::Expired { not_after, now: now.wall };
                return self.fail(now, id, Reason::Failed(Fault::Identity(expired)));
            }
        }
        let Some(&pod) = self.pod_of_uid.get(&to.destination.uid) else {
            return self.wait(id, Waiting::Facts);
        };
        let Some(peer) = self.flows.get(id).map(|f| f.origin.peer) else { return };
        planted!(LocalPathUnjudged => {
            self.learn(id, |c| c.path = Path::Local);
            return self.connect_far(now, id, pod, to.target, self.kept_source(peer.ip(), to.target.ip()));
        });
        if !self.judge_new(now, id, &to.destination, Some(source.identity()), peer.ip(), to.target) {
            return;
        }
        self.learn(id, |c| c.path = Path::Local);
        self.reach_application(now, id, pod, to.target);
    }

    /// Judges a flow at its beginning. False where it was refused or has to wait.
    pub(super) fn judge_new(
        &mut self,
        now: Now,
        id: FlowId,
        workload: &Workload,
        identity: Option<&SpiffeId>,
        source: IpAddr,
        target: SocketAddr,
    ) -> bool {
        match self.verdict(id, workload, identity, source, target) {
            Verdict::Allow { by } => {
                self.learn(id, |c| c.policy = by.map(|key| key.to_string()));
                self.judged_at(id, &workload.uid);
                self.report_dry_runs(id, workload);
                true
            }
            Verdict::Deny(denial) => {
                let by = decided_by(&denial);
                self.learn(id, |c| c.policy = by);
                self.fail(now, id, Reason::Failed(Fault::Denied(denial)));
                false
            }
            Verdict::Hold { .. } => {
                self.judged_at(id, &workload.uid);
                // The hold is counted from its beginning, however often facts change meanwhile.
                if self.flows.get(id).is_some_and(|f| f.phase != Phase::Waiting(Waiting::Policy)) {
                    self.timers.set(Timer::Flow(id), now.time.after(self.config.limits.policy_hold));
                }
                self.wait(id, Waiting::Policy);
                false
            }
        }
    }

    /// The client's own address, where it is to be shown to the application (node.md row 14).
    pub(super) fn kept_source(&self, client: IpAddr, target: IpAddr) -> Option<IpAddr> {
        let shown = self.config.keep_source && client != target && client.is_ipv4() == target.is_ipv4();
        shown.then_some(client)
    }

    /// Dials the application of a pod for a flow that may reach it, or delivers to it where it lives in this process.
    pub(super) fn reach_application(&mut self, now: Now, id: FlowId, pod: PodId, address: SocketAddr) {
        let Some(flow) = self.flows.get(id) else { return };
        let client = flow.origin.peer;
        planted!(
            AnothersAddress,
            client = self.tunnels.iter().next().map_or(client, |(_, tunnel)| tunnel.origin.peer)
        );
        if !self.pods.get(&pod).is_some_and(|pod| pod.consumer) {
            // To its own host's loopback nobody is a stranger (node.md row 14).
            let is_told = flow.header.is_some();
            let source = if is_told { None } else { self.kept_source(client.ip(), address.ip()) };
            return self.connect_far(now, id, pod, address, source);
        }
        let target = flow.authority.clone().unwrap_or(Authority::Ip(address));
        let peer = flow.connection.source_identity.clone();
        let socket = self.await_far(now, id, pod);
        if let Some(flow) = self.flows.get_mut(id) {
            flow.never_join = true;
        }
        self.outputs.push_back(Output::Deliver { socket, pod, peer, source: client, target, address });
    }

    pub(super) fn connect_far(
        &mut self,
        now: Now,
        id: FlowId,
        pod: PodId,
        target: SocketAddr,
        source: Option<IpAddr>,
    ) {
        let socket = self.await_far(now, id, pod);
        self.outputs.push_back(Output::Connect { socket, pod, target, source });
    }

    /// Makes a flow's far socket, which is asked for now and not there yet.
    fn await_far(&mut self, now: Now, id: FlowId, pod: PodId) -> SocketId {
        let socket = self.sockets.insert(SocketEntry::new(User::Flow(id, Side::Far), pod, false));
        if let Some(flow) = self.flows.get_mut(id) {
            flow.far = End::Socket(socket);
            flow.phase = Phase::Dialling;
            flow.asked = now.time;
        }
        self.waiting.remove(&id);
        self.timers.set(Timer::Flow(id), now.time.after(self.config.limits.tcp_connect));
        socket
    }

    /// The far socket is there.
    pub(super) fn far_connected(&mut self, now: Now, id: FlowId, _local: SocketAddr) {
        let Some(flow) = self.flows.get(id) else { return };
        if flow.phase != Phase::Dialling {
            return;
        }
        if let End::Stream(tunnel, stream) = flow.near {
            self.accept_stream(tunnel, stream, id);
        }
        self.start_relay(now, id);
    }

    /// A flow's own deadline: which phase it is in says what ran out.
    pub(super) fn flow_deadline(&mut self, now: Now, id: FlowId) {
        let Some(flow) = self.flows.get(id) else { return };
        let fault = match &flow.phase {
            Phase::Waiting(Waiting::Policy) => return self.hold_expired(now, id),
            Phase::Waiting(Waiting::Facts) => Fault::Timeout(Stage::Facts),
            Phase::Waiting(Waiting::Credential) => Fault::Timeout(Stage::Credential),
            Phase::Pooled(_) => Fault::Timeout(Stage::ConnectResponse),
            Phase::Opening => return self.connect_timed_out(now, id),
            Phase::Dialling | Phase::Relaying if flow.held.is_some_and(|until| until <= now.time) => {
                return self.hold_expired(now, id);
            }
            Phase::Dialling => {
                let fault = Fault::Timeout(Stage::TcpConnect);
                self.endpoint_failed(now, &[id], &fault);
                fault
            }
            Phase::Relaying => return self.relay_timer(now, id),
        };
        self.fail(now, id, Reason::Failed(fault));
    }

    /// A credential that flows waited for cannot be had.
    pub(super) fn credential_failed(&mut self, now: Now, id: &SpiffeId, fault: &IdentityFault) {
        planted!(RefusalNotTold => return);
        let waiting: Vec<FlowId> = self
            .waiting
            .iter()
            .copied()
            .filter(|flow| {
                self.flows.get(*flow).is_some_and(|f| {
                    f.phase == Phase::Waiting(Waiting::Credential)
                        && (f.connection.source_identity.as_ref() == Some(id)
                            || f.connection.destination_identity.as_ref() == Some(id))
                })
            })
            .collect();
        for flow in waiting {
            self.fail(now, flow, Reason::Failed(Fault::Identity(fault.clone())));
        }
        self.fail_unaccepted_tunnels(now, id, fault);
    }

    pub(super) fn credential_ready(&mut self, now: Now, _id: &SpiffeId) {
        self.facts_changed(now);
    }

    /// Closes a socket that was never taken in.
    pub(super) fn refuse_socket(&mut self, socket: SocketId) {
        planted!(RefusedSocketKept => return);
        self.close_socket(socket, CloseMode::Abort);
    }
}
