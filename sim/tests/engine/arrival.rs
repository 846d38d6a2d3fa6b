//! Facts and credentials that come late, or never (node.md rows 51 and 78 to 81).

use std::time::Duration;

use culvert_core::fault::{Fault, Stage};
use culvert_sim::world::{Act, Issuing, Script, Seen, Serve, World};

use crate::mesh::{Kind, Pair, SECOND, faults, two_nodes};

const MILLI: Duration = Duration::from_millis(1);

#[test]
fn a_connection_waits_for_the_facts_about_its_pod() {
    let mut world = World::new(1);
    let (near, far) = (world.node(), world.node());
    let b = world.pod(far, "b");
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let a = world.unknown_pod(near, "a");
    let call = world.call(a, there, Script::send(1000));
    world.run(4 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Open, 0));
    world.change(a, |_| ());
    world.run(SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 1000));
    world.finish();
}

#[test]
fn a_connection_ends_where_facts_do_not_come_in_five_seconds() {
    let mut world = World::new(2);
    let (near, far) = (world.node(), world.node());
    let b = world.pod(far, "b");
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let a = world.unknown_pod(near, "a");
    let call = world.call_in_vain(a, there, Script::send(1000));
    world.run(4_900 * MILLI);
    assert_eq!(world.seen(call), Seen::Open);
    world.run(200 * MILLI);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(faults(&world, near), [Fault::Timeout(Stage::Facts)]);
    world.finish();
}

#[test]
fn tunnels_and_plain_connections_to_a_pod_without_facts_wait_for_them() {
    let mut world = World::new(3);
    let (near, far) = (world.node(), world.node());
    let a = world.pod(near, "a");
    let machine = world.machine();
    let b = world.pod(far, "b");
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    world.run(SECOND);
    world.withhold(far, b);
    let tunnelled = world.call(a, there, Script::send(1000));
    let plain = world.call(machine, there, Script::send(1000));
    world.run(3 * SECOND);
    assert_eq!((world.seen(tunnelled), world.seen(plain)), (Seen::Open, Seen::Open));
    world.restore(far);
    world.run(SECOND);
    assert_eq!((world.received(tunnelled), world.received(plain)), (1000, 1000));
    world.finish();
}

#[test]
fn a_connection_waits_for_a_credential() {
    for kind in [Kind::Tunnel, Kind::Joined] {
        let mut world = World::new(4);
        let (near, far) = (world.node(), world.node());
        world.issuing(near, Issuing::After(4 * SECOND));
        let a = world.pod(near, "a");
        let b = world.pod(if kind == Kind::Tunnel { far } else { near }, "b");
        let there = world.serve(b, 8080, Serve::Script(Script::echo()));
        let call = world.call(a, there, Script::send(1000));
        world.run(3_900 * MILLI);
        assert_eq!((world.seen(call), world.received(call)), (Seen::Open, 0), "{kind:?}");
        world.run(SECOND);
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 1000), "{kind:?}");
        world.finish();
    }
}

#[test]
fn a_refused_credential_ends_those_that_wait_for_it_at_once_and_the_next_asks_again() {
    for kind in [Kind::Tunnel, Kind::Joined] {
        let mut world = World::new(5);
        let (near, far) = (world.node(), world.node());
        let a = world.pod(near, "a");
        world.run(SECOND);
        let c = if kind == Kind::Tunnel { far } else { near };
        world.issuing(near, Issuing::Refusing(SECOND));
        let b = world.pod(c, "b");
        let d = world.pod(near, "d");
        let there = world.serve(b, 8080, Serve::Script(Script::echo()));
        let from = if kind == Kind::Tunnel { d } else { a };
        let call = world.call_in_vain(from, there, Script::send(1000));
        world.run(1_100 * MILLI);
        assert_eq!(world.seen(call), Seen::Reset, "{kind:?}");
        assert!(matches!(faults(&world, near)[..], [Fault::Identity(_)]), "{kind:?}");
        world.issuing(near, Issuing::After(MILLI));
        let again = world.call(from, there, Script::send(1000));
        world.run(SECOND);
        assert_eq!(world.seen(again), Seen::Fin, "{kind:?}");
        world.finish();
    }
}

#[test]
fn a_credential_that_never_comes_ends_the_connection_after_five_seconds() {
    let mut world = World::new(6);
    let (near, far) = (world.node(), world.node());
    world.issuing(near, Issuing::Never);
    let (a, b) = (world.pod(near, "a"), world.pod(far, "b"));
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let call = world.call_in_vain(a, there, Script::send(1000));
    world.run(5_100 * MILLI);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(faults(&world, near), [Fault::Timeout(Stage::Credential)]);
    world.finish();
}

