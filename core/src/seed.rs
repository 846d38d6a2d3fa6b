//! Randomness as an argument: one seed, labelled children, a small generator.

/// The root of all of a node's draws. A child depends on the parent and a label only, so a new draw in one place
/// never shifts the values seen in another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// Takes 32 bytes, which production reads from the operating system and tests choose.
    pub const fn new(bytes: [u8; 32]) -> Seed {
        Seed(bytes)
    }

    /// The seed for one purpose.
    pub fn child(&self, label: &str) -> Seed {
        let mut state = [0u64; 4];
        for (word, chunk) in state.iter_mut().zip(self.0.chunks_exact(8)) {
            *word = u64::from_le_bytes(chunk.try_into().unwrap_or([0; 8]));
        }
        for (i, byte) in label.bytes().chain([0xff]).enumerate() {
            let lane = i % 4;
            state[lane] = mix(state[lane] ^ u64::from(byte) ^ state[(lane + 3) % 4].rotate_left(17));
        }
        let mut out = [0u8; 32];
        for (i, chunk) in out.chunks_exact_mut(8).enumerate() {
            let folded = mix(state[i] ^ state[(i + 1) % 4].rotate_left(29) ^ mix(state[(i + 2) % 4]));
            chunk.copy_from_slice(&folded.to_le_bytes());
        }
        Seed(out)
    }

    /// A generator of draws that need not be secret: ids on the wire, jitter, choice of an endpoint.
    pub fn draws(&self) -> Draws {
        let word = |i: usize| u64::from_le_bytes(self.0[i * 8..i * 8 + 8].try_into().unwrap_or([0; 8]));
        Draws { state: word(0) ^ word(1).rotate_left(13) ^ word(2).rotate_left(26) ^ word(3).rotate_left(39) }
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// A stream of 64-bit draws (SplitMix64). Not for secrets: those are the crypto provider's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Draws {
    state: u64,
}

impl Draws {
    /// The next draw.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_differ_by_label_and_parent() {
        let a = Seed::new([1; 32]);
        let b = Seed::new([2; 32]);
        assert!(a.child("x") == a.child("x"));
        assert!(a.child("x") != a.child("y"));
        assert!(a.child("x") != b.child("x"));
        assert!(a.child("ab") != a.child("ba"));
    }
}
