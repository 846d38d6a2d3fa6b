//! How things end: processes die, pods and workloads go, nodes drain, tunnels fall silent (node.md B3, B6, B7).

use std::time::Duration;

use culvert_core::fault::{Fault, Stage};
use culvert_core::limit::Limits;
use culvert_core::telemetry::{Event, Reason};
use culvert_sim::world::{Act, NodeId, Reading, Script, Seen, Serve, World};

use crate::mesh::{KINDS, Kind, Pair, SECOND, faults, two_nodes, two_nodes_with};

const MILLI: Duration = Duration::from_millis(1);

fn tunnel_faults(world: &World, node: NodeId) -> Vec<Fault> {
    let closed = world.reports(node).iter().filter_map(|(_, event)| match event {
        Event::TunnelClosed { fault, .. } => Some(fault.clone()),
        _ => None,
    });
    closed.collect()
}

fn is_drained(world: &World, node: NodeId) -> bool {
    world.reports(node).iter().any(|(_, event)| *event == Event::Drained)
}

#[test]
fn a_killed_far_node_is_a_reset_and_never_an_end() {
    for bytes in [8, 1000, 60_000, 1 << 20] {
        let Pair { mut world, near, far, a, b } = two_nodes(1);
        let there = world.serve(b, 8080, Serve::Script(Script::echo()));
        let call = world.call(a, there, Script::keep(bytes));
        world.run(50 * MILLI);
        world.kill(far);
        world.run(SECOND);
        assert_eq!(world.seen(call), Seen::Reset, "{bytes}");
        assert!(matches!(faults(&world, near)[..], [Fault::TunnelLost(_)]), "{bytes}");
        world.finish();
    }
}

#[test]
fn a_killed_near_node_is_a_reset_and_never_an_end() {
    for bytes in [8, 1000, 60_000, 1 << 20] {
        let Pair { mut world, near, far, a, b } = two_nodes(2);
        let there = world.serve(b, 8080, Serve::Script(Script::acts(&[])));
        let call = world.call(a, there, Script::acts(&[Act::Send(bytes), Act::Fin]));
        let reached = world.run_until(SECOND, |world| world.heard_by(call).is_some());
        assert!(reached, "{bytes}");
        let server = world.heard_by(call).unwrap_or(call);
        let whole = world.seen(server) == Seen::Fin;
        world.kill(near);
        world.run(SECOND);
        if !whole && world.received(server) < bytes {
            assert_eq!(world.seen(server), Seen::Reset, "{bytes}");
            assert!(matches!(faults(&world, far)[..], [Fault::TunnelLost(_)]), "{bytes}");
        }
        world.finish();
    }
}

#[test]
fn a_blackholed_tunnel_is_noticed_by_ping_though_nobody_sends() {
    let Pair { mut world, near, far, a, b } = two_nodes(3);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let call = world.call(a, there, Script::keep(1000));
    world.run(SECOND);
    let server = world.heard_by(call).unwrap_or(call);
    world.blackhole(b);
    world.run(31 * SECOND);
    assert_eq!((world.seen(call), world.seen(server)), (Seen::Reset, Seen::Reset));
    for node in [near, far] {
        assert_eq!(tunnel_faults(&world, node), [Fault::Timeout(Stage::Keepalive)]);
    }
    world.finish();
}

#[test]
fn pings_keep_a_silent_connection_alive() {
    let Pair { mut world, near, a, b, .. } = two_nodes(4);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let acts = [Act::Send(1000), Act::Pause(1000 * SECOND), Act::Send(1000), Act::Fin, Act::AwaitEnd];
    let call = world.call(a, there, Script::acts(&acts));
    world.run(1010 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 2000));
    assert_eq!(tunnel_faults(&world, near), []);
    world.finish();
}

