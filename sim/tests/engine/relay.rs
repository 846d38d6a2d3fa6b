//! Bytes and ends on every path: what one application sends is what the other gets, and how it ends.

use std::time::Duration;

use crate::mesh::{KINDS, Pair, SECOND, paths, two_nodes};
use culvert_core::telemetry::{Path, Reason};
use culvert_sim::world::{Act, Joining, Reading, Script, Seen, Serve, World};

const MIB: u64 = 1 << 20;

#[test]
fn a_mebibyte_crosses_two_nodes_and_comes_back() {
    let Pair { mut world, near, far, a, b } = two_nodes(1);
    let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
    let call = world.call(a, echo, Script::send(MIB));
    assert!(world.run_until(20 * SECOND, |world| world.seen(call) == Seen::Fin));
    assert_eq!(world.received(call), MIB);
    world.run(SECOND);
    assert_eq!(world.reasons(near), [Reason::Completed]);
    assert_eq!(world.reasons(far), [Reason::Completed]);
    assert_eq!((paths(&world, near), paths(&world, far)), (vec![Path::Hbone], vec![Path::Hbone]));
    world.finish();
}

#[test]
fn bytes_cross_every_path_whole_however_they_are_cut() {
    for kind in KINDS {
        let mut pair = kind.pair(2);
        pair.world.chop(777);
        let echo = pair.world.serve(pair.b, 8080, Serve::Script(Script::echo()));
        let call = pair.world.call(pair.a, echo, Script::send(100_000));
        pair.world.run(20 * SECOND);
        assert_eq!((pair.world.seen(call), pair.world.received(call)), (Seen::Fin, 100_000), "{kind:?}");
        assert_eq!(paths(&pair.world, pair.near)[0], kind.path(), "{kind:?}");
        pair.world.finish();
    }
}

#[test]
fn a_single_byte_at_a_time_is_enough() {
    let Pair { mut world, a, b, .. } = two_nodes(3);
    world.chop(1);
    let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
    let call = world.call(a, echo, Script::send(300));
    world.run(20 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 300));
    world.finish();
}

#[test]
fn the_client_ends_first_and_the_server_goes_on() {
    for kind in KINDS {
        let Pair { mut world, a, b, near, .. } = kind.pair(4);
        let acts = [Act::AwaitEnd, Act::Pause(30 * SECOND), Act::Send(MIB), Act::Fin];
        let server = world.serve(b, 8080, Serve::Script(Script::acts(&acts)));
        let call = world.call(a, server, Script::acts(&[Act::Send(1000), Act::Fin, Act::AwaitEnd]));
        world.run(60 * SECOND);
        let server = world.heard_by(call).expect("the request arrived");
        assert_eq!((world.seen(server), world.received(server)), (Seen::Fin, 1000), "{kind:?}");
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, MIB), "{kind:?}");
        assert_eq!(world.reasons(near)[0], Reason::Completed, "{kind:?}");
        world.finish();
    }
}

#[test]
fn the_server_ends_first_and_the_client_goes_on() {
    for kind in KINDS {
        let Pair { mut world, a, b, near, .. } = kind.pair(5);
        let server = world.serve(b, 8080, Serve::Script(Script::acts(&[Act::Send(1000), Act::Fin])));
        let acts = [Act::Send(8), Act::AwaitEnd, Act::Pause(30 * SECOND), Act::Send(MIB), Act::Fin];
        let call = world.call(a, server, Script::acts(&acts));
        world.run(60 * SECOND);
        let server = world.heard_by(call).expect("the request arrived");
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 1000), "{kind:?}");
        assert_eq!((world.seen(server), world.received(server)), (Seen::Fin, MIB + 8), "{kind:?}");
        assert_eq!(world.reasons(near)[0], Reason::Completed, "{kind:?}");
        world.finish();
    }
}

#[test]
fn a_reset_of_the_client_arrives_as_reset_at_any_point() {
    for kind in KINDS {
        for bytes in [8, 1000, 60_000, MIB] {
            let Pair { mut world, a, b, near, .. } = kind.pair(6);
            let server = world.serve(b, 8080, Serve::Script(Script::acts(&[])));
            let acts = [Act::Send(bytes), Act::Pause(Duration::from_millis(20)), Act::Reset];
            let call = world.call(a, server, Script::acts(&acts));
            world.run(20 * SECOND);
            let server = world.heard_by(call).expect("the head arrived");
            assert_eq!(world.seen(server), Seen::Reset, "{kind:?} {bytes}");
            assert_eq!(world.reasons(near), [Reason::SourceReset], "{kind:?} {bytes}");
            world.finish();
        }
    }
}

