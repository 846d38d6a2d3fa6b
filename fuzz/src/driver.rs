//! A driver of one engine that does as it is told, keeps books of it, and says so where the engine contradicts itself.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use culvert_core::engine::boundary::{
    CloseMode, Input, Interest, Listener, Origin, Output, Slices, SocketId,
};
use culvert_core::engine::{Config, Engine};
use culvert_core::limit::Limits;
use culvert_core::mesh::Snapshot;
use culvert_core::telemetry::Event;
use culvert_core::time::{Now, Time, WallTime};

use crate::far::Far;
use crate::peers::NOW;

/// Ticks at one moment at most; more of them are a livelock.
const TICKS: usize = 64;
/// Deadlines until an engine that drains must have let everything go.
const DEADLINES: usize = 10_000;
/// What one socket or stream may hold over its limit: the read that passed it.
const READ: usize = 64 << 10;

/// What is known of a socket.
#[derive(Debug, Default)]
pub struct Known {
    /// The engine closed it.
    pub closed: bool,
    /// It is connected, as the engine knows.
    pub connected: bool,
    /// It carries a tunnel, not an application's bytes.
    pub tunnel: bool,
    /// It leads to an application in this process.
    pub in_memory: bool,
    /// The engine sent FIN.
    pub finished: bool,
    /// The other socket of a joined pair.
    pub joined: Option<SocketId>,
    /// The last interest that was told.
    pub interest: Interest,
    /// Who is at the other end, if it is a tunnel.
    pub far: Option<Far>,
}

/// An engine and the books of its driver.
#[derive(Debug)]
pub struct Driver {
    /// The engine.
    pub engine: Engine,
    /// Its limits.
    pub limits: Limits,
    /// What time it is.
    pub now: Now,
    /// Every socket that there ever was.
    pub sockets: BTreeMap<SocketId, Known>,
    /// The same, in the order in which they came.
    pub order: Vec<SocketId>,
    /// The facts that it was given last.
    pub snapshot: Arc<Snapshot>,
    /// Dials that nobody has looked at yet.
    pub dialled: Vec<SocketId>,
    /// Everything that came out, for comparison.
    pub told: Vec<String>,
    /// Whether somebody told the engine what did not happen.
    pub lied: bool,
    applications: usize,
    opened: usize,
    closed: usize,
    drained: usize,
}

impl Driver {
    /// A driver of a new engine.
    pub fn new(config: Config, snapshot: Arc<Snapshot>) -> Driver {
        let now = Now { time: Time::START, wall: NOW };
        Driver {
            limits: config.limits.clone(),
            engine: Engine::new(config, snapshot.clone(), now),
            now,
            sockets: BTreeMap::new(),
            order: Vec::new(),
            snapshot,
            dialled: Vec::new(),
            told: Vec::new(),
            lied: false,
            applications: 0,
            opened: 0,
            closed: 0,
            drained: 0,
        }
    }

    /// A listener accepted a connection.
    pub fn accept(&mut self, origin: Origin) -> SocketId {
        let socket = self.engine.accept(self.now, origin);
        self.applications += usize::from(origin.listener != Listener::InboundHbone);
        self.know(socket, true, origin.listener == Listener::InboundHbone);
        self.open_or_not(socket).in_memory = origin.listener == Listener::Consumer;
        socket
    }

    fn know(&mut self, socket: SocketId, connected: bool, tunnel: bool) {
        let before = self.sockets.insert(socket, Known { connected, tunnel, ..Known::default() });
        assert!(before.is_none(), "{socket:?} is there twice");
        self.order.push(socket);
    }

    /// Tells the engine something.
    pub fn tell(&mut self, input: Input) {
        self.trace(&input);
        self.engine.handle_input(self.now, input);
    }

    /// With `CULVERT_FUZZ_TRACE` in the environment, what goes in and comes out is printed: to read a failure.
    fn trace(&self, what: &dyn std::fmt::Debug) {
        static WANTED: OnceLock<bool> = OnceLock::new();
        if *WANTED.get_or_init(|| std::env::var_os("CULVERT_FUZZ_TRACE").is_some()) {
            eprintln!("{:?} {what:?}", self.now.time);
        }
    }

