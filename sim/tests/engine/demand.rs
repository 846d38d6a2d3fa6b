//! Nodes whose facts come when they are asked for (node.md row 73).

use culvert_core::fault::{Fault, Stage};
use culvert_core::mesh::{Destination, NetworkAddress};
use culvert_core::telemetry::Path;
use culvert_sim::world::{CatchUp, Delivery, NodeId, Pod, Script, Seen, Serve, World};

use crate::mesh::{SECOND, faults, paths};

/// Two nodes that ask, a pod on each, and one outside of the mesh.
struct Asking {
    world: World,
    near: NodeId,
    far: NodeId,
    a: Pod,
    outside: Pod,
}

impl Asking {
    fn new(seed: u64) -> Asking {
        let mut world = World::new(seed);
        world.on_demand();
        let (near, far) = (world.node(), world.node());
        let (a, outside) = (world.pod(near, "a"), world.machine());
        world.run(SECOND);
        Asking { world, near, far, a, outside }
    }
}

fn echo() -> Serve {
    Serve::Script(Script::echo())
}

#[test]
fn what_is_not_there_goes_in_clear_once_that_was_heard_and_is_asked_for_once() {
    let Asking { mut world, near, a, outside, .. } = Asking::new(1);
    let there = world.serve(outside, 80, echo());
    // What happens before the answer is the simulator's own check (S10).
    let calls: Vec<_> = (0..3).map(|_| world.call(a, there, Script::send(100))).collect();
    world.run(SECOND);
    calls.iter().for_each(|call| assert_eq!(world.seen(*call), Seen::Fin));
    let again = world.call(a, there, Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(again), Seen::Fin);
    assert_eq!(world.questions(near), [Destination::Address(NetworkAddress::new("".into(), there.ip()))]);
    world.finish();
}

#[test]
fn what_is_on_its_way_is_waited_for_and_reached_by_a_tunnel() {
    let mut asking = Asking::new(2);
    let (near, far, a) = (asking.near, asking.far, asking.a);
    let world = &mut asking.world;
    world.deliver(near, Delivery::Late(3 * SECOND), CatchUp::Difference);
    let late = world.pod(far, "late");
    let there = world.serve(late, 8080, echo());
    let call = world.call(a, there, Script::send(100));
    world.run(2 * SECOND);
    assert_eq!(world.seen(call), Seen::Open);
    world.run(3 * SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    assert_eq!(paths(world, near), [Path::Hbone]);
    asking.world.finish();
}

#[test]
fn without_an_answer_a_connection_waits_no_longer_than_for_facts_and_nothing_went_in_clear() {
    let mut asking = Asking::new(3);
    let (near, a, outside) = (asking.near, asking.a, asking.outside);
    let world = &mut asking.world;
    world.deliver(near, Delivery::Cut, CatchUp::Difference);
    let there = world.serve(outside, 80, echo());
    let call = world.call_in_vain(a, there, Script::send(100));
    world.run(10 * SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(faults(world, near), [Fault::Timeout(Stage::Facts)]);
    // It asks again for the next one, and is told once it can be.
    world.deliver(near, Delivery::Prompt, CatchUp::Difference);
    let call = world.call(a, there, Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    asking.world.finish();
}

#[test]
fn what_nobody_tells_of_any_more_is_asked_for_again() {
    let mut asking = Asking::new(4);
    let (near, a, outside) = (asking.near, asking.a, asking.outside);
    let world = &mut asking.world;
    let there = world.serve(outside, 80, echo());
    let name = Destination::Address(NetworkAddress::new("".into(), there.ip()));
    for _ in 0..2 {
        let call = world.call(a, there, Script::send(100));
        world.run(SECOND);
        assert_eq!(world.seen(call), Seen::Fin);
        world.give_up(near, name.clone());
    }
    assert_eq!(world.questions(near), [name.clone(), name]);
    // A node whose process begins anew has forgotten what it was told.
    world.restart(near);
    world.run(SECOND);
    let call = world.call(a, there, Script::send(100));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    assert_eq!(world.questions(near).len(), 3);
    asking.world.finish();
}
