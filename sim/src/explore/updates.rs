//! Updates of facts in every order, batch and repetition, on the shipped snapshot (S12, S13, C7, C8).
//!
//! A control plane has a history of versions for each of five keys. Of each key the next version may come, or the same again,
//! or, from a replica that lags, any earlier one; whatever has come is applied as one delta at any time, so that updates are
//! permuted, repeated, replayed, joined and split in every way. A snapshot that was made in any of them must be the very one
//! that the facts alone make: so it is enough to apply every delta to that one, and nothing of its history is in a state.

mod facts;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use culvert_core::mesh::{Changed, Delta, Snapshot, Workload};
use culvert_core::policy::{self, Compat, Connection, Verdict};

use super::{Machine, Violation};
use facts::{Callers, KEYS, Versions};

/// What takes updates in, as a node does it, and in tests wrongly.
pub(super) trait Updating: Clone + Send + Sync {
    fn apply(&self, before: &Snapshot, delta: Delta) -> (Snapshot, Changed) {
        before.apply(delta)
    }

    fn evaluate(&self, snapshot: &Snapshot, workload: &Workload, connection: &Connection<'_>) -> Verdict {
        policy::evaluate(snapshot, workload, connection, Compat::Culvert)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Shipped;

impl Updating for Shipped {}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// What has come is applied.
    Apply,
    /// A version of a key comes: the next, the same again, or an earlier one.
    Come { key: usize, version: u8 },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Step::Apply => f.write_str("what has come is applied"),
            Step::Come { key, version } => write!(f, "version {version} of {} comes", facts::name(key)),
        }
    }
}

/// A node's facts, and what has come since.
#[derive(Clone)]
pub(super) struct Updates<U> {
    updating: U,
    /// The snapshot that each combination of versions makes.
    snapshots: Arc<Vec<Snapshot>>,
    callers: Arc<Callers>,
    applied: Versions,
    come: [Option<u8>; KEYS],
}

impl<U> Hash for Updates<U> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.applied, self.come).hash(state);
    }
}

fn broken<T>(rule: &str) -> Result<T, Violation> {
    Err(Violation(rule.to_owned()))
}

impl<U: Updating> Updates<U> {
    pub(super) fn new(updating: U) -> Self {
        let whole = |versions| Snapshot::new().apply(facts::delta(&facts::changes(&versions))).0;
        Updates {
            updating,
            snapshots: Arc::new(facts::combinations().map(whole).collect()),
            callers: Arc::new(Callers::new()),
            applied: [0; KEYS],
            come: [None; KEYS],
        }
    }

    fn snapshot(&self, versions: &Versions) -> Result<&Snapshot, Violation> {
        let known = facts::place(versions).and_then(|at| self.snapshots.get(at));
        known.ok_or_else(|| Violation("no snapshot has these versions".to_owned()))
    }

    fn verdict(&self, snapshot: &Snapshot, caller: usize) -> Option<Verdict> {
        let workload = snapshot.workload(facts::WORKLOAD)?;
        Some(self.updating.evaluate(snapshot, workload, &self.callers.connection(caller)))
    }

    fn take(&mut self) -> Result<(), Violation> {
        let come = std::mem::take(&mut self.come);
        let mut after = self.applied;
        for (version, new) in after.iter_mut().zip(come) {
            *version = new.unwrap_or(*version);
        }
        let before = self.snapshot(&self.applied)?;
        let (snapshot, changed) = self.updating.apply(before, facts::delta(&come));
        if !snapshot.is_identical_to(self.snapshot(&after)?) {
            return broken("S13: the snapshot is not what its facts make");
        }
        for caller in 0..Callers::COUNT {
            let (earlier, later) = (self.verdict(before, caller), self.verdict(&snapshot, caller));
            let tells = [before, &snapshot]
                .into_iter()
                .filter_map(|snapshot| snapshot.workload(facts::WORKLOAD))
                .any(|workload| changed.affects(workload));
            if earlier != later && !tells {
                return broken("C9: a verdict changed of which nobody is told");
            }
        }
        self.applied = after;
        Ok(())
    }
}

impl<U: Updating> Machine for Updates<U> {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.come != [None; KEYS] {
            steps.push(Step::Apply);
        }
        for (key, (applied, come)) in self.applied.iter().zip(self.come).enumerate() {
            let newest = come.unwrap_or(*applied);
            let next = (newest + 1).min(facts::newest(key));
            let versions = (0..=next).filter(|version| come != Some(*version));
            steps.extend(versions.map(|version| Step::Come { key, version }));
        }
        steps
    }

    fn apply(&mut self, step: &Step) -> Result<(), Violation> {
        match *step {
            Step::Apply => self.take(),
            Step::Come { key, version } => {
                if let Some(come) = self.come.get_mut(key) {
                    *come = Some(version);
                }
                Ok(())
            }
        }
    }

    fn check(&self) -> Result<(), Violation> {
        let snapshot = self.snapshot(&self.applied)?;
        for caller in 0..Callers::COUNT {
            let verdict = self.verdict(snapshot, caller);
            let allows = matches!(verdict, Some(Verdict::Allow { .. }));
            if allows && !facts::allows(&self.applied, caller) {
                return broken("S12: one is allowed whom the facts that arrived do not allow");
            }
        }
        Ok(())
    }
}
