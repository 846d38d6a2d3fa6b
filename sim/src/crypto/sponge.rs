//! The one mixing function that hashes, tags, signatures and key streams are made of. Fast, and no obstacle to anybody who
//! means harm.

/// Odd constants with about as many ones as zeros; the first is 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const FIRST_ODD: u64 = 0xd6e8_feb8_6659_fd93;
const SECOND_ODD: u64 = 0xa076_1d64_78bd_642f;

const WORD_BYTES: usize = 8;
const BLOCK_BYTES: usize = 4 * WORD_BYTES;
/// The longest output there is, a signature.
const MAX_OUTPUT_WORDS: usize = 8;

/// Takes in bytes and gives out as many as one wants. How the bytes are divided among calls makes no difference.
///
/// Each word goes into one of four lanes by a step that is one-to-one in the lane and in the word, and the lanes are folded by
/// steps of the same kind: two inputs of the same length that differ in one aligned word never give the same output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sponge {
    lanes: [u64; 4],
    pending: [u8; BLOCK_BYTES],
    filled: usize,
    length: u64,
}

impl Sponge {
    /// A sponge for one purpose: outputs for different labels have nothing to do with each other.
    pub(crate) fn new(label: u64) -> Sponge {
        let lanes = [1, 2, 3, 4].map(|lane| mix(label.wrapping_add(GOLDEN.wrapping_mul(lane))));
        Sponge { lanes, pending: [0; BLOCK_BYTES], filled: 0, length: 0 }
    }

    /// Takes in `bytes` as one item, so that it cannot be confused with the begin of what follows it.
    pub(crate) fn absorb_item(&mut self, bytes: &[u8]) {
        self.absorb(&(bytes.len() as u64).to_le_bytes());
        self.absorb(bytes);
    }

    /// Takes in `bytes`.
    pub(crate) fn absorb(&mut self, bytes: &[u8]) {
        self.length = self.length.wrapping_add(bytes.len() as u64);
        let mut rest = bytes;
        if self.filled > 0 {
            let space = self.pending.get_mut(self.filled..).unwrap_or_default();
            let (head, tail) = rest.split_at(space.len().min(rest.len()));
            for (to, from) in space.iter_mut().zip(head) {
                *to = *from;
            }
            self.filled += head.len();
            if self.filled < BLOCK_BYTES {
                return;
            }
            absorb_block(&mut self.lanes, &self.pending);
            self.filled = 0;
            rest = tail;
        }
        let (blocks, tail) = rest.as_chunks::<BLOCK_BYTES>();
        let mut lanes = self.lanes;
        for block in blocks {
            absorb_block(&mut lanes, block);
        }
        self.lanes = lanes;
        for (to, from) in self.pending.iter_mut().zip(tail) {
            *to = *from;
        }
        self.filled = tail.len();
    }

    /// What the bytes so far come to, `N` words of it; the sponge can take in more afterwards.
    pub(crate) fn words<const N: usize>(&self) -> [u64; N] {
        let mut lanes = self.lanes;
        let mut last = [0; BLOCK_BYTES];
        for (to, from) in last.iter_mut().zip(&self.pending).take(self.filled) {
            *to = *from;
        }
        absorb_block(&mut lanes, &last);
        let forwards = lanes.iter().fold(self.length, |sum, lane| mix(sum ^ lane));
        let backwards = lanes.iter().rev().fold(!self.length, |sum, lane| mix(sum ^ lane));
        let mut out = [0; N];
        for (index, word) in (1..).zip(&mut out) {
            let half: u64 = if index % 2 == 1 { forwards } else { backwards };
            *word = mix(half.wrapping_add(GOLDEN.wrapping_mul(index)));
        }
        out
    }

    /// As [`Sponge::words`], in bytes. Longer outputs begin with the shorter ones, so each purpose has a label of its own.
    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        const { assert!(N <= MAX_OUTPUT_WORDS * WORD_BYTES) };
        let mut out = [0; N];
        let words = self.words::<MAX_OUTPUT_WORDS>();
        for (to, word) in out.chunks_mut(WORD_BYTES).zip(words) {
            for (to, from) in to.iter_mut().zip(word.to_le_bytes()) {
                *to = from;
            }
        }
        out
    }
}

