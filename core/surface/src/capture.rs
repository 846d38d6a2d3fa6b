//! `culvert_core::capture`.

use culvert_core::balance::Seen;
use culvert_core::capture::{
    Captured, Decision, InboundFault, InboundTarget, Local, LocalTo, Need, OWN_PORTS, Resolved, RouteFault,
    TunnelTo, inbound_connect, inbound_need, inbound_plaintext, may_pass, must_pass, outbound,
    outbound_seeing,
};
use culvert_core::hbone::connect::Authority;
use culvert_core::identity::SpiffeId;
use culvert_core::mesh::Destination;
use culvert_core::mesh::Service;
use culvert_core::mesh::Snapshot;
use culvert_core::mesh::Uid;
use culvert_core::mesh::Workload;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;

const _: [u16; 4] = OWN_PORTS;
pub fn cases_of_decision(value: Decision) -> &'static str {
    match value {
        Decision::Local(f0) => {
            let _: Box<LocalTo> = f0;
            "Local"
        }
        Decision::Passthrough { target } => {
            let _: SocketAddr = target;
            "Passthrough"
        }
        Decision::Plaintext { target, destination, service } => {
            let _: SocketAddr = target;
            let _: Arc<Workload> = destination;
            let _: Option<Arc<Service>> = service;
            "Plaintext"
        }
        Decision::Refuse(f0) => {
            let _: RouteFault = f0;
            "Refuse"
        }
        Decision::Tunnel(f0) => {
            let _: Box<TunnelTo> = f0;
            "Tunnel"
        }
        Decision::Wait(f0) => {
            let _: Need = f0;
            "Wait"
        }
    }
}
pub fn cases_of_inbound_fault(value: InboundFault) -> &'static str {
    match value {
        InboundFault::BadAuthority => "BadAuthority",
        InboundFault::ForbiddenAddress => "ForbiddenAddress",
        InboundFault::IpMismatch => "IpMismatch",
        InboundFault::NoServicePort => "NoServicePort",
        InboundFault::OwnPort => "OwnPort",
        InboundFault::UnknownHost => "UnknownHost",
        InboundFault::UnknownWorkload => "UnknownWorkload",
    }
}
const _: fn(InboundFault) -> u16 = InboundFault::status;
const _: fn(InboundFault) -> &'static str = InboundFault::label;
pub fn cases_of_need(value: Need) -> &'static str {
    match value {
        Need::Resolve { host } => {
            let _: Arc<str> = host;
            "Resolve"
        }
        Need::Facts { name } => {
            let _: Destination = name;
            "Facts"
        }
    }
}
pub fn cases_of_route_fault(value: RouteFault) -> &'static str {
    match value {
        RouteFault::NoAddress => "NoAddress",
        RouteFault::NoGateway => "NoGateway",
        RouteFault::NoHealthyEndpoint => "NoHealthyEndpoint",
        RouteFault::NoIdentity => "NoIdentity",
        RouteFault::NoServicePort => "NoServicePort",
        RouteFault::NoWaypoint => "NoWaypoint",
        RouteFault::NotByService => "NotByService",
        RouteFault::OwnPort => "OwnPort",
        RouteFault::SelfCall => "SelfCall",
        RouteFault::Unroutable => "Unroutable",
    }
}
const _: fn(RouteFault) -> &'static str = RouteFault::label;
const _: fn(
    &Snapshot,
    &Local,
    &Arc<Workload>,
    SocketAddr,
    &Authority,
) -> Result<InboundTarget, InboundFault> = inbound_connect;
const _: fn(&Snapshot, &Local, &Workload, Option<&Authority>) -> Option<Need> = inbound_need;
const _: fn(&Local, &Arc<Workload>, SocketAddr) -> Result<InboundTarget, InboundFault> = inbound_plaintext;
const _: fn(&Snapshot, &Local, &Workload, u16, Option<(&SpiffeId, IpAddr)>) -> bool = may_pass;
const _: fn(&Snapshot, &Local, &Workload) -> bool = must_pass;
const _: fn(&Snapshot, &Local, &Captured<'_>, u64) -> Decision = outbound;
const _: fn(&Snapshot, &Local, &Captured<'_>, &Seen<'_>, u64) -> Decision = outbound_seeing;
pub fn fields_of_captured<'a>(
    value: Captured<'a>,
) -> (&'a Workload, SocketAddr, SocketAddr, Option<&'a Resolved>) {
    let Captured { source, peer, original, resolved } = value;
    (source, peer, original, resolved)
}
pub fn fields_of_inbound_target(
    value: InboundTarget,
) -> (SocketAddr, SocketAddr, Arc<Workload>, Option<Arc<Service>>, Option<SocketAddr>, bool) {
    let InboundTarget { target, dial, workload, service, shown, for_another } = value;
    (target, dial, workload, service, shown, for_another)
}
pub fn fields_of_local(
    value: Local,
) -> (Arc<str>, BTreeSet<u16>, BTreeSet<Uid>, [bool; 3], u16, Option<BTreeSet<Destination>>) {
    let Local {
        network,
        own_ports,
        workloads,
        same_node,
        hbone_port,
        require_waypoint,
        loopback_tunnel,
        answered,
    } = value;
    (network, own_ports, workloads, [same_node, require_waypoint, loopback_tunnel], hbone_port, answered)
}
const _: fn(&Local, &Destination) -> bool = Local::may_exist;
const _: fn(&Local, u16) -> bool = Local::is_own_port;
pub fn fields_of_local_to(value: LocalTo) -> (SocketAddr, Arc<Workload>, Option<Arc<Service>>) {
    let LocalTo { target, destination, service } = value;
    (target, destination, service)
}
pub fn fields_of_resolved(value: Resolved) -> (Arc<str>, Vec<IpAddr>) {
    let Resolved { host, addresses } = value;
    (host, addresses)
}
pub fn fields_of_tunnel_to(
    value: TunnelTo,
) -> (SocketAddr, Authority, Vec<SpiffeId>, Arc<Workload>, Option<Arc<Service>>, Option<Vec<SpiffeId>>) {
    let TunnelTo { peer, authority, expected, destination, service, inner } = value;
    (peer, authority, expected, destination, service, inner)
}
