//! Ways between hosts that are cut, clogged, slow and lossy, and hosts that forget; kernels that run out of things.

use std::time::Duration;

use culvert_core::fault::{Fault, IoFault, Stage};
use culvert_core::telemetry::Reason;
use culvert_sim::world::{Act, Direction, Script, Seen, Serve, World};

use crate::mesh::{Pair, SECOND, faults, two_nodes};

fn echo() -> Serve {
    Serve::Script(Script::echo())
}

#[test]
fn a_way_that_is_cut_in_one_direction_ends_the_tunnel_at_both_ends() {
    for direction in [Direction::Out, Direction::In] {
        let Pair { mut world, near, far, a, b } = two_nodes(1);
        let there = world.serve(b, 8080, echo());
        let kept = world.call(a, there, Script::keep(1000));
        world.run(SECOND);
        world.cut(b, direction);
        world.run(31 * SECOND);
        assert_eq!((world.seen(kept), world.tunnels(near)), (Seen::Reset, 0), "{direction:?}");
        assert_eq!(world.tunnels(far), 0, "{direction:?}: each end notices by itself");
        world.heal();
        let again = world.call(a, there, Script::send(1000));
        world.run(10 * SECOND);
        assert_eq!(world.seen(again), Seen::Fin, "{direction:?}");
        world.finish();
    }
}

#[test]
fn what_is_not_acknowledged_fills_the_senders_window() {
    let mut world = World::new(2);
    world.capacity(10_000);
    let (a, b) = (world.machine(), world.machine());
    let sink = world.serve(b, 80, Serve::Script(Script::acts(&[])));
    let call = world.call(a, sink, Script::keep(100_000));
    world.run(Duration::from_micros(2500));
    world.cut(b, Direction::Out);
    world.run(10 * SECOND);
    let sent = world.sent(call);
    assert!((10_000..=30_000).contains(&sent), "{sent}");
    let server = world.heard_by(call).unwrap();
    assert_eq!(world.received(server), sent, "all of it arrived");
    world.heal();
    world.run(SECOND);
    assert_eq!(world.received(server), 100_000);
    world.finish();
}

#[test]
fn a_clog_of_ten_seconds_delays_and_loses_nothing() {
    let Pair { mut world, near, a, b, .. } = two_nodes(3);
    let there = world.serve(b, 8080, echo());
    let acts = [Act::Send(50_000), Act::Pause(2 * SECOND), Act::Send(50_000), Act::Fin, Act::AwaitEnd];
    let call = world.call(a, there, Script::acts(&acts));
    world.run(SECOND);
    world.clog(b, 10 * SECOND);
    world.run(9 * SECOND);
    assert!(world.is_clogged() && world.received(call) == 50_000, "{}", world.received(call));
    world.run(2 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 100_000));
    assert_eq!(world.reasons(near), [Reason::Completed]);
    world.finish();
}

#[test]
fn loss_jitter_and_a_narrow_way_change_when_bytes_arrive_and_not_which() {
    let Pair { mut world, a, b, .. } = two_nodes(4);
    world.loss(Some(5));
    world.jitter(Duration::from_millis(30));
    world.bandwidth(100_000);
    let there = world.serve(b, 8080, echo());
    let call = world.call(a, there, Script::send(100_000));
    world.run(900 * Duration::from_millis(1));
    assert_eq!(world.seen(call), Seen::Open, "it takes a second at least");
    world.run(60 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 100_000));
    assert!(world.lost() > 3, "{}", world.lost());
    world.finish();
}

