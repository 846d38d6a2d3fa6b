//! A node under attack, what it may cost, and a connection through it that must not notice.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use culvert_spec_tests::testbed::{
    Address, Certificates, CulvertProcess, Ending, Mesh, NodeSetup, PATIENCE, Server, TestNode, call,
    converse, culvert, echo, exchange, hear, take,
};

use crate::peer::{Peer, dial, shown, tls_config};

/// What the good connection must still get done while the attack lasts.
const TURNS: usize = 20;

/// What the attacker's applications saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Connections ever.
    pub all: AtomicUsize,
    /// Connections now.
    pub live: AtomicUsize,
    /// The most at once.
    pub most: AtomicUsize,
    /// How they ended, with how many bytes came before.
    pub endings: Mutex<Vec<(Ending, usize)>>,
    /// Those that are never read.
    stalled: Mutex<Vec<TcpStream>>,
}

impl Seen {
    fn enter(&self) {
        self.all.fetch_add(1, Ordering::SeqCst);
        let live = self.live.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(live, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
    }

    /// Waits until `count` have ended, and tells how.
    pub fn endings(&self, count: usize) -> Vec<(Ending, usize)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let endings = self.endings.lock().unwrap().clone();
            if endings.len() >= count {
                return endings;
            }
            assert!(Instant::now() < deadline, "{} of {count} connections have ended", endings.len());
            std::thread::yield_now();
        }
    }
}

/// A server's node in a process of its own, its workload's applications, and a client's node here.
///
/// Port 7000 echoes and is the good client's; 7001 reads; 7002 never reads; 7003 sends without end.
pub struct Scene {
    pub server: Address,
    pub client: Address,
    pub mallory: Address,
    pub certificates: Certificates,
    /// The node that is attacked.
    pub node: CulvertProcess,
    /// What ports 7001 to 7003 saw.
    pub seen: Arc<Seen>,
    good: Mutex<TcpStream>,
    /// Connections to the application that are ours.
    own: AtomicUsize,
    _client_node: TestNode,
    _servers: Vec<Server>,
}

/// The processor time and memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// The most it had since it was last asked, in KiB.
    pub peak: u64,
    /// What it has, in KiB.
    pub now: u64,
    /// Ticks of 10 ms.
    pub ticks: u64,
}

impl Scene {
    pub fn new() -> Scene {
        Scene::with_limits(&[])
    }

    /// One whose node has other bounds.
    pub fn with_limits(limits: &[&str]) -> Scene {
        Scene::build(limits, |mesh| mesh)
    }

    /// One that also has other facts.
    pub fn build(limits: &[&str], facts: impl Fn(Mesh) -> Mesh) -> Scene {
        let [server, client, mallory] = [(); 3].map(|()| Address::take());
        let mesh = Mesh::new()
            .workload("server", server.ip)
            .workload("client", client.ip)
            .workload("mallory", mallory.ip);
        let mesh = facts(mesh);
        let certificates = Certificates::issue(&["server", "client", "mallory"]);
        let seen = Arc::new(Seen::default());
        let servers = applications(&server, &seen);
        let mut command = Command::new("sh");
        let more: Vec<String> = limits.iter().map(|limit| format!(" --limit {limit}")).collect();
        command.args(["-c", &format!("exec \"$@\"{}", more.concat()), "sh"]).arg(culvert());
        let node = NodeSetup::new(&mesh, "server", server.ip, &certificates)
            .forward(server.port(9999), client.port(9999))
            .spawn_by(&mut command);
        let client_node = NodeSetup::new(&mesh, "client", client.ip, &certificates)
            .forward(client.port(7000), server.port(7000))
            .start();
        let good = converse(client.port(7000));
        let scene = Scene {
            server,
            client,
            mallory,
            certificates,
            node,
            seen,
            good: Mutex::new(good),
            own: AtomicUsize::new(0),
            _client_node: client_node,
            _servers: servers,
        };
        scene.turn();
        scene
    }

    /// Panics unless the attacker reached applications exactly so many times. A connection of our own to the one that
    /// reads, which comes after those of the node in its queue, shows that they have been counted.
    pub fn assert_seen(&self, count: usize) {
        let own = self.own.fetch_add(1, Ordering::SeqCst) + 1;
        drop(converse(self.server.port(7001)));
        let deadline = Instant::now() + PATIENCE;
        while self.seen.all.load(Ordering::SeqCst) < own + count {
            assert!(
                Instant::now() < deadline,
                "the attacker reached the application less than {count} times"
            );
            std::thread::yield_now();
        }
        assert_eq!(self.seen.all.load(Ordering::SeqCst) - own, count, "connections to applications");
    }

