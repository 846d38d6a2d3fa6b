//! Another network, reached through its gateway: a tunnel inside a tunnel (node.md row 61).

use std::net::SocketAddr;
use std::time::Duration;

use culvert_core::capture::RouteFault;
use culvert_core::fault::{Fault, Stage};
use culvert_core::limit::Limits;
use culvert_core::mesh::{ApplicationTunnel, TunnelledApplication};
use culvert_core::telemetry::{Event, Path, Reason, Reporter};
use culvert_sim::world::{Act, NodeId, Pod, Script, Seen, Serve, World};

use crate::mesh::{SECOND, faults, paths};

/// Where a gateway's application takes what it passes on.
const PASSED: u16 = 15443;

/// A client here; a gateway and a server in another network.
struct Apart {
    world: World,
    near: NodeId,
    middle: NodeId,
    far: NodeId,
    a: Pod,
    gate: Pod,
    b: Pod,
}

fn apart(seed: u64) -> Apart {
    apart_with(seed, |_| ())
}

fn apart_with(seed: u64, change: impl FnOnce(&mut Limits)) -> Apart {
    let mut world = World::with_limits(seed, change);
    let (near, middle, far) = (world.node(), world.node_in("far"), world.node_in("far"));
    let (a, gate, b) = (world.pod(near, "a"), world.pod(middle, "gate"), world.pod(far, "b"));
    for pod in [gate, b] {
        world.change(pod, |spec| spec.network = "far".into());
    }
    world.facts(
        "services: [{name: s, namespace: default, hostname: s.default.svc, vips: [/10.96.0.20], ports: {8080: 8080}}]",
    );
    world.join(b, "default", "s.default.svc");
    let gateway = world.gateway_at(gate);
    world.change(b, |spec| spec.network_gateway = Some(gateway));
    world.change(gate, |spec| {
        spec.application_tunnel =
            Some(ApplicationTunnel { protocol: TunnelledApplication::None, port: PASSED });
    });
    let there = world.address(b, 15008);
    world.serve(gate, PASSED, Serve::Forward(there));
    world.serve(b, 8080, Serve::Script(Script::echo()));
    Apart { world, near, middle, far, a, gate, b }
}

fn service() -> SocketAddr {
    SocketAddr::from(([10, 96, 0, 20], 8080))
}

/// The identities of the tunnels that a node opened, in their order.
fn opened(world: &World, node: NodeId) -> Vec<String> {
    let peers = world.reports(node).iter().filter_map(|(_, event)| match event {
        Event::TunnelOpened { identity, side: Reporter::Source, .. } => {
            Some(identity.service_account().to_owned())
        }
        _ => None,
    });
    peers.collect()
}

#[test]
fn a_service_in_another_network_is_reached_through_its_gateway() {
    let Apart { mut world, near, far, a, b, .. } = apart(1);
    let calls = [8, 5000, 100_000].map(|bytes| world.call(a, service(), Script::send(bytes)));
    world.run(SECOND);
    for (call, bytes) in calls.into_iter().zip([8, 5000, 100_000]) {
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, bytes));
        assert_eq!(world.local(world.heard_by(call).unwrap()), world.address(b, 8080));
    }
    // One tunnel to the gateway, and one inside it for all three.
    assert_eq!(opened(&world, near), ["gate", "b"]);
    assert_eq!(world.tunnels(near), 2);
    assert_eq!(paths(&world, near), [Path::Hbone; 3]);
    // At the far end it is the client's own identity that came through, and the gateway saw none of it.
    let came = world.reports(far).iter().filter_map(|(_, event)| match event {
        Event::Opened(connection) => connection.source_identity.clone(),
        _ => None,
    });
    assert_eq!(came.collect::<Vec<_>>(), vec![world.identity(a); 3]);
    world.finish();
}

#[test]
fn much_goes_to_another_network_and_back() {
    let Apart { mut world, near, a, .. } = apart(2);
    const BYTES: u64 = 12 << 20;
    let call = world.call(a, service(), Script::send(BYTES));
    let mut most = 0;
    world.run_until(60 * SECOND, |world| {
        most = most.max(world.held_bytes(near));
        world.seen(call) != Seen::Open && world.seen(call) != Seen::Dialling
    });
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, BYTES));
    assert!(most < 8 << 20, "{most} bytes are held at once");
    world.finish();
}

