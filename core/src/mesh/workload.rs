//! A workload: one pod, or one machine outside Kubernetes, with an identity and addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::gateway::GatewayAddress;
use super::key::{PolicyKey, ServiceKey, Uid};
use super::port::PortMap;
use crate::identity::{SpiffeId, SpiffeIdError};

/// The trust domain of a workload that names none.
pub(super) const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";
/// The service account of a workload that names none.
pub(super) const DEFAULT_SERVICE_ACCOUNT: &str = "default";
/// The cluster of a workload that names none.
pub(super) const DEFAULT_CLUSTER: &str = "Kubernetes";

/// How a workload takes connections of the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TunnelProtocol {
    /// HTTP CONNECT over mutual TLS, on the HBONE port.
    #[serde(rename = "HBONE")]
    Hbone,
    /// Plain TCP.
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
}

/// Whether a workload has an address of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    /// It shares the addresses of its node with others.
    HostNetwork,
    /// Its addresses are its own.
    #[default]
    Standard,
}

/// Whether a workload is ready for connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthStatus {
    /// Ready.
    #[default]
    Healthy,
    /// Not ready.
    Unhealthy,
}

/// What kind of controller owns a workload; for telemetry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadType {
    /// A cron job.
    CronJob,
    /// A deployment.
    #[default]
    Deployment,
    /// A job.
    Job,
    /// A bare pod.
    Pod,
}

impl WorkloadType {
    /// The key under which the name of such a controller stands in `baggage` (node.md row 32).
    pub fn baggage_key(self) -> &'static str {
        match self {
            WorkloadType::CronJob => "k8s.cronjob.name",
            WorkloadType::Deployment => "k8s.deployment.name",
            WorkloadType::Job => "k8s.job.name",
            WorkloadType::Pod => "k8s.pod.name",
        }
    }
}

/// Where a workload runs; each part may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Locality {
    /// The region.
    pub region: Arc<str>,
    /// The zone, meaningful within its region.
    pub zone: Arc<str>,
    /// The subzone, meaningful within its zone.
    pub subzone: Arc<str>,
}

/// How an application that wants to know the tunnel's facts is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ApplicationTunnel {
    /// What is written to the application before the stream's bytes.
    pub protocol: TunnelledApplication,
    /// The port that is dialled in place of the requested one; 0 keeps the requested one.
    pub port: u16,
}

/// What an application is told about the tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TunnelledApplication {
    /// Nothing.
    #[default]
    None,
    /// A PROXY protocol version 2 header.
    Proxy,
}

/// A workload. Made of a [`WorkloadSpec`], which checks it; its identity is always valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WorkloadSpec", into = "WorkloadSpec")]
pub struct Workload {
    /// The unique name.
    pub uid: Uid,
    /// The name within the namespace.
    pub name: Arc<str>,
    /// Trust domain, namespace and service account.
    pub identity: SpiffeId,
    /// The network its addresses are in.
    pub network: Arc<str>,
    /// The addresses, canonical, in the order of preference.
    pub ips: Box<[IpAddr]>,
    /// How it takes connections.
    pub protocol: TunnelProtocol,
    /// Whether the addresses are its own.
    pub network_mode: NetworkMode,
    /// Whether it is ready.
    pub status: HealthStatus,
    /// Its weight among the endpoints of a service; 0 takes no connections.
    pub capacity: u32,
    /// The services it is an endpoint of, by key, each with the ports it overrides.
    pub services: Box<[(ServiceKey, PortMap)]>,
    /// The selector-scoped policies that apply to it, in order of keys.
    pub authorization_policies: Box<[PolicyKey]>,
    /// The waypoint that stands before its addresses.
    pub waypoint: Option<Box<GatewayAddress>>,
    /// The gateway to its network, for clients of other networks.
    pub network_gateway: Option<Box<GatewayAddress>>,
    /// How its application wants to hear of the tunnel.
    pub application_tunnel: Option<ApplicationTunnel>,
    /// What routing and telemetry know besides.
    pub about: Arc<About>,
}

/// What is known of a workload that most workloads of one deployment have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct About {
    /// The node it runs on.
    pub node: Arc<str>,
    /// The cluster it runs in.
    pub cluster_id: Arc<str>,
    /// Where it runs.
    pub locality: Locality,
    /// A name to resolve where it has no addresses.
    pub hostname: Arc<str>,
    /// The name of its controller.
    pub workload_name: Arc<str>,
    /// The kind of its controller.
    pub workload_type: WorkloadType,
    /// The canonical service.
    pub canonical_name: Arc<str>,
    /// The canonical revision.
    pub canonical_revision: Arc<str>,
    /// Whether it takes HBONE by itself; changes no route (node.md row 58).
    pub native_tunnel: bool,
}

impl Workload {
    /// The identity under which it connects and by which its peers know it.
    pub fn identity(&self) -> &SpiffeId {
        &self.identity
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.identity.namespace()
    }

