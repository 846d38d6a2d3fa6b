//! Our node: in this process, or as a child.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Instant;

use culvert_core::capture::Local;
use culvert_core::engine::boundary::WorkloadRef;
use culvert_core::identity::Trust;
use culvert_core::limit::Limits;
use culvert_core::policy::Compat;
use culvert_core::telemetry::{Event, Reason};
use culvert_linux::netns::Netns;
use culvert_linux::node::{Forward, Listening, Node, NodeConfig, OriginalSource, PodConfig, Ports};
use culvert_linux::socket::{EXEMPT_MARK, SocketSettings};

use super::{Certificates, Mesh, PATIENCE, Process, Runtime, Stream, workspace};

/// What connects to the first goes to the second as if the pod had dialled it.
pub type Forwarded = (SocketAddr, SocketAddr);

/// What a node of a test is started with.
#[derive(Clone, Debug)]
pub struct NodeSetup {
    /// The facts.
    pub mesh: Mesh,
    /// The workload it serves, and its service account.
    pub workload: (String, String),
    /// The workload's address.
    pub ip: IpAddr,
    /// What its applications reach.
    pub forwards: Vec<Forwarded>,
    /// Every bound.
    pub limits: Limits,
    /// Threads.
    pub workers: usize,
    /// What they run on.
    pub runtime: Runtime,
    /// Where credentials come from.
    pub certificates: Certificates,
    /// Whether its answers say what the workload is.
    pub response_baggage: bool,
    /// Whether what has a waypoint refuses all others.
    pub require_waypoint: bool,
    /// A connection that is opened to this destination panics the worker that says so.
    pub deadly: Option<SocketAddr>,
}

impl NodeSetup {
    /// A node with one worker, on the runtime of [`Runtime::of_tests`], for a workload that runs under the service account of its name.
    pub fn new(mesh: &Mesh, workload: &str, ip: IpAddr, certificates: &Certificates) -> NodeSetup {
        NodeSetup {
            mesh: mesh.clone(),
            workload: (workload.to_owned(), workload.to_owned()),
            ip,
            forwards: Vec::new(),
            limits: Limits::default(),
            workers: 1,
            runtime: Runtime::of_tests(),
            certificates: certificates.clone(),
            response_baggage: true,
            require_waypoint: false,
            deadly: None,
        }
    }

    /// Adds a listener of a fixed target.
    #[must_use]
    pub fn forward(mut self, listen: SocketAddr, target: SocketAddr) -> NodeSetup {
        self.forwards.push((listen, target));
        self
    }

    /// Replaces the bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> NodeSetup {
        self.limits = limits;
        self
    }

    fn workload_ref(&self) -> WorkloadRef {
        WorkloadRef {
            namespace: "default".into(),
            name: self.workload.0.as_str().into(),
            service_account: self.workload.1.as_str().into(),
        }
    }

    /// Starts it in this process.
    ///
    /// # Panics
    /// It does not start.
    pub fn start(&self) -> TestNode {
        let forward = |&(listen, target)| Forward { listen, target, as_if: Listening::Outbound };
        let pod = PodConfig {
            workload: self.workload_ref(),
            netns: None,
            address: Some(self.ip),
            ports: Ports { outbound: None, inbound: None, ..Ports::default() },
            forwards: self.forwards.iter().map(forward).collect(),
            consumer: None,
        };
        self.run(vec![pod], false)
    }

    /// Starts it in this process for pods in network namespaces, each under the service account of its name, whose traffic
    /// a redirect brings. The workload, the address and the forwards of this setup are not used.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_for(&self, pods: &[(&str, &Netns)]) -> TestNode {
        let pod = |&(name, netns): &(&str, &Netns)| PodConfig {
            workload: WorkloadRef {
                namespace: "default".into(),
                name: name.into(),
                service_account: name.into(),
            },
            netns: Some(netns.try_clone().unwrap()),
            address: None,
            ports: Ports::default(),
            forwards: Vec::new(),
            consumer: None,
        };
        self.run(pods.iter().map(pod).collect(), true)
    }

    fn run(&self, pods: Vec<PodConfig>, redirected: bool) -> TestNode {
        let events = Events::default();
        let (record, deadly) = (events.clone(), self.deadly);
        let config = NodeConfig {
            pods,
            workers: self.workers,
            limits: self.limits.clone(),
            local: Local { require_waypoint: self.require_waypoint, ..Local::default() },
            compat: Compat::Culvert,
            original_source: if redirected { OriginalSource::Required } else { OriginalSource::Never },
            bind_pod_address: !redirected,
            join: true,
            response_baggage: self.response_baggage,
            sockets: SocketSettings { mark: redirected.then_some(EXEMPT_MARK), ..SocketSettings::default() },
            crypto: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            credentials: Box::new(self.certificates.clone()),
            trust: Trust::default(),
            on_event: Arc::new(move |worker, event| {
                record.push(worker, event.clone());
                let killed = matches!(event, Event::Opened(c) if Some(c.destination) == deadly);
                assert!(!killed, "the worker dies as the test asked it to");
            }),
            on_need_facts: Arc::new(|name| panic!("{name} is asked for, which nobody answers")),
            on_credential_fault: Arc::new(|id, why| panic!("no credential for {id}: {why}")),
        };
        TestNode { node: self.runtime.start(config, self.mesh.snapshot()).unwrap(), events }
    }

    /// Starts it as a child process and waits until it is ready. Its bounds are the defaults.
    ///
    /// # Panics
    /// It does not start.
    pub fn spawn(&self) -> CulvertProcess {
        self.spawn_by(&mut Command::new(culvert()))
    }

    /// As [`NodeSetup::spawn`], by a command that runs what its last arguments say.
    pub fn spawn_by(&self, command: &mut Command) -> CulvertProcess {
        let dir = tempfile::tempdir().unwrap();
        let (mesh, credentials) = (dir.path().join("mesh.yaml"), dir.path().join("credentials"));
        fs::write(&mesh, self.mesh.yaml()).unwrap();
        self.certificates.write_for_node(&[&self.workload.1], &credentials).unwrap();
        let (name, account) = &self.workload;
        command.args(["node", "--workload", &format!("default/{name}/{account}")]);
        command.arg("--mesh").arg(&mesh).arg("--credentials").arg(&credentials);
        command.args(["--workers", &self.workers.to_string(), "--runtime", self.runtime.name()]);
        for (listen, target) in &self.forwards {
            command.args(["--forward", &format!("{listen}={target}")]);
        }
        let process = Process::spawn(command, Stream::Errors);
        process.wait_for_line(PATIENCE, |line| line.contains("\"ready\""));
        CulvertProcess { process, mesh, _dir: dir }
    }
}

