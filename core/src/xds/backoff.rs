//! How long to wait before a control plane is tried again (node.md row 76).

use std::time::Duration;

use crate::seed::{Draws, Seed};

/// The first wait.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(10);
/// The longest wait. A connection that lived for as long was a good one.
pub const BACKOFF_LAST: Duration = Duration::from_secs(15);

/// Waits that double, each with jitter, so that the nodes of a mesh do not come all at once.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    next: Duration,
    draws: Draws,
}

impl Backoff {
    pub(super) fn new(seed: Seed) -> Backoff {
        Backoff { next: BACKOFF_FIRST, draws: seed.child("xds-retry").draws() }
    }

    /// From half of the wait to the whole of it.
    pub(super) fn wait(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(BACKOFF_LAST);
        let half = u64::try_from(whole.as_nanos() / 2).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(half + self.draws.next_u64() % half)
    }

    pub(super) fn reset(&mut self) {
        self.next = BACKOFF_FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew() {
        let mut backoff = Backoff::new(Seed::new([7; 32]));
        let mut most = BACKOFF_FIRST;
        for _ in 0..20 {
            let wait = backoff.wait();
            assert!(wait >= most / 2 && wait <= most, "{wait:?} of {most:?}");
            most = (most * 2).min(BACKOFF_LAST);
        }
        assert_eq!(most, BACKOFF_LAST);
        backoff.reset();
        assert!(backoff.wait() <= BACKOFF_FIRST);
    }

    #[test]
    fn two_nodes_wait_differently() {
        let waits = |seed| {
            let mut backoff = Backoff::new(Seed::new([seed; 32]));
            (0..8).map(|_| backoff.wait()).collect::<Vec<_>>()
        };
        assert_ne!(waits(1), waits(2));
        assert_eq!(waits(1), waits(1));
    }
}
