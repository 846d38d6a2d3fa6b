//! Many scenarios on several threads.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use culvert_sim::cryptography::Cryptography;
use culvert_sim::scenario::{Depth, Outcome, Scenario};

use culvert::failure::Failure;
use culvert::usage;

use super::summary::Summary;

/// How often each seed runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    /// Once.
    Once,
    /// Twice, and the two must be the same.
    Twice,
}

/// What to run.
#[derive(Clone, Debug)]
pub(super) struct Campaign {
    pub(super) seeds: Range<u64>,
    pub(super) jobs: NonZeroUsize,
    pub(super) runs: Runs,
    pub(super) cryptography: Cryptography,
}

impl Campaign {
    /// Runs all of it; `tell` hears of each seed that breaks a law, one at a time.
    pub(super) fn run(&self, tell: impl Fn(u64, &Outcome) + Sync) -> Result<Summary, Failure> {
        let next = AtomicU64::new(self.seeds.start);
        let summary = Mutex::new(Summary::default());
        let (begun, used) = (Instant::now(), cpu()?);
        thread::scope(|scope| {
            for _ in 0..self.jobs.get() {
                scope.spawn(|| self.work(&next, &summary, &tell));
            }
        });
        let mut summary = summary.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        summary.jobs = self.jobs.get();
        summary.wall = begun.elapsed();
        summary.cpu = cpu()?.saturating_sub(used).max(usage::TICK);
        Ok(summary)
    }

    fn work(&self, next: &AtomicU64, summary: &Mutex<Summary>, tell: &impl Fn(u64, &Outcome)) {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !self.seeds.contains(&seed) {
                return;
            }
            let scenario = Scenario::of_seed(seed);
            let outcome = match self.runs {
                Runs::Once => scenario.run_with(&self.cryptography, Depth::QUICK),
                Runs::Twice => scenario.run_twice_with(&self.cryptography),
            };
            let mut summary = summary.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if outcome.violation.is_some() {
                tell(seed, &outcome);
            }
            summary.add(&outcome, self.runs);
        }
    }
}

pub(super) fn cpu() -> Result<std::time::Duration, Failure> {
    usage::cpu(&[std::process::id()]).map_err(|error| Failure::from_error(&error))
}
