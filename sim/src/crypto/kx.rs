//! A key exchange in name only: the secret is a hash of the two public shares, which are drawn at random.

use super::random;
use super::sponge::Sponge;
use rustls::crypto::{ActiveKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved};

/// Length of a share of X25519 (RFC 8446 section 4.2.8.2).
const SHARE_BYTES: usize = 32;
const EXCHANGE: u64 = 0x6b78;

pub(super) static X25519: Group = Group;

#[derive(Debug)]
pub(super) struct Group;

impl SupportedKxGroup for Group {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut own = [0; SHARE_BYTES];
        random::fill(&mut own).map_err(|GetRandomFailed| Error::FailedToGetRandomBytes)?;
        Ok(Box::new(Exchange { own }))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Exchange {
    own: [u8; SHARE_BYTES],
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let Ok(peer) = <[u8; SHARE_BYTES]>::try_from(peer) else {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        };
        // In the same order on both sides.
        let mut sponge = Sponge::new(EXCHANGE);
        sponge.absorb(self.own.min(peer).as_slice());
        sponge.absorb(self.own.max(peer).as_slice());
        Ok(SharedSecret::from(sponge.bytes::<SHARE_BYTES>().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.own
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use culvert_core::seed::Seed;

    #[test]
    fn both_sides_get_the_same_secret() {
        let start = || X25519.start().unwrap();
        let (a, b, c) = random::with_stream(&mut Seed::new([1; 32]).draws(), || (start(), start(), start()));
        let shares = [a.pub_key().to_vec(), b.pub_key().to_vec(), c.pub_key().to_vec()];
        assert_ne!(shares[0], shares[1]);
        let (ab, ba) = (a.complete(&shares[1]).unwrap(), b.complete(&shares[0]).unwrap());
        assert_eq!(ab.secret_bytes(), ba.secret_bytes());
        assert_ne!(ab.secret_bytes(), c.complete(&shares[1]).unwrap().secret_bytes());
    }

    #[test]
    fn both_shares_count() {
        let secret = |own: u8, peer: u8| {
            let exchange = Box::new(Exchange { own: [own; SHARE_BYTES] });
            exchange.complete(&[peer; SHARE_BYTES]).unwrap().secret_bytes().to_vec()
        };
        assert_ne!(secret(1, 2), secret(1, 3));
        assert_ne!(secret(3, 1), secret(3, 2));
    }

    #[test]
    fn shares_of_another_length_are_refused_and_so_is_a_start_without_a_stream() {
        assert_eq!(X25519.start().err(), Some(Error::FailedToGetRandomBytes));
        for length in [0, 31, 33] {
            let started = random::with_stream(&mut Seed::new([1; 32]).draws(), || X25519.start()).unwrap();
            let refused = started.complete(&vec![0; length]).err();
            assert_eq!(refused, Some(PeerMisbehaved::InvalidKeyShare.into()), "{length} bytes");
        }
    }
}
