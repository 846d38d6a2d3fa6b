//! Endpoints that are known by a name: resolved when they are needed, within a deadline, and never believed (attack H11).

use std::net::SocketAddr;
use std::time::Duration;

use culvert_core::capture::RouteFault;
use culvert_core::engine::boundary::ResolveFault;
use culvert_core::fault::{Fault, Stage};
use culvert_sim::world::{Answer, Pod, Script, Seen, Serve, World};

use crate::mesh::{Pair, SECOND, faults, two_nodes};

const MILLI: Duration = Duration::from_millis(1);

/// A service whose one endpoint has no address but a name.
fn database(world: &mut World, protocol: &str) -> SocketAddr {
    world.facts(&format!(
        "workloads:\n- {{uid: x/db, name: db, namespace: default, serviceAccount: db, hostname: db.example, protocol: {protocol}, services: {{default/s.example: {{}}}}}}\n\
         services:\n- {{name: s, namespace: default, hostname: s.example, vips: [/10.9.9.9], ports: {{8080: 8080}}}}"
    ));
    world.run(SECOND);
    SocketAddr::from(([10, 9, 9, 9], 8080))
}

fn says(world: &World, pod: Pod, after: Duration) -> Answer {
    Answer { after, says: Ok((vec![world.address(pod, 0).ip()], 10 * SECOND)) }
}

#[test]
fn a_name_is_resolved_once_and_again_when_its_time_is_over() {
    let Pair { mut world, near, a, .. } = two_nodes(1);
    let (first, second) = (world.machine(), world.machine());
    for machine in [first, second] {
        world.serve(machine, 8080, Serve::Script(Script::echo()));
    }
    let service = database(&mut world, "TCP");
    let answer = says(&world, first, 20 * MILLI);
    world.name("db.example", answer);
    let calls: Vec<_> = (0..4).map(|_| world.call(a, service, Script::send(1000))).collect();
    world.run(SECOND);
    assert!(calls.iter().all(|call| world.seen(*call) == Seen::Fin));
    // It moved; who asks while the answer serves does not hear of it.
    let answer = says(&world, second, 20 * MILLI);
    world.name("db.example", answer);
    let target = |world: &World| {
        let reports = world.reports(near).iter();
        let mut opened = reports.filter_map(|(_, event)| match event {
            culvert_core::telemetry::Event::Opened(connection) => connection.target,
            _ => None,
        });
        opened.next_back().map(|target| target.ip())
    };
    world.call(a, service, Script::send(1000));
    world.run(SECOND);
    assert_eq!(target(&world), Some(world.address(first, 0).ip()));
    world.run(10 * SECOND);
    world.call(a, service, Script::send(1000));
    world.run(SECOND);
    assert_eq!(target(&world), Some(world.address(second, 0).ip()));
    assert_eq!(faults(&world, near), []);
    world.finish();
}

#[test]
fn a_name_that_is_none_is_refused_at_once_and_looked_up_again_later() {
    let Pair { mut world, near, a, .. } = two_nodes(2);
    let machine = world.machine();
    world.serve(machine, 8080, Serve::Script(Script::echo()));
    let service = database(&mut world, "TCP");
    world.name("db.example", Answer { after: MILLI, says: Err(ResolveFault::NoSuchName) });
    let call = world.call_in_vain(a, service, Script::send(1000));
    world.run(SECOND / 10);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(faults(&world, near), [Fault::Route(RouteFault::NoAddress)]);
    let answer = says(&world, machine, MILLI);
    world.name("db.example", answer);
    world.run(5 * SECOND);
    let call = world.call(a, service, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    world.finish();
}

#[test]
fn whoever_waits_for_a_slow_name_waits_no_longer_than_for_other_facts() {
    let Pair { mut world, near, a, .. } = two_nodes(3);
    let machine = world.machine();
    world.serve(machine, 8080, Serve::Script(Script::echo()));
    let service = database(&mut world, "TCP");
    let answer = says(&world, machine, 30 * SECOND);
    world.name("db.example", answer);
    let call = world.call_in_vain(a, service, Script::send(1000));
    world.run(4_900 * MILLI);
    assert_eq!(world.seen(call), Seen::Open);
    world.run(200 * MILLI);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(faults(&world, near), [Fault::Timeout(Stage::Facts)]);
    // What came late serves those that come after it.
    world.run(25 * SECOND);
    let call = world.call(a, service, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Fin);
    world.finish();
}

#[test]
fn a_poisoned_name_leads_to_nobody_who_is_not_expected() {
    let Pair { mut world, near, far, a, b } = two_nodes(4);
    world.serve(b, 8080, Serve::Script(Script::echo()));
    let service = database(&mut world, "HBONE");
    let answer = says(&world, b, MILLI);
    world.name("db.example", answer);
    let call = world.call_in_vain(a, service, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert!(matches!(faults(&world, near)[..], [Fault::WrongPeer { .. }]));
    assert_eq!(faults(&world, far), [], "not a byte of a stream reached it");
    world.finish();
}
