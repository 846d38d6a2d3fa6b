use std::sync::Arc;

use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;
use crate::mesh::{Delta, Match, MeshFile, Scope, StringMatch, Workload, WorkloadSpec, sample};

/// A workload `n/w` that names the policies given.
fn workload(names: &[&str]) -> Workload {
    let spec = WorkloadSpec {
        uid: "w".into(),
        namespace: "n".into(),
        authorization_policies: names.iter().map(|name| name.parse().unwrap()).collect(),
        ..WorkloadSpec::default()
    };
    Workload::try_from(spec).unwrap()
}

/// A world of the policies written, one a line: `name scope action rules`.
fn world(policies: &str) -> Snapshot {
    let mut text = String::from("policies:\n");
    for line in policies.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut parts = line.splitn(4, ' ');
        let mut next = || parts.next().unwrap();
        let (key, scope, action, rules) = (next(), next(), next(), next());
        let (namespace, name) = key.split_once('/').unwrap();
        let (dry_run, action) = match action.strip_suffix('?') {
            Some(action) => (true, action),
            None => (false, action),
        };
        text += &format!(
            "- {{namespace: {namespace}, name: {name}, scope: {scope}, action: {action}, dryRun: {dry_run}, rules: {rules}}}\n"
        );
    }
    Snapshot::from_file(serde_saphyr::from_str::<MeshFile>(&text).unwrap()).unwrap()
}

/// The verdict on a connection from `SOURCE [IDENTITY]` to `10.0.0.1:80`, as its text.
fn verdict(snapshot: &Snapshot, names: &[&str], from: &str) -> String {
    let (source, identity) = from.split_once(' ').unwrap_or((from, ""));
    let identity: Option<SpiffeId> =
        (!identity.is_empty()).then(|| format!("spiffe://{identity}").parse().unwrap());
    let connection = Connection {
        identity: identity.as_ref(),
        source: source.parse().unwrap(),
        destination: "10.0.0.1:80".parse().unwrap(),
    };
    evaluate(snapshot, &workload(names), &connection, Compat::Culvert).to_string()
}

const WEB: &str = "10.0.0.9 cluster.local/ns/a/sa/web";
const NOBODY: &str = "10.0.0.9";
const FREE: &str = "allowed: no policy restricts it";
const NONE: &str = "no policy allows it";
const BY: &str = "allowed by policy n/p";
const DENIED: &str = "denied by policy n/p";

#[test]
fn the_shape_of_rules_means_what_the_contract_says() {
    // Rules, and what an ALLOW and a DENY policy of them say to anybody.
    let rows = [
        ("no rules", "[]", NONE, FREE),
        ("a rule without clauses", "[[]]", BY, DENIED),
        ("a clause without matches", "[[[]]]", BY, DENIED),
        ("a match without attributes", "[[[{}]]]", NONE, FREE),
        ("of matches, one", "[[[{}, {destinationPorts: [80]}]]]", BY, DENIED),
        ("of clauses, all", "[[[{destinationPorts: [80]}], [{destinationPorts: [81]}]]]", NONE, FREE),
        (
            "of clauses, all, and both hold",
            "[[[{destinationPorts: [80]}], [{sourceIps: [10.0.0.0/8]}]]]",
            BY,
            DENIED,
        ),
        ("of rules, one", "[[[{destinationPorts: [81]}]], [[{destinationPorts: [80]}]]]", BY, DENIED),
        ("of attributes, all", "[[[{destinationPorts: [80], sourceIps: [11.0.0.0/8]}]]]", NONE, FREE),
        ("of values, one", "[[[{destinationPorts: [81, 80]}]]]", BY, DENIED),
        ("positive and negative", "[[[{destinationPorts: [80], notDestinationPorts: [80]}]]]", NONE, FREE),
        ("negative alone", "[[[{notDestinationPorts: [81]}]]]", BY, DENIED),
    ];
    for (what, rules, allow, deny) in rows {
        let snapshot = world(&format!("n/p Namespace Allow {rules}"));
        assert_eq!(verdict(&snapshot, &[], WEB), allow, "allow: {what}");
        let snapshot = world(&format!("n/p Namespace Deny {rules}"));
        assert_eq!(verdict(&snapshot, &[], WEB), deny, "deny: {what}");
    }
}

