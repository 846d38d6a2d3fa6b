//! Where a connection that arrives for a workload goes: to the workload and nowhere else (node.md rows 64, 65, 68 and
//! B12).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Authority, InboundFault, Local, canonical, endpoint, gateway, is_special};
use crate::mesh::{NetworkAddress, Service, Snapshot, TunnelledApplication, Workload};

/// Where a connection that arrived for a workload goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundTarget {
    /// The address to dial in the workload's namespace, which policies see as the destination.
    pub target: SocketAddr,
    /// The workload.
    pub workload: Arc<Workload>,
    /// The service the peer named.
    pub service: Option<Arc<Service>>,
}

/// Decides where a CONNECT for a workload goes. `tcp_destination` is the address the peer opened the tunnel to.
///
/// # Errors
///
/// Anything but the workload at that address is refused, with two exceptions: a workload with an application tunnel and
/// a waypoint take what is meant for others, but are themselves what is dialled.
pub fn inbound_connect(
    snapshot: &Snapshot,
    local: &Local,
    workload: &Arc<Workload>,
    tcp_destination: SocketAddr,
    authority: &Authority,
) -> Result<InboundTarget, InboundFault> {
    let own_ip = tcp_destination.ip().to_canonical();
    if !workload.has_ip(own_ip) {
        return Err(InboundFault::UnknownWorkload);
    }
    if authority.port() == 0 {
        return Err(InboundFault::BadAuthority);
    }
    let (requested, service) = match authority {
        Authority::Host { host, port } => named(snapshot, workload, host, *port)?,
        Authority::Ip(address) => {
            check_address(snapshot, local, workload, own_ip, address.ip().to_canonical())?;
            (address.port(), None)
        }
    };
    let tunnel = workload.application_tunnel.unwrap_or_default();
    if tunnel.protocol == TunnelledApplication::Proxy {
        return Err(InboundFault::ProxyProtocolUnsupported);
    }
    let port = if tunnel.port == 0 { requested } else { tunnel.port };
    if local.is_own_port(port) {
        return Err(InboundFault::OwnPort);
    }
    Ok(InboundTarget { target: SocketAddr::new(own_ip, port), workload: workload.clone(), service })
}

fn check_address(
    snapshot: &Snapshot,
    local: &Local,
    workload: &Workload,
    own_ip: IpAddr,
    requested: IpAddr,
) -> Result<(), InboundFault> {
    planted!(AuthorityUnchecked => return Ok(()));
    if requested == own_ip {
        return Ok(());
    }
    if is_special(requested) {
        return Err(InboundFault::ForbiddenAddress);
    }
    if workload.application_tunnel.is_some() {
        return Ok(());
    }
    let address = NetworkAddress::new(local.network.clone(), requested);
    let stands_before = match snapshot.workload_at(&address) {
        Some(target) => {
            let waypoint = target.waypoint.as_deref();
            let namespace = target.namespace();
            waypoint.is_some_and(|waypoint| gateway::is_workload(snapshot, waypoint, namespace, workload))
        }
        None => snapshot
            .service_at(&address, workload.namespace())
            .is_some_and(|service| is_waypoint_of(snapshot, service, workload)),
    };
    if stands_before { Ok(()) } else { Err(InboundFault::IpMismatch) }
}

fn is_waypoint_of(snapshot: &Snapshot, service: &Service, workload: &Workload) -> bool {
    let namespace = &service.key.namespace;
    service.waypoints().any(|waypoint| gateway::is_workload(snapshot, waypoint, namespace, workload))
}

/// The port of the workload, and the service, that a hostname means.
fn named(
    snapshot: &Snapshot,
    workload: &Workload,
    host: &str,
    port: u16,
) -> Result<(u16, Option<Arc<Service>>), InboundFault> {
    let services = snapshot.services_of_hostname(host);
    let own = |service: &&Arc<Service>| service.key.namespace.as_ref() == workload.namespace();
    let is_endpoint = |service: &&Arc<Service>| workload.service_ports(&service.key).is_some();
    let endpoint_of = services
        .iter()
        .find(|service| own(service) && is_endpoint(service))
        .or_else(|| services.iter().find(is_endpoint));
    if let Some(service) = endpoint_of {
        let target = endpoint::target_port(service, workload, port).ok_or(InboundFault::NoServicePort)?;
        return Ok((target, Some(service.clone())));
    }
    // Not an endpoint: it may still stand before the service.
    let stands_before = |service: &&Arc<Service>| {
        workload.application_tunnel.is_some() || is_waypoint_of(snapshot, service, workload)
    };
    match services.iter().find(stands_before) {
        Some(service) => Ok((port, Some(service.clone()))),
        None => Err(InboundFault::UnknownHost),
    }
}

/// Decides where a plain connection for a workload goes: where it was sent, if that is the workload.
///
/// # Errors
///
/// An address that is not the workload's, and a port of the proxy.
pub fn inbound_plaintext(
    local: &Local,
    workload: &Arc<Workload>,
    original: SocketAddr,
) -> Result<InboundTarget, InboundFault> {
    let target = canonical(original);
    if local.is_own_port(target.port()) {
        return Err(InboundFault::OwnPort);
    }
    if target.port() == 0 || !workload.has_ip(target.ip()) {
        return Err(InboundFault::UnknownWorkload);
    }
    Ok(InboundTarget { target, workload: workload.clone(), service: None })
}

#[cfg(test)]
mod tests;