#[test]
fn a_slow_reader_in_another_network_holds_its_sender_back() {
    let Apart { mut world, near, a, b, .. } = apart_with(3, |limits| limits.stream_window = 256 << 10);
    let slow = Script::acts(&[]).reading(culvert_sim::world::Reading::Never);
    world.serve(b, 8080, Serve::Script(slow));
    let call = world.call(a, service(), Script::keep(64 << 20));
    world.run(30 * SECOND);
    assert!(world.sent(call) < 8 << 20, "{} bytes are on their way", world.sent(call));
    assert!(world.held_bytes(near) < 4 << 20, "{} are held", world.held_bytes(near));
    world.finish();
}

#[test]
fn ends_and_resets_pass_both_tunnels_as_they_are() {
    let Apart { mut world, near, a, b, .. } = apart(4);
    let half = Script::acts(&[Act::Send(500), Act::Fin, Act::Receive(9000), Act::AwaitEnd]);
    let late = Script::acts(&[Act::AwaitEnd, Act::Send(9000), Act::Fin]);
    world.serve(b, 8080, Serve::Script(late));
    let call = world.call(a, service(), half);
    world.run(SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 9000));
    let broken = Script::acts(&[Act::Receive(100), Act::Send(700), Act::Reset]);
    world.serve(b, 8080, Serve::Script(broken));
    let reset = world.call(a, service(), Script::keep(100));
    world.run(SECOND);
    assert_eq!((world.seen(reset), world.received(reset)), (Seen::Reset, 700), "what came before it arrives");
    world.serve(b, 8080, Serve::Script(Script::echo()));
    let left = world.call(a, service(), Script::acts(&[Act::Send(100), Act::Receive(100), Act::Reset]));
    world.run(SECOND);
    let server = world.heard_by(left).unwrap();
    assert_eq!((world.seen(left), world.seen(server)), (Seen::Left, Seen::Reset));
    assert_eq!(world.reasons(near), [Reason::Completed, Reason::DestinationReset, Reason::SourceReset]);
    assert_eq!(world.tunnels(near), 2, "none of it ends a tunnel");
    world.finish();
}

