//! What facts permit, said as plainly as can be: a second opinion on what engines do. It looks at every fact there is, keeps no
//! index, and shares no code with what it judges.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use culvert_core::identity::SpiffeId;
use culvert_core::limit::PROXY_PORTS;
use culvert_core::mesh::{
    Action, Cidr, Destination, GatewayAddress, HealthPolicy, HealthStatus, Match, Mode, NetworkMode, Policy,
    PolicyEntry, Scope, Service, Snapshot, StringMatch, TunnelProtocol, Workload,
};

/// What policy says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may be there, and its bytes may pass.
    Allow,
    /// It may not.
    Deny,
    /// Nobody knows yet: nothing passes.
    Hold,
}

/// A connection as policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Who the peer is; nobody in clear.
    pub who: Option<&'a SpiffeId>,
    /// The peer's address.
    pub from: IpAddr,
    /// The application's address.
    pub to: SocketAddr,
}

/// One way that a connection may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// In clear.
    Plain(SocketAddr),
    /// To a workload that shows one of these identities.
    Mesh(SocketAddr, BTreeSet<SpiffeId>),
    /// To what shows one of these identities in another network, which is asked for a service by its name.
    Beyond(BTreeSet<SpiffeId>),
}

/// The facts of the pod of this namespace, name and service account.
pub fn workload_of<'a>(
    facts: &'a Snapshot,
    namespace: &str,
    name: &str,
    service_account: &str,
) -> Option<&'a Arc<Workload>> {
    let is_it = |workload: &&Arc<Workload>| {
        let identity = workload.identity();
        workload.name.as_ref() == name
            && identity.namespace() == namespace
            && identity.service_account() == service_account
    };
    facts.workloads().filter(is_it).min_by_key(|workload| &workload.uid)
}

/// What policy at a workload says of a connection to it.
pub fn judge(facts: &Snapshot, at: &Workload, call: Call<'_>) -> Answer {
    let is_named = |key| at.authorization_policies.contains(key);
    let mut policies = Vec::new();
    let mut is_garbled = false;
    for (key, entry) in facts.policies() {
        let own_namespace = key.namespace.as_ref() == at.namespace();
        let counts = match entry.scope() {
            Some(Scope::Global) => true,
            Some(Scope::Namespace) | None => own_namespace,
            Some(Scope::WorkloadSelector) => false,
        };
        match entry {
            _ if !counts && !is_named(key) => {}
            PolicyEntry::Undecodable { .. } => is_garbled = true,
            PolicyEntry::Decoded(policy) if policy.dry_run => {}
            PolicyEntry::Decoded(policy) => policies.push(policy),
        }
    }
    let is_missing =
        at.authorization_policies.iter().any(|key| facts.policies().all(|(known, _)| known != key));
    let mut allowing = policies.iter().filter(|policy| policy.action == Action::Allow).peekable();
    if policies.iter().any(|policy| policy.action == Action::Deny && speaks_of(policy, call)) || is_garbled {
        Answer::Deny
    } else if is_missing {
        Answer::Hold
    } else if allowing.peek().is_none() || allowing.any(|policy| speaks_of(policy, call)) {
        Answer::Allow
    } else {
        Answer::Deny
    }
}

fn speaks_of(policy: &Policy, call: Call<'_>) -> bool {
    let clause = |clause: &Vec<Match>| {
        clause.is_empty() || clause.iter().any(|wanted| is_met(wanted, policy.action, call))
    };
    policy.rules.iter().any(|rule| rule.iter().all(clause))
}

fn is_met(wanted: &Match, action: Action, call: Call<'_>) -> bool {
    let (namespace, account) = call.who.map_or(("", ""), |id| (id.namespace(), id.service_account()));
    let principal = call.who.map(|id| id.to_string().replacen("spiffe://", "", 1)).unwrap_or_default();
    let text = |wanted: &StringMatch, found: &str| match wanted {
        StringMatch::Exact(text) => found == &**text,
        StringMatch::Prefix(text) => found.starts_with(&**text),
        StringMatch::Presence => !found.is_empty(),
        StringMatch::Suffix(text) => found.ends_with(&**text),
    };
    // Nothing that is asked of an identity is true of nobody.
    let known = call.who.is_some();
    let excludes_someone = !wanted.not_namespaces.is_empty()
        || !wanted.not_principals.is_empty()
        || !wanted.not_service_accounts.is_empty();
    if *wanted == Match::default() || (excludes_someone && !known && action == Action::Allow) {
        return false;
    }
    let within = |ranges: &[Cidr], ip: IpAddr| ranges.iter().any(|range| range.contains(ip));
    let accounts = |list: &[culvert_core::mesh::ServiceAccountMatch]| {
        known && list.iter().any(|one| *one.namespace == *namespace && *one.service_account == *account)
    };
    let namespaces = |list: &[StringMatch]| list.iter().any(|one| text(one, namespace));
    let principals = |list: &[StringMatch]| known && list.iter().any(|one| text(one, &principal));
    let (from, to) = (call.from.to_canonical(), call.to.ip().to_canonical());
    (wanted.namespaces.is_empty() || namespaces(&wanted.namespaces))
        && !namespaces(&wanted.not_namespaces)
        && (wanted.service_accounts.is_empty() || accounts(&wanted.service_accounts))
        && !accounts(&wanted.not_service_accounts)
        && (wanted.principals.is_empty() || principals(&wanted.principals))
        && !principals(&wanted.not_principals)
        && (wanted.source_ips.is_empty() || within(&wanted.source_ips, from))
        && !within(&wanted.not_source_ips, from)
        && (wanted.destination_ips.is_empty() || within(&wanted.destination_ips, to))
        && !within(&wanted.not_destination_ips, to)
        && (wanted.destination_ports.is_empty() || wanted.destination_ports.contains(&call.to.port()))
        && !wanted.not_destination_ports.contains(&call.to.port())
}

