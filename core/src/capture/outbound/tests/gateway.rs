//! Other networks, through their gateways (node.md rows 53 and 61).

use super::*;

const WORLD: &str = r#"
workloads:
- {uid: c//Pod/n/client, name: client, namespace: n, workloadIps: [10.0.0.1], protocol: HBONE}
- {uid: c//Pod/n/web, name: web, namespace: n, serviceAccount: web, network: far, workloadIps: [10.0.0.2], protocol: HBONE, services: {n/web: {}, n/both: {}}, networkGateway: {destination: far/172.16.0.1}}
- {uid: c//Pod/n/web2, name: web2, namespace: n, serviceAccount: web2, network: far, workloadIps: [10.0.0.3], protocol: HBONE, status: Unhealthy, services: {n/web: {}}, networkGateway: {destination: far/172.16.0.1}}
- {uid: split, name: split, namespace: n, network: far, services: {n/split: {}, n/unknown: {}}, networkGateway: {destination: g/gate, hboneMtlsPort: 15018}}
- {uid: lost, name: lost, namespace: n, network: far, workloadIps: [10.0.0.4], services: {n/lost: {}}}
- {uid: blind, name: blind, namespace: n, network: far, workloadIps: [10.0.0.5], services: {n/blind: {}}, networkGateway: {destination: far/172.16.0.99}}
- {uid: shut, name: shut, namespace: n, network: far, workloadIps: [10.0.0.6], services: {n/shut: {}}, networkGateway: {destination: g/shut}}
- {uid: named, name: named, namespace: n, network: far, workloadIps: [10.0.0.7], services: {n/named: {}}, networkGateway: {destination: g/named}}
- {uid: c//Pod/n/near, name: near, namespace: n, workloadIps: [10.0.0.8], protocol: HBONE, services: {n/both: {}}}
- {uid: c//Pod/n/behind, name: behind, namespace: n, workloadIps: [10.0.0.9], protocol: HBONE, waypoint: {destination: n/way}}
- {uid: c//Pod/n/way, name: way, namespace: n, serviceAccount: way, network: far, workloadIps: [10.0.0.10], protocol: HBONE, services: {n/way: {}}, networkGateway: {destination: far/172.16.0.1}}
- {uid: gate, name: gate, namespace: g, serviceAccount: gate, network: far, workloadIps: [172.16.0.1], protocol: HBONE, services: {g/gate: {}}}
- {uid: gate2, name: gate2, namespace: g, serviceAccount: gate2, network: far, workloadIps: [172.16.0.2], status: Unhealthy, services: {g/gate: {}, g/shut: {}}}
- {uid: gate3, name: gate3, namespace: g, network: far, hostname: gate.example, services: {g/named: {}}}
services:
- {name: web, namespace: n, hostname: web, vips: [/10.96.0.1], ports: {80: 8080}, subjectAltNames: [spiffe://other/ns/n/sa/x]}
- {name: split, namespace: n, hostname: split, vips: [/10.96.0.2], ports: {80: 8080}, subjectAltNames: [spiffe://other/ns/n/sa/x]}
- {name: unknown, namespace: n, hostname: unknown, vips: [/10.96.0.3], ports: {80: 8080}}
- {name: lost, namespace: n, hostname: lost, vips: [/10.96.0.4], ports: {80: 8080}}
- {name: blind, namespace: n, hostname: blind, vips: [/10.96.0.5], ports: {80: 8080}}
- {name: shut, namespace: n, hostname: shut, vips: [/10.96.0.6], ports: {80: 8080}}
- {name: named, namespace: n, hostname: named, vips: [/10.96.0.7], ports: {80: 8080}}
- {name: both, namespace: n, hostname: both, vips: [/10.96.0.8], ports: {80: 8080}, loadBalancer: {mode: Failover, routingPreferences: [Network]}}
- {name: guarded, namespace: n, hostname: guarded, vips: [/10.96.0.9], ports: {80: 8080}, waypoint: {destination: n/way}}
- {name: way, namespace: n, hostname: way, subjectAltNames: [spiffe://other/ns/n/sa/way]}
- {name: gate, namespace: g, hostname: gate, subjectAltNames: [spiffe://other/ns/g/sa/gate]}
- {name: shut, namespace: g, hostname: shut}
- {name: named, namespace: g, hostname: named}
"#;

fn facts() -> Snapshot {
    Snapshot::from_file(serde_saphyr::from_str::<MeshFile>(WORLD).unwrap()).unwrap()
}

#[test]
fn another_network_is_reached_by_the_services_name_through_its_gateway() {
    let rows = [
        ("10.96.0.1:80", "tunnel 172.16.0.1:15008 web:80 gate n/web double"),
        ("10.96.0.1:81", "refuse no_service_port"),
        ("10.96.0.2:80", "tunnel 172.16.0.1:15018 split:80 gate n/split double"),
        // A service's waypoint in another network is reached in the same way.
        ("10.96.0.9:80", "tunnel 172.16.0.1:15008 guarded:80 gate n/guarded double"),
        ("10.96.0.9:81", "tunnel 172.16.0.1:15008 guarded:81 gate n/guarded double"),
        // Nobody knows who would answer, or where to ask.
        ("10.96.0.3:80", "refuse no_identity"),
        ("10.96.0.4:80", "refuse no_gateway"),
        ("10.96.0.5:80", "refuse no_gateway"),
        ("10.96.0.6:80", "refuse no_gateway"),
        ("10.96.0.7:80", "wait gate.example"),
        // A workload's waypoint is no service that was addressed.
        ("10.0.0.9:80", "refuse not_by_service"),
        // An address there means nothing here.
        ("10.0.0.2:80", "passthrough 10.0.0.2:80"),
        ("10.96.0.8:80", "tunnel 10.0.0.8:15008 10.0.0.8:8080 near n/both"),
    ];
    for (original, expected) in rows {
        for draw in [0, u64::MAX] {
            assert_eq!(
                line(&decide(&facts(), &Local::default(), "client", original, draw)),
                expected,
                "{original}"
            );
        }
    }
}

#[test]
fn the_gateway_and_what_is_behind_it_each_have_their_identities() {
    let expected = |original| match decide(&facts(), &Local::default(), "client", original, 0) {
        Decision::Tunnel(to) => {
            let ids = |ids: &[SpiffeId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
            (ids(&to.expected), ids(to.inner.as_deref().unwrap_or_default()))
        }
        other => panic!("{other:?}"),
    };
    let gate = "spiffe://cluster.local/ns/g/sa/gate";
    let web = ["spiffe://cluster.local/ns/n/sa/web", "spiffe://cluster.local/ns/n/sa/web2"];
    let other = "spiffe://other/ns/n/sa/x";
    let (outer, inner) = expected("10.96.0.1:80");
    assert_eq!(outer, [gate], "of a gateway that is named by its address its own");
    assert_eq!(inner, [web[0], web[1], other], "the service's, and those of its endpoints there");
    let (outer, inner) = expected("10.96.0.2:80");
    assert_eq!(outer, [gate, "spiffe://other/ns/g/sa/gate"]);
    assert_eq!(inner, [other], "what stands for several has no identity of theirs");
    let (_, inner) = expected("10.96.0.9:80");
    assert_eq!(inner, ["spiffe://cluster.local/ns/n/sa/way", "spiffe://other/ns/n/sa/way"]);
}

#[test]
fn a_gateways_name_is_resolved() {
    let snapshot = facts();
    let source = snapshot.workload("c//Pod/n/client").unwrap();
    let resolved = Resolved { host: "gate.example".into(), addresses: vec!["203.0.113.5".parse().unwrap()] };
    let original = socket("10.96.0.7:80");
    let captured = Captured { source, peer: socket("10.0.0.1:9"), original, resolved: Some(&resolved) };
    let decision = outbound(&snapshot, &Local::default(), &captured, 0);
    assert_eq!(line(&decision), "tunnel 203.0.113.5:15008 named:80 gate3 n/named double");
}

quickcheck! {
    /// Whatever goes to another network was addressed by a service, says its name, and both peers are known.
    fn another_network_is_reached_by_a_service_only(case: Case, draw: u64) -> bool {
        match case.decide(draw) {
            Decision::Tunnel(to) => match (&to.inner, &to.service, &to.authority) {
                (Some(inner), Some(service), Authority::Host { host, port }) => {
                    !inner.is_empty() && inner.is_sorted() && *host == service.key.hostname && *port == case.original.port()
                }
                (None, _, Authority::Ip(_)) => to.destination.network == case.local.network,
                _ => false,
            },
            Decision::Plaintext { destination, .. } => destination.network == case.local.network,
            Decision::Local(to) => to.destination.network == case.local.network,
            Decision::Passthrough { .. } | Decision::Refuse(_) | Decision::Wait(_) => true,
        }
    }
}
