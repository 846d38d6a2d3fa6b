//! One worker's share of a node: flows, tunnels and timers composed. It is told what happened ([`Input`]) and answers with
//! what to do ([`Output`]); bytes go through memory that it lends.

mod abort;
pub mod boundary;
mod credentials;
mod demand;
mod endpoints;
mod flow;
mod inbound;
mod judge;
mod local;
mod names;
mod outbound;
pub mod pump;
mod relay;
mod settings;
mod sockets;
mod timers;
mod trust;
mod tunnels;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use boundary::{CloseMode, Deadline, Input, Listener, Origin, Output, PodId, SocketId};
use credentials::Credentials;
use demand::Asked;
use flow::{Flow, FlowId, Kind};
use local::Pod;
use names::Names;
pub use settings::Config;
use sockets::{ReadBlock, SocketEntry};
use timers::{Timer, Timers};
use trust::Trusted;
use tunnels::{PoolKey, TunnelEntry, TunnelId, Waiter};

use crate::balance::Observed;
use crate::capture::Local;
use crate::hbone::pool::{Pool, PoolLimits};
use crate::hbone::tunnel::TunnelBlock;
use crate::lies::{Honest, Lies};
use crate::mesh::{Snapshot, Uid};
use crate::seed::Draws;
use crate::slots::Slots;
use crate::telemetry::Event;
use crate::time::{Now, Time};
use crate::tls::{TlsContext, WallCell};
use crate::worklist::Worklist;

/// The state machine of one worker. Single-threaded; owns all that it touches.
///
/// Four kinds of methods: [`accept`](Engine::accept) and [`handle_input`](Engine::handle_input) take facts in;
/// [`poll_output`](Engine::poll_output) gives effects out; [`read_space`](Engine::read_space) and
/// [`write_slices`](Engine::write_slices) lend memory for one system call; [`next_deadline`](Engine::next_deadline) is a
/// pure question. They may be called in any order and any number of times.
///
/// Tests make malicious peers of it with other [`Lies`] than [`Honest`]; nothing else has any.
#[derive(Debug)]
pub struct Engine<L: Lies = Honest> {
    lies: L,
    config: Config,
    latest: Now,
    snapshot: Arc<Snapshot>,
    local: Local,
    pods: BTreeMap<PodId, Pod>,
    pod_of_uid: BTreeMap<Uid, PodId>,
    tls: TlsContext,
    wall: WallCell,
    credentials: Credentials,
    trusted: Trusted,

    sockets: Slots<SocketId, SocketEntry>,
    flows: Slots<FlowId, Flow>,
    tunnels: Slots<TunnelId, TunnelEntry<L>>,
    pool: Pool<PoolKey, TunnelId, Waiter>,
    observed: Observed,
    names: Names,
    asked: Asked,

    /// Flows that wait for facts or a credential, in the order in which they began.
    waiting: BTreeSet<FlowId>,
    /// Flows under policy, by destination workload: what a change of facts must judge again (node.md B4).
    by_destination: BTreeMap<Uid, BTreeSet<FlowId>>,
    /// Flows that a change of facts has made stale and that are not judged yet.
    stale: BTreeSet<FlowId>,

    block: ReadBlock,
    /// What the next tunnel reads into.
    tunnel_block: TunnelBlock,
    held_bytes: usize,
    windows_low: bool,
    half_open: usize,
    /// Tunnels that peers opened, in whatever phase.
    accepted: usize,
    timers: Timers,
    draws: Draws,
    trace_draws: Draws,
    draining: Option<Time>,
    drained: bool,

    outputs: VecDeque<Output>,
    dirty_sockets: Worklist<SocketId>,
    dirty_tunnels: Worklist<TunnelId>,
}

impl Engine {
    /// Makes an engine that knows `snapshot` and serves no pod yet.
    pub fn new(config: Config, snapshot: Arc<Snapshot>, now: Now) -> Engine {
        Engine::lying(config, snapshot, now, Honest)
    }
}

impl<L: Lies> Engine<L> {
    /// Makes an engine that lies to its peers as it is told.
    pub fn lying(config: Config, snapshot: Arc<Snapshot>, now: Now, lies: L) -> Engine<L> {
        let wall = WallCell::new(now.wall);
        let limits = PoolLimits {
            streams_per_tunnel: config.limits.streams_per_tunnel,
            tunnels_per_key: config.limits.tunnels_per_key,
            waiters_per_key: config.limits.waiters_per_key,
        };
        let observed = Observed::new(&config.limits);
        Engine {
            lies,
            tls: TlsContext::new(&config.crypto, wall.clone()),
            wall,
            // Where pods are addresses of one host, its loopback is not the pod's (node.md B12).
            local: Local {
                loopback_tunnel: config.local.loopback_tunnel && !config.bind_pod_address,
                ..config.local.clone()
            },
            draws: config.seed.child("endpoint-choice").draws(),
            trace_draws: config.seed.child("traceparent").draws(),
            config,
            latest: now,
            snapshot,
            pods: BTreeMap::new(),
            pod_of_uid: BTreeMap::new(),
            credentials: Credentials::default(),
            trusted: Trusted::default(),
            sockets: Slots::new(),
            flows: Slots::new(),
            tunnels: Slots::new(),
            pool: Pool::new(limits),
            observed,
            names: Names::default(),
            asked: Asked::default(),
            waiting: BTreeSet::new(),
            by_destination: BTreeMap::new(),
            stale: BTreeSet::new(),
            block: ReadBlock::default(),
            tunnel_block: TunnelBlock::default(),
            held_bytes: 0,
            windows_low: false,
            half_open: 0,
            accepted: 0,
            timers: Timers::default(),
            draining: None,
            drained: false,
            outputs: VecDeque::new(),
            dirty_sockets: Worklist::default(),
            dirty_tunnels: Worklist::default(),
        }
    }

