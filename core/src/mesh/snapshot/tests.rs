use std::collections::{BTreeMap, BTreeSet};

use quickcheck::{Gen, quickcheck};

use super::*;
use crate::mesh::{NetworkMode, Policy, Scope, ServiceSpec, TunnelProtocol, Visibility, WorkloadSpec};

fn workload(uid: &str, edit: impl FnOnce(&mut WorkloadSpec)) -> Workload {
    let mut spec = WorkloadSpec {
        uid: uid.into(),
        name: uid.rsplit('/').next().unwrap_or("").into(),
        namespace: "n".into(),
        workload_ips: vec!["10.0.0.1".parse().unwrap()],
        ..WorkloadSpec::default()
    };
    edit(&mut spec);
    Workload::try_from(spec).unwrap()
}

fn service(key: &str, edit: impl FnOnce(&mut ServiceSpec)) -> Service {
    let key: ServiceKey = key.parse().unwrap();
    let mut spec = ServiceSpec {
        namespace: key.namespace,
        hostname: key.hostname,
        vips: vec!["/10.96.0.1".parse().unwrap()],
        ..ServiceSpec::default()
    };
    edit(&mut spec);
    Service::try_from(spec).unwrap()
}

fn policy(key: &str, scope: Scope) -> Policy {
    let key: PolicyKey = key.parse().unwrap();
    let action = crate::mesh::Action::Deny;
    Policy { name: key.name, namespace: key.namespace, scope, action, rules: Vec::new(), dry_run: false }
}

fn at(text: &str) -> NetworkAddress {
    text.parse().unwrap()
}

fn of(delta: impl FnOnce(&mut Delta)) -> Snapshot {
    Snapshot::new().apply(made(delta)).0
}

fn made(fill: impl FnOnce(&mut Delta)) -> Delta {
    let mut delta = Delta::new();
    fill(&mut delta);
    delta
}

#[test]
fn an_address_goes_to_a_pod_then_to_hbone_then_to_the_smaller_uid() {
    let hbone = |spec: &mut WorkloadSpec| spec.protocol = TunnelProtocol::Hbone;
    let mut snapshot = Snapshot::new();
    let expected = [
        "c/x/WorkloadEntry/n/z",
        "c/x/WorkloadEntry/n/a",
        "c/x/WorkloadEntry/n/y",
        "c//Pod/n/z",
        "c//Pod/n/y",
    ];
    let arriving = [
        workload(expected[0], |_| ()),
        workload(expected[1], |_| ()),
        workload(expected[2], hbone),
        workload(expected[3], |_| ()),
        workload(expected[4], hbone),
    ];
    for (winner, workload) in expected.iter().zip(arriving) {
        snapshot = snapshot.apply(made(|delta| delta.upsert_workload(workload))).0;
        assert_eq!(snapshot.workload_at(&at("/10.0.0.1")).unwrap().uid.as_str(), *winner);
    }
    for uid in expected.iter().rev() {
        assert_eq!(snapshot.workload_at(&at("/10.0.0.1")).unwrap().uid.as_str(), *uid);
        snapshot = snapshot.apply(made(|delta| delta.remove_workload((*uid).into()))).0;
    }
    assert!(snapshot.workload_at(&at("/10.0.0.1")).is_none());
}

#[test]
fn a_workload_on_the_hosts_network_has_no_address() {
    let snapshot =
        of(|delta| delta.upsert_workload(workload("a", |spec| spec.network_mode = NetworkMode::HostNetwork)));
    assert!(snapshot.workload_at(&at("/10.0.0.1")).is_none());
    assert_eq!(snapshot.instances("n", "a", "default").count(), 1);
}

#[test]
fn networks_are_told_apart() {
    let snapshot = of(|delta| delta.upsert_workload(workload("a", |spec| spec.network = "west".into())));
    assert!(snapshot.workload_at(&at("west/10.0.0.1")).is_some());
    assert!(snapshot.workload_at(&at("/10.0.0.1")).is_none());
}