/// The addresses that names were ever said to have, true or not.
pub type Addresses = BTreeMap<Arc<str>, BTreeSet<IpAddr>>;

/// Every way that a connection of a workload, from one address of its to another address, may take; none where it must go
/// nowhere.
pub fn ways(
    facts: &Snapshot,
    names: &Addresses,
    source: &Workload,
    from: IpAddr,
    to: SocketAddr,
) -> Vec<Way> {
    let ip = to.ip().to_canonical();
    let named = SocketAddr::new(ip, to.port());
    let owns = |workload: &&Arc<Workload>| {
        workload.network_mode == NetworkMode::Standard && workload.network.is_empty() && workload.has_ip(ip)
    };
    // A pod before what is none, what takes tunnels before what does not.
    let rank = |workload: &&Arc<Workload>| {
        let plain = workload.protocol == TunnelProtocol::Tcp;
        (!workload.uid.is_pod(), plain, workload.uid.clone())
    };
    if let Some(owner) = facts.workloads().filter(owns).min_by_key(rank) {
        // Nothing goes past a waypoint but the waypoint.
        let waypoints: Vec<_> = owner.waypoint.as_deref().into_iter().collect();
        return match behind(facts, &waypoints, source, from) {
            Some(stand) => stand.iter().filter_map(|one| one.way_to(facts, named, None)).collect(),
            None => way(owner, None, named).into_iter().collect(),
        };
    }
    let stands_there = |service: &&Arc<Service>| {
        let in_range = |range: &culvert_core::mesh::NetworkCidr| range.cidr.contains(ip);
        (service.vips.iter().any(|vip| vip.ip() == ip) || service.cidr_vips.iter().any(in_range))
            && service.is_visible_from(source.namespace())
    };
    let services: Vec<_> = facts.services().filter(stands_there).collect();
    if services.is_empty() {
        return passthrough(named).into_iter().collect();
    }
    services.iter().flat_map(|service| ways_to_service(facts, names, service, source, from, named)).collect()
}

/// Somebody at a waypoint's or a gateway's address, and the service by which it is found there.
struct Stand<'a> {
    who: &'a Workload,
    by: Option<&'a Service>,
}

impl Stand<'_> {
    fn identities(&self) -> BTreeSet<SpiffeId> {
        let own = std::iter::once(self.who.identity().clone());
        own.chain(self.by.into_iter().flat_map(Service::identities)).collect()
    }

    /// The way through it, for what was asked by a service's address or by a pod's.
    fn way_to(&self, facts: &Snapshot, asked: SocketAddr, service: Option<&Service>) -> Option<Way> {
        if self.who.network.is_empty() {
            return Some(Way::Mesh(asked, self.identities()));
        }
        // In another network it is reached by a gateway, and only for a service.
        service?;
        match self.by {
            Some(by) => beyond(facts, self.who, by),
            None => self.who.network_gateway.as_ref().map(|_| Way::Beyond(self.identities())),
        }
    }
}

/// Who may take the connections of a workload to what is behind these waypoints; none where it goes there directly, because
/// there is no waypoint or it is one.
fn behind<'a>(
    facts: &'a Snapshot,
    waypoints: &[&GatewayAddress],
    source: &Workload,
    from: IpAddr,
) -> Option<Vec<Stand<'a>>> {
    let stands: Vec<Stand<'_>> = waypoints.iter().flat_map(|waypoint| stands_at(facts, waypoint)).collect();
    let is_source = |stand: &Stand<'_>| {
        stand.who.identity() == source.identity() && stand.who.network.is_empty() && stand.who.has_ip(from)
    };
    if waypoints.is_empty() || stands.iter().any(is_source) {
        return None;
    }
    let fit = |stand: &Stand<'_>| match stand.by {
        Some(service) => {
            let balancer = service.load_balancer.clone().unwrap_or_default();
            let healthy = stand.who.status == HealthStatus::Healthy;
            (healthy || balancer.health_policy == HealthPolicy::AllowAll) && stand.who.capacity > 0
        }
        None => true,
    };
    Some(stands.into_iter().filter(fit).collect())
}

