//! Beside a node that lies: what reaches applications, what honest nodes pay, and that they go on (attacks A1 to A7, A22 to A24
//! of `docs/security.md`).

use std::hash::{DefaultHasher, Hash, Hasher};

use culvert_core::fault::{Fault, Stage};
use culvert_core::hbone::mux::MuxFault;
use culvert_core::identity::{IdentityFault, SpiffeId};
use culvert_core::lies::{Answer, StreamEnd};
use culvert_core::policy::Denial;
use culvert_core::telemetry::Event;
use culvert_sim::frame::{Frame, kind, setting};
use culvert_sim::liar::{Lie, SAME};
use culvert_sim::world::{Act, NodeId, Pod, Reading, Script, Seen, Serve, Step, World};

use crate::mesh::{SECOND, faults};

/// A liar's node with a pod, two honest nodes with one each.
struct Company {
    world: World,
    liar: NodeId,
    near: NodeId,
    far: NodeId,
    /// On the liar's node.
    x: Pod,
    /// On honest nodes.
    a: Pod,
    b: Pod,
}

fn company(seed: u64, lies: &[Lie]) -> Company {
    let mut world = World::with_limits(seed, |limits| {
        limits.stream_window = 128 << 10;
        limits.stream_window_wide = 128 << 10;
        limits.relay_queue = 64 << 10;
    });
    let (liar, near, far) = (world.liar(lies.to_vec()), world.node(), world.node());
    let (x, a, b) = (world.pod(liar, "x"), world.pod(near, "a"), world.pod(far, "b"));
    Company { world, liar, near, far, x, a, b }
}

/// Every kind of lie that is told in the words of the mesh.
fn words() -> Vec<Lie> {
    let status = |status, end| Lie::Answers(Answer::Status { status, end });
    vec![
        Lie::Target("10.0.3.3:9999".into()),
        Lie::Target("127.0.0.1:8080".into()),
        Lie::Header("forwarded", "for=10.0.2.2;host=other".into()),
        Lie::Header("baggage", "k8s.namespace.name=kube-system,service.name=a".into()),
        Lie::Credulous,
        Lie::Unexpiring,
        Lie::Permissive,
        Lie::Answers(Answer::Never),
        status(200, false),
        status(200, true),
        status(204, false),
        status(302, true),
        status(401, true),
        status(599, false),
        Lie::AbortsAs(StreamEnd::Finish),
        Lie::AbortsAs(StreamEnd::Reset(0)),
        Lie::AbortsAs(StreamEnd::Reset(7)),
        Lie::AbortsAs(StreamEnd::Reset(0xdead)),
        Lie::FinishesAs(0),
        Lie::FinishesAs(7),
        Lie::FinishesAs(10),
    ]
}

/// Every kind of lie that is told in frames.
fn frames() -> Vec<Lie> {
    let mut lies = Vec::new();
    for kind in [
        kind::DATA,
        kind::HEADERS,
        kind::RST_STREAM,
        kind::SETTINGS,
        kind::PING,
        kind::GOAWAY,
        kind::WINDOW_UPDATE,
    ] {
        lies.extend([Lie::Withholds(kind), Lie::Deaf(kind)]);
    }
    lies.extend([Lie::Unanswering(kind::PING), Lie::Unanswering(kind::SETTINGS), Lie::Greedy]);
    lies.extend([Lie::Crumbs(20)]);
    for said in [
        Frame::settings(&[(setting::MAX_CONCURRENT_STREAMS, 0)]),
        Frame::settings(&[(setting::MAX_CONCURRENT_STREAMS, 1)]),
        Frame::settings(&[(setting::MAX_CONCURRENT_STREAMS, u32::MAX)]),
        Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]),
        Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, (1 << 31) - 1)]),
        Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 31)]),
        Frame::settings(&[(setting::MAX_FRAME_SIZE, (1 << 24) - 1)]),
        Frame::settings(&[(setting::MAX_FRAME_SIZE, 100)]),
        Frame::settings(&[(99, 99)]),
        Frame::ping(*b"liarliar"),
        Frame::goaway((1 << 31) - 1, 0),
        Frame::goaway(1, 0),
        Frame::goaway(0, 11),
        Frame::reset(SAME, 8),
        Frame::data(SAME, false, &[]),
        Frame::data(SAME, true, &[]),
        Frame::window_update(SAME, 0),
        Frame::window_update(SAME, (1 << 31) - 1),
        Frame::window_update(0, (1 << 31) - 1),
        Frame::new(200, 0, SAME, b"unknown"),
    ] {
        for after in [kind::HEADERS, kind::DATA] {
            let frames = vec![said.clone(); 3];
            lies.push(Lie::Says { after, count: 3, frames: frames.clone() });
            lies.push(Lie::Adds { to: after, frames });
        }
    }
    lies
}

