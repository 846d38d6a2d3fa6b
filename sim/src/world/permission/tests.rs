//! Each law fails where the world takes a node to know other facts than its engine does.

use std::net::SocketAddr;
use std::time::Duration;

use culvert_core::mesh::{
    Action, Delta, Match, Policy, Scope, StringMatch, TunnelProtocol, Uid, Workload, WorkloadSpec,
};

use super::super::{Act, NodeId, Pod, Script, Serve, World};

const SECOND: Duration = Duration::from_secs(1);

/// Two pods on two nodes, and what the second serves.
fn pair() -> (World, [NodeId; 2], [Pod; 2], SocketAddr) {
    let mut world = World::new(1);
    world.without_replay();
    let nodes = [world.node(), world.node()];
    let pods = [world.pod(nodes[0], "a"), world.pod(nodes[1], "b")];
    let there = world.serve(pods[1], 8080, Serve::Script(Script::echo()));
    world.run(SECOND);
    (world, nodes, pods, there)
}

fn change(world: &World, pod: Pod, with: impl FnOnce(&mut WorkloadSpec)) -> Delta {
    let mut spec = world.host(pod).spec.clone();
    with(&mut spec);
    let mut delta = Delta::new();
    delta.upsert_workload(Workload::try_from(spec).unwrap());
    delta
}

fn nobody() -> Delta {
    let everybody = Match { namespaces: vec![StringMatch::Presence], ..Match::default() };
    let mut delta = Delta::new();
    delta.upsert_policy(Policy {
        name: "no".into(),
        namespace: "default".into(),
        scope: Scope::Namespace,
        action: Action::Deny,
        rules: vec![vec![vec![everybody]]],
        dry_run: false,
    });
    delta
}

#[test]
#[should_panic(expected = "S5: 10.0.2.2 gets bytes")]
fn bytes_that_policy_never_permitted_are_noticed() {
    let (mut world, nodes, pods, there) = pair();
    world.pretend(nodes[1], nobody());
    world.call(pods[0], there, Script::send(100));
    world.run(SECOND);
}

#[test]
#[should_panic(expected = "S6: bytes of AppId(0) reach 10.0.2.2 after policy changed")]
fn bytes_after_a_change_of_policy_are_noticed() {
    let (mut world, nodes, pods, there) = pair();
    world.call(pods[0], there, Script::acts(&[Act::Send(100), Act::Pause(SECOND), Act::Send(100)]));
    world.run(SECOND / 2);
    world.pretend(nodes[1], nobody());
    world.run(SECOND);
}

#[test]
#[should_panic(expected = "S7: bytes leave under another identity")]
fn a_connection_under_another_identity_is_noticed() {
    let (mut world, _, pods, there) = pair();
    world.hosts[0].identity = world.hosts[1].identity.clone();
    world.call(pods[0], there, Script::send(100));
    let held = world.hosts[1].identity.clone();
    world.issued.insert((NodeId(0), held));
    world.run(SECOND);
}

#[test]
#[should_panic(expected = "S8: no facts permit the way")]
fn a_connection_to_another_identity_than_the_facts_name_is_noticed() {
    let (mut world, nodes, pods, there) = pair();
    let other = change(&world, pods[1], |spec| spec.service_account = "c".into());
    world.pretend(nodes[0], other);
    world.call(pods[0], there, Script::send(100));
    world.run(SECOND);
}

#[test]
#[should_panic(expected = "S8: 10.0.2.2 gets what was meant for another")]
fn bytes_that_were_meant_for_another_pod_are_noticed() {
    let (mut world, _, pods, there) = pair();
    world.hosts[1].identity = world.hosts[0].identity.clone();
    world.call(pods[0], there, Script::send(100));
    world.run(SECOND);
}

#[test]
#[should_panic(expected = "S10: no facts permit the way")]
fn a_connection_in_clear_to_what_takes_tunnels_is_noticed() {
    let (mut world, nodes, pods, there) = pair();
    let plain = change(&world, pods[1], |spec| spec.protocol = TunnelProtocol::Tcp);
    world.apply(plain);
    let tunnels = change(&world, pods[1], |_| ());
    world.pretend(nodes[0], tunnels);
    world.call(pods[0], there, Script::send(100));
    world.run(SECOND);
}

#[test]
#[should_panic(expected = "S11: NodeId(1) dials 10.0.2.2:8080")]
fn a_dial_for_a_peer_to_another_nodes_pod_is_noticed() {
    let (mut world, nodes, pods, there) = pair();
    world.call(pods[0], there, Script::send(100));
    world.run(Duration::from_micros(1500));
    world.hosts[1].node = Some(nodes[0]);
    world.run(SECOND);
}

#[test]
#[should_panic(expected = "of which it has no facts")]
fn a_connection_before_facts_is_noticed() {
    let (mut world, nodes, pods, there) = pair();
    let mut delta = Delta::new();
    delta.remove_workload(Uid::new(world.host(pods[0]).spec.uid.clone()));
    world.pretend(nodes[0], delta);
    world.call(pods[0], there, Script::send(100));
    world.run(SECOND);
}

#[test]
#[should_panic(expected = "without a credential")]
fn a_connection_without_a_credential_is_noticed() {
    let (mut world, _, pods, there) = pair();
    world.issued.clear();
    world.call(pods[0], there, Script::send(100));
    world.run(SECOND);
}
