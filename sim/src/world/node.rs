//! A node: one engine, driven as a production driver would, and recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

use culvert_core::engine::Config;
use culvert_core::engine::boundary::{CloseMode, Input, Listener, Output, SocketId};
use culvert_core::engine::pump::{Budget, Socket};
use culvert_core::fault::IoFault;
use culvert_core::telemetry::Event;
use culvert_core::time::{Now, Time};
use culvert_core::worklist::Worklist;

use serde::{Deserialize, Serialize};

use super::kernel::Kernel;
use super::machine::Machine;
use super::network::{Network, Side, WireId};
use super::paper::Wrong;
use super::recording::{Outcome, Recording, Step};
use crate::crypto::random::with_stream;
use crate::liar::Liar;
use culvert_core::seed::Draws;

/// A node of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub(super) usize);

/// How the certificate authority treats a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Issuing {
    /// It issues after so long.
    After(#[serde(with = "crate::scenario::seconds")] Duration),
    /// It refuses after so long.
    Refusing(#[serde(with = "crate::scenario::seconds")] Duration),
    /// It does not answer.
    Never,
    /// It issues what nobody may accept.
    Wrong(Wrong),
}

/// How a driver takes [`Output::Join`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Joining {
    /// The kernel relays.
    Kernel,
    /// It cannot: parted at once.
    Parted,
}

/// Bytes moved for one socket before others have their turn.
const TURN: usize = 64 << 10;
/// Bytes relayed between joined sockets at once.
const RELAY: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) engine: Machine,
    pub(super) limits: culvert_core::limit::Limits,
    draws: Draws,
    pub(super) sockets: BTreeMap<SocketId, (WireId, Side)>,
    /// Those that lead to an application in this process.
    pub(super) in_memory: BTreeSet<SocketId>,
    /// Every [`Output::Deliver`] of it.
    pub(super) delivered: Vec<Output>,
    joined: BTreeMap<SocketId, SocketId>,
    /// Joined sockets whose FIN the engine knows of.
    fin_told: BTreeSet<SocketId>,
    pub(super) ready: Worklist<SocketId>,
    pub(super) issuing: Issuing,
    pub(super) joining: Joining,
    /// How much later than asked for the driver says that time has passed.
    pub(super) lag: Duration,
    /// How many seconds its wall clock is ahead.
    pub(super) skew: i64,
    pub(super) stopped: bool,
    pub(super) killed: bool,
    pub(super) recording: Option<Recording>,
    /// How many inputs the engine took.
    pub(super) inputs: usize,
    pub(super) outcome: Outcome,
    pub(super) reports: Vec<(Time, Event)>,
    /// How many of them the world has looked at.
    pub(super) noticed: usize,
    /// What the engine wants of the world beyond its own sockets.
    pub(super) wants: Vec<Output>,
    /// Redirected connections accepted, by peer and original target, to be balanced by reports.
    pub(super) accepted: BTreeMap<(SocketAddr, SocketAddr), usize>,
    pub(super) joins: usize,
    pub(super) drain_until: Option<Time>,
    pub(super) kernel: Kernel,
    /// What came out of the processes before this one, as hashes.
    pub(super) lives: Vec<u64>,
}

impl Node {
    pub(super) fn new(
        config: Config,
        snapshot: std::sync::Arc<culvert_core::mesh::Snapshot>,
        now: Now,
        draws: Draws,
        recorded: bool,
        liar: Option<Liar>,
    ) -> Node {
        let recording =
            recorded.then(|| Recording::new(config.clone(), snapshot.clone(), now, draws.clone()));
        Node {
            limits: config.limits.clone(),
            recording,
            inputs: 0,
            engine: Machine::new(config, snapshot, now, liar),
            draws,
            sockets: BTreeMap::new(),
            in_memory: BTreeSet::new(),
            delivered: Vec::new(),
            joined: BTreeMap::new(),
            fin_told: BTreeSet::new(),
            ready: Worklist::default(),
            issuing: Issuing::After(Duration::from_millis(5)),
            joining: Joining::Kernel,
            lag: Duration::ZERO,
            skew: 0,
            stopped: false,
            killed: false,
            outcome: Outcome::new(recorded),
            reports: Vec::new(),
            noticed: 0,
            wants: Vec::new(),
            accepted: BTreeMap::new(),
            joins: 0,
            drain_until: None,
            kernel: Kernel::default(),
            lives: Vec::new(),
        }
    }

