//! `culvert node`: a node proxy by a mesh file, until SIGTERM.

mod log;
mod source;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use culvert_core::capture::Local;
use culvert_core::engine::boundary::WorkloadRef;
use culvert_core::mesh::Snapshot;
use culvert_core::policy::Compat;
use culvert_linux::netns::Netns;
use culvert_linux::node::{
    CredentialSource, Forward, Listening, Node, NodeConfig, OriginalSource, PodConfig, Ports,
};
use culvert_linux::redirect;
use culvert_linux::socket::EXEMPT_MARK;

use crate::allocator;
use crate::args::{self, Compatibility, KeySource, NodeArgs, NodeSettings, Served, WorkloadName};
use crate::ca::{Ca, DEFAULT_LEAF_VALIDITY};
use crate::credentials::{CredentialDirectory, DevelopmentCa};
use crate::failure::Failure;
use crate::mesh_file;
use crate::signal;
use crate::watch::{Change, watch};

pub(crate) use source::FromCa;

/// How long connections may go on after SIGTERM (node.md row 99).
const GRACE: Duration = Duration::from_secs(5);

enum Happened {
    Stop,
    Mesh(Change),
}

/// Runs a node until it has drained.
pub(crate) fn run(args: NodeArgs) -> Result<(), Failure> {
    let settings = args.settings()?;
    allocator::keep_buffers();
    let (events, happened) = mpsc::channel();
    let stop = events.clone();
    // Before any thread: they inherit which signals are blocked.
    signal::on_stop(move |_| {
        let _ending = stop.send(Happened::Stop);
    })
    .map_err(|error| Failure::new(format!("cannot take care of signals: {error}")))?;
    let changed = move |change| {
        let _ending = events.send(Happened::Mesh(change));
    };
    let (content, _watch) = watch(&settings.mesh, changed).map_err(|error| {
        Failure::new(format!("{}: {error}", settings.mesh.display()))
            .hint("--mesh names a YAML file with workloads, policies and services")
    })?;
    let snapshot = Arc::new(mesh_file::parse(&settings.mesh, &content)?);
    let node = start(&settings, &snapshot)?;
    for address in node.hbone_addresses() {
        log::line(&serde_json::json!({"event": "listening", "hbone": address.to_string()}));
    }
    log::line(&serde_json::json!({"event": "ready", "pid": std::process::id()}));
    while let Ok(Happened::Mesh(change)) = happened.recv() {
        reload(&node, &settings.mesh, change);
    }
    log::line(&serde_json::json!({"event": "draining", "seconds": GRACE.as_secs()}));
    node.drain(GRACE);
    node.join();
    log::line(&serde_json::json!({"event": "drained"}));
    Ok(())
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

fn start(settings: &NodeSettings, snapshot: &Arc<Snapshot>) -> Result<Node, Failure> {
    let (mut pods, forwarding) = match &settings.served {
        Served::Here(workload, forwards) => (vec![here(workload, forwards, snapshot)?], !forwards.is_empty()),
        Served::Pods(pods) => {
            (pods.iter().map(|pod| in_namespace(&pod.workload, &pod.netns)).collect::<Result<_, _>>()?, false)
        }
    };
    for pod in &mut pods {
        pod.ports.hbone = settings.hbone_port;
    }
    let workers = match settings.workers {
        Some(workers) => workers.get(),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let config = NodeConfig {
        original_source: original_source(settings.original_source, forwarding, &pods),
        bind_pod_address: forwarding,
        pods,
        workers,
        limits: settings.limits.clone(),
        local: Local {
            own_ports: Local::default().own_ports.into_iter().chain([settings.hbone_port]).collect(),
            same_node: settings.same_node,
            require_waypoint: settings.require_waypoint,
            loopback_tunnel: settings.localhost_app_tunnel,
            ..Local::default()
        },
        compat: match settings.compat {
            Compatibility::Culvert => Compat::Culvert,
            Compatibility::Istio => Compat::Istio,
        },
        join: true,
        mark: may_mark().then_some(EXEMPT_MARK),
        crypto: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        credentials: key_source(&settings.keys)?,
        on_event: Arc::new(|_, event| log::event(event)),
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
    let known = snapshot.instances(&workload.namespace, &workload.name, &workload.service_account).first();
    let address: Option<IpAddr> = known.and_then(|known| known.ips.first().copied());
    if !forwards.is_empty() && address.is_none() {
        return Err(Failure::new(format!("the mesh file has no address for {workload}")).hint(
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

fn key_source(keys: &KeySource) -> Result<Box<dyn CredentialSource>, Failure> {
    Ok(match keys {
        KeySource::Credentials(dir) => Box::new(CredentialDirectory::new(dir)),
        KeySource::Ca(dir) => {
            log::line(&serde_json::json!({
                "event": "development CA",
                "dir": dir.display().to_string(),
                "warning": "for development on one machine: whoever can read its key can be anyone in this mesh",
            }));
            let ca = Ca::open_or_init(dir, crate::args::DEFAULT_TRUST_DOMAIN)?;
            Box::new(FromCa(Arc::new(DevelopmentCa::new(ca, DEFAULT_LEAF_VALIDITY))))
        }
    })
}
