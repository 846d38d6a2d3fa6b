//! Generated facts, drawn from small pools so that they refer to each other, collide and conflict.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use culvert_core::identity::SpiffeId;
use culvert_core::mesh::{
    Action, ApplicationTunnel, Cidr, Delta, Destination, GatewayAddress, HealthPolicy, HealthStatus,
    IpFamilies, LoadBalancer, Match, Mode, NetworkAddress, NetworkMode, Policy, PolicyKey, PortMap,
    RoutingScope, Scope, Service, ServiceAccountMatch, ServiceKey, ServiceSpec, StringMatch, TunnelProtocol,
    TunnelledApplication, Visibility, WeightedWaypoint, Workload, WorkloadSpec,
};

const UIDS: [&str; 6] =
    ["c//Pod/n/a", "c//Pod/n/b", "c//Pod/m/a", "c/x/WorkloadEntry/n/e", "c//Pod/m/.*", "d//Pod/n/a"];
const NAMESPACES: [&str; 4] = ["n", "m", "n.m", "m-n"];
const ACCOUNTS: [&str; 4] = ["web", "we.", "a-b", "default"];
const DOMAINS: [&str; 2] = ["cluster.local", "cluster-local"];
const HOSTS: [&str; 3] = ["x.example", "y.example", "x.example.n"];
const NETWORKS: [&str; 4] = ["", "", "", "far"];
const IPS: [&str; 14] = [
    "10.0.0.1",
    "10.0.0.2",
    "::ffff:10.0.0.1",
    "2001:db8::1",
    "10.96.0.1",
    "10.96.0.2",
    "203.0.113.9",
    "127.0.0.1",
    "169.254.169.254",
    "::1",
    "::ffff:127.0.0.1",
    "fe80::1",
    "0.0.0.0",
    "224.0.0.1",
];
const RANGES: [&str; 8] = [
    "10.0.0.0/8",
    "10.0.0.1/32",
    "0.0.0.0/0",
    "::/0",
    "2001:db8::/32",
    "::ffff:10.0.0.2/128",
    "10.96.0.0/16",
    "10.96.0.2/31",
];
const PORTS: [u16; 8] = [80, 8080, 443, 15001, 15006, 15008, 15080, 0];
/// Letters that mean something to patterns of other kinds (attack A18), and to the grammar of principals.
const ALPHABET: [char; 12] = ['n', 'm', 'a', 'w', 'e', 'b', '.', '*', '^', '/', '-', '$'];

fn pick<T: Copy>(u: &mut Unstructured<'_>, pool: &[T]) -> Result<T> {
    u.choose(pool).copied()
}

fn some<'a, T>(
    u: &mut Unstructured<'a>,
    most: usize,
    make: impl Fn(&mut Unstructured<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    (0..u.int_in_range(0..=most)?).map(|_| make(u)).collect()
}

fn rarely<'a, T>(
    u: &mut Unstructured<'a>,
    make: impl Fn(&mut Unstructured<'a>) -> Result<T>,
) -> Result<Option<T>> {
    if u.ratio(1, 6)? { make(u).map(Some) } else { Ok(None) }
}

/// An address, also one that no connection may go to.
pub fn ip(u: &mut Unstructured<'_>) -> Result<IpAddr> {
    let text = pick(u, &IPS)?;
    Ok(text.parse().expect("the pool has addresses"))
}

/// An address with a port, also with a port of the proxy, or 0.
pub fn socket(u: &mut Unstructured<'_>) -> Result<SocketAddr> {
    Ok(SocketAddr::new(ip(u)?, pick(u, &PORTS)?))
}

/// An identity.
pub fn identity(u: &mut Unstructured<'_>) -> Result<SpiffeId> {
    let id = SpiffeId::new(pick(u, &DOMAINS)?, pick(u, &NAMESPACES)?, pick(u, &ACCOUNTS)?);
    Ok(id.expect("the pools have valid parts"))
}