/// What honest nodes read: it tells whether a lie was told.
fn read_by(world: &World, nodes: [NodeId; 2]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for step in nodes.iter().flat_map(|node| &world.recording(*node).expect("it is recorded").steps) {
        if let Step::Read(_, _, bytes) = step {
            bytes.hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Whatever a liar does as source and as destination, those beside it are served, and after it has gone too.
fn live_beside(lies: &[Lie]) -> u64 {
    let Company { mut world, liar, near, far, x, a, b } = company(1, lies);
    let echo = Serve::Script(Script::echo());
    let [at_x, at_b] = [x, b].map(|pod| world.serve(pod, 8080, echo.clone()));
    let aborts = Serve::Script(Script::acts(&[Act::Send(50_000), Act::Receive(1), Act::Reset]));
    let rude = world.serve(x, 8081, aborts);
    let slow = world.serve(b, 8082, Serve::Script(Script::acts(&[]).reading(Reading::Never)));
    let denied = world.pod(liar, "denied");
    let unwelcome = world.pod(near, "unwelcome");
    world.deny("no-denied", denied);
    world.deny("no-unwelcome", unwelcome);
    for _ in 0..2 {
        for _ in 0..2 {
            world.call(x, at_b, Script::send(40_000));
            world.call(a, at_x, Script::send(40_000));
            world.call(a, rude, Script::keep(1000));
        }
        world.call(x, slow, Script::keep(1 << 20));
        world.call(x, at_b, Script::acts(&[Act::Send(50_000), Act::Receive(10_000), Act::Reset]));
        world.call_in_vain(denied, at_b, Script::send(1000));
        world.call_in_vain(unwelcome, at_b, Script::send(1000));
        // The liar may let it in: that is between it and its own.
        world.call(unwelcome, at_x, Script::send(1000));
        let call = world.call(a, at_b, Script::send(100_000));
        world.run(SECOND);
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 100_000), "{lies:?}");
    }
    [x, b].into_iter().for_each(|pod| world.rotate(pod));
    world.run(40 * SECOND);
    world.kill(liar);
    world.run(40 * SECOND);
    let call = world.call(a, at_b, Script::send(100_000));
    world.run(SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 100_000), "{lies:?}");
    for node in [near, far] {
        assert_eq!(world.connections(node), 0, "{lies:?}");
    }
    let read = read_by(&world, [near, far]);
    world.finish();
    read
}

#[test]
fn whatever_a_liar_tells_others_are_served_and_the_laws_hold() {
    let truth = live_beside(&[]);
    // What is told of these two is told in tests of their own.
    let unheard = [Lie::Unexpiring, Lie::Credulous];
    let told = |lie: &Lie| live_beside(std::slice::from_ref(lie)) != truth;
    let wrong: Vec<Lie> =
        words().into_iter().chain(frames()).filter(|lie| told(lie) == unheard.contains(lie)).collect();
    assert!(wrong.is_empty(), "not told, or told unexpectedly: {wrong:?}");
}

/// The identity of a pod of this name.
fn identity(name: &str) -> SpiffeId {
    format!("spiffe://cluster.local/ns/default/sa/{name}").parse().unwrap()
}

/// The faults with which a node's tunnels ended.
fn tunnel_faults(world: &World, node: NodeId) -> Vec<Fault> {
    let closed = |(_, event): &(_, Event)| match event {
        Event::TunnelClosed { fault, .. } => Some(fault.clone()),
        _ => None,
    };
    world.reports(node).iter().filter_map(closed).collect()
}

/// The verified sources of a node's connections.
fn sources(world: &World, node: NodeId) -> Vec<Option<SpiffeId>> {
    let closed = |(_, event): &(_, Event)| match event {
        Event::Closed { connection, .. } => Some(connection.source_identity.clone()),
        _ => None,
    };
    world.reports(node).iter().filter_map(closed).collect()
}

