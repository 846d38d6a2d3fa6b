//! `culvert node`: a node proxy by a control plane or a mesh file, until SIGTERM.

mod discovery;
mod log;
mod source;
mod trust;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;

use culvert_core::capture::Local;
use culvert_core::engine::boundary::WorkloadRef;
use culvert_core::identity::{Trust, TrustBundle};
use culvert_core::mesh::Snapshot;
use culvert_core::policy::Compat;
use culvert_discovery::{Discovery, News};
use culvert_linux::netns::Netns;
use culvert_linux::node::{
    Forward, Listening, Node, NodeConfig, OnNeedFacts, OriginalSource, PodConfig, Ports,
};
use culvert_linux::redirect;
use culvert_linux::socket::{EXEMPT_MARK, SocketSettings};

use crate::allocator;
use crate::args::{self, Compatibility, FactSource, NodeArgs, NodeSettings, Served, WorkloadName};
use crate::cryptography;
use crate::failure::Failure;
use crate::mesh_file;
use crate::signal;
use crate::watch::{Change, Watch, watch};

pub(crate) use source::FromCa;
use source::key_source;
use trust::Trusting;

pub(crate) enum Happened {
    Discovery(News),
    Mesh(Change),
    /// The revocation lists.
    Lists(Change),
    Stop,
    /// Whom a source of credentials says to trust.
    Trusted(Arc<TrustBundle>),
}

/// What a node hears of the mesh from; it does while this is there.
enum Source {
    ControlPlane { discovery: Discovery, on_demand: bool },
    File { path: PathBuf, _watch: Watch },
}

impl Source {
    /// What asks for single facts, where they come only so.
    fn demands(&self) -> Option<OnNeedFacts> {
        match self {
            Source::ControlPlane { discovery, on_demand: true } => {
                let demand = discovery.demands();
                Some(Arc::new(move |name| demand(name.to_string().into())))
            }
            Source::ControlPlane { .. } | Source::File { .. } => None,
        }
    }
}

/// Runs a node until it has drained.
pub(crate) fn run(args: NodeArgs) -> Result<(), Failure> {
    let without_effect = args.without_effect.clone();
    let settings = args.settings()?;
    allocator::keep_buffers();
    let (events, happened) = mpsc::channel();
    let stop = events.clone();
    // Before any thread: they inherit which signals are blocked.
    signal::on_stop(move |_| {
        let _ending = stop.send(Happened::Stop);
    })
    .map_err(|error| Failure::new(format!("cannot take care of signals: {error}")))?;
    for (variable, why) in without_effect {
        log::line(&serde_json::json!({"event": "setting without effect", "variable": variable, "why": why}));
    }
    let Some((source, snapshot, mut ready)) = first_facts(&settings, events.clone(), &happened)? else {
        return Ok(());
    };
    let lists = events.clone();
    let (mut trusting, _lists_watch) = Trusting::begin(settings.crl.as_deref(), move |change| {
        let _ending = lists.send(Happened::Lists(change));
    })?;
    let trusted = move |bundle| {
        let _ending = events.send(Happened::Trusted(bundle));
    };
    let node = start(&settings, &Arc::new(snapshot), trusting.trust(), source.demands(), trusted)?;
    for address in node.hbone_addresses() {
        log::line(&serde_json::json!({"event": "listening", "hbone": address.to_string()}));
    }
    let say_ready = || log::line(&serde_json::json!({"event": "ready", "pid": std::process::id()}));
    if ready {
        say_ready();
    }
    while let Ok(event) = happened.recv() {
        match (event, &source) {
            (Happened::Mesh(change), Source::File { path, .. }) => reload(&node, path, change),
            (Happened::Mesh(_), Source::ControlPlane { .. }) => {}
            (Happened::Discovery(news), _) => {
                if discovery::take(&node, news) && !std::mem::replace(&mut ready, true) {
                    say_ready();
                }
            }
            (Happened::Lists(change), _) => {
                if let Some(trust) = trusting.lists(change) {
                    node.trust(trust);
                }
            }
            (Happened::Trusted(bundle), _) => {
                node.trust(trusting.bundle(bundle));
                // What came with the bundles is there to be fetched.
                node.renew_credentials();
            }
            (Happened::Stop, _) => break,
        }
    }
    log::line(&serde_json::json!({"event": "draining", "seconds": settings.grace.as_secs()}));
    node.drain(settings.grace);
    node.join();
    // What was heard last is kept before the end is told.
    drop(source);
    log::line(&serde_json::json!({"event": "drained"}));
    Ok(())
}

