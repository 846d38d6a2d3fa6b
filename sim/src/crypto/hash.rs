//! Hashes and keyed hashes with the output lengths of SHA-256 and SHA-384.

use super::sponge::Sponge;
use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::crypto::hmac::{Hmac, Key, Tag};

const HASH: u64 = 0x6861_7368;
const HMAC: u64 = 0x686d_6163;

pub(super) static SHA256: Digest<32> = Digest { algorithm: HashAlgorithm::SHA256 };
pub(super) static SHA384: Digest<48> = Digest { algorithm: HashAlgorithm::SHA384 };

/// A hash function with an output of `N` bytes, keyed or not.
pub(super) struct Digest<const N: usize> {
    algorithm: HashAlgorithm,
}

struct Running<const N: usize>(Sponge);

impl<const N: usize> Hash for Digest<N> {
    fn start(&self) -> Box<dyn Context> {
        Box::new(Running::<N>(Sponge::new(HASH)))
    }

    fn hash(&self, data: &[u8]) -> Output {
        let mut sponge = Sponge::new(HASH);
        sponge.absorb(data);
        Output::new(&sponge.bytes::<N>())
    }

    fn output_len(&self) -> usize {
        N
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }
}

impl<const N: usize> Context for Running<N> {
    fn fork_finish(&self) -> Output {
        Output::new(&self.0.bytes::<N>())
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Running::<N>(self.0.clone()))
    }

    fn finish(self: Box<Self>) -> Output {
        self.fork_finish()
    }

    fn update(&mut self, data: &[u8]) {
        self.0.absorb(data);
    }
}

impl<const N: usize> Hmac for Digest<N> {
    fn with_key(&self, key: &[u8]) -> Box<dyn Key> {
        let mut sponge = Sponge::new(HMAC);
        sponge.absorb_item(key);
        Box::new(Keyed::<N>(sponge))
    }

    fn hash_output_len(&self) -> usize {
        N
    }
}

struct Keyed<const N: usize>(Sponge);

impl<const N: usize> Key for Keyed<N> {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> Tag {
        let mut sponge = self.0.clone();
        sponge.absorb(first);
        middle.iter().for_each(|part| sponge.absorb(part));
        sponge.absorb(last);
        Tag::new(&sponge.bytes::<N>())
    }

    fn tag_len(&self) -> usize {
        N
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    quickcheck! {
        fn hashing_in_steps_is_hashing_at_once(a: Vec<u8>, b: Vec<u8>) -> bool {
            let mut running = SHA384.start();
            running.update(&a);
            let forked = running.fork();
            let half = running.fork_finish();
            running.update(&b);
            half.as_ref() == SHA384.hash(&a).as_ref()
                && forked.finish().as_ref() == half.as_ref()
                && running.finish().as_ref() == SHA384.hash(&[a, b].concat()).as_ref()
        }

        fn keys_and_messages_keep_apart(key: Vec<u8>, message: Vec<u8>) -> bool {
            let sign = |key: &[u8], message: &[u8]| SHA256.with_key(key).sign(&[message]).as_ref().to_vec();
            let Some((first, rest)) = message.split_first() else { return true };
            sign(&key, &message) != sign(&[&key[..], &[*first]].concat(), rest)
        }
    }

    #[test]
    fn outputs_have_the_lengths_of_the_real_ones() {
        assert_eq!((SHA256.output_len(), SHA256.hash(b"").as_ref().len()), (32, 32));
        assert_eq!((SHA384.output_len(), SHA384.hash(b"").as_ref().len()), (48, 48));
        let key = SHA384.with_key(b"key");
        assert_eq!((key.tag_len(), key.sign(&[b"message"]).as_ref().len()), (48, 48));
    }
}
