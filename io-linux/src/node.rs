//! A node proxy as a whole: its pods and listeners, its workers, the facts that they share.

pub(crate) mod credentials;
mod directory;
pub(crate) mod names;

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use culvert_core::capture::Local;
use culvert_core::engine::Config;
use culvert_core::engine::boundary::{Listener, PodId, WorkloadRef};
use culvert_core::identity::Trust;
use culvert_core::limit::Limits;
use culvert_core::mesh::{Changed, Delta, Destination, Interner, Snapshot};
use culvert_core::policy::Compat;
use culvert_core::seed::Seed;
use culvert_core::telemetry::Event;
use rustls::crypto::{CryptoProvider, SecureRandom};

use crate::clock::Clock;
use crate::consumer::{self, Backlog, Connection};
use crate::driver::{Command, Commands, ListenerSpec, PodSockets, Runtime, Worker, commands};
use crate::netns::Netns;
use crate::socket::{ListenOptions, SocketSettings, Transparent, listen};
pub use credentials::{CredentialSource, Material, OnCredentialFault, PemError};
use credentials::{Request, Service, Source};
pub use directory::{CredentialDirectory, DirectoryError};

/// The ports of a pod's listeners (node.md rows 4 to 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// What the pod's applications dial is redirected here; `None` where nothing is redirected.
    pub outbound: Option<u16>,
    /// Plain connections to the pod are redirected here; `None` where nothing is redirected.
    pub inbound: Option<u16>,
    /// HBONE tunnels to the pod.
    pub hbone: u16,
}

impl Default for Ports {
    fn default() -> Ports {
        Ports { outbound: Some(15001), inbound: Some(15006), hbone: 15008 }
    }
}

/// A listener of a fixed target, in place of a redirect: what connects to `listen` is headed for `target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The original destination of what arrives there.
    pub target: SocketAddr,
    /// Which listener it stands for.
    pub as_if: Listening,
}

/// The direction that a [`Forward`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listening {
    /// As if an application of the pod had dialled the target.
    Outbound,
    /// As if somebody had dialled the pod in clear.
    Inbound,
}

impl Forward {
    fn listener(&self) -> Listener {
        match self.as_if {
            Listening::Outbound => Listener::Outbound,
            Listening::Inbound => Listener::InboundPlaintext,
        }
    }
}

/// Whether applications see the client's address (`ENABLE_ORIG_SRC`, node.md row 14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OriginalSource {
    /// Where the kernel permits it.
    #[default]
    BestEffort,
    /// Always: a connection that cannot show it fails.
    Required,
    /// Never.
    Never,
}

/// One pod that the node serves.
#[derive(Debug)]
pub struct PodConfig {
    /// Which workload runs in it.
    pub workload: WorkloadRef,
    /// Its network namespace; `None` for the one that the process runs in.
    pub netns: Option<Netns>,
    /// The address that its listeners bind; `None` for all of the namespace, both families.
    pub address: Option<IpAddr>,
    /// Its ports.
    pub ports: Ports,
    /// Its fixed targets.
    pub forwards: Vec<Forward>,
    /// Where connections to it go if its application lives in this process; `None` where they are dialled.
    pub consumer: Option<Backlog>,
}

impl PodConfig {
    /// A pod whose application lives in this process: nothing is redirected; tunnels to it are taken at the first address that
    /// `snapshot` has for it, and port 15008. `None` where there is no such workload, or it has no address.
    pub fn in_process(snapshot: &Snapshot, workload: WorkloadRef, consumer: Backlog) -> Option<PodConfig> {
        let WorkloadRef { namespace, name, service_account } = &workload;
        let known = snapshot.instances(namespace, name, service_account).next()?;
        let address = *known.ips.first()?;
        Some(PodConfig {
            workload,
            netns: None,
            address: Some(address),
            ports: Ports { outbound: None, inbound: None, ..Ports::default() },
            forwards: Vec::new(),
            consumer: Some(consumer),
        })
    }
}

/// Told of every event with the number of the worker, on that worker's thread: it must not block.
pub type OnEvent = Arc<dyn Fn(usize, &Event) + Send + Sync>;

/// Told which name a connection waits for, where facts come only when they are asked for ([`Local::answered`]), on a worker's
/// thread: it must not block. [`Node::known`] is the answer.
pub type OnNeedFacts = Arc<dyn Fn(Destination) + Send + Sync>;

