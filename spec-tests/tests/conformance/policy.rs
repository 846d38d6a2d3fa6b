//! Authorization policies of layer 4.

use culvert_core::identity::SpiffeId;
use culvert_core::mesh::{Delta, MeshFile, Scope, Snapshot, Workload, WorkloadSpec};
use culvert_core::policy::{Compat, Connection, Denial, Verdict, dry_run_matches, evaluate, missing};

/// A world of policies, one a line: `NAMESPACE/NAME SCOPE ACTION RULES`; a question mark after the action is a dry run.
fn world(policies: &[&str]) -> Snapshot {
    let mut text = String::from("policies:\n");
    for line in policies {
        let [key, scope, action, rules] = line.splitn(4, ' ').collect::<Vec<_>>().try_into().unwrap();
        let (namespace, name) = key.split_once('/').unwrap();
        let (action, dry_run) = (action.trim_end_matches('?'), action.ends_with('?'));
        text += &format!("- {{namespace: {namespace}, name: {name}, scope: {scope}, action: {action}, ");
        text += &format!("dryRun: {dry_run}, rules: {rules}}}\n");
    }
    Snapshot::from_file(serde_saphyr::from_str::<MeshFile>(&text).unwrap()).unwrap()
}

/// The destination, in namespace `shop`, which names these policies.
fn destination(names: &[&str]) -> Workload {
    let spec = WorkloadSpec {
        uid: "c//Pod/shop/web".into(),
        namespace: "shop".into(),
        authorization_policies: names.iter().map(|name| name.parse().unwrap()).collect(),
        ..WorkloadSpec::default()
    };
    Workload::try_from(spec).unwrap()
}

/// The verdict on a connection of `SOURCE [ID]` to 10.0.0.1:8080.
fn verdict_in(snapshot: &Snapshot, names: &[&str], from: &str, compat: Compat) -> Verdict {
    let (source, id) = from.split_once(' ').unwrap_or((from, ""));
    let identity: Option<SpiffeId> = (!id.is_empty()).then(|| format!("spiffe://{id}").parse().unwrap());
    let connection = Connection {
        identity: identity.as_ref(),
        source: source.parse().unwrap(),
        destination: "10.0.0.1:8080".parse().unwrap(),
    };
    evaluate(snapshot, &destination(names), &connection, compat)
}

fn verdict(policies: &[&str], names: &[&str], from: &str) -> String {
    verdict_in(&world(policies), names, from, Compat::Culvert).to_string()
}

const API: &str = "10.0.0.9 cluster.local/ns/front/sa/api";
const NOBODY: &str = "10.0.0.9";
const FREE: &str = "allowed: no policy restricts it";
const NOT_ALLOWED: &str = "no policy allows it";

/// Whether an ALLOW and a DENY of these rules match.
fn matches(rules: &str, from: &str) -> [bool; 2] {
    let allow = verdict(&[&format!("shop/p Namespace Allow {rules}")], &[], from);
    let deny = verdict(&[&format!("shop/p Namespace Deny {rules}")], &[], from);
    assert!([NOT_ALLOWED, "allowed by policy shop/p"].contains(&allow.as_str()), "{allow}");
    assert!([FREE, "denied by policy shop/p"].contains(&deny.as_str()), "{deny}");
    [allow != NOT_ALLOWED, deny != FREE]
}

fn check(rows: &[(&str, &str, bool)]) {
    for (wanted, from, expected) in rows {
        assert_eq!(matches(&format!("[[[{wanted}]]]"), from), [*expected; 2], "{wanted} {from}");
    }
}

#[test]
fn the_scope_says_to_whom_a_policy_applies() {
    for (policy, names, applies) in [
        ("root/p Global Deny [[]]", &[][..], true),
        ("shop/p Namespace Deny [[]]", &[], true),
        ("other/p Namespace Deny [[]]", &[], false),
        ("other/p Namespace Deny [[]]", &["other/p"], true),
        ("shop/p WorkloadSelector Deny [[]]", &[], false),
        ("shop/p WorkloadSelector Deny [[]]", &["shop/p"], true),
        ("other/p WorkloadSelector Deny [[]]", &["other/p"], true),
        ("other/p WorkloadSelector Deny [[]]", &["shop/p2"], false),
    ] {
        let said = verdict(&[policy], names, API);
        assert_eq!(said.starts_with("denied by policy"), applies, "{policy}: {said}");
    }
}

