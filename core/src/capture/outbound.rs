//! Where a connection that a workload opens goes (node.md rows 50 to 62 and B14).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Local, RouteFault, canonical, endpoint, is_gateway};
use crate::balance::Seen;
use crate::identity::SpiffeId;
use crate::mesh::{Mode, NetworkAddress, Service, Snapshot, TunnelProtocol, TunnelledApplication, Workload};

/// A connection that was captured on its way out of a workload.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// The workload that opened it.
    pub source: &'a Workload,
    /// Its address at the workload.
    pub peer: SocketAddr,
    /// Where the workload sent it.
    pub original: SocketAddr,
    /// The answer to an earlier [`Need::Resolve`], if this is asked again after one.
    pub resolved: Option<&'a Resolved>,
}

/// What a name resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The name.
    pub host: Arc<str>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// To a workload that this process serves, without a tunnel.
    Local(Box<LocalTo>),
    /// Where the workload sent it, as it is: the mesh has no part in it.
    Passthrough {
        /// The address to dial.
        target: SocketAddr,
    },
    /// To a workload that takes plain TCP.
    Plaintext {
        /// The address to dial.
        target: SocketAddr,
        /// The workload.
        destination: Arc<Workload>,
        /// The service it was reached by.
        service: Option<Arc<Service>>,
    },
    /// Nowhere.
    Refuse(RouteFault),
    /// To a workload by an HBONE tunnel.
    Tunnel(Box<TunnelTo>),
    /// It depends on something that is to be found out; then ask again with the same draw.
    Wait(Need),
}

/// What a decision needs to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The addresses of a name.
    Resolve {
        /// The name.
        host: Arc<str>,
    },
}

/// A workload to reach by an HBONE tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelTo {
    /// Where the tunnel goes.
    pub peer: SocketAddr,
    /// What the CONNECT asks for.
    pub authority: SocketAddr,
    /// The identities of which the peer must show one; sorted, at least one.
    pub expected: Vec<SpiffeId>,
    /// The workload.
    pub destination: Arc<Workload>,
    /// The service it was reached by.
    pub service: Option<Arc<Service>>,
}

/// A workload to reach within the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalTo {
    /// The address to dial in the workload's namespace.
    pub target: SocketAddr,
    /// The workload.
    pub destination: Arc<Workload>,
    /// The service it was reached by.
    pub service: Option<Arc<Service>>,
}

/// Decides where a connection goes. `draw` is a number from all 64-bit numbers, each as likely as another.
pub fn outbound(snapshot: &Snapshot, local: &Local, captured: &Captured<'_>, draw: u64) -> Decision {
    outbound_seeing(snapshot, local, captured, &Seen::default(), draw)
}

/// As [`outbound`], with what was seen of the endpoints among which is chosen.
pub fn outbound_seeing(
    snapshot: &Snapshot,
    local: &Local,
    captured: &Captured<'_>,
    seen: &Seen<'_>,
    draw: u64,
) -> Decision {
    let original = canonical(captured.original);
    if let Err(fault) = guard(local, captured.source, original) {
        return Decision::Refuse(fault);
    }
    let address = NetworkAddress::new(local.network.clone(), original.ip());
    if let Some(destination) = snapshot.workload_at(&address) {
        return to_workload(snapshot, local, captured.source, destination, original);
    }
    match snapshot.service_at(&address, captured.source.namespace()) {
        Some(service) => to_service(snapshot, local, captured, service, original, seen, draw),
        None => passthrough(local, original),
    }
}

/// Refuses what would come back to this proxy, and what is no destination.
fn guard(local: &Local, source: &Workload, original: SocketAddr) -> Result<(), RouteFault> {
    let ip = original.ip();
    let own = ip.is_loopback() || ip.is_unspecified() || source.has_ip(ip);
    if own && local.is_own_port(original.port()) {
        return Err(RouteFault::SelfCall);
    }
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    if ip.is_unspecified() || ip.is_multicast() || broadcast || original.port() == 0 {
        return Err(RouteFault::Unroutable);
    }
    Ok(())
}