/// Everything a node is started with.
pub struct NodeConfig {
    /// The pods.
    pub pods: Vec<PodConfig>,
    /// Threads, each with an engine of its own.
    pub workers: usize,
    /// Every bound.
    pub limits: Limits,
    /// Facts of this process that decisions need.
    pub local: Local,
    /// How unknown policies are treated.
    pub compat: Compat,
    /// Whether a client's address is kept towards the application (node.md row 14).
    pub original_source: OriginalSource,
    /// Whether dials for a pod bind the pod's address: for pods that are loopback addresses of one namespace.
    pub bind_pod_address: bool,
    /// Whether plain sockets are relayed in the kernel.
    pub join: bool,
    /// Whether the answer to a CONNECT says what the workload is (`ENABLE_RESPONSE_BAGGAGE`, node.md row 36).
    pub response_baggage: bool,
    /// How its own connections are set up: mark, keepalive.
    pub sockets: SocketSettings,
    /// Algorithms and randomness of TLS.
    pub crypto: Arc<CryptoProvider>,
    /// Where credentials come from.
    pub credentials: Box<dyn CredentialSource>,
    /// Whom to trust beside what credentials say, and what was revoked, to begin with.
    pub trust: Trust,
    /// Told of every event, on a worker's thread: it must not block.
    pub on_event: OnEvent,
    /// Told what to ask the control plane for.
    pub on_need_facts: OnNeedFacts,
    /// Told why a credential cannot be had, on the thread that keeps them: it must not block.
    pub on_credential_fault: OnCredentialFault,
}

impl NodeConfig {
    /// A node with one worker and defaults for the rest: no mark, no kept source addresses, nobody told of anything.
    pub fn new(
        pods: Vec<PodConfig>,
        crypto: CryptoProvider,
        credentials: impl CredentialSource,
    ) -> NodeConfig {
        NodeConfig {
            pods,
            workers: 1,
            limits: Limits::default(),
            local: Local::default(),
            compat: Compat::default(),
            original_source: OriginalSource::Never,
            bind_pod_address: false,
            join: true,
            response_baggage: true,
            sockets: SocketSettings::default(),
            crypto: Arc::new(crypto),
            credentials: Box::new(credentials),
            trust: Trust::default(),
            on_event: Arc::new(|_, _| ()),
            on_need_facts: Arc::new(|_| ()),
            on_credential_fault: Arc::new(|_, _| ()),
        }
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A listener could not be opened.
    #[error("cannot listen on {address} for {pod}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// `namespace/name` of the pod.
        pod: String,
        /// What the kernel said.
        error: io::Error,
    },
    /// A thread or its runtime could not be started.
    #[error("cannot start a worker: {0}")]
    Worker(io::Error),
    /// The provider gave no randomness.
    #[error("no randomness for the node's seed")]
    Randomness,
}

/// Facts or credentials on their way to the workers. They arrive whether anybody waits or not.
#[derive(Debug)]
pub struct Applying(std_mpsc::Receiver<()>);

impl Applying {
    /// Waits until every worker acts by what is new, and moves no byte that new facts may forbid.
    pub fn wait(self) {
        // Nothing is ever sent: the last worker that has it, or has ended, closes the channel.
        let _closed = self.0.recv();
    }
}

/// A running node proxy. Dropping it ends every connection.
pub struct Node {
    workers: Vec<Commands>,
    threads: Vec<JoinHandle<()>>,
    credentials: std_mpsc::Sender<Request>,
    credential_thread: Option<JoinHandle<()>>,
    snapshot: Mutex<Arc<Snapshot>>,
    trust: Arc<Mutex<Trust>>,
    /// What the facts of deltas have in common. Locked while `snapshot` is.
    interner: Mutex<Interner>,
    clock: Clock,
    hbone: Vec<SocketAddr>,
    restarts: Arc<AtomicU64>,
    /// Which worker the next dial of an application in this process goes to.
    turn: AtomicUsize,
}