#[test]
fn an_idle_tunnel_closes_and_the_next_connection_gets_another() {
    let Pair { mut world, near, far, a, b } = two_nodes(5);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    world.call(a, there, Script::send(1000));
    world.run(250 * SECOND);
    assert_eq!((world.tunnels(near), world.tunnels(far)), (1, 1));
    world.run(100 * SECOND);
    assert_eq!((world.tunnels(near), world.tunnels(far)), (0, 0));
    assert_eq!(tunnel_faults(&world, near), [Fault::Retired]);
    assert_eq!(tunnel_faults(&world, far), [Fault::Retired]);
    let call = world.call(a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    world.finish();
}

#[test]
fn an_old_tunnel_takes_no_new_streams() {
    let Pair { mut world, near, a, b, .. } = two_nodes_with(6, |limits| limits.tunnel_max_age = 60 * SECOND);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let old = world.call(a, there, Script::keep(1000));
    world.run(75 * SECOND);
    let new = world.call(a, there, Script::keep(1000));
    world.run(SECOND);
    assert_eq!((world.received(old), world.received(new), world.tunnels(near)), (1000, 1000, 2));
    world.finish();
}

#[test]
fn a_retired_tunnel_delivers_what_its_last_connection_has_queued() {
    for rotate_near in [true, false] {
        let Pair { mut world, a, b, near, .. } = two_nodes(7);
        world.capacity(16 << 10);
        let slow = Script::acts(&[Act::Fin]).reading(Reading::Slow(8 << 10, 20 * MILLI));
        let there = world.serve(b, 8080, Serve::Script(slow));
        let call = world.call(a, there, Script::send(1 << 20));
        world.run(300 * MILLI);
        world.rotate(if rotate_near { a } else { b });
        world.run(20 * SECOND);
        let server = world.heard_by(call).unwrap_or(call);
        assert_eq!((world.seen(server), world.received(server)), (Seen::Fin, 1 << 20), "{rotate_near}");
        assert_eq!(world.reasons(near), [Reason::Completed], "{rotate_near}");
        world.finish();
    }
}

#[test]
fn a_drained_far_node_lets_connections_end_and_says_so() {
    let Pair { mut world, near, far, a, b } = two_nodes(8);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let acts = [Act::Send(1000), Act::Pause(5 * SECOND), Act::Send(100_000), Act::Fin, Act::AwaitEnd];
    let call = world.call(a, there, Script::acts(&acts));
    world.run(SECOND);
    world.drain(far, 30 * SECOND);
    world.run(3 * SECOND);
    assert!(!is_drained(&world, far));
    world.run(5 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 101_000));
    assert!(is_drained(&world, far));
    assert_eq!(world.tunnels(near), 0, "GOAWAY retired it");
    world.finish();
}

#[test]
fn a_drained_near_node_lets_connections_end_and_says_so() {
    for kind in KINDS {
        let Pair { mut world, near, a, b, .. } = kind.pair(9);
        let there = world.serve(b, 8080, Serve::Script(Script::echo()));
        let acts = [Act::Send(1000), Act::Pause(5 * SECOND), Act::Send(100_000), Act::Fin, Act::AwaitEnd];
        let call = world.call(a, there, Script::acts(&acts));
        world.run(SECOND);
        world.drain(near, 30 * SECOND);
        world.run(8 * SECOND);
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 101_000), "{kind:?}");
        assert!(is_drained(&world, near), "{kind:?}");
        world.finish();
    }
}

