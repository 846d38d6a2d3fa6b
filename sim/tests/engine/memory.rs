//! Memory: bounded, and never taken from those who read (node.md B8).

use std::time::Duration;

use culvert_core::fault::{Fault, LimitName};
use culvert_sim::world::{Act, Reading, Script, Seen, Serve};

use crate::mesh::{KINDS, Pair, SECOND, faults, two_nodes, two_nodes_with};

#[test]
fn the_last_of_a_hundred_is_served_while_the_others_do_not_read() {
    let Pair { mut world, near, far, a, b } = two_nodes_with(1, |limits| {
        limits.stream_window = 64 << 10;
        limits.connection_window = 1 << 20;
        limits.relay_queue = 16 << 10;
    });
    world.capacity(16 << 10);
    let deaf = Serve::Script(Script::acts(&[]).reading(Reading::Never));
    let deaf = world.serve(b, 8080, deaf);
    let echo = world.serve(b, 8081, Serve::Script(Script::echo()));
    let stalled: Vec<_> = (0..99).map(|_| world.call(a, deaf, Script::keep(1 << 20))).collect();
    world.run(5 * SECOND);
    let call = world.call(a, echo, Script::send(1 << 20));
    world.run(5 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 1 << 20));
    assert_eq!(world.tunnels(near), 1, "all of them are in one tunnel");
    assert!(stalled.iter().all(|call| world.seen(*call) == Seen::Open));
    for node in [near, far] {
        assert!(world.held_bytes(node) <= 100 * (112 << 10), "{}", world.held_bytes(node));
    }
    world.finish();
}

#[test]
fn a_client_that_does_not_read_does_not_stop_others() {
    let Pair { mut world, near, a, b, .. } = two_nodes_with(2, |limits| limits.stream_window = 64 << 10);
    let acts = [Act::Send(4 << 20), Act::Fin];
    let source = world.serve(b, 8080, Serve::Script(Script::acts(&acts)));
    let deaf = Script::acts(&[Act::Send(8)]).reading(Reading::Never);
    for _ in 0..20 {
        world.call(a, source, deaf.clone());
    }
    world.run(2 * SECOND);
    let call = world.call(a, source, Script::acts(&[Act::Send(8), Act::Fin]));
    world.run(5 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 4 << 20));
    assert_eq!(world.tunnels(near), 1);
    world.finish();
}

#[test]
fn a_connection_beyond_the_limit_is_refused_at_once_and_room_comes_back() {
    for kind in KINDS {
        let Pair { mut world, near, a, b, .. } = kind.pair_with(3, |limits| limits.connections = 2);
        let there = world.serve(b, 8080, Serve::Script(Script::echo()));
        let acts = [Act::Send(8), Act::Pause(2 * SECOND), Act::Fin, Act::AwaitEnd];
        let calls: Vec<_> = (0..3).map(|_| world.call(a, there, Script::acts(&acts))).collect();
        world.run(SECOND);
        let seen: Vec<_> = calls.iter().map(|call| world.seen(*call)).collect();
        assert_eq!(seen, [Seen::Open, Seen::Open, Seen::Reset], "{kind:?}");
        assert_eq!(faults(&world, near), [Fault::Limit(LimitName::Connections)], "{kind:?}");
        world.run(2 * SECOND);
        let again = world.call(a, there, Script::send(8));
        world.run(SECOND);
        assert_eq!(world.seen(again), Seen::Fin, "{kind:?}");
        world.finish();
    }
}