/// A node in this process. Dropping it ends its connections.
pub struct TestNode {
    /// The node.
    pub node: Node,
    /// What it reported.
    pub events: Events,
}

/// A node in a process of its own. Dropping it kills it.
#[derive(Debug)]
pub struct CulvertProcess {
    /// The process; its lines are the node's log.
    pub process: Process,
    /// Its mesh file.
    pub mesh: PathBuf,
    _dir: tempfile::TempDir,
}

/// An event, and the number of the worker that reported it.
type Reported = (usize, Event);

/// Everything that a node reported, in order.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<(Mutex<Vec<Reported>>, Condvar)>);

impl Events {
    /// Adds one, as the worker of this number reported it.
    pub fn push(&self, worker: usize, event: Event) {
        self.0.0.lock().unwrap().push((worker, event));
        self.0.1.notify_all();
    }

    /// Those so far.
    pub fn all(&self) -> Vec<Event> {
        self.by_worker().into_iter().map(|(_, event)| event).collect()
    }

    /// Those so far, each with the number of the worker that reported it.
    pub fn by_worker(&self) -> Vec<Reported> {
        self.0.0.lock().unwrap().clone()
    }

    /// Why connections have ended so far.
    pub fn reasons(&self) -> Vec<Reason> {
        let reason = |event| match event {
            Event::Closed { reason, .. } => Some(reason),
            _ => None,
        };
        self.all().into_iter().filter_map(reason).collect()
    }

    /// Waits until `count` events are wanted ones.
    ///
    /// # Panics
    /// They do not come.
    pub fn wait_for(&self, count: usize, wanted: impl Fn(&Event) -> bool) {
        let until = Instant::now() + PATIENCE;
        let mut events = self.0.0.lock().unwrap();
        while events.iter().filter(|(_, event)| wanted(event)).count() < count {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the event that was waited for did not come: {events:#?}");
            events = self.0.1.wait_timeout(events, left).unwrap().0;
        }
    }
}

/// Where the `culvert` program is; it is built where it is not.
///
/// # Panics
/// It cannot be built.
pub fn culvert() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let test = std::env::current_exe().unwrap();
            let profile =
                test.parent().and_then(|deps| deps.parent()).expect("tests lie in target/PROFILE/deps");
            let mut build = Command::new(cargo);
            build.current_dir(workspace()).args(["build", "-q", "-p", "culvert"]);
            if profile.ends_with("release") {
                build.arg("--release");
            }
            assert!(build.status().is_ok_and(|status| status.success()), "culvert cannot be built");
            profile.join("culvert")
        })
        .clone()
}
