//! Policy: at the beginning of a connection, on live ones, and while it is not known yet (node.md B4, B5).

use std::time::Duration;

use culvert_core::fault::Fault;
use culvert_core::mesh::{Delta, PolicyKey};
use culvert_core::policy::Denial;
use culvert_core::telemetry::Reason;
use culvert_sim::world::{Act, Script, Seen, Serve, World};

use crate::mesh::{KINDS, Kind, Pair, SECOND, faults, two_nodes, two_nodes_with};

const MILLI: Duration = Duration::from_millis(1);

#[test]
fn a_denied_identity_gets_a_reset_and_the_reason_is_in_the_log() {
    for kind in [Kind::Tunnel, Kind::Joined] {
        let Pair { mut world, near, far, a, b } = kind.pair(1);
        let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
        world.deny("no-a", a);
        let call = world.call_in_vain(a, echo, Script::send(1000));
        world.run(SECOND);
        assert_eq!(world.seen(call), Seen::Reset, "{kind:?}");
        let denied = Fault::Denied(Denial::Rule(PolicyKey::new("default", "no-a")));
        assert_eq!(faults(&world, far), [denied], "{kind:?}");
        if kind == Kind::Tunnel {
            assert_eq!(faults(&world, near), [Fault::Status(401)]);
        }
        assert!(world.served().is_empty(), "{kind:?}");
        world.finish();
    }
}

#[test]
fn a_policy_of_one_identity_leaves_others_alone() {
    let Pair { mut world, near, a, b, .. } = two_nodes(2);
    let other = world.pod(near, "other");
    let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
    world.deny("no-a", a);
    world.call_in_vain(a, echo, Script::send(1000));
    let call = world.call(other, echo, Script::send(1000));
    world.run(SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 1000));
    world.finish();
}

#[test]
fn strict_refuses_plain_connections_and_none_with_an_identity() {
    let Pair { mut world, far, a, b, .. } = two_nodes(3);
    let machine = world.machine();
    let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
    world.strict();
    let plain = world.call_in_vain(machine, echo, Script::send(1000));
    let call = world.call(a, echo, Script::send(1000));
    world.run(SECOND);
    assert_eq!((world.seen(plain), world.seen(call)), (Seen::Reset, Seen::Fin));
    assert!(matches!(faults(&world, far)[..], [Fault::Denied(Denial::Rule(_))]));
    world.finish();
}

#[test]
fn a_change_of_policy_ends_live_connections_of_every_path_at_once() {
    for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Outgoing) {
        let Pair { mut world, far, a, b, .. } = kind.pair(4);
        let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
        let acts = [Act::Send(100_000), Act::Pause(SECOND), Act::Send(1 << 20)];
        let call = world.call(a, echo, Script::acts(&acts));
        world.run(SECOND + 3 * MILLI);
        let server = world.heard_by(call).expect("it is under way");
        match kind {
            Kind::Incoming | Kind::IncomingConsumer => world.strict(),
            _ => world.deny("no-a", a),
        }
        let (sent, received) = (world.received(server), world.received(call));
        assert_eq!(world.connections(far), 0, "{kind:?}: in the same turn");
        assert!(matches!(faults(&world, far)[..], [Fault::Revoked(Denial::Rule(_))]), "{kind:?}");
        world.run(SECOND);
        assert_eq!((world.seen(call), world.seen(server)), (Seen::Reset, Seen::Reset), "{kind:?}");
        // What TCP had taken before the change still arrives; no more than a connection's buffers.
        assert!(
            world.received(server) - sent <= 256 << 10 && world.received(call) - received <= 512 << 10,
            "{kind:?}"
        );
        world.finish();
    }
}

#[test]
fn a_change_of_policy_spares_those_that_it_permits() {
    for kind in KINDS {
        let Pair { mut world, near, a, b, .. } = kind.pair(5);
        let other = world.pod(near, "other");
        let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
        let acts = [Act::Send(100_000), Act::Pause(SECOND), Act::Send(100_000), Act::Fin, Act::AwaitEnd];
        let call = world.call(a, echo, Script::acts(&acts));
        world.run(500 * MILLI);
        world.deny("no-other", other);
        world.run(5 * SECOND);
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 200_000), "{kind:?}");
        world.finish();
    }
}

