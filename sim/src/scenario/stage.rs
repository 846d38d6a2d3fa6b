//! Where a plan happens: the world, who is in it, and what was seen of it.

mod change;
mod host;
mod hostile;
mod network;
mod witness;

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use culvert_core::mesh::PolicyKey;
use culvert_core::time::Time;

use super::plan::{Before, Call, Fault, LATE, Options, Port, Round};
use super::story::{self, Line};
use super::{Depth, Outcome, Violation};
use crate::cryptography::Cryptography;
use crate::world::{
    Act, AppId, AttackerId, Digest, Joining, NodeId, Pod, Reading, Script, Seen, Serve, World,
};
use host::Tricks;
use hostile::Siege;
use network::Outages;

const SECOND: Duration = Duration::from_secs(1);
/// Within this, after everything is healed, everything works.
const RECOVERY: Duration = Duration::from_secs(40);
/// What calls after the recovery exchange.
const PROBE: u64 = 3000;
/// Pairs that call each other after the recovery.
const PROBES: usize = 3;
/// A tunnel without streams closes after this, in every scenario: late enough for probes to use those of before.
const TUNNEL_IDLE: Duration = Duration::from_secs(45);
/// A half-closed connection without a byte is aborted after this, in every scenario.
const HALF_CLOSED: Duration = Duration::from_secs(300);

/// A call that was made.
struct Made {
    app: AppId,
    from: usize,
    to: usize,
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
    /// What stands before the service, and the gateway's pod where that is one.
    before: Option<Before>,
    gate: Option<Pod>,
    /// The pods, and then the machine.
    hosts: Vec<Pod>,
    pods: usize,
    /// By the numbers of the plan.
    calls: Vec<Made>,
    probes: Vec<AppId>,
    small: bool,
    chopped: bool,
    outages: Outages,
    tricks: Tricks,
    sieges: Vec<Siege>,
    /// Attackers whose windows were made smaller.
    narrowed: Vec<AttackerId>,
    /// The node of the last pod, where it lies.
    liar: Option<NodeId>,
    /// A node that is gone is not replaced at the end.
    stays_gone: bool,
    story: Option<Vec<Line>>,
    /// How many reports of each node are told.
    told: Vec<usize>,
    seen: BTreeSet<&'static str>,
    events: usize,
    simulated: Duration,
}

