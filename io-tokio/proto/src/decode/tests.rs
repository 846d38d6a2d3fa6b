use super::*;
use crate::encode;
use culvert_core::mesh::{
    Action, ApplicationTunnel, GatewayAddress, HealthPolicy, HealthStatus, IpFamilies, LoadBalancer,
    Locality, Match, Mode, NetworkMode, PolicyKey, PortMap, RoutingScope, ServiceAccountMatch, ServiceKey,
    ServiceSpec, StringMatch, TunnelProtocol, TunnelledApplication, Visibility, WeightedWaypoint,
    WorkloadSpec, WorkloadType,
};
use quickcheck::{Arbitrary, Gen, quickcheck};

fn one<T: Clone>(g: &mut Gen, pool: &[T]) -> T {
    g.choose(pool).unwrap().clone()
}

fn some<T>(g: &mut Gen, make: impl Fn(&mut Gen) -> T) -> Vec<T> {
    (0..usize::arbitrary(g) % 3).map(|_| make(g)).collect()
}

fn maybe<T>(g: &mut Gen, make: impl Fn(&mut Gen) -> T) -> Option<T> {
    bool::arbitrary(g).then(|| make(g))
}

fn word(g: &mut Gen) -> Arc<str> {
    one(g, &["", "a", "shop", "web-0", "ü"]).into()
}

fn ports_of(g: &mut Gen) -> PortMap {
    some(g, |g| (u16::arbitrary(g).max(1), u16::arbitrary(g))).into_iter().collect()
}

fn gateway_of(g: &mut Gen) -> GatewayAddress {
    let destination = one(g, &["net/10.0.0.9", "/2001:db8::9", "infra/way.infra.svc"]).to_owned();
    GatewayAddress { destination: destination.try_into().unwrap(), hbone_mtls_port: u16::arbitrary(g).max(1) }
}

fn key_of(g: &mut Gen) -> ServiceKey {
    ServiceKey::new(one(g, &["n", "m"]), one(g, &["x.example", "y.example"]))
}

#[derive(Clone, Debug)]
struct AnyWorkload(Workload);

impl Arbitrary for AnyWorkload {
    fn arbitrary(g: &mut Gen) -> AnyWorkload {
        let spec = WorkloadSpec {
            uid: one(g, &["c//Pod/n/a", "c//Pod/n/b"]).into(),
            name: word(g),
            namespace: "n".into(),
            trust_domain: one(g, &["", "td.example"]).into(),
            service_account: one(g, &["", "web"]).into(),
            network: word(g),
            workload_ips: some(g, |g| {
                one(g, &["10.0.0.1", "2001:db8::1", "::ffff:10.0.0.2"]).parse().unwrap()
            }),
            protocol: one(g, &[TunnelProtocol::Hbone, TunnelProtocol::Tcp]),
            network_mode: one(g, &[NetworkMode::HostNetwork, NetworkMode::Standard]),
            status: one(g, &[HealthStatus::Healthy, HealthStatus::Unhealthy]),
            capacity: one(g, &[0, 1, 7]),
            services: some(g, |g| (key_of(g), ports_of(g))).into_iter().collect(),
            authorization_policies: some(g, |g| PolicyKey::new("n", one(g, &["p", "q"]))),
            waypoint: maybe(g, gateway_of),
            network_gateway: maybe(g, gateway_of),
            application_tunnel: maybe(g, |g| ApplicationTunnel {
                protocol: one(g, &[TunnelledApplication::None, TunnelledApplication::Proxy]),
                port: u16::arbitrary(g),
            }),
            node: word(g),
            cluster_id: word(g),
            locality: Locality { region: word(g), zone: word(g), subzone: word(g) },
            hostname: word(g),
            workload_name: word(g),
            workload_type: one(
                g,
                &[WorkloadType::CronJob, WorkloadType::Deployment, WorkloadType::Job, WorkloadType::Pod],
            ),
            canonical_name: word(g),
            canonical_revision: word(g),
            native_tunnel: bool::arbitrary(g),
        };
        AnyWorkload(Workload::try_from(spec).unwrap())
    }
}

#[derive(Clone, Debug)]
struct AnyService(Service);

