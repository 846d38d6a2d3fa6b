//! Waypoints of pods and of a service: what is behind them is reached through them, by them, or not at all (S8, S19, C13).

use std::net::SocketAddr;

use culvert_core::capture::RouteFault;
use culvert_core::fault::Fault;
use culvert_core::mesh::{ApplicationTunnel, TunnelledApplication};
use culvert_core::policy::Denial;
use culvert_core::telemetry::{Event, Path, Reporter};
use culvert_sim::world::{HealthStatus, NodeId, Pod, Script, Seen, Serve, World};

use crate::mesh::{Pair, SECOND, faults, paths, two_nodes, two_nodes_with};

const SERVICE: &str = "10.96.0.20:8080";

/// A client, what is behind a waypoint, and the waypoint, each on a node of its own.
struct Guarded {
    world: World,
    near: NodeId,
    a: Pod,
    b: Pod,
    way: Pod,
    there: SocketAddr,
}

fn guarded(seed: u64) -> Guarded {
    let Pair { mut world, near, a, b, .. } = two_nodes(seed);
    let middle = world.node();
    let way = world.pod(middle, "way");
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    world.serve(way, 8080, Serve::Script(Script::echo()));
    world.stand_before(b, way);
    Guarded { world, near, a, b, way, there }
}

/// A service at [`SERVICE`] whose endpoint is `b`, with these waypoints.
fn service(world: &mut World, b: Pod, waypoints: &str) {
    world.facts(&format!(
        "services: [{{name: s, namespace: default, hostname: s.default.svc, vips: [/10.96.0.20], ports: {{8080: 8080}}, {waypoints}}}]"
    ));
    world.join(b, "default", "s.default.svc");
}

/// Who answered a client's connections, in their order, and what was asked of it.
fn answered(world: &World, node: NodeId) -> Vec<(String, Option<SocketAddr>)> {
    let opened = world.reports(node).iter().filter_map(|(_, event)| match event {
        Event::Opened(connection) if connection.reporter == Reporter::Source => {
            let who = connection.destination_identity.as_ref().map_or("", |id| id.service_account());
            Some((who.to_owned(), connection.target))
        }
        _ => None,
    });
    opened.collect()
}

#[test]
fn a_service_and_a_pod_are_reached_through_their_waypoints() {
    let Guarded { mut world, near, a, b, way, there } = guarded(1);
    let at = format!("waypoint: {{destination: /{}}}", world.address(way, 0).ip());
    service(&mut world, b, &at);
    let virtual_address: SocketAddr = SERVICE.parse().unwrap();
    let calls = [there, virtual_address].map(|target| world.call(a, target, Script::send(5000)));
    world.run(SECOND);
    for call in calls {
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 5000));
        let heard = world.heard_by(call).unwrap();
        assert_eq!(world.local(heard).ip(), world.address(way, 0).ip(), "the waypoint hears it");
    }
    // One tunnel for both: who asks and who answers are the same.
    assert_eq!(world.tunnels(near), 1);
    let asked = [Some(there), Some(virtual_address)].map(|target| ("way".to_owned(), target));
    assert_eq!(answered(&world, near), asked);
    assert_eq!(paths(&world, near), [Path::Hbone; 2]);
    world.finish();
}

#[test]
fn a_waypoint_itself_reaches_what_is_behind_it() {
    let Guarded { mut world, b, way, there, .. } = guarded(2);
    let at = format!("waypoint: {{destination: /{}}}", world.address(way, 0).ip());
    service(&mut world, b, &at);
    let calls = [there, SERVICE.parse().unwrap()].map(|target| world.call(way, target, Script::send(5000)));
    world.run(SECOND);
    for call in calls {
        assert_eq!(world.seen(call), Seen::Fin);
        assert_eq!(world.local(world.heard_by(call).unwrap()), there);
    }
    world.finish();
}

