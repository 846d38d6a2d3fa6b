//! Workloads and services (protos.md 4.1).

use super::{DecodeError, ip, known, port, prefix, text};
use crate::workload as wire;
use culvert_core::mesh::{
    ApplicationTunnel, Cidr, DEFAULT_HBONE_PORT, Destination, GatewayAddress, HealthPolicy, HealthStatus,
    IpFamilies, LoadBalancer, Locality, Mode, NetworkAddress, NetworkCidr, NetworkMode, PolicyKey, PortMap,
    RoutingScope, Service, ServiceKey, ServiceSpec, TunnelProtocol, TunnelledApplication, Visibility,
    WeightedWaypoint, Workload, WorkloadSpec, WorkloadType,
};

pub(super) fn workload(message: wire::Workload) -> Result<Workload, DecodeError> {
    let protocol = match known("tunnel_protocol", message.tunnel_protocol)? {
        wire::TunnelProtocol::None => TunnelProtocol::Tcp,
        wire::TunnelProtocol::Hbone => TunnelProtocol::Hbone,
        wire::TunnelProtocol::LegacyIstioMtls => return Err(DecodeError::LegacyMutualTls),
    };
    let spec = WorkloadSpec {
        protocol,
        network_mode: match known("network_mode", message.network_mode)? {
            wire::NetworkMode::Standard => NetworkMode::Standard,
            wire::NetworkMode::HostNetwork => NetworkMode::HostNetwork,
        },
        status: match known("status", message.status)? {
            wire::WorkloadStatus::Healthy => HealthStatus::Healthy,
            wire::WorkloadStatus::Unhealthy => HealthStatus::Unhealthy,
        },
        workload_type: match known("workload_type", message.workload_type)? {
            wire::WorkloadType::Deployment => WorkloadType::Deployment,
            wire::WorkloadType::Cronjob => WorkloadType::CronJob,
            wire::WorkloadType::Pod => WorkloadType::Pod,
            wire::WorkloadType::Job => WorkloadType::Job,
        },
        uid: text(message.uid),
        name: text(message.name),
        namespace: text(message.namespace),
        trust_domain: text(message.trust_domain),
        service_account: text(message.service_account),
        network: text(message.network),
        workload_ips: message
            .addresses
            .iter()
            .map(|bytes| ip("addresses", bytes))
            .collect::<Result<_, _>>()?,
        capacity: message.capacity.unwrap_or(1),
        services: message
            .services
            .into_iter()
            .map(|(key, list)| Ok((service_key("services", &key)?, ports(&list.ports)?)))
            .collect::<Result<_, DecodeError>>()?,
        authorization_policies: message
            .authorization_policies
            .iter()
            .map(|key| policy_key("authorization_policies", key))
            .collect::<Result<_, _>>()?,
        waypoint: message.waypoint.map(|gateway| self::gateway("waypoint", gateway)).transpose()?,
        network_gateway: message
            .network_gateway
            .map(|gateway| self::gateway("network_gateway", gateway))
            .transpose()?,
        application_tunnel: message.application_tunnel.map(application_tunnel).transpose()?,
        node: text(message.node),
        cluster_id: text(message.cluster_id),
        locality: message.locality.map_or_else(Locality::default, |place| Locality {
            region: text(place.region),
            zone: text(place.zone),
            subzone: text(place.subzone),
        }),
        hostname: text(message.hostname),
        workload_name: text(message.workload_name),
        canonical_name: text(message.canonical_name),
        canonical_revision: text(message.canonical_revision),
        native_tunnel: message.native_tunnel,
    };
    Ok(Workload::try_from(spec)?)
}

pub(super) fn service(message: wire::Service) -> Result<Service, DecodeError> {
    let (mut vips, mut cidr_vips) = (Vec::new(), Vec::new());
    for address in message.addresses {
        match address.length {
            None => vips.push(network_address("addresses", address)?),
            Some(bits) => {
                let first = ip("addresses", &address.address)?;
                let cidr = Cidr::new(first, prefix("addresses", bits)?)
                    .map_err(|_| DecodeError::Prefix { field: "addresses", bits })?;
                cidr_vips.push(NetworkCidr { network: text(address.network), cidr });
            }
        }
    }
    let spec = ServiceSpec {
        name: text(message.name),
        namespace: text(message.namespace),
        hostname: text(message.hostname),
        vips,
        cidr_vips,
        ports: ports(&message.ports)?,
        subject_alt_names: message.subject_alt_names.into_iter().map(text).collect(),
        waypoint: message.waypoint.map(|gateway| self::gateway("waypoint", gateway)).transpose()?,
        weighted_waypoints: message
            .weighted_waypoints
            .into_iter()
            .map(weighted_waypoint)
            .collect::<Result<_, _>>()?,
        load_balancer: message.load_balancing.map(|balancing| load_balancer(&balancing)).transpose()?,
        ip_families: match known("ip_families", message.ip_families)? {
            wire::IpFamilies::Automatic => None,
            wire::IpFamilies::Ipv4Only => Some(IpFamilies::Ipv4),
            wire::IpFamilies::Ipv6Only => Some(IpFamilies::Ipv6),
            wire::IpFamilies::Dual => Some(IpFamilies::Dual),
        },
        canonical: message.canonical,
        // The one enumeration of which a value that is not known has a meaning: seen by all.
        visibility: match wire::Visibility::try_from(message.visibility) {
            Ok(wire::Visibility::Namespace) => Visibility::Namespace,
            Ok(wire::Visibility::Public) | Err(_) => Visibility::Public,
        },
        ..ServiceSpec::default()
    };
    Ok(Service::try_from(spec)?)
}

