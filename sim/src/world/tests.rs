//! The network itself: what applications outside the mesh see of each other.

use std::time::Duration;

use super::{Act, Script, Seen, Serve, World};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn two_machines_exchange_bytes_and_ends() {
    let mut world = World::new(1);
    world.chop(1000);
    let (a, b) = (world.machine(), world.machine());
    let echo = world.serve(b, 80, Serve::Script(Script::echo()));
    let call = world.call(a, echo, Script::send(1 << 20));
    world.run(10 * SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 1 << 20));
    world.finish();
}

#[test]
fn a_reset_arrives_after_the_bytes_before_it() {
    let mut world = World::new(1);
    let (a, b) = (world.machine(), world.machine());
    let sink = world.serve(b, 80, Serve::Script(Script::acts(&[])));
    let call = world.call(a, sink, Script::acts(&[Act::Send(1000), Act::Reset]));
    world.run(SECOND);
    let server = world.heard_by(call).unwrap();
    assert_eq!((world.seen(server), world.received(server)), (Seen::Reset, 1000));
    world.finish();
}

#[test]
fn dials_are_refused_or_not_answered() {
    let mut world = World::new(1);
    let (a, b) = (world.machine(), world.machine());
    let silent = world.serve(b, 80, Serve::Silent);
    let refused = world.call(a, world.address(b, 81), Script::send(1));
    let unanswered = world.call(a, silent, Script::send(1));
    world.run(SECOND);
    assert_eq!(world.seen(refused), Seen::Refused);
    assert_eq!(world.seen(unanswered), Seen::Dialling);
    world.finish();
}

#[test]
fn what_a_clog_held_back_comes_before_what_arrives_at_its_very_end() {
    let mut world = World::new(1);
    let (a, b) = (world.machine(), world.machine());
    let sink = world.serve(b, 80, Serve::Script(Script::acts(&[])));
    let millis = Duration::from_millis;
    // Connected after 2 ms; the second part leaves after 5 s, the third 1 ms before the end of the clog.
    let acts =
        [Act::Send(100), Act::Pause(millis(4998)), Act::Send(100), Act::Pause(millis(5999)), Act::Send(100)];
    let call = world.call(a, sink, Script::acts(&acts));
    world.run(SECOND);
    world.clog(b, 10 * SECOND);
    world.run(10 * SECOND - Duration::from_nanos(1));
    let server = world.heard_by(call).unwrap();
    assert_eq!((world.sent(call), world.received(server), world.is_clogged()), (300, 100, true));
    world.run(Duration::from_nanos(1));
    assert_eq!((world.received(server), world.bursts()), (300, 1));
    world.finish();
}