    pub(super) fn is_awake(&self) -> bool {
        !self.stopped && !self.killed
    }

    /// When the driver looks at the engine's deadline.
    pub(super) fn next_tick(&self) -> Option<Time> {
        self.engine.next_deadline().map(|deadline| deadline.at.after(self.lag))
    }

    pub(super) fn input(&mut self, net: &mut Network, now: Now, input: Input) {
        self.record(|| Step::Input(now, input.clone()));
        let engine = &mut self.engine;
        with_stream(&mut self.draws, || engine.handle_input(now, input));
        self.effects(net);
    }

    fn record(&mut self, step: impl FnOnce() -> Step) {
        self.inputs += 1;
        if let Some(recording) = &mut self.recording {
            recording.steps.push(step());
        }
    }

    pub(super) fn accept(
        &mut self,
        net: &mut Network,
        now: Now,
        origin: culvert_core::engine::boundary::Origin,
        wire: WireId,
    ) -> SocketId {
        self.record(|| Step::Accept(now, origin));
        if let Some(original) = origin.original {
            *self.accepted.entry((origin.peer, original)).or_default() += 1;
        }
        let engine = &mut self.engine;
        let socket = with_stream(&mut self.draws, || engine.accept(now, origin));
        if origin.listener == Listener::Consumer {
            self.in_memory.insert(socket);
        }
        self.sockets.insert(socket, (wire, Side::Dialled));
        self.effects(net);
        socket
    }

    /// Lets the engine read and write a socket until it or the kernel has enough.
    pub(super) fn pump(&mut self, net: &mut Network, now: Now, id: SocketId) {
        let Some(&(wire, side)) = self.sockets.get(&id) else { return };
        if let Some(&other) = self.joined.get(&id) {
            self.relay(net, now, id, other);
            return self.relay(net, now, other, id);
        }
        let mut broken = None;
        let readiness = {
            let mut socket = Wired {
                net: &mut *net,
                wire,
                side,
                id,
                now,
                steps: self.recording.as_mut().map(|recording| &mut recording.steps),
                inputs: &mut self.inputs,
                outcome: &mut self.outcome,
                broken: &mut broken,
            };
            let engine = &mut self.engine;
            let mut budget = Budget::bytes(TURN);
            with_stream(&mut self.draws, || engine.pump(id, now, &mut socket, &mut budget))
        };
        if let Some(fault) = broken {
            self.record(|| Step::Input(now, Input::Failed { socket: id, fault }));
        }
        if readiness.more {
            self.ready.insert(id);
        }
        self.effects(net);
    }

