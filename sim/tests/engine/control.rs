//! A control plane that is late, an authority that is wrong, clocks that jump, and workloads that are not what they were.

use std::time::Duration;

use culvert_core::capture::RouteFault;
use culvert_core::fault::Fault;
use culvert_core::identity::IdentityFault;
use culvert_sim::world::{
    Act, CatchUp, Delivery, HealthStatus, Hostile, Issuing, Script, Seen, Serve, Wrong,
};

use crate::mesh::{Kind, Pair, SECOND, faults, two_nodes};

const MILLI: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn echo() -> Serve {
    Serve::Script(Script::echo())
}

#[test]
fn a_node_that_hears_nothing_serves_by_what_it_knows_and_catches_up_with_what_is_gone() {
    for catch_up in [CatchUp::Difference, CatchUp::Whole, CatchUp::Behind] {
        let Pair { mut world, near, a, b, far, .. } = two_nodes(1);
        let machine = world.machine();
        let (there, outside) = (world.serve(b, 8080, echo()), world.serve(machine, 80, echo()));
        world.deliver(near, Delivery::Cut, catch_up);
        let other = world.pod(far, "other");
        let unknown = world.serve(other, 8080, echo());
        world.forget(b);
        world.run(SECOND);
        let (call, out) = (world.call(a, there, Script::send(10)), world.call(a, outside, Script::send(10)));
        world.run(6 * SECOND);
        assert_eq!(world.seen(out), Seen::Fin, "{catch_up:?}");
        assert_eq!(world.seen(call), Seen::Reset, "{catch_up:?}: its own node does not know it any more");
        world.deliver(near, Delivery::Prompt, catch_up);
        world.run(SECOND);
        world.check_convergence();
        let next = world.call(a, unknown, Script::send(10));
        world.run(SECOND);
        assert_eq!(world.seen(next), Seen::Fin, "{catch_up:?}");
        world.finish();
    }
}

#[test]
fn late_and_doubled_facts_come_to_the_same_everywhere() {
    let Pair { mut world, near, far, a, b } = two_nodes(2);
    world.deliver(near, Delivery::Late(2 * SECOND), CatchUp::Difference);
    world.deliver(far, Delivery::Twice(5 * SECOND), CatchUp::Difference);
    for round in 0..20 {
        world.change(if round % 2 == 0 { a } else { b }, |spec| {
            spec.canonical_revision = format!("{round}").into()
        });
        world.deny("no", a);
        world.run(100 * MILLI);
        world.remove_policy("no");
    }
    world.run(10 * SECOND);
    world.check_convergence();
    world.finish();
}

#[test]
#[should_panic(expected = "S13")]
fn a_node_with_other_facts_is_noticed() {
    let Pair { mut world, near, b, .. } = two_nodes(3);
    world.withhold(near, b);
    world.check_convergence();
}

#[test]
fn a_wrong_credential_never_replaces_a_right_one() {
    for wrong in Wrong::ALL {
        let Pair { mut world, near, far, a, b } = two_nodes(4);
        let there = world.serve(b, 8080, echo());
        world.lifetime(20 * SECOND);
        world.renewing(SECOND);
        world.rotate(a);
        world.run(SECOND);
        world.issuing(near, Issuing::Wrong(wrong));
        world.run(14 * SECOND);
        let call = world.call(a, there, Script::send(1000));
        world.run(SECOND);
        assert_eq!(world.seen(call), Seen::Fin, "{wrong:?}: the old one serves");
        world.run(10 * SECOND);
        let late = world.call_in_vain(a, there, Script::send(1000));
        world.run(SECOND);
        assert_eq!(world.seen(late), Seen::Reset, "{wrong:?}: the old one is over");
        world.lifetime(DAY);
        world.issuing(near, Issuing::After(MILLI));
        world.run(6 * SECOND);
        let next = world.call(a, there, Script::send(1000));
        world.run(SECOND);
        assert_eq!(world.seen(next), Seen::Fin, "{wrong:?}: it recovers by itself");
        assert!(faults(&world, far).is_empty(), "{wrong:?}");
        world.finish();
    }
}

#[test]
fn a_clock_that_is_behind_hides_nothing_else_that_is_wrong_with_a_credential() {
    for wrong in [Wrong::Key, Wrong::Unchained] {
        let Pair { mut world, near, far, a, b } = two_nodes(4);
        let there = world.serve(b, 8080, echo());
        let here = world.serve(a, 8080, echo());
        world.jump(near, -2 * 24 * 3600);
        world.issuing(near, Issuing::Wrong(wrong));
        let c = world.pod(near, "c");
        world.run(SECOND);
        let calls = [here, there].map(|to| world.call_in_vain(c, to, Script::send(1000)));
        world.run(30 * SECOND);
        assert_eq!(calls.map(|call| world.seen(call)), [Seen::Reset; 2], "{wrong:?}: it has no credential");
        assert_eq!(faults(&world, far), [], "{wrong:?}: nobody is shown it");
        world.jump(near, 0);
        world.issuing(near, Issuing::After(MILLI));
        world.run(6 * SECOND);
        let calls = [here, there].map(|to| world.call(c, to, Script::send(1000)));
        world.run(SECOND);
        assert_eq!(calls.map(|call| world.seen(call)), [Seen::Fin; 2], "{wrong:?}: one that is right serves");
        world.finish();
    }
}

