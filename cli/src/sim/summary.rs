//! What a campaign amounts to.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use culvert_sim::scenario::Outcome;
use serde_json::{Value, json};

use super::campaign::Runs;

/// The sum of all outcomes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Summary {
    pub(super) seeds: u64,
    pub(super) violations: u64,
    pub(super) seen: BTreeSet<&'static str>,
    /// Runs: two of each seed in a campaign.
    pub(super) scenarios: u64,
    pub(super) events: u64,
    pub(super) simulated: Duration,
    pub(super) jobs: usize,
    pub(super) wall: Duration,
    /// Of all threads.
    pub(super) cpu: Duration,
}

impl Summary {
    pub(super) fn add(&mut self, outcome: &Outcome, runs: Runs) {
        let times = match runs {
            Runs::Once => 1,
            Runs::Twice => 2,
        };
        self.seeds += 1;
        self.violations += u64::from(outcome.violation.is_some());
        self.seen.extend(&outcome.seen);
        self.scenarios += times;
        self.events += times * u64::try_from(outcome.events).unwrap_or(0);
        self.simulated += outcome.simulated * u32::try_from(times).unwrap_or(1);
    }

    /// What of the vocabulary did not occur.
    pub(super) fn never_seen(&self, vocabulary: &[&'static str]) -> Vec<&'static str> {
        vocabulary.iter().copied().filter(|word| !self.seen.contains(word)).collect()
    }

    /// Scenarios of one second of all threads together, and of one second of one core.
    fn scenarios_per_second(&self) -> (f64, f64) {
        (per(self.scenarios as f64, self.wall), per(self.scenarios as f64, self.cpu))
    }

    fn events_per_second(&self) -> f64 {
        per(self.events as f64, self.wall)
    }

    fn simulated_per_cpu_second(&self) -> f64 {
        per(self.simulated.as_secs_f64(), self.cpu)
    }

    pub(super) fn json(&self, never_seen: &[&'static str]) -> Value {
        let (all, core) = self.scenarios_per_second();
        json!({
            "seeds": self.seeds,
            "violations": self.violations,
            "scenarios_per_second": rounded(all),
            "scenarios_per_cpu_second": rounded(core),
            "events_per_second": rounded(self.events_per_second()),
            "simulated_per_cpu_second": rounded(self.simulated_per_cpu_second()),
            "jobs": self.jobs,
            "never_seen": never_seen,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, core) = self.scenarios_per_second();
        writeln!(
            f,
            "{} seeds, {} violations, {} kinds of events seen",
            self.seeds,
            self.violations,
            self.seen.len()
        )?;
        writeln!(
            f,
            "{} runs in {:.1} s on {} threads: {all:.2} a second, {core:.2} a second of one core",
            self.scenarios,
            self.wall.as_secs_f64(),
            self.jobs
        )?;
        writeln!(
            f,
            "{:.0} events a second, {:.0} simulated seconds for one of CPU",
            self.events_per_second(),
            self.simulated_per_cpu_second()
        )
    }
}

fn per(amount: f64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { amount / time.as_secs_f64() }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(seen: &[&'static str]) -> Outcome {
        Outcome {
            hash: 1,
            events: 100,
            simulated: Duration::from_secs(10),
            seen: seen.iter().copied().collect(),
            violation: None,
            story: Vec::new(),
        }
    }

    #[test]
    fn two_runs_count_twice_and_both_kinds_of_seconds_are_told_apart() {
        let mut summary = Summary {
            jobs: 2,
            wall: Duration::from_secs(1),
            cpu: Duration::from_secs(2),
            ..Summary::default()
        };
        summary.add(&outcome(&["a"]), Runs::Twice);
        summary.add(&outcome(&["b"]), Runs::Once);
        let never_seen = summary.never_seen(&["a", "b", "c"]);
        let json = summary.json(&never_seen);
        let expected = json!({
            "seeds": 2, "violations": 0, "scenarios_per_second": 3.0, "scenarios_per_cpu_second": 1.5,
            "events_per_second": 300.0, "simulated_per_cpu_second": 15.0, "jobs": 2, "never_seen": ["c"],
        });
        assert_eq!(json, expected);
    }
}
