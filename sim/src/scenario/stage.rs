//! Where a plan happens: the world, who is in it, and what was seen of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use culvert_core::fault::{self, IoFault};
use culvert_core::mesh::PolicyKey;
use culvert_core::telemetry::{Connection, Event, Path, Reason, Reporter};
use culvert_core::time::Time;

use super::plan::{Call, Fault, LATE, Options, PODS, Port, Round};
use super::story::{self, Line};
use super::vocabulary::{fault_name, name};
use super::{Depth, Outcome, Violation};
use crate::world::{
    Act, AppId, FNV_OFFSET, Issuing, Joining, NodeId, Pod, Reading, Script, Seen, Serve, World, fnv,
};

const SECOND: Duration = Duration::from_secs(1);
/// Within this, after everything is healed, everything works.
const RECOVERY: Duration = Duration::from_secs(60);
/// What calls after the recovery exchange.
const PROBE: u64 = 10_000;

/// A call that was made.
struct Made {
    app: AppId,
    port: Port,
    /// One of the two reads slowly or never.
    stalls: bool,
}

/// A world in which a plan happens.
pub(super) struct Stage {
    world: World,
    nodes: Vec<NodeId>,
    /// Number of the node that is killed or drained.
    gone: Option<usize>,
    /// The pods, and then the machine.
    hosts: Vec<Pod>,
    /// By the numbers of the plan.
    calls: Vec<Made>,
    probes: Vec<AppId>,
    small: bool,
    chopped: bool,
    story: Vec<Line>,
    /// How many reports of each node are told.
    told: Vec<usize>,
    seen: BTreeSet<&'static str>,
    events: usize,
    simulated: Duration,
}