#[test]
fn many_live_connections_are_judged_in_budgeted_turns_and_all_end() {
    let Pair { mut world, far, a, b, .. } = two_nodes_with(6, |limits| limits.judgements_per_turn = 7);
    let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
    let calls: Vec<_> = (0..300).map(|_| world.call(a, echo, Script::keep(100))).collect();
    world.run(SECOND);
    assert_eq!(world.connections(far), 300);
    world.deny("no-a", a);
    world.run(10 * MILLI);
    assert_eq!(world.connections(far), 0);
    assert!(calls.iter().all(|call| world.seen(*call) == Seen::Reset));
    world.finish();
}

#[test]
fn a_missing_policy_holds_a_new_connection_and_then_denies_it() {
    for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Outgoing) {
        let Pair { mut world, far, a, b, .. } = kind.pair(7);
        let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
        world.change(b, |spec| spec.authorization_policies = vec![PolicyKey::new("default", "later")]);
        world.run(SECOND);
        let call = world.call_in_vain(a, echo, Script::send(1000));
        world.run(1_900 * MILLI);
        assert_eq!(world.seen(call), Seen::Open, "{kind:?}: held");
        // Facts that have nothing to do with it do not prolong the wait.
        world.change(b, |spec| spec.canonical_name = "b".into());
        world.run(200 * MILLI);
        assert_eq!(world.seen(call), Seen::Reset, "{kind:?}");
        assert!(matches!(faults(&world, far)[..], [Fault::Denied(Denial::Missing(_))]), "{kind:?}");
        world.finish();
    }
}

#[test]
fn a_policy_that_arrives_in_time_lets_the_connection_go_on() {
    for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Outgoing) {
        let Pair { mut world, far, a, b, .. } = kind.pair(8);
        let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
        world.change(b, |spec| spec.authorization_policies = vec![PolicyKey::new("default", "later")]);
        let call = world.call(a, echo, Script::send(1000));
        world.run(1_500 * MILLI);
        assert_eq!((world.seen(call), world.received(call)), (Seen::Open, 0), "{kind:?}");
        world.facts("policies:\n- {name: later, namespace: default, scope: WorkloadSelector, action: Allow, rules: [[[{destinationPorts: [8080]}]]]}");
        world.run(SECOND);
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 1000), "{kind:?}");
        assert_eq!(world.reasons(far), [Reason::Completed], "{kind:?}");
        world.finish();
    }
}

#[test]
fn a_live_connection_pauses_while_a_policy_is_missing_and_goes_on_when_it_comes() {
    for kind in [Kind::Tunnel, Kind::Parted, Kind::Joined, Kind::Incoming] {
        let Pair { mut world, a, b, far, .. } = kind.pair(9);
        let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
        let acts = [Act::Send(1000), Act::Pause(SECOND), Act::Send(1000), Act::Fin, Act::AwaitEnd];
        let call = world.call(a, echo, Script::acts(&acts));
        world.run(500 * MILLI);
        assert_eq!(world.received(call), 1000, "{kind:?}");
        world.change(b, |spec| spec.authorization_policies = vec![PolicyKey::new("default", "later")]);
        world.run(SECOND);
        assert_eq!(world.received(call), 1000, "{kind:?}: no byte while it is held");
        world.facts("policies:\n- {name: later, namespace: default, scope: WorkloadSelector, action: Allow, rules: [[[{destinationPorts: [8080]}]]]}");
        world.run(SECOND);
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 2000), "{kind:?}");
        assert_eq!(world.reasons(far), [Reason::Completed], "{kind:?}");
        world.finish();
    }
}

#[test]
fn a_live_connection_ends_where_a_policy_stays_missing() {
    for kind in [Kind::Tunnel, Kind::Parted, Kind::Joined, Kind::Incoming] {
        let Pair { mut world, a, b, far, .. } = kind.pair(10);
        let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
        let call = world.call(a, echo, Script::keep(1000));
        world.run(500 * MILLI);
        world.change(b, |spec| spec.authorization_policies = vec![PolicyKey::new("default", "later")]);
        world.run(1_500 * MILLI);
        world.change(b, |spec| spec.workload_name = "again".into());
        world.run(400 * MILLI);
        assert_eq!(world.seen(call), Seen::Open, "{kind:?}");
        world.run(200 * MILLI);
        assert_eq!(world.seen(call), Seen::Reset, "two seconds from the first change, {kind:?}");
        assert!(matches!(faults(&world, far)[..], [Fault::Revoked(Denial::Missing(_))]), "{kind:?}");
        world.finish();
    }
}

