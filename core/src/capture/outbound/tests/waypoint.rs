//! Waypoints of services and of workloads (node.md rows 53 and 57).

use super::*;
use crate::mesh::{Destination, GatewayAddress};

fn facts(text: &str) -> Snapshot {
    Snapshot::from_file(serde_saphyr::from_str::<MeshFile>(text).unwrap()).unwrap()
}

const WORLD: &str = r#"
workloads:
- {uid: c//Pod/n/client, name: client, namespace: n, workloadIps: [10.0.0.1, "2001:db8::1"], protocol: HBONE}
- {uid: c//Pod/n/web, name: web, namespace: n, workloadIps: [10.0.0.2], protocol: HBONE, services: {n/web: {}, n/mixed: {}, n/none: {}, n/old: {}}}
- {uid: c//Pod/n/byip, name: byip, namespace: n, workloadIps: [10.0.0.3], protocol: HBONE, waypoint: {destination: /10.0.0.21}}
- {uid: c//Pod/n/byvip, name: byvip, namespace: n, workloadIps: [10.0.0.4], protocol: HBONE, waypoint: {destination: /10.96.9.1}}
- {uid: c//Pod/n/byname, name: byname, namespace: n, workloadIps: [10.0.0.5], protocol: HBONE, waypoint: {destination: m/way, hboneMtlsPort: 15018}}
- {uid: c//Pod/n/plain, name: plain, namespace: n, workloadIps: [10.0.0.6], waypoint: {destination: /10.0.0.21}}
- {uid: c//Pod/n/nobody, name: nobody, namespace: n, workloadIps: [10.0.0.7], protocol: HBONE, waypoint: {destination: /10.0.0.99}}
- {uid: c//Pod/n/gone, name: gone, namespace: n, workloadIps: [10.0.0.8], protocol: HBONE, waypoint: {destination: m/gone}}
- {uid: c//Pod/n/sick, name: sick, namespace: n, workloadIps: [10.0.0.9], protocol: HBONE, waypoint: {destination: m/sick}}
- {uid: c//Pod/n/away, name: away, namespace: n, workloadIps: [10.0.0.10], protocol: HBONE, waypoint: {destination: far/10.0.0.21}}
- {uid: c//Pod/n/odd, name: odd, namespace: n, workloadIps: [10.0.0.11], protocol: HBONE, waypoint: {destination: /10.0.0.21, hboneMtlsPort: 15006}}
- {uid: c//Pod/n/way, name: way, namespace: n, serviceAccount: way, workloadIps: [10.0.0.21], waypoint: {destination: m/way}}
- {uid: c//Pod/m/way1, name: way1, namespace: m, serviceAccount: way1, workloadIps: [10.0.0.22, "2001:db8::22"], protocol: HBONE, services: {m/way: {}}}
- {uid: c//Pod/n/spare, name: spare, namespace: n, serviceAccount: spare, workloadIps: [10.0.0.23], protocol: HBONE}
- {uid: c//Pod/n/twin, name: twin, namespace: n, serviceAccount: way, workloadIps: [10.0.0.24], protocol: HBONE}
- {uid: c//Pod/m/sick1, name: sick1, namespace: m, workloadIps: [10.0.0.25], protocol: HBONE, status: Unhealthy, services: {m/sick: {}}}
services:
- {name: way, namespace: m, hostname: way, vips: [/10.96.9.1], subjectAltNames: [spiffe://other/ns/m/sa/x]}
- {name: gone, namespace: m, hostname: gone, vips: [/10.96.9.2]}
- {name: sick, namespace: m, hostname: sick, vips: [/10.96.9.3]}
- {name: web, namespace: n, hostname: web, vips: [/10.96.0.1, "/2001:db8:f::1"], ports: {80: 8080}, waypoint: {destination: m/way}}
- {name: mixed, namespace: n, hostname: mixed, vips: [/10.96.0.2], ports: {80: 8080}, waypoint: {destination: m/gone}, weightedWaypoints: [{destination: {destination: /10.0.0.21}, weight: 1}, {destination: {destination: m/gone}, weight: 0}, {destination: {destination: /10.0.0.23}, weight: 3}]}
- {name: none, namespace: n, hostname: none, vips: [/10.96.0.3], ports: {80: 8080}, waypoint: {destination: m/way}, weightedWaypoints: [{destination: {destination: m/way}, weight: 0}]}
- {name: open, namespace: n, hostname: open, cidrVips: [/198.51.100.0/24], ports: {80: 80}, waypoint: {destination: m/way}, loadBalancer: {mode: Passthrough}}
"#;

fn from(source: &str, original: &str) -> String {
    line(&decide(&world_of_waypoints(), &local_of_waypoints(), source, original, 0))
}

fn world_of_waypoints() -> Snapshot {
    facts(WORLD)
}

/// Waypoints and what is behind them are on the client's node.
fn local_of_waypoints() -> Local {
    let workloads = world_of_waypoints().workloads().map(|workload| workload.uid.clone()).collect();
    Local { workloads, ..Local::default() }
}

#[test]
fn a_waypoint_is_asked_for_what_the_application_asked_for() {
    let rows = [
        // Of a workload, named in each way.
        ("10.0.0.3:81", "tunnel 10.0.0.21:15008 10.0.0.3:81 way"),
        ("10.0.0.4:81", "tunnel 10.0.0.22:15008 10.0.0.4:81 way1"),
        ("10.0.0.5:81", "tunnel 10.0.0.22:15018 10.0.0.5:81 way1"),
        // What takes no tunnel itself is behind its waypoint as well.
        ("10.0.0.6:81", "tunnel 10.0.0.21:15008 10.0.0.6:81 way"),
        // Of a service; which ports it has is the waypoint's to know.
        ("10.96.0.1:80", "tunnel 10.0.0.22:15008 10.96.0.1:80 way1 n/web"),
        ("10.96.0.1:81", "tunnel 10.0.0.22:15008 10.96.0.1:81 way1 n/web"),
        ("[2001:db8:f::1]:80", "tunnel [2001:db8::22]:15008 [2001:db8:f::1]:80 way1 n/web"),
        ("198.51.100.7:99", "tunnel 10.0.0.22:15008 198.51.100.7:99 way1 n/open"),
        // An endpoint that is named by its own address has no waypoint of its own.
        ("10.0.0.2:80", "local 10.0.0.2:80 web"),
        // Nobody is there, or nobody who is ready: never past it.
        ("10.0.0.7:80", "refuse no_waypoint"),
        ("10.0.0.8:80", "refuse no_waypoint"),
        ("10.0.0.9:80", "refuse no_waypoint"),
        ("10.0.0.10:80", "refuse no_waypoint"),
        ("10.0.0.11:80", "refuse own_port"),
        ("10.96.0.3:80", "refuse no_waypoint"),
    ];
    for (original, expected) in rows {
        assert_eq!(from("client", original), expected, "{original}");
    }
}

#[test]
fn a_waypoint_reaches_what_is_behind_it_by_identity_and_address() {
    assert_eq!(from("way", "10.0.0.3:81"), "local 10.0.0.3:81 byip");
    // It has the waypoint's identity at another address.
    assert_eq!(from("twin", "10.0.0.3:81"), "tunnel 10.0.0.21:15008 10.0.0.3:81 way");
    assert_eq!(from("way", "10.0.0.4:81"), "tunnel 10.0.0.22:15008 10.0.0.4:81 way1");
    // A waypoint of a service, too, whatever its share, and by each of its addresses.
    assert_eq!(from("way", "10.96.0.2:80"), "local 10.0.0.2:8080 web n/mixed");
    assert_eq!(from("spare", "10.96.0.2:80"), "local 10.0.0.2:8080 web n/mixed");
    assert_eq!(from("spare", "10.96.0.1:80"), "tunnel 10.0.0.22:15008 10.96.0.1:80 way1 n/web");
    let snapshot = world_of_waypoints();
    let source = snapshot.workload("c//Pod/m/way1").unwrap();
    for (peer, direct) in
        [("10.0.0.22:9", true), ("[2001:db8::22]:9", true), ("127.0.0.1:9", true), ("10.0.0.21:9", false)]
    {
        let captured =
            Captured { source, peer: socket(peer), original: socket("10.96.0.1:80"), resolved: None };
        let decision = outbound(&snapshot, &Local::default(), &captured, 0);
        assert_eq!(line(&decision).contains(" web "), direct, "{peer}");
    }
}

#[test]
fn a_waypoints_own_waypoint_is_not_followed() {
    // What is named itself has one, as any workload may.
    assert_eq!(from("client", "10.0.0.21:80"), "tunnel 10.0.0.22:15008 10.0.0.21:80 way1");
    assert_eq!(from("client", "10.0.0.3:80"), "tunnel 10.0.0.21:15008 10.0.0.3:80 way");
}

#[test]
fn the_peer_is_the_waypoint_that_was_chosen_or_what_its_service_names() {
    let expected = |original| match decide(&world_of_waypoints(), &Local::default(), "client", original, 0) {
        Decision::Tunnel(to) => to.expected.iter().map(ToString::to_string).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(expected("10.0.0.3:80"), ["spiffe://cluster.local/ns/n/sa/way"]);
    let both = ["spiffe://cluster.local/ns/m/sa/way1", "spiffe://other/ns/m/sa/x"];
    assert_eq!(expected("10.0.0.4:80"), both);
    assert_eq!(expected("10.96.0.1:80"), both);
}

#[test]
fn connections_are_shared_out_among_waypoints_by_weight_and_endpoints_independently() {
    let snapshot = facts(
        r#"
workloads:
- {uid: c//Pod/n/client, name: client, namespace: n, workloadIps: [10.0.0.1]}
- {uid: a0, name: a0, namespace: n, workloadIps: [10.1.0.1], services: {n/a: {}}}
- {uid: a1, name: a1, namespace: n, workloadIps: [10.1.0.2], services: {n/a: {}}}
- {uid: b0, name: b0, namespace: n, workloadIps: [10.1.0.3], services: {n/b: {}}}
- {uid: b1, name: b1, namespace: n, workloadIps: [10.1.0.4], services: {n/b: {}}}
services:
- {name: a, namespace: n, hostname: a}
- {name: b, namespace: n, hostname: b}
- {name: s, namespace: n, hostname: s, vips: [/10.96.0.1], ports: {80: 80}, weightedWaypoints: [{destination: {destination: n/a}, weight: 1}, {destination: {destination: n/b}, weight: 3}]}
"#,
    );
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    const DRAWS: u64 = 4096;
    for draw in 0..DRAWS {
        match decide(&snapshot, &Local::default(), "client", "10.96.0.1:80", draw * (u64::MAX / DRAWS)) {
            Decision::Tunnel(to) => *seen.entry(to.destination.name.to_string()).or_default() += 1,
            other => panic!("{other:?}"),
        }
    }
    for (name, due) in [("a0", 512), ("a1", 512), ("b0", 1536), ("b1", 1536)] {
        let found = seen[name];
        assert!(found.abs_diff(due) < 120, "{name}: {found} of {DRAWS}, not about {due}");
    }
}

/// Who stands at a waypoint's address, found without an index.
fn stands_at<'a>(
    snapshot: &'a Snapshot,
    waypoint: &'a GatewayAddress,
) -> impl Iterator<Item = &'a Arc<Workload>> {
    let of_service = |workload: &Workload, service: &Service| workload.service_ports(&service.key).is_some();
    snapshot.workloads().filter(move |workload| match &waypoint.destination {
        Destination::Address(at) => {
            (*at.network() == workload.network && workload.has_ip(at.ip()))
                || snapshot
                    .services()
                    .filter(|service| {
                        service.vips.contains(at)
                            || service
                                .cidr_vips
                                .iter()
                                .any(|range| range.network == *at.network() && range.cidr.contains(at.ip()))
                    })
                    .any(|service| of_service(workload, service))
        }
        Destination::Service(key) => workload.service_ports(key).is_some(),
    })
}

quickcheck! {
    /// S19: whatever the facts, what is behind a waypoint is reached by that waypoint, or through it, or not at all.
    fn nothing_goes_past_a_waypoint(case: Case, draw: u64) -> bool {
        let decision = case.decide(draw);
        let address = NetworkAddress::new(case.local.network.clone(), case.original.ip());
        let waypoints: Vec<&GatewayAddress> = match case.snapshot.workload_at(&address) {
            Some(destination) => destination.waypoint.as_deref().into_iter().collect(),
            None => case.snapshot.service_at(&address, case.source.namespace()).into_iter().flat_map(|service| service.waypoints()).collect(),
        };
        let peer = case.peer.ip();
        let is_there = |workload: &Workload| workload.has_ip(peer) || (peer.is_loopback() && case.source.ips.iter().any(|ip| workload.has_ip(*ip)));
        let is_source = |workload: &Arc<Workload>| workload.identity() == case.source.identity() && is_there(workload);
        let is_one = waypoints.iter().any(|waypoint| stands_at(&case.snapshot, waypoint).any(is_source));
        if waypoints.is_empty() || is_one {
            return true;
        }
        match &decision {
            Decision::Refuse(_) | Decision::Wait(_) => true,
            Decision::Tunnel(to) if to.inner.is_some() => to.service.is_some(),
            Decision::Tunnel(to) => {
                to.authority == Authority::ip(case.original)
                    && waypoints.iter().any(|waypoint| stands_at(&case.snapshot, waypoint).any(|workload| workload.uid == to.destination.uid))
            }
            Decision::Local(_) | Decision::Passthrough { .. } | Decision::Plaintext { .. } => false,
        }
    }
}
