//! What applications send: the bytes of a stream say which stream they are of, and where in it.

use crate::crypto::sponge::scalar;

/// The first bytes of a stream are its number.
pub(super) const HEADER: u64 = WORD as u64;
/// Bytes that are made at once.
const WORD: usize = 8;

/// The byte at an offset of a stream.
pub(super) fn byte(stream: u64, offset: u64) -> u8 {
    let (number, at) = place(offset);
    word(stream, number)[at]
}

/// Fills `into` with the bytes of a stream from an offset on. The first eight are its number, and each later word is a function of the
/// number and the place: so whoever reads them knows whose they are, and where they belong.
pub fn fill(stream: u64, offset: u64, into: &mut [u8]) {
    let (mut number, at) = place(offset);
    let (head, rest) = into.split_at_mut(head_bytes(at, into.len()));
    if !head.is_empty() {
        head.copy_from_slice(&word(stream, number)[at..at + head.len()]);
        number += 1;
    }
    let (words, tail) = rest.as_chunks_mut::<WORD>();
    for to in words {
        *to = word(stream, number);
        number += 1;
    }
    tail.copy_from_slice(&word(stream, number)[..tail.len()]);
}

/// The offset of the first byte that is not the stream's.
pub(super) fn first_difference(stream: u64, offset: u64, bytes: &[u8]) -> Option<u64> {
    let (mut number, at) = place(offset);
    let (head, rest) = bytes.split_at(head_bytes(at, bytes.len()));
    let mut same = true;
    if !head.is_empty() {
        same = *head == word(stream, number)[at..at + head.len()];
        number += 1;
    }
    let (words, tail) = rest.as_chunks::<WORD>();
    for found in words {
        same &= *found == word(stream, number);
        number += 1;
    }
    same &= *tail == word(stream, number)[..tail.len()];
    if same {
        return None;
    }
    (offset..).zip(bytes).find(|(offset, found)| **found != byte(stream, *offset)).map(|(offset, _)| offset)
}

/// How many bytes come before the first whole word, if bytes begin so far into one.
fn head_bytes(at: usize, len: usize) -> usize {
    if at == 0 { 0 } else { len.min(WORD - at) }
}

/// The word of an offset, and the place in it.
fn place(offset: u64) -> (u64, usize) {
    (offset / HEADER, (offset % HEADER) as usize)
}

fn word(stream: u64, number: u64) -> [u8; WORD] {
    if number == 0 {
        return stream.to_be_bytes();
    }
    let mixed = ((stream << 40) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    scalar((mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    quickcheck! {
        fn bytes_made_together_are_those_made_alone(stream: u64, offset: u32, len: u8) -> bool {
            let (offset, mut bytes) = (u64::from(offset % 40), vec![0; usize::from(len)]);
            fill(stream, offset, &mut bytes);
            let alone: Vec<u8> = (offset..).take(bytes.len()).map(|offset| byte(stream, offset)).collect();
            bytes == alone && first_difference(stream, offset, &bytes).is_none()
        }

        fn whatever_byte_differs_is_found(stream: u64, offset: u32, len: u8, at: u8, by: u8) -> bool {
            let (offset, mut bytes) = (u64::from(offset % 40), vec![0; usize::from(len) + 1]);
            fill(stream, offset, &mut bytes);
            let at = usize::from(at) % bytes.len();
            bytes[at] ^= by;
            first_difference(stream, offset, &bytes) == (by != 0).then_some(offset + at as u64)
        }
    }

    #[test]
    fn a_stream_begins_with_its_number_and_goes_on_differently_in_each() {
        let start = |stream| (0..24).map(|offset| byte(stream, offset)).collect::<Vec<_>>();
        let (one, two) = (start(1), start(2));
        assert_eq!(one[..8], 1_u64.to_be_bytes());
        assert!(one[8..].iter().zip(&two[8..]).filter(|(a, b)| a == b).count() < 3);
    }
}
