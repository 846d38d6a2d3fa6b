//! The policy evaluator against a naive one, over generated policies, workloads and connections.
#![no_main]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use culvert_core::identity::SpiffeId;
use culvert_core::mesh::{
    Action, Cidr, Delta, Match, Policy, PolicyEntry, Scope, ServiceAccountMatch, Snapshot, StringMatch,
    Workload,
};
use culvert_core::policy::{Compat, Connection, Denial, Verdict, evaluate};
use culvert_fuzz::{facts, input};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(body) = input::body(data) {
        // Bytes that run out end the case, not the search.
        let _ = run(&mut Unstructured::new(body));
    }
});

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let workload = Arc::new(facts::workload(u)?);
    let identity = if u.ratio(1, 4)? { None } else { Some(facts::identity(u)?) };
    let (source, destination) = (facts::ip(u)?, facts::socket(u)?);
    let mut snapshot = Snapshot::new();
    for _ in 0..u.int_in_range(0..=4)? {
        let mut delta = Delta::new();
        delta.upsert_policy(facts::policy(u)?);
        snapshot = snapshot.apply(delta).0;
    }
    for delta in facts::deltas(u, 2)? {
        snapshot = snapshot.apply(delta).0;
    }
    let connection = Connection { identity: identity.as_ref(), source, destination };
    for compat in [Compat::Culvert, Compat::Istio] {
        let verdict = evaluate(&snapshot, &workload, &connection, compat);
        let naive = naive(&snapshot, &workload, &connection, compat);
        assert_eq!(outcome(&verdict), naive, "{verdict} for {connection:?}\n{snapshot:#?}\n{workload:#?}");
        names_what_is_there(&verdict, &snapshot, &workload, &connection);
    }
    anonymous_gains_nothing(&snapshot, &workload, &connection);
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Allow,
    Denied,
    Hold,
    NotAllowed,
    Undecodable,
}

fn outcome(verdict: &Verdict) -> Outcome {
    match verdict {
        Verdict::Allow { .. } => Outcome::Allow,
        Verdict::Hold { .. } | Verdict::Deny(Denial::Missing(_)) => Outcome::Hold,
        Verdict::Deny(Denial::Rule(_)) => Outcome::Denied,
        Verdict::Deny(Denial::NotAllowed) => Outcome::NotAllowed,
        Verdict::Deny(Denial::PastWaypoint) => panic!("no policy speaks of waypoints"),
        Verdict::Deny(Denial::Undecodable { .. }) => Outcome::Undecodable,
    }
}

/// The verdict by the definition: all policies are looked at, each question is asked of the whole list.
fn naive(snapshot: &Snapshot, workload: &Workload, connection: &Connection<'_>, compat: Compat) -> Outcome {
    let named = |key| workload.authorization_policies.contains(key);
    let in_scope = |scope: Option<Scope>, namespace: &str| match scope {
        Some(Scope::Global) => true,
        Some(Scope::Namespace) | None => namespace == workload.namespace(),
        Some(Scope::WorkloadSelector) => false,
    };
    let applies: Vec<&PolicyEntry> = snapshot
        .policies()
        .filter(|(key, entry)| named(*key) || in_scope(entry.scope(), &key.namespace))
        .map(|(_, entry)| entry)
        .collect();
    let enforced: Vec<&Policy> = applies
        .iter()
        .filter_map(|entry| match entry {
            PolicyEntry::Decoded(policy) if !policy.dry_run => Some(policy.as_ref()),
            PolicyEntry::Decoded(_) | PolicyEntry::Undecodable { .. } => None,
        })
        .collect();
    let of = |action| enforced.iter().filter(move |policy| policy.action == action);
    let missing = workload.authorization_policies.iter().any(|key| snapshot.policy(key).is_none());
    if of(Action::Deny).any(|policy| matches(policy, connection)) {
        Outcome::Denied
    } else if applies.iter().any(|entry| matches!(entry, PolicyEntry::Undecodable { .. })) {
        Outcome::Undecodable
    } else if missing && compat == Compat::Culvert {
        Outcome::Hold
    } else if of(Action::Allow).count() > 0 && !of(Action::Allow).any(|policy| matches(policy, connection)) {
        Outcome::NotAllowed
    } else {
        Outcome::Allow
    }
}

fn matches(policy: &Policy, connection: &Connection<'_>) -> bool {
    policy.rules.iter().any(|rule| {
        rule.iter().all(|clause| {
            clause.is_empty() || clause.iter().any(|wanted| holds(wanted, policy.action, connection))
        })
    })
}

fn holds(wanted: &Match, action: Action, connection: &Connection<'_>) -> bool {
    let negative =
        wanted.not_namespaces.len() + wanted.not_service_accounts.len() + wanted.not_principals.len() > 0;
    if *wanted == Match::default() || (negative && action == Action::Allow && connection.identity.is_none()) {
        return false;
    }
    let id = connection.identity;
    let namespace = id.map(|id| id.namespace().to_owned()).unwrap_or_default();
    let principal = id.map(|id| id.to_string().replacen("spiffe://", "", 1)).unwrap_or_default();
    let account = |a: &ServiceAccountMatch| is_account(a, id);
    let port = connection.destination.port();
    lists(&wanted.namespaces, &wanted.not_namespaces, |m| text(m, &namespace))
        && lists(&wanted.service_accounts, &wanted.not_service_accounts, account)
        && lists(&wanted.principals, &wanted.not_principals, |m| id.is_some() && text(m, &principal))
        && lists(&wanted.source_ips, &wanted.not_source_ips, |r| within(r, connection.source))
        && lists(&wanted.destination_ips, &wanted.not_destination_ips, |r| {
            within(r, connection.destination.ip())
        })
        && lists(&wanted.destination_ports, &wanted.not_destination_ports, |p| *p == port)
}