fn echo() -> Serve {
    Serve::Script(Script::echo())
}

#[test]
fn a_liar_reaches_nothing_but_the_workload_that_it_dialled() {
    for target in [
        "10.0.3.4:8080", // a neighbour of the workload
        "[::ffff:10.0.3.4]:8080",
        "10.0.2.2:8080", // a pod of another node
        "10.0.1.1:8080", // itself
        "127.0.0.1:8080",
        "[::1]:8080",
        "[::ffff:127.0.0.1]:8080",
        "0.0.0.0:8080",
        "169.254.169.254:80",
        "[fe80::1]:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "10.0.3.3:0",
        "10.0.3.3:15001",
        "10.0.3.3:15006",
        "10.0.3.3:15008",
        "localhost:8080",
        "b:8080",
        "c.default.svc.cluster.local:8080",
    ] {
        let Company { mut world, far, x, a, b, .. } = company(2, &[Lie::Target(target.into())]);
        let c = world.pod(far, "c");
        for pod in [x, a, b, c] {
            for port in [8080, 15001, 15006, 15008] {
                world.serve(pod, port, echo());
            }
        }
        let call = world.call_in_vain(x, world.address(b, 8080), Script::send(1000));
        world.run(SECOND);
        assert_eq!((world.seen(call), world.served().len()), (Seen::Reset, 0), "{target}");
        // What names no port is no CONNECT at all.
        let refused = if target.ends_with(":0") { 0 } else { 1 };
        let faults = faults(&world, far);
        assert!(
            faults.len() == refused && faults.iter().all(|fault| matches!(fault, Fault::Target(_))),
            "{target}: {faults:?}"
        );
        world.finish();
    }
}

#[test]
fn no_header_that_a_liar_forges_changes_a_decision() {
    for (name, value) in [
        ("forwarded", "for=10.0.2.2;host=a"),
        ("baggage", "k8s.namespace.name=default,service.name=a,k8s.pod.name=a"),
        ("x-forwarded-for", "10.0.2.2"),
        ("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/default/sa/a"),
        ("x-forwarded-network", "other"),
        ("x-istio-source", "a"),
        ("x-envoy-peer-metadata", "a"),
        ("authorization", "Bearer a"),
        ("traceparent", "00-11111111111111111111111111111111-2222222222222222-01"),
    ] {
        // The one that it claims to be is denied, then it is itself.
        for denied in ["a", "x"] {
            let Company { mut world, far, x, a, b, .. } = company(3, &[Lie::Header(name, value.into())]);
            let there = world.serve(b, 8080, echo());
            world.deny("no", if denied == "a" { a } else { x });
            let call = match denied {
                "a" => world.call(x, there, Script::send(1000)),
                _ => world.call_in_vain(x, there, Script::send(1000)),
            };
            world.run(SECOND);
            let expected = if denied == "a" { Seen::Fin } else { Seen::Reset };
            assert_eq!(world.seen(call), expected, "{name}");
            assert_eq!(sources(&world, far), [Some(identity("x"))], "{name}");
            world.finish();
        }
    }
}

#[test]
fn a_liar_is_judged_by_the_key_that_it_shows() {
    for denied in ["x", "y"] {
        let Company { mut world, liar, far, x, b, .. } = company(4, &[Lie::Presents(identity("y"))]);
        let y = world.pod(liar, "y");
        let there = world.serve(b, 8080, echo());
        world.run(SECOND);
        world.deny("no", if denied == "x" { x } else { y });
        let call = match denied {
            "x" => world.call(x, there, Script::send(1000)),
            _ => world.call_in_vain(x, there, Script::send(1000)),
        };
        world.run(SECOND);
        assert_eq!(world.seen(call), if denied == "x" { Seen::Fin } else { Seen::Reset });
        assert_eq!(sources(&world, far), [Some(identity("y"))]);
        if denied == "y" {
            assert!(matches!(faults(&world, far)[..], [Fault::Denied(Denial::Rule(_))]));
        }
        world.finish();
    }
}

