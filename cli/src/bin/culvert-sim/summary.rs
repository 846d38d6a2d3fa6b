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
    /// Of each scenario: nodes, connections, faults, events.
    pub(super) sizes: [Vec<usize>; 4],
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
        let sizes = [outcome.nodes, outcome.connections, outcome.faults, outcome.events];
        self.sizes.iter_mut().zip(sizes).for_each(|(all, one)| all.push(one));
    }

    /// Nodes, connections, faults and events of the median scenario, each for itself.
    fn medians(&self) -> [usize; 4] {
        self.sizes.each_ref().map(|sizes| {
            let mut sorted = sizes.clone();
            sorted.sort_unstable();
            sorted.get(sorted.len() / 2).copied().unwrap_or(0)
        })
    }

    /// What of the vocabulary did not occur.
    pub(super) fn never_seen(&self, vocabulary: &[&'static str]) -> Vec<&'static str> {
        vocabulary.iter().copied().filter(|word| !self.seen.contains(word)).collect()
    }

    fn scenarios_per_second(&self) -> f64 {
        per(self.scenarios as f64, self.cpu)
    }

    fn events_per_second(&self) -> f64 {
        per(self.events as f64, self.cpu)
    }

    fn simulated_per_cpu_second(&self) -> f64 {
        per(self.simulated.as_secs_f64(), self.cpu)
    }

    /// Rates are those of one core: amounts for each second of CPU.
    pub(super) fn json(&self, never_seen: &[&'static str]) -> Value {
        let [nodes, connections, faults, events] = self.medians();
        json!({
            "seeds": self.seeds,
            "violations": self.violations,
            "runs": self.scenarios,
            "scenarios_per_second": rounded(self.scenarios_per_second()),
            "events_per_second": rounded(self.events_per_second()),
            "simulated_per_cpu_second": rounded(self.simulated_per_cpu_second()),
            "seconds": rounded(self.wall.as_secs_f64()),
            "jobs": self.jobs,
            "median": { "nodes": nodes, "connections": connections, "faults": faults, "events": events },
            "never_seen": never_seen,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [nodes, connections, faults, events] = self.medians();
        let (seeds, violations, seen) = (self.seeds, self.violations, self.seen.len());
        writeln!(f, "{seeds} seeds, {violations} violations, {seen} kinds of events seen")?;
        writeln!(
            f,
            "the median scenario: {nodes} nodes, {connections} connections, {faults} faults, {events} events"
        )?;
        writeln!(
            f,
            "{} runs in {:.1} s on {} threads; of one core, in a second of CPU: {:.0} runs, {:.0} events, {:.0} simulated seconds",
            self.scenarios,
            self.wall.as_secs_f64(),
            self.jobs,
            self.scenarios_per_second(),
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

    fn outcome(seen: &[&'static str], events: usize) -> Outcome {
        Outcome {
            hash: 1,
            nodes: 2,
            connections: 4,
            faults: 3,
            events,
            simulated: Duration::from_secs(10),
            seen: seen.iter().copied().collect(),
            violation: None,
            story: Vec::new(),
        }
    }

    #[test]
    fn two_runs_count_twice_and_rates_are_of_one_core() {
        let mut summary = Summary {
            jobs: 2,
            wall: Duration::from_secs(1),
            cpu: Duration::from_secs(2),
            ..Summary::default()
        };
        summary.add(&outcome(&["a"], 100), Runs::Twice);
        summary.add(&outcome(&["b"], 200), Runs::Once);
        summary.add(&outcome(&["b"], 900), Runs::Once);
        let never_seen = summary.never_seen(&["a", "b", "c"]);
        let json = summary.json(&never_seen);
        let expected = json!({
            "seeds": 3, "violations": 0, "runs": 4, "scenarios_per_second": 2.0, "events_per_second": 650.0,
            "simulated_per_cpu_second": 20.0, "seconds": 1.0, "jobs": 2,
            "median": { "nodes": 2, "connections": 4, "faults": 3, "events": 200 }, "never_seen": ["c"],
        });
        assert_eq!(json, expected);
    }
}