#[test]
fn a_dial_under_way_keeps_its_deadline_while_a_policy_comes_and_goes() {
    let Pair { mut world, a, b, far, .. } = two_nodes(11);
    let silent = world.serve(b, 8080, Serve::Silent);
    let call = world.call(a, silent, Script::send(1000));
    world.run(SECOND);
    world.change(b, |spec| spec.authorization_policies = vec![PolicyKey::new("default", "later")]);
    world.run(SECOND);
    world.facts("policies:\n- {name: later, namespace: default, scope: WorkloadSelector, action: Allow, rules: [[[{destinationPorts: [8080]}]]]}");
    world.run(7 * SECOND);
    assert_eq!(world.seen(call), Seen::Open, "the dial has ten seconds");
    world.run(2 * SECOND);
    assert_eq!(faults(&world, far).len(), 1);
    world.finish();
}

#[test]
fn a_change_of_policy_ends_dials_under_way_at_once() {
    for kind in [Kind::Tunnel, Kind::Joined, Kind::Incoming] {
        let Pair { mut world, a, b, far, .. } = kind.pair(17);
        let silent = world.serve(b, 8080, Serve::Silent);
        world.call_in_vain(a, silent, Script::send(1000));
        world.run(SECOND);
        assert_eq!(world.reasons(far), [], "{kind:?}");
        if kind == Kind::Incoming {
            world.strict();
        } else {
            world.deny("no-a", a);
        }
        assert!(matches!(faults(&world, far)[..], [Fault::Denied(Denial::Rule(_))]), "{kind:?}");
        world.finish();
    }
}

#[test]
fn a_policy_that_cannot_be_decoded_denies_at_once() {
    let Pair { mut world, a, b, far, .. } = two_nodes(12);
    let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
    world.change(b, |spec| spec.authorization_policies = vec![PolicyKey::new("default", "broken")]);
    let mut delta = Delta::new();
    delta.undecodable_policy(PolicyKey::new("default", "broken"), None, "an unknown action");
    world.apply(delta);
    let call = world.call_in_vain(a, echo, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert!(matches!(faults(&world, far)[..], [Fault::Denied(Denial::Undecodable { .. })]));
    world.finish();
}

#[test]
fn connections_that_are_not_judged_yet_move_no_byte_and_joined_ones_are_judged_first() {
    for kind in [Kind::Tunnel, Kind::Joined, Kind::Parted, Kind::Incoming] {
        let Pair { mut world, far, a, b, .. } = kind.pair_with(13, |limits| limits.judgements_per_turn = 2);
        let echo = world.serve(b, 8080, Serve::Script(Script::echo()));
        let acts: Vec<Act> = (0..100).flat_map(|_| [Act::Send(100), Act::Pause(10 * MILLI)]).collect();
        // Each input judges two more: only the last one of all has anything to send meanwhile.
        let mut calls: Vec<_> = (0..19).map(|_| world.call(a, echo, Script::keep(100))).collect();
        calls.push(world.call(a, echo, Script::acts(&acts)));
        // Between two sends, with nothing under way.
        world.run(505 * MILLI);
        world.lag(far, 100 * MILLI);
        match kind {
            Kind::Incoming => world.strict(),
            _ => world.deny("no-a", a),
        }
        let left = if matches!(kind, Kind::Joined | Kind::Incoming) { 0 } else { 18 };
        assert_eq!(world.connections(far), left, "{kind:?}");
        let servers: Vec<_> = calls.iter().filter_map(|call| world.heard_by(*call)).collect();
        assert_eq!(servers.len(), 20);
        world.run(2 * MILLI);
        let before: Vec<_> = servers.iter().map(|server| world.received(*server)).collect();
        world.run(80 * MILLI);
        let after: Vec<_> = servers.iter().map(|server| world.received(*server)).collect();
        assert_eq!(before, after, "{kind:?}");
        world.run(2 * SECOND);
        assert!(calls.iter().all(|call| world.seen(*call) == Seen::Reset), "{kind:?}");
        assert_eq!(faults(&world, far).len(), 20, "{kind:?}");
        world.finish();
    }
}

#[test]
fn the_node_of_the_source_judges_nothing() {
    let mut world = World::new(14);
    let (near, far) = (world.node(), world.node());
    let (a, b, machine) = (world.pod(near, "a"), world.pod(far, "b"), world.machine());
    let outside = world.serve(machine, 8080, Serve::Script(Script::echo()));
    let inside = world.serve(b, 8080, Serve::Script(Script::echo()));
    world.deny("no-a", a);
    world.strict();
    let out = world.call(a, outside, Script::send(1000));
    world.call_in_vain(a, inside, Script::send(1000));
    world.run(SECOND);
    assert_eq!((world.seen(out), world.received(out)), (Seen::Fin, 1000));
    assert_eq!(faults(&world, near), [Fault::Status(401)], "the other side said so");
    world.finish();
}