#[test]
fn to_deny_comes_first_then_somebody_must_allow() {
    for (policies, said) in [
        (&[][..], FREE),
        (&["shop/d Namespace Deny []"], FREE),
        (&["shop/d Namespace Deny [[]]"], "denied by policy shop/d"),
        (&["shop/a Namespace Allow [[]]"], "allowed by policy shop/a"),
        (&["shop/a Namespace Allow []"], NOT_ALLOWED),
        (&["shop/a Namespace Allow [[]]", "shop/d Namespace Deny [[]]"], "denied by policy shop/d"),
        (&["shop/a Namespace Allow [[]]", "shop/d Namespace Deny []"], "allowed by policy shop/a"),
        (&["shop/a Namespace Allow []", "shop/b Global Allow [[]]"], "allowed by policy shop/b"),
        (&["shop/a Namespace Allow []", "shop/b Global Allow []"], NOT_ALLOWED),
    ] {
        assert_eq!(verdict(policies, &[], API), said, "{policies:?}");
    }
}

#[test]
fn a_dry_run_is_reported_and_decides_nothing() {
    assert_eq!(verdict(&["shop/d Namespace Deny? [[]]"], &[], API), FREE);
    assert_eq!(verdict(&["shop/a Namespace Allow? []"], &[], API), FREE, "not even that there is an ALLOW");
    let policies = ["shop/a Namespace Allow []", "shop/b Namespace Allow? [[]]"];
    assert_eq!(verdict(&policies, &[], API), NOT_ALLOWED);
    let snapshot =
        world(&["shop/d Namespace Deny? [[]]", "shop/e Namespace Deny? []", "shop/f Namespace Deny [[]]"]);
    let connection = Connection {
        identity: None,
        source: "10.0.0.9".parse().unwrap(),
        destination: "10.0.0.1:8080".parse().unwrap(),
    };
    let destination = destination(&[]);
    let reported = dry_run_matches(&snapshot, &destination, &connection);
    assert_eq!(reported.iter().map(|policy| policy.name.as_ref()).collect::<Vec<_>>(), ["d"]);
}

#[test]
fn the_empty_forms_have_their_meaning() {
    for (rules, expected) in [
        ("[]", false),
        ("[[]]", true),
        ("[[], []]", true),
        ("[[[]]]", true),
        ("[[[], []]]", true),
        ("[[[{}]]]", false),
        ("[[[{}, {}]]]", false),
        ("[[[{}], []]]", false),
        ("[[[{}]], []]", true),
    ] {
        assert_eq!(matches(rules, API), [expected; 2], "{rules}");
    }
}

#[test]
fn rules_are_ors_of_ands_of_ors() {
    let (yes, no) = ("{destinationPorts: [8080]}", "{destinationPorts: [1]}");
    for (rules, expected) in [
        (format!("[[[{yes}]], [[{no}]]]"), true),
        (format!("[[[{no}]], [[{yes}]]]"), true),
        (format!("[[[{no}]], [[{no}]]]"), false),
        (format!("[[[{yes}], [{yes}]]]"), true),
        (format!("[[[{yes}], [{no}]]]"), false),
        (format!("[[[{no}], [{yes}]]]"), false),
        (format!("[[[{no}, {yes}]]]"), true),
        (format!("[[[{yes}, {no}]]]"), true),
        (format!("[[[{no}, {no}]]]"), false),
        (format!("[[[{no}, {{}}]]]"), false),
    ] {
        assert_eq!(matches(&rules, API), [expected; 2], "{rules}");
    }
}

#[test]
fn a_match_needs_all_attributes_one_positive_and_no_negative() {
    check(&[
        ("{destinationPorts: [8080], sourceIps: [10.0.0.0/24]}", API, true),
        ("{destinationPorts: [8080], sourceIps: [11.0.0.0/24]}", API, false),
        ("{destinationPorts: [1, 8080, 2]}", API, true),
        ("{destinationPorts: [1, 2]}", API, false),
        ("{notDestinationPorts: [1, 2]}", API, true),
        ("{notDestinationPorts: [1, 8080]}", API, false),
        ("{destinationPorts: [8080], notDestinationPorts: [8080]}", API, false),
        ("{destinationPorts: [8080], notSourceIps: [10.0.0.9/32]}", API, false),
        ("{destinationPorts: [8080], notSourceIps: [10.0.0.8/32]}", API, true),
    ]);
}

#[test]
fn texts_match_byte_for_byte() {
    check(&[
        ("{namespaces: [{Exact: front}]}", API, true),
        ("{namespaces: [{Exact: Front}]}", API, false),
        ("{namespaces: [{Exact: fron}]}", API, false),
        ("{namespaces: [{Exact: 'f.ont'}]}", API, false),
        ("{namespaces: [{Exact: '*'}]}", API, false),
        ("{namespaces: [{Prefix: fro}]}", API, true),
        ("{namespaces: [{Prefix: front}]}", API, true),
        ("{namespaces: [{Prefix: fronts}]}", API, false),
        ("{namespaces: [{Prefix: ont}]}", API, false),
        ("{namespaces: [{Prefix: '^fro'}]}", API, false),
        ("{namespaces: [{Suffix: ont}]}", API, true),
        ("{namespaces: [{Suffix: fro}]}", API, false),
        ("{namespaces: [{Suffix: 'ont$'}]}", API, false),
        ("{namespaces: [{Prefix: ''}]}", API, true),
        ("{namespaces: [Presence]}", API, true),
    ]);
}

