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
mod search;
#[cfg(test)]
mod tests;
mod traffic;
mod tunnel;
mod updates;

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::io::{self, Write};
use std::num::NonZeroUsize;

/// A state machine and what must hold in each of its states.
///
/// `Hash` must cover all that decides what the machine does next; see [`explore`] for how ids are hashed.
pub trait Machine: Clone + Hash + Send + Sync {
    /// One event.
    type Step: Clone + Debug + Display + Send + Sync;

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

/// How far an exploration goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Events from the start at most.
    pub depth: usize,
    /// States at which it stops, give or take a few thousand.
    pub states: usize,
    /// Threads, which change nothing but the time; one where absent.
    pub jobs: Option<NonZeroUsize>,
}

impl From<usize> for Bounds {
    /// As deep as that, on one thread.
    fn from(depth: usize) -> Bounds {
        Bounds { depth, states: usize::MAX, jobs: None }
    }
}

/// Visits every state that `bounds` permit, breadth first, until a violation.
pub fn explore<M: Machine>(start: M, bounds: impl Into<Bounds>) -> Exploration<M::Step> {
    search::search(start, &bounds.into())
}

/// A machine that [`run`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// What is explored, in one line.
    pub says: &'static str,
    /// Depth to which a campaign goes; where that is 40, nothing in scope is left unseen.
    pub depth: usize,
    /// States at which a campaign stops.
    pub states: usize,
}

/// No machine in scope is deeper.
const WHOLE: usize = 40;

const fn known(name: &'static str, depth: usize, states: usize, says: &'static str) -> Known {
    Known { name, says, depth, states }
}

/// Every machine there is.
pub const MACHINES: [Known; 9] = [
    known(
        "drain",
        WHOLE,
        2_000_000,
        "connections over a pool of two-ended tunnels while the server's node or the client's drains and ends",
    ),
    known(
        "goaway",
        WHOLE,
        3_500_000,
        "the same while servers drain, end, limit and lose single tunnels: GOAWAY twice, and with streams above its last",
    ),
    known(
        "policy-hold",
        WHOLE,
        usize::MAX,
        "policies, workload and time come in any order; connections are judged as they do",
    ),
    known("policy-late", WHOLE, usize::MAX, "the same where several changes of facts are heard as one"),
    known(
        "pool",
        WHOLE,
        usize::MAX,
        "the pool of tunnels: acquire, open, limit, stream end, refusal, failure, GOAWAY, rotation, removal, cancel",
    ),
    known("pool-deep", WHOLE, usize::MAX, "the same with one key that has more tunnels"),
    known("pool-drain", WHOLE, usize::MAX, "the same with a drain and its deadline"),
    known(
        "rotation",
        WHOLE,
        2_000_000,
        "connections over a pool of two-ended tunnels while credentials of both ends expire and ours is rotated",
    ),
    known(
        "xds-permutation",
        WHOLE,
        usize::MAX,
        "updates of workloads, policies and a service in every order, batch, repetition and replay, on the snapshot",
    ),
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

/// Explores the machine of a name, or plays the [`SCRIPTS`], and writes what it saw: a line of numbers, or the shortest path to
/// a violation.
///
/// # Errors
///
/// A name that is neither in [`MACHINES`] nor [`SCRIPTS`], or an error of `out`. A violation is part of the summary.
pub fn run(machine: &str, bounds: impl Into<Bounds>, out: &mut impl Write) -> Result<Summary, RunError> {
    let bounds = bounds.into();
    match machine {
        SCRIPTS => play_scripts(out),
        "drain" => visit(machine, traffic::shipped(traffic::DRAIN), &bounds, out),
        "goaway" => visit(machine, traffic::shipped(traffic::GOAWAY), &bounds, out),
        "policy-hold" => visit(machine, hold::HoldMachine::prompt(hold::Shipped), &bounds, out),
        "policy-late" => visit(machine, hold::HoldMachine::late(hold::Shipped), &bounds, out),
        "pool" => visit(machine, pool::shipped(pool::WIDE, false), &bounds, out),
        "pool-deep" => visit(machine, pool::shipped(pool::DEEP, false), &bounds, out),
        "pool-drain" => visit(machine, pool::shipped(pool::WIDE, true), &bounds, out),
        "rotation" => visit(machine, traffic::shipped(traffic::ROTATION), &bounds, out),
        "xds-permutation" => visit(machine, updates::Updates::new(updates::Shipped), &bounds, out),
        unknown => Err(RunError::Unknown(unknown.to_owned())),
    }
}

/// The name under which [`run`] plays random scripts on the model of a tunnel and on real muxes.
pub const SCRIPTS: &str = "tunnel-scripts";

/// Scripts that [`run`] plays under that name.
const SCRIPT_COUNT: usize = 100_000;

fn play_scripts(out: &mut impl Write) -> Result<Summary, RunError> {
    let violation = match tunnel::script::play(0, SCRIPT_COUNT) {
        Ok(played) => {
            let (scripts, steps) = (played.scripts, played.steps);
            let seen: usize = played.seen.values().sum();
            writeln!(out, "{SCRIPTS}: {scripts} scripts, {steps} steps, {seen} events and refusals")?;
            let never = played.never_seen();
            (!never.is_empty()).then(|| Violation(format!("never seen: {}", never.join(", "))))
        }
        Err(difference) => {
            writeln!(out, "{SCRIPTS}:\n{difference}")?;
            Some(Violation("the model of a tunnel and the mux differ".to_owned()))
        }
    };
    if let Some(violation) = &violation {
        writeln!(out, "violation: {violation}")?;
    }
    Ok(Summary { states: 0, transitions: 0, depth: 0, complete: false, violation })
}

fn visit<M: Machine>(
    name: &str,
    start: M,
    bounds: &Bounds,
    out: &mut impl Write,
) -> Result<Summary, RunError> {
    report(name, &search::search(start, bounds), out)
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
