//! Capture decisions: there is always one, it does not depend on the order in which facts came, and what it dials is
//! confined (S11, S18, S19; attacks A22 and A23).
#![no_main]

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use culvert_core::capture::{
    Captured, Decision, InboundTarget, Local, Need, OWN_PORTS, Resolved, TunnelTo, inbound_connect,
    inbound_plaintext, outbound,
};
use culvert_core::hbone::connect::Authority;
use culvert_core::mesh::{NetworkAddress, Service, Snapshot, TunnelProtocol, TunnelledApplication, Workload};
use culvert_fuzz::{facts, input};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(body) = input::body(data) {
        let _ = run(&mut Unstructured::new(body));
    }
});

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let deltas = facts::deltas(u, 8)?;
    let snapshot = deltas.iter().fold(Snapshot::new(), |world, delta| world.apply(delta.clone()).0);
    // The same world, come about in one step and from the facts alone.
    let other = Snapshot::new().apply(Snapshot::new().delta_to(&snapshot)).0;
    assert!(snapshot.same_facts(&other));

    let known: Vec<Arc<Workload>> = snapshot.workloads().cloned().collect();
    let source = if known.is_empty() { Arc::new(facts::workload(u)?) } else { u.choose(&known)?.clone() };
    let local = Local {
        workloads: known.iter().step_by(2).map(|workload| workload.uid.clone()).collect(),
        same_node: u.arbitrary()?,
        hbone_port: *u.choose(&[15008, 15008, 4433])?,
        ..Local::default()
    };
    let (peer, original, draw) = (facts::socket(u)?, facts::socket(u)?, u.arbitrary()?);
    let captured = Captured { source: &source, peer, original, resolved: None };
    let mut decision = outbound(&snapshot, &local, &captured, draw);
    assert_eq!(decision, outbound(&other, &local, &captured, draw), "the history of facts decided");
    assert_eq!(decision, asking(&snapshot, &local, &captured, draw), "that facts are asked for decided");
    if let Decision::Wait(Need::Resolve { host }) = decision {
        let resolved = Resolved { host, addresses: vec![facts::ip(u)?, facts::ip(u)?] };
        let again = Captured { resolved: Some(&resolved), ..captured };
        decision = outbound(&snapshot, &local, &again, draw);
        assert!(!matches!(decision, Decision::Wait(_)), "what was answered is asked again");
        resolved_goes_to_an_answer(&decision, &resolved);
    }
    check_outbound(&decision, &snapshot, &local, &captured);
    check_waypoint(&decision, &snapshot, &local, &captured);

    let authority = match u.int_in_range(0..=2)? {
        0 => Authority::Host { host: facts::host(u)?.into(), port: facts::socket(u)?.port() },
        1 => Authority::Ip(facts::socket(u)?),
        _ => Authority::ip(facts::socket(u)?),
    };
    if let Ok(found) = inbound_connect(&snapshot, &local, &source, original, &authority) {
        check_inbound(&found, &local, &source, original.ip());
        check_requested(&found, &snapshot, &authority);
    }
    if let Ok(found) = inbound_plaintext(&local, &source, original) {
        check_inbound(&found, &local, &source, original.ip());
        assert_eq!(found.target, canonical(original));
    }
    Ok(())
}

/// What is decided where facts come when they are asked for, once all that was asked for has been answered.
fn asking(snapshot: &Snapshot, local: &Local, captured: &Captured<'_>, draw: u64) -> Decision {
    let mut local = Local { answered: Some(BTreeSet::new()), ..local.clone() };
    loop {
        match outbound(snapshot, &local, captured, draw) {
            Decision::Wait(Need::Facts { name }) => {
                let is_new = local.answered.get_or_insert_default().insert(name);
                assert!(is_new, "what was answered is asked for again");
            }
            decision => return decision,
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn is_own_port(local: &Local, port: u16) -> bool {
    OWN_PORTS.contains(&port) || port == local.hbone_port
}

/// Loopback, link-local with its metadata servers, multicast, broadcast, unspecified.
fn is_no_workloads(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.octets()[0] == 0
        }
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified()
        }
    }
}

