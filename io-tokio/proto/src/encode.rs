//! Core's facts as a control plane sends them: the way back of [`decode`](crate::decode), which reads them as they were.

use crate::{authorization as policy, workload as wire};
use culvert_core::mesh::{
    Action, Cidr, Destination, GatewayAddress, HealthPolicy, HealthStatus, IpFamilies, LoadBalancer, Match,
    Mode, NetworkMode, Policy, PolicyKey, PortMap, RoutingScope, Scope, Service, ServiceAccountMatch,
    ServiceSpec, StringMatch, TunnelProtocol, TunnelledApplication, Visibility, Workload, WorkloadSpec,
    WorkloadType,
};
use std::net::IpAddr;

/// A workload.
pub fn workload(workload: &Workload) -> wire::Address {
    let spec = WorkloadSpec::from(workload.clone());
    let message = wire::Workload {
        uid: spec.uid.to_string(),
        name: spec.name.to_string(),
        namespace: spec.namespace.to_string(),
        addresses: spec.workload_ips.into_iter().map(bytes).collect(),
        network: spec.network.to_string(),
        tunnel_protocol: match spec.protocol {
            TunnelProtocol::Hbone => wire::TunnelProtocol::Hbone.into(),
            TunnelProtocol::Tcp => wire::TunnelProtocol::None.into(),
        },
        trust_domain: spec.trust_domain.to_string(),
        service_account: spec.service_account.to_string(),
        waypoint: spec.waypoint.as_ref().map(gateway),
        node: spec.node.to_string(),
        canonical_name: spec.canonical_name.to_string(),
        canonical_revision: spec.canonical_revision.to_string(),
        workload_type: match spec.workload_type {
            WorkloadType::CronJob => wire::WorkloadType::Cronjob.into(),
            WorkloadType::Deployment => wire::WorkloadType::Deployment.into(),
            WorkloadType::Job => wire::WorkloadType::Job.into(),
            WorkloadType::Pod => wire::WorkloadType::Pod.into(),
        },
        workload_name: spec.workload_name.to_string(),
        native_tunnel: spec.native_tunnel,
        authorization_policies: spec.authorization_policies.iter().map(ToString::to_string).collect(),
        status: match spec.status {
            HealthStatus::Healthy => wire::WorkloadStatus::Healthy.into(),
            HealthStatus::Unhealthy => wire::WorkloadStatus::Unhealthy.into(),
        },
        cluster_id: spec.cluster_id.to_string(),
        network_gateway: spec.network_gateway.as_ref().map(gateway),
        hostname: spec.hostname.to_string(),
        services: spec
            .services
            .iter()
            .map(|(key, map)| (key.to_string(), wire::PortList { ports: ports(map) }))
            .collect(),
        application_tunnel: spec.application_tunnel.map(|tunnel| wire::ApplicationTunnel {
            protocol: match tunnel.protocol {
                TunnelledApplication::None => wire::application_tunnel::Protocol::None.into(),
                TunnelledApplication::Proxy => wire::application_tunnel::Protocol::Proxy.into(),
            },
            port: tunnel.port.into(),
        }),
        locality: Some(wire::Locality {
            region: spec.locality.region.to_string(),
            zone: spec.locality.zone.to_string(),
            subzone: spec.locality.subzone.to_string(),
        }),
        network_mode: match spec.network_mode {
            NetworkMode::HostNetwork => wire::NetworkMode::HostNetwork.into(),
            NetworkMode::Standard => wire::NetworkMode::Standard.into(),
        },
        extensions: Vec::new(),
        capacity: Some(spec.capacity),
    };
    wire::Address { r#type: Some(wire::address::Type::Workload(message)) }
}

/// A service.
pub fn service(service: &Service) -> wire::Address {
    let spec = ServiceSpec::from(service.clone());
    let single = spec.vips.iter().map(|vip| wire::NetworkAddress {
        network: vip.network().to_string(),
        address: bytes(vip.ip()),
        length: None,
    });
    let ranges = spec.cidr_vips.iter().map(|range| wire::NetworkAddress {
        network: range.network.to_string(),
        address: bytes(range.cidr.first()),
        length: Some(range.cidr.prefix_bits().into()),
    });
    let message = wire::Service {
        name: spec.name.to_string(),
        namespace: spec.namespace.to_string(),
        hostname: spec.hostname.to_string(),
        addresses: single.chain(ranges).collect(),
        ports: ports(&spec.ports),
        subject_alt_names: spec.subject_alt_names.iter().map(ToString::to_string).collect(),
        waypoint: spec.waypoint.as_ref().map(gateway),
        load_balancing: spec.load_balancer.as_ref().map(load_balancing),
        ip_families: match spec.ip_families {
            None => wire::IpFamilies::Automatic.into(),
            Some(IpFamilies::Dual) => wire::IpFamilies::Dual.into(),
            Some(IpFamilies::Ipv4) => wire::IpFamilies::Ipv4Only.into(),
            Some(IpFamilies::Ipv6) => wire::IpFamilies::Ipv6Only.into(),
        },
        extensions: Vec::new(),
        canonical: spec.canonical,
        ingress_use_waypoint: false,
        weighted_waypoints: spec
            .weighted_waypoints
            .iter()
            .map(|waypoint| wire::WeightedWaypoint {
                destination: Some(gateway(&waypoint.destination)),
                weight: waypoint.weight,
            })
            .collect(),
        visibility: match spec.visibility {
            Visibility::Namespace => wire::Visibility::Namespace.into(),
            Visibility::Public => wire::Visibility::Public.into(),
        },
    };
    wire::Address { r#type: Some(wire::address::Type::Service(message)) }
}

/// A policy.
pub fn authorization(policy: &Policy) -> policy::Authorization {
    let clause = |clause: &Vec<Match>| policy::Clause { matches: clause.iter().map(wanted).collect() };
    let rule = |rule: &Vec<Vec<Match>>| policy::Rule { clauses: rule.iter().map(clause).collect() };
    policy::Authorization {
        name: policy.name.to_string(),
        namespace: policy.namespace.to_string(),
        scope: scope(policy.scope),
        action: match policy.action {
            Action::Allow => policy::Action::Allow.into(),
            Action::Deny => policy::Action::Deny.into(),
        },
        rules: policy.rules.iter().map(rule).collect(),
        dry_run: policy.dry_run,
        extensions: Vec::new(),
    }
}

/// A policy that was not understood: what is read of it is not understood again, of the same scope.
pub fn undecodable(key: &PolicyKey, known_scope: Option<Scope>) -> policy::Authorization {
    policy::Authorization {
        name: key.name.to_string(),
        namespace: key.namespace.to_string(),
        scope: known_scope.map_or(NOT_KNOWN, scope),
        action: NOT_KNOWN,
        ..policy::Authorization::default()
    }
}

/// No value of any enumeration.
const NOT_KNOWN: i32 = i32::MAX;

fn scope(scope: Scope) -> i32 {
    match scope {
        Scope::Global => policy::Scope::Global.into(),
        Scope::Namespace => policy::Scope::Namespace.into(),
        Scope::WorkloadSelector => policy::Scope::WorkloadSelector.into(),
    }
}

fn bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn ports(map: &PortMap) -> Vec<wire::Port> {
    let pair = |&(service_port, target_port): &(u16, u16)| wire::Port {
        service_port: service_port.into(),
        target_port: target_port.into(),
        app_protocol: wire::AppProtocol::Unknown.into(),
    };
    map.pairs().iter().map(pair).collect()
}

fn gateway(gateway: &GatewayAddress) -> wire::GatewayAddress {
    use wire::gateway_address::Destination as Wire;
    let destination = match &gateway.destination {
        Destination::Address(address) => Wire::Address(wire::NetworkAddress {
            network: address.network().to_string(),
            address: bytes(address.ip()),
            length: None,
        }),
        Destination::Service(key) => Wire::Hostname(wire::NamespacedHostname {
            namespace: key.namespace.to_string(),
            hostname: key.hostname.to_string(),
        }),
    };
    wire::GatewayAddress { destination: Some(destination), hbone_mtls_port: gateway.hbone_mtls_port.into() }
}

fn load_balancing(balancer: &LoadBalancer) -> wire::LoadBalancing {
    use wire::load_balancing as kind;
    let scope = |scope: &RoutingScope| match scope {
        RoutingScope::Cluster => kind::Scope::Cluster.into(),
        RoutingScope::Network => kind::Scope::Network.into(),
        RoutingScope::Node => kind::Scope::Node.into(),
        RoutingScope::Region => kind::Scope::Region.into(),
        RoutingScope::Subzone => kind::Scope::Subzone.into(),
        RoutingScope::Zone => kind::Scope::Zone.into(),
    };
    wire::LoadBalancing {
        routing_preference: balancer.routing_preferences.iter().map(scope).collect(),
        mode: match balancer.mode {
            Mode::Failover => kind::Mode::Failover.into(),
            Mode::Passthrough => kind::Mode::Passthrough.into(),
            Mode::Standard => kind::Mode::UnspecifiedMode.into(),
            Mode::Strict => kind::Mode::Strict.into(),
        },
        health_policy: match balancer.health_policy {
            HealthPolicy::AllowAll => kind::HealthPolicy::AllowAll.into(),
            HealthPolicy::OnlyHealthy => kind::HealthPolicy::OnlyHealthy.into(),
        },
    }
}

fn wanted(wanted: &Match) -> policy::Match {
    policy::Match {
        namespaces: texts(&wanted.namespaces),
        not_namespaces: texts(&wanted.not_namespaces),
        principals: texts(&wanted.principals),
        not_principals: texts(&wanted.not_principals),
        source_ips: ranges(&wanted.source_ips),
        not_source_ips: ranges(&wanted.not_source_ips),
        destination_ips: ranges(&wanted.destination_ips),
        not_destination_ips: ranges(&wanted.not_destination_ips),
        destination_ports: wanted.destination_ports.iter().copied().map(u32::from).collect(),
        not_destination_ports: wanted.not_destination_ports.iter().copied().map(u32::from).collect(),
        service_accounts: accounts(&wanted.service_accounts),
        not_service_accounts: accounts(&wanted.not_service_accounts),
        extensions: Vec::new(),
    }
}

fn texts(matches: &[StringMatch]) -> Vec<policy::StringMatch> {
    use policy::string_match::MatchType;
    let one = |text: &StringMatch| match text {
        StringMatch::Exact(text) => MatchType::Exact(text.to_string()),
        StringMatch::Prefix(text) => MatchType::Prefix(text.to_string()),
        StringMatch::Presence => MatchType::Presence(()),
        StringMatch::Suffix(text) => MatchType::Suffix(text.to_string()),
    };
    matches.iter().map(|text| policy::StringMatch { match_type: Some(one(text)) }).collect()
}

fn ranges(ranges: &[Cidr]) -> Vec<policy::Address> {
    let one =
        |range: &Cidr| policy::Address { address: bytes(range.first()), length: range.prefix_bits().into() };
    ranges.iter().map(one).collect()
}

fn accounts(accounts: &[ServiceAccountMatch]) -> Vec<policy::ServiceAccountMatch> {
    let one = |account: &ServiceAccountMatch| policy::ServiceAccountMatch {
        namespace: account.namespace.to_string(),
        service_account: account.service_account.to_string(),
    };
    accounts.iter().map(one).collect()
}