/// Waits until there are facts to serve by, and tells whether they are all there are. `None` if the node is stopped before.
fn first_facts(
    settings: &NodeSettings,
    events: mpsc::Sender<Happened>,
    happened: &mpsc::Receiver<Happened>,
) -> Result<Option<(Source, Snapshot, bool)>, Failure> {
    match &settings.facts {
        FactSource::ControlPlane(control_plane) => {
            let provider = cryptography::provider(settings.compliance)?;
            let discovery = discovery::start(control_plane, &provider, events)?;
            let first = discovery::first_facts(happened);
            Ok(first.map(|(snapshot, ready)| {
                (Source::ControlPlane { discovery, on_demand: control_plane.on_demand }, snapshot, ready)
            }))
        }
        FactSource::File(path) => {
            let changed = move |change| {
                let _ending = events.send(Happened::Mesh(change));
            };
            let (content, watch) = watch(path, changed).map_err(|error| {
                Failure::new(format!("{}: {error}", path.display()))
                    .hint("--mesh names a YAML file with workloads, policies and services")
            })?;
            let snapshot = mesh_file::parse(path, &content)?;
            Ok(Some((Source::File { path: path.clone(), _watch: watch }, snapshot, true)))
        }
    }
}

/// A bad file is reported; the last good one stays in force.
fn reload(node: &Node, path: &Path, change: Change) {
    let read = match change {
        Change::Content(text) => mesh_file::parse(path, &text),
        Change::Unreadable(error) => Err(Failure::new(format!("{}: {error}", path.display()))),
    };
    match read {
        Ok(snapshot) => {
            node.apply(Arc::new(snapshot));
            log::line(&serde_json::json!({"event": "mesh applied", "file": path.display().to_string()}));
        }
        Err(failure) => {
            log::line(
                &serde_json::json!({"event": "mesh refused", "error": failure.message(), "kept": "the last good one"}),
            );
        }
    }
}

