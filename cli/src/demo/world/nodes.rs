//! The two nodes of a world: real ones, in this process, with a CA that only they know.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use culvert_core::capture::Local;
use culvert_core::engine::boundary::WorkloadRef;
use culvert_core::fault::Fault;
use culvert_core::identity::Trust;
use culvert_core::limit::Limits;
use culvert_core::mesh::Snapshot;
use culvert_core::policy::{Compat, Denial};
use culvert_core::telemetry::{self, Event, Reason, Reporter};
use culvert_linux::node::{Node, NodeConfig, OriginalSource, PodConfig};
use culvert_linux::socket::SocketSettings;

use super::{FlowRecord, Side, WorldError};
use crate::args::DEFAULT_TRUST_DOMAIN;
use crate::ca::{Ca, DEFAULT_LEAF_VALIDITY};
use crate::credentials::DevelopmentCa;
use crate::demo::place::{NAMESPACE, Place};
use crate::demo::report::{FlowPath, Verdict};
use crate::mesh_file;
use crate::node::FromCa;
use crate::runtime::Runtime;

/// One worker for each node: a machine that shows a demo has better uses for its cores.
const WORKERS: usize = 1;

/// What both nodes of a world have in common.
pub(super) struct Settings {
    /// Facts of the nodes that decisions need.
    pub(super) local: Local,
    /// Whether applications see the client's own address.
    pub(super) keep_source: bool,
    /// Whether dials bind the pod's address.
    pub(super) bind_pod_address: bool,
    /// The mark of the nodes' own sockets.
    pub(super) mark: Option<u32>,
}

/// Two running nodes and what they record. Dropping them ends every connection.
pub(super) struct Nodes {
    nodes: Vec<Node>,
    records: Receiver<FlowRecord>,
}

impl Nodes {
    /// Starts one node for each list of pods; they know no workload yet.
    pub(super) fn start(
        runtime: Runtime,
        pods: Vec<Vec<PodConfig>>,
        settings: &Settings,
    ) -> Result<Nodes, WorldError> {
        let ca = Ca::ephemeral(DEFAULT_TRUST_DOMAIN)
            .map_err(|error| WorldError::new(format!("cannot make a certificate authority: {error}")))?;
        let ca = Arc::new(DevelopmentCa::new(ca, DEFAULT_LEAF_VALIDITY));
        let (sender, records) = channel();
        let empty = Arc::new(Snapshot::default());
        let start = |pods: Vec<PodConfig>| {
            let config = config(pods, settings, ca.clone(), sender.clone());
            runtime
                .start(config, empty.clone())
                .map_err(|error| WorldError::new(format!("cannot start a node: {error}")))
        };
        Ok(Nodes { nodes: pods.into_iter().map(start).collect::<Result<_, _>>()?, records })
    }

    /// Puts a mesh file in force on both nodes.
    pub(super) fn apply_mesh(&self, yaml: &str) -> Result<(), WorldError> {
        let snapshot = mesh_file::parse(Path::new("the demo's mesh"), yaml.as_bytes())
            .map_err(|failure| WorldError::new(failure.message()))?;
        let snapshot = Arc::new(snapshot);
        let applying: Vec<_> = self.nodes.iter().map(|node| node.apply(snapshot.clone())).collect();
        for applying in applying {
            applying.wait();
        }
        Ok(())
    }