impl Node {
    /// Opens every listener, then starts the workers, each on a runtime of its own. Where one fails nothing is left running.
    pub fn start<R: Runtime>(config: NodeConfig, snapshot: Arc<Snapshot>) -> Result<Node, NodeError> {
        let clock = Clock::new();
        let mut pods = Vec::new();
        let mut hbone = Vec::new();
        for (index, pod) in config.pods.into_iter().enumerate() {
            let id = PodId(u32::try_from(index).unwrap_or(u32::MAX));
            let listeners = open_listeners(&pod)?;
            hbone.extend(listeners.iter().filter(|l| l.kind == Listener::InboundHbone).map(|l| l.address));
            let PodConfig { workload, netns, address, consumer, .. } = pod;
            pods.push(PodSockets { id, workload, netns, address, consumer, listeners });
        }
        let pods: Arc<[PodSockets]> = pods.into();
        let seed = seed(config.crypto.secure_random)?;
        let (requests, credential_requests) = std_mpsc::channel();
        let (lookups, names_wanted) = names::lookups();
        let mut node = Node {
            workers: Vec::new(),
            threads: Vec::new(),
            credentials: requests.clone(),
            credential_thread: None,
            snapshot: Mutex::new(snapshot.clone()),
            trust: Arc::new(Mutex::new(config.trust.clone())),
            interner: Mutex::default(),
            clock,
            hbone,
            restarts: Arc::default(),
            turn: AtomicUsize::new(0),
        };
        let (begun, beginnings) = std_mpsc::channel();
        for number in 0..config.workers.max(1) {
            let (orders, inbox) = commands();
            let engine = Config {
                limits: config.limits.clone(),
                crypto: config.crypto.clone(),
                seed: seed.child(&format!("worker-{number}")),
                local: config.local.clone(),
                compat: config.compat,
                keep_source: config.original_source != OriginalSource::Never,
                bind_pod_address: config.bind_pod_address,
                join: config.join,
                response_baggage: config.response_baggage,
            };
            let worker = Worker {
                number,
                engine,
                snapshot: snapshot.clone(),
                trust: config.trust.clone(),
                clock,
                pods: pods.clone(),
                sockets: config.sockets,
                original_source: config.original_source,
                requests: requests.clone(),
                lookups: lookups.clone(),
                on_event: config.on_event.clone(),
                on_need_facts: config.on_need_facts.clone(),
                restarts: node.restarts.clone(),
                begun: begun.clone(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("culvert-{number}"))
                .spawn(move || worker.run::<R>(inbox))
                .map_err(NodeError::Worker)?;
            node.workers.push(orders);
            node.threads.push(thread);
        }
        drop(begun);
        drop(lookups);
        names::start(names_wanted, &node.workers).map_err(NodeError::Worker)?;
        for _ in &node.workers {
            beginnings.recv().unwrap_or(Ok(())).map_err(NodeError::Worker)?;
        }
        let source = Source {
            source: config.credentials.into(),
            crypto: config.crypto,
            clock,
            trust: node.trust.clone(),
            answers: requests,
        };
        let service = Service::new(source, &seed, node.workers.clone(), config.on_credential_fault);
        let thread = std::thread::Builder::new()
            .name("culvert-ca".to_owned())
            .spawn(move || service.run(&credential_requests))
            .map_err(NodeError::Worker)?;
        node.credential_thread = Some(thread);
        Ok(node)
    }

    /// The addresses of the HBONE listeners, in the order of the pods.
    pub fn hbone_addresses(&self) -> &[SocketAddr] {
        &self.hbone
    }

    /// Dials `target` as the application of the pod that was given as number `pod`. It goes the way of what other applications of
    /// the pod dial: by policy, through a tunnel where the target has one. A dial that fails resets the connection; the
    /// node's events say why.
    pub fn connect(&self, pod: usize, target: SocketAddr) -> Connection {
        let (ours, theirs) = consumer::connection();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let pod = PodId(u32::try_from(pod).unwrap_or(u32::MAX));
        if let Some(worker) = self.workers.get(turn % self.workers.len().max(1)) {
            worker.send(Command::Open { pod, target, end: ours });
        }
        Connection::opened(theirs, target)
    }

    /// How often a worker was lost to a panic and has begun anew; each time is an [`Event::WorkerRestarted`].
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// The facts that decisions are made by now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the facts; every worker judges what the change affects before another byte of it moves. Costs as much as there
    /// are facts: a source that knows what changed says so with [`Node::apply_delta`].
    pub fn apply(&self, snapshot: Arc<Snapshot>) -> Applying {
        let mut current = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = current.diff_to(&snapshot);
        *current = snapshot;
        self.hand_out(&current, changed)
    }

    /// Changes the facts by what came and went; otherwise as [`Node::apply`], and costs as much as changes. Deltas are applied in
    /// the order of the calls, whichever threads make them.
    pub fn apply_delta(&self, delta: Delta) -> Applying {
        let mut current = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        let delta = self.interner.lock().unwrap_or_else(PoisonError::into_inner).share(delta);
        let (snapshot, changed) = current.apply(delta);
        *current = Arc::new(snapshot);
        self.hand_out(&current, changed)
    }

    /// Tells every worker of new facts. The caller holds the lock on them, so that all workers hear of changes in one order.
    fn hand_out(&self, snapshot: &Arc<Snapshot>, changed: Changed) -> Applying {
        let changed = Arc::new(changed);
        let (in_force, taken_in) = std_mpsc::channel();
        for worker in &self.workers {
            let (snapshot, changed, in_force) = (snapshot.clone(), changed.clone(), in_force.clone());
            worker.send(Command::Apply { snapshot, changed, in_force });
        }
        Applying(taken_in)
    }

    /// Says that a name was asked for and that what there is of it was applied before; until [`Node::forgotten`], what becomes of
    /// it will be, too.
    pub fn known(&self, name: &Destination) {
        self.tell(|| Command::Known { name: name.clone() });
    }

    /// Says that nobody tells any more what becomes of a name: who needs it asks again.
    pub fn forgotten(&self, name: &Destination) {
        self.tell(|| Command::Forgotten { name: name.clone() });
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            worker.send(command());
        }
    }

