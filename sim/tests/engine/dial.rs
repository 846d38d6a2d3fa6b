//! Dials that fail or hang: every waiter has its outcome in time, and nobody else waits with them (node.md B1, B2).

use std::time::Duration;

use culvert_core::fault::{Fault, IoFault, Stage};
use culvert_sim::world::{AppId, Script, Seen, Serve, World};

use crate::mesh::{Pair, SECOND, faults, two_nodes, two_nodes_with};

const MILLI: Duration = Duration::from_millis(1);

fn all(world: &World, calls: &[AppId], seen: Seen) -> bool {
    calls.iter().all(|call| world.seen(*call) == seen)
}

/// When the calls ended, which must be one moment but for what a reset takes to arrive.
fn ended_together(world: &World, calls: &[AppId]) -> Duration {
    let mut ends: Vec<Duration> = calls.iter().filter_map(|call| world.ended_at(*call)).collect();
    ends.sort();
    assert_eq!(ends.len(), calls.len(), "all have ended");
    let (first, last) = (ends[0], ends[ends.len() - 1]);
    assert!(last - first < 10 * MILLI, "one after another: {ends:?}");
    last
}

#[test]
fn an_application_that_refuses_is_a_reset_with_status_503() {
    let Pair { mut world, near, far, a, b } = two_nodes(1);
    let call = world.call(a, world.address(b, 8080), Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(faults(&world, near), [Fault::Status(503)]);
    assert_eq!(faults(&world, far), [Fault::Io(IoFault::Refused)]);
    world.finish();
}

#[test]
fn an_application_that_never_answers_is_a_503_before_connect_times_out() {
    let Pair { mut world, near, far, a, b } = two_nodes(2);
    let silent = world.serve(b, 8080, Serve::Silent);
    let call = world.call(a, silent, Script::send(1000));
    world.run(9 * SECOND);
    assert_eq!(world.seen(call), Seen::Open);
    world.run(2 * SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(faults(&world, near), [Fault::Status(503)]);
    assert_eq!(faults(&world, far), [Fault::Timeout(Stage::TcpConnect)]);
    world.finish();
}

#[test]
fn callers_of_a_stopped_proxy_fail_together_within_five_seconds() {
    let Pair { mut world, near, far, a, b } = two_nodes(3);
    let third = world.node();
    let c = world.pod(third, "c");
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let elsewhere = world.serve(c, 8080, Serve::Script(Script::echo()));
    world.run(SECOND);
    world.stop(far);
    let start = world.elapsed();
    let calls: Vec<_> = (0..8).map(|_| world.call_in_vain(a, there, Script::send(1000))).collect();
    let other = world.call(a, elsewhere, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(other), Seen::Fin, "another destination is not affected");
    assert!(all(&world, &calls, Seen::Open));
    world.run(4_100 * MILLI);
    assert!(all(&world, &calls, Seen::Reset));
    assert!(ended_together(&world, &calls) - start < 5_100 * MILLI);
    assert!(faults(&world, near).iter().all(|fault| *fault == Fault::Timeout(Stage::TlsHandshake)));
    world.finish();
}

#[test]
fn callers_of_a_blackholed_pod_fail_together_after_ten_seconds() {
    let Pair { mut world, near, a, b, .. } = two_nodes(4);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    world.run(SECOND);
    world.blackhole(b);
    let start = world.elapsed();
    let calls: Vec<_> = (0..8).map(|_| world.call_in_vain(a, there, Script::send(1000))).collect();
    world.run(11 * SECOND);
    assert!(all(&world, &calls, Seen::Reset));
    assert!(ended_together(&world, &calls) - start < 10_100 * MILLI);
    assert!(faults(&world, near).iter().all(|fault| *fault == Fault::Timeout(Stage::TcpConnect)));
    world.heal();
    let again = world.call(a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(again), Seen::Fin, "a failure is not remembered");
    world.finish();
}

#[test]
fn on_an_open_tunnel_that_falls_silent_callers_fail_together_and_the_next_gets_a_new_one() {
    let Pair { mut world, near, far, a, b } = two_nodes(5);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let first = world.call(a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!((world.seen(first), world.tunnels(near)), (Seen::Fin, 1));
    world.stop(far);
    let start = world.elapsed();
    let mut calls = vec![world.call_in_vain(a, there, Script::send(1000))];
    for _ in 0..7 {
        world.run(100 * MILLI);
        calls.push(world.call_in_vain(a, there, Script::send(1000)));
    }
    world.run(15 * SECOND);
    assert!(all(&world, &calls, Seen::Reset));
    assert!(ended_together(&world, &calls) - start < 15_200 * MILLI);
    assert!(faults(&world, near).iter().all(|fault| *fault == Fault::Timeout(Stage::ConnectResponse)));
    world.finish();
}

#[test]
fn a_refused_tunnel_fails_every_waiter_at_once() {
    let Pair { mut world, near, far, a, b } = two_nodes(6);
    world.run(SECOND);
    world.kill(far);
    let calls: Vec<_> =
        (0..8).map(|_| world.call_in_vain(a, world.address(b, 8080), Script::send(1000))).collect();
    world.run(100 * MILLI);
    assert!(all(&world, &calls, Seen::Reset));
    assert!(faults(&world, near).iter().all(|fault| *fault == Fault::Io(IoFault::Refused)));
    world.finish();
}

#[test]
fn a_wrong_server_identity_is_refused_before_a_byte_is_sent() {
    let Pair { mut world, near, far, a, b } = two_nodes(7);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let imposter = world.pod(far, "imposter");
    let taken = world.serve(imposter, 8080, Serve::Script(Script::echo()));
    world.run(SECOND);
    // The facts that the client's node has say that b is where the imposter is.
    world.misinform(near, imposter, b);
    let call = world.call_in_vain(a, taken, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert!(matches!(&faults(&world, near)[..], [Fault::WrongPeer { .. }]), "{:?}", faults(&world, near));
    let _ = there;
    world.finish();
}

#[test]
fn a_destination_that_takes_few_streams_gets_more_tunnels() {
    let Pair { mut world, near, a, b, .. } =
        crate::mesh::two_nodes_with(8, |limits| limits.peer_streams_per_tunnel = 2);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let calls: Vec<_> = (0..10).map(|_| world.call(a, there, Script::keep(1000))).collect();
    world.run(2 * SECOND);
    let served: Vec<_> = calls.iter().map(|call| world.received(*call)).collect();
    assert_eq!(served, [1000; 10]);
    assert_eq!(world.tunnels(near), 5);
    world.finish();
}

#[test]
fn a_tunnel_that_was_full_takes_streams_again() {
    let Pair { mut world, near, a, b, .. } = crate::mesh::two_nodes_with(9, |limits| {
        limits.peer_streams_per_tunnel = 2;
        limits.tunnels_per_key = 1;
    });
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let stays = world.call(a, there, Script::keep(8));
    let calls: Vec<_> = (0..50).map(|_| world.call(a, there, Script::send(10_000))).collect();
    world.run(5 * SECOND);
    assert!(all(&world, &calls, Seen::Fin));
    assert_eq!((world.tunnels(near), world.seen(stays)), (1, Seen::Open));
    world.finish();
}

#[test]
fn one_tunnel_carries_many_connections_of_one_pair_of_workloads_only() {
    let Pair { mut world, near, a, b, .. } = two_nodes(10);
    let other = world.pod(near, "other");
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let calls: Vec<_> = (0..20).map(|_| world.call(a, there, Script::send(10_000))).collect();
    let more: Vec<_> = (0..20).map(|_| world.call(other, there, Script::send(10_000))).collect();
    world.run(5 * SECOND);
    assert!(all(&world, &calls, Seen::Fin) && all(&world, &more, Seen::Fin));
    assert_eq!(world.tunnels(near), 2);
    world.finish();
}

#[test]
fn who_waits_for_room_does_not_reach_a_workload_that_went_meanwhile() {
    let Pair { mut world, near, a, b, .. } = two_nodes_with(71, |limits| {
        limits.streams_per_tunnel = 1;
        limits.tunnels_per_key = 1;
    });
    let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
    let first = world.call(a, echo, Script::keep(100));
    world.run(SECOND);
    let second = world.call_in_vain(a, echo, Script::send(100));
    world.run(SECOND);
    world.withhold(near, b);
    world.run(SECOND);
    assert_eq!((world.seen(first), world.seen(second)), (Seen::Reset, Seen::Reset));
    assert!(faults(&world, near).contains(&Fault::WorkloadGone));
    assert_eq!(world.tunnels(near), 0);
    world.restore(near);
    world.finish();
}

#[test]
fn no_connection_begins_in_a_tunnel_whose_certificate_is_past_its_end() {
    let hour = Duration::from_secs(3600);
    let Pair { mut world, near, a, b, .. } = two_nodes_with(72, |limits| {
        // Nothing but the certificates, of a day, ends the tunnel.
        limits.ping_interval = 7 * hour;
        limits.tunnel_max_age = 100 * hour;
    });
    let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
    let live = world.call(a, echo, Script::keep(100));
    world.run(25 * hour);
    assert_eq!((world.seen(live), world.tunnels(near)), (Seen::Open, 1));
    let late = world.call_in_vain(a, echo, Script::send(100));
    world.run(SECOND);
    assert_eq!((world.seen(live), world.seen(late)), (Seen::Open, Seen::Reset));
    world.finish();
}
