use std::collections::BTreeSet;

use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;
use crate::mesh::{Delta, MeshFile, sample};

const WORLD: &str = r#"
workloads:
- {uid: pod, name: pod, namespace: n, workloadIps: [10.0.0.1, "2001:db8::1"], protocol: HBONE, services: {n/web.example: {443: 0, 81: 9090}, m/web.example: {}}}
- {uid: other, name: other, namespace: n, workloadIps: [10.0.0.2], protocol: HBONE, services: {n/other.example: {}}}
- {uid: behind, name: behind, namespace: n, workloadIps: [10.0.0.3], protocol: HBONE, waypoint: {destination: /10.0.0.4}}
- {uid: six, name: six, namespace: n, workloadIps: ["2001:db8::8"], protocol: HBONE, applicationTunnel: {protocol: PROXY}}
- {uid: endpoint, name: endpoint, namespace: n, workloadIps: [10.0.0.9], protocol: HBONE, services: {n/guarded.example: {81: 9090}, n/other.example: {80: 8081}}}
- {uid: tunnelled, name: tunnelled, namespace: n, workloadIps: [10.0.0.10], protocol: HBONE, applicationTunnel: {port: 99}, services: {n/guarded.example: {}}}
- {uid: shared, name: shared, namespace: n, workloadIps: [10.0.0.11], protocol: HBONE, services: {n/shared.example: {80: 7070}}}
- {uid: way, name: way, namespace: n, serviceAccount: way, workloadIps: [10.0.0.4], protocol: HBONE}
- {uid: told, name: told, namespace: n, workloadIps: [10.0.0.5], protocol: HBONE, applicationTunnel: {port: 99}}
- {uid: sandwich, name: sandwich, namespace: n, workloadIps: [10.0.0.6], protocol: HBONE, applicationTunnel: {protocol: PROXY, port: 99}}
- {uid: looped, name: looped, namespace: n, workloadIps: [10.0.0.7], protocol: HBONE, applicationTunnel: {port: 15006}, services: {n/web.example: {}}}
- {uid: home, name: home, namespace: n, workloadIps: [127.0.0.1], protocol: HBONE}
services:
- {name: web, namespace: n, hostname: web.example, vips: [/10.96.0.1], ports: {80: 8080, 81: 8081, 443: 0, 444: 15006}}
- {name: web, namespace: m, hostname: web.example, vips: [/10.96.0.3], ports: {80: 7777}}
- {name: guarded, namespace: n, hostname: guarded.example, vips: [/10.96.0.2], ports: {80: 8080, 81: 8082}, waypoint: {destination: /10.0.0.4}}
- {name: both, namespace: n, hostname: both.example, vips: ["/2001:db8:f::2", far/10.96.0.6, /10.96.0.7], ports: {80: 8080}}
- {name: v6, namespace: n, hostname: v6.example, vips: ["/2001:db8:f::1"], ports: {80: 8080}}
- {name: headless, namespace: n, hostname: headless.example, ports: {80: 8080}}
- {name: other, namespace: n, hostname: other.example, vips: [/10.96.0.4], ports: {80: 8080}}
- {name: shared, namespace: n, hostname: shared.example, vips: [/10.96.0.5], ports: {80: 8080}, weightedWaypoints: [{destination: {destination: /10.0.0.4}, weight: 1}]}
"#;

fn world() -> Snapshot {
    Snapshot::from_file(serde_saphyr::from_str::<MeshFile>(WORLD).unwrap()).unwrap()
}

