//! Applications in the process of their proxy: what reaches them is delivered instead of dialled, what they open goes the way
//! of what any application dials. That bytes, ends, aborts and policy are the same, the tests over every kind of path show.

use culvert_core::engine::boundary::Output;
use culvert_core::fault::{Fault, IoFault, Stage};
use culvert_core::hbone::connect::Authority;
use culvert_core::policy::Denial;
use culvert_core::telemetry::{Path, Reason};
use culvert_sim::world::{Act, Script, Seen, Serve, World};

use crate::mesh::{Kind, Pair, SECOND, faults, paths};

const MIB: u64 = 1 << 20;

#[test]
fn what_is_delivered_says_who_asks_from_where_and_for_what() {
    let Pair { mut world, far, a, b, .. } = Kind::Consumers.pair(1);
    let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
    let call = world.call(a, echo, Script::send(MIB));
    world.run(10 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, MIB));
    assert_eq!(paths(&world, far), [Path::Hbone]);
    let [Output::Deliver { pod: _, peer, source, target, address, socket: _ }] = world.delivered(far) else {
        panic!("{:?}", world.delivered(far));
    };
    assert_eq!(*peer, Some(world.identity(a)));
    assert_eq!(source.ip(), world.local(call).ip());
    assert_eq!((target, *address), (&Authority::Ip(echo), echo));
    world.finish();
}

#[test]
fn what_comes_in_clear_is_delivered_without_an_identity() {
    let Pair { mut world, far, a, b, .. } = Kind::IncomingConsumer.pair(2);
    let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
    let call = world.call(a, echo, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    assert!(matches!(world.delivered(far), [Output::Deliver { peer: None, .. }]));
    world.finish();
}

#[test]
fn consumers_of_one_node_meet_without_a_tunnel_and_are_never_joined() {
    let Pair { mut world, near, a, b, .. } = Kind::LocalConsumers.pair(3);
    let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
    let call = world.call(a, echo, Script::send(MIB));
    world.run(10 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, MIB));
    assert_eq!((paths(&world, near), world.joins(near), world.tunnels(near)), (vec![Path::Local], 0, 0));
    assert!(matches!(world.delivered(near), [Output::Deliver { peer: Some(_), .. }]));
    world.finish();
}

#[test]
fn a_consumer_and_a_socket_are_never_joined_whichever_dials() {
    for consumer_dials in [true, false] {
        let mut world = World::new(4);
        let node = world.node();
        let (a, b) = (world.pod(node, "a"), world.pod(node, "b"));
        world.consumer(if consumer_dials { a } else { b });
        let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
        let call = world.call(a, echo, Script::send(MIB));
        world.run(10 * SECOND);
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, MIB));
        assert_eq!(world.joins(node), 0);
        assert_eq!(world.delivered(node).len(), usize::from(!consumer_dials));
        world.finish();
    }
}

#[test]
fn connect_is_answered_only_once_the_consumer_has_taken_it() {
    let Pair { mut world, near, far, a, b } = Kind::Consumers.pair(5);
    let refused = world.call(a, world.address(b, 8080), Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(refused), Seen::Reset);
    assert_eq!(faults(&world, near), [Fault::Status(503)]);
    assert_eq!(faults(&world, far), [Fault::Io(IoFault::Refused)]);

    let silent = world.serve(b, 8081, Serve::Silent);
    let call = world.call(a, silent, Script::send(1000));
    world.run(9 * SECOND);
    assert_eq!(world.seen(call), Seen::Open);
    world.run(2 * SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(faults(&world, near)[1], Fault::Status(503));
    assert_eq!(faults(&world, far)[1], Fault::Timeout(Stage::TcpConnect));
    world.finish();
}

#[test]
fn what_policy_denies_is_never_delivered() {
    for kind in [Kind::Consumers, Kind::LocalConsumers] {
        let Pair { mut world, far, a, b, .. } = kind.pair(6);
        let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
        world.deny("no-a", a);
        let call = world.call_in_vain(a, echo, Script::send(1000));
        world.run(SECOND);
        assert_eq!(world.seen(call), Seen::Reset);
        assert!(world.delivered(far).is_empty());
        assert!(faults(&world, far).iter().any(|fault| matches!(fault, Fault::Denied(Denial::Rule(_)))));
        world.finish();
    }
}

#[test]
fn a_pod_that_goes_takes_the_connections_of_its_consumer_with_it() {
    let Pair { mut world, far, a, b, .. } = Kind::Consumers.pair(7);
    let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
    let call = world.call(a, echo, Script::acts(&[Act::Send(1000), Act::Pause(60 * SECOND)]));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Open);
    world.remove_pod(b);
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(world.reasons(far), [Reason::Failed(Fault::WorkloadGone)]);
    world.finish();
}
