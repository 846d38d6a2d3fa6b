//! Where a connection that a workload opens goes (node.md rows 50 to 62 and B14).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::gateway::{self, Chosen};
use super::{Authority, Local, RouteFault, canonical, endpoint};
use crate::balance::{self, Seen};
use crate::identity::SpiffeId;
use crate::mesh::{
    Destination, GatewayAddress, Mode, NetworkAddress, Service, Snapshot, TunnelProtocol,
    TunnelledApplication, Workload,
};

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
    /// To a workload, a waypoint or another network by an HBONE tunnel.
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
    /// What there is of a name, where facts come only when they are asked for (node.md row 73).
    Facts {
        /// The name.
        name: Destination,
    },
}

/// A workload to reach by an HBONE tunnel: the destination itself, or its waypoint, or the gateway of its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelTo {
    /// Where the tunnel goes.
    pub peer: SocketAddr,
    /// What the CONNECT asks for: of a workload its own address, of a waypoint what the application asked for, of another
    /// network the service's name (node.md row 31).
    pub authority: Authority,
    /// The identities of which the peer must show one; sorted, at least one.
    pub expected: Vec<SpiffeId>,
    /// The workload at the tunnel's end.
    pub destination: Arc<Workload>,
    /// The service that was addressed.
    pub service: Option<Arc<Service>>,
    /// Present where the tunnel goes to a gateway: in its stream goes a second tunnel, with the same authority, whose far end
    /// must show one of these identities; sorted, at least one (node.md row 61).
    pub inner: Option<Vec<SpiffeId>>,
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
    let asked = Asked { snapshot, local, captured, seen, original, draw };
    let address = NetworkAddress::new(local.network.clone(), original.ip());
    if let Some(destination) = snapshot.workload_at(&address) {
        return asked.workload(destination);
    }
    match snapshot.service_at(&address, captured.source.namespace()) {
        Some(service) => asked.service(service),
        None => {
            let name = Destination::Address(address);
            if local.may_exist(&name) && !local.is_own_port(original.port()) {
                return Decision::Wait(Need::Facts { name });
            }
            passthrough(local, original)
        }
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

/// A connection to decide on, with everything that decides.
#[derive(Clone, Copy)]
struct Asked<'a> {
    snapshot: &'a Snapshot,
    local: &'a Local,
    captured: &'a Captured<'a>,
    seen: &'a Seen<'a>,
    /// What the client asked for, in canonical form.
    original: SocketAddr,
    draw: u64,
}

impl<'a> Asked<'a> {
    /// The client named the workload by its address: the workload's waypoint counts, unless it is the client itself.
    fn workload(&self, destination: &Arc<Workload>) -> Decision {
        // At a workload's own address this is the proxy's port with a waypoint as without.
        if self.local.is_own_port(self.original.port()) {
            return Decision::Refuse(RouteFault::OwnPort);
        }
        planted!(WaypointPassed => return reach(self.local, destination, None, self.original));
        match destination.waypoint.as_deref() {
            Some(waypoint) if !self.is_from(waypoint, destination.namespace()) => {
                self.waypoint(waypoint, destination.namespace(), None)
            }
            _ => reach(self.local, destination, None, self.original),
        }
    }

