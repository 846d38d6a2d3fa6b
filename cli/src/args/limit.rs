//! `--limit NAME=VALUE`: every bound of a node, by the name it has in `culvert_core::limit::Limits`.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use culvert_core::limit::Limits;

use super::value::ValueError;

/// One bound, set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSetting {
    name: &'static str,
    value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Time(Duration),
    Number(usize),
}

/// How a bound is reached in [`Limits`].
enum Field {
    Time(fn(&mut Limits) -> &mut Duration),
    /// A time that may be `off`.
    Timer(fn(&mut Limits) -> &mut Duration),
    Count(fn(&mut Limits) -> &mut usize),
    Bytes(fn(&mut Limits) -> &mut usize),
    /// Bytes of a flow-control window, at most 2^31-1 (RFC 9113 section 6.9.1).
    Window(fn(&mut Limits) -> &mut u32),
    /// Streams, as HTTP/2 counts them.
    Streams(fn(&mut Limits) -> &mut u32),
}

const FIELDS: [(&str, Field); 29] = [
    ("tcp-connect", Field::Time(|l| &mut l.tcp_connect)),
    ("tls-handshake", Field::Time(|l| &mut l.tls_handshake)),
    ("http2-preface", Field::Time(|l| &mut l.http2_preface)),
    ("connect-response", Field::Time(|l| &mut l.connect_response)),
    ("wait-for-facts", Field::Time(|l| &mut l.wait_for_facts)),
    ("policy-hold", Field::Time(|l| &mut l.policy_hold)),
    ("ping-interval", Field::Time(|l| &mut l.ping_interval)),
    ("ping-timeout", Field::Time(|l| &mut l.ping_timeout)),
    ("tunnel-idle", Field::Time(|l| &mut l.tunnel_idle)),
    ("tunnel-max-age", Field::Time(|l| &mut l.tunnel_max_age)),
    ("half-closed-idle", Field::Timer(|l| &mut l.half_closed_idle)),
    ("connection-idle", Field::Timer(|l| &mut l.connection_idle)),
    ("connection-max-age", Field::Timer(|l| &mut l.connection_max_age)),
    ("flush-before-abort", Field::Time(|l| &mut l.flush_before_abort)),
    ("streams-per-tunnel", Field::Count(|l| &mut l.streams_per_tunnel)),
    ("tunnels-per-key", Field::Count(|l| &mut l.tunnels_per_key)),
    ("waiters-per-key", Field::Count(|l| &mut l.waiters_per_key)),
    ("peer-streams-per-tunnel", Field::Streams(|l| &mut l.peer_streams_per_tunnel)),
    ("half-open-tunnels", Field::Count(|l| &mut l.half_open_tunnels)),
    ("accepted-tunnels", Field::Count(|l| &mut l.accepted_tunnels)),
    ("stream-window", Field::Window(|l| &mut l.stream_window)),
    ("stream-window-wide", Field::Window(|l| &mut l.stream_window_wide)),
    ("stream-window-low", Field::Window(|l| &mut l.stream_window_low)),
    ("connection-window", Field::Window(|l| &mut l.connection_window)),
    ("relay-queue", Field::Bytes(|l| &mut l.relay_queue)),
    ("tunnel-queue", Field::Bytes(|l| &mut l.tunnel_queue)),
    ("memory-low", Field::Bytes(|l| &mut l.memory_low)),
    ("memory-max", Field::Bytes(|l| &mut l.memory_max)),
    ("connections", Field::Count(|l| &mut l.connections)),
];

impl LimitSetting {
    /// Puts the bound in force.
    pub fn apply(&self, limits: &mut Limits) {
        let Some((_, field)) = FIELDS.iter().find(|(name, _)| *name == self.name) else { return };
        match (field, self.value) {
            (Field::Time(of) | Field::Timer(of), Value::Time(value)) => *of(limits) = value,
            (Field::Count(of) | Field::Bytes(of), Value::Number(value)) => *of(limits) = value,
            (Field::Window(of) | Field::Streams(of), Value::Number(value)) => {
                *of(limits) = u32::try_from(value).unwrap_or(u32::MAX);
            }
            (Field::Time(_) | Field::Timer(_), Value::Number(_)) => {}
            (Field::Count(_) | Field::Bytes(_) | Field::Window(_) | Field::Streams(_), Value::Time(_)) => {}
        }
    }
}