#[test]
fn a_virtual_address_goes_to_the_clients_namespace_then_to_the_canonical_one_then_to_the_first() {
    let snapshot = of(|delta| {
        delta.upsert_service(service("a/x", |_| ()));
        delta.upsert_service(service("b/x", |_| ()));
        delta.upsert_service(service("c/x", |spec| spec.canonical = true));
        delta.upsert_service(service("d/x", |spec| spec.visibility = Visibility::Namespace));
    });
    let seen_from =
        |namespace: &str| snapshot.service_at(&at("/10.96.0.1"), namespace).unwrap().key.to_string();
    assert_eq!(seen_from("b"), "b/x");
    assert_eq!(seen_from("d"), "d/x");
    assert_eq!(seen_from("z"), "c/x");
    let without = snapshot.apply(made(|delta| delta.remove_service(ServiceKey::new("c", "x")))).0;
    assert_eq!(without.service_at(&at("/10.96.0.1"), "z").unwrap().key.to_string(), "a/x");
}

#[test]
fn a_hidden_service_leaves_the_address_to_a_wider_range() {
    let snapshot = of(|delta| {
        delta.upsert_service(service("a/hidden", |spec| spec.visibility = Visibility::Namespace));
        delta.upsert_service(service("a/wide", |spec| {
            spec.vips.clear();
            spec.cidr_vips = vec!["/10.0.0.0/8".parse().unwrap()];
        }));
        delta.upsert_service(service("a/all", |spec| {
            spec.vips.clear();
            spec.cidr_vips = vec!["/0.0.0.0/0".parse().unwrap()];
        }));
    });
    let found = |address: &str| snapshot.service_at(&at(address), "z").map(|service| service.key.to_string());
    assert_eq!(found("/10.96.0.1").as_deref(), Some("a/wide"));
    assert_eq!(found("/192.0.2.1").as_deref(), Some("a/all"));
    assert_eq!(found("/2001:db8::1"), None);
    assert_eq!(found("west/10.96.0.1"), None);
}

#[test]
fn endpoints_may_come_before_their_service_and_outlive_it() {
    let key = ServiceKey::new("n", "x");
    let ports = || [(80, 8080)].into_iter().collect();
    let services = [(key.clone(), ports())].into();
    let early = of(|delta| delta.upsert_workload(workload("a", |spec| spec.services = services)));
    assert_eq!(early.endpoints(&key).count(), 1);
    let both = early.apply(made(|delta| delta.upsert_service(service("n/x", |_| ())))).0;
    assert_eq!(both.endpoints(&key).count(), 1);
    let left = both.apply(made(|delta| delta.upsert_workload(workload("a", |_| ())))).0;
    assert_eq!(left.endpoints(&key).count(), 0);
}

