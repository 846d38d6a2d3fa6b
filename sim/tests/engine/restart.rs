//! Processes that begin anew, pods that come again, and connections that come another way than the redirect's.

use culvert_core::capture::{InboundFault, RouteFault};
use culvert_core::fault::Fault;
use culvert_core::telemetry::{Event, Path, Reporter};
use culvert_sim::world::{Act, Script, Seen, Serve};

use crate::mesh::{Kind, Pair, SECOND, faults, two_nodes};

fn echo() -> Serve {
    Serve::Script(Script::echo())
}

#[test]
fn a_process_that_was_killed_serves_again_once_it_is_back() {
    for far_one in [false, true] {
        let Pair { mut world, near, far, a, b } = two_nodes(1);
        let there = world.serve(b, 8080, echo());
        let kept = world.call(a, there, Script::keep(1000));
        world.run(SECOND);
        let node = if far_one { far } else { near };
        world.kill(node);
        world.run(SECOND);
        let lost = world.call(a, there, Script::send(1000));
        world.run(SECOND);
        assert!(matches!(world.seen(lost), Seen::Reset | Seen::Refused), "{:?}", world.seen(lost));
        assert_ne!(world.seen(kept), Seen::Open);
        world.restart(node);
        let again = world.call(a, there, Script::send(1000));
        world.run(SECOND);
        assert_eq!(world.seen(again), Seen::Fin, "H1: new connections work");
        world.finish();
    }
}

#[test]
fn a_process_that_drains_finishes_what_it_can_and_its_successor_serves() {
    let Pair { mut world, near, a, b, .. } = two_nodes(2);
    let there = world.serve(b, 8080, echo());
    let acts = [Act::Send(1000), Act::Pause(2 * SECOND), Act::Send(1000), Act::Fin, Act::AwaitEnd];
    let short = world.call(a, there, Script::acts(&acts));
    let long = world.call(a, there, Script::keep(1000));
    world.run(SECOND);
    world.drain(near, 4 * SECOND);
    world.run(5 * SECOND);
    assert_eq!((world.seen(short), world.seen(long)), (Seen::Fin, Seen::Reset));
    world.restart(near);
    let again = world.call(a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(again), Seen::Fin);
    world.finish();
}

#[test]
fn a_pod_that_vanishes_and_comes_again_is_served_and_being_told_twice_changes_nothing() {
    let Pair { mut world, near, far, a, b } = two_nodes(3);
    let there = world.serve(b, 8080, echo());
    let kept = world.call(a, there, Script::keep(1000));
    world.run(SECOND);
    world.add_pod_again(b);
    world.add_pod_again(a);
    world.run(SECOND);
    assert_eq!(world.seen(kept), Seen::Open, "H10: told twice");
    world.vanish_pod(b);
    world.run(SECOND);
    assert_eq!((world.seen(kept), world.connections(near), world.connections(far)), (Seen::Reset, 0, 0));
    let nowhere = world.call(a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(nowhere), Seen::Reset);
    world.add_pod_again(b);
    let again = world.call(a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(again), Seen::Fin);
    world.finish();
}

#[test]
fn an_address_that_is_not_the_senders_gains_it_nothing() {
    let Pair { mut world, far, a, b, .. } = two_nodes(4);
    let machine = world.machine();
    let there = world.serve(b, 8080, echo());
    let open = world.call_as(machine, a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(open), Seen::Fin, "nothing asks for an identity");
    let claims = world.reports(far).iter().any(|(_, event)| match event {
        Event::Closed { connection, .. } => {
            connection.path == Path::Plaintext
                && connection.reporter == Reporter::Destination
                && connection.source_identity.is_none()
        }
        _ => false,
    });
    assert!(claims, "H8: {:?}", world.reports(far));
    world.strict();
    let refused = world.call_as(machine, a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(refused), Seen::Reset);
    world.finish();
}

#[test]
fn the_proxys_own_ports_are_never_reached_through_it() {
    for kind in [Kind::Tunnel, Kind::Joined] {
        let Pair { mut world, near, far, a, b } = kind.pair(5);
        let machine = world.machine();
        for port in [15001, 15006, 15008] {
            for from in [a, machine, b] {
                let target = world.address(b, port);
                let call = world.call_in_vain(from, target, Script::keep(1000));
                world.run(10 * SECOND);
                assert_ne!(world.seen(call), Seen::Open, "{kind:?}, port {port}");
            }
        }
        assert_eq!(world.served(), []);
        let known = |fault: &Fault| {
            matches!(
                fault,
                Fault::Route(RouteFault::OwnPort | RouteFault::SelfCall)
                    | Fault::Target(InboundFault::OwnPort | InboundFault::UnknownWorkload)
                    | Fault::Status(_)
            )
        };
        let found = [faults(&world, near), faults(&world, far)].concat();
        assert!(found.iter().all(known) && found.len() > 4, "{found:?}");
        world.finish();
    }
}

#[test]
fn what_the_proxy_dials_and_gets_back_itself_goes_round_once() {
    let Pair { mut world, near, a, b, .. } = two_nodes(6);
    let there = world.serve(b, 8080, echo());
    world.recapture(a, true);
    let call = world.call(a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    let found = faults(&world, near);
    assert!(found.contains(&Fault::Route(RouteFault::OwnPort)), "{found:?}");
    assert!(found.len() <= 3, "H7: it does not go round: {found:?}");
    world.recapture(a, false);
    let again = world.call(a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(again), Seen::Fin);
    world.finish();
}