/// Whoever stands at a waypoint's or a gateway's address.
fn stands_at<'a>(facts: &'a Snapshot, gateway: &GatewayAddress) -> Vec<Stand<'a>> {
    let (at, named) = match &gateway.destination {
        Destination::Address(at) => (Some(at), None),
        Destination::Service(key) => (None, Some(key)),
    };
    let owns = |workload: &&Arc<Workload>| {
        let own = workload.network_mode == NetworkMode::Standard;
        own && at.is_some_and(|at| workload.network == *at.network() && workload.has_ip(at.ip()))
    };
    let direct: Vec<_> = facts.workloads().filter(owns).map(|who| Stand { who, by: None }).collect();
    if !direct.is_empty() {
        return direct;
    }
    let is_it = |service: &&Arc<Service>| {
        at.is_some_and(|at| service.vips.contains(at)) || named == Some(&service.key)
    };
    let endpoints = |service: &'a Arc<Service>| {
        let of = facts.workloads().filter(|who| who.service_ports(&service.key).is_some());
        of.map(|who| Stand { who, by: Some(service) })
    };
    facts.services().filter(is_it).flat_map(endpoints).collect()
}

/// The way to a service in the network of one of its endpoints: who answers there is one that the service names, or one of
/// those endpoints that is known by its own address.
fn beyond(facts: &Snapshot, endpoint: &Workload, service: &Service) -> Option<Way> {
    let is_there = |who: &&Arc<Workload>| {
        who.network == endpoint.network && !who.ips.is_empty() && who.service_ports(&service.key).is_some()
    };
    let there = facts.workloads().filter(is_there).map(|who| who.identity().clone());
    let gateway = endpoint.network_gateway.as_deref()?;
    (!stands_at(facts, gateway).is_empty()).then(|| Way::Beyond(service.identities().chain(there).collect()))
}

fn ways_to_service(
    facts: &Snapshot,
    names: &Addresses,
    service: &Service,
    source: &Workload,
    from: IpAddr,
    to: SocketAddr,
) -> Vec<Way> {
    let balancer = service.load_balancer.clone().unwrap_or_default();
    let weighted: Vec<_> = service.weighted_waypoints.iter().collect();
    let all: Vec<_> = service.waypoint.iter().chain(weighted.iter().map(|one| &one.destination)).collect();
    if behind(facts, &all, source, from).is_some() {
        let with_weight = weighted.iter().filter(|one| one.weight > 0).map(|one| &one.destination);
        let due: Vec<_> =
            if weighted.is_empty() { service.waypoint.iter().collect() } else { with_weight.collect() };
        let stands = behind(facts, &due, source, from).unwrap_or_default();
        return stands.iter().filter_map(|stand| stand.way_to(facts, to, Some(service))).collect();
    }
    if balancer.mode == Mode::Passthrough {
        return passthrough(to).into_iter().collect();
    }
    let mut ways = Vec::new();
    for endpoint in facts.workloads() {
        let Some(ports) = endpoint.service_ports(&service.key) else { continue };
        let fit =
            balancer.health_policy == HealthPolicy::AllowAll || endpoint.status == HealthStatus::Healthy;
        let tunnel = endpoint.application_tunnel.map(|tunnel| tunnel.port);
        let port = [ports.target(to.port()), service.ports.target(to.port()), tunnel];
        let port = port.into_iter().flatten().find(|port| *port != 0);
        let (Some(port), true, true) = (port, fit, endpoint.capacity > 0) else { continue };
        if !endpoint.network.is_empty() {
            ways.extend(beyond(facts, endpoint, service));
            continue;
        }
        // A name says where to dial. Who must be there is what the facts say, as it is of everybody.
        let by_name = names.get(&endpoint.about.hostname).filter(|_| endpoint.ips.is_empty());
        let ips = endpoint.ips.iter().chain(by_name.into_iter().flatten());
        ways.extend(ips.filter_map(|ip| way(endpoint, Some(service), SocketAddr::new(*ip, port))));
    }
    ways
}

/// Where the facts know nobody a connection goes as it is, except to the proxy.
fn passthrough(to: SocketAddr) -> Option<Way> {
    (!PROXY_PORTS.contains(&to.port())).then_some(Way::Plain(to))
}

fn way(to: &Workload, service: Option<&Service>, address: SocketAddr) -> Option<Way> {
    let own = std::iter::once(to.identity().clone());
    let identities = own.chain(service.into_iter().flat_map(Service::identities)).collect();
    match to.protocol {
        _ if PROXY_PORTS.contains(&address.port()) => None,
        TunnelProtocol::Hbone => Some(Way::Mesh(address, identities)),
        TunnelProtocol::Tcp => Some(Way::Plain(address)),
    }
}