#[test]
fn a_liar_that_answers_under_another_identity_than_expected_gets_nothing() {
    let Company { mut world, liar, near, x, a, .. } = company(5, &[Lie::Presents(identity("y"))]);
    world.pod(liar, "y");
    let there = world.serve(x, 8080, echo());
    world.run(SECOND);
    let call = world.call_in_vain(a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert!(matches!(faults(&world, near)[..], [Fault::WrongPeer { .. }]));
    assert_eq!(faults(&world, liar), [], "it has not even heard of a stream");
    world.finish();
}

#[test]
fn a_liar_that_takes_anybody_for_its_peer_is_judged_by_whoever_that_is() {
    let Company { mut world, liar, far, x, b, .. } = company(6, &[Lie::Credulous]);
    let c = world.unknown_pod(liar, "c");
    world.misinform(liar, b, c);
    let there = world.serve(b, 8080, echo());
    world.deny("no", x);
    world.call_in_vain(x, there, Script::send(1000));
    world.run(SECOND);
    assert!(matches!(faults(&world, far)[..], [Fault::Denied(_)]), "{:?}", faults(&world, far));
    world.finish();
}

#[test]
fn an_answer_that_nothing_stands_behind_costs_its_caller_only() {
    let answers =
        [(200, false), (200, true), (204, false), (302, true), (401, true), (503, false), (599, true)];
    for (status, end) in answers {
        let lie = Lie::Answers(Answer::Status { status, end });
        let Company { mut world, near, x, a, .. } = company(7, &[lie]);
        let there = world.serve(x, 8080, echo());
        let call = world.call_in_vain(a, there, Script::keep(1 << 20));
        world.run(SECOND);
        // One that ends at once is deaf to what its caller still sends.
        let expected = if (status, end) == (200, false) { Seen::Open } else { Seen::Reset };
        assert_eq!((world.seen(call), world.received(call)), (expected, 0), "{status}");
        if status != 200 {
            assert_eq!(faults(&world, near), [Fault::Status(status)]);
        }
        world.leave(call);
        world.run(SECOND);
        assert_eq!((world.connections(near), world.held_bytes(near)), (0, 0), "{status}");
        world.finish();
    }
}

#[test]
fn a_connect_that_a_liar_never_answers_ends_in_time() {
    let Company { mut world, near, x, a, .. } = company(8, &[Lie::Answers(Answer::Never)]);
    let there = world.serve(x, 8080, echo());
    let calls: Vec<_> = (0..3).map(|_| world.call_in_vain(a, there, Script::keep(1 << 20))).collect();
    world.run(14 * SECOND);
    assert!(calls.iter().all(|call| world.seen(*call) == Seen::Open));
    world.run(2 * SECOND);
    assert!(calls.iter().all(|call| world.seen(*call) == Seen::Reset));
    assert_eq!(faults(&world, near), vec![Fault::Timeout(Stage::ConnectResponse); 3]);
    world.finish();
}

#[test]
fn a_reset_with_whatever_code_is_a_reset_and_never_an_end() {
    for code in [0, 1, 5, 7, 8, 10, 0xdead, u32::MAX] {
        for lie in [Lie::AbortsAs(StreamEnd::Reset(code)), Lie::FinishesAs(code)] {
            let Company { mut world, near, x, a, .. } = company(9, std::slice::from_ref(&lie));
            let acts = match lie {
                Lie::FinishesAs(_) => vec![Act::Send(1000), Act::Fin],
                _ => vec![Act::Send(1000), Act::Receive(1000), Act::Reset],
            };
            let there = world.serve(x, 8080, Serve::Script(Script::acts(&acts)));
            let call = world.call(a, there, Script::keep(1000));
            world.run(SECOND);
            assert_eq!(world.seen(call), Seen::Reset, "{lie:?}");
            assert_eq!((world.connections(near), world.served().len()), (0, 1), "{lie:?}: dialled once");
            world.finish();
        }
    }
}

#[test]
fn streams_that_a_liar_opens_after_goaway_lead_nowhere_and_hold_up_no_drain() {
    let Company { mut world, far, x, b, .. } = company(10, &[Lie::Deaf(kind::GOAWAY)]);
    let there = world.serve(b, 8080, echo());
    let kept = world.call(x, there, Script::keep(1000));
    world.run(SECOND);
    world.rotate(b);
    world.run(SECOND);
    let calls: Vec<_> = (0..10).map(|_| world.call_in_vain(x, there, Script::send(1000))).collect();
    world.run(SECOND);
    assert_eq!((world.seen(kept), world.connections(far)), (Seen::Open, 1));
    world.drain(far, 5 * SECOND);
    world.run(7 * SECOND);
    assert_eq!((world.seen(kept), world.tunnels(far)), (Seen::Reset, 0));
    world.run(20 * SECOND);
    assert!(calls.iter().all(|call| world.seen(*call) == Seen::Reset));
    world.finish();
}

#[test]
fn streams_that_a_liar_resets_at_once_dial_little_and_end_its_tunnel() {
    let flood = (0..2000).flat_map(|n| {
        let stream = 101 + 2 * n;
        [Frame::connect(stream, "10.0.3.3:8080"), Frame::reset(stream, 8)]
    });
    let lie = Lie::Says { after: kind::HEADERS, count: 1, frames: flood.collect() };
    let Company { mut world, far, x, a, b, .. } = company(11, &[lie]);
    let there = world.serve(b, 8080, echo());
    world.call(x, there, Script::keep(1000));
    let call = world.call(a, there, Script::send(100_000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    assert!(world.served().len() <= 2, "{}", world.served().len());
    let calm = tunnel_faults(&world, far);
    assert!(
        matches!(calm[..], [Fault::Http2(MuxFault::Local { code: 11 } | MuxFault::Protocol { code: 11 })]),
        "{calm:?}"
    );
    world.finish();
}

#[test]
fn a_liar_that_grants_no_credit_is_sent_no_more_than_its_windows() {
    let Company { mut world, near, x, a, b, .. } = company(12, &[Lie::Withholds(kind::WINDOW_UPDATE)]);
    let (at_x, at_b) = (world.serve(x, 8080, echo()), world.serve(b, 8080, echo()));
    let stalled: Vec<_> = (0..20).map(|_| world.call(a, at_x, Script::keep(1 << 20))).collect();
    world.run(5 * SECOND);
    let call = world.call(a, at_b, Script::send(1 << 20));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    for call in stalled {
        assert!(world.unsent(call) > 0 && world.received(call) <= 128 << 10, "{}", world.received(call));
    }
    assert!(world.held_bytes(near) <= 20 * (64 << 10) * 2 + (1 << 20), "{}", world.held_bytes(near));
    world.finish();
}

#[test]
fn a_liar_that_takes_more_credit_than_it_has_loses_its_tunnel() {
    let Company { mut world, far, x, a, b, .. } = company(13, &[Lie::Greedy]);
    let slow = world.serve(b, 8080, Serve::Script(Script::acts(&[]).reading(Reading::Never)));
    let there = world.serve(b, 8081, echo());
    let call = world.call(x, slow, Script::keep(8 << 20));
    for _ in 0..100 {
        world.run(SECOND / 100);
        assert!(world.held_bytes(far) <= 1 << 20, "{}", world.held_bytes(far));
    }
    assert_eq!(world.seen(call), Seen::Reset);
    assert!(
        matches!(faults(&world, far)[..], [Fault::TunnelLost(_) | Fault::StreamReset(3)]),
        "{:?}",
        faults(&world, far)
    );
    let call = world.call(a, there, Script::send(100_000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    world.finish();
}

#[test]
fn a_lowered_window_stalls_at_once_and_a_raised_one_goes_on() {
    let window = |size| vec![Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, size)])];
    let lies = [
        Lie::Says { after: kind::DATA, count: 5, frames: window(0) },
        // One byte more than nothing: below zero until what was under way has been credited.
        Lie::Says { after: kind::HEADERS, count: 2, frames: window(1) },
        Lie::Says { after: kind::HEADERS, count: 3, frames: window(128 << 10) },
    ];
    let Company { mut world, x, a, .. } = company(14, &lies);
    let there = world.serve(x, 8080, echo());
    let call = world.call(a, there, Script::send(4 << 20));
    world.run(SECOND);
    let stalled = world.received(call);
    assert!(stalled < 1 << 20, "{stalled}");
    let small = world.call(a, there, Script::send(1));
    world.run(SECOND);
    assert_eq!((world.received(call), world.seen(small)), (stalled + 1, Seen::Fin));
    world.call(a, there, Script::send(1));
    world.run(5 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 4 << 20));
    world.finish();
}

#[test]
fn the_pool_follows_a_limit_of_streams_that_changes() {
    let limit = |streams| vec![Frame::settings(&[(setting::MAX_CONCURRENT_STREAMS, streams)])];
    let lies = [
        Lie::Says { after: kind::HEADERS, count: 2, frames: limit(1) },
        Lie::Says { after: kind::DATA, count: 4, frames: limit(50) },
    ];
    let Company { mut world, near, x, a, .. } = company(15, &lies);
    let there = world.serve(x, 8080, echo());
    let mut tunnels = Vec::new();
    for _ in 0..4 {
        let call = world.call(a, there, Script::keep(1000));
        world.run(SECOND);
        assert_eq!(world.received(call), 1000);
        tunnels.push(world.tunnels(near));
    }
    // Two share the first before it takes one only; the third and fourth share the next one, which then does the same.
    assert_eq!(tunnels, [1, 1, 2, 2]);
    world.finish();
}

#[test]
fn longer_frames_that_a_liar_permits_change_nothing() {
    for size in [1 << 20, (1 << 24) - 1] {
        let frames = vec![Frame::settings(&[(setting::MAX_FRAME_SIZE, size)])];
        let Company { mut world, x, a, .. } =
            company(16, &[Lie::Says { after: kind::DATA, count: 2, frames }]);
        let there = world.serve(x, 8080, echo());
        let call = world.call(a, there, Script::send(4 << 20));
        world.run(5 * SECOND);
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 4 << 20));
        world.finish();
    }
}

