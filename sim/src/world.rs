//! A deterministic world around whole engines: hosts, TCP, applications that check every byte, a certificate authority,
//! and virtual time that jumps from one event to the next.
//!
//! Engines are driven through their public boundary only, as a production driver would. After every turn the laws of
//! `world/law.rs` are checked; [`World::finish`] ends everything and checks the rest.
#![expect(clippy::expect_used, reason = "a world is a test: what cannot be must fail it")]

mod agenda;
mod app;
mod attacker;
mod control;
mod demand;
mod digest;
mod forgery;
mod hearing;
mod host;
mod kernel;
mod law;
mod machine;
mod names;
mod network;
mod node;
mod outage;
mod paper;
mod payload;
mod permission;
mod recording;
mod renewal;
mod restart;
mod rotation;
mod route;
#[cfg(test)]
mod tests;
mod trust;
mod upheaval;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::capture::Local;
use culvert_core::engine::Config;
use culvert_core::engine::boundary::{Input, Output};
use culvert_core::identity::SpiffeId;
use culvert_core::limit::Limits;
use culvert_core::mesh::Snapshot;
use culvert_core::policy::Compat;
use culvert_core::seed::Seed;
use culvert_core::telemetry::{Event, Reason};
use culvert_core::time::{Now, Time, WallTime};
use culvert_core::worklist::Worklist;

pub use app::{Act, AppId, Reading, Script, Seen, Serve};
pub use attacker::{AttackerId, Papers};
pub use control::{CatchUp, Delivery};
pub use culvert_core::mesh::HealthStatus;
pub(crate) use digest::Digest;
pub use host::Pod;
pub use names::Answer;
pub use network::{Direction, KEEPALIVE};
pub use node::{Issuing, Joining, NodeId};
pub use paper::Wrong;
pub use payload::fill as fill_payload;
pub use recording::{Outcome, Polling, Recording, Step};
pub use trust::Roots;
pub use upheaval::Hostile;

use crate::certificate::Authority;
use crate::cryptography::{Cryptography, KeyName};
use crate::liar::{Liar, Lie};
use app::{App, Apps};
use attacker::Attacker;
use host::Host;
use network::{Network, Owner};
use node::Node;

/// Wall-clock time at the beginning of every world.
const WALL: u64 = 1_800_000_000;
/// Turns at one moment at most: more of them are a livelock (L9).
const TURNS: usize = 2_000_000;

/// A world. Made empty; nodes, pods and machines are added, then it runs.
#[derive(Debug)]
pub struct World {
    seed: Seed,
    cryptography: Cryptography,
    limits: Limits,
    same_node: bool,
    require_waypoint: bool,
    on_demand: bool,
    /// The network of a node, where it is another than that without a name.
    networks: BTreeMap<usize, Arc<str>>,
    net: Network,
    nodes: Vec<Node>,
    hosts: Vec<Host>,
    apps: Apps,
    attackers: Vec<Attacker>,
    /// Attackers that have something to do.
    busy: Worklist<AttackerId>,
    authority: Authority,
    /// Who ever got a key of which identity.
    issued: BTreeSet<(NodeId, SpiffeId)>,
    renewals: renewal::Renewals,
    names: names::Names,
    demands: demand::Demands,
    trusts: trust::Trusts,
    rotations: rotation::Rotations,
    upheavals: upheaval::Upheavals,
    control: control::Control,
    /// Which of the scenarios' vocabulary the world itself has seen.
    shown: BTreeSet<&'static str>,
    finished: bool,
    permissions: permission::Permissions,
    lifetime: Duration,
    /// Whether engines are recorded, and recordings replayed at the end: it needs memory for every byte, and time.
    replays: bool,
}

impl World {
    /// An empty world: a function of its seed.
    pub fn new(seed: u64) -> World {
        World::with_limits(seed, |_| ())
    }

    /// An empty world whose engines have other limits than the defaults.
    pub fn with_limits(seed: u64, change: impl FnOnce(&mut Limits)) -> World {
        World::with_cryptography(Cryptography::fake(), seed, change)
    }