#[test]
fn what_a_connection_to_a_workload_depends_on_is_asked_for() {
    let mut delta = Delta::new();
    for service in ["n/web.example", "n/guarded.example", "n/other.example"] {
        delta.remove_service(service.parse().unwrap());
    }
    delta.remove_workload("way".into());
    let facts = world().apply(delta).0;
    let mut local = Local { answered: Some(BTreeSet::new()), ..Local::default() };
    let host = |name: &str| Authority::host(name, 80).unwrap();
    let ip = |text: &str| Authority::ip(text.parse().unwrap());
    let need = |local: &Local, uid: &str, authority: Option<&Authority>| match inbound_need(
        &facts,
        local,
        facts.workload(uid).unwrap(),
        authority,
    ) {
        Some(Need::Facts { name }) => name.to_string(),
        other => format!("{other:?}"),
    };
    for (uid, authority, needed) in [
        // What it is an endpoint of, by the name that was asked for, and nothing else.
        ("pod", host("web.example"), "n/web.example"),
        ("pod", host("other.example"), "None"),
        ("pod", ip("10.0.0.1:80"), "None"),
        // What it may stand before.
        ("pod", ip("10.0.0.77:80"), "/10.0.0.77"),
        ("pod", ip("10.0.0.3:80"), "/10.0.0.4"),
        ("pod", ip("10.96.0.5:80"), "/10.0.0.4"),
        ("pod", ip("10.0.0.2:80"), "None"),
    ] {
        assert_eq!(need(&local, uid, Some(&authority)), needed, "{uid} {authority}");
    }
    // What stands before it counts where nobody may pass by.
    assert_eq!(need(&local, "behind", None), "None");
    local.require_waypoint = true;
    assert_eq!(need(&local, "behind", None), "/10.0.0.4");
    assert_eq!(need(&local, "other", Some(&ip("10.0.0.2:80"))), "n/other.example");
    local
        .answered
        .as_mut()
        .unwrap()
        .extend(["n/other.example", "/10.0.0.4"].map(|name| Destination::try_from(name.to_owned()).unwrap()));
    assert_eq!(need(&local, "behind", None), "None");
    assert_eq!(need(&local, "other", None), "None");
}

/// What a CONNECT for an authority does to a workload, as the target or the fault's label.
fn connect(uid: &str, tcp: &str, authority: &str) -> Result<String, &'static str> {
    let snapshot = world();
    let workload = snapshot.workload(uid).unwrap();
    Authority::parse(authority)
        .map_err(|_| InboundFault::BadAuthority)
        .and_then(|authority| {
            inbound_connect(&snapshot, &Local::default(), workload, tcp.parse().unwrap(), &authority)
        })
        .map(|to| to.target.to_string())
        .map_err(InboundFault::label)
}

