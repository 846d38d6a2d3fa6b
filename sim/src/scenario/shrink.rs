//! The least of a scenario that still breaks the same law, found by leaving out bytes and making the rest small.
//!
//! Any bytes are a scenario, missing ones count as zeros, and zero is the first and simplest of every choice: so whatever is
//! cut away or set to zero leaves something that can be run.

use super::{Outcome, Scenario};
use crate::cryptography::Cryptography;

/// What is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The bytes, with their version.
    pub bytes: Vec<u8>,
    /// The id of the law that they break.
    pub law: String,
    /// How many scenarios were run to find them.
    pub runs: usize,
}

/// Makes the bytes of a scenario that breaks a law as few and as small as it can; nothing where no law is broken.
///
/// The first byte, the version, stays.
pub fn shrink(bytes: &[u8]) -> Option<Shrunk> {
    shrink_with(&Cryptography::fake(), bytes)
}

/// As [`shrink`], with another cryptography than the fake.
pub fn shrink_with(cryptography: &Cryptography, bytes: &[u8]) -> Option<Shrunk> {
    let mut runs = 0;
    let law = broken(cryptography, bytes)?;
    let mut fails = |candidate: &[u8]| {
        runs += 1;
        broken(cryptography, candidate).as_deref() == Some(law.as_str())
    };
    let mut best = bytes.to_vec();
    loop {
        let before = best.clone();
        cut_the_end(&mut best, &mut fails);
        leave_out(&mut best, &mut fails);
        make_small(&mut best, &mut fails);
        if best == before {
            break;
        }
    }
    Some(Shrunk { bytes: best, law, runs })
}

/// The law that these bytes break.
fn broken(cryptography: &Cryptography, bytes: &[u8]) -> Option<String> {
    let outcome: Outcome = Scenario::decode(bytes).ok()?.run_twice_with(cryptography);
    outcome.violation.map(|violation| violation.law().to_owned())
}

/// The shortest beginning that fails, by halves.
fn cut_the_end(best: &mut Vec<u8>, fails: &mut impl FnMut(&[u8]) -> bool) {
    let (mut short, mut long) = (1, best.len());
    while short < long {
        let middle = usize::midpoint(short, long);
        match best.get(..middle) {
            Some(part) if fails(part) => long = middle,
            _ => short = middle + 1,
        }
    }
    // What fails at one length need not at every greater one, so that the search may have gone astray.
    if best.get(..long).is_some_and(&mut *fails) {
        best.truncate(long);
    }
}

/// Leaves out pieces, long ones first.
fn leave_out(best: &mut Vec<u8>, fails: &mut impl FnMut(&[u8]) -> bool) {
    for len in [64, 32, 16, 8, 4, 2, 1] {
        let mut at = 1;
        while at + len <= best.len() {
            let mut candidate = best.clone();
            candidate.drain(at..at + len);
            if fails(&candidate) {
                *best = candidate;
            } else {
                at += len;
            }
        }
    }
}

/// Makes each byte zero, or half of what it is, or one less, whichever works.
fn make_small(best: &mut [u8], fails: &mut impl FnMut(&[u8]) -> bool) {
    for at in 1..best.len() {
        for to in [|_| 0, |byte: u8| byte / 2, |byte: u8| byte.saturating_sub(1)] {
            let mut candidate = best.to_vec();
            let Some(byte) = candidate.get_mut(at) else { return };
            let smaller = to(*byte);
            if smaller < *byte {
                *byte = smaller;
                if fails(&candidate) {
                    best.copy_from_slice(&candidate);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is to be found: a four, and a nine somewhere behind it.
    fn fails(bytes: &[u8]) -> bool {
        let four = bytes.iter().position(|byte| *byte == 4);
        four.is_some_and(|at| bytes.iter().skip(at).any(|byte| *byte == 9))
    }

    #[test]
    fn only_what_is_needed_is_left() {
        let mut best = vec![2, 7, 7, 4, 3, 3, 3, 9, 1, 1, 4, 5, 5, 5, 5, 5, 5, 5, 5];
        cut_the_end(&mut best, &mut fails);
        assert_eq!(best, [2, 7, 7, 4, 3, 3, 3, 9]);
        leave_out(&mut best, &mut fails);
        assert_eq!(best, [2, 4, 9]);
        make_small(&mut best, &mut fails);
        assert_eq!(best, [2, 4, 9], "each is needed as it is");
        let mut large = vec![2, 200, 50];
        make_small(&mut large, &mut |bytes: &[u8]| bytes.get(1).is_some_and(|byte| *byte >= 99));
        assert_eq!(large, [2, 99, 0]);
    }

    #[test]
    fn what_breaks_no_law_is_not_shrunk() {
        assert_eq!(shrink(&[crate::scenario::VERSION]), None);
        assert_eq!(shrink(&[]), None, "no scenario at all");
    }
}
