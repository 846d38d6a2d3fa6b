//! Generated facts for tests, drawn from small pools so that they collide, refer to each other and conflict.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use quickcheck::{Arbitrary, Gen};

use super::*;
use crate::identity::SpiffeId;

const UIDS: [&str; 6] =
    ["c//Pod/n1/a", "c//Pod/n1/b", "c//Pod/n2/a", "c/x/WorkloadEntry/n1/e", "c//Pod/n2/c", "d//Pod/n1/a"];
const IPS: [&str; 6] = ["10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1", "10.9.0.3", "2001:db8::1", "127.0.0.9"];
const NETWORKS: [&str; 4] = ["", "", "", "far"];
const NAMESPACES: [&str; 3] = ["n1", "n2", "n3"];
const ACCOUNTS: [&str; 2] = ["default", "web"];
const HOSTS: [&str; 3] = ["x.example", "y.example", "z.example"];
const PORTS: [u16; 5] = [80, 8080, 443, 15001, 15008];

pub(crate) fn one<T: Copy>(g: &mut Gen, pool: &[T]) -> T {
    *g.choose(pool).expect("the pool is not empty")
}

/// True once in `n` times.
pub(crate) fn rarely(g: &mut Gen, n: u32) -> bool {
    u32::arbitrary(g).is_multiple_of(n)
}

fn some<T>(g: &mut Gen, most: usize, make: impl Fn(&mut Gen) -> T) -> Vec<T> {
    let count = usize::arbitrary(g) % (most + 1);
    (0..count).map(|_| make(g)).collect()
}

pub(crate) fn ip(g: &mut Gen) -> IpAddr {
    one(g, &IPS).parse().unwrap()
}

pub(crate) fn socket(g: &mut Gen) -> SocketAddr {
    let vips = ["10.96.0.1", "10.96.0.2", "203.0.113.9"];
    let ip = if bool::arbitrary(g) { ip(g) } else { one(g, &vips).parse().unwrap() };
    SocketAddr::new(ip, one(g, &PORTS))
}

pub(crate) fn identity(g: &mut Gen) -> SpiffeId {
    SpiffeId::new(one(g, &["cluster.local", "other"]), one(g, &NAMESPACES), one(g, &ACCOUNTS)).unwrap()
}

fn service_key(g: &mut Gen) -> ServiceKey {
    ServiceKey::new(one(g, &NAMESPACES[..2]), one(g, &HOSTS))
}

fn policy_key(g: &mut Gen) -> PolicyKey {
    PolicyKey::new(one(g, &NAMESPACES[..2]), one(g, &["p", "q", "r"]))
}

fn ports(g: &mut Gen) -> PortMap {
    some(g, 3, |g| (one(g, &PORTS), one(g, &[0, 80, 8080, 9090, 15008]))).into_iter().collect()
}

fn gateway(g: &mut Gen) -> GatewayAddress {
    let destination = if bool::arbitrary(g) {
        Destination::Address(NetworkAddress::new("".into(), ip(g)))
    } else {
        Destination::Service(service_key(g))
    };
    GatewayAddress { destination, hbone_mtls_port: 15008 }
}

impl Arbitrary for Workload {
    fn arbitrary(g: &mut Gen) -> Workload {
        let uid = one(g, &UIDS);
        let spec = WorkloadSpec {
            uid: uid.into(),
            name: uid.rsplit('/').next().unwrap_or("").into(),
            namespace: one(g, &NAMESPACES[..2]).into(),
            service_account: one(g, &ACCOUNTS).into(),
            network: one(g, &NETWORKS).into(),
            workload_ips: some(g, 2, ip),
            protocol: one(g, &[TunnelProtocol::Hbone, TunnelProtocol::Hbone, TunnelProtocol::Tcp]),
            network_mode: if rarely(g, 5) { NetworkMode::HostNetwork } else { NetworkMode::Standard },
            status: if rarely(g, 4) { HealthStatus::Unhealthy } else { HealthStatus::Healthy },
            capacity: one(g, &[1, 1, 2, 0]),
            services: some(g, 3, |g| (service_key(g), ports(g))).into_iter().collect(),
            authorization_policies: some(g, 2, policy_key),
            waypoint: rarely(g, 6).then(|| gateway(g)),
            network_gateway: rarely(g, 3).then(|| gateway(g)),
            application_tunnel: rarely(g, 8).then(|| ApplicationTunnel {
                protocol: one(g, &[TunnelledApplication::None, TunnelledApplication::Proxy]),
                port: one(g, &[0, 81, 15006]),
            }),
            node: one(g, &["k1", "k2"]).into(),
            hostname: one(g, &["", "db.example"]).into(),
            ..WorkloadSpec::default()
        };
        Workload::try_from(spec).unwrap()
    }
}