#[test]
fn a_connect_reaches_the_workload_and_nothing_else() {
    let bad = Err("bad_authority");
    let forbidden = Err("forbidden_address");
    let mismatch = Err("ip_mismatch");
    let own_port = Err("own_port");
    let pod = Ok("10.0.0.1:80");
    let rows = [
        // The workload itself, in each form that is one.
        ("10.0.0.1:80", pod),
        ("[::ffff:10.0.0.1]:80", pod),
        ("[::ffff:a00:1]:80", pod),
        ("[0:0:0:0:0:ffff:10.0.0.1]:80", pod),
        // The workload in forms that are none.
        ("010.0.0.1:80", bad),
        ("012.0.0.1:80", bad),
        ("10.0.0.01:80", bad),
        ("0xa.0.0.1:80", bad),
        ("0x0a000001:80", bad),
        ("167772161:80", bad),
        ("01200000001:80", bad),
        ("10.1:80", bad),
        ("10.0.1:80", bad),
        ("10.0.0.1.:80", bad),
        ("[10.0.0.1]:80", bad),
        ("10.0.0.1", bad),
        ("10.0.0.1:0", bad),
        ("10.0.0.1:00080", bad),
        ("x@10.0.0.1:80", bad),
        // Another address of the workload: the tunnel was opened to this one.
        ("[2001:db8::1]:80", mismatch),
        // Other workloads, services, nodes and the world.
        ("10.0.0.2:80", mismatch),
        ("[::ffff:10.0.0.2]:80", mismatch),
        ("10.0.0.3:80", mismatch),
        ("10.96.0.1:80", mismatch),
        ("10.96.0.2:80", mismatch),
        ("192.168.0.1:10250", mismatch),
        ("203.0.113.9:80", mismatch),
        ("[2001:db8::2]:80", mismatch),
        ("[::10.0.0.1]:80", mismatch),
        ("[64:ff9b::10.0.0.1]:80", mismatch),
        ("[2002:a00:1::]:80", mismatch),
        // Loopback.
        ("127.0.0.1:80", forbidden),
        ("127.0.0.1:15000", forbidden),
        ("127.1.2.3:80", forbidden),
        ("[::1]:80", forbidden),
        ("[0:0:0:0:0:0:0:1]:80", forbidden),
        ("[::ffff:127.0.0.1]:80", forbidden),
        ("[::ffff:7f00:1]:80", forbidden),
        ("127.1:80", bad),
        ("2130706433:80", bad),
        ("0x7f000001:80", bad),
        ("0x7f.0.0.1:80", bad),
        ("0177.0.0.1:80", bad),
        ("017700000001:80", bad),
        ("localhost:80", Err("unknown_host")),
        ("LOCALHOST:15000", Err("unknown_host")),
        ("localhost.:80", bad),
        // Link-local, the cloud's metadata among it.
        ("169.254.169.254:80", forbidden),
        ("[::ffff:169.254.169.254]:80", forbidden),
        ("[::ffff:a9fe:a9fe]:80", forbidden),
        ("169.254.7.127:80", forbidden),
        ("2852039166:80", bad),
        ("0xa9fea9fe:80", bad),
        ("0251.0376.0251.0376:80", bad),
        ("169.254.43518:80", bad),
        ("[fe80::1]:80", forbidden),
        ("[fe80::1%eth0]:80", bad),
        ("[fe80::1%25eth0]:80", bad),
        ("[fe80::1%1]:80", bad),
        ("[febf::1]:80", forbidden),
        // Unspecified, multicast, broadcast.
        ("0.0.0.0:80", forbidden),
        ("0.1.2.3:80", forbidden),
        ("[::]:80", forbidden),
        ("[::ffff:0.0.0.0]:80", forbidden),
        ("0:80", bad),
        ("224.0.0.1:80", forbidden),
        ("[ff02::1]:80", forbidden),
        ("[::ffff:224.0.0.1]:80", forbidden),
        ("255.255.255.255:80", forbidden),
        // The proxy's own ports.
        ("10.0.0.1:15001", own_port),
        ("10.0.0.1:15006", own_port),
        ("10.0.0.1:15008", own_port),
        ("10.0.0.1:15080", own_port),
        ("[::ffff:10.0.0.1]:15008", own_port),
        ("web.example:444", own_port),
        // Services by name.
        ("web.example:80", Ok("10.0.0.1:8080")),
        ("WEB.example:80", Ok("10.0.0.1:8080")),
        ("web.example:81", Ok("10.0.0.1:9090")),
        ("web.example:443", Err("no_service_port")),
        ("web.example:82", Err("no_service_port")),
        ("other.example:80", Err("unknown_host")),
        ("guarded.example:80", Err("unknown_host")),
        ("nowhere.example:80", Err("unknown_host")),
    ];
    assert!(rows.len() >= 60);
    for (authority, expected) in rows {
        for tcp in ["10.0.0.1:15008", "[::ffff:10.0.0.1]:15008"] {
            assert_eq!(
                connect("pod", tcp, authority).as_deref(),
                expected.as_ref().map(|to| *to),
                "{authority}"
            );
        }
    }
}

#[test]
fn the_tunnel_must_have_been_opened_to_the_workload() {
    for tcp in ["10.0.0.2:15008", "127.0.0.1:15008", "[::1]:15008", "192.0.2.1:15008"] {
        assert_eq!(connect("pod", tcp, "10.0.0.1:80"), Err("unknown_workload"), "{tcp}");
    }
    assert_eq!(connect("pod", "[2001:db8::1]:15008", "[2001:db8::1]:80").as_deref(), Ok("[2001:db8::1]:80"));
    // A workload whose address is loopback, as on a developer's machine, is one like any other.
    assert_eq!(connect("home", "127.0.0.1:15008", "127.0.0.1:80").as_deref(), Ok("127.0.0.1:80"));
    assert_eq!(connect("home", "127.0.0.1:15008", "127.0.0.2:80"), Err("forbidden_address"));
}