    /// An empty world that also has another cryptography than the fake.
    pub fn with_cryptography(
        cryptography: Cryptography,
        seed: u64,
        change: impl FnOnce(&mut Limits),
    ) -> World {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(seed.to_le_bytes()) {
            *to = from;
        }
        let seed = Seed::new(bytes);
        let mut limits = Limits::default();
        change(&mut limits);
        let authority = Authority::with(&cryptography.notary, &KeyName::new(seed, "root 0"), "cluster.local");
        World {
            net: Network::new(seed.child("network").draws(), seed.child("paths").draws()),
            authority: authority.expect("the trust domain's name is correct"),
            issued: BTreeSet::new(),
            renewals: renewal::Renewals::default(),
            names: names::Names::default(),
            demands: demand::Demands::default(),
            trusts: trust::Trusts::default(),
            rotations: rotation::Rotations::default(),
            upheavals: upheaval::Upheavals::default(),
            replays: cryptography.exact,
            seed,
            cryptography,
            limits,
            same_node: true,
            require_waypoint: false,
            on_demand: false,
            networks: BTreeMap::new(),
            nodes: Vec::new(),
            hosts: Vec::new(),
            apps: Apps::default(),
            attackers: Vec::new(),
            busy: Worklist::default(),
            control: control::Control::new(seed.child("control"), Arc::new(Snapshot::new())),
            shown: BTreeSet::new(),
            finished: false,
            permissions: permission::Permissions::default(),
            lifetime: Duration::from_secs(24 * 3600),
        }
    }

    /// Another authority of the mesh's trust domain, known by what it is for.
    fn namesake(&self, seed: &Seed, label: impl Into<String>) -> Authority {
        let name = KeyName::new(*seed, label);
        let made = Authority::with(&self.cryptography.notary, &name, self.authority.trust_domain());
        made.expect("the trust domain's name is correct")
    }

    /// Adds a node without pods.
    pub fn node(&mut self) -> NodeId {
        self.add_node(None)
    }

    /// Adds a node without pods in another network.
    pub fn node_in(&mut self, network: &str) -> NodeId {
        self.networks.insert(self.nodes.len(), network.into());
        self.add_node(None)
    }

    /// Adds a node without pods that lies to its peers. The laws hold for all others.
    pub fn liar(&mut self, lies: Vec<Lie>) -> NodeId {
        self.add_node(Some(Liar::new(lies)))
    }

    fn add_node(&mut self, liar: Option<Liar>) -> NodeId {
        let number = self.nodes.len();
        let config = self.config(number, 0);
        let draws = config.seed.child("tls").draws();
        let recorded = self.replays && liar.is_none();
        let facts = self.control.facts().clone();
        self.control.subscribe(self.net.now);
        let mut node = Node::new(config, facts, self.now(), draws, recorded, liar);
        node.outcome.compares_bytes(self.cryptography.exact);
        self.nodes.push(node);
        NodeId(number)
    }

    /// What a node's engine is made with, each time its process begins.
    fn config(&self, number: usize, life: usize) -> Config {
        let seed = self.seed.child(&format!("node {number}"));
        Config {
            limits: self.limits.clone(),
            crypto: self.cryptography.provider.clone(),
            seed: if life == 0 { seed } else { seed.child(&format!("life {life}")) },
            local: Local {
                same_node: self.same_node,
                require_waypoint: self.require_waypoint,
                network: self.network_of(NodeId(number)),
                answered: self.on_demand.then(BTreeSet::new),
                ..Local::default()
            },
            compat: Compat::Culvert,
            keep_source: true,
            bind_pod_address: false,
            join: true,
            response_baggage: true,
        }
    }

    /// The network that a node is in.
    fn network_of(&self, node: NodeId) -> Arc<str> {
        self.networks.get(&node.0).cloned().unwrap_or_default()
    }

    /// Two pods of one node have a tunnel between them as any others.
    pub fn without_local_path(&mut self) {
        self.same_node = false;
    }

    /// What has a waypoint is reached by that waypoint only, at nodes added from here on.
    pub fn require_waypoints(&mut self) {
        self.require_waypoint = true;
    }

    /// Reads and writes move at most so many bytes at once, a random part of it.
    pub fn chop(&mut self, most: usize) {
        self.net.chop = Some(most);
    }

    /// Bytes that a TCP connection holds in one direction.
    pub fn capacity(&mut self, bytes: usize) {
        self.net.capacity = bytes;
    }