#[test]
fn neither_end_of_the_way_may_be_another() {
    // The gateway leads to a pod that is no endpoint of the service.
    let Apart { mut world, near, far, a, gate, .. } = apart(5);
    let other = world.pod(far, "other");
    world.change(other, |spec| spec.network = "far".into());
    world.serve(gate, PASSED, Serve::Forward(world.address(other, 15008)));
    let call = world.call_in_vain(a, service(), Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert!(matches!(faults(&world, near)[..], [Fault::WrongPeer { .. }]), "{:?}", faults(&world, near));
    assert_eq!(opened(&world, near), ["gate"], "nothing of a stream went inside");
    world.finish();
    // What is at the gateway's address is another pod.
    let Apart { mut world, near, a, gate, .. } = apart(6);
    let claimed = world.pod(near, "claimed");
    world.change(claimed, |spec| spec.network = "far".into());
    world.misinform(near, gate, claimed);
    let call = world.call_in_vain(a, service(), Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert!(opened(&world, near).is_empty(), "{:?}", opened(&world, near));
    world.restore(near);
    world.finish();
}

#[test]
fn policy_judges_the_client_and_not_the_gateway() {
    let Apart { mut world, near, far, a, .. } = apart(7);
    let live = world.call(a, service(), Script::keep(100));
    world.run(SECOND);
    assert_eq!(world.seen(live), Seen::Open);
    // Policy is everywhere; the gateway denies the client first, so that only the far node may know of it.
    world.deny("no-a", a);
    world.run(SECOND);
    assert_eq!(world.seen(live), Seen::Reset);
    assert!(
        faults(&world, far).iter().all(|fault| matches!(fault, Fault::Revoked(_) | Fault::TunnelLost(_)))
    );
    let refused = world.call_in_vain(a, service(), Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(refused), Seen::Reset);
    assert_eq!(faults(&world, near).last(), Some(&Fault::Status(401)));
    world.remove_policy("no-a");
    let again = world.call(a, service(), Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(again), Seen::Fin);
    world.finish();
}

#[test]
fn each_phase_of_either_tunnel_has_its_deadline_and_all_that_wait_learn_it_together() {
    let limits = Limits::default();
    type Break = fn(&mut Apart);
    let cases: [(Break, Stage, Duration); 4] = [
        // Nobody is at the gateway's address.
        (|apart| apart.world.stop(apart.middle), Stage::TlsHandshake, limits.tls_handshake),
        // The gateway's way leads nowhere: it has its own deadline for the dial, and says so.
        (
            |apart| {
                apart.world.serve(apart.gate, PASSED, Serve::Silent);
            },
            Stage::TcpConnect,
            limits.tcp_connect,
        ),
        // The far end takes the connection and says nothing.
        (|apart| apart.world.stop(apart.far), Stage::TlsHandshake, limits.tls_handshake),
        // The application does not answer.
        (
            |apart| {
                apart.world.serve(apart.b, 8080, Serve::Silent);
            },
            Stage::TcpConnect,
            limits.tcp_connect,
        ),
    ];
    for (number, (breaks, stage, after)) in cases.into_iter().enumerate() {
        let mut apart = apart(8);
        breaks(&mut apart);
        let Apart { mut world, near, middle, far, a, .. } = apart;
        let calls = [(); 3].map(|()| world.call(a, service(), Script::send(100)));
        world.run(after + SECOND);
        assert_eq!(calls.map(|call| world.seen(call)), [Seen::Reset; 3], "case {number}");
        let ends: Vec<_> = calls.iter().map(|call| world.ended_at(*call).unwrap()).collect();
        let spread = *ends.iter().max().unwrap() - *ends.iter().min().unwrap();
        assert!(spread < SECOND / 10, "case {number}: {ends:?}");
        let told: Vec<Fault> = [near, middle, far].iter().flat_map(|node| faults(&world, *node)).collect();
        assert!(told.contains(&Fault::Timeout(stage)), "case {number}: {told:?}");
        for node in [middle, far] {
            world.resume(node);
        }
        world.finish();
    }
}

#[test]
fn a_gateway_that_goes_away_is_left_and_its_connections_go_on() {
    let Apart { mut world, near, middle, a, .. } = apart(9);
    let live = world.call(
        a,
        service(),
        Script::acts(&[Act::Send(100), Act::Pause(5 * SECOND), Act::Send(100), Act::Fin, Act::AwaitEnd]),
    );
    world.run(SECOND);
    world.drain(middle, 30 * SECOND);
    world.run(SECOND);
    // Its listener takes nothing more, and what is inside its tunnels is not asked for more either.
    let refused = world.call_in_vain(a, service(), Script::send(100));
    world.run(20 * SECOND);
    assert_eq!((world.seen(live), world.received(live)), (Seen::Fin, 200));
    assert_eq!(world.seen(refused), Seen::Reset);
    assert_eq!(world.tunnels(near), 0);
    world.finish();
}

#[test]
fn what_is_behind_a_gateway_goes_away_and_its_connections_go_on() {
    let Apart { mut world, near, far, a, .. } = apart(10);
    let script = [Act::Send(100), Act::Pause(5 * SECOND), Act::Send(100), Act::Fin, Act::AwaitEnd];
    let live = world.call(a, service(), Script::acts(&script));
    world.run(SECOND);
    world.drain(far, 30 * SECOND);
    world.run(SECOND);
    let refused = world.call_in_vain(a, service(), Script::send(100));
    world.run(20 * SECOND);
    assert_eq!((world.seen(live), world.received(live)), (Seen::Fin, 200));
    assert_eq!(world.seen(refused), Seen::Reset);
    assert_eq!(world.tunnels(near), 1, "the tunnel to the gateway is well");
    world.finish();
}

#[test]
fn a_rotation_retires_both_tunnels_and_ends_no_connection() {
    let Apart { mut world, near, a, .. } = apart(11);
    let live = world.call(a, service(), Script::keep(100));
    world.run(SECOND);
    world.rotate(a);
    let next = world.call(a, service(), Script::keep(100));
    world.run(SECOND);
    assert_eq!([live, next].map(|call| (world.seen(call), world.received(call))), [(Seen::Open, 100); 2]);
    assert_eq!(opened(&world, near), ["gate", "b", "gate", "b"]);
    assert_eq!(world.tunnels(near), 4);
    world.leave(live);
    world.run(SECOND);
    assert_eq!(
        (world.tunnels(near), world.seen(next)),
        (2, Seen::Open),
        "the first two had nothing more to do"
    );
    world.finish();
}

#[test]
fn a_lost_gateway_resets_what_went_through_it() {
    let Apart { mut world, near, middle, a, .. } = apart(12);
    let calls = [(); 3].map(|()| world.call(a, service(), Script::keep(100)));
    world.run(SECOND);
    world.kill(middle);
    world.run(SECOND);
    assert_eq!(calls.map(|call| world.seen(call)), [Seen::Reset; 3]);
    assert!(
        faults(&world, near).iter().all(|fault| matches!(fault, Fault::TunnelLost(_))),
        "{:?}",
        faults(&world, near)
    );
    assert_eq!(world.tunnels(near), 0);
    world.finish();
}

#[test]
fn a_drained_client_ends_both_tunnels_once_they_are_empty() {
    let Apart { mut world, near, a, .. } = apart(13);
    let script = [Act::Send(100), Act::Pause(5 * SECOND), Act::Send(100), Act::Fin, Act::AwaitEnd];
    let live = world.call(a, service(), Script::acts(&script));
    world.run(SECOND);
    world.drain(near, 30 * SECOND);
    world.run(10 * SECOND);
    assert_eq!((world.seen(live), world.received(live)), (Seen::Fin, 200));
    assert_eq!(world.tunnels(near), 0);
    assert!(world.reports(near).iter().any(|(_, event)| *event == Event::Drained));
    world.finish();
}

#[test]
fn an_idle_tunnel_makes_room_for_another_way_through_the_gateway() {
    let Apart { mut world, near, a, b, .. } = apart_with(16, |limits| {
        (limits.peer_streams_per_tunnel, limits.tunnels_per_key) = (1, 1);
    });
    world.facts(
        "services: [{name: t, namespace: default, hostname: t.default.svc, vips: [/10.96.0.21], ports: {8080: 8080}}]",
    );
    world.join(b, "default", "t.default.svc");
    let (s, t) = (service(), SocketAddr::from(([10, 96, 0, 21], 8080)));
    // The gateway takes one stream, and each service is a stream of its own.
    for called in [s, t, s] {
        let call = world.call(a, called, Script::send(100));
        world.run(SECOND);
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 100));
    }
    assert_eq!(opened(&world, near), ["gate", "b", "b", "b"]);
    // One that is in use is waited for, and no longer than that.
    let live = world.call(a, s, Script::keep(100));
    world.run(SECOND);
    let waits = world.call(a, t, Script::send(100));
    world.run(5 * SECOND);
    assert_eq!((world.seen(live), world.seen(waits), world.received(waits)), (Seen::Open, Seen::Open, 0));
    world.leave(live);
    world.run(SECOND);
    assert_eq!((world.seen(waits), world.received(waits)), (Seen::Fin, 100));
    world.finish();
}