#[test]
fn attributes_mean_what_the_contract_says() {
    // A match, and whether an ALLOW and a DENY policy of it match the peer.
    let rows = [
        ("{principals: [{Exact: cluster.local/ns/a/sa/web}]}", WEB, true, true),
        ("{principals: [{Exact: 'spiffe://cluster.local/ns/a/sa/web'}]}", WEB, false, false),
        ("{principals: [{Prefix: cluster.local/ns/a/}]}", WEB, true, true),
        ("{principals: [{Prefix: cluster.local/ns/b/}]}", WEB, false, false),
        ("{principals: [{Suffix: /sa/web}]}", WEB, true, true),
        ("{principals: [{Suffix: /sa/we}]}", WEB, false, false),
        ("{principals: [Presence]}", WEB, true, true),
        ("{principals: [Presence]}", NOBODY, false, false),
        ("{principals: [{Prefix: ''}]}", NOBODY, false, false),
        ("{notPrincipals: [Presence]}", WEB, false, false),
        ("{notPrincipals: [Presence]}", NOBODY, false, true),
        ("{notPrincipals: [{Exact: x}]}", WEB, true, true),
        ("{notPrincipals: [{Exact: x}]}", NOBODY, false, true),
        ("{namespaces: [{Exact: a}]}", WEB, true, true),
        ("{namespaces: [{Exact: ''}]}", NOBODY, true, true),
        ("{namespaces: [Presence]}", NOBODY, false, false),
        ("{notNamespaces: [{Exact: a}]}", WEB, false, false),
        ("{notNamespaces: [{Exact: b}]}", WEB, true, true),
        ("{notNamespaces: [{Exact: b}]}", NOBODY, false, true),
        ("{serviceAccounts: [{namespace: a, serviceAccount: web}]}", WEB, true, true),
        (
            "{serviceAccounts: [{namespace: a, serviceAccount: web}]}",
            "10.0.0.9 other/ns/a/sa/web",
            true,
            true,
        ),
        ("{serviceAccounts: [{namespace: b, serviceAccount: web}]}", WEB, false, false),
        ("{serviceAccounts: [{namespace: a, serviceAccount: web}]}", NOBODY, false, false),
        ("{notServiceAccounts: [{namespace: a, serviceAccount: web}]}", NOBODY, false, true),
        ("{notServiceAccounts: [{namespace: a, serviceAccount: api}]}", WEB, true, true),
        ("{sourceIps: [10.0.0.0/8]}", NOBODY, true, true),
        ("{sourceIps: [10.0.0.0/8]}", "::ffff:10.0.0.9", true, true),
        ("{notSourceIps: [10.0.0.0/8]}", "::ffff:10.0.0.9", false, false),
        ("{notSourceIps: [10.0.0.0/8]}", "2001:db8::1", true, true),
        ("{notSourceIps: [192.0.2.0/24]}", NOBODY, true, true),
        ("{destinationIps: [10.0.0.1/32]}", NOBODY, true, true),
        ("{destinationIps: ['::ffff:10.0.0.1/128']}", NOBODY, true, true),
        ("{notDestinationIps: [10.0.0.1/32]}", NOBODY, false, false),
        ("{destinationPorts: [80]}", NOBODY, true, true),
        ("{notDestinationPorts: [80]}", NOBODY, false, false),
        // A negative that has nothing to do with identity needs none; one that has needs it for the whole match.
        ("{destinationPorts: [80], notPrincipals: [{Exact: x}]}", NOBODY, false, true),
    ];
    for (wanted, from, allow, deny) in rows {
        let snapshot = world(&format!("n/p Namespace Allow [[[{wanted}]]]"));
        assert_eq!(verdict(&snapshot, &[], from), if allow { BY } else { NONE }, "allow {wanted} {from}");
        let snapshot = world(&format!("n/p Namespace Deny [[[{wanted}]]]"));
        assert_eq!(verdict(&snapshot, &[], from), if deny { DENIED } else { FREE }, "deny {wanted} {from}");
    }
}

