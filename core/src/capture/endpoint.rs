//! Which endpoint of a service takes a connection, at which port and address (node.md rows 54, 55, 59 and 60).

use std::net::IpAddr;
use std::sync::Arc;

use super::{Captured, Local, RouteFault};
use crate::balance::{self, Choice, Class, Seen, scaled};
use crate::mesh::{HealthPolicy, IpFamilies, Service, Snapshot, Workload};

/// An endpoint that could take a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) workload: &'a Arc<Workload>,
    pub(super) port: u16,
}

/// Chooses an endpoint: of those that can take the connection the ones the routing preferences leave, and of these one
/// by weight.
pub(super) fn choose<'a>(
    snapshot: &'a Snapshot,
    local: &Local,
    captured: &Captured<'a>,
    service: &'a Service,
    service_port: u16,
    seen: &'a Seen<'a>,
    draw: u64,
) -> Result<Candidate<'a>, RouteFault> {
    if service.ports.target(service_port).is_none() {
        return Err(RouteFault::NoServicePort);
    }
    let Some(endpoints) = snapshot.endpoint_index(&service.key) else {
        return Err(RouteFault::NoHealthyEndpoint);
    };
    let choice = Choice { snapshot, service, endpoints, source: captured.source, seen, draw };
    let admit = |class: &Class| admit(local, service, service_port, class);
    let chosen = balance::choose(&choice, |class| admit(class) == Ok(true));
    let port = |workload: &Workload| target_port(service, workload, service_port);
    match chosen.and_then(|workload| Some((workload, port(workload)?))) {
        Some((workload, port)) => Ok(Candidate { workload, port }),
        None => Err(endpoints
            .classes()
            .filter_map(|class| admit(class).err())
            .max()
            .unwrap_or(RouteFault::NoHealthyEndpoint)),
    }
}

/// Whether the endpoints of a class can take the connection. An error is a reason worth telling if no others can.
fn admit(local: &Local, service: &Service, service_port: u16, class: &Class) -> Result<bool, RouteFault> {
    let balancer = service.load_balancer.as_ref();
    let any_health = balancer.is_some_and(|balancer| balancer.health_policy == HealthPolicy::AllowAll);
    if !any_health && !class.healthy {
        return Ok(false);
    }
    let Some(port) = class.target(service_port) else { return Ok(false) };
    if class.network != local.network {
        // Its own address means nothing here.
        return if class.gateway { Ok(true) } else { Err(RouteFault::NoGateway) };
    }
    let (v4, v6) = families(service);
    let has_address = (class.v4 && v4) || (class.v6 && v6);
    if !has_address && !class.named {
        return Ok(false);
    }
    if local.is_own_port(port) {
        return Err(RouteFault::OwnPort);
    }
    Ok(true)
}

/// The port of an endpoint behind a port of a service: its own map, then the service's, then its application tunnel's
/// (node.md row 59). `None` if nothing says.
pub(super) fn target_port(service: &Service, workload: &Workload, service_port: u16) -> Option<u16> {
    let of_service = service.ports.target(service_port)?;
    let of_endpoint = workload.service_ports(&service.key)?.target(service_port);
    balance::target_port(workload, of_endpoint, of_service)
}

/// Whether a service takes IPv4, and IPv6.
fn families(service: &Service) -> (bool, bool) {
    match service.ip_families {
        None | Some(IpFamilies::Dual) => (true, true),
        Some(IpFamilies::Ipv4) => (true, false),
        Some(IpFamilies::Ipv6) => (false, true),
    }
}

fn takes_family(service: &Service, ip: IpAddr) -> bool {
    let (v4, v6) = families(service);
    if ip.is_ipv4() { v4 } else { v6 }
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

#[cfg(test)]
mod tests;