    /// The ports it overrides for a service; `None` if it is no endpoint of that service.
    pub fn service_ports(&self, key: &ServiceKey) -> Option<&PortMap> {
        let at = self.services.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        self.services.get(at).map(|(_, ports)| ports)
    }

    /// Whether the address, in canonical or mapped form, is one of its own.
    pub fn has_ip(&self, ip: IpAddr) -> bool {
        self.ips.contains(&ip.to_canonical())
    }
}

/// Why a workload's fields make no workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// The uid is empty.
    #[error("a workload needs a uid")]
    NoUid,
    /// Trust domain, namespace and service account make no SPIFFE id.
    #[error("workload {uid}: {reason}")]
    Identity {
        /// The workload.
        uid: Uid,
        /// What is wrong with the identity.
        reason: SpiffeIdError,
    },
}

/// A workload as it is written in the local form (node.md 1.14): every field optional but the uid, unknown ones
/// refused. Also the way to make a [`Workload`] in code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `Workload` and `About`")]
pub struct WorkloadSpec {
    pub uid: Arc<str>,
    #[serde(default)]
    pub name: Arc<str>,
    #[serde(default)]
    pub namespace: Arc<str>,
    #[serde(default)]
    pub trust_domain: Arc<str>,
    #[serde(default)]
    pub service_account: Arc<str>,
    #[serde(default)]
    pub network: Arc<str>,
    #[serde(default)]
    pub workload_ips: Vec<IpAddr>,
    #[serde(default)]
    pub protocol: TunnelProtocol,
    #[serde(default)]
    pub network_mode: NetworkMode,
    #[serde(default)]
    pub status: HealthStatus,
    #[serde(default = "one")]
    pub capacity: u32,
    #[serde(default)]
    pub services: BTreeMap<ServiceKey, PortMap>,
    #[serde(default)]
    pub authorization_policies: Vec<PolicyKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waypoint: Option<GatewayAddress>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_gateway: Option<GatewayAddress>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_tunnel: Option<ApplicationTunnel>,
    #[serde(default)]
    pub node: Arc<str>,
    #[serde(default)]
    pub cluster_id: Arc<str>,
    #[serde(default)]
    pub locality: Locality,
    #[serde(default)]
    pub hostname: Arc<str>,
    #[serde(default)]
    pub workload_name: Arc<str>,
    #[serde(default)]
    pub workload_type: WorkloadType,
    #[serde(default)]
    pub canonical_name: Arc<str>,
    #[serde(default)]
    pub canonical_revision: Arc<str>,
    #[serde(default)]
    pub native_tunnel: bool,
}

fn one() -> u32 {
    1
}

impl Default for WorkloadSpec {
    fn default() -> WorkloadSpec {
        WorkloadSpec {
            uid: Arc::default(),
            name: Arc::default(),
            namespace: Arc::default(),
            trust_domain: Arc::default(),
            service_account: Arc::default(),
            network: Arc::default(),
            workload_ips: Vec::new(),
            protocol: TunnelProtocol::default(),
            network_mode: NetworkMode::default(),
            status: HealthStatus::default(),
            capacity: one(),
            services: BTreeMap::new(),
            authorization_policies: Vec::new(),
            waypoint: None,
            network_gateway: None,
            application_tunnel: None,
            node: Arc::default(),
            cluster_id: Arc::default(),
            locality: Locality::default(),
            hostname: Arc::default(),
            workload_name: Arc::default(),
            workload_type: WorkloadType::default(),
            canonical_name: Arc::default(),
            canonical_revision: Arc::default(),
            native_tunnel: false,
        }
    }
}

fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

impl TryFrom<WorkloadSpec> for Workload {
    type Error = WorkloadError;

    fn try_from(spec: WorkloadSpec) -> Result<Workload, WorkloadError> {
        if spec.uid.is_empty() {
            return Err(WorkloadError::NoUid);
        }
        let uid = Uid::new(spec.uid);
        let trust_domain = or(&spec.trust_domain, DEFAULT_TRUST_DOMAIN);
        let service_account = or(&spec.service_account, DEFAULT_SERVICE_ACCOUNT);
        let identity = SpiffeId::new(trust_domain, &spec.namespace, service_account)
            .map_err(|reason| WorkloadError::Identity { uid: uid.clone(), reason })?;
        let mut policies = spec.authorization_policies;
        policies.sort();
        policies.dedup();
        let cluster_id = if spec.cluster_id.is_empty() { DEFAULT_CLUSTER.into() } else { spec.cluster_id };
        Ok(Workload {
            uid,
            name: spec.name,
            identity,
            network: spec.network,
            ips: canonical(spec.workload_ips),
            protocol: spec.protocol,
            network_mode: spec.network_mode,
            status: spec.status,
            capacity: spec.capacity,
            services: spec.services.into_iter().collect(),
            authorization_policies: policies.into(),
            waypoint: spec.waypoint.map(Box::new),
            network_gateway: spec.network_gateway.map(Box::new),
            application_tunnel: spec.application_tunnel,
            about: Arc::new(About {
                node: spec.node,
                cluster_id,
                locality: spec.locality,
                hostname: spec.hostname,
                workload_name: spec.workload_name,
                workload_type: spec.workload_type,
                canonical_name: spec.canonical_name,
                canonical_revision: spec.canonical_revision,
                native_tunnel: spec.native_tunnel,
            }),
        })
    }
}