impl Arbitrary for AnyService {
    fn arbitrary(g: &mut Gen) -> AnyService {
        let key = key_of(g);
        let scopes = [
            RoutingScope::Cluster,
            RoutingScope::Network,
            RoutingScope::Node,
            RoutingScope::Region,
            RoutingScope::Subzone,
            RoutingScope::Zone,
        ];
        let spec = ServiceSpec {
            name: word(g),
            namespace: key.namespace,
            hostname: key.hostname,
            vips: some(g, |g| one(g, &["/10.96.0.1", "west/2001:db8::5"]).parse().unwrap()),
            cidr_vips: some(g, |g| one(g, &["/10.96.0.0/16", "west/2001:db8::/32"]).parse().unwrap()),
            ports: ports_of(g),
            subject_alt_names: some(g, word),
            waypoint: maybe(g, gateway_of),
            weighted_waypoints: some(g, |g| WeightedWaypoint {
                destination: gateway_of(g),
                weight: u32::arbitrary(g),
            }),
            load_balancer: maybe(g, |g| LoadBalancer {
                routing_preferences: some(g, |g| one(g, &scopes)),
                mode: one(g, &[Mode::Failover, Mode::Passthrough, Mode::Standard, Mode::Strict]),
                health_policy: one(g, &[HealthPolicy::AllowAll, HealthPolicy::OnlyHealthy]),
            }),
            ip_families: one(
                g,
                &[None, Some(IpFamilies::Dual), Some(IpFamilies::Ipv4), Some(IpFamilies::Ipv6)],
            ),
            canonical: bool::arbitrary(g),
            visibility: one(g, &[Visibility::Namespace, Visibility::Public]),
            ..ServiceSpec::default()
        };
        AnyService(Service::try_from(spec).unwrap())
    }
}

#[derive(Clone, Debug)]
struct AnyPolicy(Policy);

