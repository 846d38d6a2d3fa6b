use super::*;
use crate::explore::explore;

/// What a node may do wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    BeginsAnew,
    HoldAllows,
    NobodyIsTold,
    RemovalsIgnored,
    UndecodableSkipped,
}

impl Updating for Fault {
    fn apply(&self, before: &Snapshot, delta: Delta) -> (Snapshot, Changed) {
        match self {
            Fault::BeginsAnew => Snapshot::new().apply(delta),
            Fault::NobodyIsTold => (before.apply(delta).0, Changed::default()),
            Fault::RemovalsIgnored => {
                let (after, changed) = before.apply(delta);
                let kept = before.policies().filter(|(key, _)| after.policy(key).is_none());
                let mut back = Delta::new();
                for (_, entry) in kept {
                    if let culvert_core::mesh::PolicyEntry::Decoded(policy) = entry {
                        back.upsert_policy(policy.clone());
                    }
                }
                (after.apply(back).0, changed)
            }
            Fault::HoldAllows | Fault::UndecodableSkipped => before.apply(delta),
        }
    }

    fn evaluate(&self, snapshot: &Snapshot, workload: &Workload, connection: &Connection<'_>) -> Verdict {
        match (self, Shipped.evaluate(snapshot, workload, connection)) {
            (Fault::HoldAllows, Verdict::Hold { .. }) => Verdict::Allow { by: None },
            (Fault::UndecodableSkipped, Verdict::Deny(policy::Denial::Undecodable { .. })) => {
                Verdict::Allow { by: None }
            }
            (_, verdict) => verdict,
        }
    }
}

#[test]
fn each_fault_is_found_by_a_shortest_path() {
    let (made, allowed) = (
        "S13: the snapshot is not what its facts make",
        "S12: one is allowed whom the facts that arrived do not allow",
    );
    let faults = [
        (Fault::BeginsAnew, 4, "C9: a verdict changed of which nobody is told"),
        (Fault::HoldAllows, 2, allowed),
        (Fault::NobodyIsTold, 2, "C9: a verdict changed of which nobody is told"),
        (Fault::RemovalsIgnored, 4, made),
        (Fault::UndecodableSkipped, 5, allowed),
    ];
    for (fault, length, rule) in faults {
        let found = explore(Updates::new(fault), 7).counterexample.unwrap();
        assert_eq!((found.path.len(), found.violation.0.as_str()), (length, rule), "{fault:?}");
    }
}

#[test]
fn updates_in_any_order_make_one_snapshot_and_never_open_a_door() {
    let found = explore(Updates::new(Shipped), 5);
    assert!(found.counterexample.is_none(), "{:?}", found.counterexample);
    assert!(found.states > 500 && found.depth == 5, "{} states", found.states);
}

#[test]
fn every_combination_of_versions_has_its_place() {
    let all: Vec<_> = facts::combinations().collect();
    assert!(all.iter().enumerate().all(|(at, versions)| facts::place(versions) == Some(at)));
    assert_eq!(facts::place(&[4, 0, 0, 0, 0]), None);
}

/// The caller for whom doors must stay shut is one whom the facts say so of; the other is let in by some.
#[test]
fn the_facts_allow_one_caller_and_never_the_other() {
    let allowed = |caller| facts::combinations().filter(|versions| facts::allows(versions, caller)).count();
    assert_eq!(allowed(Callers::NEVER), 0);
    assert!(allowed(1) > 100, "{}", allowed(1));
}