    /// Takes every output, and checks each.
    pub fn take_outputs(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            self.trace(&output);
            self.told.push(format!("{output:?}"));
            self.take(output);
        }
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Connect { socket, target, .. } => {
                let port = target.port();
                assert!(!matches!(port, 15001 | 15006 | 15080 | 0), "a dial to {target}");
                self.know(socket, false, port == 15008);
                self.dialled.push(socket);
            }
            Output::Deliver { socket, address, .. } => {
                assert_ne!(address.port(), 0, "a delivery to {address}");
                self.know(socket, false, false);
                self.open(socket).in_memory = true;
                self.dialled.push(socket);
            }
            Output::Interest { socket, interest } => {
                let known = self.open(socket);
                assert_ne!(known.interest, interest, "interest of {socket:?} did not change");
                known.interest = interest;
            }
            Output::Join { a, b } => {
                assert_ne!(a, b);
                for (one, other) in [(a, b), (b, a)] {
                    let known = self.open(one);
                    let joins = known.connected && known.joined.is_none() && !known.in_memory;
                    assert!(joins, "{one:?} cannot be joined");
                    known.joined = Some(other);
                }
                for socket in if self.lied { vec![] } else { vec![a, b] } {
                    assert_eq!(self.offered(socket), 0, "{socket:?} is joined with bytes in its queue");
                }
            }
            Output::Finish { socket } => {
                let known = self.open(socket);
                assert!(known.connected && !known.finished, "a second FIN, or one of nobody: {socket:?}");
                known.finished = true;
                assert_eq!(self.offered(socket), 0, "FIN of {socket:?} comes before the last byte");
            }
            Output::Close { socket, mode } => {
                let finished = self.open(socket).finished;
                assert!(
                    mode == CloseMode::Abort || finished || !self.applies(socket),
                    "{socket:?} ends unsaid"
                );
                self.open(socket).closed = true;
                if let Some(other) = self.open_or_not(socket).joined.take() {
                    self.open_or_not(other).joined = None;
                }
            }
            Output::NeedCredential { .. } | Output::DropCredential(_) => {}
            Output::NeedFacts { .. } | Output::Resolve { .. } => {}
            Output::Report(Event::Opened(_)) => self.opened += 1,
            Output::Report(Event::Closed { .. }) => self.closed += 1,
            Output::Report(Event::Drained) => self.drained += 1,
            Output::Report(Event::Misuse(what)) => {
                assert!(self.lied, "an honest driver is told of misuse: {what}")
            }
            Output::Report(_) => {}
        }
    }

    /// Whether an orderly close must have been announced: a tunnel ends by close_notify instead of FIN.
    fn applies(&self, socket: SocketId) -> bool {
        self.sockets.get(&socket).is_some_and(|known| known.connected && !known.tunnel)
    }

    fn open(&mut self, socket: SocketId) -> &mut Known {
        let known = self.open_or_not(socket);
        assert!(!known.closed, "{socket:?} is closed, and the engine goes on about it");
        known
    }

    fn open_or_not(&mut self, socket: SocketId) -> &mut Known {
        self.sockets.get_mut(&socket).unwrap_or_else(|| panic!("nobody knows {socket:?}"))
    }

    /// How many bytes the engine offers to write.
    pub fn offered(&mut self, socket: SocketId) -> usize {
        let mut slices = Slices::new();
        self.engine.write_slices(socket, &mut slices);
        slices.as_slice().iter().map(|slice| slice.len()).sum()
    }

    /// Lets deadlines that are due fire, and checks what holds between any two inputs.
    pub fn settle(&mut self) {
        let mut ticks = 0;
        while let Some(deadline) = self.engine.next_deadline()
            && deadline.at <= self.now.time
        {
            ticks += 1;
            assert!(ticks <= TICKS + self.engine.connections(), "{} never ends", deadline.why);
            self.tell(Input::Tick);
            self.take_outputs();
        }
        self.take_outputs();
        let held = self.engine.held_bytes();
        let each = 2 * (self.limits.relay_queue + READ) + self.limits.stream_window_wide as usize;
        let tunnel = 2 * READ + self.limits.tunnel_queue + (self.limits.connection_window as usize);
        let most = self.limits.memory_max
            + (self.engine.connections() + 1) * each
            + (self.engine.tunnels() + 1) * tunnel;
        assert!(held <= most, "{held} bytes are held, of at most {most}");
        assert!(self.closed >= self.opened.saturating_sub(self.engine.connections()), "an end was not told");
        for at in 0..self.order.len() {
            self.check_interest(self.order[at]);
        }
    }

    /// What was told last is what the engine can use: otherwise the driver waits for ever, or spins.
    fn check_interest(&mut self, socket: SocketId) {
        let known = &self.sockets[&socket];
        let (closed, connected, joined, interest) =
            (known.closed, known.connected, known.joined, known.interest);
        let reads = !self.engine.read_space(socket).is_empty();
        let writes = self.offered(socket) > 0;
        if closed {
            assert!(!reads && !writes, "{socket:?} is closed and wants bytes");
        } else if connected && joined.is_none() && !self.lied {
            assert_eq!((interest.read, interest.write), (reads, writes), "interest of {socket:?}");
        }
    }

    /// Lets the engine go away, and checks that nothing of it is left.
    pub fn finish(mut self) -> Vec<String> {
        self.settle();
        self.tell(Input::Drain { until: self.now.time.after(std::time::Duration::from_secs(5)) });
        self.settle();
        for _ in 0..DEADLINES {
            let Some(deadline) = self.engine.next_deadline() else { break };
            self.now.time = self.now.time.max(deadline.at);
            self.settle();
        }
        assert_eq!(self.engine.next_deadline(), None, "deadlines without end");
        let left: Vec<_> = self.order.iter().filter(|socket| !self.sockets[socket].closed).collect();
        assert!(left.is_empty(), "{left:?} were never closed");
        assert_eq!((self.engine.connections(), self.engine.tunnels()), (0, 0));
        assert_eq!(self.engine.held_bytes(), 0, "bytes are left");
        assert_eq!(self.drained, 1, "an engine drains once");
        assert!(self.closed >= self.applications, "{} ends of {}", self.closed, self.applications);
        self.told
    }

    /// Lets time pass: `time` never runs backwards, the wall clock may.
    pub fn pass(&mut self, time: std::time::Duration, wall: i32) {
        self.now.time = self.now.time.after(time);
        let secs = self.now.wall.as_unix_secs().saturating_add(time.as_secs());
        self.now.wall = WallTime::from_unix_secs(secs.saturating_add_signed(wall.into()));
    }
}