    /// Nodes added from here on are not recorded, and E1 is not checked of them: for worlds that move much, and many worlds.
    pub fn without_replay(&mut self) {
        self.replays = false;
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        let time = self.net.now;
        Now { time, wall: WallTime::from_unix_secs(WALL + time.since(Time::START).as_secs()) }
    }

    /// Both clocks as a node has them.
    pub(super) fn now_at(&self, node: NodeId) -> Now {
        let now = self.now();
        let wall = now.wall.as_unix_secs().saturating_add_signed(self.nodes[node.0].skew);
        Now { wall: WallTime::from_unix_secs(wall), ..now }
    }

    /// How long the world has existed.
    pub fn elapsed(&self) -> Duration {
        self.net.now.since(Time::START)
    }

    /// An application of a pod or a machine dials.
    pub fn call(&mut self, from: Pod, target: SocketAddr, script: Script) -> AppId {
        let host = self.host(from);
        let ip = host.ip;
        let route = if host.node.is_some() { ip } else { target.ip() };
        self.call_by(from, ip, route, target, script)
    }

    /// As [`World::call`]; no byte of it may reach any application.
    pub fn call_in_vain(&mut self, from: Pod, target: SocketAddr, script: Script) -> AppId {
        let id = self.call(from, target, script);
        self.apps.forbidden.insert(id.0 as u64 + 1);
        id
    }

    /// From here on an application listens.
    pub fn serve(&mut self, pod: Pod, port: u16, serve: Serve) -> SocketAddr {
        let address = self.address(pod, port);
        self.apps.listeners.insert(address, serve);
        address
    }

    /// How the connection stands for its application.
    pub fn seen(&self, app: AppId) -> Seen {
        self.app(app).seen
    }

    /// Bytes that the application has received.
    pub fn received(&self, app: AppId) -> u64 {
        self.app(app).received
    }

    /// The application's own address, which it has from the beginning.
    pub fn local(&self, app: AppId) -> SocketAddr {
        self.app(app).local
    }

    /// Bytes that the application has handed to TCP.
    pub fn sent(&self, app: AppId) -> u64 {
        self.app(app).sent
    }

    /// Bytes that the application wants to send and TCP does not take yet.
    pub fn unsent(&self, app: AppId) -> u64 {
        self.app(app).left_to_send
    }

    /// When the application sent FIN, counted from the beginning of the world.
    pub fn fin_sent_at(&self, app: AppId) -> Option<Duration> {
        self.app(app).fin_sent_at.map(|at| at.since(Time::START))
    }

    /// When the connection ended for its application, counted from the beginning of the world.
    pub fn ended_at(&self, app: AppId) -> Option<Duration> {
        self.app(app).ended_at.map(|at| at.since(Time::START))
    }

    /// Whether the application has let go of its connection, in whatever way, or never had one.
    pub fn has_closed(&self, app: AppId) -> bool {
        let app = self.app(app);
        app.has_closed() || app.seen == Seen::Refused
    }

    /// Connections that servers have accepted.
    pub fn served(&self) -> Vec<AppId> {
        let servers = |(_, app): &(usize, &App)| app.side == network::Side::Dialled;
        self.apps.list.iter().enumerate().filter(servers).map(|(id, _)| AppId(id)).collect()
    }

    /// The application that received what `app` sent.
    pub fn heard_by(&self, app: AppId) -> Option<AppId> {
        self.apps.heard_by.get(&self.app(app).stream).copied()
    }

    /// What a node has reported, with the time of each.
    pub fn reports(&self, node: NodeId) -> &[(Time, Event)] {
        &self.nodes[node.0].reports
    }