fn check_outbound(decision: &Decision, snapshot: &Snapshot, local: &Local, captured: &Captured<'_>) {
    match decision {
        Decision::Passthrough { target } => {
            assert_eq!(*target, canonical(captured.original), "passthrough goes where it was sent");
            assert!(!target.ip().is_unspecified() && !target.ip().is_multicast() && target.port() != 0);
            assert!(!is_own_port(local, target.port()), "{target} is a port of the proxy");
        }
        Decision::Plaintext { target, destination, service } => {
            assert_eq!(
                destination.protocol,
                TunnelProtocol::Tcp,
                "no plain text where a tunnel is due (S10)"
            );
            check_reached(*target, destination, service.as_ref(), local);
        }
        Decision::Local(to) => {
            assert!(local.same_node && local.workloads.contains(&to.destination.uid));
            check_reached(to.target, &to.destination, to.service.as_ref(), local);
        }
        Decision::Tunnel(to) => check_tunnel(to, snapshot, local, captured),
        Decision::Refuse(_) | Decision::Wait(_) => {}
    }
}

/// Whether a waypoint stands before what the application asked for.
fn is_behind_waypoint(snapshot: &Snapshot, local: &Local, captured: &Captured<'_>) -> bool {
    let at = NetworkAddress::new(local.network.clone(), captured.original.ip());
    match snapshot.workload_at(&at) {
        Some(workload) => workload.waypoint.is_some(),
        None => {
            let service = snapshot.service_at(&at, captured.source.namespace());
            service.is_some_and(|service| service.has_waypoint())
        }
    }
}

/// Nothing goes past a waypoint but from one that has its identity (S19).
fn check_waypoint(decision: &Decision, snapshot: &Snapshot, local: &Local, captured: &Captured<'_>) {
    let is_twin = |workload: &&Arc<Workload>| {
        let peer = captured.peer.ip().to_canonical();
        let own = peer.is_loopback() && captured.source.ips.iter().any(|ip| workload.has_ip(*ip));
        workload.identity() == captured.source.identity() && (own || workload.has_ip(peer))
    };
    if !is_behind_waypoint(snapshot, local, captured)
        || snapshot.workloads().any(|workload| is_twin(&workload))
    {
        return;
    }
    match decision {
        Decision::Refuse(_) | Decision::Wait(_) => {}
        Decision::Tunnel(to) if to.inner.is_some() => {}
        Decision::Tunnel(to) => assert_eq!(to.authority, Authority::ip(captured.original), "{to:?}"),
        past => panic!("past a waypoint: {past:?}"),
    }
}

fn check_tunnel(to: &TunnelTo, snapshot: &Snapshot, local: &Local, captured: &Captured<'_>) {
    let original = canonical(captured.original);
    // Where the application asked for an address of the waypoint itself, that is where the tunnel goes.
    let to_waypoint =
        |target: SocketAddr| target == original && is_behind_waypoint(snapshot, local, captured);
    assert!(to.expected.is_sorted() && to.expected.contains(to.destination.identity()));
    assert_ne!(to.peer.port(), 0);
    let special = [15001, 15006, 15080].contains(&to.peer.port());
    assert!(!special, "{} takes no tunnels", to.peer);
    match (&to.authority, &to.inner, &to.service) {
        (Authority::Host { host, port }, Some(inner), Some(service)) => {
            assert!(!inner.is_empty() && inner.is_sorted(), "anybody could answer in the other network");
            assert_eq!((host, *port), (&service.key.hostname, captured.original.port()));
        }
        (Authority::Ip(target), None, _) if target.ip() == to.peer.ip() && !to_waypoint(*target) => {
            assert_eq!(to.destination.protocol, TunnelProtocol::Hbone);
            assert_eq!(to.peer.port(), local.hbone_port);
            let own = to.destination.identity();
            let alternatives: Vec<_> = to.service.iter().flat_map(|service| service.identities()).collect();
            assert!(to.expected.iter().all(|id| id == own || alternatives.contains(id)));
            check_reached(*target, &to.destination, to.service.as_ref(), local);
        }
        // A waypoint is asked for what the application asked for.
        (Authority::Ip(target), None, service) => {
            assert_eq!(*target, original);
            assert_eq!(to.destination.network, local.network);
            assert!(service.as_ref().is_none_or(|service| service.has_waypoint()));
        }
        (authority, inner, service) => panic!("{authority} with {inner:?} for {service:?}"),
    }
}

