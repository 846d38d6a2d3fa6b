//! Requests and answers, connections and their ends.

use std::fs;
use std::sync::Arc;

use culvert_channel::{ChannelConfig, Roots};
use culvert_core::mesh::{Action, Policy, PolicyEntry, PolicyKey, Scope};
use culvert_core::xds::{Event, Fact, ResourceType};
use culvert_proto::encode;
use culvert_proto::workload as wire;
use culvert_spec_tests::control_plane::{Authority, ControlPlane, Manner};
use culvert_spec_tests::testbed::Address;
use prost::Message;
use tempfile::TempDir;

use crate::listener::{Listener, config, discovery, fact, policy, service, workload, workload_with};

const PORT: u16 = 15_012;

fn deny_all(name: &str) -> Policy {
    Policy {
        name: name.into(),
        namespace: "default".into(),
        scope: Scope::Namespace,
        action: Action::Deny,
        rules: vec![vec![vec![]]],
        dry_run: false,
    }
}

#[test]
fn a_node_says_who_it_is_and_hears_of_all_there_is() {
    let address = Address::take();
    let authority = Arc::new(Authority::new("istiod.istio-system.svc"));
    let control_plane = ControlPlane::serving(address.port(PORT), Some(authority.clone()));
    control_plane.publish([fact(workload("a", "10.0.0.1")), policy(deny_all("p"))]);
    let files = TempDir::new().unwrap();
    fs::write(files.path().join("token"), "projected\n").unwrap();
    let mut channel = ChannelConfig::new(control_plane.url());
    channel.roots = Roots::Pem(authority.pem());
    channel.alternative_hostname = Some(authority.name().into());
    channel.token = Some(files.path().join("token"));
    channel.cluster_id = Some("east".into());
    let listener = Listener::start(discovery(channel));
    listener.is_ready();
    listener.has_workloads(&["a"]);
    assert!(listener.look(|heard| heard.snapshot.policy(&PolicyKey::new("default", "p")).is_some()));
    let opened = &control_plane.opened()[0];
    assert_eq!((opened.authorization.as_str(), opened.cluster_id.as_str()), ("Bearer projected", "east"));
    let node = control_plane.first_node().unwrap();
    assert_eq!(node.id, "ztunnel~10.0.0.9~culvert-a.mesh-system~mesh-system.svc.cluster.local");
    // Only the first request of a stream says who asks; both are wildcards.
    let received = control_plane.received();
    assert_eq!(received.iter().filter(|received| received.request.node.is_some()).count(), 1);
    let types: Vec<_> = received[..2].iter().map(|received| received.request.type_url.as_str()).collect();
    assert_eq!(types, [culvert_proto::ADDRESS, culvert_proto::AUTHORIZATION]);
    assert!(received[..2].iter().all(|received| received.request.resource_names_subscribe.is_empty()));
}

#[test]
fn a_node_is_ready_after_both_kinds_were_acknowledged_and_applies_nothing_before_policies() {
    let address = Address::take();
    let control_plane = ControlPlane::serving(address.port(PORT), None);
    control_plane.publish([fact(workload("a", "10.0.0.1"))]);
    let without_policies = Some(ResourceType::Authorization);
    control_plane.set_manner(Manner { withhold: without_policies, ..Manner::default() });
    let listener = Listener::start(config(&control_plane, None));
    control_plane.wait_for(|received| {
        received.request.type_url == culvert_proto::ADDRESS && !received.request.response_nonce.is_empty()
    });
    assert!(
        listener.look(|heard| heard.snapshot.workloads().len() == 0 && !heard.events.contains(&Event::Ready))
    );
    assert!(!listener.discovery.status().ready);
    control_plane.set_manner(Manner::default());
    listener.is_ready();
    listener.has_workloads(&["a"]);
    for kind in [culvert_proto::ADDRESS, culvert_proto::AUTHORIZATION] {
        control_plane.wait_for(|received| {
            received.request.type_url == kind && !received.request.response_nonce.is_empty()
        });
    }
}