fn start(
    settings: &NodeSettings,
    snapshot: &Arc<Snapshot>,
    trust: Trust,
    demands: Option<OnNeedFacts>,
    trusted: impl FnMut(Arc<TrustBundle>) + Send + 'static,
) -> Result<Node, Failure> {
    let (mut pods, forwarding) = match &settings.served {
        Served::Here(workload, forwards) => (vec![here(workload, forwards, snapshot)?], !forwards.is_empty()),
        Served::Pods(pods) => {
            (pods.iter().map(|pod| in_namespace(&pod.workload, &pod.netns)).collect::<Result<_, _>>()?, false)
        }
    };
    for pod in &mut pods {
        pod.ports.hbone = settings.hbone_port;
        if !settings.ipv6 && pod.address.is_none() {
            pod.address = Some(Ipv4Addr::UNSPECIFIED.into());
        }
    }
    let workers = match settings.workers {
        Some(workers) => workers.get(),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let crypto = cryptography::provider(settings.compliance)?;
    let config = NodeConfig {
        original_source: original_source(settings.original_source, forwarding, &pods),
        bind_pod_address: forwarding,
        pods,
        workers,
        limits: settings.limits.clone(),
        local: Local {
            own_ports: Local::default().own_ports.into_iter().chain([settings.hbone_port]).collect(),
            same_node: settings.same_node,
            network: settings.network.as_str().into(),
            require_waypoint: settings.require_waypoint,
            loopback_tunnel: settings.localhost_app_tunnel,
            answered: demands.is_some().then(BTreeSet::new),
            ..Local::default()
        },
        compat: match settings.compat {
            Compatibility::Culvert => Compat::Culvert,
            Compatibility::Istio => Compat::Istio,
        },
        join: true,
        response_baggage: settings.response_baggage,
        sockets: SocketSettings { mark: may_mark().then_some(settings.packet_mark), ..settings.sockets },
        credentials: key_source(&settings.keys, &crypto, trusted)?,
        crypto,
        trust,
        on_event: Arc::new(|_, event| log::event(event)),
        on_need_facts: demands.unwrap_or_else(|| Arc::new(|_| ())),
        on_credential_fault: Arc::new(|id, why| {
            log::line(
                &serde_json::json!({"event": "no credential", "identity": id.to_string(), "error": why}),
            );
        }),
    };
    settings.runtime.start(config, snapshot.clone()).map_err(|error| {
        Failure::from_error(&error)
            .hint("is another node running here? Its listeners are 15001, 15006 and 15008")
    })
}

fn workload_ref(workload: &WorkloadName) -> WorkloadRef {
    WorkloadRef {
        namespace: workload.namespace.as_str().into(),
        name: workload.name.as_str().into(),
        service_account: workload.service_account.as_str().into(),
    }
}

/// The one workload of the current namespace. With forwards there is no redirect to listen for, and several nodes may
/// share the namespace: the listeners then bind the workload's own address.
fn here(
    workload: &WorkloadName,
    forwards: &[crate::args::Forward],
    snapshot: &Snapshot,
) -> Result<PodConfig, Failure> {
    let known = snapshot.instances(&workload.namespace, &workload.name, &workload.service_account).next();
    let address: Option<IpAddr> = known.and_then(|known| known.ips.first().copied());
    if !forwards.is_empty() && address.is_none() {
        return Err(Failure::new(format!("the mesh has no address for {workload}")).hint(
            "with --forward the node listens on the workload's own address: add it under workloadIps",
        ));
    }
    let ports = if forwards.is_empty() {
        Ports::default()
    } else {
        Ports { outbound: None, inbound: None, ..Ports::default() }
    };
    let forwards = forwards
        .iter()
        .map(|forward| Forward { listen: forward.listen, target: forward.target, as_if: Listening::Outbound })
        .collect::<Vec<_>>();
    Ok(PodConfig {
        workload: workload_ref(workload),
        netns: None,
        address: if forwards.is_empty() { None } else { address },
        ports,
        forwards,
        consumer: None,
    })
}

fn in_namespace(workload: &WorkloadName, netns: &Path) -> Result<PodConfig, Failure> {
    let netns = Netns::open(netns).map_err(|error| {
        Failure::new(format!("cannot open the network namespace {} of {workload}: {error}", netns.display()))
            .hint("`ip netns` keeps its namespaces in /run/netns; a process has /proc/PID/ns/net")
    })?;
    Ok(PodConfig {
        workload: workload_ref(workload),
        netns: Some(netns),
        address: None,
        ports: Ports::default(),
        forwards: Vec::new(),
        consumer: None,
    })
}

fn original_source(asked: args::OriginalSource, forwarding: bool, pods: &[PodConfig]) -> OriginalSource {
    match asked {
        args::OriginalSource::Required => OriginalSource::Required,
        args::OriginalSource::Never => OriginalSource::Never,
        args::OriginalSource::BestEffort if !forwarding && pods.iter().all(redirected) => {
            OriginalSource::BestEffort
        }
        args::OriginalSource::BestEffort => OriginalSource::Never,
    }
}

/// A client's address can be kept only where the redirect brings the application's answers back to the proxy.
fn redirected(pod: &PodConfig) -> bool {
    let state = match &pod.netns {
        Some(netns) => redirect::show_in(netns),
        None => redirect::show(),
    };
    state.is_ok_and(|state| !state.is_empty())
}

/// Whether this process may mark its packets; it may where it may change the redirect at all.
pub(crate) fn may_mark() -> bool {
    std::net::UdpSocket::bind("127.0.0.1:0")
        .is_ok_and(|socket| culvert_linux::socket::set_mark(&socket, EXEMPT_MARK).is_ok())
}