    /// Replaces whom the node trusts. Live tunnels are judged by it: those of peers that it does not cover end at once. Credentials
    /// that were refused before are looked at again.
    pub fn trust(&self, trust: Trust) -> Applying {
        let mut current = self.trust.lock().unwrap_or_else(PoisonError::into_inner);
        *current = trust.clone();
        let (in_force, taken_in) = std_mpsc::channel();
        for worker in &self.workers {
            worker.send(Command::Trust { trust: trust.clone(), in_force: in_force.clone() });
        }
        let _gone = self.credentials.send(Request::Again);
        Applying(taken_in)
    }

    /// Fetches the credentials that are in use anew, whatever is left of their lives. Connections go on; those that come once the
    /// new ones are here use them.
    pub fn renew_credentials(&self) -> Applying {
        let (in_force, taken_in) = std_mpsc::channel();
        let _gone = self.credentials.send(Request::Renew { in_force });
        Applying(taken_in)
    }

    /// Accepts nothing new, finishes what is alive, aborts what is left after `grace`. Follow with [`Node::join`].
    pub fn drain(&self, grace: Duration) {
        let until = self.clock.now().time.after(grace);
        for worker in &self.workers {
            worker.send(Command::Drain { until });
        }
    }

    /// Waits until every worker has ended.
    pub fn join(mut self) {
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.send(Command::Stop);
        }
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
        let _gone = self.credentials.send(Request::Stop);
        if let Some(thread) = self.credential_thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn seed(random: &dyn SecureRandom) -> Result<Seed, NodeError> {
    let mut bytes = [0; 32];
    random.fill(&mut bytes).map_err(|_| NodeError::Randomness)?;
    Ok(Seed::new(bytes))
}

fn open_listeners(pod: &PodConfig) -> Result<Vec<ListenerSpec>, NodeError> {
    let ip = pod.address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let mut wanted = vec![(SocketAddr::new(ip, pod.ports.hbone), Listener::InboundHbone, None)];
    wanted.extend(pod.ports.outbound.map(|port| (SocketAddr::new(ip, port), Listener::Outbound, None)));
    wanted
        .extend(pod.ports.inbound.map(|port| (SocketAddr::new(ip, port), Listener::InboundPlaintext, None)));
    wanted.extend(pod.forwards.iter().map(|f| (f.listen, f.listener(), Some(f.target))));
    let mut open = Vec::new();
    for (address, kind, target) in wanted {
        let options =
            ListenOptions { transparent: Transparent::BestEffort, backlog: 1024, ..ListenOptions::default() };
        let result = match &pod.netns {
            Some(netns) => netns.run(|| listen(address, &options)).and_then(|result| result),
            None => listen(address, &options),
        };
        let socket = result.map_err(|error| NodeError::Listen {
            address,
            pod: format!("{}/{}", pod.workload.namespace, pod.workload.name),
            error,
        })?;
        let address = socket.local_addr().unwrap_or(address);
        open.push(ListenerSpec { kind, target, address, socket });
    }
    Ok(open)
}