fn passthrough(local: &Local, target: SocketAddr) -> Decision {
    if local.is_own_port(target.port()) {
        return Decision::Refuse(RouteFault::OwnPort);
    }
    Decision::Passthrough { target }
}

/// The client named the workload by its address: the workload's waypoint counts, unless it is the client itself.
fn to_workload(
    snapshot: &Snapshot,
    local: &Local,
    source: &Workload,
    destination: &Arc<Workload>,
    original: SocketAddr,
) -> Decision {
    planted!(WaypointPassed => return reach(local, destination, None, original));
    match &destination.waypoint {
        Some(waypoint) if !is_gateway(snapshot, waypoint, source) => {
            Decision::Refuse(RouteFault::WaypointUnsupported)
        }
        _ => reach(local, destination, None, original),
    }
}

/// The client named a service: the service's waypoint counts, and none of its endpoints'.
fn to_service(
    snapshot: &Snapshot,
    local: &Local,
    captured: &Captured<'_>,
    service: &Arc<Service>,
    original: SocketAddr,
    seen: &Seen<'_>,
    draw: u64,
) -> Decision {
    if service.has_waypoint() {
        return Decision::Refuse(RouteFault::WaypointUnsupported);
    }
    if service.load_balancer.as_ref().is_some_and(|balancer| balancer.mode == Mode::Passthrough) {
        return passthrough(local, original);
    }
    let chosen = match endpoint::choose(snapshot, local, captured, service, original.port(), seen, draw) {
        Ok(chosen) => chosen,
        Err(fault) => return Decision::Refuse(fault),
    };
    let ip = if chosen.workload.ips.is_empty() {
        let host = &chosen.workload.about.hostname;
        let Some(resolved) = captured.resolved.filter(|resolved| resolved.host == *host) else {
            return Decision::Wait(Need::Resolve { host: host.clone() });
        };
        endpoint::resolved_ip(service, &resolved.addresses, original.ip(), draw)
    } else {
        endpoint::endpoint_ip(service, chosen.workload, original.ip())
    };
    match ip {
        Some(ip) => reach(local, chosen.workload, Some(service), SocketAddr::new(ip, chosen.port)),
        None => Decision::Refuse(RouteFault::NoAddress),
    }
}

/// The way to a workload that was settled on.
fn reach(
    local: &Local,
    destination: &Arc<Workload>,
    service: Option<&Arc<Service>>,
    target: SocketAddr,
) -> Decision {
    if local.is_own_port(target.port()) {
        return Decision::Refuse(RouteFault::OwnPort);
    }
    let (destination, service) = (destination.clone(), service.cloned());
    match destination.protocol {
        TunnelProtocol::Tcp => Decision::Plaintext { target, destination, service },
        TunnelProtocol::Hbone if meets_here(local, &destination) => {
            Decision::Local(Box::new(LocalTo { target, destination, service }))
        }
        TunnelProtocol::Hbone => {
            let mut expected: Vec<SpiffeId> =
                service.iter().flat_map(|service| service.identities()).collect();
            expected.push(destination.identity().clone());
            expected.sort();
            expected.dedup();
            let peer = SocketAddr::new(target.ip(), local.hbone_port);
            Decision::Tunnel(Box::new(TunnelTo { peer, authority: target, expected, destination, service }))
        }
    }
}

/// Whether source and destination are both served here. An application that wants to hear of the tunnel gets one, and so does
/// one that takes everything at a port of its own: the far side of a tunnel sees to that.
fn meets_here(local: &Local, destination: &Workload) -> bool {
    let wants_tunnel = destination
        .application_tunnel
        .is_some_and(|tunnel| tunnel.protocol == TunnelledApplication::Proxy || tunnel.port != 0);
    local.same_node && !wants_tunnel && local.workloads.contains(&destination.uid)
}

#[cfg(test)]
mod tests;
