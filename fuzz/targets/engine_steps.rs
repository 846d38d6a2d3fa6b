//! One engine by its public boundary, in any order: connections, bytes, dials, credentials, facts, time, drain, and drivers that
//! say what is not so. It never panics, never contradicts itself, holds no more than its limits, and lets everything go.
#![no_main]

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use culvert_core::capture::Local;
use culvert_core::engine::Config;
use culvert_core::engine::boundary::{Input, Listener, Origin, Slices, SocketId};
use culvert_core::fault::IoFault;
use culvert_core::identity::{Credential, IdentityFault};
use culvert_core::limit::Limits;
use culvert_core::policy::Compat;
use culvert_core::seed::Seed;
use culvert_fuzz::driver::Driver;
use culvert_fuzz::far::Far;
use culvert_fuzz::input::{self, Bytes};
use culvert_fuzz::peers::{self, Cast};
use culvert_fuzz::world;
use culvert_sim::crypto;
use culvert_sim::crypto::random::with_stream;
use libfuzzer_sys::fuzz_target;

const TARGETS: [&str; 10] = [
    "10.0.0.2:8080",
    "10.0.0.3:8080",
    "10.0.0.4:8080",
    "10.96.0.1:80",
    "203.0.113.9:443",
    "10.0.0.1:15008",
    "127.0.0.1:15001",
    "169.254.169.254:80",
    "10.0.0.1:8080",
    "[2001:db8::9]:80",
];
const SPANS: [Duration; 8] = [
    Duration::ZERO,
    Duration::from_millis(1),
    Duration::from_millis(400),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(21),
    Duration::from_secs(301),
    Duration::from_secs(50_000),
];
const FAULTS: [IoFault; 4] =
    [IoFault::Reset, IoFault::Refused, IoFault::Exhausted, IoFault::AddressUnavailable];

fuzz_target!(|data: &[u8]| {
    let Some(body) = input::body(data) else { return };
    let first = run(body);
    if body.first().is_some_and(|flags| flags & 8 != 0) {
        assert!(run(body) == first, "the same steps gave other outputs");
    }
});

fn run(body: &[u8]) -> Vec<String> {
    let mut bytes = Bytes::new(body);
    let flags = bytes.byte();
    let mut draws = Seed::new([5; 32]).child("tls").draws();
    with_stream(&mut draws, || {
        let mut script = Script::new(flags, bytes.byte());
        while !bytes.is_empty() {
            script.step(&mut bytes);
            if script.polls_late && bytes.byte() & 1 != 0 {
                continue;
            }
            script.driver.take_outputs();
            script.answer_dials();
            script.driver.settle();
            script.answer_dials();
        }
        script.driver.finish()
    })
}

fn limits() -> Limits {
    Limits {
        streams_per_tunnel: 2,
        tunnels_per_key: 2,
        waiters_per_key: 4,
        peer_streams_per_tunnel: 3,
        half_open_tunnels: 3,
        accepted_tunnels: 4,
        stream_window: 8 << 10,
        stream_window_wide: 16 << 10,
        stream_window_low: 1 << 10,
        connection_window: 70_000,
        relay_queue: 4 << 10,
        tunnel_queue: 4 << 10,
        memory_low: 32 << 10,
        memory_max: 96 << 10,
        judgements_per_turn: 2,
        connections: 12,
        half_closed_idle: Duration::from_secs(100),
        connection_max_age: Duration::from_secs(40_000),
        ..Limits::default()
    }
}

struct Script {
    driver: Driver,
    cast: &'static Cast,
    polls_late: bool,
    honest: bool,
    /// Applications live in the driver's process.
    consumers: bool,
    accepted: u16,
}

impl Script {
    fn new(flags: u8, facts: u8) -> Script {
        static CAST: OnceLock<Cast> = OnceLock::new();
        let config = Config {
            limits: limits(),
            crypto: crypto::provider(),
            seed: Seed::new([6; 32]),
            local: Local { same_node: flags & 4 == 0, ..Local::default() },
            compat: Compat::Culvert,
            keep_source: flags & 16 != 0,
            bind_pod_address: false,
            join: flags & 32 == 0,
            response_baggage: true,
        };
        let mut script = Script {
            driver: Driver::new(config, Arc::new(world::facts(facts))),
            cast: CAST.get_or_init(Cast::new),
            polls_late: flags & 1 != 0,
            honest: flags & 2 == 0,
            consumers: flags & 128 != 0,
            accepted: 0,
        };
        if flags & 64 == 0 {
            for pod in 0..2 {
                script.add_pod(pod);
                script.give_credential(pod, 0);
            }
        }
        script
    }