#[test]
fn a_change_of_roots_is_noticed_by_nobody_and_a_stranger_by_whoever_meets_it() {
    let Pair { mut world, near, a, b, far } = two_nodes(5);
    let there = world.serve(b, 8080, echo());
    world.change_root();
    for _ in 0..50 {
        let call = world.call(a, there, Script::send(1000));
        world.run(SECOND);
        assert_eq!(world.seen(call), Seen::Fin);
    }
    let c = world.pod(near, "c");
    world.run(SECOND);
    world.estrange(far);
    world.run(SECOND);
    let within = world.call(c, world.address(a, 8080), Script::send(8));
    let across = world.call_in_vain(a, there, Script::send(1000));
    world.serve(a, 8080, echo());
    world.run(SECOND);
    assert_eq!((world.seen(within), world.seen(across)), (Seen::Fin, Seen::Reset));
    assert!(
        matches!(faults(&world, near)[..], [Fault::Tls(_) | Fault::Identity(_)]),
        "{:?}",
        faults(&world, near)
    );
    world.finish();
}

#[test]
fn a_clock_that_jumps_ends_no_connection_and_asks_for_nothing() {
    for seconds in [-365 * 24 * 3600, -300, -1, 1, 300, 365 * 24 * 3600] {
        let Pair { mut world, near, a, b, .. } = two_nodes(6);
        let there = world.serve(b, 8080, echo());
        let acts = [Act::Send(1000), Act::Pause(3 * SECOND), Act::Send(1000), Act::Fin, Act::AwaitEnd];
        let call = world.call(a, there, Script::acts(&acts));
        world.run(SECOND);
        let before = world.inputs(near);
        world.jump(near, seconds);
        world.run(SECOND);
        assert_eq!(world.inputs(near), before, "{seconds}: nothing is due");
        world.run(3 * SECOND);
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 2000), "{seconds}");
        world.jump(near, 0);
        let next = world.call(a, there, Script::send(1000));
        world.run(SECOND);
        assert_eq!(world.seen(next), Seen::Fin, "{seconds}");
        world.finish();
    }
}

#[test]
fn a_pod_never_receives_what_was_meant_for_the_one_before_it() {
    let Pair { mut world, near, a, b, .. } = two_nodes(7);
    let there = world.serve(b, 8080, echo());
    let live = world.call(a, there, Script::keep(1000));
    world.run(SECOND);
    world.deliver(near, Delivery::Cut, CatchUp::Difference);
    let heir = world.reuse(b, "heir");
    let meant_for_another = world.call_in_vain(a, there, Script::send(1000));
    world.run(SECOND);
    assert_eq!((world.seen(live), world.seen(meant_for_another)), (Seen::Reset, Seen::Reset));
    assert!(faults(&world, near).iter().any(|fault| matches!(fault, Fault::WrongPeer { .. })));
    world.deliver(near, Delivery::Prompt, CatchUp::Difference);
    let call = world.call(a, world.address(heir, 8080), Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    world.finish();
}

#[test]
fn endpoints_come_and_go_and_nobody_is_dialled_who_is_none() {
    let Pair { mut world, near, a, b, far } = two_nodes(8);
    let c = world.pod(far, "c");
    for pod in [b, c] {
        world.serve(pod, 8080, echo());
    }
    world.service(&[8080], &[b, c]);
    let service = world.service_address(8080);
    for (statuses, reached) in [
        ([Some(HealthStatus::Healthy), None], true),
        ([None, Some(HealthStatus::Healthy)], true),
        ([Some(HealthStatus::Unhealthy), Some(HealthStatus::Unhealthy)], false),
        ([None, None], false),
    ] {
        world.endpoint(b, statuses[0]);
        world.endpoint(c, statuses[1]);
        let call = world.call(a, service, Script::send(100));
        world.run(SECOND);
        assert_eq!(world.seen(call), if reached { Seen::Fin } else { Seen::Reset }, "{statuses:?}");
    }
    let none = Fault::Route(RouteFault::NoHealthyEndpoint);
    assert_eq!(faults(&world, near), [none.clone(), none]);
    world.finish();
}

#[test]
fn nothing_goes_past_a_waypoint_that_appeared() {
    let Pair { mut world, near, a, b, .. } = two_nodes(9);
    let there = world.serve(b, 8080, echo());
    world.waypoint(b, true);
    let call = world.call_in_vain(a, there, Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(faults(&world, near), [Fault::Route(RouteFault::NoWaypoint)]);
    world.waypoint(b, false);
    let call = world.call(a, there, Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    world.finish();
}

#[test]
fn hostile_facts_are_refused_or_harmless() {
    for what in Hostile::ALL {
        for kind in [Kind::Tunnel, Kind::Joined] {
            let Pair { mut world, a, b, .. } = kind.pair(10);
            let there = world.serve(b, 8080, echo());
            world.service(&[8080, 80, 81], &[b]);
            world.hostile(what, b);
            let call = world.call(a, there, Script::send(100));
            world.call(a, world.service_address(80), Script::send(100));
            world.run(SECOND);
            let expected = if what == Hostile::Garbled { Seen::Reset } else { Seen::Fin };
            assert_eq!(world.seen(call), expected, "{what:?} {kind:?}");
            world.purge();
            world.restore_pod(b);
            let call = world.call(a, there, Script::send(100));
            world.run(SECOND);
            assert_eq!(world.seen(call), Seen::Fin, "{what:?} {kind:?}");
            world.finish();
        }
    }
}

#[test]
fn a_certificate_of_the_year_before_is_told_as_what_it_is() {
    let Pair { mut world, near, a, b, .. } = two_nodes(11);
    let there = world.serve(b, 8080, echo());
    world.jump(near, 365 * 24 * 3600);
    let call = world.call_in_vain(a, there, Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert!(matches!(faults(&world, near)[..], [Fault::Identity(IdentityFault::Expired { .. })]));
    world.finish();
}