fn canonical(ips: Vec<IpAddr>) -> Box<[IpAddr]> {
    let mut unique: Vec<IpAddr> = Vec::with_capacity(ips.len());
    for ip in ips {
        let ip = ip.to_canonical();
        if !unique.contains(&ip) {
            unique.push(ip);
        }
    }
    unique.into()
}

impl From<Workload> for WorkloadSpec {
    fn from(workload: Workload) -> WorkloadSpec {
        let about = workload.about.as_ref().clone();
        WorkloadSpec {
            uid: workload.uid.as_str().into(),
            name: workload.name,
            namespace: workload.identity.namespace().into(),
            trust_domain: workload.identity.trust_domain().into(),
            service_account: workload.identity.service_account().into(),
            network: workload.network,
            workload_ips: workload.ips.into_vec(),
            protocol: workload.protocol,
            network_mode: workload.network_mode,
            status: workload.status,
            capacity: workload.capacity,
            services: workload.services.into_iter().collect(),
            authorization_policies: workload.authorization_policies.into_vec(),
            waypoint: workload.waypoint.map(|gateway| *gateway),
            network_gateway: workload.network_gateway.map(|gateway| *gateway),
            application_tunnel: workload.application_tunnel,
            node: about.node,
            cluster_id: about.cluster_id,
            locality: about.locality,
            hostname: about.hostname,
            workload_name: about.workload_name,
            workload_type: about.workload_type,
            canonical_name: about.canonical_name,
            canonical_revision: about.canonical_revision,
            native_tunnel: about.native_tunnel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> WorkloadSpec {
        WorkloadSpec { uid: "c//Pod/ns/a".into(), namespace: "ns".into(), ..WorkloadSpec::default() }
    }

    #[test]
    fn what_is_absent_has_the_default_of_the_wire() {
        let workload = Workload::try_from(spec()).unwrap();
        assert_eq!(workload.identity().to_string(), "spiffe://cluster.local/ns/ns/sa/default");
        assert_eq!(workload.about.cluster_id.as_ref(), "Kubernetes");
        assert_eq!(workload.capacity, 1);
        assert_eq!(workload.protocol, TunnelProtocol::Tcp);
        assert_eq!(workload.status, HealthStatus::Healthy);
    }

    #[test]
    fn addresses_are_canonical_and_unique() {
        let ips = ["::ffff:10.0.0.1", "10.0.0.1", "2001:db8::1"].map(|ip| ip.parse().unwrap());
        let workload = Workload::try_from(WorkloadSpec { workload_ips: ips.to_vec(), ..spec() }).unwrap();
        assert_eq!(workload.ips.as_ref(), [ips[1], ips[2]]);
        assert!(workload.has_ip(ips[0]));
    }

    #[test]
    fn a_workload_without_a_valid_identity_is_refused() {
        let no_namespace = WorkloadSpec { namespace: "".into(), ..spec() };
        let error = Workload::try_from(no_namespace).unwrap_err();
        assert!(matches!(error, WorkloadError::Identity { reason: SpiffeIdError::Segment, .. }), "{error}");
        let upper = WorkloadSpec { trust_domain: "Cluster.Local".into(), ..spec() };
        let error = Workload::try_from(upper).unwrap_err();
        assert!(
            matches!(error, WorkloadError::Identity { reason: SpiffeIdError::TrustDomain, .. }),
            "{error}"
        );
        assert_eq!(Workload::try_from(WorkloadSpec::default()), Err(WorkloadError::NoUid));
    }

    #[test]
    fn a_workload_and_its_spec_hold_the_same_facts() {
        let workload = Workload::try_from(spec()).unwrap();
        assert_eq!(Workload::try_from(WorkloadSpec::from(workload.clone())), Ok(workload));
    }
    #[test]
    fn policies_are_named_once_and_in_order() {
        let names = ["n/q", "n/p", "n/q"].map(|key| key.parse().unwrap());
        let workload =
            Workload::try_from(WorkloadSpec { authorization_policies: names.to_vec(), ..spec() }).unwrap();
        assert_eq!(workload.authorization_policies.as_ref(), [names[1].clone(), names[0].clone()]);
    }

    /// A cluster has a hundred thousand of them.
    #[test]
    fn a_workload_stays_small() {
        assert!(size_of::<Workload>() <= 248, "{}", size_of::<Workload>());
    }
}