/// Adds a stream to `data` that depends on `key` only; doing it again takes it off.
pub(crate) fn apply_stream(key: [u64; 2], data: &mut [u8]) {
    let [mut counter, factor] = key;
    let factor = factor | 1;
    let mut next = || {
        counter = counter.wrapping_add(GOLDEN);
        let word = scalar((counter ^ (counter >> 32)).wrapping_mul(factor));
        word ^ (word >> 29)
    };
    let (words, tail) = data.as_chunks_mut::<WORD_BYTES>();
    for word in words {
        *word = (u64::from_le_bytes(*word) ^ next()).to_le_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(next().to_le_bytes()) {
        *byte ^= key;
    }
}

fn absorb_block(lanes: &mut [u64; 4], block: &[u8; BLOCK_BYTES]) {
    let (words, _) = block.as_chunks::<WORD_BYTES>();
    for (lane, word) in lanes.iter_mut().zip(words) {
        *lane = scalar(mix(*lane ^ u64::from_le_bytes(*word)).wrapping_add(GOLDEN));
    }
}

/// The same word. Compilers make one vector of words that are multiplied one beside the other, though processors that every
/// build is for multiply no vectors of 64-bit words: what they do instead takes two and a half times as long.
pub(crate) fn scalar(word: u64) -> u64 {
    std::hint::black_box(word)
}

/// One-to-one.
fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 32)).wrapping_mul(FIRST_ODD);
    word = (word ^ (word >> 29)).wrapping_mul(SECOND_ODD);
    word ^ (word >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn digest(bytes: &[u8]) -> [u8; 32] {
        let mut sponge = Sponge::new(7);
        sponge.absorb(bytes);
        sponge.bytes()
    }

    quickcheck! {
        fn division_into_calls_makes_no_difference(parts: Vec<Vec<u8>>) -> bool {
            let mut sponge = Sponge::new(7);
            parts.iter().for_each(|part| sponge.absorb(part));
            sponge.bytes() == digest(&parts.concat())
        }

        fn a_stream_comes_off_again(key: (u64, u64), data: Vec<u8>) -> bool {
            let mut twice = data.clone();
            apply_stream([key.0, key.1], &mut twice);
            let hidden = data.len() < 8 || twice != data;
            apply_stream([key.0, key.1], &mut twice);
            hidden && twice == data
        }

        fn any_changed_word_changes_the_output(data: Vec<u8>, at: usize, by: u64) -> bool {
            let mut other = data.clone();
            let words = other.as_chunks_mut::<8>().0;
            let count = words.len().max(1);
            let Some(word) = words.get_mut(at % count) else { return true };
            *word = (u64::from_le_bytes(*word) ^ by).to_le_bytes();
            (digest(&data) == digest(&other)) == (by == 0)
        }
    }

    #[test]
    fn every_bit_counts_and_so_does_the_length() {
        let data: Vec<u8> = (0..=99).collect();
        let honest = digest(&data);
        for bit in 0..data.len() * 8 {
            let mut other = data.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(digest(&other), honest, "bit {bit}");
        }
        let zeros = [0; 100];
        let mut seen: Vec<_> = (0..=100).map(|length| digest(&zeros[..length])).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 101);
    }

    #[test]
    fn items_and_labels_keep_apart() {
        let of = |label, items: &[&[u8]]| {
            let mut sponge = Sponge::new(label);
            items.iter().for_each(|item| sponge.absorb_item(item));
            sponge.bytes::<16>()
        };
        assert_ne!(of(1, &[b"ab", b"c"]), of(1, &[b"a", b"bc"]));
        assert_ne!(of(1, &[b"ab"]), of(2, &[b"ab"]));
    }

    /// Recordings are only good for as long as this holds, in every build.
    #[test]
    fn outputs_are_the_same_in_every_process_and_build() {
        let data: Vec<u8> = (0..=255).collect();
        let mut stream = [0; 19];
        apply_stream([1, 2], &mut stream);
        assert_eq!(digest(&data)[..8], [227, 8, 107, 219, 220, 128, 158, 121]);
        assert_eq!(stream[11..], [226, 93, 218, 76, 181, 107, 112, 241]);
    }
}