/// The name of a service, or one that no service has.
pub fn host(u: &mut Unstructured<'_>) -> Result<&'static str> {
    pick(u, &["x.example", "y.example", "x.example.n", "unknown.example"])
}

fn service_key(u: &mut Unstructured<'_>) -> Result<ServiceKey> {
    Ok(ServiceKey::new(pick(u, &NAMESPACES[..2])?, pick(u, &HOSTS)?))
}

fn policy_key(u: &mut Unstructured<'_>) -> Result<PolicyKey> {
    Ok(PolicyKey::new(pick(u, &NAMESPACES[..2])?, pick(u, &["p", "q", "r"])?))
}

fn ports(u: &mut Unstructured<'_>) -> Result<PortMap> {
    Ok(some(u, 3, |u| Ok((pick(u, &PORTS[..6])?, pick(u, &PORTS)?)))?.into_iter().collect())
}

fn network_address(u: &mut Unstructured<'_>) -> Result<NetworkAddress> {
    Ok(NetworkAddress::new(pick(u, &NETWORKS)?.into(), ip(u)?))
}

fn gateway(u: &mut Unstructured<'_>) -> Result<GatewayAddress> {
    let destination = if u.arbitrary()? {
        Destination::Address(network_address(u)?)
    } else {
        Destination::Service(service_key(u)?)
    };
    Ok(GatewayAddress { destination, hbone_mtls_port: 15008 })
}

/// A workload.
pub fn workload(u: &mut Unstructured<'_>) -> Result<Workload> {
    let uid = pick(u, &UIDS)?;
    let spec = WorkloadSpec {
        uid: uid.into(),
        name: uid.rsplit('/').next().unwrap_or("").into(),
        namespace: pick(u, &NAMESPACES)?.into(),
        trust_domain: pick(u, &DOMAINS)?.into(),
        service_account: pick(u, &ACCOUNTS)?.into(),
        network: pick(u, &NETWORKS)?.into(),
        workload_ips: some(u, 2, ip)?,
        protocol: pick(u, &[TunnelProtocol::Hbone, TunnelProtocol::Hbone, TunnelProtocol::Tcp])?,
        network_mode: if u.ratio(1, 6)? { NetworkMode::HostNetwork } else { NetworkMode::Standard },
        status: if u.ratio(1, 6)? { HealthStatus::Unhealthy } else { HealthStatus::Healthy },
        capacity: pick(u, &[1, 2, 0, u32::MAX])?,
        services: some(u, 3, |u| Ok((service_key(u)?, ports(u)?)))?.into_iter().collect(),
        authorization_policies: some(u, 2, policy_key)?,
        waypoint: rarely(u, gateway)?,
        application_tunnel: rarely(u, |u| {
            let protocol = pick(u, &[TunnelledApplication::None, TunnelledApplication::Proxy])?;
            Ok(ApplicationTunnel { protocol, port: pick(u, &PORTS)? })
        })?,
        node: pick(u, &["k1", "k2"])?.into(),
        hostname: pick(u, &["", "db.example"])?.into(),
        ..WorkloadSpec::default()
    };
    Ok(Workload::try_from(spec).expect("the pools have valid parts"))
}

/// A service.
pub fn service(u: &mut Unstructured<'_>) -> Result<Service> {
    let key = service_key(u)?;
    let range = |u: &mut Unstructured<'_>| Ok(format!("/{}", pick(u, &RANGES)?).parse().expect("a range"));
    let scopes = [RoutingScope::Node, RoutingScope::Network, RoutingScope::Cluster];
    let modes = [Mode::Standard, Mode::Failover, Mode::Strict, Mode::Passthrough];
    let spec = ServiceSpec {
        namespace: key.namespace,
        hostname: key.hostname,
        vips: some(u, 2, network_address)?,
        cidr_vips: some(u, 2, range)?,
        ports: ports(u)?,
        subject_alt_names: some(u, 2, |u| Ok(identity(u)?.to_string().into()))?,
        waypoint: rarely(u, gateway)?,
        weighted_waypoints: rarely(u, |u| Ok(WeightedWaypoint { destination: gateway(u)?, weight: 1 }))?
            .into_iter()
            .collect(),
        load_balancer: rarely(u, |u| {
            Ok(LoadBalancer {
                routing_preferences: some(u, 2, |u| pick(u, &scopes))?,
                mode: pick(u, &modes)?,
                health_policy: pick(u, &[HealthPolicy::AllowAll, HealthPolicy::OnlyHealthy])?,
            })
        })?,
        ip_families: pick(u, &[None, None, Some(IpFamilies::Ipv4), Some(IpFamilies::Ipv6)])?,
        canonical: u.arbitrary()?,
        visibility: pick(u, &[Visibility::Public, Visibility::Public, Visibility::Namespace])?,
        ..ServiceSpec::default()
    };
    Ok(Service::try_from(spec).expect("the pools have valid parts"))
}

/// A text to match: of an identity's own parts, cut anywhere, or of letters that confuse patterns.
fn text(u: &mut Unstructured<'_>) -> Result<Arc<str>> {
    if u.arbitrary()? {
        return Ok(some(u, 4, |u| pick(u, &ALPHABET))?.into_iter().collect::<String>().into());
    }
    let id = identity(u)?.to_string();
    let whole = id.strip_prefix("spiffe://").unwrap_or(&id);
    let whole = pick(u, &[whole, whole.split('/').nth(2).unwrap_or(""), &id])?;
    let from = u.int_in_range(0..=whole.len())?;
    let to = u.int_in_range(from..=whole.len())?;
    Ok(whole.get(from..to).unwrap_or("").into())
}

fn string_match(u: &mut Unstructured<'_>) -> Result<StringMatch> {
    Ok(match u.int_in_range(0..=3)? {
        0 => StringMatch::Exact(text(u)?),
        1 => StringMatch::Prefix(text(u)?),
        2 => StringMatch::Suffix(text(u)?),
        _ => StringMatch::Presence,
    })
}

fn account_match(u: &mut Unstructured<'_>) -> Result<ServiceAccountMatch> {
    let service_account = if u.ratio(1, 4)? { text(u)? } else { pick(u, &ACCOUNTS)?.into() };
    Ok(ServiceAccountMatch { namespace: pick(u, &NAMESPACES)?.into(), service_account })
}

fn range(u: &mut Unstructured<'_>) -> Result<Cidr> {
    let text = pick(u, &RANGES)?;
    Ok(text.parse().expect("the pool has ranges"))
}

/// A match of few attributes: one that asks for everything matches nothing.
fn wanted(u: &mut Unstructured<'_>) -> Result<Match> {
    let mut wanted = Match::default();
    let port = |u: &mut Unstructured<'_>| pick(u, &PORTS);
    for _ in 0..u.int_in_range(0..=2)? {
        match u.int_in_range(0..=11)? {
            0 => wanted.namespaces = some(u, 2, string_match)?,
            1 => wanted.not_namespaces = some(u, 2, string_match)?,
            2 => wanted.service_accounts = some(u, 2, account_match)?,
            3 => wanted.not_service_accounts = some(u, 2, account_match)?,
            4 => wanted.principals = some(u, 2, string_match)?,
            5 => wanted.not_principals = some(u, 2, string_match)?,
            6 => wanted.source_ips = some(u, 2, range)?,
            7 => wanted.not_source_ips = some(u, 2, range)?,
            8 => wanted.destination_ips = some(u, 2, range)?,
            9 => wanted.not_destination_ips = some(u, 2, range)?,
            10 => wanted.destination_ports = some(u, 2, port)?,
            _ => wanted.not_destination_ports = some(u, 2, port)?,
        }
    }
    Ok(wanted)
}

/// A policy.
pub fn policy(u: &mut Unstructured<'_>) -> Result<Policy> {
    let key = policy_key(u)?;
    let clause = |u: &mut Unstructured<'_>| some(u, 2, wanted);
    Ok(Policy {
        name: key.name,
        namespace: key.namespace,
        scope: pick(u, &[Scope::Global, Scope::Namespace, Scope::WorkloadSelector, Scope::WorkloadSelector])?,
        action: pick(u, &[Action::Allow, Action::Deny])?,
        rules: some(u, 2, |u| some(u, 2, clause))?,
        dry_run: u.ratio(1, 8)?,
    })
}

/// Facts of all kinds, one delta each. Applied in another order, as far as they have different keys, they make the same
/// world.
pub fn deltas(u: &mut Unstructured<'_>, most: usize) -> Result<Vec<Delta>> {
    some(u, most, |u| {
        let mut delta = Delta::new();
        match u.int_in_range(0..=9)? {
            0..=3 => delta.upsert_workload(workload(u)?),
            4..=6 => delta.upsert_service(service(u)?),
            7 => delta.undecodable_policy(
                policy_key(u)?,
                pick(u, &[None, Some(Scope::Global), Some(Scope::Namespace), Some(Scope::WorkloadSelector)])?,
                "not understood",
            ),
            8 => delta.remove_policy(policy_key(u)?),
            _ => delta.upsert_policy(policy(u)?),
        }
        Ok(delta)
    })
}