    /// A listener accepted a connection; the name returned is the driver's for the socket from here on.
    pub fn accept(&mut self, now: Now, origin: Origin) -> SocketId {
        let now = self.clock(now);
        let socket = match origin.listener {
            Listener::Consumer | Listener::Outbound => self.accept_connection(now, Kind::Outbound, origin),
            Listener::InboundPlaintext => self.accept_connection(now, Kind::Plaintext, origin),
            Listener::InboundHbone => self.accept_tunnel(now, origin),
        };
        self.settle(now);
        socket
    }

    /// Takes in what happened. Total: a stale or unknown id is normal after a close race and is ignored.
    pub fn handle_input(&mut self, now: Now, input: Input) {
        let now = self.clock(now);
        match input {
            Input::PodAdded { pod, workload, consumer } => self.pod_added(now, pod, workload, consumer),
            Input::PodRemoved { pod } => self.pod_removed(now, pod),
            Input::Connected { socket, local } => self.socket_connected(now, socket, local),
            Input::Failed { socket, fault } => self.socket_failed(now, socket, fault),
            Input::Read { socket, len } => self.socket_read(now, socket, len),
            Input::ReadEnd { socket } => self.socket_read_end(now, socket),
            Input::Wrote { socket, len } => self.socket_wrote(now, socket, len),
            Input::Moved { from, to, len } => self.sockets_moved(now, from, to, len),
            Input::Parted { a, b } => self.sockets_parted(a, b),
            Input::Credential { id, outcome } => self.credential_arrived(now, id, outcome),
            Input::Trust(trust) => self.trust_changed(now, trust),
            Input::Resolved { host, outcome } => self.resolved(now, host, outcome),
            Input::Known { name } => self.fact_known(now, name),
            Input::Forgotten { name } => self.fact_forgotten(&name),
            Input::Apply { snapshot, changed } => self.apply(now, snapshot, &changed),
            Input::Drain { until } => self.drain(now, until),
            Input::Tick => {}
        }
        self.settle(now);
    }

    /// The next effect, in the order in which they were decided.
    pub fn poll_output(&mut self) -> Option<Output> {
        planted!(OutputsReordered => if self.outputs.len() > 6 {
            return self.outputs.pop_back();
        });
        self.outputs.pop_front()
    }

    /// When to send [`Input::Tick`] at the latest. Querying changes nothing.
    pub fn next_deadline(&self) -> Option<Deadline> {
        if !self.stale.is_empty() {
            return Some(Deadline { at: self.latest.time, why: "policy sweep" });
        }
        planted!(DeadlineStays => if self.drained {
            return Some(Deadline { at: self.latest.time, why: "drain deadline" });
        });
        self.timers.next()
    }

    /// How many connections are alive.
    pub fn connections(&self) -> usize {
        self.flows.len()
    }

    /// How many tunnels are alive, in whatever phase.
    pub fn tunnels(&self) -> usize {
        self.tunnels.len()
    }

    /// Bytes held in queues: what memory limits are compared with.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Time as this engine counts it: it never runs backwards, whatever the driver's clock does.
    fn clock(&mut self, now: Now) -> Now {
        let now = Now { time: now.time.max(self.latest.time), wall: now.wall };
        self.latest = now;
        self.wall.set(now.wall);
        self.return_endpoints(now);
        now
    }

    /// Brings everything that one input set in motion to rest, so that outputs are complete when it returns.
    fn settle(&mut self, now: Now) {
        self.fire_timers(now);
        self.sweep(now);
        self.turn_tunnels(now);
        self.balance_memory();
        // Windows may have changed, of which peers are told.
        self.turn_tunnels(now);
        self.settle_sockets();
        self.finish_drain();
    }

    fn turn_tunnels(&mut self, now: Now) {
        while let Some(tunnel) = self.dirty_tunnels.pop_first() {
            self.turn_tunnel(now, tunnel);
        }
    }

    fn fire_timers(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop_due(now.time) {
            match timer {
                Timer::Flow(flow) => self.flow_deadline(now, flow),
                Timer::Tunnel(tunnel) => self.tunnel_deadline(now, tunnel),
                Timer::Socket(socket) => self.close_socket(socket, CloseMode::Abort),
                Timer::Stream(tunnel, stream) => self.stream_deadline(tunnel, stream),
                Timer::Drain => self.drain_deadline(now),
            }
        }
    }

    fn report(&mut self, event: Event) {
        self.outputs.push_back(Output::Report(event));
    }
}