#[test]
fn pods_of_one_node_meet_in_their_waypoint_too() {
    let Pair { mut world, near, a, .. } = two_nodes(3);
    let (b, way) = (world.pod(near, "behind"), world.pod(near, "way"));
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    world.serve(way, 8080, Serve::Script(Script::echo()));
    world.stand_before(b, way);
    let call = world.call(a, there, Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    assert_eq!(world.local(world.heard_by(call).unwrap()).ip(), world.address(way, 0).ip());
    // By a tunnel, of which both ends are here: never past TLS because the waypoint is near.
    assert_eq!(paths(&world, near), [Path::Hbone; 2]);
    world.finish();
}

#[test]
fn a_waypoint_that_shows_another_identity_gets_nothing() {
    let Guarded { mut world, near, a, way, there, .. } = guarded(4);
    // The client's node alone takes the waypoint for another.
    let claimed = world.pod(near, "claimed");
    world.misinform(near, way, claimed);
    let call = world.call_in_vain(a, there, Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert!(matches!(faults(&world, near)[..], [Fault::WrongPeer { .. }]), "{:?}", faults(&world, near));
    world.restore(near);
    world.finish();
}

#[test]
fn a_waypoint_comes_and_goes_while_connections_live() {
    let Pair { mut world, near, a, b, .. } = two_nodes(5);
    let middle = world.node();
    let way = world.pod(middle, "way");
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    world.serve(way, 8080, Serve::Script(Script::echo()));
    let direct = world.call(a, there, Script::keep(100));
    world.run(SECOND);
    world.stand_before(b, way);
    let through = world.call(a, there, Script::keep(100));
    world.run(SECOND);
    assert_eq!((world.seen(direct), world.seen(through)), (Seen::Open, Seen::Open));
    assert_eq!(world.local(world.heard_by(through).unwrap()).ip(), world.address(way, 0).ip());
    // Its pod goes: what went through it ends, what is new does not go past it.
    world.forget(way);
    world.run(SECOND);
    assert_eq!((world.seen(direct), world.seen(through)), (Seen::Open, Seen::Reset));
    let refused = world.call_in_vain(a, there, Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(refused), Seen::Reset);
    let none = Fault::Route(RouteFault::NoWaypoint);
    assert_eq!(faults(&world, near).last(), Some(&none));
    // It is nobody's waypoint any more.
    world.restore_pod(b);
    let again = world.call(a, there, Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(again), Seen::Fin);
    world.finish();
}

#[test]
fn waypoints_that_name_each_other_are_no_loop() {
    let Guarded { mut world, near, a, b, way, there } = guarded(6);
    world.stand_before(way, b);
    let ways = [there, world.address(way, 8080)].map(|target| world.call(a, target, Script::send(100)));
    world.run(SECOND);
    assert_eq!(ways.map(|call| world.seen(call)), [Seen::Fin; 2]);
    let who: Vec<String> = answered(&world, near).into_iter().map(|(who, _)| who).collect();
    assert_eq!(who, ["way", "b"], "one hop: each is asked for the other");
    world.finish();
}

#[test]
fn connections_to_a_service_are_shared_out_among_its_waypoints() {
    let Guarded { mut world, near, a, b, way, .. } = guarded(7);
    let other = world.pod(near, "other");
    world.serve(other, 8080, Serve::Script(Script::echo()));
    let idle = world.pod(near, "idle");
    let [way, other, idle] = [way, other, idle].map(|pod| world.address(pod, 0).ip());
    service(
        &mut world,
        b,
        &format!(
            "weightedWaypoints: [{{destination: {{destination: /{way}}}, weight: 1}}, {{destination: {{destination: /{idle}}}, weight: 0}}, {{destination: {{destination: /{other}}}, weight: 3}}]"
        ),
    );
    for _ in 0..80 {
        world.call(a, SERVICE.parse().unwrap(), Script::send(10));
        world.run(SECOND / 10);
    }
    let answers = answered(&world, near);
    let by = |name: &str| answers.iter().filter(|(who, _)| who == name).count();
    assert_eq!(by("way") + by("other"), 80);
    assert!((8..=32).contains(&by("way")), "{} of 80 by the one with a quarter of the weight", by("way"));
    world.finish();
}

#[test]
fn a_service_of_which_no_waypoint_is_well_is_not_reached() {
    let Guarded { mut world, near, a, b, way, .. } = guarded(8);
    world.facts("services: [{name: ways, namespace: default, hostname: ways.default.svc}]");
    service(&mut world, b, "waypoint: {destination: default/ways.default.svc}");
    world.join(way, "default", "ways.default.svc");
    for (status, seen) in [
        (HealthStatus::Healthy, Seen::Fin),
        (HealthStatus::Unhealthy, Seen::Reset),
        (HealthStatus::Healthy, Seen::Fin),
    ] {
        world.change(way, |spec| spec.status = status);
        let call = world.call(a, SERVICE.parse().unwrap(), Script::send(10));
        world.run(SECOND);
        assert_eq!(world.seen(call), seen, "{status:?}");
    }
    assert_eq!(faults(&world, near), [Fault::Route(RouteFault::NoWaypoint)]);
    world.finish();
}

#[test]
fn a_destination_may_require_its_waypoint() {
    let mut world = World::new(9);
    world.require_waypoints();
    let [near, far, middle] = [world.node(), world.node(), world.node()];
    let [a, b, way, mate] =
        [(near, "a"), (far, "b"), (middle, "way"), (far, "mate")].map(|(node, name)| world.pod(node, name));
    let machine = world.machine();
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    world.serve(b, 9090, Serve::Script(Script::echo()));
    world.serve(way, 8080, Serve::Script(Script::echo()));
    let before = [a, mate, machine].map(|from| world.call(from, there, Script::keep(100)));
    world.run(SECOND);
    assert_eq!(before.map(|call| world.seen(call)), [Seen::Open; 3], "it has no waypoint");
    // The service gets one: whoever is no waypoint is not there any more, at the ports that are behind it.
    let at = format!("waypoint: {{destination: /{}}}", world.address(way, 0).ip());
    service(&mut world, b, &at);
    world.run(SECOND);
    assert_eq!(before.map(|call| world.seen(call)), [Seen::Reset; 3], "the mesh, the node and outside alike");
    let past: Vec<Fault> = faults(&world, far);
    let revoked = |fault: &Fault| matches!(fault, Fault::Revoked(Denial::PastWaypoint));
    assert!(past.len() == 3 && past.iter().all(revoked), "{past:?}");
    // By the pod's own address nobody is led to the waypoint.
    let refused = [a, mate, machine].map(|from| world.call_in_vain(from, there, Script::send(100)));
    world.run(SECOND);
    assert_eq!(refused.map(|call| world.seen(call)), [Seen::Reset; 3]);
    assert_eq!(faults(&world, near).last(), Some(&Fault::Status(401)));
    let elsewhere = world.address(b, 9090);
    let free = [a, mate, machine].map(|from| world.call(from, elsewhere, Script::send(100)));
    let due = world.call(way, SERVICE.parse().unwrap(), Script::send(100));
    let through = world.call(a, SERVICE.parse().unwrap(), Script::send(100));
    world.run(SECOND);
    assert_eq!(free.map(|call| world.seen(call)), [Seen::Fin; 3], "a port that is behind nothing");
    assert_eq!([due, through].map(|call| world.seen(call)), [Seen::Fin; 2]);
    world.finish();
}

/// A waypoint's pod whose application takes the PROXY protocol at a port, and what it stands before.
fn told(seed: u64, script: Script) -> Guarded {
    let mut guarded = guarded(seed);
    guarded.world.change(guarded.way, |spec| {
        spec.application_tunnel =
            Some(ApplicationTunnel { protocol: TunnelledApplication::Proxy, port: 15088 });
    });
    guarded.world.serve(guarded.way, 15088, Serve::Told(script));
    guarded
}

#[test]
fn an_application_is_told_who_speaks_to_it() {
    let Guarded { mut world, a, b, way, there, .. } = told(10, Script::echo());
    let at = format!("waypoint: {{destination: /{}}}", world.address(way, 0).ip());
    service(&mut world, b, &at);
    // A law compares what it is told with who calls and what that asked for.
    let calls = [there, SERVICE.parse().unwrap(), world.address(way, 80)]
        .map(|target| world.call(a, target, Script::send(50_000)));
    world.run(SECOND);
    for call in calls {
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 50_000));
        assert_eq!(world.local(world.heard_by(call).unwrap()), world.address(way, 15088));
    }
    // In clear nobody is known, and the port is the one that was asked for.
    let machine = world.machine();
    world.serve(way, 81, Serve::Script(Script::echo()));
    let plain = world.call(machine, world.address(way, 81), Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(plain), Seen::Fin);
    world.finish();
}

#[test]
fn a_header_comes_before_all_bytes_however_both_are_cut() {
    for (chop, bytes) in [(1, 500), (7, 5000), (4096, 200_000)] {
        let Pair { mut world, a, b, .. } = two_nodes_with(11, |limits| limits.stream_window = 1 << 16);
        world.chop(chop);
        world.change(b, |spec| {
            spec.application_tunnel =
                Some(ApplicationTunnel { protocol: TunnelledApplication::Proxy, port: 0 });
        });
        let there = world.serve(b, 8080, Serve::Told(Script::echo()));
        let call = world.call(a, there, Script::send(bytes));
        world.run(60 * SECOND);
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, bytes), "{chop}");
        world.finish();
    }
}