#[test]
fn a_change_names_those_it_touches() {
    let named = "n/p".parse::<PolicyKey>().unwrap();
    let names = |spec: &mut WorkloadSpec| spec.authorization_policies = vec![named.clone()];
    let a = workload("a", names);
    let b = workload("b", |_| ());
    let c = workload("c", |spec| spec.namespace = "m".into());
    let start = of(|delta| {
        [&a, &b, &c].map(|workload| delta.upsert_workload(workload.clone())).into_iter().collect()
    });
    let touched = |delta: Delta| {
        let changed = start.apply(delta).1;
        [&a, &b, &c].map(|workload| changed.affects(workload))
    };
    assert_eq!(
        touched(made(|delta| delta.upsert_policy(policy("n/p", Scope::WorkloadSelector)))),
        [true, false, false]
    );
    assert_eq!(
        touched(made(|delta| delta.upsert_policy(policy("n/q", Scope::Namespace)))),
        [true, true, false]
    );
    assert_eq!(touched(made(|delta| delta.upsert_policy(policy("n/q", Scope::Global)))), [true, true, true]);
    assert_eq!(
        touched(made(|delta| delta.undecodable_policy(PolicyKey::new("m", "q"), None, "?"))),
        [false, false, true]
    );
    assert_eq!(touched(made(|delta| delta.remove_workload("b".into()))), [false, true, false]);
    assert_eq!(touched(made(|delta| delta.upsert_workload(workload("b", names)))), [false, true, false]);
    assert_eq!(touched(made(|delta| delta.upsert_workload(b.clone()))), [false, false, false]);
    assert_eq!(touched(made(|delta| delta.upsert_service(service("n/x", |_| ())))), [false, false, false]);
    assert_eq!(start.workloads_naming(&named).map(Uid::as_str).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_policy_that_changes_its_scope_touches_both() {
    let start = of(|delta| delta.upsert_policy(policy("n/p", Scope::Global)));
    let (next, changed) =
        start.apply(made(|delta| delta.upsert_policy(policy("n/p", Scope::WorkloadSelector))));
    assert!(changed.everything);
    assert!(next.policies_for(&workload("a", |_| ())).next().is_none());
}

/// All that a snapshot answers, worked out from the facts alone.
fn check_against_facts(snapshot: &Snapshot) {
    let claims_address = |workload: &Workload, address: &NetworkAddress| {
        workload.network_mode == NetworkMode::Standard
            && workload.network == *address.network()
            && workload.has_ip(address.ip())
    };
    let rank = |workload: &Workload| {
        (!workload.uid.is_pod(), workload.protocol != TunnelProtocol::Hbone, workload.uid.clone())
    };
    for ip in ["10.0.0.1", "10.0.0.2", "10.9.0.3", "2001:db8::1", "127.0.0.9", "10.96.0.1", "10.96.0.2"] {
        for network in ["", "far"] {
            let address = at(&format!("{network}/{ip}"));
            let claimants = snapshot.workloads().filter(|workload| claims_address(workload, &address));
            let winner = claimants.min_by_key(|workload| rank(workload));
            assert_eq!(snapshot.workload_at(&address), winner, "{address}");
            for namespace in ["n1", "n2", "n3"] {
                let found = snapshot.service_at(&address, namespace);
                assert_eq!(found, naive_service_at(snapshot, &address, namespace), "{address} {namespace}");
            }
        }
    }
    for workload in snapshot.workloads() {
        let identity = workload.identity();
        let same = snapshot.workloads().filter(|other| {
            other.name == workload.name
                && other.namespace() == workload.namespace()
                && other.identity().service_account() == identity.service_account()
        });
        let found = snapshot.instances(workload.namespace(), &workload.name, identity.service_account());
        assert!(found.eq(same));
        let policies: BTreeMap<_, _> = snapshot.policies_for(workload).collect();
        assert_eq!(policies, naive_policies(snapshot, workload));
    }
    for namespace in ["n1", "n2"] {
        for host in ["x.example", "y.example", "z.example"] {
            let key = ServiceKey::new(namespace, host);
            let endpoints = snapshot.workloads().filter(|workload| workload.service_ports(&key).is_some());
            let mut found: Vec<_> = snapshot.endpoints(&key).collect();
            found.sort_by_key(|workload| &workload.uid);
            assert!(found.into_iter().eq(endpoints), "{key}");
        }
        for name in ["p", "q", "r"] {
            let key = PolicyKey::new(namespace, name);
            let naming =
                snapshot.workloads().filter(|workload| workload.authorization_policies.contains(&key));
            assert!(snapshot.workloads_naming(&key).eq(naming.map(|workload| &workload.uid)), "{key}");
        }
    }
}

fn naive_service_at<'a>(
    snapshot: &'a Snapshot,
    address: &NetworkAddress,
    namespace: &str,
) -> Option<&'a Arc<Service>> {
    let width = |service: &Service| {
        let exact = service.vips.contains(address).then_some(-1);
        let ranges = service.cidr_vips.iter();
        let ranges =
            ranges.filter(|range| range.network == *address.network() && range.cidr.contains(address.ip()));
        exact.or_else(|| ranges.map(|range| 128 - i32::from(range.cidr.prefix_bits())).min())
    };
    snapshot
        .services()
        .filter(|service| service.is_visible_from(namespace))
        .filter_map(|service| Some((width(service)?, service)))
        .min_by_key(|(width, service)| {
            (*width, service.key.namespace.as_ref() != namespace, !service.canonical, service.key.clone())
        })
        .map(|(_, service)| service)
}

fn naive_policies<'a>(
    snapshot: &'a Snapshot,
    workload: &'a Workload,
) -> BTreeMap<&'a PolicyKey, Option<&'a PolicyEntry>> {
    let mut policies: BTreeMap<_, _> =
        workload.authorization_policies.iter().map(|key| (key, snapshot.policy(key))).collect();
    for (key, entry) in snapshot.policies() {
        let in_namespace = key.namespace.as_ref() == workload.namespace();
        let applies = match entry.scope() {
            Some(Scope::Global) => true,
            Some(Scope::Namespace) | None => in_namespace,
            Some(Scope::WorkloadSelector) => false,
        };
        if applies {
            policies.insert(key, Some(entry));
        }
    }
    policies
}