#[test]
fn the_set_of_policies_is_global_ones_those_of_the_namespace_and_those_named() {
    let all = "[[]]";
    for (policy, names, applies) in [
        (format!("n/p Namespace Deny {all}"), &[][..], true),
        (format!("m/p Namespace Deny {all}"), &[][..], false),
        (format!("m/p Namespace Deny {all}"), &["m/p"][..], true),
        (format!("m/p Global Deny {all}"), &[][..], true),
        (format!("n/p WorkloadSelector Deny {all}"), &[][..], false),
        (format!("n/p WorkloadSelector Deny {all}"), &["n/p"][..], true),
        (format!("m/p WorkloadSelector Deny {all}"), &["m/p"][..], true),
    ] {
        let denied = verdict(&world(&policy), names, WEB).starts_with("denied");
        assert_eq!(denied, applies, "{policy} named by {names:?}");
    }
}

#[test]
fn strict_mutual_tls_denies_plaintext_alone() {
    let snapshot = world(
        "istio-system/istio_converted_static_strict WorkloadSelector Deny [[[{notPrincipals: [Presence]}]]]",
    );
    let names = ["istio-system/istio_converted_static_strict"];
    assert_eq!(verdict(&snapshot, &names, WEB), FREE);
    assert_eq!(verdict(&snapshot, &names, NOBODY), format!("denied by policy {}", names[0]));
}

#[test]
fn to_deny_comes_before_to_allow() {
    let snapshot = world("n/a Namespace Allow [[]]\nn/d Namespace Deny [[]]");
    assert_eq!(verdict(&snapshot, &[], WEB), "denied by policy n/d");
}

#[test]
fn a_policy_of_a_dry_run_is_reported_and_not_enforced() {
    let snapshot = world(
        "n/a Namespace Allow? [[[{destinationPorts: [81]}]]]\nn/d Namespace Deny? [[]]\nn/e Namespace Deny? []",
    );
    let connection = Connection {
        identity: None,
        source: "10.0.0.9".parse().unwrap(),
        destination: "10.0.0.1:80".parse().unwrap(),
    };
    // Not even that it allows something counts.
    assert_eq!(verdict(&snapshot, &[], NOBODY), FREE);
    let workload = workload(&["n/d"]);
    let matched = dry_run_matches(&snapshot, &workload, &connection);
    assert_eq!(matched.iter().map(|policy| policy.name.as_ref()).collect::<Vec<_>>(), ["d"]);
}

#[test]
fn a_named_policy_that_is_missing_holds_unless_the_rest_decides() {
    let hold = "waiting for policy n/gone, n/lost";
    let names = ["n/lost", "n/gone"];
    assert_eq!(verdict(&world("m/x Namespace Deny [[]]"), &names, WEB), hold);
    assert_eq!(verdict(&world("n/p Namespace Allow [[]]"), &names, WEB), hold);
    assert_eq!(verdict(&world("n/p Namespace Allow []"), &names, WEB), hold);
    assert_eq!(verdict(&world("n/p Namespace Deny [[]]"), &names, WEB), DENIED);

    let workload = workload(&names);
    let connection = Connection {
        identity: None,
        source: "10.0.0.9".parse().unwrap(),
        destination: "10.0.0.1:80".parse().unwrap(),
    };
    let snapshot = world("n/p Namespace Allow [[]]");
    let held = evaluate(&snapshot, &workload, &connection, Compat::Culvert);
    assert!(matches!(held.at_deadline(), Verdict::Deny(Denial::Missing(missing)) if missing.len() == 2));
    let skipped = evaluate(&snapshot, &workload, &connection, Compat::Istio);
    assert_eq!(skipped.to_string(), BY);
    assert_eq!(missing(&snapshot, &workload).count(), 2);
}

