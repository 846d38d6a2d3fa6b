//! Bounded-exhaustive exploration: every order of events of a small state machine, up to a depth.
//!
//! A [`Machine`] holds shipped types of the core and what an observer knows of them. [`explore`] visits its states breadth
//! first, so that the first violation found has a shortest path. A state counts as visited by the 128-bit hash of its
//! canonical form: ids are renamed in the order of their appearance, and counters that only mint ids are left out, so that
//! states that differ in names alone are one. Scopes keep the state spaces finite; where one is exhausted below the depth
//! asked for, the exploration is complete and says so.

mod canonical;
mod hold;
mod pool;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::io::{self, Write};

/// A state machine and what must hold in each of its states.
///
/// `Hash` must cover all that decides what the machine does next; see [`explore`] for how ids are hashed.
pub trait Machine: Clone + Hash {
    /// One event.
    type Step: Clone + Debug + Display;

    /// Every event that can happen now.
    fn steps(&self) -> Vec<Self::Step>;

    /// Lets one happen.
    ///
    /// # Errors
    ///
    /// What the machine did that it must not.
    fn apply(&mut self, step: &Self::Step) -> Result<(), Violation>;

    /// Whether this state is to be explored: bounds on what exists at once keep the number of states finite.
    fn in_scope(&self) -> bool {
        true
    }

    /// What must hold in every state, reached or settled from it.
    ///
    /// # Errors
    ///
    /// What does not hold.
    fn check(&self) -> Result<(), Violation>;
}

/// A rule that a machine broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(pub String);

/// The shortest way to a violation.
#[derive(Clone, Debug)]
pub struct Counterexample<S> {
    /// Events from the start; the violation follows the last.
    pub path: Vec<S>,
    /// The rule broken.
    pub violation: Violation,
}

/// What an exploration saw.
#[derive(Clone, Debug)]
pub struct Exploration<S> {
    /// Distinct states, the first included.
    pub states: usize,
    /// Events tried, those to known states included.
    pub transitions: usize,
    /// Events to the farthest state.
    pub depth: usize,
    /// No state in scope is left unseen, at whatever depth.
    pub complete: bool,
    /// The violation that ended it.
    pub counterexample: Option<Counterexample<S>>,
}

/// A state's way from the start: its parent's index and the event between; absent for the start.
struct Ways<S>(Vec<Option<(usize, S)>>);

impl<S: Clone> Ways<S> {
    fn path(&self, mut at: usize, last: Option<S>) -> Vec<S> {
        let mut path: Vec<S> = last.into_iter().collect();
        while let Some(Some((parent, step))) = self.0.get(at) {
            path.push(step.clone());
            at = *parent;
        }
        path.reverse();
        path
    }
}

/// Visits every state that at most `depth` events lead to, breadth first, until a violation.
pub fn explore<M: Machine>(start: M, depth: usize) -> Exploration<M::Step> {
    let mut seen = BTreeSet::from([canonical::hash_of(&start)]);
    let mut ways = Ways(vec![None]);
    let mut found =
        Exploration { states: 1, transitions: 0, depth: 0, complete: false, counterexample: None };
    if let Err(violation) = start.check() {
        found.counterexample = Some(Counterexample { path: Vec::new(), violation });
        return found;
    }
    let mut frontier = vec![(start, 0)];
    for level in 1..=depth {
        let mut next = Vec::new();
        for (state, at) in frontier {
            for step in state.steps() {
                found.transitions += 1;
                let mut reached = state.clone();
                let outcome = reached.apply(&step);
                if outcome.is_ok() && (!reached.in_scope() || !seen.insert(canonical::hash_of(&reached))) {
                    continue;
                }
                if let Err(violation) = outcome.and_then(|()| reached.check()) {
                    let path = ways.path(at, Some(step));
                    found.counterexample = Some(Counterexample { path, violation });
                    return found;
                }
                found.states += 1;
                found.depth = level;
                next.push((reached, ways.0.len()));
                ways.0.push(Some((at, step)));
            }
        }
        frontier = next;
        if frontier.is_empty() {
            break;
        }
    }
    found.complete = frontier.is_empty();
    found
}

/// A machine that [`run`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// What is explored, in one line.
    pub says: &'static str,
    /// Depth at which nothing in scope is left unseen.
    pub depth: usize,
}

/// Every machine there is.
pub const MACHINES: [Known; 5] = [
    Known {
        name: "policy-hold",
        says: "policies, workload and time come in any order; connections are judged as they do",
        depth: 40,
    },
    Known {
        name: "policy-late",
        says: "the same where several changes of facts are heard as one",
        depth: 40,
    },
    Known {
        name: "pool",
        says: "the pool of tunnels: acquire, open, limit, stream end, refusal, failure, GOAWAY, rotation, removal, cancel",
        depth: 40,
    },
    Known { name: "pool-deep", says: "the same with one key that has more tunnels", depth: 40 },
    Known { name: "pool-drain", says: "the same with a drain and its deadline", depth: 40 },
];

/// A finished run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Distinct states.
    pub states: usize,
    /// Events tried.
    pub transitions: usize,
    /// Events to the farthest state.
    pub depth: usize,
    /// No state in scope is left unseen.
    pub complete: bool,
    /// The violation found, if there is one.
    pub violation: Option<Violation>,
}

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No machine has this name.
    #[error("no machine is named {0:?}")]
    Unknown(String),
    /// The result could not be written.
    #[error("cannot write what was found: {0}")]
    Write(#[from] io::Error),
}

/// Explores the machine of a name and writes what it saw: a line of numbers, or the shortest path to a violation.
///
/// # Errors
///
/// A name that is not in [`MACHINES`], or an error of `out`. A violation is part of the summary.
pub fn run(machine: &str, depth: usize, out: &mut impl Write) -> Result<Summary, RunError> {
    match machine {
        "policy-hold" => report(machine, &explore(hold::HoldMachine::prompt(hold::Shipped), depth), out),
        "policy-late" => report(machine, &explore(hold::HoldMachine::late(hold::Shipped), depth), out),
        "pool" => report(machine, &explore(pool::shipped(pool::WIDE, false), depth), out),
        "pool-deep" => report(machine, &explore(pool::shipped(pool::DEEP, false), depth), out),
        "pool-drain" => report(machine, &explore(pool::shipped(pool::WIDE, true), depth), out),
        unknown => Err(RunError::Unknown(unknown.to_owned())),
    }
}

fn report<S: Display>(name: &str, found: &Exploration<S>, out: &mut impl Write) -> Result<Summary, RunError> {
    let Exploration { states, transitions, depth, complete, .. } = *found;
    let reach = if complete { "complete" } else { "deeper states not seen" };
    writeln!(out, "{name}: {states} states, {transitions} transitions, depth {depth}, {reach}")?;
    if let Some(Counterexample { path, violation }) = &found.counterexample {
        writeln!(out, "violation: {violation}")?;
        for (index, step) in path.iter().enumerate() {
            writeln!(out, "  {}. {step}", index + 1)?;
        }
    }
    let violation = found.counterexample.as_ref().map(|found| found.violation.clone());
    Ok(Summary { states, transitions, depth, complete, violation })
}
