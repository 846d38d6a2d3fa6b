//! `culvert_core::mesh`.

use culvert_core::identity::SpiffeId;
use culvert_core::identity::SpiffeIdError;
use culvert_core::mesh::{
    About, Action, AddressError, ApplicationTunnel, Changed, Cidr, DEFAULT_HBONE_PORT, Delta, Destination,
    GatewayAddress, HealthPolicy, HealthStatus, Interner, IpFamilies, KeyError, LoadBalancer, Locality,
    Match, MeshError, MeshFile, Mode, NetworkAddress, NetworkCidr, NetworkMode, Policy, PolicyEntry,
    PolicyKey, PortMap, RoutingScope, Scope, Service, ServiceAccountMatch, ServiceError, ServiceKey,
    ServiceSpec, Snapshot, StringMatch, TunnelProtocol, TunnelledApplication, Uid, Unread, Visibility,
    WeightedWaypoint, Workload, WorkloadError, WorkloadSpec, WorkloadType,
};
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

const _: u16 = DEFAULT_HBONE_PORT;
pub fn cases_of_action(value: Action) -> &'static str {
    match value {
        Action::Allow => "Allow",
        Action::Deny => "Deny",
    }
}
pub fn cases_of_address_error(value: AddressError) -> &'static str {
    match value {
        AddressError::NetworkAddress(f0) => {
            let _: String = f0;
            "NetworkAddress"
        }
        AddressError::Cidr(f0) => {
            let _: String = f0;
            "Cidr"
        }
        AddressError::Length { length, bits } => {
            let _: u8 = length;
            let _: u8 = bits;
            "Length"
        }
    }
}
pub fn cases_of_destination(value: Destination) -> &'static str {
    match value {
        Destination::Address(f0) => {
            let _: NetworkAddress = f0;
            "Address"
        }
        Destination::Service(f0) => {
            let _: ServiceKey = f0;
            "Service"
        }
    }
}
pub fn cases_of_health_policy(value: HealthPolicy) -> &'static str {
    match value {
        HealthPolicy::AllowAll => "AllowAll",
        HealthPolicy::OnlyHealthy => "OnlyHealthy",
    }
}
pub fn cases_of_health_status(value: HealthStatus) -> &'static str {
    match value {
        HealthStatus::Healthy => "Healthy",
        HealthStatus::Unhealthy => "Unhealthy",
    }
}
pub fn cases_of_ip_families(value: IpFamilies) -> &'static str {
    match value {
        IpFamilies::Dual => "Dual",
        IpFamilies::Ipv4 => "Ipv4",
        IpFamilies::Ipv6 => "Ipv6",
    }
}
pub fn cases_of_mesh_error(value: MeshError) -> &'static str {
    match value {
        MeshError::DuplicatePolicy(f0) => {
            let _: PolicyKey = f0;
            "DuplicatePolicy"
        }
        MeshError::DuplicateService(f0) => {
            let _: ServiceKey = f0;
            "DuplicateService"
        }
        MeshError::DuplicateWorkload(f0) => {
            let _: Uid = f0;
            "DuplicateWorkload"
        }
    }
}
pub fn cases_of_mode(value: Mode) -> &'static str {
    match value {
        Mode::Failover => "Failover",
        Mode::Passthrough => "Passthrough",
        Mode::Standard => "Standard",
        Mode::Strict => "Strict",
    }
}
pub fn cases_of_network_mode(value: NetworkMode) -> &'static str {
    match value {
        NetworkMode::HostNetwork => "HostNetwork",
        NetworkMode::Standard => "Standard",
    }
}
pub fn cases_of_policy_entry(value: PolicyEntry) -> &'static str {
    match value {
        PolicyEntry::Decoded(f0) => {
            let _: Arc<Policy> = f0;
            "Decoded"
        }
        PolicyEntry::Undecodable { scope, reason } => {
            let _: Option<Scope> = scope;
            let _: Arc<str> = reason;
            "Undecodable"
        }
    }
}
const _: fn(&PolicyEntry) -> Option<Scope> = PolicyEntry::scope;
pub fn cases_of_routing_scope(value: RoutingScope) -> &'static str {
    match value {
        RoutingScope::Cluster => "Cluster",
        RoutingScope::Network => "Network",
        RoutingScope::Node => "Node",
        RoutingScope::Region => "Region",
        RoutingScope::Subzone => "Subzone",
        RoutingScope::Zone => "Zone",
    }
}
pub fn cases_of_scope(value: Scope) -> &'static str {
    match value {
        Scope::Global => "Global",
        Scope::Namespace => "Namespace",
        Scope::WorkloadSelector => "WorkloadSelector",
    }
}
pub fn cases_of_service_error(value: ServiceError) -> &'static str {
    match value {
        ServiceError::Key => "Key",
        ServiceError::Endpoints(f0) => {
            let _: ServiceKey = f0;
            "Endpoints"
        }
    }
}
pub fn cases_of_string_match(value: StringMatch) -> &'static str {
    match value {
        StringMatch::Exact(f0) => {
            let _: Arc<str> = f0;
            "Exact"
        }
        StringMatch::Prefix(f0) => {
            let _: Arc<str> = f0;
            "Prefix"
        }
        StringMatch::Presence => "Presence",
        StringMatch::Suffix(f0) => {
            let _: Arc<str> = f0;
            "Suffix"
        }
    }
}
pub fn cases_of_tunnel_protocol(value: TunnelProtocol) -> &'static str {
    match value {
        TunnelProtocol::Hbone => "Hbone",
        TunnelProtocol::Tcp => "Tcp",
    }
}
pub fn cases_of_tunnelled_application(value: TunnelledApplication) -> &'static str {
    match value {
        TunnelledApplication::None => "None",
        TunnelledApplication::Proxy => "Proxy",
    }
}
pub fn cases_of_visibility(value: Visibility) -> &'static str {
    match value {
        Visibility::Namespace => "Namespace",
        Visibility::Public => "Public",
    }
}
pub fn cases_of_workload_error(value: WorkloadError) -> &'static str {
    match value {
        WorkloadError::NoUid => "NoUid",
        WorkloadError::Identity { uid, reason } => {
            let _: Uid = uid;
            let _: SpiffeIdError = reason;
            "Identity"
        }
    }
}
pub fn cases_of_workload_type(value: WorkloadType) -> &'static str {
    match value {
        WorkloadType::CronJob => "CronJob",
        WorkloadType::Deployment => "Deployment",
        WorkloadType::Job => "Job",
        WorkloadType::Pod => "Pod",
    }
}
const _: fn(WorkloadType) -> &'static str = WorkloadType::baggage_key;
pub fn fields_of_application_tunnel(value: ApplicationTunnel) -> (TunnelledApplication, u16) {
    let ApplicationTunnel { protocol, port } = value;
    (protocol, port)
}
pub fn fields_of_changed(
    value: Changed,
) -> (BTreeSet<Uid>, BTreeSet<Uid>, BTreeSet<ServiceKey>, BTreeSet<PolicyKey>, BTreeSet<Arc<str>>, bool) {
    let Changed { workloads, removed, services, policies, policies_in, everything } = value;
    (workloads, removed, services, policies, policies_in, everything)
}
const _: fn(&Changed, &Workload) -> bool = Changed::affects;
const _: fn(&Changed) -> bool = Changed::is_empty;
const _: fn(&Changed) -> bool = Changed::touches_routes;
const _: fn(&mut Changed, Changed) = Changed::merge;
pub type CidrIs = Cidr;
const _: fn(IpAddr, u8) -> Result<Cidr, AddressError> = Cidr::new;
const _: fn(&Cidr, IpAddr) -> bool = Cidr::contains;
const _: fn(&Cidr) -> std::net::IpAddr = Cidr::first;
const _: fn(&Cidr) -> u8 = Cidr::prefix_bits;
pub type DeltaIs = Delta;
const _: fn() -> Delta = Delta::new;
const _: fn(&mut Delta, Uid) = Delta::remove_workload;
const _: fn(&mut Delta, ServiceKey) = Delta::remove_service;
const _: fn(&mut Delta, PolicyKey) = Delta::remove_policy;
const _: fn(&Delta) -> bool = Delta::is_empty;
pub fn fields_of_gateway_address(value: GatewayAddress) -> (Destination, u16) {
    let GatewayAddress { destination, hbone_mtls_port } = value;
    (destination, hbone_mtls_port)
}
pub type KeyErrorIs = KeyError;
pub fn fields_of_load_balancer(value: LoadBalancer) -> (Vec<RoutingScope>, Mode, HealthPolicy) {
    let LoadBalancer { routing_preferences, mode, health_policy } = value;
    (routing_preferences, mode, health_policy)
}
pub fn fields_of_locality(value: Locality) -> (Arc<str>, Arc<str>, Arc<str>) {
    let Locality { region, zone, subzone } = value;
    (region, zone, subzone)
}
pub fn fields_of_match(
    value: Match,
) -> (
    Vec<StringMatch>,
    Vec<StringMatch>,
    Vec<ServiceAccountMatch>,
    Vec<ServiceAccountMatch>,
    Vec<StringMatch>,
    Vec<StringMatch>,
    Vec<Cidr>,
    Vec<Cidr>,
    Vec<Cidr>,
    Vec<Cidr>,
    Vec<u16>,
    Vec<u16>,
) {
    let Match {
        namespaces,
        not_namespaces,
        service_accounts,
        not_service_accounts,
        principals,
        not_principals,
        source_ips,
        not_source_ips,
        destination_ips,
        not_destination_ips,
        destination_ports,
        not_destination_ports,
    } = value;
    (
        namespaces,
        not_namespaces,
        service_accounts,
        not_service_accounts,
        principals,
        not_principals,
        source_ips,
        not_source_ips,
        destination_ips,
        not_destination_ips,
        destination_ports,
        not_destination_ports,
    )
}
pub fn fields_of_mesh_file(value: MeshFile) -> (Vec<Arc<Workload>>, Vec<Arc<Policy>>, Vec<Arc<Service>>) {
    let MeshFile { workloads, policies, services } = value;
    (workloads, policies, services)
}
const _: fn(&MeshFile) -> Result<(), MeshError> = MeshFile::check;
pub type NetworkAddressIs = NetworkAddress;
const _: fn(Arc<str>, IpAddr) -> NetworkAddress = NetworkAddress::new;
const _: fn(&NetworkAddress) -> &Arc<str> = NetworkAddress::network;
const _: fn(&NetworkAddress) -> IpAddr = NetworkAddress::ip;
pub fn fields_of_network_cidr(value: NetworkCidr) -> (Arc<str>, Cidr) {
    let NetworkCidr { network, cidr } = value;
    (network, cidr)
}
pub fn fields_of_policy(value: Policy) -> (Arc<str>, Arc<str>, Scope, Action, Vec<Vec<Vec<Match>>>, bool) {
    let Policy { name, namespace, scope, action, rules, dry_run } = value;
    (name, namespace, scope, action, rules, dry_run)
}
const _: fn(&Policy) -> PolicyKey = Policy::key;
pub fn fields_of_policy_key(value: PolicyKey) -> (Arc<str>, Arc<str>) {
    let PolicyKey { namespace, name } = value;
    (namespace, name)
}
pub type PortMapIs = PortMap;
const _: fn(&PortMap, u16) -> Option<u16> = PortMap::target;
const _: fn(&PortMap) -> &[(u16, u16)] = PortMap::pairs;
pub fn fields_of_service(
    value: Service,
) -> (
    ServiceKey,
    Arc<str>,
    Vec<NetworkAddress>,
    Vec<NetworkCidr>,
    PortMap,
    Vec<Arc<str>>,
    Option<GatewayAddress>,
    Vec<WeightedWaypoint>,
    Option<LoadBalancer>,
    Option<IpFamilies>,
    bool,
    Visibility,
) {
    let Service {
        key,
        name,
        vips,
        cidr_vips,
        ports,
        subject_alt_names,
        waypoint,
        weighted_waypoints,
        load_balancer,
        ip_families,
        canonical,
        visibility,
    } = value;
    (
        key,
        name,
        vips,
        cidr_vips,
        ports,
        subject_alt_names,
        waypoint,
        weighted_waypoints,
        load_balancer,
        ip_families,
        canonical,
        visibility,
    )
}
const _: fn(&Service, &str) -> bool = Service::is_visible_from;
const _: fn(&Service) -> bool = Service::has_waypoint;
pub fn fields_of_service_account_match(value: ServiceAccountMatch) -> (Arc<str>, Arc<str>) {
    let ServiceAccountMatch { namespace, service_account } = value;
    (namespace, service_account)
}
pub fn fields_of_service_key(value: ServiceKey) -> (Arc<str>, Arc<str>) {
    let ServiceKey { namespace, hostname } = value;
    (namespace, hostname)
}
pub fn fields_of_service_spec(
    value: ServiceSpec,
) -> (
    Arc<str>,
    Arc<str>,
    Arc<str>,
    Vec<NetworkAddress>,
    Vec<NetworkCidr>,
    PortMap,
    BTreeMap<Arc<str>, Unread>,
    Vec<Arc<str>>,
    Option<GatewayAddress>,
    Vec<WeightedWaypoint>,
    Option<LoadBalancer>,
    Option<IpFamilies>,
    bool,
    Visibility,
) {
    let ServiceSpec {
        name,
        namespace,
        hostname,
        vips,
        cidr_vips,
        ports,
        endpoints,
        subject_alt_names,
        waypoint,
        weighted_waypoints,
        load_balancer,
        ip_families,
        canonical,
        visibility,
    } = value;
    (
        name,
        namespace,
        hostname,
        vips,
        cidr_vips,
        ports,
        endpoints,
        subject_alt_names,
        waypoint,
        weighted_waypoints,
        load_balancer,
        ip_families,
        canonical,
        visibility,
    )
}
pub type SnapshotIs = Snapshot;
const _: fn(&Snapshot, Delta) -> (Snapshot, Changed) = Snapshot::apply;
const _: fn() -> Snapshot = Snapshot::new;
const _: fn(MeshFile) -> Result<Snapshot, MeshError> = Snapshot::from_file;
const _: fn(&Snapshot) -> u64 = Snapshot::epoch;
const _: fn(&Snapshot, &Snapshot) -> bool = Snapshot::same_facts;
const _: fn(&Snapshot, &Snapshot) -> bool = Snapshot::is_identical_to;
const _: fn(&Snapshot, &Snapshot) -> Delta = Snapshot::delta_to;
const _: fn(&Snapshot, &Snapshot) -> Changed = Snapshot::diff_to;
const _: for<'a> fn(&'a Snapshot, &str) -> Option<&'a Arc<Workload>> = Snapshot::workload;
const _: for<'a> fn(&'a Snapshot, &NetworkAddress) -> Option<&'a Arc<Workload>> = Snapshot::workload_at;
const _: for<'a> fn(&'a Snapshot, &ServiceKey) -> Option<&'a Arc<Service>> = Snapshot::service;
const _: for<'a> fn(&'a Snapshot, &str) -> &'a [Arc<Service>] = Snapshot::services_of_hostname;
const _: for<'a> fn(&'a Snapshot, &NetworkAddress, &str) -> Option<&'a Arc<Service>> = Snapshot::service_at;
const _: for<'a> fn(&'a Snapshot, &PolicyKey) -> Option<&'a PolicyEntry> = Snapshot::policy;
pub type UidIs = Uid;
const _: fn(&Uid) -> &str = Uid::as_str;
const _: fn(&Uid) -> bool = Uid::is_pod;
pub type UnreadIs = Unread;
pub fn fields_of_weighted_waypoint(value: WeightedWaypoint) -> (GatewayAddress, u32) {
    let WeightedWaypoint { destination, weight } = value;
    (destination, weight)
}
pub fn fields_of_workload(
    value: Workload,
) -> (
    Uid,
    Arc<str>,
    SpiffeId,
    Arc<str>,
    Box<[IpAddr]>,
    TunnelProtocol,
    NetworkMode,
    HealthStatus,
    u32,
    Box<[(ServiceKey, PortMap)]>,
    Box<[PolicyKey]>,
    Option<Box<GatewayAddress>>,
    Option<Box<GatewayAddress>>,
    Option<ApplicationTunnel>,
    Arc<About>,
) {
    let Workload {
        uid,
        name,
        identity,
        network,
        ips,
        protocol,
        network_mode,
        status,
        capacity,
        services,
        authorization_policies,
        waypoint,
        network_gateway,
        application_tunnel,
        about,
    } = value;
    (
        uid,
        name,
        identity,
        network,
        ips,
        protocol,
        network_mode,
        status,
        capacity,
        services,
        authorization_policies,
        waypoint,
        network_gateway,
        application_tunnel,
        about,
    )
}
const _: fn(&Workload) -> &SpiffeId = Workload::identity;
const _: fn(&Workload) -> &str = Workload::namespace;
const _: for<'a> fn(&'a Workload, &ServiceKey) -> Option<&'a PortMap> = Workload::service_ports;
const _: fn(&Workload, IpAddr) -> bool = Workload::has_ip;
pub fn fields_of_workload_spec(
    value: WorkloadSpec,
) -> (
    Arc<str>,
    Arc<str>,
    Arc<str>,
    Arc<str>,
    Arc<str>,
    Arc<str>,
    Vec<IpAddr>,
    TunnelProtocol,
    NetworkMode,
    HealthStatus,
    u32,
    BTreeMap<ServiceKey, PortMap>,
    Vec<PolicyKey>,
    Option<GatewayAddress>,
    Option<GatewayAddress>,
    Option<ApplicationTunnel>,
    Arc<str>,
    Arc<str>,
    Locality,
    Arc<str>,
    Arc<str>,
    WorkloadType,
    Arc<str>,
    Arc<str>,
    bool,
) {
    let WorkloadSpec {
        uid,
        name,
        namespace,
        trust_domain,
        service_account,
        network,
        workload_ips,
        protocol,
        network_mode,
        status,
        capacity,
        services,
        authorization_policies,
        waypoint,
        network_gateway,
        application_tunnel,
        node,
        cluster_id,
        locality,
        hostname,
        workload_name,
        workload_type,
        canonical_name,
        canonical_revision,
        native_tunnel,
    } = value;
    (
        uid,
        name,
        namespace,
        trust_domain,
        service_account,
        network,
        workload_ips,
        protocol,
        network_mode,
        status,
        capacity,
        services,
        authorization_policies,
        waypoint,
        network_gateway,
        application_tunnel,
        node,
        cluster_id,
        locality,
        hostname,
        workload_name,
        workload_type,
        canonical_name,
        canonical_revision,
        native_tunnel,
    )
}
const _: fn(&mut Delta, Arc<Workload>) = Delta::upsert_workload;
const _: fn(&mut Delta, Arc<Service>) = Delta::upsert_service;
const _: fn(&mut Delta, Arc<Policy>) = Delta::upsert_policy;
const _: fn(&mut Delta, PolicyKey, Option<Scope>, &'static str) = Delta::undecodable_policy;
pub type InternerIs = Interner;
const _: fn() -> Interner = Interner::new;
const _: fn(&mut Interner, Delta) -> Delta = Interner::share;
const _: fn(&'static str, &'static str) -> PolicyKey = PolicyKey::new;
const _: fn(&'static str, &'static str) -> ServiceKey = ServiceKey::new;
const _: fn(&'static str) -> Uid = Uid::new;

pub fn identities(service: &Service) -> impl Iterator<Item = SpiffeId> {
    Service::identities(service)
}

pub fn workloads(snapshot: &Snapshot) -> impl ExactSizeIterator<Item = &Arc<Workload>> {
    Snapshot::workloads(snapshot)
}

pub fn services(snapshot: &Snapshot) -> impl ExactSizeIterator<Item = &Arc<Service>> {
    Snapshot::services(snapshot)
}

pub fn endpoints<'a>(snapshot: &'a Snapshot, key: &ServiceKey) -> impl Iterator<Item = &'a Arc<Workload>> {
    Snapshot::endpoints(snapshot, key)
}

pub fn instances<'a>(
    snapshot: &'a Snapshot,
    namespace: &'a str,
    name: &'a str,
    service_account: &'a str,
) -> impl Iterator<Item = &'a Arc<Workload>> {
    Snapshot::instances(snapshot, namespace, name, service_account)
}

pub fn policies(snapshot: &Snapshot) -> impl ExactSizeIterator<Item = (&PolicyKey, &PolicyEntry)> {
    Snapshot::policies(snapshot)
}

pub fn policies_for<'a>(
    snapshot: &'a Snapshot,
    workload: &'a Workload,
) -> impl Iterator<Item = (&'a PolicyKey, Option<&'a PolicyEntry>)> {
    Snapshot::policies_for(snapshot, workload)
}

pub fn workloads_naming<'a>(snapshot: &'a Snapshot, key: &'a PolicyKey) -> impl Iterator<Item = &'a Uid> {
    Snapshot::workloads_naming(snapshot, key)
}
pub fn waypoints(service: &Service) -> impl Iterator<Item = &GatewayAddress> {
    Service::waypoints(service)
}