#[test]
fn a_drain_that_begins_while_a_tunnel_is_dialled_ends_with_its_connections() {
    let Pair { mut world, near, a, b, .. } = two_nodes(10);
    world.latency(100 * MILLI);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    world.run(SECOND);
    let call = world.call(a, there, Script::send(1000));
    world.run(150 * MILLI);
    world.drain(near, 30 * SECOND);
    world.run(5 * SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    assert!(is_drained(&world, near));
    world.finish();
}

#[test]
fn what_comes_after_a_drain_was_said_to_be_over_ends_at_its_deadline() {
    for kind in KINDS {
        let Pair { mut world, near, a, b, .. } = kind.pair(21);
        let there = world.serve(b, 8080, Serve::Script(Script::echo()));
        world.drain(near, 5 * SECOND);
        assert!(is_drained(&world, near), "{kind:?}");
        let call = world.call(a, there, Script::keep(1000));
        world.run(4_900 * MILLI);
        assert_eq!(world.seen(call), Seen::Open, "{kind:?}");
        world.run(200 * MILLI);
        assert_eq!(world.seen(call), Seen::Reset, "{kind:?}");
        world.finish();
    }
}

#[test]
fn what_is_left_at_the_drain_deadline_is_reset() {
    for kind in KINDS {
        let Pair { mut world, near, a, b, .. } = kind.pair(11);
        let there = world.serve(b, 8080, Serve::Script(Script::echo()));
        let call = world.call(a, there, Script::keep(1000));
        world.run(SECOND);
        world.drain(near, 5 * SECOND);
        world.run(4_900 * MILLI);
        assert_eq!(world.seen(call), Seen::Open, "{kind:?}");
        world.run(1_100 * MILLI);
        assert_eq!(world.seen(call), Seen::Reset, "{kind:?}");
        assert_eq!(faults(&world, near), [Fault::Drain], "{kind:?}");
        assert!(is_drained(&world, near), "{kind:?}");
        world.finish();
    }
}

#[test]
fn connections_of_a_pod_that_is_gone_are_reset() {
    for kind in [Kind::Tunnel, Kind::Joined, Kind::Parted] {
        for client in [true, false] {
            let Pair { mut world, a, b, far, near } = kind.pair(12);
            let there = world.serve(b, 8080, Serve::Script(Script::echo()));
            let call = world.call(a, there, Script::keep(1000));
            world.run(SECOND);
            world.remove_pod(if client { a } else { b });
            let node = if client { near } else { far };
            assert_eq!(world.connections(node), 0, "{kind:?} {client}: in the same turn");
            world.run(SECOND);
            assert_eq!(world.seen(call), Seen::Reset, "{kind:?} {client}");
            assert_eq!(faults(&world, node), [Fault::WorkloadGone], "{kind:?} {client}");
            world.finish();
        }
    }
}

#[test]
fn tunnels_to_a_workload_that_is_gone_or_another_now_are_closed() {
    for gone in [true, false] {
        let Pair { mut world, near, a, b, .. } = two_nodes(13);
        let there = world.serve(b, 8080, Serve::Script(Script::echo()));
        let call = world.call(a, there, Script::keep(1000));
        world.run(SECOND);
        if gone {
            world.forget(b);
        } else {
            world.change(b, |spec| spec.uid = "c//Pod/default/b-again".into());
        }
        world.run(100 * MILLI);
        assert_eq!((world.seen(call), world.tunnels(near)), (Seen::Reset, 0), "{gone}");
        if !gone {
            let again = world.call(a, there, Script::send(1000));
            world.run(SECOND);
            assert_eq!(world.seen(again), Seen::Fin);
        }
        world.finish();
    }
}

#[test]
fn half_closed_silent_and_old_connections_end_where_configured() {
    type Change = fn(&mut Limits);
    let half_closed = Script::acts(&[Act::Send(1000), Act::Fin, Act::AwaitEnd]);
    let rows: [(Change, Script, Stage); 3] = [
        (|limits| limits.half_closed_idle = 60 * SECOND, half_closed, Stage::HalfClosed),
        (|limits| limits.connection_idle = 60 * SECOND, Script::keep(1000), Stage::Idle),
        (|limits| limits.connection_max_age = 60 * SECOND, Script::keep(1000), Stage::Age),
    ];
    for (change, script, stage) in rows {
        let Pair { mut world, near, a, b, .. } = two_nodes_with(14, change);
        let there = world.serve(b, 8080, Serve::Script(Script::acts(&[Act::Send(8)])));
        let call = world.call(a, there, script);
        world.run(59 * SECOND);
        assert_eq!(world.seen(call), Seen::Open, "{stage}");
        world.run(3 * SECOND);
        assert_eq!(world.seen(call), Seen::Reset, "{stage}");
        assert_eq!(faults(&world, near), [Fault::Timeout(stage)]);
        world.finish();
    }
}

#[test]
fn bytes_put_off_the_idle_timers() {
    let Pair { mut world, a, b, .. } = two_nodes_with(15, |limits| limits.connection_idle = 10 * SECOND);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let mut acts = Vec::new();
    for _ in 0..10 {
        acts.extend([Act::Send(100), Act::Pause(8 * SECOND)]);
    }
    let call = world.call(a, there, Script::acts(&acts));
    world.run(79 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Open, 1000));
    world.run(5 * SECOND);
    assert_eq!(world.seen(call), Seen::Reset, "the last byte is ten seconds ago");
    world.finish();
}