#[test]
fn a_waypoint_takes_what_names_it_and_is_itself_what_is_dialled() {
    let way = |authority| connect("way", "10.0.0.4:15008", authority);
    for authority in
        ["10.0.0.3:80", "10.96.0.2:80", "10.96.0.5:80", "guarded.example:80", "shared.example:80"]
    {
        assert_eq!(way(authority).as_deref(), Ok("10.0.0.4:80"), "{authority}");
    }
    assert_eq!(way("10.0.0.2:80"), Err("ip_mismatch"));
    assert_eq!(way("10.96.0.1:80"), Err("ip_mismatch"));
    assert_eq!(way("web.example:80"), Err("unknown_host"));
    assert_eq!(way("127.0.0.1:80"), Err("forbidden_address"));
    assert_eq!(way("10.0.0.3:15008"), Err("own_port"));
}

#[test]
fn an_application_tunnel_takes_all_at_its_port() {
    for authority in ["10.0.0.5:80", "10.0.0.2:80", "203.0.113.9:80", "10.0.0.5:15008", "web.example:80"] {
        assert_eq!(connect("told", "10.0.0.5:15008", authority).as_deref(), Ok("10.0.0.5:99"), "{authority}");
    }
    assert_eq!(connect("told", "10.0.0.5:15008", "169.254.169.254:80"), Err("forbidden_address"));
    assert_eq!(connect("told", "10.0.0.5:15008", "nowhere.example:80"), Err("unknown_host"));
    assert_eq!(connect("sandwich", "10.0.0.6:15008", "10.0.0.6:80").as_deref(), Ok("10.0.0.6:99"));
    assert_eq!(connect("looped", "10.0.0.7:15008", "10.0.0.7:80"), Err("own_port"));
    assert_eq!(connect("looped", "10.0.0.7:15008", "web.example:80"), Err("own_port"));
}

#[test]
fn an_application_that_wants_to_know_is_dialled_at_loopback_and_told_what_was_asked() {
    let snapshot = world();
    let told = |uid: &str, tcp: &str, authority: &str, loopback_tunnel| {
        let local = Local { loopback_tunnel, ..Local::default() };
        let authority = Authority::parse(authority).unwrap();
        let workload = snapshot.workload(uid).unwrap();
        let to = inbound_connect(&snapshot, &local, workload, tcp.parse().unwrap(), &authority).unwrap();
        assert_eq!((to.target.ip(), to.target.port()), (to.workload.ips[0], to.dial.port()));
        (to.dial.to_string(), to.shown.map(|shown| shown.to_string()))
    };
    let rows = [
        ("sandwich", "10.0.0.6", "10.0.0.6:80", "127.0.0.1:99", Some("10.0.0.6:80")),
        ("sandwich", "10.0.0.6", "203.0.113.9:80", "127.0.0.1:99", Some("203.0.113.9:80")),
        // A name is told as the virtual address, IPv4 rather than IPv6, and as the port that was asked for.
        ("sandwich", "10.0.0.6", "guarded.example:80", "127.0.0.1:99", Some("10.96.0.2:80")),
        ("sandwich", "10.0.0.6", "both.example:80", "127.0.0.1:99", Some("10.96.0.7:80")),
        ("sandwich", "10.0.0.6", "v6.example:80", "127.0.0.1:99", Some("[2001:db8:f::1]:80")),
        ("sandwich", "10.0.0.6", "headless.example:80", "127.0.0.1:99", Some("10.0.0.6:80")),
        ("six", "[2001:db8::8]", "[2001:db8::8]:80", "[::1]:80", Some("[2001:db8::8]:80")),
        // Others are told nothing.
        ("told", "10.0.0.5", "10.0.0.5:80", "10.0.0.5:99", None),
        ("pod", "10.0.0.1", "10.0.0.1:80", "10.0.0.1:80", None),
    ];
    for (uid, ip, authority, dial, shown) in rows {
        let tcp = format!("{ip}:15008");
        assert_eq!(
            told(uid, &tcp, authority, true),
            (dial.to_owned(), shown.map(str::to_owned)),
            "{authority}"
        );
        let (own, _) = told(uid, &tcp, authority, false);
        assert!(own.starts_with(ip), "{own}: no loopback where it is not the pod's");
    }
}

