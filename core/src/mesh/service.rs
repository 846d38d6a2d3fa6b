//! A service: a name and virtual addresses behind which workloads stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::address::{NetworkAddress, NetworkCidr};
use super::gateway::GatewayAddress;
use super::key::ServiceKey;
use super::port::PortMap;
use crate::identity::SpiffeId;

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ServiceSpec", into = "ServiceSpec")]
pub struct Service {
    /// The namespace and hostname.
    pub key: ServiceKey,
    /// The name within the namespace.
    pub name: Arc<str>,
    /// The virtual addresses.
    pub vips: Vec<NetworkAddress>,
    /// The virtual address ranges.
    pub cidr_vips: Vec<NetworkCidr>,
    /// The ports and what stands behind them.
    pub ports: PortMap,
    /// Further identities its endpoints may have, as written; those outside the SPIFFE grammar count for nothing.
    pub subject_alt_names: Vec<Arc<str>>,
    /// The waypoint that stands before the service.
    pub waypoint: Option<GatewayAddress>,
    /// Waypoints among which connections are shared out; where there are any, `waypoint` is the first of them.
    pub weighted_waypoints: Vec<WeightedWaypoint>,
    /// How an endpoint is chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// The address families of its endpoints.
    pub ip_families: Option<IpFamilies>,
    /// Whether it wins over others with the same virtual address.
    pub canonical: bool,
    /// Who sees it.
    pub visibility: Visibility,
}

impl Service {
    /// The further identities its endpoints may have.
    pub fn identities(&self) -> impl Iterator<Item = SpiffeId> {
        self.subject_alt_names.iter().filter_map(|name| name.parse().ok())
    }

    /// Whether a client of this namespace sees the service.
    pub fn is_visible_from(&self, namespace: &str) -> bool {
        match self.visibility {
            Visibility::Namespace => self.key.namespace.as_ref() == namespace,
            Visibility::Public => true,
        }
    }

    /// All waypoints that stand before the service, whatever their share.
    pub fn waypoints(&self) -> impl Iterator<Item = &GatewayAddress> {
        self.waypoint.iter().chain(self.weighted_waypoints.iter().map(|weighted| &weighted.destination))
    }

    /// Whether connections to the service go through a waypoint.
    pub fn has_waypoint(&self) -> bool {
        self.waypoint.is_some() || !self.weighted_waypoints.is_empty()
    }
}

/// A waypoint with its share of the connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WeightedWaypoint {
    /// The waypoint.
    pub destination: GatewayAddress,
    /// The weight; 0 takes no connections.
    pub weight: u32,
}

/// How an endpoint of a service is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LoadBalancer {
    /// What an endpoint should have in common with the client, the weightiest first.
    pub routing_preferences: Vec<RoutingScope>,
    /// What becomes of endpoints that have not all of it in common.
    pub mode: Mode,
    /// Which endpoints are considered.
    pub health_policy: HealthPolicy,
}

/// Something an endpoint can have in common with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoutingScope {
    /// The cluster.
    #[serde(alias = "cluster")]
    Cluster,
    /// The network.
    #[serde(alias = "network")]
    Network,
    /// The node.
    #[serde(alias = "node")]
    Node,
    /// The region.
    #[serde(alias = "region")]
    Region,
    /// The subzone.
    #[serde(alias = "subzone")]
    Subzone,
    /// The zone.
    #[serde(alias = "zone")]
    Zone,
}

/// What becomes of endpoints that do not match all routing preferences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// The endpoints that match the most are taken.
    #[serde(alias = "failover")]
    Failover,
    /// No endpoint is chosen: the connection goes where the client sent it.
    #[serde(alias = "passthrough")]
    Passthrough,
    /// Preferences count for nothing.
    #[default]
    #[serde(alias = "standard")]
    Standard,
    /// They are not taken.
    #[serde(alias = "strict")]
    Strict,
}

/// Which endpoints are considered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthPolicy {
    /// All.
    #[serde(alias = "allowAll")]
    AllowAll,
    /// Those that are ready.
    #[default]
    #[serde(alias = "onlyHealthy")]
    OnlyHealthy,
}

/// The address families of a service's endpoints. A service that names none takes both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpFamilies {
    /// Both.
    Dual,
    /// IPv4 only.
    #[serde(rename = "IPv4")]
    Ipv4,
    /// IPv6 only.
    #[serde(rename = "IPv6")]
    Ipv6,
}

/// Who sees a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Visibility {
    /// Clients of its namespace.
    Namespace,
    /// All clients.
    #[default]
    Public,
}

/// Why a service's fields make no service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// Namespace or hostname is empty or holds a slash.
    #[error("a service needs a namespace and a hostname, without slashes")]
    Key,
    /// Endpoints are listed in the service.
    #[error("service {0}: endpoints are given by `services` of each workload")]
    Endpoints(ServiceKey),
}

/// A value of a file that is accepted in any form and not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread;

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unread, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Unread)
    }
}

/// A service as it is written in the local form (node.md 1.14). Also the way to make a [`Service`] in code.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are those of `Service`")]
pub struct ServiceSpec {
    pub name: Arc<str>,
    pub namespace: Arc<str>,
    pub hostname: Arc<str>,
    pub vips: Vec<NetworkAddress>,
    pub cidr_vips: Vec<NetworkCidr>,
    pub ports: PortMap,
    /// Always empty: endpoints are given by the workloads.
    #[serde(skip_serializing)]
    pub endpoints: BTreeMap<Arc<str>, Unread>,
    pub subject_alt_names: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waypoint: Option<GatewayAddress>,
    pub weighted_waypoints: Vec<WeightedWaypoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_families: Option<IpFamilies>,
    pub canonical: bool,
    pub visibility: Visibility,
}

impl TryFrom<ServiceSpec> for Service {
    type Error = ServiceError;

    fn try_from(spec: ServiceSpec) -> Result<Service, ServiceError> {
        // The same rule as for the text form, so that every key of a service can be written and read back.
        let valid = |text: &str| !text.is_empty() && !text.contains('/');
        if !valid(&spec.namespace) || !valid(&spec.hostname) {
            return Err(ServiceError::Key);
        }
        let key = ServiceKey::new(spec.namespace, spec.hostname);
        if !spec.endpoints.is_empty() {
            return Err(ServiceError::Endpoints(key));
        }
        Ok(Service {
            key,
            name: spec.name,
            vips: spec.vips,
            cidr_vips: spec.cidr_vips,
            ports: spec.ports,
            subject_alt_names: spec.subject_alt_names,
            waypoint: spec.waypoint,
            weighted_waypoints: spec.weighted_waypoints,
            load_balancer: spec.load_balancer,
            ip_families: spec.ip_families,
            canonical: spec.canonical,
            visibility: spec.visibility,
        })
    }
}

impl From<Service> for ServiceSpec {
    fn from(service: Service) -> ServiceSpec {
        ServiceSpec {
            name: service.name,
            namespace: service.key.namespace,
            hostname: service.key.hostname,
            vips: service.vips,
            cidr_vips: service.cidr_vips,
            ports: service.ports,
            endpoints: BTreeMap::new(),
            subject_alt_names: service.subject_alt_names,
            waypoint: service.waypoint,
            weighted_waypoints: service.weighted_waypoints,
            load_balancer: service.load_balancer,
            ip_families: service.ip_families,
            canonical: service.canonical,
            visibility: service.visibility,
        }
    }
}