#[test]
fn a_reset_of_the_server_arrives_as_reset_at_any_point() {
    for kind in KINDS {
        for bytes in [8, 1000, 60_000, MIB] {
            let Pair { mut world, a, b, near, .. } = kind.pair(7);
            let acts = [Act::Receive(bytes), Act::Send(bytes), Act::Reset];
            let server = world.serve(b, 8080, Serve::Script(Script::acts(&acts)));
            let call = world.call(a, server, Script::keep(bytes + 70_000));
            world.run(20 * SECOND);
            assert_eq!(world.seen(call), Seen::Reset, "{kind:?} {bytes}");
            assert_eq!(world.reasons(near), [Reason::DestinationReset], "{kind:?} {bytes}");
            world.finish();
        }
    }
}

#[test]
fn a_slow_reader_holds_its_sender_back() {
    for kind in KINDS {
        let Pair { mut world, a, b, near, far } = kind.pair(8);
        let slow = Script::acts(&[]).reading(Reading::Slow(1000, Duration::from_millis(10)));
        let server = world.serve(b, 8080, Serve::Script(slow));
        let call = world.call(a, server, Script::keep(64 * MIB));
        world.run(5 * SECOND);
        assert!(world.sent(call) < 8 * MIB, "{kind:?}: the sender got rid of {} bytes", world.sent(call));
        for node in [near, far] {
            assert!(world.held_bytes(node) < 6 << 20, "{kind:?}");
        }
        let server = world.heard_by(call).expect("the head arrived");
        assert!(world.received(server) > 100_000, "{kind:?}");
        world.finish();
    }
}

#[test]
fn plain_connections_go_where_no_mesh_is() {
    let mut world = World::new(9);
    let near = world.node();
    let a = world.pod(near, "a");
    let machine = world.machine();
    let echo = world.serve(machine, 80, Serve::Script(Script::echo()));
    let call = world.call(a, echo, Script::send(MIB));
    world.run(10 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, MIB));
    assert_eq!(paths(&world, near), [Path::Plaintext]);
    world.finish();
}

#[test]
fn a_plain_connection_reaches_a_pod_where_policy_lets_it() {
    let mut world = World::new(10);
    let far = world.node();
    let b = world.pod(far, "b");
    let machine = world.machine();
    let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
    let call = world.call(machine, echo, Script::send(MIB));
    world.run(10 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, MIB));
    assert_eq!(paths(&world, far), [Path::Plaintext]);
    world.finish();
}

#[test]
fn pods_of_one_node_meet_without_a_tunnel() {
    let mut world = World::new(11);
    let node = world.node();
    let (a, b) = (world.pod(node, "a"), world.pod(node, "b"));
    let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
    let call = world.call(a, echo, Script::send(MIB));
    world.run(10 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, MIB));
    assert_eq!(paths(&world, node), [Path::Local]);
    assert_eq!((world.joins(node), world.tunnels(node)), (1, 0));
    world.finish();
}

#[test]
fn a_joined_connection_goes_on_where_the_driver_parts_it() {
    let mut world = World::new(12);
    let node = world.node();
    let (a, b) = (world.pod(node, "a"), world.pod(node, "b"));
    let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
    let call = world.call(
        a,
        echo,
        Script::acts(&[Act::Send(MIB), Act::Pause(SECOND), Act::Send(MIB), Act::Fin, Act::AwaitEnd]),
    );
    world.run(Duration::from_millis(500));
    assert_eq!(world.joins(node), 1);
    world.joining(node, Joining::Parted);
    world.run(10 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 2 * MIB));
    assert_eq!(world.joins(node), 1, "what was parted is not joined again");
    assert_eq!(world.reasons(node), [Reason::Completed]);
    world.finish();
}

#[test]
fn two_pods_of_one_node_have_a_tunnel_where_the_local_path_is_off() {
    let mut world = World::new(13);
    world.without_local_path();
    let node = world.node();
    let (a, b) = (world.pod(node, "a"), world.pod(node, "b"));
    let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
    let call = world.call(a, echo, Script::send(MIB));
    world.run(10 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, MIB));
    assert_eq!(paths(&world, node), [Path::Hbone, Path::Hbone]);
    world.finish();
}
