//! How an engine aborts a stream, as the engine at the other end of the tunnel sees it (hbone.md H9.9, H11.1, H17.1).

use std::time::Duration;

use culvert_core::fault::{Fault, Stage};
use culvert_core::telemetry::Reason;
use culvert_sim::world::{Act, Script, Seen, Serve};

use crate::mesh::{Pair, SECOND, faults, two_nodes, two_nodes_with};

/// Why a connection is aborted, and on which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    ClientDrains,
    ClientGone,
    ClientResets,
    PolicyChanges,
    ServerDrains,
    ServerResets,
}

const CAUSES: [Cause; 6] = [
    Cause::ClientDrains,
    Cause::ClientGone,
    Cause::ClientResets,
    Cause::PolicyChanges,
    Cause::ServerDrains,
    Cause::ServerResets,
];

#[test]
fn whatever_aborts_a_connection_the_other_end_gets_connect_error() {
    for cause in CAUSES {
        let Pair { mut world, near, far, a, b } = two_nodes(1);
        let last = |resets: bool| if resets { Act::Reset } else { Act::AwaitEnd };
        let acts = [Act::Receive(8), Act::Pause(2 * SECOND), last(cause == Cause::ServerResets)];
        let there = world.serve(b, 8080, Serve::Script(Script::acts(&acts)));
        let acts = [Act::Send(8), Act::Pause(2 * SECOND), last(cause == Cause::ClientResets)];
        let call = world.call(a, there, Script::acts(&acts));
        world.run(SECOND);
        match cause {
            Cause::ClientDrains => world.drain(near, SECOND),
            Cause::ClientGone => world.remove_pod(a),
            Cause::PolicyChanges => world.deny("no-a", a),
            Cause::ServerDrains => world.drain(far, SECOND),
            Cause::ClientResets | Cause::ServerResets => {}
        }
        world.run(3 * SECOND);
        // Any other code would be a reason of its own, and END_STREAM none at all.
        match cause {
            Cause::ClientDrains | Cause::ClientGone | Cause::ClientResets => {
                assert_eq!(world.reasons(far), [Reason::SourceReset], "{cause:?}");
                let server = world.heard_by(call).expect("it was under way");
                assert_eq!(world.seen(server), Seen::Reset, "{cause:?}");
            }
            Cause::PolicyChanges | Cause::ServerDrains | Cause::ServerResets => {
                assert_eq!(world.reasons(near), [Reason::DestinationReset], "{cause:?}");
                assert_eq!(world.seen(call), Seen::Reset, "{cause:?}");
            }
        }
        world.finish();
    }
}

#[test]
fn a_dial_is_abandoned_where_its_connect_is_reset() {
    let Pair { mut world, far, a, b, .. } = two_nodes(2);
    let silent = world.serve(b, 8080, Serve::Silent);
    world.call(a, silent, Script::send(8));
    world.run(SECOND);
    assert_eq!(world.connections(far), 1, "the application is being dialled");
    world.remove_pod(a);
    world.run(100 * Duration::from_millis(1));
    assert_eq!(world.connections(far), 0, "the dial had nine seconds left");
    assert_eq!(world.reasons(far), [Reason::SourceReset]);
    world.finish();
}

#[test]
fn an_application_that_gives_up_early_is_noticed() {
    let Pair { mut world, near, far, a, b } = two_nodes(9);
    let silent = world.serve(b, 8080, Serve::Silent);
    world.call(a, silent, Script::acts(&[Act::Send(8), Act::Pause(SECOND), Act::Reset]));
    world.run(500 * Duration::from_millis(1));
    assert_eq!((world.connections(near), world.connections(far)), (1, 1), "the application is being dialled");
    world.run(SECOND);
    assert_eq!((world.connections(near), world.connections(far)), (0, 0), "the dial had eight seconds left");
    assert_eq!(
        (world.reasons(near), world.reasons(far)),
        (vec![Reason::SourceReset], vec![Reason::SourceReset])
    );
    world.finish();
}

#[test]
fn a_connect_that_may_have_been_processed_is_not_repeated() {
    let Pair { mut world, near, far, a, b } = two_nodes_with(3, |limits| {
        limits.ping_interval = SECOND;
        limits.ping_timeout = SECOND;
    });
    let silent = world.serve(b, 8080, Serve::Silent);
    let call = world.call(a, silent, Script::send(1000));
    world.run(500 * Duration::from_millis(1));
    assert_eq!(world.connections(far), 1, "the CONNECT has arrived");
    world.blackhole(b);
    world.run(3 * SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    let keepalive = Box::new(Fault::Timeout(Stage::Keepalive));
    assert_eq!(faults(&world, near), [Fault::TunnelLost(keepalive)]);
    world.heal();
    world.run(30 * SECOND);
    assert_eq!(world.reasons(far).len(), 1, "there was another CONNECT");
    assert_eq!(world.tunnels(near), 0, "there was another dial");
    world.finish();
}