fn service_key(field: &'static str, key: &str) -> Result<ServiceKey, DecodeError> {
    key.parse().map_err(|reason| DecodeError::Key { field, reason })
}

fn policy_key(field: &'static str, key: &str) -> Result<PolicyKey, DecodeError> {
    key.parse().map_err(|reason| DecodeError::Key { field, reason })
}

fn ports(list: &[wire::Port]) -> Result<PortMap, DecodeError> {
    let read = |pair: &wire::Port| match port("service_port", pair.service_port)? {
        0 => Err(DecodeError::Port { field: "service_port", value: 0 }),
        service_port => Ok((service_port, port("target_port", pair.target_port)?)),
    };
    list.iter().map(read).collect()
}

fn network_address(
    field: &'static str,
    message: wire::NetworkAddress,
) -> Result<NetworkAddress, DecodeError> {
    Ok(NetworkAddress::new(text(message.network), ip(field, &message.address)?))
}

fn gateway(field: &'static str, message: wire::GatewayAddress) -> Result<GatewayAddress, DecodeError> {
    use wire::gateway_address::Destination as Wire;
    let destination = match message.destination {
        Some(Wire::Address(address)) => Destination::Address(network_address(field, address)?),
        Some(Wire::Hostname(name)) => {
            Destination::Service(service_key(field, &format!("{}/{}", name.namespace, name.hostname))?)
        }
        None => return Err(DecodeError::Missing(field)),
    };
    let hbone_mtls_port = match port(field, message.hbone_mtls_port)? {
        0 => DEFAULT_HBONE_PORT,
        given => given,
    };
    Ok(GatewayAddress { destination, hbone_mtls_port })
}

fn weighted_waypoint(message: wire::WeightedWaypoint) -> Result<WeightedWaypoint, DecodeError> {
    let destination = message.destination.ok_or(DecodeError::Missing("weighted_waypoints"))?;
    Ok(WeightedWaypoint { destination: gateway("weighted_waypoints", destination)?, weight: message.weight })
}

fn application_tunnel(message: wire::ApplicationTunnel) -> Result<ApplicationTunnel, DecodeError> {
    use wire::application_tunnel::Protocol;
    let protocol = match known("application_tunnel", message.protocol)? {
        Protocol::None => TunnelledApplication::None,
        Protocol::Proxy => TunnelledApplication::Proxy,
    };
    Ok(ApplicationTunnel { protocol, port: port("application_tunnel", message.port)? })
}

fn load_balancer(message: &wire::LoadBalancing) -> Result<LoadBalancer, DecodeError> {
    use wire::load_balancing as kind;
    let scope = |value: &i32| {
        Ok(match known("routing_preference", *value)? {
            kind::Scope::UnspecifiedScope => {
                return Err(DecodeError::Unknown { field: "routing_preference", value: *value });
            }
            kind::Scope::Region => RoutingScope::Region,
            kind::Scope::Zone => RoutingScope::Zone,
            kind::Scope::Subzone => RoutingScope::Subzone,
            kind::Scope::Node => RoutingScope::Node,
            kind::Scope::Cluster => RoutingScope::Cluster,
            kind::Scope::Network => RoutingScope::Network,
        })
    };
    Ok(LoadBalancer {
        routing_preferences: message.routing_preference.iter().map(scope).collect::<Result<_, _>>()?,
        mode: match known("mode", message.mode)? {
            kind::Mode::UnspecifiedMode => Mode::Standard,
            kind::Mode::Strict => Mode::Strict,
            kind::Mode::Failover => Mode::Failover,
            kind::Mode::Passthrough => Mode::Passthrough,
        },
        health_policy: match known("health_policy", message.health_policy)? {
            kind::HealthPolicy::OnlyHealthy => HealthPolicy::OnlyHealthy,
            kind::HealthPolicy::AllowAll => HealthPolicy::AllowAll,
        },
    })
}
