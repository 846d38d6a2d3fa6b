//! Which endpoint of a service takes a connection, at which port and address (node.md rows 54, 55, 59 and 60).

use std::net::IpAddr;
use std::sync::Arc;

use super::{Local, RouteFault};
use crate::mesh::{
    HealthPolicy, HealthStatus, IpFamilies, LoadBalancer, Mode, RoutingScope, Service, Snapshot, Workload,
};

/// An endpoint that could take a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) workload: &'a Arc<Workload>,
    pub(super) port: u16,
    /// How many of the routing preferences it matches, counted from the weightiest to the first it does not.
    matched: usize,
}

/// Chooses an endpoint: of those that can take the connection the ones the routing preferences leave, and of these one
/// by weight.
pub(super) fn choose<'a>(
    snapshot: &'a Snapshot,
    local: &Local,
    source: &Workload,
    service: &Service,
    service_port: u16,
    draw: u64,
) -> Result<Candidate<'a>, RouteFault> {
    if service.ports.target(service_port).is_none() {
        return Err(RouteFault::NoServicePort);
    }
    let mut fault = RouteFault::NoHealthyEndpoint;
    let mut candidates = Vec::new();
    for workload in snapshot.endpoints(&service.key) {
        match admit(local, source, service, service_port, workload) {
            Ok(Some(candidate)) => candidates.push(candidate),
            Ok(None) => {}
            Err(reason) => fault = reason,
        }
    }
    let balancer = service.load_balancer.as_ref();
    retain_preferred(&mut candidates, balancer);
    by_weight(&candidates, draw).ok_or(fault)
}

/// Whether an endpoint can take the connection. An error is a reason worth telling if no other endpoint can.
fn admit<'a>(
    local: &Local,
    source: &Workload,
    service: &Service,
    service_port: u16,
    workload: &'a Arc<Workload>,
) -> Result<Option<Candidate<'a>>, RouteFault> {
    let balancer = service.load_balancer.as_ref();
    let any_health = balancer.is_some_and(|balancer| balancer.health_policy == HealthPolicy::AllowAll);
    if !any_health && workload.status != HealthStatus::Healthy {
        return Ok(None);
    }
    let Some(port) = target_port(service, workload, service_port) else { return Ok(None) };
    let by_name = workload.ips.is_empty() && !workload.about.hostname.is_empty();
    if workload.network != local.network {
        // Its own address means nothing here.
        if workload.network_gateway.is_none() {
            return Err(RouteFault::NoGateway);
        }
    } else if !by_name && !workload.ips.iter().any(|ip| takes_family(service, *ip)) {
        return Ok(None);
    } else if local.is_own_port(port) {
        return Err(RouteFault::OwnPort);
    }
    Ok(Some(Candidate { workload, port, matched: matched(balancer, source, workload) }))
}

/// How many of the routing preferences an endpoint matches.
fn matched(balancer: Option<&LoadBalancer>, source: &Workload, workload: &Workload) -> usize {
    let preferences = balancer.map_or(&[][..], |balancer| &balancer.routing_preferences);
    preferences.iter().take_while(|scope| shares(**scope, source, workload)).count()
}

impl<'a> Candidate<'a> {
    /// An endpoint that would take tunnels, at a port that the service does not say.
    pub(super) fn of_gateway(
        balancer: Option<&LoadBalancer>,
        source: &Workload,
        workload: &'a Arc<Workload>,
    ) -> Candidate<'a> {
        Candidate { workload, port: 0, matched: matched(balancer, source, workload) }
    }
}

/// The port of an endpoint behind a port of a service: its own map, then the service's, then its application tunnel's
/// (node.md row 59). `None` if nothing says.
pub(super) fn target_port(service: &Service, workload: &Workload, service_port: u16) -> Option<u16> {
    let known = |port: &u16| *port != 0;
    let of_service = service.ports.target(service_port)?;
    let of_endpoint = workload.service_ports(&service.key)?.target(service_port);
    let of_tunnel = workload.application_tunnel.map(|tunnel| tunnel.port);
    of_endpoint.filter(known).or_else(|| Some(of_service).filter(known)).or_else(|| of_tunnel.filter(known))
}

