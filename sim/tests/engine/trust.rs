//! Whom to trust changes while tunnels are alive (C5, C6; node.md row 82).

use std::time::Duration;

use culvert_core::fault::Fault;
use culvert_core::identity::IdentityFault;
use culvert_core::telemetry::{Event, Reason};
use culvert_sim::world::{NodeId, Roots, Script, Seen, Serve, World};

use crate::mesh::{Pair, SECOND, faults, two_nodes};

const MILLI: Duration = Duration::from_millis(1);

/// Why a node's tunnels ended that did so with a certificate.
fn refusals(world: &World, node: NodeId) -> Vec<IdentityFault> {
    let closed = world.reports(node).iter().filter_map(|(_, event)| match event {
        Event::TunnelClosed { fault: Fault::Identity(fault), .. } => Some(fault.clone()),
        _ => None,
    });
    closed.collect()
}

#[test]
fn streams_of_a_revoked_peer_end_at_once_at_either_end_and_others_go_on() {
    for client in [true, false] {
        let Pair { mut world, near, far, a, b } = two_nodes(1);
        let c = world.pod(near, "c");
        let d = world.pod(far, "d");
        let (there, elsewhere) = (
            world.serve(b, 8080, Serve::Script(Script::echo())),
            world.serve(d, 8080, Serve::Script(Script::echo())),
        );
        let doomed: Vec<_> = (0..20).map(|_| world.call(a, there, Script::keep(1000))).collect();
        let spared = world.call(c, elsewhere, Script::keep(1000));
        world.run(SECOND);
        let (revoked, hears) = if client { (a, far) } else { (b, near) };
        assert!(world.revoke(revoked, &[hears]));
        let ended = faults(&world, hears);
        assert_eq!(ended, [(); 20].map(|()| Fault::Identity(IdentityFault::Revoked)), "in the same turn");
        assert_eq!(Fault::Identity(IdentityFault::Revoked).label(), "CERT_REVOKED");
        assert_eq!(refusals(&world, hears), [IdentityFault::Revoked]);
        assert_eq!(world.tunnels(hears), 1, "its last words are not waited for");
        world.run(10 * MILLI);
        assert!(doomed.iter().all(|call| world.seen(*call) == Seen::Reset));
        // A new one is refused in its handshake.
        let again = world.call_in_vain(a, there, Script::keep(1000));
        let other = world.call(c, elsewhere, Script::send(1000));
        world.run(SECOND);
        assert_eq!(world.seen(again), Seen::Reset);
        assert_eq!((world.seen(spared), world.received(spared)), (Seen::Open, 1000));
        assert_eq!((world.seen(other), world.received(other)), (Seen::Fin, 1000));
        // Another certificate is another number.
        world.rotate(revoked);
        world.run(SECOND);
        let anew = world.call(a, there, Script::send(1000));
        world.run(SECOND);
        assert_eq!((world.seen(anew), world.received(anew)), (Seen::Fin, 1000));
        world.finish();
    }
}

#[test]
fn a_list_that_comes_during_a_handshake_counts() {
    for micros in (0..8_000).step_by(500) {
        let Pair { mut world, far, a, b, .. } = two_nodes(2);
        let there = world.serve(b, 8080, Serve::Script(Script::echo()));
        world.run(SECOND);
        let call = world.call(a, there, Script::keep(1000));
        world.run(Duration::from_micros(micros));
        assert!(world.revoke(a, &[far]));
        world.run(SECOND);
        assert_eq!(world.seen(call), Seen::Reset, "after {micros} µs");
        assert_eq!(world.tunnels(far), 0);
        world.finish();
    }
}

#[test]
fn roots_that_overlap_end_no_connection_whoever_changes_first() {
    for first in [0, 1] {
        let Pair { mut world, near, far, a, b } = two_nodes(3);
        let there = world.serve(b, 8080, Serve::Script(Script::echo()));
        let mut calls = vec![world.call(a, there, Script::keep(1000))];
        let (nodes, pods) = ([near, far], [a, b]);
        for roots in [Roots::Old, Roots::Both] {
            for at in [first, 1 - first] {
                world.trust(nodes[at], roots);
                calls.push(world.call(a, there, Script::keep(1000)));
                world.run(SECOND);
            }
        }
        for at in [first, 1 - first] {
            world.rotate_to_next(pods[at]);
            calls.push(world.call(a, there, Script::keep(1000)));
            world.run(SECOND);
        }
        assert!(calls.iter().all(|call| (world.seen(*call), world.received(*call)) == (Seen::Open, 1000)));
        assert_eq!((refusals(&world, near), refusals(&world, far)), (vec![], vec![]));
        // What was authenticated under the old root ends with it; what came after goes on.
        for at in [first, 1 - first] {
            world.trust(nodes[at], Roots::New);
        }
        let last = world.call(a, there, Script::send(1000));
        world.run(SECOND);
        assert_eq!((world.seen(last), world.received(last)), (Seen::Fin, 1000));
        world.finish();
    }
}

#[test]
fn an_abrupt_swap_of_roots_fails_the_side_that_is_not_trusted_and_nobody_else() {
    let Pair { mut world, near, far, a, b } = two_nodes(4);
    let c = world.pod(near, "c");
    let there = world.serve(b, 8080, Serve::Script(Script::echo()));
    let local = world.serve(c, 8080, Serve::Script(Script::echo()));
    let live = world.call(a, there, Script::keep(1000));
    let beside = world.call(a, local, Script::keep(1000));
    world.run(SECOND);
    world.trust(far, Roots::New);
    world.run(10 * MILLI);
    assert_eq!((world.seen(live), refusals(&world, far)), (Seen::Reset, vec![IdentityFault::BadSignature]));
    let call = world.call_in_vain(a, there, Script::keep(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(world.seen(beside), Seen::Open);
    // The right roots are all that it takes.
    world.trust(far, Roots::Issued);
    let again = world.call(a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!((world.seen(again), world.received(again)), (Seen::Fin, 1000));
    assert!(world.reasons(near).iter().all(|reason| !matches!(reason, Reason::Failed(Fault::Denied(_)))));
    world.finish();
}