#[test]
fn what_has_a_waypoint_may_require_it() {
    let (snapshot, id) =
        (world(), |account: &str| format!("spiffe://cluster.local/ns/n/sa/{account}").parse().unwrap());
    let (way, other): (SpiffeId, SpiffeId) = (id("way"), id("default"));
    let required = Local { require_waypoint: true, ..Local::default() };
    let may = |local: &Local, uid: &str, port, peer: Option<(&SpiffeId, &str)>| {
        let peer = peer.map(|(id, ip)| (id, ip.parse().unwrap()));
        may_pass(&snapshot, local, snapshot.workload(uid).unwrap(), port, peer)
    };
    // (workload, port, has a waypoint)
    let rows = [
        ("behind", 80, true),
        ("behind", 9999, true),
        // Of a service: the ports behind it, wherever they come from, and no others.
        ("endpoint", 8080, true),
        ("endpoint", 9090, true),
        ("endpoint", 8081, false),
        // What takes everything at one port takes what is meant for the service there.
        ("tunnelled", 99, true),
        ("shared", 7070, true),
        ("pod", 80, false),
        ("way", 80, false),
    ];
    for (uid, port, guarded) in rows {
        assert!(may(&required, uid, port, Some((&way, "10.0.0.4"))), "{uid}:{port} from its waypoint");
        for peer in [None, Some((&other, "10.0.0.4")), Some((&way, "10.0.0.1")), Some((&other, "10.0.0.1"))] {
            assert_eq!(may(&required, uid, port, peer), !guarded, "{uid}:{port} {peer:?}");
            assert!(may(&Local::default(), uid, port, peer), "it is off unless it is asked for");
        }
        let known = snapshot.workload(uid).unwrap();
        let any = rows.iter().any(|(other, _, guarded)| *other == uid && *guarded);
        assert_eq!(must_pass(&snapshot, &required, known), any);
        assert!(!must_pass(&snapshot, &Local::default(), known));
    }
}

#[test]
fn who_stands_before_another_is_told_apart_from_who_is_asked_for_itself() {
    let snapshot = world();
    let another = |uid: &str, ip: &str, authority: &str| {
        let workload = snapshot.workload(uid).unwrap();
        let (tcp, authority) = (format!("{ip}:15008").parse().unwrap(), Authority::parse(authority).unwrap());
        inbound_connect(&snapshot, &Local::default(), workload, tcp, &authority).unwrap().for_another
    };
    assert!(another("way", "10.0.0.4", "10.0.0.3:80") && another("way", "10.0.0.4", "guarded.example:80"));
    assert!(!another("way", "10.0.0.4", "10.0.0.4:80") && !another("pod", "10.0.0.1", "web.example:80"));
    // Whatever is asked of it, an application tunnel leads to the workload itself.
    assert!(!another("told", "10.0.0.5", "203.0.113.9:80") && !another("told", "10.0.0.5", "web.example:80"));
}

#[test]
fn a_plain_connection_reaches_the_workload_and_nothing_else() {
    let snapshot = world();
    let pod = snapshot.workload("pod").unwrap();
    for (original, expected) in [
        ("10.0.0.1:80", Ok("10.0.0.1:80")),
        ("[::ffff:10.0.0.1]:80", Ok("10.0.0.1:80")),
        ("[2001:db8::1]:80", Ok("[2001:db8::1]:80")),
        ("10.0.0.1:15006", Err("own_port")),
        ("10.0.0.1:15008", Err("own_port")),
        ("10.0.0.1:0", Err("unknown_workload")),
        ("10.0.0.2:80", Err("unknown_workload")),
        ("127.0.0.1:80", Err("unknown_workload")),
        ("169.254.169.254:80", Err("unknown_workload")),
    ] {
        let target = inbound_plaintext(&Local::default(), pod, original.parse().unwrap());
        let target = target.map(|to| to.target.to_string()).map_err(InboundFault::label);
        assert_eq!(target.as_deref(), expected.as_ref().map(|to| *to), "{original}");
    }
}

#[test]
fn faults_answer_as_the_contract_says() {
    let client = [InboundFault::BadAuthority, InboundFault::ForbiddenAddress, InboundFault::IpMismatch];
    assert!(client.iter().all(|fault| fault.status() == 400));
    let server = [
        InboundFault::NoServicePort,
        InboundFault::OwnPort,
        InboundFault::UnknownHost,
        InboundFault::UnknownWorkload,
    ];
    assert!(server.iter().all(|fault| fault.status() == 503));
}

