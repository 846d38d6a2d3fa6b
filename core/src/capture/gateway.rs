//! What stands at the address of a waypoint or of a network gateway, and which of it takes a tunnel (node.md rows 53, 57
//! and 61).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::endpoint;
use super::{Captured, Decision, Local, Need, RouteFault};
use crate::balance::{self, Choice, Seen};
use crate::identity::SpiffeId;
use crate::mesh::{
    DEFAULT_HBONE_PORT, Destination, GatewayAddress, HealthPolicy, Service, Snapshot, Workload,
};

/// What stands at a gateway's address.
enum Standing<'a> {
    Workload(&'a Arc<Workload>),
    Service(&'a Arc<Service>),
}

/// Whether it is to be found out what stands at a gateway's address.
pub(super) fn is_unknown(
    snapshot: &Snapshot,
    local: &Local,
    gateway: &GatewayAddress,
    namespace: &str,
) -> bool {
    standing(snapshot, gateway, namespace).is_none() && local.may_exist(&gateway.destination)
}

/// What stands at a gateway's address. Where several services have that address, the one counts that a client of
/// `namespace`, which is that of what the gateway stands before, would see.
fn standing<'a>(snapshot: &'a Snapshot, gateway: &GatewayAddress, namespace: &str) -> Option<Standing<'a>> {
    match &gateway.destination {
        Destination::Address(address) => match snapshot.workload_at(address) {
            Some(workload) => Some(Standing::Workload(workload)),
            None => snapshot.service_at(address, namespace).map(Standing::Service),
        },
        Destination::Service(key) => snapshot.service(key).map(Standing::Service),
    }
}

/// Whether a peer of this identity and address is what stands at a gateway's address: both must be one workload's. Its
/// health does not count: one that is going away still passes on what it has.
pub(super) fn is_peer(
    snapshot: &Snapshot,
    local: &Local,
    gateway: &GatewayAddress,
    namespace: &str,
    identity: &SpiffeId,
    ip: IpAddr,
) -> bool {
    let is_it = |workload: &Arc<Workload>| {
        planted!(WaypointByIdentity => return workload.identity() == identity);
        workload.identity() == identity && workload.network == local.network && workload.has_ip(ip)
    };
    match standing(snapshot, gateway, namespace) {
        Some(Standing::Workload(workload)) => is_it(workload),
        Some(Standing::Service(service)) => snapshot.endpoints(&service.key).any(is_it),
        None => false,
    }
}

/// Whether a workload is (one of) what stands at a gateway's address.
pub(super) fn is_workload(
    snapshot: &Snapshot,
    gateway: &GatewayAddress,
    namespace: &str,
    workload: &Workload,
) -> bool {
    match standing(snapshot, gateway, namespace) {
        Some(Standing::Workload(found)) => found.uid == workload.uid,
        Some(Standing::Service(service)) => workload.service_ports(&service.key).is_some(),
        None => false,
    }
}

/// A workload that was chosen to take a tunnel.
pub(super) struct Chosen<'a> {
    pub(super) workload: &'a Arc<Workload>,
    /// The service that was named, of which it is an endpoint.
    pub(super) service: Option<&'a Arc<Service>>,
    port: u16,
}

/// Chooses what takes a tunnel at a gateway's address; `fault` is what is said where nothing can.
///
/// # Errors
///
/// Nothing stands there, or nothing that is ready, or it is not known yet.
pub(super) fn choose<'a>(
    snapshot: &'a Snapshot,
    local: &Local,
    source: &'a Workload,
    seen: &'a Seen<'a>,
    gateway: &GatewayAddress,
    namespace: &str,
    draw: u64,
    fault: RouteFault,
) -> Result<Chosen<'a>, Unknown> {
    let port = if gateway.hbone_mtls_port == 0 { DEFAULT_HBONE_PORT } else { gateway.hbone_mtls_port };
    match standing(snapshot, gateway, namespace) {
        Some(Standing::Workload(workload)) => Ok(Chosen { workload, service: None, port }),
        Some(Standing::Service(service)) => {
            let workload = choose_endpoint(snapshot, source, seen, service, draw);
            let workload = workload.ok_or(Unknown::Refuse(fault))?;
            Ok(Chosen { workload, service: Some(service), port })
        }
        None if local.may_exist(&gateway.destination) => {
            Err(Unknown::Wait(Need::Facts { name: gateway.destination.clone() }))
        }
        None => Err(Unknown::Refuse(fault)),
    }
}

