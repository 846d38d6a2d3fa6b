use culvert_core::policy::Denial;

use super::*;
use crate::explore::explore;

/// A rule that what judges may break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    ChangesOfPoliciesUnheard,
    ChangesOfWorkloadUnheard,
    DeadlineAllows,
    HoldAllows,
    HoldDenies,
    MergeForgets,
    UndecodableSkipped,
}

impl Judging for Fault {
    fn evaluate(&self, snapshot: &Snapshot, workload: &Workload, connection: &Connection<'_>) -> Verdict {
        let verdict = policy::evaluate(snapshot, workload, connection, Compat::Culvert);
        match (self, verdict) {
            (Fault::HoldAllows, Verdict::Hold { .. }) => Verdict::Allow { by: None },
            (Fault::HoldDenies, Verdict::Hold { missing }) => Verdict::Deny(Denial::Missing(missing)),
            (Fault::UndecodableSkipped, Verdict::Deny(Denial::Undecodable { .. })) => {
                Verdict::Allow { by: None }
            }
            (_, verdict) => verdict,
        }
    }

    fn affects(&self, changed: &Changed, workload: &Workload) -> bool {
        let mut changed = changed.clone();
        match self {
            Fault::ChangesOfPoliciesUnheard => changed.policies.clear(),
            Fault::ChangesOfWorkloadUnheard => changed.workloads.clear(),
            _ => {}
        }
        changed.affects(workload)
    }

    fn at_deadline(&self, verdict: Verdict) -> Verdict {
        match self {
            Fault::DeadlineAllows => Verdict::Allow { by: None },
            _ => verdict.at_deadline(),
        }
    }

    fn merge(&self, earlier: &mut Changed, later: Changed) {
        match self {
            Fault::MergeForgets => *earlier = later,
            _ => earlier.merge(later),
        }
    }
}

#[test]
fn each_fault_is_found_by_a_shortest_path() {
    let wrong = "the verdict is not what the facts say";
    let faults = [
        (Fault::ChangesOfPoliciesUnheard, 3, "one is held that the facts decide"),
        (Fault::ChangesOfWorkloadUnheard, 3, "one lives that the facts do not allow"),
        (Fault::DeadlineAllows, 4, "the end of the wait allows what is not decided"),
        (Fault::HoldAllows, 1, wrong),
        (Fault::HoldDenies, 1, wrong),
        (Fault::UndecodableSkipped, 2, wrong),
    ];
    for (fault, length, rule) in faults {
        let found = explore(HoldMachine::prompt(fault), 5).counterexample.unwrap();
        assert_eq!((found.path.len(), found.violation.0.as_str()), (length, rule), "{fault:?}");
    }
}

#[test]
fn no_order_of_facts_lets_one_live_that_they_do_not_allow() {
    let found = explore(HoldMachine::prompt(Shipped), 3);
    assert!(found.counterexample.is_none(), "{:?}", found.counterexample);
    assert!(found.states > 1_000 && found.depth == 3, "{} states, depth {}", found.states, found.depth);
}

#[test]
fn a_change_lost_among_others_is_found() {
    let found = explore(HoldMachine::late(Fault::MergeForgets), 7).counterexample.unwrap();
    assert_eq!((found.path.len(), found.violation.0.as_str()), (6, "one lives that the facts do not allow"));
}

#[test]
fn nor_do_changes_heard_as_one() {
    let found = explore(HoldMachine::late(Shipped), 4);
    assert!(found.counterexample.is_none(), "{:?}", found.counterexample);
    assert!(found.states > 1_000 && found.depth == 4, "{} states, depth {}", found.states, found.depth);
}