#[derive(Clone, Debug)]
struct Case {
    snapshot: Snapshot,
    workload: Arc<Workload>,
    tcp: SocketAddr,
    authority: Authority,
}

impl Arbitrary for Case {
    fn arbitrary(g: &mut Gen) -> Case {
        let snapshot = Snapshot::arbitrary(g);
        let workload = sample::workload_of(&snapshot, g);
        let own = g.choose(&workload.ips).copied().unwrap_or_else(|| sample::ip(g));
        let tcp = SocketAddr::new(if sample::rarely(g, 8) { sample::ip(g) } else { own }, 15008);
        let asked = sample::socket(g);
        let authority = match u8::arbitrary(g) % 3 {
            0 => Authority::Ip(asked),
            1 => Authority::Ip(SocketAddr::new(own, asked.port())),
            _ => Authority::Host {
                host: sample::one(g, &["x.example", "y.example", "z.example"]).into(),
                port: asked.port(),
            },
        };
        Case { snapshot, workload, tcp, authority }
    }
}

quickcheck! {
    fn what_was_answered_is_not_asked_again(case: Case, required: bool) -> bool {
        let mut local = Local { answered: Some(BTreeSet::new()), require_waypoint: required, ..Local::default() };
        for authority in [Some(&case.authority), None] {
            while let Some(need) = inbound_need(&case.snapshot, &local, &case.workload, authority) {
                let Need::Facts { name } = need else { return false };
                assert!(local.answered.as_mut().unwrap().insert(name.clone()), "{name} is asked for again");
            }
        }
        // Where facts come as a whole, nothing is asked for.
        let all = Local { answered: None, ..local };
        inbound_need(&case.snapshot, &all, &case.workload, Some(&case.authority)).is_none()
    }

    fn whatever_is_asked_only_the_workload_is_dialled(case: Case) -> bool {
        let local = Local::default();
        match inbound_connect(&case.snapshot, &local, &case.workload, case.tcp, &case.authority) {
            Ok(to) => {
                to.workload == case.workload
                    && to.target.ip() == case.tcp.ip().to_canonical()
                    && case.workload.has_ip(to.target.ip())
                    && !local.own_ports.contains(&to.target.port())
                    && to.target.port() != 0
            }
            Err(fault) => matches!(fault.status(), 400 | 503),
        }
    }

    fn an_address_of_another_needs_a_reason(case: Case) -> bool {
        let Authority::Ip(asked) = &case.authority else { return true };
        let answer = inbound_connect(&case.snapshot, &Local::default(), &case.workload, case.tcp, &case.authority);
        let own = asked.ip().to_canonical() == case.tcp.ip().to_canonical();
        let of_workloads = case.snapshot.workloads().filter_map(|behind| Some((behind.waypoint.as_deref()?, behind.namespace())));
        let of_services = case.snapshot.services().flat_map(|behind| behind.waypoints().map(|waypoint| (waypoint, behind.key.namespace.as_ref())));
        let mut waypoints = of_workloads.chain(of_services).filter(|(waypoint, namespace)| gateway::is_workload(&case.snapshot, waypoint, namespace, &case.workload));
        answer.is_err() || own || case.workload.application_tunnel.is_some() || waypoints.next().is_some()
    }

    fn plain_connections_reach_only_their_workload(case: Case, original: SocketAddr) -> bool {
        let local = Local::default();
        let addresses = [original, SocketAddr::new(case.tcp.ip(), original.port()), case.tcp];
        addresses.into_iter().all(|original| match inbound_plaintext(&local, &case.workload, original) {
            Ok(to) => case.workload.has_ip(to.target.ip()) && !local.own_ports.contains(&to.target.port()),
            Err(_) => true,
        })
    }
}

#[test]
fn generated_cases_reach_most_answers() {
    let mut g = Gen::new(20);
    let seen: std::collections::BTreeSet<_> = (0..4000)
        .map(|_| Case::arbitrary(&mut g))
        .map(|case| {
            inbound_connect(&case.snapshot, &Local::default(), &case.workload, case.tcp, &case.authority)
        })
        .map(|answer| answer.map_or_else(InboundFault::label, |_| "reached"))
        .collect();
    assert!(seen.len() >= 7, "{seen:?}");
}