#[test]
fn identities_match_by_namespace_account_and_principal() {
    let other_domain = "10.0.0.9 other.org/ns/front/sa/api";
    check(&[
        ("{serviceAccounts: [{namespace: front, serviceAccount: api}]}", API, true),
        ("{serviceAccounts: [{namespace: front, serviceAccount: api}]}", other_domain, true),
        ("{serviceAccounts: [{namespace: front, serviceAccount: ap}]}", API, false),
        ("{serviceAccounts: [{namespace: api, serviceAccount: front}]}", API, false),
        ("{serviceAccounts: [{namespace: 'f.ont', serviceAccount: api}]}", API, false),
        ("{notServiceAccounts: [{namespace: front, serviceAccount: api}]}", API, false),
        ("{notServiceAccounts: [{namespace: front, serviceAccount: web}]}", API, true),
        ("{principals: [{Exact: cluster.local/ns/front/sa/api}]}", API, true),
        ("{principals: [{Exact: cluster.local/ns/front/sa/api}]}", other_domain, false),
        ("{principals: [{Exact: 'spiffe://cluster.local/ns/front/sa/api'}]}", API, false),
        ("{principals: [{Prefix: cluster.local/}]}", API, true),
        ("{principals: [{Suffix: /sa/api}]}", API, true),
        ("{principals: [{Suffix: /sa/api/}]}", API, false),
        ("{principals: [Presence]}", API, true),
        ("{notPrincipals: [{Suffix: /sa/api}]}", API, false),
        ("{notPrincipals: [{Suffix: /sa/web}]}", API, true),
        ("{notNamespaces: [{Exact: front}]}", API, false),
        ("{notNamespaces: [{Exact: back}]}", API, true),
    ]);
}

#[test]
fn nobody_matches_no_positive_that_asks_who() {
    check(&[
        ("{principals: [Presence]}", NOBODY, false),
        ("{principals: [{Prefix: ''}]}", NOBODY, false),
        ("{principals: [{Exact: ''}]}", NOBODY, false),
        ("{namespaces: [Presence]}", NOBODY, false),
        ("{namespaces: [{Exact: front}]}", NOBODY, false),
        ("{namespaces: [{Exact: ''}]}", NOBODY, true),
        ("{serviceAccounts: [{namespace: '', serviceAccount: ''}]}", NOBODY, false),
    ]);
}

#[test]
fn a_negative_lets_nobody_in_and_keeps_nobody_out() {
    for wanted in [
        "{notPrincipals: [{Exact: x}]}",
        "{notPrincipals: [Presence]}",
        "{notNamespaces: [{Exact: x}]}",
        "{notServiceAccounts: [{namespace: x, serviceAccount: y}]}",
        "{notPrincipals: [{Exact: x}], destinationPorts: [8080]}",
    ] {
        assert_eq!(matches(&format!("[[[{wanted}]]]"), NOBODY), [false, true], "{wanted}");
    }
    // A negative that does not ask who is for everybody.
    check(&[("{notDestinationPorts: [1]}", NOBODY, true), ("{notSourceIps: [192.0.2.0/24]}", NOBODY, true)]);
}

#[test]
fn addresses_and_ports_match_by_range_and_number() {
    let v6 = "2001:db8::9 cluster.local/ns/front/sa/api";
    let mapped = "::ffff:10.0.0.9";
    check(&[
        ("{sourceIps: [10.0.0.9/32]}", API, true),
        ("{sourceIps: [10.0.0.8/31]}", API, true),
        ("{sourceIps: [10.0.0.10/31]}", API, false),
        ("{sourceIps: [0.0.0.0/0]}", API, true),
        ("{sourceIps: [0.0.0.0/0]}", v6, false),
        ("{sourceIps: ['::/0']}", v6, true),
        ("{sourceIps: ['::/0']}", API, false),
        ("{sourceIps: ['2001:db8::/32']}", v6, true),
        ("{sourceIps: [10.0.0.9/32]}", mapped, true),
        ("{notSourceIps: [10.0.0.9/32]}", mapped, false),
        ("{sourceIps: ['::ffff:10.0.0.9/128']}", NOBODY, true),
        ("{destinationIps: [10.0.0.1/32]}", NOBODY, true),
        ("{destinationIps: [10.0.0.2/32]}", NOBODY, false),
        ("{notDestinationIps: [10.0.0.0/8]}", NOBODY, false),
        ("{destinationPorts: [8080]}", NOBODY, true),
        ("{destinationPorts: [80]}", NOBODY, false),
    ]);
}

