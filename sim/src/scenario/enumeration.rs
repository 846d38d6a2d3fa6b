//! Every scenario of a small configuration: the decoder's own choices, counted through like the digits of an odometer.
//!
//! Two nodes with a pod each, and two rounds. In both, the first pod calls the second, sends 4,000 bytes and keeps the connection;
//! then something goes wrong at one of them, and 10 ms or 8 s pass. What can go wrong is whatever can at that moment: every fault of the
//! decoder's menu once, and every kind of change, some in two forms. What an alphabet has only one letter for is no digit.
//!
//! The decoder runs on a vector of digits instead of bytes and notes how many letters there were for each. So the next vector in
//! lexicographic order is known: the last digit that has a next letter gets it, and what follows begins anew, with digits of its
//! own, since other choices may follow another choice.

use std::collections::BTreeSet;
use std::hash::Hasher;

use super::plan::{Choices, Vector};
use super::{Scenario, VERSION};
use crate::world::Digest;

/// All scenarios whose first digits are free, so many of them, and whose others are the first letter.
#[derive(Clone, Debug)]
pub struct Enumeration {
    depth: usize,
    /// The vector that comes next; nothing after the last.
    next: Option<Vec<usize>>,
    /// Those that were given, by a hash of their text: where something goes wrong that is nobody's, two vectors say the same.
    given: BTreeSet<u64>,
}

impl Enumeration {
    /// More digits than any vector has.
    pub const WHOLE: usize = 16;

    /// Those with `depth` free digits: four or five for each of the two rounds.
    pub fn new(depth: usize) -> Enumeration {
        Enumeration { depth, next: Some(Vec::new()), given: BTreeSet::new() }
    }
}

impl Iterator for Enumeration {
    /// The bytes of a scenario, and what they stand for.
    type Item = (Vec<u8>, Scenario);

    fn next(&mut self) -> Option<(Vec<u8>, Scenario)> {
        loop {
            let digits = self.next.take()?;
            let mut vector = Vector::new(digits.clone(), self.depth);
            let scenario = Scenario::chosen(Choices::of_vector(&mut vector));
            self.next = after(digits, &vector.arities);
            let mut text = Digest::default();
            text.write(format!("{scenario:?}").as_bytes());
            if self.given.insert(text.finish()) {
                let mut bytes = vec![VERSION];
                bytes.append(&mut vector.bytes);
                return Some((bytes, scenario));
            }
        }
    }
}

/// The vector after this one, where each digit had so many letters.
fn after(mut digits: Vec<usize>, arities: &[usize]) -> Option<Vec<usize>> {
    digits.resize(arities.len(), 0);
    let rising =
        |(at, arity): (usize, &usize)| digits.get(at).is_some_and(|digit| digit + 1 < *arity).then_some(at);
    let last = arities.iter().enumerate().rev().find_map(rising)?;
    digits.truncate(last + 1);
    *digits.last_mut()? += 1;
    Some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Depth;

    #[test]
    fn vectors_are_counted_through_in_order_and_none_is_left_out() {
        // The second digit has three letters, or after a one only two, and there is a third after a zero.
        let arities = |digits: &[usize]| match digits.first() {
            Some(1) => vec![2, 2],
            _ => vec![2, 3, 2],
        };
        let mut all = Vec::new();
        let mut next = Some(Vec::new());
        while let Some(digits) = next {
            let arities = arities(&digits);
            let mut whole = digits.clone();
            whole.resize(arities.len(), 0);
            all.push(whole);
            next = after(digits, &arities);
        }
        let expected: Vec<Vec<usize>> = vec![
            vec![0, 0, 0],
            vec![0, 0, 1],
            vec![0, 1, 0],
            vec![0, 1, 1],
            vec![0, 2, 0],
            vec![0, 2, 1],
            vec![1, 0],
            vec![1, 1],
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn its_bytes_are_the_scenario_and_no_two_are_one() {
        let mut plans = BTreeSet::new();
        let mut count = 0;
        for (bytes, scenario) in Enumeration::new(Enumeration::WHOLE).step_by(37) {
            assert_eq!(Scenario::decode(&bytes), Ok(scenario.clone()), "{bytes:?}");
            plans.insert(format!("{scenario:?}"));
            count += 1;
        }
        assert!(plans.len() == count && count > 700, "{} of {count}", plans.len());
    }

    #[test]
    fn deeper_ones_hold_the_shallower() {
        let of = |depth| Enumeration::new(depth).map(|(bytes, _)| bytes).collect::<BTreeSet<_>>();
        let all: Vec<_> = (0..6).map(of).collect();
        assert_eq!(all[0].len(), 1);
        for pair in all.windows(2) {
            assert!(
                pair[0].is_subset(&pair[1]) && pair[0].len() < pair[1].len(),
                "{} {}",
                pair[0].len(),
                pair[1].len()
            );
        }
    }

    #[test]
    fn every_one_keeps_the_laws() {
        for (bytes, scenario) in Enumeration::new(3) {
            let outcome = scenario.run(Depth::QUICK);
            assert_eq!(outcome.violation, None, "{bytes:?}");
            assert!(outcome.faults == 2 && outcome.connections >= 3, "{scenario}");
        }
    }
}
