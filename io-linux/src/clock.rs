//! The clocks of the operating system, read for engines.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use culvert_core::time::{Now, Time, WallTime};

/// Both clocks, the monotonic one counted from the node's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Now { time: Time::from_nanos(nanos), wall: WallTime::from_unix_secs(wall) }
    }

    /// How long it is until `time`; a century at most, which nobody sleeps for.
    pub(crate) fn until(&self, time: Time) -> Duration {
        const CENTURY: u64 = 100 * 365 * 86_400 * 1_000_000_000;
        let left = time.as_nanos().saturating_sub(self.now().time.as_nanos());
        Duration::from_nanos(left.min(CENTURY))
    }
}
