use std::collections::BTreeSet;

use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;
use crate::capture::is_special;
use crate::mesh::{Delta, HealthPolicy, HealthStatus, MeshFile, NetworkMode, sample};

mod gateway;
mod waypoint;

const WORLD: &str = r#"
workloads:
- {uid: c//Pod/n/client, name: client, namespace: n, workloadIps: [10.0.0.1], protocol: HBONE, node: k1, locality: {region: r1, zone: z1}}
- {uid: c//Pod/n/remote, name: remote, namespace: n, workloadIps: [10.0.0.2, "2001:db8::2"], protocol: HBONE, serviceAccount: remote, node: k2,
   services: {n/guarded: {}, n/web: {80: 0}, n/v6: {}, n/own: {}, n/pick: {80: 9090}}, locality: {region: r1, zone: z2}}
- {uid: c//Pod/n/here, name: here, namespace: n, workloadIps: [10.0.0.3], protocol: HBONE, node: k1, services: {n/near: {}, n/pick: {}}, locality: {region: r1, zone: z1}}
- {uid: c//Pod/n/plain, name: plain, namespace: n, workloadIps: [10.0.0.4], services: {n/plain: {}}}
- {uid: c//Pod/n/behind, name: behind, namespace: n, workloadIps: [10.0.0.5], protocol: HBONE, waypoint: {destination: /10.0.0.6}, services: {n/behind: {}}}
- {uid: c//Pod/n/way, name: way, namespace: n, workloadIps: [10.0.0.6], protocol: HBONE}
- {uid: c//Pod/n/way2, name: way2, namespace: n, workloadIps: [10.0.0.16], protocol: HBONE, services: {n/way: {}}}
- {uid: c//Pod/n/behind2, name: behind2, namespace: n, workloadIps: [10.0.0.15], protocol: HBONE, waypoint: {destination: n/way}}
- {uid: c//Pod/n/behind3, name: behind3, namespace: n, workloadIps: [10.0.0.25], protocol: HBONE, waypoint: {destination: /10.96.0.18}}
- {uid: c//Pod/n/behind4, name: behind4, namespace: n, workloadIps: [10.0.0.35], protocol: HBONE, waypoint: {destination: far/10.0.0.6}}
- {uid: c//Pod/n/ill, name: ill, namespace: n, workloadIps: [10.0.0.7], protocol: HBONE, status: Unhealthy, services: {n/ill: {}, n/ill-ok: {}}}
- {uid: c//Pod/n/far, name: far, namespace: n, network: far, workloadIps: [10.0.0.8], protocol: HBONE, services: {n/far: {}}}
- {uid: c//Pod/n/host, name: host, namespace: n, networkMode: HostNetwork, workloadIps: [192.168.0.1], services: {n/host: {}}}
- {uid: c/x/ServiceEntry/n/db, name: db, namespace: n, hostname: db.example, services: {n/db: {}}}
- {uid: c//Pod/n/zero, name: zero, namespace: n, workloadIps: [10.0.0.9], capacity: 0, services: {n/zero: {}}}
- {uid: c//Pod/n/sandwich, name: sandwich, namespace: n, workloadIps: [10.0.0.10], protocol: HBONE, applicationTunnel: {protocol: PROXY, port: 81}, services: {n/sandwich: {}}}
- {uid: c//Pod/n/ported, name: ported, namespace: n, workloadIps: [10.0.0.11], protocol: HBONE, applicationTunnel: {port: 81}}
services:
- {name: web, namespace: n, hostname: web, vips: [/10.96.0.1, "/2001:db8:f::1"], ports: {80: 8080, 15008: 8080}, subjectAltNames: [spiffe://other/ns/n/sa/x, nonsense]}
- {name: near, namespace: n, hostname: near, vips: [/10.96.0.2], ports: {80: 8080}}
- {name: plain, namespace: n, hostname: plain, vips: [/10.96.0.3], ports: {80: 8080}}
- {name: behind, namespace: n, hostname: behind, vips: [/10.96.0.4], ports: {80: 8080}}
- {name: guarded, namespace: n, hostname: guarded, vips: [/10.96.0.5], ports: {80: 8080}, waypoint: {destination: /10.0.0.6}}
- {name: shared, namespace: n, hostname: shared, vips: [/10.96.0.6], ports: {80: 8080}, weightedWaypoints: [{destination: {destination: /10.0.0.6}, weight: 0}]}
- {name: ill, namespace: n, hostname: ill, vips: [/10.96.0.7], ports: {80: 8080}}
- {name: ill-ok, namespace: n, hostname: ill-ok, vips: [/10.96.0.8], ports: {80: 8080}, loadBalancer: {healthPolicy: AllowAll}}
- {name: far, namespace: n, hostname: far, vips: [/10.96.0.9], ports: {80: 8080}}
- {name: host, namespace: n, hostname: host, vips: [/10.96.0.10], ports: {80: 8080}}
- {name: db, namespace: n, hostname: db, vips: [/10.96.0.11], ports: {80: 5432}}
- {name: zero, namespace: n, hostname: zero, vips: [/10.96.0.12], ports: {80: 8080}}
- {name: own, namespace: n, hostname: own, vips: [/10.96.0.13], ports: {80: 15006}}
- {name: v6, namespace: n, hostname: v6, vips: [/10.96.0.14], ports: {80: 8080}, ipFamilies: IPv6}
- {name: empty, namespace: n, hostname: empty, vips: [/10.96.0.15], ports: {80: 8080}}
- {name: open, namespace: n, hostname: open, cidrVips: [/198.51.100.0/24], ports: {80: 80}, loadBalancer: {mode: Passthrough}}
- {name: pick, namespace: n, hostname: pick, vips: [/10.96.0.16], ports: {80: 8080}, loadBalancer: {mode: Failover, routingPreferences: [Region, Zone]}}
- {name: sandwich, namespace: n, hostname: sandwich, vips: [/10.96.0.17], ports: {80: 0}}
- {name: way, namespace: n, hostname: way, vips: [/10.96.0.18], ports: {80: 0}}
- {name: hidden, namespace: m, hostname: hidden, vips: [/10.96.0.19], ports: {80: 80}, visibility: Namespace}
"#;

fn world() -> Snapshot {
    Snapshot::from_file(serde_saphyr::from_str::<MeshFile>(WORLD).unwrap()).unwrap()
}

fn local() -> Local {
    let workloads =
        ["c//Pod/n/client", "c//Pod/n/here", "c//Pod/n/sandwich", "c//Pod/n/ported", "c//Pod/n/behind"];
    Local { workloads: workloads.iter().map(|uid| (*uid).into()).collect(), ..Local::default() }
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn decide(snapshot: &Snapshot, local: &Local, source: &str, original: &str, draw: u64) -> Decision {
    let source = snapshot.workload(&format!("c//Pod/n/{source}")).unwrap();
    let peer = SocketAddr::new(source.ips[0], 40000);
    let captured = Captured { source, peer, original: socket(original), resolved: None };
    outbound(snapshot, local, &captured, draw)
}

/// The decision in a line: kind, target, workload, service.
fn line(decision: &Decision) -> String {
    let end = |destination: &Workload, service: &Option<Arc<Service>>| match service {
        Some(service) => format!("{} {}", destination.name, service.key),
        None => destination.name.to_string(),
    };
    match decision {
        Decision::Local(to) => format!("local {} {}", to.target, end(&to.destination, &to.service)),
        Decision::Passthrough { target } => format!("passthrough {target}"),
        Decision::Plaintext { target, destination, service } => {
            format!("plain {target} {}", end(destination, service))
        }
        Decision::Refuse(fault) => format!("refuse {}", fault.label()),
        Decision::Tunnel(to) => {
            let inner = if to.inner.is_some() { " double" } else { "" };
            format!("tunnel {} {} {}{inner}", to.peer, to.authority, end(&to.destination, &to.service))
        }
        Decision::Wait(Need::Resolve { host }) => format!("wait {host}"),
        Decision::Wait(Need::Facts { name }) => format!("ask {name}"),
    }
}

#[test]
fn what_may_exist_is_asked_for_before_it_is_passed_by() {
    let facts = world();
    let rows = [
        // What is known needs no answer.
        ("10.0.0.2:80", "tunnel 10.0.0.2:15008 10.0.0.2:80 remote"),
        ("203.0.113.9:443", "ask /203.0.113.9"),
        ("[::ffff:203.0.113.9]:443", "ask /203.0.113.9"),
        // This one's address in the other network is not this one's.
        ("10.0.0.8:80", "ask /10.0.0.8"),
        ("127.0.0.2:80", "ask /127.0.0.2"),
        // Of a port of the proxy nothing could be heard that made a difference.
        ("203.0.113.9:15008", "refuse own_port"),
    ];
    let mut local = Local { answered: Some(BTreeSet::new()), ..local() };
    for (original, expected) in rows {
        assert_eq!(line(&decide(&facts, &local, "client", original, 0)), expected, "{original}");
    }
    // Answered, it goes where it goes where all facts are known; also where there is something that this one may not see.
    for name in ["/203.0.113.9", "/10.0.0.8", "/10.96.0.19"] {
        let ip = &name[1..];
        let original = format!("{ip}:80");
        assert_eq!(line(&decide(&facts, &local, "client", &original, 0)), format!("ask {name}"));
        local.answered.as_mut().unwrap().insert(Destination::try_from(name.to_owned()).unwrap());
        assert_eq!(line(&decide(&facts, &local, "client", &original, 0)), format!("passthrough {ip}:80"));
    }
}

#[test]
fn a_waypoint_that_may_exist_is_asked_for() {
    let all = world();
    let mut local = Local { answered: Some(BTreeSet::new()), ..local() };
    let without = |name: &str| {
        let mut delta = Delta::new();
        match Destination::try_from(name.to_owned()).unwrap() {
            Destination::Service(key) => delta.remove_service(key),
            Destination::Address(_) => delta.remove_workload("c//Pod/n/way".into()),
        };
        all.apply(delta).0
    };
    for (original, waypoint) in [("10.0.0.15:80", "n/way"), ("10.96.0.5:80", "/10.0.0.6")] {
        let facts = without(waypoint);
        assert_eq!(line(&decide(&facts, &local, "client", original, 0)), format!("ask {waypoint}"));
        local.answered.as_mut().unwrap().insert(Destination::try_from(waypoint.to_owned()).unwrap());
        assert_eq!(line(&decide(&facts, &local, "client", original, 0)), "refuse no_waypoint");
    }
}

#[test]
fn every_kind_of_destination_goes_its_way() {
    let rows = [
        // Unknown to the mesh.
        ("203.0.113.9:443", "passthrough 203.0.113.9:443"),
        ("169.254.169.254:80", "passthrough 169.254.169.254:80"),
        ("192.168.0.1:80", "passthrough 192.168.0.1:80"),
        ("10.0.0.8:80", "passthrough 10.0.0.8:80"),
        ("10.96.0.19:80", "passthrough 10.96.0.19:80"),
        ("127.0.0.2:80", "passthrough 127.0.0.2:80"),
        ("203.0.113.9:15008", "refuse own_port"),
        // A workload's address.
        ("10.0.0.2:80", "tunnel 10.0.0.2:15008 10.0.0.2:80 remote"),
        ("[::ffff:10.0.0.2]:80", "tunnel 10.0.0.2:15008 10.0.0.2:80 remote"),
        ("[2001:db8::2]:80", "tunnel [2001:db8::2]:15008 [2001:db8::2]:80 remote"),
        ("10.0.0.3:80", "local 10.0.0.3:80 here"),
        ("10.0.0.1:80", "local 10.0.0.1:80 client"),
        ("10.0.0.4:80", "plain 10.0.0.4:80 plain"),
        ("10.0.0.11:80", "tunnel 10.0.0.11:15008 10.0.0.11:80 ported"),
        ("10.0.0.5:80", "tunnel 10.0.0.6:15008 10.0.0.5:80 way"),
        ("10.0.0.7:80", "tunnel 10.0.0.7:15008 10.0.0.7:80 ill"),
        ("10.0.0.10:80", "tunnel 10.0.0.10:15008 10.0.0.10:80 sandwich"),
        ("10.0.0.2:15008", "refuse own_port"),
        ("10.0.0.5:15008", "refuse own_port"),
        ("10.0.0.3:15006", "refuse own_port"),
        ("10.0.0.4:15001", "refuse own_port"),
        // A service's address.
        ("10.96.0.1:80", "tunnel 10.0.0.2:15008 10.0.0.2:8080 remote n/web"),
        ("[2001:db8:f::1]:80", "tunnel [2001:db8::2]:15008 [2001:db8::2]:8080 remote n/web"),
        ("10.96.0.1:15008", "tunnel 10.0.0.2:15008 10.0.0.2:8080 remote n/web"),
        ("10.96.0.1:81", "refuse no_service_port"),
        ("10.96.0.2:80", "local 10.0.0.3:8080 here n/near"),
        ("10.96.0.3:80", "plain 10.0.0.4:8080 plain n/plain"),
        ("10.96.0.4:80", "local 10.0.0.5:8080 behind n/behind"),
        ("10.96.0.5:80", "tunnel 10.0.0.6:15008 10.96.0.5:80 way n/guarded"),
        ("10.96.0.6:80", "refuse no_waypoint"),
        ("10.96.0.7:80", "refuse no_healthy_endpoint"),
        ("10.96.0.8:80", "tunnel 10.0.0.7:15008 10.0.0.7:8080 ill n/ill-ok"),
        ("10.96.0.9:80", "refuse no_gateway"),
        ("10.96.0.10:80", "plain 192.168.0.1:8080 host n/host"),
        ("10.96.0.11:80", "wait db.example"),
        ("10.96.0.12:80", "refuse no_healthy_endpoint"),
        ("10.96.0.13:80", "refuse own_port"),
        ("10.96.0.14:80", "tunnel [2001:db8::2]:15008 [2001:db8::2]:8080 remote n/v6"),
        ("10.96.0.15:80", "refuse no_healthy_endpoint"),
        ("10.96.0.16:80", "local 10.0.0.3:8080 here n/pick"),
        ("10.96.0.17:80", "tunnel 10.0.0.10:15008 10.0.0.10:81 sandwich n/sandwich"),
        ("198.51.100.7:99", "passthrough 198.51.100.7:99"),
        // The proxy itself, and what is no destination.
        ("10.0.0.1:15001", "refuse self_call"),
        ("127.0.0.1:15001", "refuse self_call"),
        ("127.9.9.9:15006", "refuse self_call"),
        ("[::1]:15008", "refuse self_call"),
        ("[::ffff:127.0.0.1]:15080", "refuse self_call"),
        ("0.0.0.0:15001", "refuse self_call"),
        ("0.0.0.0:80", "refuse unroutable"),
        ("[::]:80", "refuse unroutable"),
        ("224.0.0.1:80", "refuse unroutable"),
        ("[ff02::1]:80", "refuse unroutable"),
        ("255.255.255.255:80", "refuse unroutable"),
        ("10.0.0.2:0", "refuse unroutable"),
    ];
    let (snapshot, local) = (world(), local());
    for (original, expected) in rows {
        for draw in [0, u64::MAX] {
            assert_eq!(line(&decide(&snapshot, &local, "client", original, draw)), expected, "{original}");
        }
    }
}

#[test]
fn the_local_path_can_be_switched_off() {
    let local = Local { same_node: false, ..local() };
    let decision = decide(&world(), &local, "client", "10.0.0.3:80", 0);
    assert_eq!(line(&decision), "tunnel 10.0.0.3:15008 10.0.0.3:80 here");
}

#[test]
fn the_peer_may_have_the_workloads_identity_or_one_the_service_names() {
    let (snapshot, local) = (world(), local());
    let expected = |original| match decide(&snapshot, &local, "client", original, 0) {
        Decision::Tunnel(to) => to.expected.iter().map(ToString::to_string).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let own = "spiffe://cluster.local/ns/n/sa/remote";
    assert_eq!(expected("10.0.0.2:80"), [own]);
    assert_eq!(expected("10.96.0.1:80"), [own, "spiffe://other/ns/n/sa/x"]);
}

#[test]
fn a_name_is_resolved_and_never_leads_home() {
    let snapshot = world();
    let decide = |host: &str, addresses: &[&str], draw| {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        let resolved = Resolved { host: host.into(), addresses };
        let source = snapshot.workload("c//Pod/n/client").unwrap();
        let original = socket("10.96.0.11:80");
        let captured = Captured { source, peer: original, original, resolved: Some(&resolved) };
        line(&outbound(&snapshot, &local(), &captured, draw))
    };
    let to = |ip: &str| format!("plain {ip}:5432 db n/db");
    assert_eq!(decide("db.example", &["203.0.113.1"], 0), to("203.0.113.1"));
    assert_eq!(decide("db.example", &["2001:db8::9", "203.0.113.1"], 0), to("203.0.113.1"));
    assert_eq!(decide("db.example", &["2001:db8::9"], 0), to("[2001:db8::9]"));
    assert_eq!(
        decide("db.example", &["127.0.0.1", "::1", "169.254.169.254", "::ffff:127.0.0.1"], 0),
        "refuse no_address"
    );
    assert_eq!(decide("db.example", &[], 0), "refuse no_address");
    assert_eq!(decide("other.example", &["203.0.113.1"], 0), "wait db.example");
    let both: BTreeSet<_> =
        (0..64).map(|bit| decide("db.example", &["203.0.113.1", "203.0.113.2"], 1 << bit)).collect();
    assert_eq!(both.len(), 2);
}

#[test]
fn the_ports_of_the_proxy_are_its_configuration() {
    let local = Local { own_ports: [7001].into(), hbone_port: 7008, ..Local::default() };
    let to = |original| line(&decide(&world(), &local, "client", original, 0));
    assert_eq!(to("10.0.0.2:80"), "tunnel 10.0.0.2:7008 10.0.0.2:80 remote");
    assert_eq!(to("10.0.0.2:15008"), "tunnel 10.0.0.2:7008 10.0.0.2:15008 remote");
    assert_eq!(to("10.0.0.2:7008"), "refuse own_port");
    assert_eq!(to("10.0.0.1:7001"), "refuse self_call");
}

/// Endpoints `e0`, `e1` and so on of one service, of the given capacities.
fn service_of(capacities: &[u32]) -> Snapshot {
    let mut text = String::from(
        "services: [{namespace: n, hostname: h, vips: [/10.96.0.1], ports: {80: 8080}}]\nworkloads:\n",
    );
    text += "- {uid: c//Pod/n/client, name: client, namespace: n, workloadIps: [10.0.0.1]}\n";
    for (at, capacity) in capacities.iter().enumerate() {
        text += &format!(
            "- {{uid: e{at}, name: e{at}, namespace: n, workloadIps: [10.1.0.{at}], capacity: {capacity}, services: {{n/h: {{}}}}}}\n"
        );
    }
    Snapshot::from_file(serde_saphyr::from_str::<MeshFile>(&text).unwrap()).unwrap()
}

#[test]
fn endpoints_are_chosen_by_their_capacity() {
    let snapshot = service_of(&[1, 0, 3, 4]);
    let mut chosen = [0; 4];
    for eighth in 0..8_u64 {
        let draw = (eighth << 61) | (u64::MAX >> 4);
        match decide(&snapshot, &Local::default(), "client", "10.96.0.1:80", draw) {
            Decision::Plaintext { destination, .. } => {
                chosen[destination.name[1..].parse::<usize>().unwrap()] += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(chosen, [1, 0, 3, 4]);
}

#[test]
fn the_largest_capacities_do_not_overflow() {
    let snapshot = service_of(&[u32::MAX, u32::MAX, u32::MAX]);
    for draw in [0, u64::MAX / 2, u64::MAX] {
        let decision = decide(&snapshot, &Local::default(), "client", "10.96.0.1:80", draw);
        assert!(matches!(decision, Decision::Plaintext { .. }));
    }
}

#[test]
fn routing_preferences_leave_the_nearest_or_none() {
    let services = |mode: &str, preferences: &str| {
        format!(
            "services: [{{namespace: n, hostname: h, vips: [/10.96.0.1], ports: {{80: 8080}}, loadBalancer: {{mode: {mode}, routingPreferences: [{preferences}]}}}}]\n"
        )
    };
    let workload = |name: &str, region: &str, zone: &str, node: &str| {
        let at = name.len();
        format!(
            "- {{uid: {name}, name: {name}, namespace: n, workloadIps: [10.1.0.{at}], node: {node}, locality: {{region: {region}, zone: {zone}}}, services: {{n/h: {{}}}}}}\n"
        )
    };
    let client = "workloads:\n- {uid: c//Pod/n/client, name: client, namespace: n, workloadIps: [10.0.0.1], node: k1, locality: {region: r1, zone: z1}}\n";
    let near = workload("n", "r1", "z1", "k1");
    let zone = workload("zo", "r1", "z1", "k2");
    let region = workload("reg", "r1", "z2", "k3");
    let away = workload("away", "r2", "z1", "k1");
    let chosen = |mode: &str, preferences: &str, endpoints: &[&String]| {
        let endpoints: String = endpoints.iter().map(|text| text.as_str()).collect();
        let text = services(mode, preferences) + client + &endpoints;
        let snapshot = Snapshot::from_file(serde_saphyr::from_str::<MeshFile>(&text).unwrap()).unwrap();
        let names: BTreeSet<_> = (0..16)
            .map(|sixteenth| decide(&snapshot, &Local::default(), "client", "10.96.0.1:80", sixteenth << 60))
            .map(|decision| match decision {
                Decision::Plaintext { destination, .. } => destination.name.to_string(),
                other => line(&other),
            })
            .collect();
        names.into_iter().collect::<Vec<_>>()
    };
    let all = [&near, &zone, &region, &away];
    assert_eq!(chosen("Standard", "Region, Zone, Node", &all), ["away", "n", "reg", "zo"]);
    assert_eq!(chosen("Failover", "Region, Zone, Node", &all), ["n"]);
    assert_eq!(chosen("Failover", "Region, Zone, Node", &all[1..]), ["zo"]);
    assert_eq!(chosen("Failover", "Region, Zone", &all), ["n", "zo"]);
    // Zone and node match, but the weightier region does not.
    assert_eq!(chosen("Failover", "Region, Zone, Node", &all[2..]), ["reg"]);
    assert_eq!(chosen("Failover", "Region", &all[3..]), ["away"]);
    assert_eq!(chosen("Strict", "Node", &all), ["away", "n"]);
    assert_eq!(chosen("Strict", "Node", &all[1..3]), ["refuse no_healthy_endpoint"]);
}

#[test]
fn endpoints_of_this_network_are_taken_where_there_are_any() {
    let mut snapshot = world();
    let mut delta = Delta::new();
    let plain = snapshot.workload("c//Pod/n/plain").unwrap().as_ref().clone();
    let services = [("n/far".parse().unwrap(), crate::mesh::PortMap::default())].into();
    delta.upsert_workload(Workload { services, ..plain });
    snapshot = snapshot.apply(delta).0;
    for draw in [0, u64::MAX] {
        let decision = decide(&snapshot, &local(), "client", "10.96.0.9:80", draw);
        assert_eq!(line(&decision), "plain 10.0.0.4:8080 plain n/far");
    }
}

#[derive(Clone, Debug)]
struct Case {
    snapshot: Snapshot,
    local: Local,
    source: Arc<Workload>,
    peer: SocketAddr,
    original: SocketAddr,
    resolved: Option<Resolved>,
}

impl Arbitrary for Case {
    fn arbitrary(g: &mut Gen) -> Case {
        let snapshot = Snapshot::arbitrary(g);
        let workloads = snapshot.workloads().map(|workload| workload.uid.clone());
        let workloads = workloads.filter(|_| bool::arbitrary(g)).collect();
        let local = Local { workloads, same_node: bool::arbitrary(g), ..Local::default() };
        let source = sample::workload_of(&snapshot, g);
        let resolved = bool::arbitrary(g)
            .then(|| Resolved { host: "db.example".into(), addresses: vec![sample::ip(g), sample::ip(g)] });
        Case { local, source, peer: sample::socket(g), original: sample::socket(g), resolved, snapshot }
    }
}

impl Case {
    fn decide(&self, draw: u64) -> Decision {
        let captured = Captured {
            source: &self.source,
            peer: self.peer,
            original: self.original,
            resolved: self.resolved.as_ref(),
        };
        outbound(&self.snapshot, &self.local, &captured, draw)
    }

    /// Whether a waypoint stands before what was asked for.
    fn has_waypoint(&self) -> bool {
        let address = NetworkAddress::new(self.local.network.clone(), self.original.ip().to_canonical());
        match self.snapshot.workload_at(&address) {
            Some(workload) => workload.waypoint.is_some(),
            None => self
                .snapshot
                .service_at(&address, self.source.namespace())
                .is_some_and(|service| service.has_waypoint()),
        }
    }
}

type Reached<'a> = (&'a Arc<Workload>, Option<&'a Arc<Service>>, SocketAddr);

/// What a connection reaches without a waypoint or a gateway in between.
fn destination(decision: &Decision) -> Option<Reached<'_>> {
    match decision {
        Decision::Local(to) => Some((&to.destination, to.service.as_ref(), to.target)),
        Decision::Plaintext { target, destination, service } => {
            Some((destination, service.as_ref(), *target))
        }
        // A waypoint may stand at the address of what it was asked for.
        Decision::Tunnel(to) if to.service.as_ref().is_some_and(|service| service.has_waypoint()) => None,
        Decision::Tunnel(to) => match to.authority {
            Authority::Ip(target) if target.ip() == to.peer.ip() => {
                Some((&to.destination, to.service.as_ref(), target))
            }
            Authority::Host { .. } | Authority::Ip(_) => None,
        },
        Decision::Passthrough { .. } | Decision::Refuse(_) | Decision::Wait(_) => None,
    }
}

quickcheck! {
    fn asking_ends_where_all_is_known(case: Case, draw: u64) -> bool {
        let mut asking = Case { local: Local { answered: Some(BTreeSet::new()), ..case.local.clone() }, ..case.clone() };
        for _ in 0..8 {
            match asking.decide(draw) {
                Decision::Wait(Need::Facts { name }) => {
                    assert!(asking.local.answered.as_mut().unwrap().insert(name), "what was answered is asked again");
                }
                decision => return decision == case.decide(draw),
            }
        }
        false
    }

    fn a_port_of_the_proxy_is_never_dialled(case: Case, draw: u64) -> bool {
        let target = match case.decide(draw) {
            Decision::Passthrough { target } => target,
            decision => match destination(&decision) {
                Some((_, _, target)) => target,
                None => return true,
            },
        };
        !case.local.own_ports.contains(&target.port()) && target.ip() == target.ip().to_canonical()
    }

    fn a_draw_chooses_among_equals_only(case: Case, draws: Vec<u64>) -> bool {
        let first = case.decide(0);
        draws.into_iter().all(|draw| {
            let other = case.decide(draw);
            // Which waypoint takes it is chance as well, and so is whether one in another network can be reached.
            let left_the_network = |decision: &Decision| match decision {
                Decision::Tunnel(to) => to.inner.is_some(),
                Decision::Refuse(RouteFault::NoGateway | RouteFault::NoIdentity | RouteFault::NotByService) => true,
                _ => false,
            };
            if case.has_waypoint() || left_the_network(&first) || left_the_network(&other) {
                return true;
            }
            match (destination(&first), destination(&other)) {
                (Some((a, Some(service), _)), Some((b, other_service, _))) => {
                    let all_healthy = service.load_balancer.as_ref().is_none_or(|balancer| balancer.health_policy == HealthPolicy::OnlyHealthy);
                    let admitted = |workload: &Workload| {
                        workload.capacity > 0
                            && workload.network == case.local.network
                            && (!all_healthy || workload.status == HealthStatus::Healthy)
                            && workload.service_ports(&service.key).is_some()
                    };
                    other_service == Some(service) && admitted(a) && admitted(b)
                }
                // Where no endpoint is chosen, chance has no part.
                (Some((_, None, _)), _) => first == other,
                // One endpoint may have a name and another an address.
                (None, _) => first == other || matches!(first, Decision::Wait(_) | Decision::Refuse(RouteFault::NoAddress)),
                (Some(_), None) => matches!(other, Decision::Wait(_) | Decision::Refuse(RouteFault::NoAddress)),
            }
        })
    }

    fn what_the_mesh_knows_is_never_passed_through(case: Case, draw: u64) -> bool {
        let Decision::Passthrough { target } = case.decide(draw) else { return true };
        let known = case.snapshot.workloads().any(|workload| {
            workload.network == case.local.network
                && workload.has_ip(target.ip())
                && workload.network_mode == NetworkMode::Standard
        });
        let address = NetworkAddress::new(case.local.network.clone(), target.ip());
        let service = case.snapshot.service_at(&address, case.source.namespace());
        let open = service.is_none_or(|service| service.load_balancer.as_ref().is_some_and(|balancer| balancer.mode == Mode::Passthrough));
        !known && open
    }

    fn the_target_is_the_destinations(case: Case, draw: u64) -> bool {
        match destination(&case.decide(draw)) {
            Some((workload, _, target)) if workload.ips.is_empty() => !is_special(target.ip()),
            Some((workload, _, target)) => workload.has_ip(target.ip()),
            None => true,
        }
    }

    fn only_workloads_of_this_process_are_local(case: Case, draw: u64) -> bool {
        match case.decide(draw) {
            Decision::Local(to) => case.local.same_node && case.local.workloads.contains(&to.destination.uid),
            Decision::Tunnel(to) => {
                to.expected.contains(to.destination.identity())
                    && to.peer.port() == case.local.hbone_port
                    && (to.destination.ips.is_empty() || to.destination.has_ip(to.peer.ip()))
            }
            _ => true,
        }
    }
}

#[test]
fn generated_cases_reach_every_decision() {
    let mut g = Gen::new(20);
    let seen: BTreeSet<String> = (0..4000)
        .map(|_| Case::arbitrary(&mut g))
        .map(|case| line(&case.decide(case.peer.port().into())).split(' ').next().unwrap_or("").to_owned())
        .collect();
    let all = ["local", "passthrough", "plain", "refuse", "tunnel", "wait"];
    assert!(seen.iter().eq(all.iter()), "{seen:?}");
}