#[test]
fn new_connections_are_refused_while_memory_is_full() {
    let Pair { mut world, near, a, b, .. } = two_nodes_with(4, |limits| {
        limits.memory_low = 256 << 10;
        limits.memory_max = 512 << 10;
        limits.relay_queue = 128 << 10;
    });
    world.capacity(16 << 10);
    let deaf = world.serve(b, 8080, Serve::Script(Script::acts(&[]).reading(Reading::Never)));
    let stalled: Vec<_> = (0..20).map(|_| world.call(a, deaf, Script::keep(8 << 20))).collect();
    world.run(5 * SECOND);
    let refused = world.call_in_vain(a, deaf, Script::send(8));
    world.run(100 * Duration::from_millis(1));
    assert_eq!(world.seen(refused), Seen::Reset);
    let limits = faults(&world, near).into_iter().filter(|f| *f == Fault::Limit(LimitName::Memory)).count();
    assert!(limits >= 1);
    for call in stalled {
        world.leave(call);
    }
    world.run(SECOND);
    let echo = world.serve(b, 8081, Serve::Script(Script::echo()));
    let call = world.call(a, echo, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    world.finish();
}

#[test]
fn windows_shrink_while_memory_is_low_and_grow_back() {
    let Pair { mut world, far, a, b, .. } = two_nodes_with(5, |limits| {
        limits.memory_low = 1 << 20;
        limits.stream_window_low = 16 << 10;
    });
    world.capacity(16 << 10);
    let slow = Script::acts(&[]).reading(Reading::Slow(64 << 10, Duration::from_millis(50)));
    let there = world.serve(b, 8080, Serve::Script(slow));
    let calls: Vec<_> =
        (0..4).map(|_| world.call(a, there, Script::acts(&[Act::Send(4 << 20), Act::Fin]))).collect();
    world.run(60 * SECOND);
    assert!(world.held_bytes(far) < 1 << 20, "{}", world.held_bytes(far));
    world.run(100 * SECOND);
    for call in calls {
        let server = world.heard_by(call).unwrap_or(call);
        assert_eq!((world.seen(server), world.received(server)), (Seen::Fin, 4 << 20));
    }
    world.finish();
}

#[test]
fn a_connection_without_room_in_any_tunnel_ends_in_time() {
    let Pair { mut world, near, a, b, .. } = two_nodes_with(6, |limits| {
        limits.peer_streams_per_tunnel = 1;
        limits.tunnels_per_key = 1;
    });
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let first = world.call(a, there, Script::keep(1000));
    world.run(SECOND);
    let second = world.call_in_vain(a, there, Script::send(1000));
    world.run(36 * SECOND);
    assert_eq!((world.seen(first), world.seen(second)), (Seen::Open, Seen::Reset));
    assert_eq!(faults(&world, near).len(), 1);
    world.finish();
}

#[test]
fn waiters_beyond_the_limit_are_refused_at_once() {
    let Pair { mut world, near, far, a, b } = two_nodes_with(7, |limits| limits.waiters_per_key = 4);
    world.run(SECOND);
    world.stop(far);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let calls: Vec<_> = (0..6).map(|_| world.call_in_vain(a, there, Script::send(1000))).collect();
    world.run(SECOND);
    let refused = calls.iter().filter(|call| world.seen(**call) == Seen::Reset).count();
    assert_eq!(refused, 2);
    assert!(faults(&world, near).iter().all(|fault| *fault == Fault::Limit(LimitName::Waiters)));
    world.run(6 * SECOND);
    world.finish();
}

#[test]
fn tunnels_that_say_nothing_are_bounded_and_do_not_stop_others_for_long() {
    let Pair { mut world, far, a, b, .. } = two_nodes_with(8, |limits| limits.half_open_tunnels = 5);
    let mute = world.machine();
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    world.run(SECOND);
    let hbone = world.address(b, 15008);
    let mutes: Vec<_> = (0..8).map(|_| world.call_in_vain(mute, hbone, Script::acts(&[]))).collect();
    world.run(SECOND);
    assert_eq!(mutes.iter().filter(|call| world.seen(**call) == Seen::Reset).count(), 3);
    assert_eq!(world.tunnels(far), 5);
    world.run(5 * SECOND);
    assert_eq!(world.tunnels(far), 0, "a handshake has five seconds");
    let call = world.call(a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    world.finish();
}

#[test]
fn what_comes_before_the_application_is_dialled_counts_as_held() {
    // The near proxy sends nothing before the answer; what a stopped application's kernel leaves unread is its queue's.
    let Pair { mut world, far, a, b, .. } = two_nodes(9);
    let deaf = world.serve(b, 8080, Serve::Script(Script::acts(&[]).reading(Reading::Never)));
    world.call(a, deaf, Script::keep(1 << 20));
    world.run(SECOND);
    assert!(world.held_bytes(far) > 512 << 10, "{}", world.held_bytes(far));
    world.finish();
}
