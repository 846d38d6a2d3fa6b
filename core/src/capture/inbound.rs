//! Where a connection that arrives for a workload goes: to the workload and nowhere else (node.md rows 64 to 68, B12 and
//! B13).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::{Authority, InboundFault, Local, Need, canonical, endpoint, gateway, is_special};
use crate::identity::SpiffeId;
use crate::mesh::{
    Destination, GatewayAddress, NetworkAddress, Service, Snapshot, TunnelledApplication, Workload,
};

/// What is to be found out before a connection to a workload can be judged, where facts come only when they are asked for
/// (node.md row 73). `authority` is what a CONNECT asks for; absent where the connection came in clear.
pub fn inbound_need(
    snapshot: &Snapshot,
    local: &Local,
    workload: &Workload,
    authority: Option<&Authority>,
) -> Option<Need> {
    local.answered.as_ref()?;
    let unknown = |name: &Destination| local.may_exist(name);
    let own_services = || {
        let missing = workload.services.iter().filter(|(key, _)| snapshot.service(key).is_none());
        missing.map(|(key, _)| Destination::Service(key.clone())).filter(unknown)
    };
    let before = |waypoint: &GatewayAddress, namespace: &str| {
        gateway::is_unknown(snapshot, local, waypoint, namespace).then(|| waypoint.destination.clone())
    };
    // What the workload may stand before, or is an endpoint of.
    let asked = match authority {
        Some(Authority::Host { host, .. }) => {
            own_services().find(|name| matches!(name, Destination::Service(key) if key.hostname == *host))
        }
        Some(Authority::Ip(address)) if !workload.has_ip(address.ip().to_canonical()) => {
            let address = NetworkAddress::new(local.network.clone(), address.ip().to_canonical());
            match (snapshot.workload_at(&address), snapshot.service_at(&address, workload.namespace())) {
                (Some(target), _) => {
                    target.waypoint.as_deref().and_then(|waypoint| before(waypoint, target.namespace()))
                }
                (None, Some(service)) => {
                    service.waypoints().find_map(|waypoint| before(waypoint, &service.key.namespace))
                }
                (None, None) => Some(Destination::Address(address)).filter(unknown),
            }
        }
        Some(Authority::Ip(_)) | None => None,
    };
    // What stands before the workload, where it makes a difference.
    let required = || {
        let known = || waypoints_before(snapshot, workload, None);
        own_services()
            .next()
            .or_else(|| known().find_map(|(waypoint, namespace)| before(waypoint, namespace)))
    };
    let name = asked.or_else(|| if local.require_waypoint { required() } else { None })?;
    Some(Need::Facts { name })
}

/// Where a connection that arrived for a workload goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundTarget {
    /// The workload's own address and the port, which policies see as the destination.
    pub target: SocketAddr,
    /// The address to dial in the workload's namespace: `target`, or the same port of the pod's loopback.
    pub dial: SocketAddr,
    /// The workload.
    pub workload: Arc<Workload>,
    /// The service the peer named.
    pub service: Option<Arc<Service>>,
    /// Present where a PROXY protocol header goes before the stream's bytes: the destination that it tells (node.md row 66).
    pub shown: Option<SocketAddr>,
    /// Whether something else than the workload was asked for, before which it stands.
    pub for_another: bool,
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
    let (requested, service, for_another) = match authority {
        Authority::Host { host, port } => named(snapshot, workload, host, *port)?,
        Authority::Ip(address) => {
            let asked = address.ip().to_canonical();
            (address.port(), None, check_address(snapshot, local, workload, own_ip, asked)?)
        }
    };
    let tunnel = workload.application_tunnel.unwrap_or_default();
    let port = if tunnel.port == 0 { requested } else { tunnel.port };
    if local.is_own_port(port) {
        return Err(InboundFault::OwnPort);
    }
    let target = SocketAddr::new(own_ip, port);
    let is_told = tunnel.protocol == TunnelledApplication::Proxy;
    let shown = is_told.then(|| match authority {
        Authority::Ip(address) => canonical(*address),
        Authority::Host { port, .. } => {
            let vip = service.as_deref().and_then(|service| virtual_address(local, service));
            SocketAddr::new(vip.unwrap_or(own_ip), *port)
        }
    });
    let dial = if is_told && local.loopback_tunnel { loopback(target) } else { target };
    Ok(InboundTarget { target, dial, workload: workload.clone(), service, shown, for_another })
}

/// The same port of the host's own loopback, in the same family.
fn loopback(target: SocketAddr) -> SocketAddr {
    let ip = match target.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, target.port())
}

/// A virtual address of a service in this network, an IPv4 one rather than another.
fn virtual_address(local: &Local, service: &Service) -> Option<IpAddr> {
    let here = || service.vips.iter().filter(|vip| *vip.network() == local.network).map(NetworkAddress::ip);
    here().find(IpAddr::is_ipv4).or_else(|| here().next())
}

