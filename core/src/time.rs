//! The only clock types in core: plain numbers, handed in by whoever drives the engine. No constructor reads a clock.

use std::time::Duration;

/// A point on the driver's monotonic clock, in nanoseconds since the node was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The moment the node was made.
    pub const START: Time = Time(0);
    /// Later than any deadline that can occur; arithmetic saturates here.
    pub const MAX: Time = Time(u64::MAX);

    /// Makes a time from nanoseconds since the start.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time `later` after this one, saturating at [`Time::MAX`].
    pub fn after(self, later: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Wall-clock time in seconds since 1970, for certificates and log lines only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallTime(u64);

impl WallTime {
    /// Makes a wall time from seconds since 1970-01-01T00:00:00Z.
    pub const fn from_unix_secs(secs: u64) -> WallTime {
        WallTime(secs)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn as_unix_secs(self) -> u64 {
        self.0
    }
}

/// Both clocks, read together by the driver; the first argument of every entry point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// For deadlines; never runs backwards.
    pub time: Time,
    /// For the validity of certificates; may jump.
    pub wall: WallTime,
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    quickcheck! {
        fn arithmetic_saturates(a: u64, b: u64) -> bool {
            let t = Time::from_nanos(a).after(Duration::from_nanos(b));
            t >= Time::from_nanos(a) && (t == Time::MAX || t.since(Time::from_nanos(a)) == Duration::from_nanos(b))
        }
    }
}