impl Stage {
    pub(super) fn new(options: &Options, cryptography: &Cryptography, depth: Depth) -> Stage {
        let mut world = World::with_cryptography(cryptography.clone(), options.seed, |limits| {
            limits.tunnel_idle = TUNNEL_IDLE;
            limits.half_closed_idle = HALF_CLOSED;
            (limits.ping_interval, limits.ping_timeout) = (options.pings, options.pings);
            if let Some(small) = &options.small {
                limits.peer_streams_per_tunnel = small.streams_per_tunnel;
                limits.tunnels_per_key = small.tunnels_per_key;
                limits.stream_window = small.window_kib << 10;
                limits.connection_window = 4 * (small.window_kib << 10);
                limits.relay_queue = small.queue_kib << 10;
                limits.judgements_per_turn = 2;
            }
            if let Some(scarcity) = options.scarcity {
                host::limit(limits, scarcity);
            }
        });
        if let Some(most) = options.chop {
            world.chop(most);
        }
        if !options.same_node {
            world.without_local_path();
        }
        if options.on_demand {
            world.on_demand();
        }
        if !depth.replays {
            world.without_replay();
        }
        world.capacity(options.capacity);
        world.latency(options.latency);
        network::lay(&mut world, &options.ways);
        change::prepare(&mut world, options);
        let nodes: Vec<NodeId> = (0..options.nodes).map(|_| world.node()).collect();
        let liar = options.tale.map(|tale| world.liar(hostile::lies(tale)));
        let honest = options.pods - usize::from(liar.is_some());
        let places = nodes.iter().copied().cycle().take(honest).chain(liar).enumerate();
        let mut hosts: Vec<Pod> =
            places.map(|(number, node)| world.pod(node, &format!("p{number}"))).collect();
        if let Some(pod) = options.consumer.and_then(|number| hosts.get(number)) {
            world.consumer(*pod);
        }
        hosts.push(world.machine());
        if let Some(liar) = liar {
            // Whose key it has too.
            world.pod(liar, "somebody");
        }
        for host in &hosts {
            for port in Port::ALL {
                if let Some(serve) = service(port) {
                    world.serve(*host, port.number(), serve);
                }
            }
        }
        change::found(&mut world, options, &nodes, hosts.get(..honest).unwrap_or_default());
        let gate = change::stand_before(&mut world, options, &nodes, hosts.get(..honest).unwrap_or_default());
        Stage {
            told: vec![0; nodes.len()],
            world,
            nodes,
            gone: None,
            before: options.before,
            gate,
            hosts,
            pods: options.pods,
            calls: Vec::new(),
            probes: Vec::new(),
            small: options.small.is_some(),
            chopped: options.chop.is_some(),
            outages: Outages::default(),
            tricks: Tricks::default(),
            sieges: Vec::new(),
            narrowed: Vec::new(),
            liar,
            stays_gone: options.nodes > 2 && options.seed.is_multiple_of(2),
            story: depth.story.then(Vec::new),
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

        self.note(|_| "the end: all leave".to_owned());
        self.world.conclude();
    }

    /// What came of it.
    pub(super) fn leave(mut self, violation: Option<Violation>) -> Outcome {
        self.tell();
        let hash = self.hash();
        self.events = self.nodes.iter().map(|node| self.world.inputs(*node)).sum();
        if let Some(violation) = &violation {
            self.note(|_| format!("VIOLATION {}", violation.message));
            self.world.abandon();
        }
        Outcome {
            hash,
            nodes: self.nodes.len(),
            connections: self.calls.len() + self.probes.len(),
            faults: 0,
            events: self.events,
            simulated: self.simulated,
            seen: self.seen,
            violation,
            story: self.story.unwrap_or_default(),
        }
    }

    fn note(&mut self, what: impl FnOnce(&Stage) -> String) {
        self.tell();
        if self.story.is_some() {
            let line = Line { at: self.world.elapsed(), place: "world".to_owned(), what: what(self) };
            self.story.get_or_insert_default().push(line);
        }
    }

    fn host(&self, number: usize) -> Option<Pod> {
        self.hosts.get(number).copied()
    }

    fn call(&mut self, call: &Call) {
        let Some(from) = self.host(call.from) else { return };
        let target = self.target(call.to, call.port);
        let number = self.calls.len();
        self.note(|stage| {
            format!(
                "call {number}: {} dials {target} ({:?} of {}): {:?}, reading {:?}",
                stage.label(call.from),
                call.port,
                stage.label(call.to),
                call.script.acts,
                call.script.reading
            )
        });
        let app = self.world.call(from, target, call.script.clone());
        let stalls = call.script.reading != Reading::All || call.port == Port::Slow;
        self.calls.push(Made { app, from: call.from, to: call.to, port: call.port, stalls });
    }

    /// An address by the number of the pod, the machine, or the service after it.
    fn target(&self, number: usize, port: Port) -> SocketAddr {
        match self.host(number) {
            Some(host) => self.world.address(host, port.number()),
            None => self.world.service_address(port.number()),
        }
    }

    fn label(&self, number: usize) -> String {
        match number.checked_sub(self.pods) {
            None => format!("p{number}"),
            Some(0) => "the machine".to_owned(),
            Some(_) => "the service".to_owned(),
        }
    }

    fn fault(&mut self, fault: &Fault) {
        self.note(|_| format!("fault: {fault:?}"));
        match fault {
            Fault::Attack { pod, attack } => self.attack(*pod, *attack),
            Fault::Host(fault) => self.host_fault(fault),
            Fault::Change(change) => self.change(change),
            Fault::Network(fault) => self.network_fault(fault),
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
        self.note(|_| "heal: no faults from here on".to_owned());
        self.unclog();
        self.world.loss(None);
        self.heal_hosts();
        self.rout();
        if let Some(gone) = self.gone.filter(|_| !self.stays_gone) {
            self.restart(gone);
        }
        self.world.remove_policy("no");
        self.world.remove_policy("strict");
        for node in self.nodes.clone() {
            self.world.lag(node, Duration::ZERO);
            self.world.joining(node, Joining::Kernel);
            self.world.resume(node);
        }
        self.restore();
        self.world.run(RECOVERY + self.ignorance());
        self.world.check_convergence();
        for _ in 0..=self.calls.len() {
            if !self.let_go() {
                break;
            }
            self.world.run(SECOND);
        }
        self.look();
    }

    /// Lets everybody leave. Servers too: of one that waits for more after a client's FIN, nobody can know that the client has
    /// gone since; and whoever waited for its turn may reach a server only then. Says whether somebody was still there.
    fn let_go(&mut self) -> bool {
        let clients = self.calls.iter().map(|made| made.app);
        let clients = clients.chain(self.tricksters().iter().copied());
        let there: Vec<AppId> =
            clients.chain(self.world.served()).filter(|app| !self.world.has_closed(*app)).collect();
        there.iter().for_each(|app| self.world.leave(*app));
        !there.is_empty()
    }

    /// Whoever has called can call again, as long as its node and the other's are there: the machine too.
    fn everything_works(&mut self) {
        self.note(|_| "probe: those who called call again".to_owned());
        let honest = self.honest();
        let there = |number: usize| {
            let lies = (honest..self.pods).contains(&number);
            !lies && self.gone.is_none_or(|gone| number >= self.pods || number % self.nodes.len() != gone)
        };
        let first = (0..self.pods).filter(|number| there(*number)).collect::<Vec<_>>();
        let mut pairs: Vec<(usize, usize)> =
            first.windows(2).map(|pair| (pair[0], pair[1])).take(1).collect();
        for made in self.calls.iter().rev() {
            let pair = (made.from, made.to);
            // Of the service only the mesh knows.
            let known = pair.0 < self.pods || pair.1 <= self.pods;
            if pairs.len() < PROBES && !pairs.contains(&pair) && there(pair.0) && there(pair.1) && known {
                pairs.push(pair);
            }
        }
        let mut calls = Vec::new();
        for (from, to) in pairs {
            let Some(source) = self.host(from) else { continue };
            let target = self.target(to, Port::Echo);
            calls.push((from, to, self.world.call(source, target, Script::send(PROBE))));
        }
        let ended = |world: &World| calls.iter().all(|(.., app)| world.ended_at(*app).is_some());
        self.world.run_until(RECOVERY, ended);
        for (from, to, app) in calls {
            self.probes.push(app);
            let saw = (self.world.seen(app), self.world.received(app));
            let (from, to) = (self.label(from), self.label(to));
            assert_eq!(saw, (Seen::Fin, PROBE), "L3: after healing, {from} does not reach {to}");
        }
        if self.nodes.iter().any(|node| !self.world.past_outcomes(*node).is_empty()) {
            self.seen.insert("restart");
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
        self.look_at_network();
        self.look_at_hosts();
        self.look_at_sieges();
    }

    /// Takes in what nodes have reported since, and into the story if there is one.
    fn tell(&mut self) {
        let mut lines = Vec::new();
        let mut forged = Vec::new();
        let hostile = self.is_hostile();
        for (number, (node, told)) in self.nodes.iter().zip(&mut self.told).enumerate() {
            let reports = self.world.reports(*node);
            let new = reports.get(*told..).unwrap_or_default();
            *told = reports.len();
            witness::see(new, &mut self.seen);
            if !hostile {
                witness::assert_spoken_well(new);
            }
            forged.extend_from_slice(new);
            if self.story.is_some() {
                lines.extend(new.iter().map(|(at, event)| Line {
                    at: at.since(Time::START),
                    place: format!("node {number}"),
                    what: story::words(event),
                }));
            }
        }
        self.look_at_forgeries(&forged);
        self.seen.extend(self.world.take_shown());
        if let Some(story) = &mut self.story {
            lines.sort_by_key(|line| line.at);
            story.append(&mut lines);
        }
    }

    fn hash(&self) -> u64 {
        let mut digest = Digest::default();
        for node in &self.nodes {
            self.world.past_outcomes(*node).hash(&mut digest);
            self.world.outcome(*node).hash().hash(&mut digest);
            for (at, _) in self.world.reports(*node) {
                at.hash(&mut digest);
            }
        }
        let calls = self.calls.iter().map(|made| made.app).chain(self.probes.iter().copied());
        for app in calls.chain(self.world.served()) {
            (self.world.seen(app) as u64, self.world.sent(app)).hash(&mut digest);
            (self.world.received(app), self.world.ended_at(app)).hash(&mut digest);
        }
        digest.finish()
    }
}

/// What listens.
fn service(port: Port) -> Option<Serve> {
    let script = match port {
        Port::Echo => Script::echo(),
        Port::Slow => Script::echo().reading(Reading::Slow(1500, Duration::from_millis(20))),
        Port::Rude => Script::acts(&[Act::Receive(4000), Act::Send(100), Act::Reset]),
        Port::First => Script::acts(&[Act::Send(8000), Act::Fin]),
        Port::Silent => return Some(Serve::Silent),
        Port::Late => Script::acts(&[Act::AwaitEnd, Act::Pause(SECOND), Act::Send(LATE), Act::Fin]),
        Port::Closed => return None,
    };
    Some(Serve::Script(script))
}
