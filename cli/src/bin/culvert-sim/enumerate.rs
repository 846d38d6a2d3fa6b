//! Every scenario of a small configuration, on several threads.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::thread;

use culvert_sim::scenario::{Enumeration, Outcome, Scenario};

/// The name of this exploration.
pub(super) const NAME: &str = "scenarios";
/// What stands before the bytes of a scenario where they are written out.
const HEX: &str = "hex:";

/// What came of all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Enumerated {
    pub(super) scenarios: usize,
    pub(super) violations: usize,
    /// Of what came out of them.
    pub(super) hashes: BTreeSet<u64>,
    /// Of the vocabulary.
    pub(super) seen: BTreeSet<&'static str>,
}

/// Runs every scenario of an enumeration, each twice; `tell` hears of each that breaks a law.
pub(super) fn run(
    depth: usize,
    jobs: NonZeroUsize,
    tell: impl Fn(&str, &Scenario, &Outcome) + Sync,
) -> Enumerated {
    let next = Mutex::new(Enumeration::new(depth));
    let all = Mutex::new(Enumerated::default());
    let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some((bytes, scenario)) = take() {
            let outcome = scenario.run_twice();
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            if outcome.violation.is_some() {
                tell(&hex(&bytes), &scenario, &outcome);
            }
            all.scenarios += 1;
            all.violations += usize::from(outcome.violation.is_some());
            all.hashes.insert(outcome.hash);
            all.seen.extend(&outcome.seen);
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.get() {
            scope.spawn(work);
        }
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes as a scenario can be named by them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(HEX.to_owned(), |mut text, byte| {
        let _never_fails = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that such a name stands for.
pub(super) fn bytes(name: &str) -> Option<Vec<u8>> {
    let digits = name.strip_prefix(HEX)?.as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_what_their_name_says() {
        assert_eq!(bytes(&hex(&[2, 0, 255, 16])), Some(vec![2, 0, 255, 16]));
        for odd in ["hex:0", "hex:zz", "hex:0+", "0200", "hex:é"] {
            assert_eq!(bytes(odd), None, "{odd}");
        }
    }

    #[test]
    fn threads_change_nothing_but_the_time() {
        let of = |jobs| run(3, NonZeroUsize::new(jobs).unwrap(), |name, _, _| panic!("{name}"));
        let alone = of(1);
        assert_eq!(of(3), alone);
        assert!(alone.scenarios > 50 && alone.hashes.len() > 1, "{alone:?}");
    }
}
