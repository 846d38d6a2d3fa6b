//! Endpoints that fail: one more try elsewhere, ejection, return.

use culvert_core::fault::Fault;
use culvert_core::mesh::TunnelProtocol;
use culvert_core::telemetry::{Event, Reporter};
use culvert_sim::world::{AppId, NodeId, Pod, Script, Seen, Serve, World};

use crate::mesh::{SECOND, faults};

/// A client on a node of its own, and endpoints of one service that each are, too.
struct Mesh {
    world: World,
    near: NodeId,
    a: Pod,
    nodes: Vec<NodeId>,
    pods: Vec<Pod>,
}

fn mesh(seed: u64, endpoints: usize) -> Mesh {
    let mut world = World::new(seed);
    let near = world.node();
    let a = world.pod(near, "a");
    let nodes: Vec<NodeId> = (0..endpoints).map(|_| world.node()).collect();
    let names = ["b", "c", "d", "e"];
    let pods: Vec<Pod> = nodes.iter().zip(names).map(|(node, name)| world.pod(*node, name)).collect();
    for pod in &pods {
        world.serve(*pod, 8080, Serve::Script(Script::echo()));
    }
    world.service(&[8080], &pods);
    world.run(SECOND);
    Mesh { world, near, a, nodes, pods }
}

fn calls(world: &mut World, a: Pod, count: usize) -> Vec<AppId> {
    let service = world.service_address(8080);
    (0..count).map(|_| world.call(a, service, Script::send(1000))).collect()
}

fn count(world: &World, node: NodeId, meant: impl Fn(&Event) -> bool) -> usize {
    world.reports(node).iter().filter(|(_, event)| meant(event)).count()
}

fn lost(world: &World, node: NodeId) -> usize {
    count(world, node, |event| matches!(event, Event::TunnelClosed { side: Reporter::Source, .. }))
}

#[test]
fn a_connection_to_a_dead_endpoint_is_made_to_another() {
    let Mesh { mut world, near, a, nodes, .. } = mesh(1, 2);
    world.kill(nodes[0]);
    for _ in 0..8 {
        let calls = calls(&mut world, a, 1);
        world.run(SECOND);
        assert_eq!(world.seen(calls[0]), Seen::Fin);
    }
    assert_eq!(faults(&world, near), []);
    assert!(lost(&world, near) > 0, "somebody tried the dead one");
    world.finish();
}

#[test]
fn a_connection_is_tried_twice_at_most() {
    let Mesh { mut world, near, a, nodes, .. } = mesh(2, 4);
    nodes.iter().for_each(|node| world.kill(*node));
    let service = world.service_address(8080);
    let call = world.call_in_vain(a, service, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(lost(&world, near), 2);
    assert_eq!(faults(&world, near).len(), 1);
    world.finish();
}

#[test]
fn where_there_is_no_other_endpoint_a_failure_is_told_at_once() {
    let Mesh { mut world, near, a, nodes, .. } = mesh(3, 1);
    world.kill(nodes[0]);
    let service = world.service_address(8080);
    let call = world.call_in_vain(a, service, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(lost(&world, near), 1);
    world.finish();
}

#[test]
fn a_dial_in_clear_that_is_refused_is_made_to_another() {
    let Mesh { mut world, near, a, nodes, pods } = mesh(4, 2);
    for pod in pods {
        world.change(pod, |spec| spec.protocol = TunnelProtocol::Tcp);
    }
    // Nothing listens there, not even the proxy.
    world.kill(nodes[0]);
    let calls = calls(&mut world, a, 12);
    world.run(SECOND);
    assert!(calls.iter().all(|call| world.seen(*call) == Seen::Fin));
    assert_eq!(faults(&world, near), []);
    world.finish();
}

#[test]
fn an_application_that_refused_is_not_asked_twice_and_nobody_else_is() {
    let Mesh { mut world, near, a, .. } = mesh(5, 0);
    let nodes = [world.node(), world.node()];
    let pods: Vec<Pod> = nodes.iter().zip(["b", "c"]).map(|(node, name)| world.pod(*node, name)).collect();
    world.service(&[8080], &pods);
    let service = world.service_address(8080);
    let call = world.call_in_vain(a, service, Script::send(1000));
    world.run(SECOND);
    assert_eq!(world.seen(call), Seen::Reset);
    assert_eq!(faults(&world, near), [Fault::Status(503)]);
    let asked: usize = nodes.iter().map(|node| faults(&world, *node).len()).sum();
    assert_eq!(asked, 1, "whether the far proxy reached its application is not for us to guess");
    world.finish();
}

#[test]
fn an_endpoint_that_fails_again_and_again_is_ejected_and_returns() {
    let Mesh { mut world, near, a, nodes, pods } = mesh(6, 2);
    world.kill(nodes[0]);
    let is_ejected = |event: &Event| matches!(event, Event::EndpointEjected { .. });
    for _ in 0..40 {
        if count(&world, near, is_ejected) > 0 {
            break;
        }
        calls(&mut world, a, 1);
        world.run(SECOND / 10);
    }
    assert_eq!(count(&world, near, is_ejected), 1);
    // Nobody tries it while it is ejected.
    let before = lost(&world, near);
    let others = calls(&mut world, a, 20);
    world.run(SECOND);
    assert!(others.iter().all(|call| world.seen(*call) == Seen::Fin));
    assert_eq!(lost(&world, near), before);
    // It is well again, and is told of: it has connections again.
    world.restart(nodes[0]);
    world.run(10 * SECOND);
    calls(&mut world, a, 1);
    world.run(30 * SECOND);
    assert_eq!(count(&world, near, |event| matches!(event, Event::EndpointReturned { .. })), 1);
    let again = calls(&mut world, a, 20);
    world.run(SECOND);
    assert!(again.iter().all(|call| world.seen(*call) == Seen::Fin));
    let at = world.address(pods[0], 15008);
    let reached = |event: &Event| matches!(event, Event::Opened(c) if c.hbone == Some(at));
    assert!(count(&world, near, reached) > 0);
    assert_eq!(count(&world, near, is_ejected), 1);
    world.finish();
}
