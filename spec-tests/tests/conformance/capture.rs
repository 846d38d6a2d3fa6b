//! Where captured connections go.

use std::net::SocketAddr;

use culvert_core::capture::{
    Captured, Decision, InboundFault, Local, Need, Resolved, inbound_connect, inbound_plaintext, outbound,
};
use culvert_core::hbone::connect::Authority;
use culvert_core::mesh::{MeshFile, Snapshot};

const WORLD: &str = r#"
workloads:
- {uid: c//Pod/shop/client, name: client, namespace: shop, workloadIps: [10.1.0.1], protocol: HBONE, node: one, clusterId: c1, locality: {region: r1, zone: z1}}
- {uid: c//Pod/shop/web, name: web, namespace: shop, serviceAccount: web, workloadIps: [10.1.0.2, "fd00::2"], protocol: HBONE, node: two, locality: {region: r1, zone: z2},
   services: {shop/web: {81: 9091}, shop/v6: {}, shop/spread: {}, shop/near: {}, shop/strict: {}, shop/loop: {}}}
- {uid: c//Pod/shop/mate, name: mate, namespace: shop, workloadIps: [10.1.0.3], protocol: HBONE, node: one, locality: {region: r1, zone: z1}, services: {shop/mate: {}, shop/near: {}}}
- {uid: c//Pod/shop/plain, name: plain, namespace: shop, workloadIps: [10.1.0.4], services: {shop/plain: {}}}
- {uid: c//Pod/shop/ill, name: ill, namespace: shop, workloadIps: [10.1.0.5], protocol: HBONE, status: Unhealthy, services: {shop/ill: {}, shop/any: {}, shop/spread: {}}}
- {uid: c//Pod/shop/hidden, name: hidden, namespace: shop, workloadIps: [10.1.0.6], protocol: HBONE, waypoint: {destination: /10.1.0.7}, services: {shop/guarded: {}}}
- {uid: c//Pod/shop/way, name: way, namespace: shop, workloadIps: [10.1.0.7], protocol: HBONE}
- {uid: c//Pod/shop/away, name: away, namespace: shop, network: far, workloadIps: [10.1.0.8], protocol: HBONE, services: {shop/away: {}}}
- {uid: c//Pod/shop/host, name: host, namespace: shop, networkMode: HostNetwork, workloadIps: [192.168.0.1], services: {shop/host: {}}}
- {uid: c/x/ServiceEntry/shop/db, name: db, namespace: shop, hostname: db.example, services: {shop/db: {}}}
- {uid: c//Pod/shop/none, name: none, namespace: shop, workloadIps: [10.1.0.9], protocol: HBONE, capacity: 0, services: {shop/spread: {}}}
- {uid: c//Pod/shop/told, name: told, namespace: shop, workloadIps: [10.1.0.10], protocol: HBONE, applicationTunnel: {port: 99}, services: {shop/told: {}}}
- {uid: c//Pod/shop/sandwich, name: sandwich, namespace: shop, workloadIps: [10.1.0.11], protocol: HBONE, applicationTunnel: {protocol: PROXY, port: 99}}
- {uid: c/x/WorkloadEntry/shop/a, name: entry, namespace: shop, workloadIps: [10.1.0.2, 10.1.0.12]}
- {uid: d/x/WorkloadEntry/shop/b, name: tunnelled, namespace: shop, workloadIps: [10.1.0.12], protocol: HBONE}
- {uid: c//Pod/shop/beyond, name: beyond, namespace: shop, network: far, workloadIps: [10.1.0.14], protocol: HBONE, services: {shop/beyond: {}}, networkGateway: {destination: far/172.16.0.1}}
- {uid: c//Pod/shop/remote, name: remote, namespace: shop, workloadIps: [10.1.0.13], protocol: HBONE, waypoint: {destination: far/10.1.0.14}}
- {uid: c//Pod/shop/gate, name: gate, namespace: shop, network: far, workloadIps: [172.16.0.1], protocol: HBONE}
services:
- {name: beyond, namespace: shop, hostname: beyond, vips: [/10.2.0.24], ports: {80: 8080}}
- {name: sampled, namespace: shop, hostname: sampled, vips: [/10.2.0.21], ports: {80: 8080}, waypoint: {destination: /10.1.0.2}, weightedWaypoints: [{destination: {destination: /10.1.0.2}, weight: 0}, {destination: {destination: /10.1.0.7, hboneMtlsPort: 15018}, weight: 1}]}
- {name: unsampled, namespace: shop, hostname: unsampled, vips: [/10.2.0.22], ports: {80: 8080}, waypoint: {destination: /10.1.0.2}, weightedWaypoints: [{destination: {destination: /10.1.0.7}, weight: 0}]}
- {name: unmanned, namespace: shop, hostname: unmanned, vips: [/10.2.0.23], ports: {80: 8080}, waypoint: {destination: shop/ill}}
- {name: web, namespace: shop, hostname: web, vips: [/10.2.0.1, "/fd01::1"], ports: {80: 8080, 81: 8081, 82: 0}, subjectAltNames: [spiffe://far.org/ns/n/sa/web, junk]}
- {name: mate, namespace: shop, hostname: mate, vips: [/10.2.0.2], ports: {80: 8080}}
- {name: plain, namespace: shop, hostname: plain, vips: [/10.2.0.3], ports: {80: 8080}}
- {name: ill, namespace: shop, hostname: ill, vips: [/10.2.0.4], ports: {80: 8080}}
- {name: any, namespace: shop, hostname: any, vips: [/10.2.0.5], ports: {80: 8080}, loadBalancer: {healthPolicy: AllowAll}}
- {name: guarded, namespace: shop, hostname: guarded, vips: [/10.2.0.6], ports: {80: 8080}, waypoint: {destination: /10.1.0.7}}
- {name: away, namespace: shop, hostname: away, vips: [/10.2.0.7], ports: {80: 8080}}
- {name: host, namespace: shop, hostname: host, vips: [/10.2.0.8], ports: {80: 8080}}
- {name: db, namespace: shop, hostname: db, vips: [/10.2.0.9], ports: {80: 5432}}
- {name: told, namespace: shop, hostname: told, vips: [/10.2.0.10], ports: {80: 0}}
- {name: v6, namespace: shop, hostname: v6, vips: [/10.2.0.11], ports: {80: 8080}, ipFamilies: IPv6}
- {name: spread, namespace: shop, hostname: spread, vips: [/10.2.0.12], ports: {80: 8080}}
- {name: near, namespace: shop, hostname: near, vips: [/10.2.0.13], ports: {80: 8080}, loadBalancer: {mode: Failover, routingPreferences: [Region, Zone]}}
- {name: strict, namespace: shop, hostname: strict, vips: [/10.2.0.14], ports: {80: 8080}, loadBalancer: {mode: Strict, routingPreferences: [Node]}}
- {name: loop, namespace: shop, hostname: loop, vips: [/10.2.0.15], ports: {80: 15008}}
- {name: open, namespace: shop, hostname: open, vips: [/10.2.0.16], ports: {80: 8080}, loadBalancer: {mode: Passthrough}}
- {name: empty, namespace: shop, hostname: empty, vips: [/10.2.0.17, /10.1.0.3], ports: {83: 1}}
- {name: private, namespace: back, hostname: private, vips: [/10.2.0.18], ports: {8080: 1}, visibility: Namespace}
- {name: wide, namespace: shop, hostname: wide, cidrVips: [/10.3.0.0/16, /10.2.0.0/16], ports: {80: 1}}
- {name: narrow, namespace: shop, hostname: narrow, cidrVips: [/10.3.1.0/24], ports: {81: 1}}
- {name: tie, namespace: back, hostname: tie-a, vips: [/10.2.0.19, /10.2.0.20], ports: {80: 1}}
- {name: tie, namespace: back, hostname: tie-b, vips: [/10.2.0.19, /10.2.0.20], ports: {81: 1}, canonical: true}
- {name: tie, namespace: shop, hostname: tie-c, vips: [/10.2.0.20], ports: {82: 1}}
"#;

fn world() -> Snapshot {
    Snapshot::from_file(serde_saphyr::from_str::<MeshFile>(WORLD).unwrap()).unwrap()
}

fn local() -> Local {
    let workloads = ["c//Pod/shop/client", "c//Pod/shop/mate"];
    Local { workloads: workloads.map(Into::into).into(), ..Local::default() }
}

/// A decision in a line.
fn decide(local: &Local, source: &str, original: &str, draw: u64) -> String {
    let snapshot = world();
    let source = snapshot.workload(&format!("c//Pod/shop/{source}")).unwrap();
    let peer = SocketAddr::new(source.ips[0], 40000);
    let captured = Captured { source, peer, original: original.parse().unwrap(), resolved: None };
    match outbound(&snapshot, local, &captured, draw) {
        Decision::Local(to) => format!("local {} {}", to.destination.name, to.target),
        Decision::Passthrough { target } => format!("pass {target}"),
        Decision::Plaintext { target, destination, .. } => format!("plain {} {target}", destination.name),
        Decision::Refuse(fault) => format!("refuse {}", fault.label()),
        Decision::Tunnel(to) => {
            let inside = if to.inner.is_some() { " inside" } else { "" };
            format!("tunnel {} {} {}{inside}", to.destination.name, to.peer, to.authority)
        }
        Decision::Wait(Need::Resolve { host }) => format!("wait {host}"),
        Decision::Wait(Need::Facts { name }) => format!("ask {name}"),
    }
}

fn check(rows: &[(&str, &str)]) {
    for (original, expected) in rows {
        for draw in [0, 1 << 63, u64::MAX] {
            assert_eq!(decide(&local(), "client", original, draw), *expected, "{original}");
        }
    }
}

#[test]
fn the_proxy_never_calls_itself() {
    check(&[
        ("127.0.0.1:15001", "refuse self_call"),
        ("127.8.8.8:15006", "refuse self_call"),
        ("[::1]:15008", "refuse self_call"),
        ("[::ffff:127.0.0.1]:15001", "refuse self_call"),
        ("10.1.0.1:15001", "refuse self_call"),
        ("0.0.0.0:15006", "refuse self_call"),
        ("10.1.0.2:15008", "refuse own_port"),
        ("10.1.0.4:15006", "refuse own_port"),
        ("203.0.113.1:15001", "refuse own_port"),
        ("10.2.0.15:80", "refuse own_port"),
    ]);
}

#[test]
fn some_addresses_are_no_destination() {
    for original in
        ["0.0.0.0:80", "[::]:80", "224.0.0.251:5353", "[ff02::fb]:80", "255.255.255.255:80", "10.1.0.2:0"]
    {
        check(&[(original, "refuse unroutable")]);
    }
}

#[test]
fn a_workload_is_found_before_a_service_and_an_address_before_a_range() {
    check(&[
        // Also a virtual address of a service without endpoints.
        ("10.1.0.3:80", "local mate 10.1.0.3:80"),
        // In a range of another service, but an address of its own.
        ("10.2.0.17:83", "refuse no_healthy_endpoint"),
        ("10.2.0.17:80", "refuse no_service_port"),
        ("10.2.0.99:80", "refuse no_healthy_endpoint"),
        // The longest prefix has no port 80; the shorter one is not asked.
        ("10.3.1.1:80", "refuse no_service_port"),
        ("10.3.1.1:81", "refuse no_healthy_endpoint"),
        ("10.3.2.1:80", "refuse no_healthy_endpoint"),
    ]);
}

#[test]
fn of_services_that_share_an_address_one_wins() {
    // Each has a port of its own, so that the fault tells which it was.
    check(&[
        ("10.2.0.19:81", "refuse no_healthy_endpoint"),
        ("10.2.0.19:80", "refuse no_service_port"),
        ("10.2.0.20:82", "refuse no_healthy_endpoint"),
        ("10.2.0.20:81", "refuse no_service_port"),
    ]);
}

#[test]
fn a_service_of_another_namespace_may_be_invisible() {
    // What is left is the range in which its address lies.
    check(&[("10.2.0.18:80", "refuse no_healthy_endpoint"), ("10.2.0.18:8080", "refuse no_service_port")]);
}

#[test]
fn of_workloads_that_share_an_address_one_wins() {
    check(&[
        ("10.1.0.2:80", "tunnel web 10.1.0.2:15008 10.1.0.2:80"),
        ("10.1.0.12:80", "tunnel tunnelled 10.1.0.12:15008 10.1.0.12:80"),
    ]);
}

#[test]
fn what_the_mesh_does_not_know_passes() {
    check(&[
        ("203.0.113.1:443", "pass 203.0.113.1:443"),
        ("[2001:db8::1]:443", "pass [2001:db8::1]:443"),
        ("[::ffff:203.0.113.1]:443", "pass 203.0.113.1:443"),
        // Addresses of the node, and of another network.
        ("192.168.0.1:80", "pass 192.168.0.1:80"),
        ("10.1.0.8:80", "pass 10.1.0.8:80"),
        ("10.2.0.16:80", "pass 10.2.0.16:80"),
    ]);
}

#[test]
fn a_workload_is_reached_as_it_wants_to_be() {
    check(&[
        ("10.1.0.2:80", "tunnel web 10.1.0.2:15008 10.1.0.2:80"),
        ("[::ffff:10.1.0.2]:80", "tunnel web 10.1.0.2:15008 10.1.0.2:80"),
        ("[fd00::2]:80", "tunnel web [fd00::2]:15008 [fd00::2]:80"),
        ("10.1.0.4:80", "plain plain 10.1.0.4:80"),
        ("10.1.0.3:80", "local mate 10.1.0.3:80"),
        ("10.1.0.5:80", "tunnel ill 10.1.0.5:15008 10.1.0.5:80"),
        ("10.2.0.3:80", "plain plain 10.1.0.4:8080"),
        ("10.2.0.8:80", "plain host 192.168.0.1:8080"),
        ("10.2.0.2:80", "local mate 10.1.0.3:8080"),
    ]);
    let apart = Local { same_node: false, ..local() };
    assert_eq!(decide(&apart, "client", "10.1.0.3:80", 0), "tunnel mate 10.1.0.3:15008 10.1.0.3:80");
}

#[test]
fn the_port_is_the_endpoints_then_the_services_then_the_tunnels() {
    check(&[
        ("10.2.0.1:80", "tunnel web 10.1.0.2:15008 10.1.0.2:8080"),
        ("10.2.0.1:81", "tunnel web 10.1.0.2:15008 10.1.0.2:9091"),
        ("10.2.0.1:82", "refuse no_healthy_endpoint"),
        ("10.2.0.1:83", "refuse no_service_port"),
        ("10.2.0.10:80", "tunnel told 10.1.0.10:15008 10.1.0.10:99"),
    ]);
}

#[test]
fn the_address_is_of_a_family_that_the_service_takes() {
    check(&[
        ("10.2.0.1:80", "tunnel web 10.1.0.2:15008 10.1.0.2:8080"),
        ("[fd01::1]:80", "tunnel web [fd00::2]:15008 [fd00::2]:8080"),
        ("10.2.0.11:80", "tunnel web [fd00::2]:15008 [fd00::2]:8080"),
    ]);
}

#[test]
fn an_endpoint_is_healthy_and_has_weight() {
    check(&[
        ("10.2.0.4:80", "refuse no_healthy_endpoint"),
        ("10.2.0.5:80", "tunnel ill 10.1.0.5:15008 10.1.0.5:8080"),
        // Of three one is ill, and one has no weight.
        ("10.2.0.12:80", "tunnel web 10.1.0.2:15008 10.1.0.2:8080"),
    ]);
}

#[test]
fn preferences_leave_the_nearest_or_none() {
    check(&[("10.2.0.13:80", "local mate 10.1.0.3:8080"), ("10.2.0.14:80", "refuse no_healthy_endpoint")]);
}

#[test]
fn a_name_is_resolved_when_it_is_needed() {
    check(&[("10.2.0.9:80", "wait db.example")]);
    let (snapshot, local) = (world(), local());
    let source = snapshot.workload("c//Pod/shop/client").unwrap();
    let original: SocketAddr = "10.2.0.9:80".parse().unwrap();
    for (addresses, expected) in [
        (&["192.0.2.7"][..], Some("192.0.2.7:5432")),
        (&["2001:db8::7", "192.0.2.7"], Some("192.0.2.7:5432")),
        (&["2001:db8::7"], Some("[2001:db8::7]:5432")),
        (&["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "0.0.0.0"], None),
        (&[], None),
    ] {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        let resolved = Resolved { host: "db.example".into(), addresses };
        let captured = Captured { source, peer: original, original, resolved: Some(&resolved) };
        let target = match outbound(&snapshot, &local, &captured, 7) {
            Decision::Plaintext { target, .. } => Some(target.to_string()),
            _ => None,
        };
        assert_eq!(target.as_deref(), expected, "{resolved:?}");
    }
}

#[test]
fn what_is_behind_a_waypoint_is_reached_through_it() {
    check(&[
        // It is asked for what the application asked for.
        ("10.1.0.6:80", "tunnel way 10.1.0.7:15008 10.1.0.6:80"),
        ("10.2.0.6:80", "tunnel way 10.1.0.7:15008 10.2.0.6:80"),
        ("10.2.0.21:80", "tunnel way 10.1.0.7:15018 10.2.0.21:80"),
        // None that has weight, and none that is there.
        ("10.2.0.22:80", "refuse no_waypoint"),
        ("10.2.0.23:80", "refuse no_waypoint"),
    ]);
    // The waypoint itself reaches what is behind it, of a service as well.
    assert_eq!(decide(&local(), "way", "10.1.0.6:80", 0), "tunnel hidden 10.1.0.6:15008 10.1.0.6:80");
    assert_eq!(decide(&local(), "way", "10.2.0.6:80", 0), "tunnel hidden 10.1.0.6:15008 10.1.0.6:8080");
    assert_eq!(decide(&local(), "way", "10.2.0.21:80", 0), "refuse no_healthy_endpoint");
}

#[test]
fn another_network_is_reached_through_its_gateway() {
    check(&[
        ("10.2.0.7:80", "refuse no_gateway"),
        ("10.2.0.24:80", "tunnel gate 172.16.0.1:15008 beyond:80 inside"),
        // Only a service leads there.
        ("10.1.0.8:80", "pass 10.1.0.8:80"),
        ("10.1.0.13:80", "refuse not_by_service"),
    ]);
}

#[test]
fn the_expected_identities_are_the_workloads_and_the_services() {
    let (snapshot, local) = (world(), local());
    let source = snapshot.workload("c//Pod/shop/client").unwrap();
    for (original, expected) in [
        ("10.1.0.2:80", &["spiffe://cluster.local/ns/shop/sa/web"][..]),
        ("10.2.0.1:80", &["spiffe://cluster.local/ns/shop/sa/web", "spiffe://far.org/ns/n/sa/web"]),
    ] {
        let peer = "10.1.0.1:40000".parse().unwrap();
        let captured = Captured { source, peer, original: original.parse().unwrap(), resolved: None };
        let Decision::Tunnel(to) = outbound(&snapshot, &local, &captured, 0) else { panic!("{original}") };
        assert_eq!(to.expected.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }
}

/// What a CONNECT through a tunnel to `tcp` gives: the address to dial, or the fault and its status.
fn connect(uid: &str, tcp: &str, authority: &str) -> String {
    let snapshot = world();
    let workload = snapshot.workload(&format!("c//Pod/shop/{uid}")).unwrap();
    let authority = Authority::parse(authority).unwrap();
    match inbound_connect(&snapshot, &Local::default(), workload, tcp.parse().unwrap(), &authority) {
        Ok(to) => to.target.to_string(),
        Err(fault) => format!("{} {}", fault.status(), fault.label()),
    }
}

fn check_connects(uid: &str, tcp: &str, rows: &[(&str, &str)]) {
    for (authority, expected) in rows {
        assert_eq!(connect(uid, tcp, authority), *expected, "{authority}");
    }
}

#[test]
fn a_connect_names_the_workload_itself() {
    check_connects(
        "web",
        "10.1.0.2:15008",
        &[
            ("10.1.0.2:80", "10.1.0.2:80"),
            ("[::ffff:10.1.0.2]:80", "10.1.0.2:80"),
            ("[fd00::2]:80", "400 ip_mismatch"),
            ("10.1.0.3:80", "400 ip_mismatch"),
            ("10.2.0.1:80", "400 ip_mismatch"),
            ("192.168.0.1:80", "400 ip_mismatch"),
            ("203.0.113.1:80", "400 ip_mismatch"),
            ("[::10.1.0.2]:80", "400 ip_mismatch"),
            ("[64:ff9b::a01:2]:80", "400 ip_mismatch"),
        ],
    );
    check_connects(
        "web",
        "[fd00::2]:15008",
        &[("[fd00::2]:80", "[fd00::2]:80"), ("10.1.0.2:80", "400 ip_mismatch")],
    );
    check_connects("web", "10.1.0.3:15008", &[("10.1.0.3:80", "503 unknown_workload")]);
}

#[test]
fn addresses_without_one_meaning_are_forbidden_to_all() {
    for authority in [
        "127.0.0.1:80",
        "127.255.0.1:80",
        "[::1]:80",
        "[::ffff:127.0.0.1]:80",
        "169.254.169.254:80",
        "[::ffff:169.254.169.254]:80",
        "[fe80::1]:80",
        "0.0.0.0:80",
        "0.1.1.1:80",
        "[::]:80",
        "224.0.0.1:80",
        "[ff02::1]:80",
        "255.255.255.255:80",
    ] {
        for (uid, tcp) in [("web", "10.1.0.2:1"), ("way", "10.1.0.7:1"), ("told", "10.1.0.10:1")] {
            assert_eq!(connect(uid, tcp, authority), "400 forbidden_address", "{uid} {authority}");
        }
    }
}

#[test]
fn a_connect_reaches_no_port_of_the_proxy() {
    for port in [15001, 15006, 15008, 15080] {
        assert_eq!(connect("web", "10.1.0.2:15008", &format!("10.1.0.2:{port}")), "503 own_port");
    }
    // An endpoint of a service whose port leads there.
    assert_eq!(connect("web", "10.1.0.2:15008", "loop:80"), "503 own_port");
}

#[test]
fn a_name_is_a_service_of_the_workload() {
    check_connects(
        "web",
        "10.1.0.2:15008",
        &[
            ("web:80", "10.1.0.2:8080"),
            ("WEB:80", "10.1.0.2:8080"),
            ("web:81", "10.1.0.2:9091"),
            ("web:82", "503 no_service_port"),
            ("web:83", "503 no_service_port"),
            ("mate:80", "503 unknown_host"),
            ("guarded:80", "503 unknown_host"),
            ("localhost:80", "503 unknown_host"),
            ("metadata.google.internal:80", "503 unknown_host"),
        ],
    );
}

#[test]
fn a_waypoint_and_an_application_tunnel_take_what_is_meant_for_others() {
    check_connects(
        "way",
        "10.1.0.7:15008",
        &[
            ("10.1.0.6:80", "10.1.0.7:80"),
            ("10.2.0.6:80", "10.1.0.7:80"),
            ("guarded:80", "10.1.0.7:80"),
            ("10.1.0.2:80", "400 ip_mismatch"),
            ("10.2.0.1:80", "400 ip_mismatch"),
            ("web:80", "503 unknown_host"),
        ],
    );
    check_connects(
        "told",
        "10.1.0.10:15008",
        &[("10.1.0.10:80", "10.1.0.10:99"), ("203.0.113.1:80", "10.1.0.10:99"), ("told:80", "10.1.0.10:99")],
    );
    assert_eq!(connect("sandwich", "10.1.0.11:15008", "10.1.0.11:80"), "10.1.0.11:99");
}

#[test]
fn an_application_that_takes_the_proxy_protocol_is_dialled_at_loopback() {
    let snapshot = world();
    let workload = snapshot.workload("c//Pod/shop/sandwich").unwrap();
    for (loopback_tunnel, dial) in [(true, "127.0.0.1:99"), (false, "10.1.0.11:99")] {
        let local = Local { loopback_tunnel, ..Local::default() };
        for (authority, shown) in [
            ("10.1.0.11:80", "10.1.0.11:80"),
            ("10.2.0.6:80", "10.2.0.6:80"),
            ("guarded:80", "10.2.0.6:80"),
            ("web:80", "10.2.0.1:80"),
        ] {
            let authority = Authority::parse(authority).unwrap();
            let tcp = "10.1.0.11:15008".parse().unwrap();
            let to = inbound_connect(&snapshot, &local, workload, tcp, &authority).unwrap();
            assert_eq!(
                (to.dial.to_string().as_str(), to.target.to_string().as_str()),
                (dial, "10.1.0.11:99")
            );
            assert_eq!(to.shown.map(|shown| shown.to_string()).as_deref(), Some(shown));
        }
        // What names no service is no reason to dial anything.
        let unknown = Authority::parse("nowhere:80").unwrap();
        assert!(
            inbound_connect(&snapshot, &local, workload, "10.1.0.11:15008".parse().unwrap(), &unknown)
                .is_err()
        );
    }
}

#[test]
fn a_plain_connection_reaches_only_the_workload_it_was_sent_to() {
    let snapshot = world();
    let workload = snapshot.workload("c//Pod/shop/web").unwrap();
    for (original, expected) in [
        ("10.1.0.2:80", Ok("10.1.0.2:80")),
        ("[::ffff:10.1.0.2]:80", Ok("10.1.0.2:80")),
        ("[fd00::2]:80", Ok("[fd00::2]:80")),
        ("10.1.0.3:80", Err(InboundFault::UnknownWorkload)),
        ("127.0.0.1:80", Err(InboundFault::UnknownWorkload)),
        ("10.1.0.2:0", Err(InboundFault::UnknownWorkload)),
        ("10.1.0.2:15006", Err(InboundFault::OwnPort)),
        ("10.1.0.2:15008", Err(InboundFault::OwnPort)),
    ] {
        let target = inbound_plaintext(&Local::default(), workload, original.parse().unwrap());
        let target = target.map(|to| to.target.to_string());
        assert_eq!(target, expected.map(str::to_owned), "{original}");
    }
}