#[test]
fn a_resource_that_is_not_understood_is_named_with_the_reason_and_the_rest_is_applied() {
    let address = Address::take();
    let control_plane = ControlPlane::serving(address.port(PORT), None);
    control_plane.publish([fact(workload("a", "10.0.0.1"))]);
    let listener = Listener::start(config(&control_plane, None));
    listener.is_ready();
    listener.has_workloads(&["a"]);
    let legacy = wire::Workload {
        uid: "a".into(),
        namespace: "default".into(),
        addresses: vec![vec![10, 0, 0, 7]],
        tunnel_protocol: 2,
        ..wire::Workload::default()
    };
    let legacy = wire::Address { r#type: Some(wire::address::Type::Workload(legacy)) };
    control_plane.publish_bytes(ResourceType::Address, "a", legacy.encode_to_vec());
    let nack = control_plane.wait_for(|received| received.error().is_some());
    assert_eq!(nack.error(), Some("a: the workload takes mutual TLS of sidecars only"));
    control_plane.publish([fact(workload("b", "10.0.0.2"))]);
    listener.has_workloads(&["a", "b"]);
    let kept = listener.look(|heard| heard.snapshot.workload("a").unwrap().ips[0].to_string());
    assert_eq!(kept, "10.0.0.1");
}

#[test]
fn bytes_that_are_no_resources_leave_what_was_known_and_are_answered_shortly() {
    let address = Address::take();
    let control_plane = ControlPlane::serving(address.port(PORT), None);
    control_plane.publish([fact(workload("a", "10.0.0.1")), policy(deny_all("p"))]);
    let listener = Listener::start(config(&control_plane, None));
    listener.is_ready();
    listener.has_workloads(&["a"]);
    // Longer than any resource, nested deeper than any, cut short, and of nothing but lengths.
    let nested = (0..10_000).fold(Vec::new(), |inner: Vec<u8>, _| {
        let start = inner.len().saturating_sub(120);
        let inner = &inner[start..];
        [&[0x0a, u8::try_from(inner.len()).unwrap()], inner].concat()
    });
    let garbage =
        [vec![0; 3 << 20], nested, vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], vec![0xff; 64], Vec::new()];
    for (number, bytes) in garbage.iter().enumerate() {
        control_plane.publish_bytes(ResourceType::Address, "a", bytes.clone());
        for copy in 0..100 {
            control_plane.publish_bytes(
                ResourceType::Address,
                &format!("w{number}-{copy}"),
                bytes[..bytes.len().min(999)].to_vec(),
            );
        }
    }
    control_plane.publish([fact(workload("z", "10.0.0.2"))]);
    listener.has_workloads(&["a", "z"]);
    let nack = control_plane.wait_for(|received| received.error().is_some());
    assert!(nack.error().unwrap().len() < 16_384);
    let policies = listener.look(|heard| heard.snapshot.policies().len());
    assert_eq!(
        (policies, listener.look(|heard| heard.snapshot.workload("a").unwrap().ips[0].to_string())),
        (1, "10.0.0.1".into())
    );
}

#[test]
fn a_policy_that_is_not_understood_denies_and_is_told() {
    let address = Address::take();
    let control_plane = ControlPlane::serving(address.port(PORT), None);
    let key = PolicyKey::new("default", "p");
    let refused = encode::undecodable(&key, Some(Scope::Namespace));
    control_plane.publish_bytes(ResourceType::Authorization, "default/p", refused.encode_to_vec());
    let listener = Listener::start(config(&control_plane, None));
    let nack = control_plane.wait_for(|received| received.error().is_some());
    assert!(nack.error().unwrap().starts_with("default/p: action: "), "{:?}", nack.error());
    let scope = listener.wait("the policy", |heard| match heard.snapshot.policy(&key) {
        Some(PolicyEntry::Undecodable { scope, .. }) => Some(*scope),
        _ => None,
    });
    assert_eq!(scope, Some(Scope::Namespace));
    control_plane.withdraw(ResourceType::Authorization, "default/p");
    listener.wait("its end", |heard| heard.snapshot.policy(&key).is_none().then_some(()));
}

#[test]
fn what_was_removed_while_a_node_was_away_is_removed_when_it_is_back() {
    let address = Address::take();
    let mut control_plane = ControlPlane::serving(address.port(PORT), None);
    control_plane.publish(["a", "b", "c"].map(|uid| fact(workload(uid, "10.0.0.1"))));
    control_plane.publish([policy(deny_all("p"))]);
    let listener = Listener::start(config(&control_plane, None));
    listener.is_ready();
    listener.has_workloads(&["a", "b", "c"]);
    control_plane.kill();
    listener.wait("the loss", |heard| {
        heard.events.iter().any(|event| matches!(event, Event::Disconnected { .. })).then_some(())
    });
    assert!(listener.discovery.status().stale_since.is_some());
    listener.has_workloads(&["a", "b", "c"]);
    control_plane.withdraw(ResourceType::Address, "b");
    control_plane.withdraw(ResourceType::Authorization, "default/p");
    control_plane.publish([fact(workload("c", "10.0.0.3"))]);
    control_plane.start();
    listener.has_workloads(&["a", "c"]);
    listener.wait("the policy's end", |heard| (heard.snapshot.policies().len() == 0).then_some(()));
    listener.wait("the new address", |heard| {
        (heard.snapshot.workload("c").unwrap().ips[0].to_string() == "10.0.0.3").then_some(())
    });
    assert!(listener.discovery.status().stale_since.is_none());
    let versions = |received: &culvert_spec_tests::control_plane::Received| {
        received.request.initial_resource_versions.keys().cloned().collect::<Vec<_>>()
    };
    let told = control_plane.wait_for(|received| !received.request.initial_resource_versions.is_empty());
    assert_eq!(versions(&told), ["a", "b", "c"]);
}