fn shares(scope: RoutingScope, a: &Workload, b: &Workload) -> bool {
    let (about_a, about_b) = (&a.about, &b.about);
    match scope {
        RoutingScope::Cluster => about_a.cluster_id == about_b.cluster_id,
        RoutingScope::Network => a.network == b.network,
        RoutingScope::Node => about_a.node == about_b.node,
        RoutingScope::Region => about_a.locality.region == about_b.locality.region,
        RoutingScope::Subzone => about_a.locality.subzone == about_b.locality.subzone,
        RoutingScope::Zone => about_a.locality.zone == about_b.locality.zone,
    }
}

pub(super) fn retain_preferred(candidates: &mut Vec<Candidate<'_>>, balancer: Option<&LoadBalancer>) {
    let Some(balancer) = balancer else { return };
    let needed = match balancer.mode {
        Mode::Failover => candidates.iter().map(|candidate| candidate.matched).max().unwrap_or(0),
        Mode::Passthrough | Mode::Standard => 0,
        Mode::Strict => balancer.routing_preferences.len(),
    };
    candidates.retain(|candidate| candidate.matched >= needed);
}

pub(super) fn by_weight<'a>(candidates: &[Candidate<'a>], draw: u64) -> Option<Candidate<'a>> {
    let weight = |candidate: &Candidate<'_>| u64::from(candidate.workload.capacity);
    let total = candidates.iter().map(weight).fold(0, u64::saturating_add);
    let mut at = scaled(draw, total);
    for candidate in candidates {
        if at < weight(candidate) {
            return Some(*candidate);
        }
        at -= weight(candidate);
    }
    None
}

/// A draw from all 64-bit numbers as a draw below `bound`.
pub(super) fn scaled(draw: u64, bound: u64) -> u64 {
    let product = u128::from(draw) * u128::from(bound);
    u64::try_from(product >> 64).unwrap_or(0)
}

fn takes_family(service: &Service, ip: IpAddr) -> bool {
    match service.ip_families {
        None | Some(IpFamilies::Dual) => true,
        Some(IpFamilies::Ipv4) => ip.is_ipv4(),
        Some(IpFamilies::Ipv6) => ip.is_ipv6(),
    }
}

/// The address of an endpoint to dial: the one the client asked for if it is the endpoint's, else one of a family the
/// service takes, of the client's family if there is one (node.md row 60).
pub(super) fn endpoint_ip(service: &Service, workload: &Workload, original: IpAddr) -> Option<IpAddr> {
    let taken = || workload.ips.iter().copied().filter(|ip| takes_family(service, *ip));
    taken()
        .find(|ip| *ip == original)
        .or_else(|| taken().find(|ip| ip.is_ipv4() == original.is_ipv4()))
        .or_else(|| taken().next())
}

/// One of the addresses a name resolved to, by the rules of [`endpoint_ip`]. A name never leads to loopback and the like.
pub(super) fn resolved_ip(
    service: &Service,
    addresses: &[IpAddr],
    original: IpAddr,
    draw: u64,
) -> Option<IpAddr> {
    let usable = addresses.iter().map(IpAddr::to_canonical);
    let mut usable: Vec<IpAddr> =
        usable.filter(|ip| takes_family(service, *ip) && !super::is_special(*ip)).collect();
    if usable.iter().any(|ip| ip.is_ipv4() == original.is_ipv4()) {
        usable.retain(|ip| ip.is_ipv4() == original.is_ipv4());
    }
    let count = u64::try_from(usable.len()).ok()?;
    // The draw's high bits chose the endpoint; the low ones are still free.
    let at = usize::try_from(scaled(draw.rotate_left(32), count)).ok()?;
    usable.get(at).copied()
}