#[test]
fn goaway_twice_in_the_midst_of_work_aborts_what_it_says_and_dials_nothing_twice() {
    let goaway = vec![Frame::goaway((1 << 31) - 1, 0), Frame::goaway(3, 0)];
    let lie = Lie::Says { after: kind::HEADERS, count: 3, frames: goaway };
    let Company { mut world, x, a, .. } = company(17, &[lie]);
    let there = world.serve(x, 8080, echo());
    let acts = [Act::Send(1000), Act::Pause(5 * SECOND), Act::Send(100_000), Act::Fin, Act::AwaitEnd];
    let mut calls = Vec::new();
    for _ in 0..3 {
        calls.push(world.call(a, there, Script::acts(&acts)));
        world.run(SECOND);
    }
    world.run(10 * SECOND);
    let seen: Vec<_> = calls.iter().map(|call| world.seen(*call)).collect();
    assert_eq!(seen, [Seen::Fin, Seen::Fin, Seen::Reset]);
    assert_eq!(world.served().len(), 3);
    let call = world.call(a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Fin, "another tunnel takes over");
    world.finish();
}

#[test]
fn bytes_in_crumbs_and_among_pings_arrive_as_they_were_sent() {
    let pings = Lie::Adds { to: kind::DATA, frames: vec![Frame::ping(*b"liarliar"); 500] };
    for lie in [Lie::Crumbs(1), pings] {
        let Company { mut world, near, far, x, a, b, .. } = company(18, std::slice::from_ref(&lie));
        let (at_x, at_b) = (world.serve(x, 8080, echo()), world.serve(b, 8080, echo()));
        let calls = [world.call(a, at_x, Script::send(20_000)), world.call(x, at_b, Script::send(20_000))];
        for _ in 0..50 {
            world.run(SECOND / 50);
            for node in [near, far] {
                assert!(world.held_bytes(node) <= 256 << 10, "{lie:?}: {}", world.held_bytes(node));
            }
        }
        for call in calls {
            assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 20_000), "{lie:?}");
        }
        world.finish();
    }
}

#[test]
fn a_liar_whose_certificate_is_over_opens_no_more_streams() {
    let mut world = World::new(19);
    let (liar, far) = (world.liar(vec![Lie::Unexpiring, Lie::Deaf(kind::GOAWAY)]), world.node());
    let b = world.pod(far, "b");
    let there = world.serve(b, 8080, echo());
    world.run(SECOND);
    world.lifetime(60 * SECOND);
    let x = world.pod(liar, "x");
    world.run(SECOND);
    let kept = world.call(x, there, Script::keep(1000));
    world.run(60 * SECOND);
    assert_eq!(world.seen(kept), Seen::Open, "what was opened in time goes on");
    let expired = |fault: &Fault| matches!(fault, Fault::Identity(IdentityFault::Expired { .. }));
    for _ in 0..3 {
        world.call_in_vain(x, there, Script::send(1000));
        world.run(5 * SECOND);
    }
    let faults = faults(&world, far);
    assert!(faults.iter().any(expired), "{faults:?}");
    world.kill(far);
    world.finish();
}