#[test]
fn a_stream_that_is_recycled_is_opened_anew_at_once_and_nothing_is_lost() {
    let address = Address::take();
    let control_plane = ControlPlane::serving(address.port(PORT), None);
    control_plane.set_manner(Manner {
        recycle_after: Some(3),
        split: true,
        repeat: true,
        ..Manner::default()
    });
    let uids: Vec<String> = (10..40).map(|number| format!("w{number}")).collect();
    control_plane.publish(uids.iter().map(|uid| fact(workload(uid, "10.0.0.1"))));
    let listener = Listener::start(config(&control_plane, None));
    // Each stream brings one or two of them: with waits that grow, this would take minutes.
    listener.has_workloads(&uids.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(control_plane.opened().len() > 10);
}

#[test]
fn parts_repetitions_and_another_order_come_to_the_same() {
    let address = Address::take();
    let control_plane = ControlPlane::serving(address.port(PORT), None);
    let everything = || {
        let workloads = (0..200).map(|number| {
            fact(workload_with(
                &format!("w{number:03}"),
                &format!("10.0.{}.{}", number / 100, number % 100),
                |spec| {
                    let key = "default/web.example".parse().unwrap();
                    spec.services = [(key, [(80, 8080)].into_iter().collect())].into();
                },
            ))
        });
        workloads.chain([Fact::Service(Arc::new(service("web.example", "10.96.0.1"))), policy(deny_all("p"))])
    };
    control_plane.publish(everything());
    let plain = Listener::start(config(&control_plane, None));
    plain.wait("all", |heard| {
        (heard.snapshot.workloads().len() == 200 && heard.snapshot.services().len() == 1).then_some(())
    });
    let manner = Manner { split: true, repeat: true, shuffle: Some(7), ..Manner::default() };
    control_plane.set_manner(manner);
    let other = Listener::start(config(&control_plane, None));
    other.is_ready();
    other.wait("all", |heard| {
        let all = heard.snapshot.workloads().len() == 200 && heard.snapshot.services().len() == 1;
        (all && heard.snapshot.policies().len() == 1).then_some(())
    });
    let snapshot = plain.look(|heard| heard.snapshot.clone());
    assert!(other.look(|heard| heard.snapshot.is_identical_to(&snapshot)));
    assert_eq!(snapshot.endpoints(&"default/web.example".parse().unwrap()).count(), 200);
}

#[test]
fn a_node_on_demand_hears_of_what_it_asks_for_and_of_its_own_workloads() {
    let address = Address::take();
    let mut control_plane = ControlPlane::serving(address.port(PORT), None);
    let member = workload_with("member", "10.0.0.2", |spec| {
        spec.services = [("default/web.example".parse().unwrap(), [(80, 8080)].into_iter().collect())].into();
    });
    let own = workload_with("own", "10.0.0.3", |spec| spec.node = "k1".into());
    control_plane.publish([
        fact(workload("a", "10.0.0.1")),
        fact(member),
        fact(own),
        Fact::Service(Arc::new(service("web.example", "10.96.0.1"))),
    ]);
    let mut config = config(&control_plane, None);
    config.on_demand = true;
    let listener = Listener::start(config);
    listener.is_ready();
    listener.has_workloads(&["own"]);
    for (name, exists, then) in [
        ("/10.0.0.1", true, &["a", "own"][..]),
        ("default/none.example", false, &["a", "own"]),
        ("/10.96.0.1", true, &["a", "member", "own"]),
        ("/10.9.9.9", false, &["a", "member", "own"]),
    ] {
        listener.discovery.demand(name);
        listener.wait(name, |heard| heard.known.contains(&(name.to_owned(), exists)).then_some(()));
        listener.has_workloads(then);
    }
    // What there was not is told as soon as there is, also where that is after a restart; and so is what goes.
    control_plane.kill();
    control_plane.publish([fact(workload("late", "10.9.9.9"))]);
    control_plane.withdraw(ResourceType::Address, "a");
    control_plane.start();
    listener
        .wait("the latecomer", |heard| heard.known.contains(&("/10.9.9.9".to_owned(), true)).then_some(()));
    listener.has_workloads(&["late", "member", "own"]);
    listener
        .wait("the loss of a", |heard| heard.known.contains(&("/10.0.0.1".to_owned(), false)).then_some(()));
}

#[test]
fn a_node_without_a_control_plane_begins_with_what_it_knew_and_catches_up() {
    let address = Address::take();
    let state = TempDir::new().unwrap();
    let mut control_plane = ControlPlane::serving(address.port(PORT), None);
    control_plane.publish([
        fact(workload("a", "10.0.0.1")),
        fact(workload("b", "10.0.0.2")),
        policy(deny_all("p")),
    ]);
    let kept = || {
        let mut config = config(&control_plane, None);
        config.state = Some(state.path().join("state"));
        config
    };
    let listener = Listener::start(kept());
    listener.is_ready();
    listener.has_workloads(&["a", "b"]);
    let snapshot = listener.look(|heard| heard.snapshot.clone());
    // It is written when it ends, if not before.
    drop(listener);
    let again = kept();
    control_plane.kill();
    let listener = Listener::start(again);
    listener.has_workloads(&["a", "b"]);
    listener.wait("that it was restored", |heard| heard.restored.then_some(()));
    assert!(listener.look(|heard| heard.snapshot.is_identical_to(&snapshot)));
    assert!(!listener.discovery.status().ready);
    control_plane.withdraw(ResourceType::Address, "a");
    control_plane.start();
    listener.is_ready();
    listener.has_workloads(&["b"]);
}
