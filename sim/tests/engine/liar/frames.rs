//! Lies that are told in frames: credit, limits, ends and floods (attacks A1, A5 to A7; faults D11 to D13).

use culvert_core::fault::Fault;
use culvert_core::hbone::mux::MuxFault;
use culvert_core::telemetry::Event;
use culvert_sim::frame::{Frame, kind, setting};
use culvert_sim::liar::{Lie, SAME};
use culvert_sim::world::{Act, NodeId, Reading, Script, Seen, Serve, World};

use super::{Company, company, echo};
use crate::mesh::{SECOND, faults};

/// The faults with which a node's tunnels ended.
fn tunnel_faults(world: &World, node: NodeId) -> Vec<Fault> {
    let closed = |(_, event): &(_, Event)| match event {
        Event::TunnelClosed { fault, .. } => Some(fault.clone()),
        _ => None,
    };
    world.reports(node).iter().filter_map(closed).collect()
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
fn a_connect_that_a_liar_claims_to_have_refused_is_tried_once_more_and_no_oftener() {
    let refusal = vec![Frame::reset(SAME, 7)];
    let lies = [Lie::Withholds(kind::HEADERS), Lie::Adds { to: kind::HEADERS, frames: refusal }];
    let Company { mut world, x, a, .. } = company(20, &lies);
    let there = world.serve(x, 8080, echo());
    let call = world.call_in_vain(a, there, Script::send(1000));
    world.run(SECOND);
    // The liar did dial, each time: nobody else can know.
    assert_eq!((world.seen(call), world.served().len()), (Seen::Reset, 2));
    world.finish();
}