    fn add_pod(&mut self, byte: u8) {
        let (pod, workload) = world::pod(byte);
        self.driver.tell(Input::PodAdded { pod, workload, consumer: self.consumers });
    }

    /// A dial of a tunnel gets a far end that understands it; which kind, its number says.
    fn answer_dials(&mut self) {
        for socket in std::mem::take(&mut self.driver.dialled) {
            if let Some(known) = self.driver.sockets.get_mut(&socket).filter(|known| known.tunnel) {
                known.far = Some(Far::new(self.cast, &limits(), true, socket.slot() % 8 == 7));
            }
        }
    }

    fn socket(&self, byte: u8) -> Option<SocketId> {
        let sockets = &self.driver.order;
        // The newest is 0, so that scripts need not count.
        sockets
            .len()
            .checked_sub(1 + usize::from(byte) % sockets.len().max(1))
            .and_then(|at| sockets.get(at))
            .copied()
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let (op, which) = (bytes.byte(), bytes.byte());
        let socket = self.socket(which);
        match (op % 16, socket) {
            (0, _) if self.consumers => self.accept(Listener::Consumer, which, bytes),
            (0 | 1, _) => self.accept(Listener::Outbound, which, bytes),
            (2, _) => self.accept(Listener::InboundPlaintext, which, bytes),
            (3, _) => self.accept(Listener::InboundHbone, which, bytes),
            (4, Some(socket)) => self.connected(socket),
            (5, Some(socket)) => {
                let fault = FAULTS[usize::from(bytes.byte()) % FAULTS.len()];
                self.driver.tell(Input::Failed { socket, fault });
            }
            (6, Some(socket)) => self.read(socket, bytes),
            (7, Some(socket)) => self.driver.tell(Input::ReadEnd { socket }),
            (8, Some(socket)) => self.write(socket, usize::from(bytes.short())),
            (9, Some(socket)) => (0..4).for_each(|_| self.carry(socket, usize::MAX)),
            (10, Some(socket)) => {
                if let Some(far) = self.driver.sockets.get_mut(&socket).and_then(|known| known.far.as_mut()) {
                    far.act(bytes);
                }
            }
            (11, Some(socket)) => self.joined(socket, bytes.byte()),
            (12, _) => self.about_pods(which, bytes.byte()),
            (13, _) => {
                let snapshot = Arc::new(world::facts(which));
                let changed = Arc::new(self.driver.snapshot.diff_to(&snapshot));
                self.driver.snapshot = snapshot.clone();
                self.driver.tell(Input::Apply { snapshot, changed });
            }
            (14, _) => {
                self.driver.pass(SPANS[usize::from(which) % SPANS.len()], i32::from(bytes.byte() as i8) * 40);
                self.driver.tell(Input::Tick);
            }
            (15, _) if which > 250 => {
                let until = self.driver.now.time.after(SPANS[usize::from(bytes.byte()) % SPANS.len()]);
                self.driver.tell(Input::Drain { until });
            }
            (15, Some(socket)) if !self.honest => self.lie(socket, bytes),
            _ => {}
        }
    }

    fn accept(&mut self, listener: Listener, which: u8, bytes: &mut Bytes<'_>) {
        let target = TARGETS[usize::from(bytes.byte()) % TARGETS.len()].parse().expect("an address");
        self.accepted += 1;
        let (pod, _) = world::pod(which);
        let own = if pod.0 == 1 { "10.0.0.2:15008" } else { "10.0.0.1:15008" };
        let own: SocketAddr = own.parse().expect("an address");
        let (tunnel, from) =
            (listener == Listener::InboundHbone, if which & 4 == 0 { [10, 0, 0, 3] } else { [10, 0, 0, 1] });
        let origin = Origin {
            pod,
            listener,
            peer: SocketAddr::from((from, self.accepted)),
            local: own,
            original: (!tunnel && which & 8 == 0).then_some(target),
        };
        let socket = self.driver.accept(origin);
        if let Some(known) = self.driver.sockets.get_mut(&socket).filter(|_| tunnel && which & 16 == 0) {
            known.far = Some(Far::new(self.cast, &limits(), false, which & 32 != 0));
        }
    }