    /// The client named a service: the service's waypoint counts, unless it is the client itself, and none of its endpoints'.
    fn service(&self, service: &'a Arc<Service>) -> Decision {
        let namespace = &service.key.namespace;
        if service.has_waypoint() && !service.waypoints().any(|waypoint| self.is_from(waypoint, namespace)) {
            return match self.sample_waypoint(service) {
                Some(waypoint) => self.waypoint(waypoint, namespace, Some(service)),
                None => Decision::Refuse(RouteFault::NoWaypoint),
            };
        }
        if service.load_balancer.as_ref().is_some_and(|balancer| balancer.mode == Mode::Passthrough) {
            return passthrough(self.local, self.original);
        }
        let Asked { snapshot, local, captured, seen, original, draw } = *self;
        let chosen = match endpoint::choose(snapshot, local, captured, service, original.port(), seen, draw) {
            Ok(chosen) => chosen,
            Err(fault) => return Decision::Refuse(fault),
        };
        if chosen.workload.network != local.network {
            let expected = self.identities_in(&chosen.workload.network, service);
            return self.another_network(chosen.workload, Some(service), expected);
        }
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

    /// Whether the client is this waypoint: by identity and address, so that whoever has only one of them is not.
    fn is_from(&self, waypoint: &GatewayAddress, namespace: &str) -> bool {
        let source = self.captured.source;
        let is_it =
            |ip| gateway::is_peer(self.snapshot, self.local, waypoint, namespace, source.identity(), ip);
        match self.captured.peer.ip() {
            // Within its own host, without a redirect, it has the address of its workload.
            ip if ip.to_canonical().is_loopback() => source.ips.iter().any(|ip| is_it(*ip)),
            ip => is_it(ip),
        }
    }

    /// The waypoint of this connection: of several one by weight (node.md row 53).
    fn sample_waypoint(&self, service: &'a Service) -> Option<&'a GatewayAddress> {
        let weighted = &service.weighted_waypoints;
        if weighted.is_empty() {
            return service.waypoint.as_ref();
        }
        let total = weighted.iter().map(|entry| u64::from(entry.weight)).fold(0, u64::saturating_add);
        let mut at = balance::scaled(independent(self.draw), total);
        for entry in weighted {
            let weight = u64::from(entry.weight);
            if at < weight {
                return Some(&entry.destination);
            }
            at -= weight;
        }
        None
    }

    /// The way to a waypoint: it is asked for what the application asked for, and no waypoint of its own is looked for.
    fn waypoint(
        &self,
        waypoint: &GatewayAddress,
        namespace: &str,
        service: Option<&Arc<Service>>,
    ) -> Decision {
        let Asked { snapshot, local, captured, seen, original, draw } = *self;
        let (source, fault) = (captured.source, RouteFault::NoWaypoint);
        let chosen = match gateway::choose(snapshot, local, source, seen, waypoint, namespace, draw, fault) {
            Ok(chosen) => chosen,
            Err(unknown) => return unknown.into(),
        };
        if chosen.workload.network != local.network {
            let expected = match chosen.service {
                Some(service) => self.identities_in(&chosen.workload.network, service),
                None => chosen.identities(),
            };
            return self.another_network(chosen.workload, service, expected);
        }
        self.tunnel(&chosen, waypoint, Authority::Ip(original), service, None)
    }

    /// The way to a service in another network: through the gateway of what was chosen there (node.md row 61).
    fn another_network(
        &self,
        there: &Arc<Workload>,
        service: Option<&Arc<Service>>,
        expected: Vec<SpiffeId>,
    ) -> Decision {
        let Asked { snapshot, local, captured, seen, original, draw } = *self;
        let Some(service) = service else { return Decision::Refuse(RouteFault::NotByService) };
        let Some(address) = there.network_gateway.as_deref() else {
            return Decision::Refuse(RouteFault::NoGateway);
        };
        if expected.is_empty() {
            return Decision::Refuse(RouteFault::NoIdentity);
        }
        // A name outside the grammar cannot be asked for.
        let Ok(authority) = Authority::host(&service.key.hostname, original.port()) else {
            return Decision::Refuse(RouteFault::NoAddress);
        };
        let (source, namespace, fault) = (captured.source, there.namespace(), RouteFault::NoGateway);
        let draw = independent(draw);
        match gateway::choose(snapshot, local, source, seen, address, namespace, draw, fault) {
            Ok(chosen) => self.tunnel(&chosen, address, authority, Some(service), Some(expected)),
            Err(unknown) => unknown.into(),
        }
    }

    fn tunnel(
        &self,
        chosen: &Chosen<'_>,
        gateway: &GatewayAddress,
        authority: Authority,
        service: Option<&Arc<Service>>,
        inner: Option<Vec<SpiffeId>>,
    ) -> Decision {
        match chosen.peer(self.local, gateway, self.captured, self.draw) {
            Ok(peer) => Decision::Tunnel(Box::new(TunnelTo {
                peer,
                authority,
                expected: chosen.identities(),
                destination: chosen.workload.clone(),
                service: service.cloned(),
                inner,
            })),
            Err(unknown) => unknown.into(),
        }
    }

    /// The identities that a service has in another network: those that it names, and those of its endpoints there that are
    /// known by an address of their own. One that stands for several has none to compare with.
    fn identities_in(&self, network: &str, service: &Service) -> Vec<SpiffeId> {
        let known = self
            .snapshot
            .endpoints(&service.key)
            .filter(|workload| workload.network.as_ref() == network && !workload.ips.is_empty())
            .map(|workload| workload.identity().clone());
        gateway::sorted(service.identities().chain(known))
    }
}

/// A draw that says nothing about another that was made of the same number (the finaliser of SplitMix64).
fn independent(draw: u64) -> u64 {
    let mut z = draw.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
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
            let of_service = service.iter().flat_map(|service| service.identities());
            let expected = gateway::sorted(of_service.chain([destination.identity().clone()]));
            let peer = SocketAddr::new(target.ip(), local.hbone_port);
            let authority = Authority::Ip(target);
            Decision::Tunnel(Box::new(TunnelTo {
                peer,
                authority,
                expected,
                destination,
                service,
                inner: None,
            }))
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