#[test]
fn a_host_without_a_route_is_told_as_that_and_at_once() {
    let Pair { mut world, near, a, b, .. } = two_nodes(5);
    let there = world.serve(b, 8080, echo());
    world.lose_route(b);
    let call = world.call(a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(faults(&world, near), [Fault::Io(IoFault::Unreachable)]);
    world.heal();
    let again = world.call(a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(again), Seen::Fin);
    world.finish();
}

#[test]
fn a_host_that_forgot_answers_with_reset_when_something_arrives_or_a_probe_asks() {
    for silent in [false, true] {
        let Pair { mut world, near, a, b, .. } = two_nodes(6);
        let served =
            if silent { Script::acts(&[]) } else { Script::acts(&[Act::Pause(2 * SECOND), Act::Send(8)]) };
        let there = world.serve(b, 8080, Serve::Script(served));
        let call = world.call(a, there, Script::keep(1000));
        world.run(SECOND);
        world.lose(call);
        world.run(SECOND / 2);
        assert_eq!(world.connections(near), 1, "nobody was told");
        world.run(if silent { 181 * SECOND } else { 2 * SECOND });
        assert_eq!(world.connections(near), 0, "silent: {silent}");
        assert_eq!(world.reasons(near), [Reason::SourceReset]);
        let server = world.heard_by(call).unwrap();
        assert_eq!(world.seen(server), Seen::Reset, "D1: never FIN");
        world.finish();
    }
}

#[test]
fn without_descriptors_what_is_there_goes_on_and_what_waits_is_accepted_later() {
    let Pair { mut world, near, far, a, b } = two_nodes(7);
    let there = world.serve(b, 8080, echo());
    let acts = [Act::Send(1000), Act::Pause(5 * SECOND), Act::Send(1000), Act::Fin, Act::AwaitEnd];
    let kept = world.call(a, there, Script::acts(&acts));
    world.run(SECOND);
    for node in [near, far] {
        world.descriptors(node, 2);
    }
    let calls: Vec<_> = (0..5).map(|_| world.call(a, there, Script::send(1000))).collect();
    world.run(3 * SECOND);
    assert!(calls.iter().all(|call| world.received(*call) == 0));
    let tries = world.deferred_accepts(near);
    assert!((5..20).contains(&tries), "it neither spins nor gives up: {tries}");
    world.run(3 * SECOND);
    assert_eq!((world.seen(kept), world.received(kept)), (Seen::Fin, 2000), "untouched");
    for node in [near, far] {
        world.descriptors(node, usize::MAX);
    }
    world.run(2 * SECOND);
    assert!(world.recovered_accepts(near) > 0);
    assert!(calls.iter().all(|call| world.seen(*call) == Seen::Fin), "H2: recovers");
    world.finish();
}

#[test]
fn a_dial_without_descriptors_or_ports_fails_at_once_with_its_reason() {
    let dial = |exhaust: fn(&mut Pair)| {
        let mut pair = two_nodes(8);
        let there = pair.world.serve(pair.b, 8080, echo());
        exhaust(&mut pair);
        let call = pair.world.call(pair.a, there, Script::send(1000));
        pair.world.run(SECOND / 100);
        assert_eq!(pair.world.seen(call), Seen::Reset);
        let inputs = pair.world.inputs(pair.near);
        pair.world.run(20 * SECOND);
        assert!(pair.world.inputs(pair.near) <= inputs + 2, "no storm of retries");
        let found = faults(&pair.world, pair.near);
        pair.world.descriptors(pair.near, usize::MAX);
        pair.world.exhaust_ports(pair.a, false);
        let again = pair.world.call(pair.a, there, Script::send(1000));
        pair.world.run(SECOND);
        assert_eq!(pair.world.seen(again), Seen::Fin);
        pair.world.finish();
        found
    };
    let descriptors = dial(|pair| pair.world.descriptors(pair.near, 1));
    assert_eq!(descriptors, [Fault::Io(IoFault::Exhausted)]);
    let ports = dial(|pair| pair.world.exhaust_ports(pair.a, true));
    assert_eq!(ports, [Fault::Io(IoFault::AddressUnavailable)]);
}

#[test]
fn what_finds_the_backlog_of_a_stopped_process_full_comes_again() {
    let Pair { mut world, near, a, b, .. } = two_nodes(9);
    let there = world.serve(b, 8080, echo());
    world.backlog(near, 2);
    world.stop(near);
    let calls: Vec<_> = (0..5).map(|_| world.call(a, there, Script::send(1000))).collect();
    world.run(2 * SECOND);
    let waits = calls.iter().filter(|call| world.seen(**call) == Seen::Dialling).count();
    assert_eq!(waits, 3);
    assert!(world.dropped_dials(near) >= 6, "{}", world.dropped_dials(near));
    world.resume(near);
    world.run(5 * SECOND);
    assert!(calls.iter().all(|call| world.seen(*call) == Seen::Fin));
    world.finish();
}

#[test]
fn a_dial_that_nobody_has_room_for_is_given_up_by_its_kernel() {
    let Pair { mut world, near, a, b, .. } = two_nodes(10);
    let there = world.serve(b, 8080, echo());
    world.backlog(near, 0);
    let call = world.call(a, there, Script::send(1000));
    world.run(130 * SECOND);
    assert_eq!(world.seen(call), Seen::Refused);
    assert_eq!(faults(&world, near), [], "the proxy never saw it: {:?}", Stage::TcpConnect);
    world.finish();
}