#[test]
fn a_tunnel_to_a_pod_whose_credential_never_comes_fails_within_five_seconds() {
    let mut world = World::new(7);
    let (near, far) = (world.node(), world.node());
    world.issuing(far, Issuing::Never);
    let (a, b) = (world.pod(near, "a"), world.pod(far, "b"));
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let call = world.call_in_vain(a, there, Script::send(1000));
    world.run(5_200 * MILLI);
    assert_eq!(world.seen(call), Seen::Reset);
    world.finish();
}

#[test]
fn a_rotated_credential_retires_tunnels_and_ends_no_connection() {
    for rotated in [true, false] {
        let Pair { mut world, near, far, a, b } = two_nodes(8);
        let there = world.serve(b, 8080, Serve::Script(Script::echo()));
        let acts = [Act::Send(1000), Act::Pause(5 * SECOND), Act::Send(100_000), Act::Fin, Act::AwaitEnd];
        let old = world.call(a, there, Script::acts(&acts));
        world.run(SECOND);
        world.rotate(if rotated { a } else { b });
        world.run(SECOND);
        let new = world.call(a, there, Script::keep(1000));
        world.run(SECOND);
        assert_eq!(world.received(new), 1000);
        assert_eq!((world.tunnels(near), world.tunnels(far)), (2, 2), "the new one has a tunnel of its own");
        world.run(5 * SECOND);
        assert_eq!((world.seen(old), world.received(old)), (Seen::Fin, 101_000));
        world.run(SECOND);
        assert_eq!((world.tunnels(near), world.tunnels(far)), (1, 1), "the old tunnel is closed");
        world.finish();
    }
}

#[test]
fn a_tunnel_dialled_before_a_rotation_serves_who_waits_for_it_and_nobody_else() {
    let Pair { mut world, near, far, a, b } = two_nodes(8);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let old = world.call(a, there, Script::keep(1000));
    // The connection is on its way, and the handshake is not.
    world.run(MILLI / 2);
    world.rotate(a);
    world.run(SECOND);
    let new = world.call(a, there, Script::keep(1000));
    world.run(SECOND);
    assert_eq!((world.received(old), world.received(new)), (1000, 1000));
    assert_eq!((world.tunnels(near), world.tunnels(far)), (2, 2));
    world.finish();
}

#[test]
fn a_tunnel_accepted_before_a_rotation_takes_no_streams_beyond_those_that_came_with_it() {
    // The far node accepts after one millisecond, and the tunnel is open after five.
    for (micros, tunnels) in [(500, 1), (1500, 2), (2500, 2), (3500, 2), (4500, 2), (5500, 2)] {
        let Pair { mut world, near, far, a, b } = two_nodes(8);
        let there = world.serve(b, 8080, Serve::Script(Script::echo()));
        // Everybody has a credential.
        world.run(SECOND);
        let old = world.call(a, there, Script::keep(1000));
        world.run(Duration::from_micros(micros));
        world.rotate(b);
        world.run(SECOND);
        let new = world.call(a, there, Script::keep(1000));
        world.run(SECOND);
        assert_eq!((world.received(old), world.received(new)), (1000, 1000), "after {micros} us");
        assert_eq!((world.tunnels(near), world.tunnels(far)), (tunnels, tunnels), "after {micros} us");
        world.finish();
    }
}

#[test]
fn no_stream_is_opened_under_a_certificate_that_is_over() {
    for old in [true, false] {
        let mut world = World::new(9);
        let (near, far) = (world.node(), world.node());
        let lifetime = Duration::from_secs(65);
        world.lifetime(if old { lifetime } else { 100 * lifetime });
        let a = world.pod(near, "a");
        world.run(SECOND);
        world.lifetime(if old { 100 * lifetime } else { lifetime });
        let b = world.pod(far, "b");
        let there = world.serve(b, 8080, Serve::Script(Script::echo()));
        let acts = [Act::Send(1000), Act::Pause(90 * SECOND), Act::Send(1000), Act::Fin, Act::AwaitEnd];
        let live = world.call(a, there, Script::acts(&acts));
        world.run(66 * SECOND);
        let late = world.call_in_vain(a, there, Script::send(1000));
        world.run(SECOND);
        assert_eq!((world.seen(live), world.seen(late)), (Seen::Open, Seen::Reset), "{old}");
        world.lifetime(100 * lifetime);
        world.rotate(if old { a } else { b });
        let next = world.call(a, there, Script::send(1000));
        world.run(SECOND);
        assert_eq!(world.seen(next), Seen::Fin, "{old}");
        world.finish();
    }
}