#[test]
fn strict_mutual_tls_is_a_policy_that_denies_nobody() {
    let strict = [
        "istio-system/istio_converted_static_strict WorkloadSelector Deny [[[{notPrincipals: [Presence]}]]]",
    ];
    let names = ["istio-system/istio_converted_static_strict"];
    assert_eq!(verdict(&strict, &names, API), FREE);
    assert_eq!(verdict(&strict, &names, NOBODY), format!("denied by policy {}", names[0]));
    // A port that is left out: rules AND, groups of ports OR.
    let but_one =
        ["shop/c WorkloadSelector Deny [[[{notPrincipals: [Presence]}], [{notDestinationPorts: [8080]}]]]"];
    assert_eq!(verdict(&but_one, &["shop/c"], NOBODY), FREE);
}

#[test]
fn a_named_policy_that_is_missing_holds_then_denies() {
    let names = ["shop/gone"];
    for policies in [&[][..], &["shop/a Namespace Allow [[]]"], &["shop/a Namespace Allow []"]] {
        let held = verdict_in(&world(policies), &names, API, Compat::Culvert);
        assert_eq!(held.to_string(), "waiting for policy shop/gone", "{policies:?}");
        assert!(matches!(held.at_deadline(), Verdict::Deny(Denial::Missing(_))));
    }
    assert_eq!(verdict(&["shop/d Namespace Deny [[]]"], &names, API), "denied by policy shop/d");
    let snapshot = world(&["shop/a Namespace Allow [[]]"]);
    let lenient = verdict_in(&snapshot, &names, API, Compat::Istio);
    assert_eq!(lenient.to_string(), "allowed by policy shop/a");
    assert_eq!(missing(&snapshot, &destination(&names)).map(ToString::to_string).collect::<Vec<_>>(), names);
    let came = snapshot.apply({
        let mut delta = Delta::new();
        let late = world(&["shop/gone WorkloadSelector Allow []"]);
        let Some(culvert_core::mesh::PolicyEntry::Decoded(policy)) = late.policy(&names[0].parse().unwrap())
        else {
            panic!("no policy")
        };
        delta.upsert_policy(policy.clone());
        delta
    });
    assert_eq!(verdict_in(&came.0, &names, API, Compat::Culvert).to_string(), "allowed by policy shop/a");
}

#[test]
fn a_policy_that_was_not_understood_denies_at_once() {
    for (scope, key, names, denies) in [
        (Some(Scope::Global), "root/q", &[][..], true),
        (Some(Scope::Namespace), "shop/q", &[], true),
        (Some(Scope::Namespace), "other/q", &[], false),
        (Some(Scope::WorkloadSelector), "shop/q", &[], false),
        (Some(Scope::WorkloadSelector), "shop/q", &["shop/q", "shop/gone"], true),
        (None, "shop/q", &[], true),
        (None, "other/q", &["other/q"], true),
    ] {
        let mut delta = Delta::new();
        delta.undecodable_policy(key.parse().unwrap(), scope, "an unknown action");
        let snapshot = world(&["shop/a Namespace Allow [[]]"]).apply(delta).0;
        for compat in [Compat::Culvert, Compat::Istio] {
            let said = verdict_in(&snapshot, names, API, compat).to_string();
            let expected = format!("policy {key} was not understood: an unknown action");
            assert_eq!(said == expected, denies, "{key} {scope:?} {names:?}: {said}");
        }
    }
}

#[test]
fn a_policy_with_an_unknown_word_is_no_policy() {
    let read = |policy: &str| {
        let text = format!("policies: [{{name: p, namespace: shop, {policy}}}]");
        serde_saphyr::from_str::<MeshFile>(&text).is_ok()
    };
    assert!(read("scope: Global, action: Deny, rules: [[[{destinationPorts: [80]}]]]"));
    for policy in [
        "scope: Global, action: Audit",
        "scope: Everywhere, action: Deny",
        "scope: Global",
        "action: Deny",
        "scope: Global, action: Deny, priority: 1",
        "scope: Global, action: Deny, rules: [[[{paths: [/]}]]]",
        "scope: Global, action: Deny, rules: [[[{sourceIps: [10.0.0.0/33]}]]]",
        "scope: Global, action: Deny, rules: [[[{sourceIps: [10.0.0]}]]]",
        "scope: Global, action: Deny, rules: [[[{destinationPorts: [65536]}]]]",
        "scope: Global, action: Deny, rules: [[[{principals: [{Regex: x}]}]]]",
        "scope: Global, action: Deny, rules: [[{destinationPorts: [80]}]]",
    ] {
        assert!(!read(policy), "{policy}");
    }
}