impl Arbitrary for Service {
    fn arbitrary(g: &mut Gen) -> Service {
        let key = service_key(g);
        let vip = |g: &mut Gen| {
            NetworkAddress::new("".into(), one(g, &["10.96.0.1", "10.96.0.2", "10.0.0.2"]).parse().unwrap())
        };
        let range = |g: &mut Gen| {
            one(g, &["/10.96.0.0/16", "/10.0.0.0/8", "/0.0.0.0/0", "/10.96.0.2/32"]).parse().unwrap()
        };
        let spec = ServiceSpec {
            namespace: key.namespace,
            hostname: key.hostname,
            vips: some(g, 2, vip),
            cidr_vips: some(g, 2, range),
            ports: ports(g),
            subject_alt_names: some(g, 2, |g| one(g, &["spiffe://other/ns/n3/sa/web", "not-an-id"]).into()),
            waypoint: rarely(g, 6).then(|| gateway(g)),
            load_balancer: rarely(g, 2).then(|| LoadBalancer {
                routing_preferences: some(g, 2, |g| {
                    one(g, &[RoutingScope::Node, RoutingScope::Network, RoutingScope::Cluster])
                }),
                mode: one(g, &[Mode::Standard, Mode::Failover, Mode::Strict, Mode::Passthrough]),
                health_policy: one(g, &[HealthPolicy::AllowAll, HealthPolicy::OnlyHealthy]),
            }),
            ip_families: one(
                g,
                &[None, Some(IpFamilies::Dual), Some(IpFamilies::Ipv4), Some(IpFamilies::Ipv6)],
            ),
            canonical: bool::arbitrary(g),
            visibility: one(g, &[Visibility::Public, Visibility::Public, Visibility::Namespace]),
            ..ServiceSpec::default()
        };
        Service::try_from(spec).unwrap()
    }
}

fn text(g: &mut Gen) -> StringMatch {
    let texts = [
        "n1",
        "n",
        "1",
        "",
        "cluster.local/ns/n1/sa/web",
        "cluster.local/",
        "/sa/web",
        "other/ns/n2/sa/default",
    ];
    let text = one(g, &texts).into();
    match u8::arbitrary(g) % 4 {
        0 => StringMatch::Exact(text),
        1 => StringMatch::Prefix(text),
        2 => StringMatch::Suffix(text),
        _ => StringMatch::Presence,
    }
}

impl Arbitrary for Match {
    fn arbitrary(g: &mut Gen) -> Match {
        let account = |g: &mut Gen| ServiceAccountMatch {
            namespace: one(g, &NAMESPACES).into(),
            service_account: one(g, &ACCOUNTS).into(),
        };
        let range = |g: &mut Gen| {
            one(g, &["10.0.0.0/8", "10.0.0.1/32", "0.0.0.0/0", "2001:db8::/32", "::ffff:10.0.0.2/128"])
                .parse()
                .unwrap()
        };
        let port = |g: &mut Gen| one(g, &PORTS);
        // Few attributes at a time: a match that asks for everything matches nothing.
        let mut wanted = Match::default();
        for _ in 0..u8::arbitrary(g) % 3 {
            match u8::arbitrary(g) % 12 {
                0 => wanted.namespaces = some(g, 2, text),
                1 => wanted.not_namespaces = some(g, 2, text),
                2 => wanted.service_accounts = some(g, 2, account),
                3 => wanted.not_service_accounts = some(g, 2, account),
                4 => wanted.principals = some(g, 2, text),
                5 => wanted.not_principals = some(g, 2, text),
                6 => wanted.source_ips = some(g, 2, range),
                7 => wanted.not_source_ips = some(g, 2, range),
                8 => wanted.destination_ips = some(g, 2, range),
                9 => wanted.not_destination_ips = some(g, 2, range),
                10 => wanted.destination_ports = some(g, 2, port),
                _ => wanted.not_destination_ports = some(g, 2, port),
            }
        }
        wanted
    }
}

impl Arbitrary for Policy {
    fn arbitrary(g: &mut Gen) -> Policy {
        let key = policy_key(g);
        let clause = |g: &mut Gen| some(g, 2, Match::arbitrary);
        Policy {
            name: key.name,
            namespace: key.namespace,
            scope: one(
                g,
                &[Scope::Global, Scope::Namespace, Scope::WorkloadSelector, Scope::WorkloadSelector],
            ),
            action: one(g, &[Action::Allow, Action::Deny]),
            rules: some(g, 2, |g| some(g, 2, clause)),
            dry_run: rarely(g, 5),
        }
    }
}

impl Arbitrary for Delta {
    fn arbitrary(g: &mut Gen) -> Delta {
        let mut delta = Delta::new();
        for _ in 0..1 + usize::arbitrary(g) % 6 {
            match u8::arbitrary(g) % 9 {
                0..=2 => delta.upsert_workload(Workload::arbitrary(g)),
                3..=4 => delta.upsert_service(Service::arbitrary(g)),
                5 => delta.upsert_policy(Policy::arbitrary(g)),
                6 => {
                    let scope = one(
                        g,
                        &[None, Some(Scope::Global), Some(Scope::Namespace), Some(Scope::WorkloadSelector)],
                    );
                    delta.undecodable_policy(policy_key(g), scope, "unknown field 99");
                }
                7 => delta.remove_workload(one(g, &UIDS).into()),
                _ if bool::arbitrary(g) => delta.remove_service(service_key(g)),
                _ => delta.remove_policy(policy_key(g)),
            }
        }
        delta
    }
}

/// A snapshot that a few deltas made.
impl Arbitrary for Snapshot {
    fn arbitrary(g: &mut Gen) -> Snapshot {
        (0..6).fold(Snapshot::new(), |snapshot, _| snapshot.apply(Delta::arbitrary(g)).0)
    }
}

/// One workload of a snapshot, or one that it does not know.
pub(crate) fn workload_of(snapshot: &Snapshot, g: &mut Gen) -> Arc<Workload> {
    let all: Vec<_> = snapshot.workloads().cloned().collect();
    g.choose(&all).cloned().unwrap_or_else(|| Arc::new(Workload::arbitrary(g)))
}