/// Whether a workload is asked for something before which it stands, and not for itself.
fn check_address(
    snapshot: &Snapshot,
    local: &Local,
    workload: &Workload,
    own_ip: IpAddr,
    requested: IpAddr,
) -> Result<bool, InboundFault> {
    planted!(AuthorityUnchecked => return Ok(false));
    if requested == own_ip {
        return Ok(false);
    }
    if is_special(requested) {
        return Err(InboundFault::ForbiddenAddress);
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
    // What takes an application tunnel takes whatever is asked, and is itself what is meant.
    match stands_before || workload.application_tunnel.is_some() {
        true => Ok(stands_before),
        false => Err(InboundFault::IpMismatch),
    }
}

fn is_waypoint_of(snapshot: &Snapshot, service: &Service, workload: &Workload) -> bool {
    let namespace = &service.key.namespace;
    service.waypoints().any(|waypoint| gateway::is_workload(snapshot, waypoint, namespace, workload))
}

/// The port of the workload, and the service, that a hostname means, and whether the workload only stands before that.
fn named(
    snapshot: &Snapshot,
    workload: &Workload,
    host: &str,
    port: u16,
) -> Result<(u16, Option<Arc<Service>>, bool), InboundFault> {
    let services = snapshot.services_of_hostname(host);
    let own = |service: &&Arc<Service>| service.key.namespace.as_ref() == workload.namespace();
    let is_endpoint = |service: &&Arc<Service>| workload.service_ports(&service.key).is_some();
    let endpoint_of = services
        .iter()
        .find(|service| own(service) && is_endpoint(service))
        .or_else(|| services.iter().find(is_endpoint));
    if let Some(service) = endpoint_of {
        let target = endpoint::target_port(service, workload, port).ok_or(InboundFault::NoServicePort)?;
        return Ok((target, Some(service.clone()), false));
    }
    // Not an endpoint: it may still stand before the service.
    let stands_before = services.iter().find(|service| is_waypoint_of(snapshot, service, workload));
    let taken = services.first().filter(|_| workload.application_tunnel.is_some());
    match (stands_before, taken) {
        (Some(service), _) => Ok((port, Some(service.clone()), true)),
        (None, Some(service)) => Ok((port, Some(service.clone()), false)),
        (None, None) => Err(InboundFault::UnknownHost),
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
    Ok(InboundTarget {
        target,
        dial: target,
        workload: workload.clone(),
        service: None,
        shown: None,
        for_another: false,
    })
}

/// Whether connections to a workload have to come through a waypoint (node.md B13), to any port of it.
pub fn must_pass(snapshot: &Snapshot, local: &Local, workload: &Workload) -> bool {
    local.require_waypoint && waypoints_before(snapshot, workload, None).next().is_some()
}

/// Whether a connection may reach a port of a workload without, or as, the waypoint that it would have to come through
/// (node.md B13). `peer` is who opened it, verified, and at which address; nobody where it came in clear.
pub fn may_pass(
    snapshot: &Snapshot,
    local: &Local,
    workload: &Workload,
    port: u16,
    peer: Option<(&SpiffeId, IpAddr)>,
) -> bool {
    planted!(WaypointNotRequired => return true);
    let mut waypoints = waypoints_before(snapshot, workload, Some(port)).peekable();
    if !local.require_waypoint || waypoints.peek().is_none() {
        return true;
    }
    let Some((identity, ip)) = peer else { return false };
    waypoints
        .any(|(waypoint, namespace)| gateway::is_peer(snapshot, local, waypoint, namespace, identity, ip))
}

/// The waypoints that stand before a workload's address, and before the services that a port of it is behind: with the
/// namespace of what each stands before.
fn waypoints_before<'a>(
    snapshot: &'a Snapshot,
    workload: &'a Workload,
    port: Option<u16>,
) -> impl Iterator<Item = (&'a GatewayAddress, &'a str)> {
    let own = workload.waypoint.as_deref().map(|waypoint| (waypoint, workload.namespace()));
    // One that takes everything at a port of its own has no other.
    let at_one_port = workload.application_tunnel.is_some_and(|tunnel| tunnel.port != 0);
    let stands_at = move |service: &&Arc<Service>| {
        port.is_none_or(|port| {
            let target = |(from, _): &(u16, u16)| endpoint::target_port(service, workload, *from);
            at_one_port || service.ports.pairs().iter().any(|pair| target(pair) == Some(port))
        })
    };
    let services = workload.services.iter().filter_map(|(key, _)| snapshot.service(key)).filter(stands_at);
    own.into_iter().chain(
        services.flat_map(|service| {
            service.waypoints().map(|waypoint| (waypoint, service.key.namespace.as_ref()))
        }),
    )
}

#[cfg(test)]
mod tests;