/// Chooses among the endpoints of a gateway's service. Its ports say nothing: the gateway's address names the port.
fn choose_endpoint<'a>(
    snapshot: &'a Snapshot,
    source: &'a Workload,
    seen: &'a Seen<'a>,
    service: &'a Service,
    draw: u64,
) -> Option<&'a Arc<Workload>> {
    let balancer = service.load_balancer.as_ref();
    let any_health = balancer.is_some_and(|balancer| balancer.health_policy == HealthPolicy::AllowAll);
    let endpoints = snapshot.endpoint_index(&service.key)?;
    let choice = Choice { snapshot, service, endpoints, source, seen, draw };
    balance::choose(&choice, |class| {
        let reachable = class.v4 || class.v6 || class.named || class.gateway;
        reachable && (any_health || class.healthy)
    })
}

/// Why it is not known what takes a tunnel, or at which address.
pub(super) enum Unknown {
    Refuse(RouteFault),
    Wait(Need),
}

impl From<Unknown> for Decision {
    fn from(unknown: Unknown) -> Decision {
        match unknown {
            Unknown::Refuse(fault) => Decision::Refuse(fault),
            Unknown::Wait(need) => Decision::Wait(need),
        }
    }
}

impl Chosen<'_> {
    /// Where it is dialled: at an address of the family that the client dials, where it has one.
    ///
    /// # Errors
    ///
    /// It has no address, has a name that is not resolved yet, or the port is one that this proxy takes other connections at.
    pub(super) fn peer(
        &self,
        local: &Local,
        gateway: &GatewayAddress,
        captured: &Captured<'_>,
        draw: u64,
    ) -> Result<SocketAddr, Unknown> {
        let is_tunnel_port = self.port == local.hbone_port || self.port == DEFAULT_HBONE_PORT;
        if local.own_ports.contains(&self.port) && !is_tunnel_port {
            return Err(Unknown::Refuse(RouteFault::OwnPort));
        }
        let no_address = Unknown::Refuse(RouteFault::NoAddress);
        let client = captured.original.ip().to_canonical();
        let ips = &self.workload.ips;
        let ip = match (self.service, &gateway.destination) {
            (None, Destination::Address(address)) => Some(address.ip()),
            _ if !ips.is_empty() => {
                let mut of_family = ips.iter().filter(|ip| ip.is_ipv4() == client.is_ipv4());
                of_family.next().or_else(|| ips.first()).copied()
            }
            _ => {
                let host = &self.workload.about.hostname;
                if host.is_empty() {
                    return Err(no_address);
                }
                let Some(resolved) = captured.resolved.filter(|resolved| resolved.host == *host) else {
                    return Err(Unknown::Wait(Need::Resolve { host: host.clone() }));
                };
                self.service
                    .and_then(|service| endpoint::resolved_ip(service, &resolved.addresses, client, draw))
            }
        };
        ip.map(|ip| SocketAddr::new(ip, self.port)).ok_or(no_address)
    }

    /// The identities of which it must show one: its own, and those that the service says its endpoints have. Sorted.
    pub(super) fn identities(&self) -> Vec<SpiffeId> {
        let of_service = self.service.into_iter().flat_map(|service| service.identities());
        sorted(of_service.chain([self.workload.identity().clone()]))
    }
}

/// Identities in order, each once.
pub(super) fn sorted(identities: impl Iterator<Item = SpiffeId>) -> Vec<SpiffeId> {
    let mut identities: Vec<SpiffeId> = identities.collect();
    identities.sort();
    identities.dedup();
    identities
}
