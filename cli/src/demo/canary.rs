//! Payload that can be recognised: a stream of numbered blocks, each with a canary that a sniffer can look for.
//!
//! Every block carries the canary, so that any packet with two hundred bytes of payload shows it whole; the numbers make
//! bytes that are lost, repeated or out of order change the checksum.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

/// Bytes of one block of payload.
const BLOCK: usize = 64;
/// Hexadecimal digits of a block's number.
const DIGITS: usize = 16;
/// The longest canary, in bytes: a block less its number and line end.
pub const MAX_CANARY_BYTES: usize = BLOCK - DIGITS - 1;

/// A text that occurs nowhere but in this run's payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary(String);

impl Canary {
    /// What the mesh carries, which nobody on the wire may see.
    pub fn mesh(run: u64) -> Canary {
        Canary::new("mesh", run)
    }

    /// What leaves the mesh in clear: whoever watches the wire must see it.
    pub fn passthrough(run: u64) -> Canary {
        Canary::new("passthrough", run)
    }

    /// What a machine outside the mesh sends, in clear by its nature.
    pub fn outsider(run: u64) -> Canary {
        Canary::new("outsider", run)
    }

    /// A canary of a label and a number that differs from run to run; a long label is cut.
    pub fn new(label: &str, run: u64) -> Canary {
        let mut text = format!("canary-{run:016x}-{label}");
        text.truncate(MAX_CANARY_BYTES);
        Canary(text)
    }

    /// What to look for on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// How often it occurs in `bytes`, without overlap.
    pub fn count(&self, bytes: &[u8]) -> u64 {
        let needle = self.as_bytes();
        let (Some(first), true) = (needle.first(), needle.len() <= bytes.len()) else { return 0 };
        let (mut rest, mut count) = (bytes, 0);
        while let Some(at) = rest.iter().position(|byte| byte == first) {
            rest = rest.get(at..).unwrap_or_default();
            let step = if rest.starts_with(needle) {
                count += 1;
                needle.len()
            } else {
                1
            };
            rest = rest.get(step..).unwrap_or_default();
        }
        count
    }
}

/// The endless payload of one canary, from its start.
#[derive(Clone, Debug)]
pub struct Payload {
    block: [u8; BLOCK],
    number: u64,
    /// How much of `block` has been given out.
    used: usize,
}

impl Payload {
    /// The payload of `canary`.
    pub fn new(canary: &Canary) -> Payload {
        let mut block = [b'.'; BLOCK];
        for (to, from) in block.iter_mut().zip(canary.as_bytes()) {
            *to = *from;
        }
        let mut payload = Payload { block, number: 0, used: 0 };
        payload.write_number();
        payload
    }

    /// Fills `space` with the next bytes.
    pub fn fill(&mut self, space: &mut [u8]) {
        let mut space = space;
        while !space.is_empty() {
            let rest = self.block.get(self.used..).unwrap_or_default();
            let count = rest.len().min(space.len());
            let (now, later) = space.split_at_mut(count);
            now.copy_from_slice(rest.get(..count).unwrap_or_default());
            space = later;
            self.used += count;
            if self.used == BLOCK {
                self.used = 0;
                self.number = self.number.wrapping_add(1);
                self.write_number();
            }
        }
    }

    fn write_number(&mut self) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let (_, tail) = self.block.split_at_mut(MAX_CANARY_BYTES);
        let mut number = self.number;
        let (digits, end) = tail.split_at_mut(DIGITS);
        for digit in digits.iter_mut().rev() {
            *digit = HEX.get((number % 16) as usize).copied().unwrap_or(b'0');
            number /= 16;
        }
        end.fill(b'\n');
    }
}

/// A running SHA-256.
#[derive(Clone)]
pub struct Checksum(digest::Context);

impl Checksum {
    /// The checksum of nothing, to be continued.
    pub fn new() -> Checksum {
        Checksum(digest::Context::new(&digest::SHA256))
    }

    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum, in hexadecimal.
    pub fn finish(self) -> String {
        self.0.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The checksum of the first `bytes` bytes of a canary's payload.
    pub fn of_payload(canary: &Canary, bytes: u64) -> String {
        let mut payload = Payload::new(canary);
        let mut checksum = Checksum::new();
        let mut space = vec![0; 64 * 1024];
        let mut left = bytes;
        while left > 0 {
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(space.len());
            let (now, _) = space.split_at_mut(count);
            payload.fill(now);
            checksum.update(now);
            left -= count as u64;
        }
        checksum.finish()
    }
}

impl Default for Checksum {
    fn default() -> Checksum {
        Checksum::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(canary: &Canary, cuts: &[usize]) -> Vec<u8> {
        let mut payload = Payload::new(canary);
        let mut all = Vec::new();
        for cut in cuts {
            let mut space = vec![0; *cut];
            payload.fill(&mut space);
            all.extend(space);
        }
        all
    }

    #[test]
    fn each_block_has_the_canary_and_its_number() {
        let canary = Canary::new("mesh", 7);
        let text = String::from_utf8(taken(&canary, &[3 * BLOCK])).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("canary-0000000000000007-mesh."));
        assert!(lines[1].ends_with(".0000000000000001"));
        assert_eq!(canary.count(text.as_bytes()), 3);
        assert_eq!(Canary::new("plain", 7).count(text.as_bytes()), 0);
        assert_eq!(canary.count(b"canary-"), 0);
        assert_eq!(Canary::new(&"x".repeat(99), 1).as_bytes().len(), MAX_CANARY_BYTES);
    }

    #[test]
    fn the_checksum_is_sha_256() {
        let mut checksum = Checksum::new();
        checksum.update(b"abc");
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(checksum.finish(), known);
    }

    quickcheck::quickcheck! {
        fn cuts_do_not_change_the_payload(cuts: Vec<u8>) -> bool {
            let canary = Canary::new("any", 1);
            let cuts: Vec<usize> = cuts.into_iter().map(usize::from).collect();
            let whole = taken(&canary, &[cuts.iter().sum()]);
            let mut checksum = Checksum::new();
            checksum.update(&whole);
            whole == taken(&canary, &cuts)
                && checksum.finish() == Checksum::of_payload(&canary, whole.len() as u64)
        }
    }
}
