//! The canonical hash of a state: ids count by the order of their appearance, counters not at all.

use std::hash::{Hash, Hasher};

/// An id whose value means nothing, only which others it equals and which it precedes.
///
/// It hashes as a `u64`, which [`hash_of`] renames: a machine hashes nothing else as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(pub(super) u64);

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Mints ids. What it has minted is no part of a state.
#[derive(Clone, Debug, Default)]
pub(super) struct Mint(u64);

impl Mint {
    /// An id that orders after every earlier one of this mint.
    pub(super) fn next(&mut self, space: u64) -> Id {
        self.0 += 1;
        Id(space << 32 | self.0)
    }
}

impl Hash for Mint {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// The hash by which a state is known.
pub(super) fn hash_of(state: &impl Hash) -> u128 {
    let mut hasher = Canonical { sum: 0, names: Vec::with_capacity(16) };
    state.hash(&mut hasher);
    hasher.sum
}

/// Multiply and shift over 128 bits: fast, the same everywhere, and with 10^8 states a collision has a chance of 10^-22.
struct Canonical {
    sum: u128,
    /// Ids that appeared, in the order in which they did; they are few.
    names: Vec<u64>,
}

/// Odd, with bits as random as those of the golden ratio.
const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

impl Canonical {
    fn mix(&mut self, word: u64) {
        let sum = (self.sum ^ u128::from(word)).wrapping_add(1).wrapping_mul(FACTOR);
        self.sum = sum ^ sum >> 59;
    }
}

impl Hasher for Canonical {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            self.mix(chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.mix(u64::from(number));
    }

    fn write_u64(&mut self, id: u64) {
        let name = self.names.iter().position(|known| *known == id).unwrap_or_else(|| {
            self.names.push(id);
            self.names.len() - 1
        });
        self.mix(name as u64);
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.mix(number as u64);
    }

    fn finish(&self) -> u64 {
        self.sum as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_differ_in_names_alone_are_one() {
        assert_eq!(hash_of(&[Id(4), Id(9), Id(4)]), hash_of(&[Id(7), Id(1), Id(7)]));
        assert_ne!(hash_of(&[Id(4), Id(9), Id(4)]), hash_of(&[Id(4), Id(9), Id(9)]));
        let mut mint = Mint::default();
        let unused = hash_of(&mint);
        let _ = mint.next(0);
        assert_eq!(hash_of(&mint), unused);
    }

    #[test]
    fn all_but_names_counts() {
        assert_ne!(hash_of(&(0usize, 1usize)), hash_of(&(1usize, 0usize)));
        assert_ne!(hash_of(&Some(0u8)), hash_of(&None::<u8>));
        assert_ne!(hash_of(&vec![0u8]), hash_of(&vec![0u8, 0]));
        assert_ne!(hash_of(&"ab"), hash_of(&"ba"));
    }
}