    /// The text of a target of the server.
    pub fn target(&self, port: u16) -> String {
        self.server.port(port).to_string()
    }

    /// A tunnel of an attacker with a valid identity.
    pub fn peer(&self) -> Peer {
        self.tls_peer().greet()
    }

    /// One that has not begun its handshake.
    pub fn tls_peer(&self) -> Peer {
        let config = tls_config(shown(&self.certificates, "mallory"), &[b"h2"]);
        Peer::new(self.dial(), config)
    }

    /// An attacker's connection without a byte.
    pub fn dial(&self) -> TcpStream {
        dial(self.mallory.ip, self.server.hbone()).unwrap()
    }

    fn turn(&self) {
        let mut good = self.good.lock().unwrap();
        good.write_all(b"still there").unwrap();
        assert_eq!(take(&good, 11).unwrap(), b"still there");
    }

    /// Runs an attack. Meanwhile and right after it, while what it left is still there, the good connection goes on;
    /// afterwards new ones do too.
    pub fn under<T>(&self, attack: impl FnOnce(&Scene) -> T) -> T {
        let over = AtomicBool::new(false);
        let result = std::thread::scope(|scope| {
            let beside = scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    self.turn();
                }
            });
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| attack(self)));
            over.store(true, Ordering::SeqCst);
            beside.join().unwrap();
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        for _ in 0..TURNS {
            self.turn();
        }
        let heard = call(self.client.port(7000), |stream| exchange(stream, b"new"));
        assert_eq!((heard.bytes.as_slice(), heard.ending), (&b"new"[..], Ending::Eof));
        result
    }

    /// As [`Scene::under`], and the node's memory must not have grown by more than `bound` KiB at any time.
    pub fn within<T>(&self, name: &str, bound: u64, attack: impl FnOnce(&Scene) -> T) -> T {
        self.forget_peak();
        let before = self.cost();
        let result = self.under(attack);
        let after = self.cost();
        let grown = after.peak.saturating_sub(before.now);
        println!(
            "{name}: memory {} KiB at most, {} KiB afterwards, {} ms of processor",
            grown,
            after.now.saturating_sub(before.now),
            (after.ticks - before.ticks) * 10
        );
        assert!(grown <= bound, "{name}: the node's memory grew by {grown} KiB, of {bound}");
        result
    }

    fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.node.process.id()), "5").unwrap();
    }

    /// What the node has used.
    pub fn cost(&self) -> Cost {
        let process = format!("/proc/{}", self.node.process.id());
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        let stat = std::fs::read_to_string(format!("{process}/stat")).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
        Cost { peak: field("VmHWM:"), now: field("VmRSS:"), ticks: ticks(11) + ticks(12) }
    }

    /// How many descriptors the node has.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.node.process.id())).unwrap().count()
    }

    /// Waits until the node has at most `count` descriptors.
    pub fn settle_descriptors(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.descriptors() > count {
            assert!(Instant::now() < deadline, "{} descriptors are left, of {count}", self.descriptors());
            std::thread::yield_now();
        }
    }

    /// The node's next log line that is wanted.
    pub fn log(&self, mut wanted: impl FnMut(&str) -> bool) -> String {
        let wanted = std::cell::RefCell::new(&mut wanted);
        self.node.process.wait_for_line(PATIENCE, |line| wanted.borrow_mut()(line))
    }
}

fn applications(server: &Address, seen: &Arc<Seen>) -> Vec<Server> {
    let [reads, keeps, sends] = [(); 3].map(|()| seen.clone());
    vec![
        Server::start(server.port(7000), echo),
        Server::start(server.port(7001), move |stream| {
            reads.enter();
            let heard = hear(&stream, Duration::from_secs(600));
            reads.leave();
            reads.endings.lock().unwrap().push((heard.ending, heard.bytes.len()));
            let _gone = stream.shutdown(Shutdown::Both);
        }),
        Server::start(server.port(7002), move |stream| {
            keeps.enter();
            keeps.stalled.lock().unwrap().push(stream);
        }),
        Server::start(server.port(7003), move |mut stream| {
            sends.enter();
            let mut all: u64 = 0;
            while let Ok(len) = stream.write(&[7; 64 << 10]) {
                all += u64::try_from(len).unwrap();
            }
            sends.leave();
            let _gone = stream.read(&mut [0]);
            assert!(all > 0);
        }),
    ]
}