/// Cuts a delta into deltas of one fact each.
fn pieces(delta: &Delta) -> Vec<Delta> {
    let mut pieces = Vec::new();
    for (uid, workload) in &delta.workloads {
        pieces.push(Delta { workloads: [(uid.clone(), workload.clone())].into(), ..Delta::new() });
    }
    for (key, service) in &delta.services {
        pieces.push(Delta { services: [(key.clone(), service.clone())].into(), ..Delta::new() });
    }
    for (key, policy) in &delta.policies {
        pieces.push(Delta { policies: [(key.clone(), policy.clone())].into(), ..Delta::new() });
    }
    pieces
}

quickcheck! {
    fn every_index_answers_as_the_facts_do(snapshot: Snapshot) -> bool {
        check_against_facts(&snapshot);
        true
    }

    fn indexes_are_as_if_built_anew(snapshot: Snapshot) -> bool {
        let (anew, _) = Snapshot::new().apply(Snapshot::new().delta_to(&snapshot));
        snapshot.is_identical_to(&anew)
    }

    fn the_order_of_facts_does_not_matter(start: Snapshot, delta: Delta, order: Vec<u8>) -> bool {
        let together = start.apply(delta.clone()).0;
        let mut pieces = pieces(&delta);
        // Any permutation, and some pieces twice.
        for (at, swap) in order.iter().enumerate() {
            let (at, swap) = (at % pieces.len(), usize::from(*swap) % pieces.len());
            pieces.swap(at, swap);
        }
        pieces.extend(pieces.first().cloned());
        let apart = pieces.into_iter().fold(start, |snapshot, piece| snapshot.apply(piece).0);
        together.is_identical_to(&apart)
    }

    fn a_difference_leads_from_one_to_the_other(from: Snapshot, to: Snapshot) -> bool {
        let (arrived, changed) = from.apply(from.delta_to(&to));
        arrived.epoch() > from.epoch()
            && arrived.is_identical_to(&to)
            && changed == from.diff_to(&to)
            && arrived.diff_to(&to).is_empty()
    }

    fn what_is_not_touched_has_the_same_policies(from: Snapshot, delta: Delta) -> bool {
        let (to, changed) = from.apply(delta);
        let uids: BTreeSet<_> = from.workloads().chain(to.workloads()).map(|workload| workload.uid.clone()).collect();
        uids.iter().all(|uid| match (from.workload(uid.as_str()), to.workload(uid.as_str())) {
            (Some(before), Some(after)) => {
                let same = before == after && from.policies_for(before).eq(to.policies_for(after));
                same || (changed.affects(before) && changed.affects(after))
            }
            (Some(one), None) => changed.affects(one) && changed.removed.contains(uid),
            (None, Some(one)) => changed.affects(one) && changed.workloads.contains(uid),
            (None, None) => false,
        })
    }

    fn changes_merge_to_what_they_were_apart(from: Snapshot, first: Delta, second: Delta) -> bool {
        let (middle, mut changed) = from.apply(first);
        let (to, later) = middle.apply(second);
        changed.merge(later);
        from.diff_to(&to).workloads.iter().all(|uid| changed.workloads.contains(uid))
            && from.diff_to(&to).removed.iter().all(|uid| changed.removed.contains(uid))
            && to.workloads().all(|workload| changed.affects(workload) || !from.diff_to(&to).affects(workload))
    }
}

#[test]
fn generated_worlds_are_not_trivial() {
    use quickcheck::Arbitrary;
    let mut g = Gen::new(20);
    let worlds: Vec<_> = (0..50).map(|_| Snapshot::arbitrary(&mut g)).collect();
    assert!(worlds.iter().any(|world| {
        let addresses: Vec<_> =
            world.by_address.iter().map(|known| (known.workload.network.clone(), known.ip)).collect();
        addresses.windows(2).any(|pair| pair[0] == pair[1])
    }));
    assert!(worlds.iter().any(|world| world.by_vip.values().any(|claims| claims.len() > 1)));
    assert!(worlds.iter().any(|world| !world.references.is_empty() && !world.global.is_empty()));
}