    /// What the kernel does for a joined pair, one way.
    fn relay(&mut self, net: &mut Network, now: Now, from: SocketId, to: SocketId) {
        let wanted = |outcome: &Outcome| outcome.interest.get(&from).is_some_and(|interest| interest.read);
        while self.joined.get(&from) == Some(&to) && wanted(&self.outcome) {
            let (Some(&(source, near)), Some(&(sink, far))) =
                (self.sockets.get(&from), self.sockets.get(&to))
            else {
                return;
            };
            let room = net.room(sink, far).min(RELAY);
            if room == 0 {
                return;
            }
            let mut space = net.lend(source, near, room);
            let result = net.read(source, near, &mut space);
            let written = match result {
                Ok(len @ 1..) => net.write_whole(sink, far, &space[..len]),
                Ok(0) | Err(_) => Ok(()),
            };
            net.give_back(space);
            match (result, written) {
                (Ok(0), _) => {
                    if self.fin_told.insert(from) {
                        self.input(net, now, Input::ReadEnd { socket: from });
                    }
                    return;
                }
                (Ok(len), Ok(())) => self.input(net, now, Input::Moved { from, to, len: len as u64 }),
                (Ok(_), Err(error)) => {
                    let fault = IoFault::from_error(&error);
                    return self.input(net, now, Input::Failed { socket: to, fault });
                }
                (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => return,
                (Err(error), _) => {
                    let fault = IoFault::from_error(&error);
                    return self.input(net, now, Input::Failed { socket: from, fault });
                }
            }
        }
    }

    /// The driver gives up a join.
    pub(super) fn part_all(&mut self, net: &mut Network, now: Now) {
        while let Some((a, b)) = self.joined.pop_first() {
            self.joined.remove(&b);
            self.input(net, now, Input::Parted { a, b });
            self.ready.extend([a, b]);
        }
    }

    /// Does what the engine asks, in order.
    fn effects(&mut self, net: &mut Network) {
        loop {
            let Some(output) = self.engine.poll_output() else { return };
            self.outcome.take(&output);
            match output {
                Output::Interest { socket, interest } => {
                    if interest.read || interest.write {
                        self.ready.insert(socket);
                    }
                }
                Output::Join { a, b } => {
                    let in_memory = [a, b].iter().any(|socket| self.in_memory.contains(socket));
                    assert!(!in_memory, "{a:?} and {b:?} cannot be joined: no kernel has them");
                    self.joins += 1;
                    self.joined.insert(a, b);
                    self.joined.insert(b, a);
                    self.ready.extend([a, b]);
                }
                Output::Finish { socket } => {
                    if let Some(&(wire, side)) = self.sockets.get(&socket) {
                        net.finish(wire, side);
                    }
                }
                Output::Close { socket, mode } => {
                    if let Some(other) = self.joined.remove(&socket) {
                        self.joined.remove(&other);
                    }
                    self.ready.remove(&socket);
                    self.in_memory.remove(&socket);
                    self.fin_told.remove(&socket);
                    match self.sockets.remove(&socket) {
                        Some((wire, side)) => {
                            if mode == CloseMode::Discard {
                                net.discard(wire, side);
                            }
                            net.close(wire, side, mode == CloseMode::Abort);
                        }
                        None => self.wants.push(Output::Close { socket, mode }),
                    }
                }
                Output::Report(event) => {
                    assert!(!event.is_error(), "S22: an error of ours: {event:?}");
                    self.reports.push((net.now, event));
                }
                Output::Connect { .. }
                | Output::Deliver { .. }
                | Output::NeedCredential { .. }
                | Output::DropCredential(_)
                | Output::NeedFacts { .. }
                | Output::Resolve { .. } => self.wants.push(output),
            }
        }
    }

    /// Takes over from the process before: how its kernel and the authority treat it, and what was reported.
    pub(super) fn succeed(&mut self, before: Node) {
        self.lives = before.lives;
        self.lives.push(before.outcome.hash());
        (self.reports, self.noticed) = (before.reports, before.noticed);
        (self.inputs, self.joins) = (before.inputs, before.joins);
        (self.issuing, self.joining) = (before.issuing, before.joining);
        (self.lag, self.kernel) = (before.lag, before.kernel);
    }

    /// The kernel closes what a killed process had open.
    pub(super) fn kill(&mut self, net: &mut Network) {
        self.killed = true;
        for (wire, side) in std::mem::take(&mut self.sockets).into_values() {
            net.close(wire, side, false);
        }
    }

    /// Joined pairs for which the driver has been told; parted where it cannot.
    pub(super) fn refuse_joins(&mut self, net: &mut Network, now: Now) {
        if self.joining == Joining::Parted && !self.joined.is_empty() {
            self.part_all(net, now);
        }
    }
}

/// A socket of the simulated network, with a record of what went through it.
struct Wired<'a> {
    net: &'a mut Network,
    wire: WireId,
    side: Side,
    id: SocketId,
    now: Now,
    steps: Option<&'a mut Vec<Step>>,
    inputs: &'a mut usize,
    outcome: &'a mut Outcome,
    broken: &'a mut Option<IoFault>,
}

impl Wired<'_> {
    fn record(&mut self, step: impl FnOnce() -> Step) {
        *self.inputs += 1;
        if let Some(steps) = &mut self.steps {
            steps.push(step());
        }
    }
}

impl Socket for Wired<'_> {
    fn try_read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let result = self.net.read(self.wire, self.side, space);
        let (socket, now) = (self.id, self.now);
        match &result {
            Ok(0) => self.record(|| Step::Input(now, Input::ReadEnd { socket })),
            Ok(len) => {
                self.record(|| Step::Read(now, socket, space.get(..*len).unwrap_or_default().to_vec()));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                let fault = IoFault::from_error(error);
                self.record(|| Step::Input(now, Input::Failed { socket, fault }));
            }
        }
        result
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let result = self.net.write(self.wire, self.side, slices);
        let (socket, now) = (self.id, self.now);
        match &result {
            Ok(len) => {
                self.outcome.wrote(socket, slices, *len);
                self.record(|| Step::Wrote(now, socket, *len));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.record(|| Step::Offered(socket)),
            // The pump reads what is left before it tells of this.
            Err(error) => {
                self.record(|| Step::Offered(socket));
                *self.broken = Some(IoFault::from_error(error));
            }
        }
        result
    }
}
