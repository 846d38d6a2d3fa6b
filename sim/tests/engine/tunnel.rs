//! Which connections share a tunnel, how many, and when a tunnel is given up (hbone.md H5.9, H12, H14.1).

use std::net::SocketAddr;
use std::time::Duration;

use culvert_core::fault::{Fault, Stage};
use culvert_core::mesh::{PortMap, ServiceKey};
use culvert_sim::world::{Script, Seen, Serve};

use crate::mesh::{Pair, SECOND, faults, two_nodes};

const MILLI: Duration = Duration::from_millis(1);

#[test]
fn each_pair_of_workloads_has_tunnels_of_its_own() {
    let Pair { mut world, near, far, a, b } = two_nodes(1);
    let (c, d) = (world.pod(near, "c"), world.pod(far, "d"));
    let targets = [b, d].map(|pod| world.serve(pod, 8080, Serve::Script(Script::echo())));
    let more = world.serve(b, 8081, Serve::Script(Script::echo()));
    for (count, (from, to)) in
        [(a, targets[0]), (a, targets[1]), (c, targets[0]), (c, targets[1])].into_iter().enumerate()
    {
        for _ in 0..3 {
            let call = world.call(from, to, Script::keep(1000));
            world.run(SECOND);
            assert_eq!((world.received(call), world.tunnels(near)), (1000, count + 1));
        }
    }
    // The port of the application is no part of what tells tunnels apart.
    let call = world.call(a, more, Script::keep(1000));
    world.run(SECOND);
    assert_eq!((world.received(call), world.tunnels(near)), (1000, 4));
    world.finish();
}

#[test]
fn connections_that_expect_other_identities_have_tunnels_of_their_own() {
    let Pair { mut world, near, a, b, .. } = two_nodes(6);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    world.facts(
        "services:\n- {name: s, namespace: default, hostname: s.example, vips: [/10.9.9.9], ports: {80: 8080}, subjectAltNames: [spiffe://cluster.local/ns/default/sa/other]}",
    );
    world.change(b, |spec| {
        spec.services.insert(ServiceKey::new("default", "s.example"), PortMap::default());
    });
    for (count, target) in [there, SocketAddr::from(([10, 9, 9, 9], 80))].into_iter().enumerate() {
        for _ in 0..3 {
            let call = world.call(a, target, Script::keep(1000));
            world.run(SECOND);
            assert_eq!((world.received(call), world.tunnels(near)), (1000, count + 1), "{target}");
        }
    }
    world.finish();
}

#[test]
fn beyond_a_hundred_streams_there_is_a_further_tunnel() {
    let Pair { mut world, near, a, b, .. } = two_nodes(2);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    for (calls, tunnels) in [(100, 1), (1, 2), (99, 2), (1, 3)] {
        let calls: Vec<_> = (0..calls).map(|_| world.call(a, there, Script::keep(100))).collect();
        world.run(SECOND);
        assert!(calls.iter().all(|call| world.received(*call) == 100));
        assert_eq!(world.tunnels(near), tunnels);
    }
    world.finish();
}

#[test]
fn a_server_that_is_silent_after_its_handshake_is_given_up_after_five_seconds() {
    let Pair { mut world, near, far, a, b } = two_nodes(4);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    world.run(SECOND);
    world.latency(100 * MILLI);
    let call = world.call_in_vain(a, there, Script::send(1000));
    // After 300 ms it has the client's hello and answers; the client's finish is for a process that has stopped.
    world.run(350 * MILLI);
    world.stop(far);
    world.run(4_900 * MILLI);
    assert_eq!(world.seen(call), Seen::Open);
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(faults(&world, near), [Fault::Timeout(Stage::Http2Preface)]);
    world.finish();
}

#[test]
fn a_ping_goes_out_after_ten_seconds_and_has_twenty() {
    let Pair { mut world, near, a, b, .. } = two_nodes(5);
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let call = world.call(a, there, Script::keep(1000));
    world.run(SECOND);
    world.blackhole(b);
    world.run(28 * SECOND);
    assert_eq!(world.seen(call), Seen::Open, "the first ping has twenty seconds from the tenth on");
    world.run(1_500 * MILLI);
    assert_eq!(world.seen(call), Seen::Reset);
    let keepalive = Box::new(Fault::Timeout(Stage::Keepalive));
    assert_eq!(faults(&world, near), [Fault::TunnelLost(keepalive)]);
    world.finish();
}