fn lists<T>(wanted: &[T], unwanted: &[T], holds: impl Fn(&T) -> bool) -> bool {
    if unwanted.iter().any(&holds) {
        return false;
    }
    wanted.is_empty() || wanted.iter().any(&holds)
}

fn is_account(wanted: &ServiceAccountMatch, id: Option<&SpiffeId>) -> bool {
    id.is_some_and(|id| {
        (&*wanted.namespace, &*wanted.service_account) == (id.namespace(), id.service_account())
    })
}

/// Letter by letter: no letter of a pattern means another one.
fn text(wanted: &StringMatch, text: &str) -> bool {
    let (all, text): (Vec<char>, Vec<char>) = match wanted {
        StringMatch::Presence => return !text.is_empty(),
        StringMatch::Exact(w) | StringMatch::Prefix(w) | StringMatch::Suffix(w) => {
            (w.chars().collect(), text.chars().collect())
        }
    };
    match wanted {
        StringMatch::Exact(_) => text == all,
        StringMatch::Prefix(_) => text.iter().take(all.len()).eq(all.iter()),
        StringMatch::Suffix(_) => text.iter().rev().take(all.len()).eq(all.iter().rev()),
        StringMatch::Presence => false,
    }
}

/// Bit by bit, of the canonical forms.
fn within(range: &Cidr, ip: IpAddr) -> bool {
    let printed = range.to_string();
    let (first, length) = printed.split_once('/').expect("a range prints with its length");
    let (first, length): (IpAddr, usize) =
        (first.parse().expect("an address"), length.parse().expect("a length"));
    let bits = |ip: IpAddr| -> Vec<bool> {
        let bytes: Vec<u8> = match ip.to_canonical() {
            IpAddr::V4(v4) => v4.octets().into(),
            IpAddr::V6(v6) => v6.octets().into(),
        };
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
    };
    let (a, b) = (bits(first), bits(ip));
    a.len() == b.len() && a.iter().zip(&b).take(length).all(|(a, b)| a == b)
}

/// The reason that a verdict gives must be one.
fn names_what_is_there(
    verdict: &Verdict,
    snapshot: &Snapshot,
    workload: &Workload,
    connection: &Connection<'_>,
) {
    let decoded = |key| match snapshot.policy(key) {
        Some(PolicyEntry::Decoded(policy)) => policy.clone(),
        other => panic!("{key} is given as the reason and is {other:?}"),
    };
    match verdict {
        Verdict::Allow { by: Some(key) } => {
            let policy = decoded(key);
            assert!(policy.action == Action::Allow && !policy.dry_run && matches(&policy, connection));
        }
        Verdict::Deny(Denial::Rule(key)) => {
            let policy = decoded(key);
            assert!(policy.action == Action::Deny && !policy.dry_run && matches(&policy, connection));
        }
        Verdict::Hold { missing } => {
            assert!(missing.is_sorted() && !missing.is_empty());
            for key in missing {
                assert!(snapshot.policy(key).is_none() && workload.authorization_policies.contains(key));
            }
        }
        Verdict::Deny(Denial::Undecodable { policy, .. }) => {
            assert!(matches!(snapshot.policy(policy), Some(PolicyEntry::Undecodable { .. })));
        }
        Verdict::Allow { by: None }
        | Verdict::Deny(Denial::Missing(_) | Denial::NotAllowed | Denial::PastWaypoint) => {}
    }
}

/// Whoever shows no identity is let in by a policy only for where he comes from and goes to, never for who he is not (A19).
/// The empty text that stands for his namespace may be asked for by name.
fn anonymous_gains_nothing(snapshot: &Snapshot, workload: &Workload, connection: &Connection<'_>) {
    let anonymous = Connection { identity: None, ..*connection };
    let verdict = evaluate(snapshot, workload, &anonymous, Compat::Culvert);
    let Verdict::Allow { by: Some(key) } = verdict else { return };
    let Some(PolicyEntry::Decoded(policy)) = snapshot.policy(&key) else { return };
    let by_place = |wanted: &Match| {
        let lists = [&wanted.not_namespaces, &wanted.principals, &wanted.not_principals];
        lists.iter().all(|list| list.is_empty())
            && wanted.service_accounts.is_empty()
            && wanted.not_service_accounts.is_empty()
    };
    let place = SocketAddr::new(connection.destination.ip(), connection.destination.port());
    let by_place_only = policy.rules.iter().any(|rule| {
        rule.iter()
            .all(|clause| clause.is_empty() || clause.iter().any(|w| by_place(w) && *w != Match::default()))
    });
    assert!(by_place_only, "{key} lets in somebody unknown to {place} by who he is not");
}