#[test]
fn a_tunnel_that_falls_silent_is_dead_however_much_our_side_has_to_send() {
    let Pair { mut world, near, far, a, b } = two_nodes(16);
    let there = world.serve(b, 8080, Serve::Script(Script::acts(&[])));
    let call = world.call(a, there, Script::keep(64 << 20));
    world.run(100 * MILLI);
    world.stop(far);
    world.run(31 * SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(tunnel_faults(&world, near), [Fault::Timeout(Stage::Keepalive)]);
    world.finish();
}

#[test]
fn bytes_and_fin_come_before_a_reset_that_follows_the_end_of_the_stream() {
    let Pair { mut world, near, a, b, .. } = two_nodes(17);
    let acts = [Act::Send(200_000), Act::Fin, Act::Pause(SECOND), Act::Reset];
    let there = world.serve(b, 8080, Serve::Script(Script::acts(&acts)));
    let mut acts = vec![Act::Send(8), Act::Pause(2 * SECOND), Act::Send(1000), Act::Pause(4 * SECOND)];
    acts.extend([Act::Send(1000), Act::Pause(SECOND), Act::Send(1000)]);
    let slow = Script::acts(&acts).reading(Reading::Slow(1000, 20 * MILLI));
    world.capacity(16 << 10);
    let call = world.call(a, there, slow);
    world.run(2_500 * MILLI);
    assert!(
        world.received(call) < 150_000 && world.seen(call) == Seen::Open,
        "the reset has overtaken bytes"
    );
    world.run(3 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 200_000));
    world.run(4 * SECOND);
    assert_eq!(world.seen(call), Seen::Reset, "whoever writes to it then must learn");
    assert_eq!(
        world.reasons(near),
        [Reason::DestinationReset],
        "the source still wrote when nobody was left to take it"
    );
    world.finish();
}

#[test]
fn what_is_no_tunnel_is_refused_where_tunnels_are_accepted() {
    let Pair { mut world, far, b, .. } = two_nodes(18);
    let machine = world.machine();
    world.run(SECOND);
    let call = world.call_in_vain(machine, world.address(b, 15008), Script::keep(1000));
    world.run(SECOND);
    assert_ne!(world.seen(call), Seen::Open);
    assert!(matches!(tunnel_faults(&world, far)[..], [Fault::Tls(_)]));
    world.finish();
}

#[test]
fn a_lost_tunnel_leaves_alone_what_had_come_whole() {
    let Pair { mut world, far, a, b, .. } = two_nodes(19);
    world.capacity(16 << 10);
    let there = world.serve(b, 8080, Serve::Script(Script::acts(&[Act::Send(200_000), Act::Fin])));
    let slow = Script::acts(&[Act::Send(8)]).reading(Reading::Slow(1000, 10 * MILLI));
    let call = world.call(a, there, slow);
    world.run(SECOND);
    world.kill(far);
    world.run(2 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 200_000));
    world.finish();
}
