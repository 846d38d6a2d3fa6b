//! The one clock of the simulator: how long a search takes is told, and decides nothing.

use std::time::{Duration, Instant};

/// Runs from when it was made.
pub(super) struct Stopwatch(Instant);

#[expect(clippy::disallowed_methods, reason = "what it shows is printed, and nothing else is done with it")]
impl Stopwatch {
    pub(super) fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