#[test]
fn without_a_gateway_there_is_no_way() {
    let Apart { mut world, near, a, b, gate, .. } = apart(14);
    world.change(b, |spec| spec.network_gateway = None);
    let call = world.call_in_vain(a, service(), Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(faults(&world, near), [Fault::Route(RouteFault::NoGateway)]);
    let gateway = world.gateway_at(gate);
    world.change(b, |spec| spec.network_gateway = Some(gateway));
    let call = world.call(a, service(), Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    // The gateway's pod goes: so do its tunnels, and what they carried.
    let live = world.call(a, service(), Script::keep(100));
    world.run(SECOND);
    world.forget(gate);
    world.run(SECOND);
    assert_eq!((world.seen(live), world.tunnels(near)), (Seen::Reset, 0));
    world.finish();
}

#[test]
fn a_waypoint_in_another_network_is_reached_in_the_same_way() {
    let Apart { mut world, near, a, b, gate, .. } = apart(15);
    // `b` is the waypoint of a service that has no endpoint here.
    world.facts(
        "services: [{name: t, namespace: default, hostname: t.default.svc, vips: [/10.96.0.21], ports: {8080: 8080}, waypoint: {destination: default/s.default.svc}}]",
    );
    world.serve(gate, PASSED, Serve::Forward(world.address(b, 15008)));
    let call = world.call(a, "10.96.0.21:8080".parse().unwrap(), Script::send(5000));
    world.run(SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 5000));
    assert_eq!(opened(&world, near), ["gate", "b"]);
    world.finish();
}