impl Stage {
    pub(super) fn new(options: &Options, depth: Depth) -> Stage {
        let mut world = World::with_limits(options.seed, |limits| {
            if let Some(small) = &options.small {
                limits.peer_streams_per_tunnel = small.streams_per_tunnel;
                limits.tunnels_per_key = small.tunnels_per_key;
                limits.stream_window = small.window_kib << 10;
                limits.connection_window = 4 * (small.window_kib << 10);
                limits.relay_queue = small.queue_kib << 10;
                limits.judgements_per_turn = 2;
            }
        });
        if let Some(most) = options.chop {
            world.chop(most);
        }
        if !options.same_node {
            world.without_local_path();
        }
        if depth == Depth::Again {
            world.without_replay();
        }
        world.capacity(options.capacity);
        world.latency(options.latency);
        let nodes: Vec<NodeId> = (0..options.nodes).map(|_| world.node()).collect();
        let places = nodes.iter().copied().cycle().take(PODS).enumerate();
        let mut hosts: Vec<Pod> =
            places.map(|(number, node)| world.pod(node, &format!("p{number}"))).collect();
        hosts.push(world.machine());
        for host in &hosts {
            for port in Port::ALL {
                if let Some(serve) = service(port) {
                    world.serve(*host, port.number(), serve);
                }
            }
        }
        Stage {
            told: vec![0; nodes.len()],
            world,
            nodes,
            gone: None,
            hosts,
            calls: Vec::new(),
            probes: Vec::new(),
            small: options.small.is_some(),
            chopped: options.chop.is_some(),
            story: Vec::new(),
            seen: BTreeSet::new(),
            events: 0,
            simulated: Duration::ZERO,
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.world.elapsed()
    }

    /// Chaos, healing, probes, and the end of the world.
    ///
    /// # Panics
    ///
    /// A law is broken.
    pub(super) fn perform(&mut self, rounds: &[Round]) {
        for round in rounds {
            for call in &round.calls {
                for _ in 0..call.times {
                    self.call(call);
                }
            }
            if let Some(fault) = &round.fault {
                self.fault(fault);
            }
            self.world.run(round.time);
            self.look();
        }
        self.heal();
        self.everything_works();
        self.simulated = self.world.elapsed();
        self.events = self.nodes.iter().map(|node| self.world.recording(*node).steps.len()).sum();
        self.note("the end: all leave".to_owned());
        self.world.conclude();
    }

    /// What came of it.
    pub(super) fn leave(mut self, violation: Option<Violation>) -> Outcome {
        self.tell();
        let hash = self.hash();
        if let Some(violation) = &violation {
            self.note(format!("VIOLATION {}", violation.message));
            self.world.abandon();
        }
        Outcome {
            hash,
            events: self.events,
            simulated: self.simulated,
            seen: self.seen,
            violation,
            story: self.story,
        }
    }

    fn note(&mut self, what: String) {
        self.tell();
        self.story.push(Line { at: self.world.elapsed(), place: "world".to_owned(), what });
    }

    fn host(&self, number: usize) -> Option<Pod> {
        self.hosts.get(number).copied()
    }

    fn call(&mut self, call: &Call) {
        let (Some(from), Some(to)) = (self.host(call.from), self.host(call.to)) else { return };
        let target = self.world.address(to, call.port.number());
        let number = self.calls.len();
        self.note(format!(
            "call {number}: {} dials {target} ({:?} of {}): {:?}, reading {:?}",
            self.label(call.from),
            call.port,
            self.label(call.to),
            call.script.acts,
            call.script.reading
        ));
        let app = self.world.call(from, target, call.script.clone());
        let stalls = call.script.reading != Reading::All || call.port == Port::Slow;
        self.calls.push(Made { app, port: call.port, stalls });
    }

    fn label(&self, number: usize) -> String {
        if number < PODS { format!("p{number}") } else { "the machine".to_owned() }
    }

    fn fault(&mut self, fault: &Fault) {
        self.note(format!("fault: {fault:?}"));
        match fault {
            Fault::Blackhole { .. } | Fault::Heal => self.network_fault(fault),
            Fault::AwaitPolicy { pod }
            | Fault::Deny { pod }
            | Fault::Forget { pod }
            | Fault::Replace { pod, .. }
            | Fault::Rotate { pod } => {
                if let Some(pod) = self.host(*pod) {
                    self.pod_fault(fault, pod);
                }
            }
            Fault::Drain { node, .. }
            | Fault::Issue { node, .. }
            | Fault::Join { node, .. }
            | Fault::Kill { node }
            | Fault::Lag { node, .. }
            | Fault::Resume { node }
            | Fault::Stop { node } => {
                if let Some(id) = self.nodes.get(*node).copied() {
                    self.node_fault(fault, *node, id);
                }
            }
            Fault::Leave { call } => {
                if let Some(app) = self.calls.get(*call).map(|made| made.app) {
                    self.world.leave(app);
                }
            }
            Fault::Strict => self.world.strict(),
            Fault::Undeny => self.world.remove_policy("no"),
            Fault::Unstrict => self.world.remove_policy("strict"),
        }
    }

    fn network_fault(&mut self, fault: &Fault) {
        if let Fault::Blackhole { pod } = fault {
            if let Some(pod) = self.host(*pod) {
                self.world.blackhole(pod);
            }
        } else {
            self.unclog();
        }
    }

    fn unclog(&mut self) {
        if self.world.is_clogged() {
            self.seen.insert("D15");
        }
        self.world.heal();
    }

    fn pod_fault(&mut self, fault: &Fault, pod: Pod) {
        match fault {
            Fault::AwaitPolicy { .. } => {
                let policies = vec![PolicyKey::new("default", "later")];
                self.world.change(pod, |spec| spec.authorization_policies = policies);
            }
            Fault::Deny { .. } => self.world.deny("no", pod),
            Fault::Forget { .. } => self.world.forget(pod),
            Fault::Replace { number, .. } => {
                let uid = format!("c//Pod/default/again-{number}");
                self.world.change(pod, |spec| spec.uid = uid.into());
            }
            _ => self.world.rotate(pod),
        }
    }

    fn node_fault(&mut self, fault: &Fault, number: usize, node: NodeId) {
        let busy = self.world.connections(node) > 0;
        match fault {
            Fault::Drain { within, .. } => {
                if busy && self.world.tunnels(node) > 0 {
                    self.seen.extend(["D11", "H1"]);
                }
                self.gone = Some(number);
                self.world.drain(node, *within);
            }
            Fault::Issue { issuing, .. } => self.world.issuing(node, *issuing),
            Fault::Join { joining, .. } => self.world.joining(node, *joining),
            Fault::Kill { .. } => {
                if busy {
                    self.seen.insert("D1");
                }
                self.gone = Some(number);
                self.world.kill(node);
            }
            Fault::Lag { lag, .. } => self.world.lag(node, *lag),
            Fault::Resume { .. } => {
                if busy {
                    self.seen.insert("H5");
                }
                self.world.resume(node);
            }
            _ => self.world.stop(node),
        }
    }

    fn heal(&mut self) {
        self.note("heal: no faults from here on".to_owned());
        self.unclog();
        self.world.remove_policy("no");
        self.world.remove_policy("strict");
        for node in self.nodes.clone() {
            self.world.lag(node, Duration::ZERO);
            self.world.joining(node, Joining::Kernel);
            self.world.issuing(node, Issuing::After(Duration::from_millis(1)));
            self.world.resume(node);
        }
        for pod in self.hosts.iter().copied().take(PODS).collect::<Vec<_>>() {
            self.world.change(pod, |spec| spec.authorization_policies.clear());
        }
        // Servers too: of one that waits for more after a client's FIN, nobody can know that the client has gone since.
        let clients = self.calls.iter().map(|made| made.app);
        for app in clients.chain(self.world.served()).collect::<Vec<_>>() {
            self.world.leave(app);
        }
        self.world.run(RECOVERY);
        self.look();
    }

    /// Everybody reaches everybody whose node is there, but for the machine.
    fn everything_works(&mut self) {
        self.note("probe: everybody calls everybody".to_owned());
        let there = |number: &usize| self.gone.is_none_or(|gone| number % self.nodes.len() != gone);
        let pods: Vec<usize> = (0..PODS).filter(there).collect();
        let mut calls = Vec::new();
        for from in pods.iter().copied().chain([PODS]) {
            for to in pods.iter().copied().filter(|to| *to != from) {
                let (Some(source), Some(sink)) = (self.host(from), self.host(to)) else { continue };
                let target = self.world.address(sink, Port::Echo.number());
                calls.push((from, to, self.world.call(source, target, Script::send(PROBE))));
            }
        }
        self.world.run(RECOVERY);
        for (from, to, app) in calls {
            self.probes.push(app);
            let saw = (self.world.seen(app), self.world.received(app));
            let (from, to) = (self.label(from), self.label(to));
            assert_eq!(saw, (Seen::Fin, PROBE), "L3: after healing, {from} does not reach {to}");
        }
    }

    /// Notes what applications show now of the faults that they can show.
    fn look(&mut self) {
        self.tell();
        let mut seen = Vec::new();
        for made in &self.calls {
            let (app, world) = (made.app, &self.world);
            if made.stalls && world.seen(app) == Seen::Open && world.unsent(app) > 0 {
                seen.push("D5");
                seen.extend(self.small.then_some("D13"));
            }
            if self.chopped && world.received(app) > 0 {
                seen.push("D6");
            }
            if world.seen(app) != Seen::Fin {
                continue;
            }
            if made.port == Port::Late && world.received(app) == LATE {
                seen.push("D2");
            }
            let first =
                |app| world.fin_sent_at(app).zip(world.ended_at(app)).is_some_and(|(sent, end)| sent < end);
            if first(app)
                && world.heard_by(app).is_some_and(|server| world.seen(server) == Seen::Fin && first(server))
            {
                seen.push("D3");
            }
        }
        self.seen.extend(seen);
    }

    /// Takes what nodes have reported since into the story.
    fn tell(&mut self) {
        let mut lines = Vec::new();
        for (number, (node, told)) in self.nodes.iter().zip(&mut self.told).enumerate() {
            let reports = self.world.reports(*node);
            let new = reports.get(*told..).unwrap_or_default();
            *told = reports.len();
            see(new, &mut self.seen);
            lines.extend(new.iter().map(|(at, event)| Line {
                at: at.since(Time::START),
                place: format!("node {number}"),
                what: story::words(event),
            }));
        }
        lines.sort_by_key(|line| line.at);
        self.story.append(&mut lines);
    }

    fn hash(&self) -> u64 {
        let mut hash = FNV_OFFSET;
        let mut put = |word: u64| hash = word.to_le_bytes().into_iter().fold(hash, fnv);
        for node in &self.nodes {
            put(self.world.outcome(*node).hash());
            for (at, _) in self.world.reports(*node) {
                put(nanos(at.since(Time::START)));
            }
        }
        let calls = self.calls.iter().map(|made| made.app).chain(self.probes.iter().copied());
        for app in calls.chain(self.world.served()) {
            put(self.world.seen(app) as u64);
            put(self.world.sent(app));
            put(self.world.received(app));
            put(self.world.ended_at(app).map_or(0, nanos));
        }
        hash
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What listens.
fn service(port: Port) -> Option<Serve> {
    let script = match port {
        Port::Echo => Script::echo(),
        Port::Slow => Script::echo().reading(Reading::Slow(3000, Duration::from_millis(20))),
        Port::Rude => Script::acts(&[Act::Receive(20_000), Act::Send(100), Act::Reset]),
        Port::First => Script::acts(&[Act::Send(40_000), Act::Fin]),
        Port::Silent => return Some(Serve::Silent),
        Port::Late => Script::acts(&[Act::AwaitEnd, Act::Pause(SECOND), Act::Send(LATE), Act::Fin]),
        Port::Closed => return None,
    };
    Some(Serve::Script(script))
}

/// Notes what reports of one node show.
fn see(reports: &[(Time, Event)], seen: &mut BTreeSet<&'static str>) {
    let mut together: BTreeMap<(Time, &'static str, SocketAddr, SocketAddr), usize> = BTreeMap::new();
    for (at, event) in reports {
        match event {
            Event::Closed { connection, reason, .. } => {
                seen.insert(name(reason));
                seen.extend(shown(connection, reason));
                if let (Some(hbone), Reporter::Source, Reason::Failed(fault)) =
                    (connection.hbone, connection.reporter, reason)
                {
                    let source = SocketAddr::new(connection.source.ip(), 0);
                    *together.entry((*at, group(fault), source, hbone)).or_default() += 1;
                }
            }
            Event::TunnelClosed { fault, .. } => {
                seen.insert(fault_name(fault));
                seen.extend(stage_id(fault));
            }
            Event::Opened(_)
            | Event::TunnelOpened { .. }
            | Event::DryRun { .. }
            | Event::HeadersIgnored { .. }
            | Event::Misuse(_)
            | Event::Drained
            | Event::WorkerRestarted { .. } => {}
        }
    }
    seen.extend(
        together
            .into_iter()
            .filter(|(_, count)| *count > 1)
            .map(|((_, id, ..), _)| id)
            .filter(|id| !id.is_empty()),
    );
}

/// The id of the fault that two connections show which end so at one moment, of one source towards one proxy.
fn group(fault: &fault::Fault) -> &'static str {
    use fault::Stage::{Http2Preface, TcpConnect, TlsHandshake};
    match fault {
        fault::Fault::TunnelLost(_) => "D10",
        fault::Fault::Io(_) | fault::Fault::Timeout(TcpConnect | TlsHandshake | Http2Preface) => "D8",
        _ => "",
    }
}

/// The ids of the faults that one connection's end shows.
fn shown(connection: &Connection, reason: &Reason) -> Option<&'static str> {
    match reason {
        Reason::SourceReset | Reason::DestinationReset => Some("D4"),
        Reason::Completed => None,
        Reason::Failed(fault::Fault::Revoked(_)) => Some("C9"),
        Reason::Failed(
            fault::Fault::Io(IoFault::Refused) | fault::Fault::Timeout(fault::Stage::TcpConnect),
        ) if connection.path != Path::Hbone || connection.reporter == Reporter::Destination => Some("D16"),
        Reason::Failed(fault) => stage_id(fault),
    }
}

fn stage_id(fault: &fault::Fault) -> Option<&'static str> {
    match fault {
        fault::Fault::Timeout(fault::Stage::TlsHandshake) => Some("D7"),
        fault::Fault::Timeout(fault::Stage::Http2Preface | fault::Stage::ConnectResponse) => Some("D9"),
        fault::Fault::Timeout(fault::Stage::Keepalive) => Some("D14"),
        fault::Fault::Timeout(fault::Stage::Credential) => Some("C1"),
        fault::Fault::TunnelLost(inner) => stage_id(inner),
        _ => None,
    }
}
