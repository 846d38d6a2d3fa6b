//! How long to wait: half of a life, a back-off, and the clocks that both are counted on.

use std::time::Duration;

use super::{RotationConfig, Validity};
use crate::seed::Draws;
use crate::time::{Now, WallTime};

/// How often the wall clock is compared with the monotonic one where nothing else happens.
pub(super) const LOOK: Duration = Duration::from_secs(60);
/// Clocks that differ by no more than this did not jump: the wall clock counts in seconds.
const TOLERANCE: i128 = 3_000_000_000;
/// What a jump makes due at once is fetched within this.
const SPREAD: Duration = Duration::from_secs(10);

pub(super) fn is_valid(held: &impl Validity, wall: WallTime) -> bool {
    held.not_before() <= wall && wall <= held.not_after()
}

/// How long until half of a credential's life is over, by the wall clock; half of its life at most, so that one that begins in a
/// future of which only our clock speaks is renewed in time nevertheless.
pub(super) fn until_half(credential: &impl Validity, wall: WallTime) -> Duration {
    let [begin, end, now] =
        [credential.not_before(), credential.not_after(), wall].map(WallTime::as_unix_secs);
    let life = end.saturating_sub(begin);
    let half = begin.saturating_add(life / 2);
    Duration::from_secs(half.saturating_sub(now).min(life / 2))
}

/// Up to a tenth sooner, so that what was issued together is not renewed together.
pub(super) fn jittered(draws: &mut Draws, after: Duration) -> Duration {
    after.saturating_sub(after.mul_f64(fraction(draws) / 10.0))
}

/// Some time within [`SPREAD`].
pub(super) fn spread(draws: &mut Draws) -> Duration {
    SPREAD.mul_f64(fraction(draws))
}

/// When to try again after so many failures: doubled each time, a fifth more or less; where a credential serves meanwhile, no
/// later than at its end, but never sooner than after the shortest back-off.
pub(super) fn retry(
    config: &RotationConfig,
    draws: &mut Draws,
    failures: u32,
    serving: Option<&impl Validity>,
    wall: WallTime,
) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    let backoff = config.backoff.saturating_mul(doubled).min(config.backoff_max);
    let jittered = backoff.mul_f64(0.8 + 0.4 * fraction(draws));
    planted!(BackoffNotDoubled, jittered = config.backoff);
    let Some(serving) = serving else { return jittered };
    let left = serving.not_after().as_unix_secs().saturating_sub(wall.as_unix_secs());
    jittered.min(Duration::from_secs(left).max(config.backoff.mul_f64(0.8)))
}

/// From zero to less than one.
fn fraction(draws: &mut Draws) -> f64 {
    // The top 32 bits, which a float holds exactly.
    let top = u32::try_from(draws.next_u64() >> 32).unwrap_or(0);
    f64::from(top) / (f64::from(u32::MAX) + 1.0)
}

/// Nanoseconds that the wall clock is ahead of the monotonic one.
fn offset(now: Now) -> i128 {
    i128::from(now.wall.as_unix_secs()) * 1_000_000_000 - i128::from(now.time.as_nanos())
}

pub(super) fn has_jumped(before: Now, now: Now) -> bool {
    (offset(now) - offset(before)).abs() > TOLERANCE
}

pub(super) fn is_ahead(before: Now, now: Now) -> bool {
    offset(now) > offset(before)
}