/// What is dialled is a port of the destination's own, and never of the proxy.
fn check_reached(target: SocketAddr, destination: &Workload, service: Option<&Arc<Service>>, local: &Local) {
    assert!(!is_own_port(local, target.port()), "{target} is a port of the proxy");
    assert_ne!(target.port(), 0, "{target}");
    assert_eq!(destination.network, local.network, "{target} is in another network");
    if destination.ips.is_empty() {
        assert!(!destination.about.hostname.is_empty() && !is_no_workloads(target.ip()), "{target}");
    } else {
        assert!(destination.has_ip(target.ip()), "{target} is not {}", destination.uid);
    }
    match service {
        Some(service) => {
            assert!(destination.service_ports(&service.key).is_some(), "{} is no endpoint", destination.uid);
        }
        None => assert!(destination.has_ip(target.ip())),
    }
}

fn resolved_goes_to_an_answer(decision: &Decision, resolved: &Resolved) {
    let target = match decision {
        Decision::Plaintext { target, .. } => *target,
        Decision::Local(to) => to.target,
        Decision::Tunnel(to) => to.peer,
        Decision::Passthrough { .. } => panic!("an endpoint's name became the client's own target"),
        Decision::Refuse(_) | Decision::Wait(_) => return,
    };
    assert!(resolved.addresses.iter().any(|ip| ip.to_canonical() == target.ip()));
}

/// Confinement: a workload's tunnel dials that workload, at the address it was opened to.
fn check_inbound(found: &InboundTarget, local: &Local, workload: &Arc<Workload>, tcp_destination: IpAddr) {
    assert_eq!(found.workload, *workload);
    assert_eq!(found.target.ip(), tcp_destination.to_canonical());
    assert!(workload.has_ip(found.target.ip()), "{} is not {}", found.target, workload.uid);
    assert!(!is_own_port(local, found.target.port()), "{} is a port of the proxy", found.target);
    assert_ne!(found.target.port(), 0);
}

/// Whoever asks for another address or name than the workload's own must be asking one that stands before others.
fn check_requested(found: &InboundTarget, snapshot: &Snapshot, authority: &Authority) {
    let workload = &found.workload;
    let tunnel = workload.application_tunnel;
    let is_told = tunnel.is_some_and(|tunnel| tunnel.protocol == TunnelledApplication::Proxy);
    assert_eq!(found.shown.is_some(), is_told);
    let at_home = found.dial.ip().is_loopback() && is_told;
    assert!(found.dial == found.target || (at_home && found.dial.port() == found.target.port()));
    match authority {
        Authority::Ip(address) if address.ip().to_canonical() == found.target.ip() => {
            assert!(found.service.is_none());
            assert!(
                found.target.port() == address.port()
                    || tunnel.is_some_and(|t| t.port == found.target.port())
            );
        }
        Authority::Ip(address) => {
            assert!(!is_no_workloads(address.ip()), "{address} was asked for");
            let stands_before = snapshot.workloads().any(|w| w.waypoint.is_some())
                || snapshot.services().any(|service| service.has_waypoint());
            assert!(tunnel.is_some() || stands_before, "{address} is not {}", workload.uid);
        }
        Authority::Host { host, .. } => {
            let service = found.service.as_ref().expect("a name is a service's");
            assert_eq!(service.key.hostname, *host);
            let may =
                workload.service_ports(&service.key).is_some() || tunnel.is_some() || service.has_waypoint();
            assert!(may, "{} has nothing to do with {host}", workload.uid);
        }
    }
}
