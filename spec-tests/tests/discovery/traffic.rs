//! Nodes whose facts change, and whose control plane comes and goes, while applications talk (C7, C8, L6).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use culvert_core::mesh::{Action, Match, Policy, Scope, StringMatch};
use culvert_core::xds::{Event, Fact, ResourceType};
use culvert_discovery::{Discovery, News};
use culvert_spec_tests::control_plane::{Authority, ControlPlane, Manner};
use culvert_spec_tests::testbed::{
    Address, Certificates, Ending, Mesh, NodeSetup, PATIENCE, Server, TestNode, call, converse, echo,
    exchange, take,
};

use crate::listener::{config, fact, policy, workload_with};

const WORKLOADS: usize = 1_000;
const ROUNDS: usize = 60;

/// A node whose facts a control plane tells of.
struct Told {
    node: Arc<TestNode>,
    ready: Arc<AtomicBool>,
    _discovery: Discovery,
}

impl Told {
    fn start(setup: &NodeSetup, control_plane: &ControlPlane, authority: &Authority) -> Told {
        let node = Arc::new(setup.start());
        let ready = Arc::new(AtomicBool::new(false));
        let (applying, is_ready) = (node.clone(), ready.clone());
        let take = move |news| match news {
            News::Facts(delta) => drop(applying.node.apply_delta(delta)),
            News::Event(Event::Ready) => is_ready.store(true, Ordering::SeqCst),
            _ => {}
        };
        let discovery = Discovery::start(config(control_plane, Some(authority)), take).unwrap();
        Told { node, ready, _discovery: discovery }
    }

    /// Waits until the node knows what the control plane knows.
    fn is_current(&self, control_plane: &ControlPlane) -> Duration {
        let begun = Instant::now();
        let expected = control_plane.snapshot();
        while !self.node.node.snapshot().is_identical_to(&expected) {
            assert!(begun.elapsed() < PATIENCE, "the node does not catch up");
            std::thread::sleep(Duration::from_millis(2));
        }
        begun.elapsed()
    }
}

/// Another workload of the mesh, as it is in some round.
fn other(number: usize, round: usize) -> Fact {
    let ip = format!("10.{}.{}.{}", round % 200, number / 250, number % 250);
    fact(workload_with(&format!("test//Pod/default/w{number}"), &ip, |spec| {
        spec.services = [("default/web.example".parse().unwrap(), [(80, 8080)].into_iter().collect())].into();
    }))
}

/// A policy that is about neither end of the traffic.
fn about_others(round: usize) -> Fact {
    let wanted = Match {
        principals: vec![StringMatch::Exact(format!("cluster.local/ns/default/sa/w{round}").into())],
        ..Match::default()
    };
    policy(Policy {
        name: "others".into(),
        namespace: "default".into(),
        scope: Scope::Namespace,
        action: Action::Deny,
        rules: vec![vec![vec![wanted]]],
        dry_run: false,
    })
}

/// Facts change round by round; every tenth round the control plane is away for a while.
fn churn(control_plane: &mut ControlPlane) {
    let manners = [
        Manner::default(),
        Manner { split: true, ..Manner::default() },
        Manner { repeat: true, shuffle: Some(3), ..Manner::default() },
    ];
    for round in 1..=ROUNDS {
        control_plane.set_manner(manners[round % manners.len()]);
        let changed = (0..20).map(|step| other((round * 37 + step * 13) % WORKLOADS, round));
        let gone: Vec<_> = (0..5)
            .map(|step| {
                (ResourceType::Address, format!("test//Pod/default/w{}", (round * 11 + step) % WORKLOADS))
            })
            .collect();
        if round % 10 == 0 {
            control_plane.kill();
        }
        control_plane.change(changed.chain([about_others(round)]), &gone);
        std::thread::sleep(Duration::from_millis(30));
        if round % 10 == 0 {
            control_plane.start();
        }
    }
}

#[test]
fn traffic_goes_on_while_facts_change_and_the_control_plane_comes_and_goes() {
    let (client, server, place) = (Address::take(), Address::take(), Address::take());
    let certificates = Certificates::issue(&["client", "server"]);
    let mesh = Mesh::new().workload("client", client.ip).workload("server", server.ip);
    let authority = Arc::new(Authority::new("istiod.istio-system.svc"));
    let mut control_plane = ControlPlane::serving(place.port(15_012), Some(authority.clone()));
    control_plane.publish(mesh.snapshot().workloads().cloned().map(Fact::Workload));
    control_plane.publish((0..WORKLOADS).map(|number| other(number, 0)));
    let _echo = Server::start(server.port(7000), echo);
    let nodes = [
        NodeSetup::new(&mesh, "client", client.ip, &certificates)
            .forward(client.port(9000), server.port(7000)),
        NodeSetup::new(&mesh, "server", server.ip, &certificates),
    ]
    .map(|setup| Told::start(&setup, &control_plane, &authority));
    for node in &nodes {
        let took = node.is_current(&control_plane);
        println!("the first {} facts: {took:?}", WORKLOADS + 2);
        assert!(node.ready.load(Ordering::SeqCst) || took < PATIENCE);
    }
    let (over, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let heard = call(client.port(9000), |stream| exchange(stream, b"hello"));
                    assert_eq!((heard.bytes.as_slice(), heard.ending), (&b"hello"[..], Ending::Eof));
                    calls.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        scope.spawn(|| {
            let long = converse(client.port(9000));
            while !over.load(Ordering::SeqCst) {
                std::io::Write::write_all(&mut &long, b"still here").unwrap();
                assert_eq!(take(&long, 10).unwrap(), b"still here");
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        churn(&mut control_plane);
        over.store(true, Ordering::SeqCst);
    });
    for node in &nodes {
        println!("after the last change: {:?}", node.is_current(&control_plane));
    }
    let calls = calls.load(Ordering::SeqCst);
    println!("{calls} calls, none failed; {} streams", control_plane.opened().len());
    assert!(calls > 100, "{calls}");
}

#[test]
fn a_policy_that_is_told_of_ends_what_it_denies() {
    let (client, server, place) = (Address::take(), Address::take(), Address::take());
    let certificates = Certificates::issue(&["client", "server"]);
    let mesh = Mesh::new().workload("client", client.ip).workload("server", server.ip);
    let authority = Arc::new(Authority::new("istiod.istio-system.svc"));
    let control_plane = ControlPlane::serving(place.port(15_012), Some(authority.clone()));
    control_plane.publish(mesh.snapshot().workloads().cloned().map(Fact::Workload));
    let _echo = Server::start(server.port(7000), echo);
    let client_node = NodeSetup::new(&mesh, "client", client.ip, &certificates)
        .forward(client.port(9000), server.port(7000))
        .start();
    let told =
        Told::start(&NodeSetup::new(&mesh, "server", server.ip, &certificates), &control_plane, &authority);
    told.is_current(&control_plane);
    let live = converse(client.port(9000));
    std::io::Write::write_all(&mut &live, b"hello").unwrap();
    assert_eq!(take(&live, 5).unwrap(), b"hello");
    let key = culvert_core::mesh::PolicyKey::new("default", "broken");
    let refused =
        prost::Message::encode_to_vec(&culvert_proto::encode::undecodable(&key, Some(Scope::Namespace)));
    control_plane.publish_bytes(ResourceType::Authorization, "default/broken", refused);
    let heard = culvert_spec_tests::testbed::hear(&live, PATIENCE);
    assert_eq!((heard.bytes.len(), heard.ending), (0, Ending::Reset));
    assert!(
        control_plane.wait_for(|received| received.error().is_some()).error().unwrap().contains("action")
    );
    drop(client_node);
}
