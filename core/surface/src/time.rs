//! `culvert_core::time`.

use culvert_core::time::{Now, Time, WallTime};
use std::time::Duration;

pub fn fields_of_now(value: Now) -> (Time, WallTime) {
    let Now { time, wall } = value;
    (time, wall)
}
pub type TimeIs = Time;
const _: Time = Time::START;
const _: Time = Time::MAX;
const _: fn(u64) -> Time = Time::from_nanos;
const _: fn(Time) -> u64 = Time::as_nanos;
const _: fn(Time, Duration) -> Time = Time::after;
const _: fn(Time, Time) -> Duration = Time::since;
pub type WallTimeIs = WallTime;
const _: fn(u64) -> WallTime = WallTime::from_unix_secs;
const _: fn(WallTime) -> u64 = WallTime::as_unix_secs;
