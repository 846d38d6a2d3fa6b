//! Lies that are told in the words of the mesh: whom a liar asks for, who it is, how it answers (attacks A22 to A24).

use culvert_core::fault::{Fault, Stage};
use culvert_core::identity::{IdentityFault, SpiffeId};
use culvert_core::lies::{Answer, StreamEnd};
use culvert_core::policy::Denial;
use culvert_core::telemetry::Event;
use culvert_sim::frame::kind;
use culvert_sim::liar::Lie;
use culvert_sim::world::{Act, NodeId, Script, Seen, Serve, World};

use super::{Company, company, echo};
use crate::mesh::{SECOND, faults};

/// The identity of a pod of this name.
fn identity(name: &str) -> SpiffeId {
    format!("spiffe://cluster.local/ns/default/sa/{name}").parse().unwrap_or_else(|e| panic!("{e}"))
}

/// The verified sources of a node's connections.
fn sources(world: &World, node: NodeId) -> Vec<Option<SpiffeId>> {
    let closed = |(_, event): &(_, Event)| match event {
        Event::Closed { connection, .. } => Some(connection.source_identity.clone()),
        _ => None,
    };
    world.reports(node).iter().filter_map(closed).collect()
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
        ("forwarded", "for=\"10.0.2.2:20000\";host=a"),
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
    let Company { mut world, liar, near, far, x, b, .. } = company(6, &[Lie::Credulous]);
    let c = world.unknown_pod(near, "c");
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