    /// The next record, waiting for it at most for `time`.
    pub(super) fn next_record(&self, time: Duration) -> Result<Option<FlowRecord>, WorldError> {
        match self.records.recv_timeout(time) {
            Ok(record) => Ok(Some(record)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(WorldError::new("the nodes have ended")),
        }
    }
}

/// The workload of a place, as a node knows it.
pub(super) fn workload(place: Place) -> WorkloadRef {
    let name: Arc<str> = place.name().into();
    WorkloadRef { namespace: NAMESPACE.into(), name: name.clone(), service_account: name }
}

fn config(
    pods: Vec<PodConfig>,
    settings: &Settings,
    ca: Arc<DevelopmentCa>,
    records: Sender<FlowRecord>,
) -> NodeConfig {
    NodeConfig {
        pods,
        workers: WORKERS,
        limits: Limits::default(),
        local: settings.local.clone(),
        compat: Compat::Culvert,
        original_source: if settings.keep_source { OriginalSource::Required } else { OriginalSource::Never },
        bind_pod_address: settings.bind_pod_address,
        join: true,
        response_baggage: true,
        sockets: SocketSettings { mark: settings.mark, ..SocketSettings::default() },
        crypto: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        credentials: Box::new(FromCa(ca)),
        trust: Trust::default(),
        on_event: Arc::new(move |_, event| {
            if let Some(record) = record(event) {
                // The demo is ending.
                let _unheard = records.send(record);
            }
        }),
        on_need_facts: Arc::new(|_| {}),
        // A flow that lacks its credential is refused, which the demo sees.
        on_credential_fault: Arc::new(|_, _| {}),
    }
}

/// What a node's event says of a flow that has ended.
fn record(event: &Event) -> Option<FlowRecord> {
    let Event::Closed { connection, reason, .. } = event else { return None };
    let denial = match reason {
        Reason::Failed(Fault::Denied(denial) | Fault::Revoked(denial)) => Some(denial),
        Reason::Completed | Reason::SourceReset | Reason::DestinationReset | Reason::Failed(_) => None,
    };
    Some(FlowRecord {
        side: match connection.reporter {
            Reporter::Source => Side::Outbound,
            Reporter::Destination => Side::Inbound,
        },
        target: SocketAddr::new(connection.destination.ip().to_canonical(), connection.destination.port()),
        source_identity: connection.source_identity.as_ref().map(ToString::to_string),
        destination_identity: connection.destination_identity.as_ref().map(ToString::to_string),
        path: match connection.path {
            telemetry::Path::Hbone => FlowPath::Hbone,
            telemetry::Path::Local => FlowPath::Local,
            telemetry::Path::Plaintext => FlowPath::Plaintext,
            telemetry::Path::Refused => FlowPath::Refused,
        },
        verdict: if denial.is_some() { Verdict::Deny } else { Verdict::Allow },
        // What ended the flow may be another policy than the one that once let it in.
        policy: match denial {
            Some(denial) => decider(denial),
            None => connection.policy.clone(),
        },
    })
}

/// The policy that a denial is due to; none where it is the lack of one that allows.
fn decider(denial: &Denial) -> Option<String> {
    match denial {
        Denial::Rule(key) | Denial::Undecodable { policy: key, .. } => Some(key.to_string()),
        Denial::Missing(_) | Denial::NotAllowed | Denial::PastWaypoint => None,
    }
}

#[cfg(test)]
mod tests {
    use culvert_core::mesh::PolicyKey;
    use culvert_core::telemetry::Connection;
    use culvert_core::time::WallTime;

    use super::*;

    fn key(name: &str) -> PolicyKey {
        PolicyKey { namespace: "shop".into(), name: name.into() }
    }

    fn closed(reason: Reason) -> Event {
        let connection = Connection {
            reporter: Reporter::Destination,
            path: telemetry::Path::Hbone,
            source: "[::ffff:10.1.0.2]:40000".parse().unwrap(),
            destination: "[::ffff:10.2.0.2]:7100".parse().unwrap(),
            hbone: None,
            target: None,
            source_identity: Place::Frontend.identity().unwrap(),
            destination_identity: None,
            source_workload: None,
            destination_workload: None,
            service: None,
            policy: Some(key("admits").to_string()),
            trace: None,
            opened: WallTime::from_unix_secs(0),
        };
        let (bytes_sent, bytes_received, duration) = (1, 2, Duration::ZERO);
        Event::Closed { connection: Arc::new(connection), bytes_sent, bytes_received, duration, reason }
    }

    #[test]
    fn a_flow_is_told_with_the_address_that_the_source_meant() {
        let record = record(&closed(Reason::Completed)).unwrap();
        assert_eq!(
            (record.side, record.path, record.verdict),
            (Side::Inbound, FlowPath::Hbone, Verdict::Allow)
        );
        assert_eq!(record.target, "10.2.0.2:7100".parse().unwrap());
        assert_eq!(record.source_identity, Some(Place::Frontend.identity_text()));
        assert_eq!(record.policy.as_deref(), Some("shop/admits"));
    }

    #[test]
    fn the_policy_that_ends_a_flow_counts_not_the_one_that_let_it_in() {
        for (denial, policy) in [
            (Denial::Rule(key("cuts")), Some("shop/cuts")),
            (Denial::Undecodable { policy: key("odd"), reason: "odd".into() }, Some("shop/odd")),
            (Denial::NotAllowed, None),
        ] {
            for fault in [Fault::Denied(denial.clone()), Fault::Revoked(denial)] {
                let record = record(&closed(Reason::Failed(fault))).unwrap();
                assert_eq!((record.verdict, record.policy.as_deref()), (Verdict::Deny, policy));
            }
        }
        // Broken is not forbidden.
        assert_eq!(record(&closed(Reason::DestinationReset)).unwrap().verdict, Verdict::Allow);
        assert_eq!(record(&Event::Drained), None);
    }
}