#[test]
fn a_policy_that_was_not_understood_denies_wherever_it_could_apply() {
    let with = |scope, key: &str| {
        let mut delta = Delta::new();
        delta.undecodable_policy(key.parse().unwrap(), scope, "field 99");
        world("n/p Namespace Allow [[]]").apply(delta).0
    };
    let not_understood = |key: &str| format!("policy {key} was not understood: field 99");
    assert_eq!(verdict(&with(None, "n/q"), &[], WEB), not_understood("n/q"));
    assert_eq!(verdict(&with(None, "m/q"), &[], WEB), BY);
    assert_eq!(verdict(&with(None, "m/q"), &["m/q"], WEB), not_understood("m/q"));
    assert_eq!(verdict(&with(Some(Scope::Global), "m/q"), &[], WEB), not_understood("m/q"));
    assert_eq!(verdict(&with(Some(Scope::WorkloadSelector), "n/q"), &[], WEB), BY);
    assert_eq!(verdict(&with(Some(Scope::WorkloadSelector), "n/q"), &["n/q"], WEB), not_understood("n/q"));
    // At once: what else is missing does not matter. Not even to who asked for leniency.
    assert_eq!(verdict(&with(None, "n/q"), &["n/gone"], WEB), not_understood("n/q"));
    let connection = Connection {
        identity: None,
        source: "10.0.0.9".parse().unwrap(),
        destination: "10.0.0.1:80".parse().unwrap(),
    };
    let lenient = evaluate(&with(None, "n/q"), &workload(&[]), &connection, Compat::Istio);
    assert_eq!(lenient.to_string(), not_understood("n/q"));
}

/// A connection, and a workload of the snapshot it goes to.
#[derive(Clone, Debug)]
struct Case {
    snapshot: Snapshot,
    workload: Arc<Workload>,
    identity: Option<SpiffeId>,
    source: IpAddr,
    destination: SocketAddr,
}

impl Arbitrary for Case {
    fn arbitrary(g: &mut Gen) -> Case {
        let snapshot = Snapshot::arbitrary(g);
        let workload = sample::workload_of(&snapshot, g);
        let identity = bool::arbitrary(g).then(|| sample::identity(g));
        Case { snapshot, workload, identity, source: sample::ip(g), destination: sample::socket(g) }
    }
}

impl Case {
    fn connection(&self) -> Connection<'_> {
        Connection { identity: self.identity.as_ref(), source: self.source, destination: self.destination }
    }
}

/// The contract read line by line, on texts.
fn naive(case: &Case, compat: Compat) -> (&'static str, bool) {
    let entries: Vec<_> = case.snapshot.policies_for(&case.workload).map(|(_, entry)| entry).collect();
    let enforced: Vec<&Policy> = entries
        .iter()
        .filter_map(|entry| match entry {
            Some(PolicyEntry::Decoded(policy)) if !policy.dry_run => Some(policy.as_ref()),
            _ => None,
        })
        .collect();
    let of = |action| enforced.iter().filter(move |policy| policy.action == action);
    let undecodable = entries.iter().any(|entry| matches!(entry, Some(PolicyEntry::Undecodable { .. })));
    if of(Action::Deny).any(|policy| naive_policy(policy, case)) {
        ("deny", true)
    } else if undecodable {
        ("deny", false)
    } else if entries.iter().any(Option::is_none) && compat == Compat::Culvert {
        ("hold", false)
    } else if of(Action::Allow).count() == 0 || of(Action::Allow).any(|policy| naive_policy(policy, case)) {
        ("allow", of(Action::Allow).count() > 0)
    } else {
        ("deny", false)
    }
}

fn naive_policy(policy: &Policy, case: &Case) -> bool {
    policy.rules.iter().any(|rule| {
        rule.iter().all(|clause| {
            clause.is_empty() || clause.iter().any(|wanted| naive_match(wanted, policy.action, case))
        })
    })
}