    fn connected(&mut self, socket: SocketId) {
        let known = self.driver.sockets.get_mut(&socket).expect("the socket is known");
        if known.connected || known.closed {
            return;
        }
        known.connected = true;
        let local = SocketAddr::from(([10, 0, 0, 1], 40_000));
        self.driver.tell(Input::Connected { socket, local });
    }

    /// Bytes of the input into a socket, as many as it takes.
    fn read(&mut self, socket: SocketId, bytes: &mut Bytes<'_>) {
        let (count, repeat) = (usize::from(bytes.byte()), usize::from(bytes.byte()));
        let payload = bytes.take(count).repeat(1 + repeat);
        let space = self.driver.engine.read_space(socket);
        let len = space.len().min(payload.len());
        if len > 0 {
            space[..len].copy_from_slice(&payload[..len]);
            self.driver.tell(Input::Read { socket, len });
        }
    }

    /// The socket takes bytes; those of a tunnel go to its far end.
    fn write(&mut self, socket: SocketId, most: usize) {
        let mut slices = Slices::new();
        self.driver.engine.write_slices(socket, &mut slices);
        let taken: Vec<u8> =
            slices.as_slice().iter().flat_map(|slice| slice.iter().copied()).take(most.max(1)).collect();
        if taken.is_empty() {
            return;
        }
        self.driver.tell(Input::Wrote { socket, len: taken.len() });
        if let Some(far) = self.driver.sockets.get_mut(&socket).and_then(|known| known.far.as_mut()) {
            far.take(&taken);
        }
    }

    /// What the far end of a tunnel has to say goes to the engine, and the answer back.
    fn carry(&mut self, socket: SocketId, most: usize) {
        if !self.driver.sockets.get(&socket).is_some_and(|known| known.connected && !known.closed) {
            return;
        }
        let space = self.driver.engine.read_space(socket).len();
        let Some(far) = self.driver.sockets.get_mut(&socket).and_then(|known| known.far.as_mut()) else {
            return;
        };
        let said = far.give(most.min(space));
        if !said.is_empty() {
            self.driver.engine.read_space(socket)[..said.len()].copy_from_slice(&said);
            self.driver.tell(Input::Read { socket, len: said.len() });
        }
        self.write(socket, most);
    }

    /// The kernel says something of a joined pair.
    fn joined(&mut self, socket: SocketId, what: u8) {
        let Some(other) = self.driver.sockets.get(&socket).and_then(|known| known.joined) else { return };
        if what < 250 {
            return self.driver.tell(Input::Moved { from: socket, to: other, len: u64::from(what) });
        }
        for socket in [socket, other] {
            if let Some(known) = self.driver.sockets.get_mut(&socket) {
                known.joined = None;
            }
        }
        self.driver.tell(Input::Parted { a: socket, b: other });
    }

    fn about_pods(&mut self, which: u8, what: u8) {
        match what % 4 {
            0 => self.add_pod(which),
            1 => self.driver.tell(Input::PodRemoved { pod: world::pod(which).0 }),
            _ => self.give_credential(which, what >> 2),
        }
    }

    fn give_credential(&mut self, which: u8, what: u8) {
        static ISSUED: OnceLock<Vec<Arc<Credential>>> = OnceLock::new();
        let issued = ISSUED.get_or_init(peers::own);
        let (_, workload) = world::pod(which);
        let id = peers::id(&workload.name);
        let own: Vec<_> = issued.iter().filter(|credential| *credential.id() == id).collect();
        let outcome = match own.get(usize::from(what) % 4) {
            Some(credential) => Ok(Arc::clone(credential)),
            None => Err(IdentityFault::Unavailable("no".into())),
        };
        self.driver.tell(Input::Credential { id, outcome });
    }

    /// What did not happen, of a socket that may be gone.
    fn lie(&mut self, socket: SocketId, bytes: &mut Bytes<'_>) {
        self.driver.lied = true;
        let (what, len) = (bytes.byte(), usize::from(bytes.short()));
        let other = self.socket(bytes.byte()).unwrap_or(socket);
        let local = SocketAddr::from(([10, 0, 0, 1], 1));
        self.driver.tell(match what % 5 {
            0 => Input::Read { socket, len },
            1 => Input::Wrote { socket, len },
            2 => Input::Moved { from: socket, to: other, len: len as u64 },
            3 => Input::Parted { a: socket, b: other },
            _ => Input::Connected { socket, local },
        });
        if let Some(known) = self.driver.sockets.get_mut(&socket)
            && what % 5 == 4
        {
            known.connected = true;
        }
    }
}