impl Arbitrary for AnyPolicy {
    fn arbitrary(g: &mut Gen) -> AnyPolicy {
        let text = |g: &mut Gen| {
            let text = word(g);
            let kinds = [
                StringMatch::Exact(text.clone()),
                StringMatch::Prefix(text.clone()),
                StringMatch::Suffix(text),
            ];
            maybe(g, |g| one(g, &kinds)).unwrap_or(StringMatch::Presence)
        };
        let range =
            |g: &mut Gen| one(g, &["10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "::/0"]).parse().unwrap();
        let account = |g: &mut Gen| ServiceAccountMatch { namespace: word(g), service_account: word(g) };
        let wanted = |g: &mut Gen| Match {
            namespaces: some(g, text),
            not_namespaces: some(g, text),
            service_accounts: some(g, account),
            not_service_accounts: some(g, account),
            principals: some(g, text),
            not_principals: some(g, text),
            source_ips: some(g, range),
            not_source_ips: some(g, range),
            destination_ips: some(g, range),
            not_destination_ips: some(g, range),
            destination_ports: some(g, u16::arbitrary),
            not_destination_ports: some(g, u16::arbitrary),
        };
        AnyPolicy(Policy {
            name: word(g),
            namespace: word(g),
            scope: one(g, &[Scope::Global, Scope::Namespace, Scope::WorkloadSelector]),
            action: one(g, &[Action::Allow, Action::Deny]),
            rules: some(g, |g| some(g, |g| some(g, wanted))),
            dry_run: bool::arbitrary(g),
        })
    }
}

quickcheck! {
    fn a_workload_is_read_as_it_was_written(workload: AnyWorkload) -> bool {
        address(&encode::workload(&workload.0).encode_to_vec()) == Ok(Address::Workload(workload.0))
    }

    fn a_service_is_read_as_it_was_written(service: AnyService) -> bool {
        address(&encode::service(&service.0).encode_to_vec()) == Ok(Address::Service(service.0))
    }

    fn a_policy_is_read_as_it_was_written(policy: AnyPolicy) -> bool {
        authorization(&encode::authorization(&policy.0).encode_to_vec()) == Ok(policy.0)
    }

    fn any_bytes_are_understood_or_refused(bytes: Vec<u8>) -> bool {
        let _ = (address(&bytes), authorization(&bytes));
        true
    }
}

fn pod() -> wire::Workload {
    wire::Workload { uid: "c//Pod/n/a".into(), namespace: "n".into(), ..wire::Workload::default() }
}

fn read_pod(change: impl Fn(&mut wire::Workload)) -> Result<Workload, DecodeError> {
    let mut message = pod();
    change(&mut message);
    let address = wire::Address { r#type: Some(wire::address::Type::Workload(message)) };
    super::address(&address.encode_to_vec()).map(|address| match address {
        Address::Workload(workload) => workload,
        Address::Service(_) => panic!("a workload was written"),
    })
}

#[test]
fn a_workload_that_says_little_has_the_defaults() {
    let workload = read_pod(|_| ()).unwrap();
    assert_eq!(workload.identity().to_string(), "spiffe://cluster.local/ns/n/sa/default");
    assert_eq!((workload.capacity, workload.about.cluster_id.as_ref()), (1, "Kubernetes"));
    assert_eq!((workload.protocol, workload.status), (TunnelProtocol::Tcp, HealthStatus::Healthy));
    assert_eq!(read_pod(|pod| pod.capacity = Some(0)).unwrap().capacity, 0);
    let with_extension = read_pod(|pod| pod.extensions.push(wire::Extension::default())).unwrap();
    assert_eq!(with_extension, workload);
}

#[test]
fn a_workload_with_anything_that_is_not_understood_is_refused_whole() {
    let unknown = |field| DecodeError::Unknown { field, value: 99 };
    assert_eq!(read_pod(|pod| pod.tunnel_protocol = 2), Err(DecodeError::LegacyMutualTls));
    assert_eq!(read_pod(|pod| pod.tunnel_protocol = 99), Err(unknown("tunnel_protocol")));
    assert_eq!(read_pod(|pod| pod.network_mode = 99), Err(unknown("network_mode")));
    assert_eq!(read_pod(|pod| pod.status = 99), Err(unknown("status")));
    assert_eq!(read_pod(|pod| pod.workload_type = 99), Err(unknown("workload_type")));
    for length in [0, 3, 5, 15, 17] {
        let refused = read_pod(|pod| pod.addresses = vec![vec![10, 0, 0, 1], vec![0; length]]);
        assert_eq!(refused, Err(DecodeError::Address { field: "addresses", length }));
    }
    let bad_key = read_pod(|pod| pod.authorization_policies = vec!["n/p".into(), "p".into()]);
    assert!(matches!(bad_key, Err(DecodeError::Key { field: "authorization_policies", .. })));
    let bad_service = read_pod(|pod| drop(pod.services.insert("x".into(), wire::PortList::default())));
    assert!(matches!(bad_service, Err(DecodeError::Key { field: "services", .. })));
    let with_port = |service_port, target_port| {
        let ports = vec![wire::Port { service_port, target_port, app_protocol: 99 }];
        read_pod(|pod| drop(pod.services.insert("n/x".into(), wire::PortList { ports: ports.clone() })))
    };
    assert!(with_port(80, 0).is_ok());
    assert_eq!(with_port(0, 1), Err(DecodeError::Port { field: "service_port", value: 0 }));
    assert_eq!(with_port(80, 65_616), Err(DecodeError::Port { field: "target_port", value: 65_616 }));
    assert_eq!(
        read_pod(|pod| pod.waypoint = Some(wire::GatewayAddress::default())),
        Err(DecodeError::Missing("waypoint"))
    );
    assert!(matches!(read_pod(|pod| pod.uid.clear()), Err(DecodeError::Workload(WorkloadError::NoUid))));
    assert!(matches!(
        read_pod(|pod| pod.namespace.clear()),
        Err(DecodeError::Workload(WorkloadError::Identity { .. }))
    ));
}

fn read_service(change: impl Fn(&mut wire::Service)) -> Result<Service, DecodeError> {
    let mut message =
        wire::Service { namespace: "n".into(), hostname: "x.example".into(), ..wire::Service::default() };
    change(&mut message);
    let address = wire::Address { r#type: Some(wire::address::Type::Service(message)) };
    super::address(&address.encode_to_vec()).map(|address| match address {
        Address::Service(service) => service,
        Address::Workload(_) => panic!("a service was written"),
    })
}

#[test]
fn a_service_is_seen_by_all_if_it_says_what_is_not_known_and_refused_for_all_else() {
    assert_eq!(read_service(|_| ()).unwrap().visibility, Visibility::Public);
    assert_eq!(read_service(|service| service.visibility = 1).unwrap().visibility, Visibility::Namespace);
    assert_eq!(read_service(|service| service.visibility = 99).unwrap().visibility, Visibility::Public);
    let balanced = |scope, mode, health_policy| {
        let balancing = wire::LoadBalancing { routing_preference: vec![scope], mode, health_policy };
        read_service(|service| service.load_balancing = Some(balancing.clone()))
    };
    assert_eq!(balanced(6, 0, 1).unwrap().load_balancer.unwrap().mode, Mode::Standard);
    assert_eq!(balanced(0, 0, 0), Err(DecodeError::Unknown { field: "routing_preference", value: 0 }));
    assert_eq!(balanced(1, 99, 0), Err(DecodeError::Unknown { field: "mode", value: 99 }));
    assert_eq!(balanced(1, 1, 99), Err(DecodeError::Unknown { field: "health_policy", value: 99 }));
    assert_eq!(
        read_service(|service| service.ip_families = 99),
        Err(DecodeError::Unknown { field: "ip_families", value: 99 })
    );
    let vip = |address: &[u8], length| {
        let address = wire::NetworkAddress { network: String::new(), address: address.to_vec(), length };
        read_service(|service| service.addresses = vec![address.clone()])
    };
    assert_eq!(vip(&[10, 1, 2, 3], None).unwrap().vips.len(), 1);
    assert_eq!(vip(&[10, 1, 2, 3], Some(8)).unwrap().cidr_vips, ["/10.0.0.0/8".parse().unwrap()]);
    assert_eq!(vip(&[10, 1, 2, 3], Some(33)), Err(DecodeError::Prefix { field: "addresses", bits: 33 }));
    assert_eq!(vip(&[10, 1, 2, 3], Some(264)), Err(DecodeError::Prefix { field: "addresses", bits: 264 }));
    assert!(matches!(
        read_service(|service| service.hostname.clear()),
        Err(DecodeError::Service(ServiceError::Key))
    ));
}

fn read_match(wanted: authorization::Match) -> Result<Policy, PolicyError> {
    let clause = authorization::Clause { matches: vec![authorization::Match::default(), wanted] };
    let message = authorization::Authorization {
        name: "p".into(),
        namespace: "n".into(),
        scope: 1,
        rules: vec![authorization::Rule { clauses: vec![clause] }],
        ..Default::default()
    };
    super::authorization(&message.encode_to_vec())
}

#[test]
fn a_policy_with_a_matcher_that_is_not_understood_is_refused_whole_and_its_scope_known() {
    let refused = |wanted| {
        let error = read_match(wanted).unwrap_err();
        assert_eq!(error.scope, Some(Scope::Namespace));
        error.reason
    };
    let empty_text = vec![authorization::StringMatch::default()];
    let range = |address: &[u8], length| vec![authorization::Address { address: address.to_vec(), length }];
    let base = authorization::Match::default;
    assert_eq!(
        refused(authorization::Match { principals: empty_text.clone(), ..base() }),
        DecodeError::Missing("principals")
    );
    assert_eq!(
        refused(authorization::Match { not_namespaces: empty_text, ..base() }),
        DecodeError::Missing("not_namespaces")
    );
    assert_eq!(
        refused(authorization::Match { source_ips: range(&[1, 2, 3], 8), ..base() }),
        DecodeError::Address { field: "source_ips", length: 3 }
    );
    assert_eq!(
        refused(authorization::Match { not_source_ips: range(&[1, 2, 3, 4], 33), ..base() }),
        DecodeError::Prefix { field: "not_source_ips", bits: 33 }
    );
    assert_eq!(
        refused(authorization::Match { destination_ports: vec![80, 65_616], ..base() }),
        DecodeError::Port { field: "destination_ports", value: 65_616 }
    );
    let extension = authorization::Extension { name: "narrower".into(), config: None };
    assert_eq!(
        refused(authorization::Match { extensions: vec![extension], ..base() }),
        DecodeError::Extension("narrower".into())
    );
}

#[test]
fn a_policy_of_an_unknown_action_or_scope_is_refused() {
    let read = |scope, action| {
        let message = authorization::Authorization { scope, action, ..Default::default() };
        super::authorization(&message.encode_to_vec())
    };
    let unknown = |field| DecodeError::Unknown { field, value: 99 };
    assert_eq!(read(99, 0), Err(PolicyError { scope: None, reason: unknown("scope") }));
    assert_eq!(read(0, 99), Err(PolicyError { scope: Some(Scope::Global), reason: unknown("action") }));
    assert_eq!(super::authorization(&[0xff]).unwrap_err().scope, None);
}

#[test]
fn what_was_not_understood_is_not_understood_after_it_was_written() {
    for scope in [None, Some(Scope::Global), Some(Scope::Namespace), Some(Scope::WorkloadSelector)] {
        let written = encode::undecodable(&PolicyKey::new("n", "p"), scope);
        assert_eq!(super::authorization(&written.encode_to_vec()).unwrap_err().scope, scope);
    }
}

#[test]
fn a_resource_longer_than_any_is_not_looked_at() {
    let bytes = vec![0; MAX_RESOURCE_BYTES + 1];
    assert_eq!(super::address(&bytes), Err(DecodeError::TooLong(bytes.len())));
}

#[test]
fn an_address_of_nothing_is_refused() {
    assert_eq!(super::address(&[]), Err(DecodeError::Missing("workload or service")));
}