fn naive_match(wanted: &Match, action: Action, case: &Case) -> bool {
    let spiffe = case.identity.as_ref().map(ToString::to_string);
    let principal = spiffe.as_ref().and_then(|id| id.strip_prefix("spiffe://"));
    let segment = |at: usize| principal.and_then(|principal| principal.split('/').nth(at)).unwrap_or("");
    let text = |wanted: &StringMatch, text: &str| match wanted {
        StringMatch::Exact(exact) => **exact == *text,
        StringMatch::Prefix(prefix) => {
            text.len() >= prefix.len() && text.as_bytes()[..prefix.len()] == *prefix.as_bytes()
        }
        StringMatch::Suffix(suffix) => {
            text.len() >= suffix.len() && text.as_bytes()[text.len() - suffix.len()..] == *suffix.as_bytes()
        }
        StringMatch::Presence => !text.is_empty(),
    };
    let mut results = Vec::new();
    let mut nobody_asked = false;
    let mut attribute = |positive: Vec<bool>, negative: Vec<bool>, of_identity: bool| {
        if !positive.is_empty() {
            results.push(positive.contains(&true));
        }
        if !negative.is_empty() {
            results.push(!negative.contains(&true));
            nobody_asked |= of_identity && principal.is_none();
        }
    };
    let on = |list: &[StringMatch], value: Option<&str>| -> Vec<bool> {
        list.iter().map(|wanted| value.is_some_and(|value| text(wanted, value))).collect()
    };
    attribute(on(&wanted.namespaces, Some(segment(2))), on(&wanted.not_namespaces, Some(segment(2))), true);
    attribute(on(&wanted.principals, principal), on(&wanted.not_principals, principal), true);
    let accounts = |list: &[crate::mesh::ServiceAccountMatch]| -> Vec<bool> {
        list.iter()
            .map(|wanted| {
                principal.is_some()
                    && (&*wanted.namespace, &*wanted.service_account) == (segment(2), segment(4))
            })
            .collect()
    };
    attribute(accounts(&wanted.service_accounts), accounts(&wanted.not_service_accounts), true);
    let ranges = |list: &[crate::mesh::Cidr], ip: IpAddr| -> Vec<bool> {
        list.iter().map(|range| range.contains(ip)).collect()
    };
    attribute(ranges(&wanted.source_ips, case.source), ranges(&wanted.not_source_ips, case.source), false);
    let ip = case.destination.ip();
    attribute(ranges(&wanted.destination_ips, ip), ranges(&wanted.not_destination_ips, ip), false);
    let ports =
        |list: &[u16]| -> Vec<bool> { list.iter().map(|port| *port == case.destination.port()).collect() };
    attribute(ports(&wanted.destination_ports), ports(&wanted.not_destination_ports), false);
    if nobody_asked && action == Action::Allow {
        return false;
    }
    !results.is_empty() && !results.contains(&false)
}

fn summary(verdict: &Verdict) -> (&'static str, bool) {
    match verdict {
        Verdict::Allow { by } => ("allow", by.is_some()),
        Verdict::Deny(denial) => ("deny", matches!(denial, Denial::Rule(_))),
        Verdict::Hold { .. } => ("hold", false),
    }
}

quickcheck! {
    fn the_evaluator_agrees_with_the_contract(case: Case) -> bool {
        [Compat::Culvert, Compat::Istio].into_iter().all(|compat| {
            let verdict = evaluate(&case.snapshot, &case.workload, &case.connection(), compat);
            summary(&verdict) == naive(&case, compat)
        })
    }

    fn a_missing_policy_only_ever_holds_back(case: Case, policy: Policy) -> bool {
        // Whatever a missing policy turns out to say, nobody was let in before it came.
        let names = [policy.key()];
        let spec = WorkloadSpec { authorization_policies: names.to_vec(), ..WorkloadSpec::from(case.workload.as_ref().clone()) };
        let workload = Workload::try_from(spec).unwrap();
        let mut delta = Delta::new();
        delta.remove_policy(names[0].clone());
        let before = case.snapshot.apply(delta).0;
        let verdict = evaluate(&before, &workload, &case.connection(), Compat::Culvert);
        !verdict.is_allow()
    }

    fn a_mapped_source_is_the_address_it_maps(case: Case) -> bool {
        let IpAddr::V4(v4) = case.source.to_canonical() else { return true };
        let mapped = Connection { source: v4.to_ipv6_mapped().into(), ..case.connection() };
        let plain = Connection { source: v4.into(), ..case.connection() };
        evaluate(&case.snapshot, &case.workload, &mapped, Compat::Culvert)
            == evaluate(&case.snapshot, &case.workload, &plain, Compat::Culvert)
    }
}

#[test]
fn generated_cases_reach_every_verdict() {
    let mut g = Gen::new(20);
    let seen: std::collections::BTreeSet<_> = (0..2000)
        .map(|_| Case::arbitrary(&mut g))
        .map(|case| summary(&evaluate(&case.snapshot, &case.workload, &case.connection(), Compat::Culvert)))
        .collect();
    assert_eq!(seen.len(), 5, "{seen:?}");
}