impl FromStr for LimitSetting {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<LimitSetting, ValueError> {
        let (name, value) = text.split_once('=').ok_or(ValueError::Limit)?;
        let (name, field) = FIELDS.iter().find(|(known, _)| *known == name).ok_or(ValueError::LimitName)?;
        let value = match field {
            Field::Timer(_) if value == "off" => Value::Time(Duration::ZERO),
            Field::Time(_) | Field::Timer(_) => Value::Time(time(value).ok_or(ValueError::LimitTime)?),
            Field::Count(_) | Field::Streams(_) => Value::Number(count(value).ok_or(ValueError::LimitCount)?),
            Field::Bytes(_) => Value::Number(bytes(value).ok_or(ValueError::LimitBytes)?),
            Field::Window(_) => {
                let window = bytes(value).filter(|window| *window < (1 << 31));
                Value::Number(window.ok_or(ValueError::LimitBytes)?)
            }
        };
        Ok(LimitSetting { name, value })
    }
}

/// A time with its unit, more than none: `500ms`, `10s`, `5m`, `12h`.
fn time(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

fn count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number| *number > 0)
}

/// Bytes, with or without a unit: `65536`, `256KiB`, `4MiB`, `1GiB`.
fn bytes(text: &str) -> Option<usize> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    count(number)?.checked_mul(factor)
}

/// The names and values in force, for `--help`.
pub fn table() -> String {
    let mut limits = Limits::default();
    let mut text = String::from("Limits (--limit NAME=VALUE) and what they are unless set:\n");
    for (name, field) in &FIELDS {
        let value = match field {
            Field::Time(of) | Field::Timer(of) if of(&mut limits).is_zero() => "off".to_owned(),
            Field::Time(of) | Field::Timer(of) => format!("{}s", of(&mut limits).as_secs()),
            Field::Count(of) => of(&mut limits).to_string(),
            Field::Streams(of) => of(&mut limits).to_string(),
            Field::Bytes(of) => size(*of(&mut limits)),
            Field::Window(of) => size(*of(&mut limits) as usize),
        };
        let _infallible = writeln!(text, "  {name:<24} {value}");
    }
    text
}

fn size(bytes: usize) -> String {
    match bytes {
        b if b % (1 << 20) == 0 => format!("{}MiB", b >> 20),
        b => format!("{}KiB", b >> 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_sets_its_own_bound() {
        for (name, field) in &FIELDS {
            let value = match field {
                Field::Time(_) | Field::Timer(_) => "77s",
                Field::Count(_) | Field::Streams(_) => "77",
                Field::Bytes(_) | Field::Window(_) => "77KiB",
            };
            let mut limits = Limits::default();
            let setting: LimitSetting = format!("{name}={value}").parse().unwrap();
            setting.apply(&mut limits);
            assert_ne!(limits, Limits::default(), "{name}");
            assert!(table().contains(name));
        }
    }

    #[test]
    fn values_need_their_unit_and_fit() {
        for (text, error) in [
            ("tcp-connect", ValueError::Limit),
            ("no-such=1", ValueError::LimitName),
            ("tcp-connect=10", ValueError::LimitTime),
            ("tcp-connect=off", ValueError::LimitTime),
            ("tcp-connect=0s", ValueError::LimitTime),
            ("streams-per-tunnel=0", ValueError::LimitCount),
            ("stream-window=2GiB", ValueError::LimitBytes),
            ("memory-max=1GB", ValueError::LimitBytes),
        ] {
            assert_eq!(text.parse::<LimitSetting>(), Err(error), "{text}");
        }
        let mut limits = Limits::default();
        "half-closed-idle=off".parse::<LimitSetting>().unwrap().apply(&mut limits);
        assert!(limits.half_closed_idle.is_zero());
    }
}