    /// The terminal reasons of a node's connections, in order.
    pub fn reasons(&self, node: NodeId) -> Vec<Reason> {
        let closed = |(_, event): &(Time, Event)| match event {
            Event::Closed { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        self.reports(node).iter().filter_map(closed).collect()
    }

    /// The tunnels that a node has now, in whatever phase.
    pub fn tunnels(&self, node: NodeId) -> usize {
        self.nodes[node.0].engine.tunnels()
    }

    /// The connections that a node has now.
    pub fn connections(&self, node: NodeId) -> usize {
        self.nodes[node.0].engine.connections()
    }

    /// Bytes that a node's engine holds now.
    pub fn held_bytes(&self, node: NodeId) -> usize {
        self.nodes[node.0].engine.held_bytes()
    }

    /// How many times a node's driver was asked to join sockets.
    pub fn joins(&self, node: NodeId) -> usize {
        self.nodes[node.0].joins
    }

    /// What a node has handed to applications in its own process, as it said it.
    pub fn delivered(&self, node: NodeId) -> &[Output] {
        &self.nodes[node.0].delivered
    }

    /// What went into a node's engine, if it was recorded.
    pub fn recording(&self, node: NodeId) -> Option<&Recording> {
        self.nodes[node.0].recording.as_ref()
    }

    /// How many inputs a node's engine took.
    pub fn inputs(&self, node: NodeId) -> usize {
        self.nodes[node.0].inputs
    }

    /// What came out of a node's engine.
    pub fn outcome(&self, node: NodeId) -> &Outcome {
        &self.nodes[node.0].outcome
    }

    /// Sends an application's connection to an end with RST.
    pub fn leave(&mut self, app: AppId) {
        self.apps.list[app.0].leave(&mut self.net);
        self.turn();
    }

    fn app(&self, app: AppId) -> &App {
        &self.apps.list[app.0]
    }

    /// Lets so much time pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.net.now.after(time);
        self.turn();
        while let Some(at) = self.next_event().filter(|at| *at <= until) {
            self.net.now = self.net.now.max(at);
            self.turn();
        }
        self.net.now = until;
        self.turn();
    }

    /// Lets time pass until `done`, or for `most`; says whether it was done.
    pub fn run_until(&mut self, most: Duration, mut done: impl FnMut(&World) -> bool) -> bool {
        let until = self.net.now.after(most);
        self.turn();
        while !done(self) {
            let Some(at) = self.next_event().filter(|at| *at <= until) else { return false };
            self.net.now = self.net.now.max(at);
            self.turn();
        }
        true
    }

    fn next_event(&self) -> Option<Time> {
        let awake = self.nodes.iter().filter(|node| node.is_awake());
        awake.filter_map(Node::next_tick).chain(self.net.agenda.next()).min()
    }

    /// Everything that happens at this moment.
    fn turn(&mut self) {
        for _ in 0..TURNS {
            if !self.progress() {
                self.check_drains();
                return self.check();
            }
        }
        panic!("L9: the world does not come to rest at {:?}", self.net.now);
    }

    fn progress(&mut self) -> bool {
        self.wake();
        if let Some(app) = self.apps.ready.pop_first() {
            self.run_app(app);
            return true;
        }
        if let Some(attacker) = self.busy.pop_first() {
            self.attackers[attacker.0].run(&mut self.net);
            return true;
        }
        for number in 0..self.nodes.len() {
            let now = self.now_at(NodeId(number));
            let node = &mut self.nodes[number];
            if !node.is_awake() {
                continue;
            }
            node.refuse_joins(&mut self.net, now);
            if let Some(socket) = node.ready.pop_first() {
                node.pump(&mut self.net, now, socket);
                self.grant(NodeId(number));
                return true;
            }
            if node.next_tick().is_some_and(|at| at <= now.time) {
                node.input(&mut self.net, now, Input::Tick);
                self.grant(NodeId(number));
                return true;
            }
        }
        if let Some(happening) = self.net.agenda.pop_due(self.net.now) {
            self.happen(happening);
            return true;
        }
        false
    }

    fn run_app(&mut self, id: AppId) {
        let back = self.apps.list[id.0].run(&mut self.net);
        self.check_app(id);
        if let Some(at) = back.filter(|at| *at > self.net.now) {
            self.net.agenda.put(at, agenda::Happening::App(id));
        }
    }

    fn wake(&mut self) {
        while let Some((wire, side)) = self.net.woken.pop() {
            match self.net.wire(wire).map(|wire| &wire.end(side).owner) {
                Some(Owner::App(app)) => self.apps.ready.insert(*app),
                Some(Owner::Attacker(attacker)) => self.busy.insert(*attacker),
                Some(Owner::Node(node, socket)) => self.nodes[node.0].ready.insert(*socket),
                Some(Owner::Backlog(..) | Owner::Nobody) | None => {}
            }
        }
    }
}
