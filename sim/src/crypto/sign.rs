//! Signatures in name only: a signature is a hash keyed with the *public* key, so that anybody can verify one, and make one.
//! They go by the number and the sizes of Ed25519 (RFC 8410).

use super::random;
use super::sponge::Sponge;
use culvert_core::seed::Seed;
use rustls::crypto::{GetRandomFailed, KeyProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, PrivatePkcs8KeyDer, SignatureVerificationAlgorithm,
    SubjectPublicKeyInfoDer, alg_id,
};
use rustls::sign::{Signer, SigningKey, public_key_to_spki};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use std::fmt;
use std::sync::Arc;

/// Length of a key, private or public (RFC 8032 section 5.1.5).
pub const KEY_BYTES: usize = 32;
/// Length of a signature (RFC 8032 section 5.1.6).
pub const SIGNATURE_BYTES: usize = 64;

/// What stands before the private key in its PKCS #8 form (RFC 8410 section 7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

const PUBLIC: u64 = 0x7075_626c_6963;
const SIGNATURE: u64 = 0x7369_676e;

/// How rustls and webpki verify: one algorithm, for certificates and handshakes alike.
pub(super) const ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[&Verification],
    mapping: &[(SignatureScheme::ED25519, &[&Verification])],
};

/// A private key. Its `Debug` shows the public one only, as one expects of real keys.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey([u8; KEY_BYTES]);

/// The public half of a [`PrivateKey`]: all that it takes to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; KEY_BYTES]);

impl PrivateKey {
    /// The key that belongs to `seed`.
    pub fn from_seed(seed: &Seed) -> PrivateKey {
        let mut key = [0; KEY_BYTES];
        let mut draws = seed.draws();
        for chunk in key.as_chunks_mut().0 {
            *chunk = draws.next_u64().to_le_bytes();
        }
        PrivateKey(key)
    }

    /// Draws a key from the thread's stream.
    ///
    /// # Errors
    /// [`GetRandomFailed`] outside of [`random::with_stream`].
    pub fn generate() -> Result<PrivateKey, GetRandomFailed> {
        let mut key = [0; KEY_BYTES];
        random::fill(&mut key)?;
        Ok(PrivateKey(key))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        let mut sponge = Sponge::new(PUBLIC);
        sponge.absorb(&self.0);
        PublicKey(sponge.bytes())
    }

    /// The key in the form in which the provider's key provider loads it: PKCS #8 of an Ed25519 key.
    pub fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from([&PKCS8_PREFIX[..], &self.0].concat()))
    }

    /// The signature of `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        signature(&self.public().0, message)
    }
}

impl PublicKey {
    /// The key as certificates carry it (RFC 8410 section 4).
    pub fn to_der(self) -> SubjectPublicKeyInfoDer<'static> {
        public_key_to_spki(&alg_id::ED25519, self.0)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PrivateKey").field(&self.public()).finish()
    }
}

impl SigningKey for PrivateKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.public().to_der())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(PrivateKey::sign(self, message).to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// Loads what [`PrivateKey::to_der`] makes.
#[derive(Debug)]
pub(super) struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, der: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        let key = der.secret_der().strip_prefix(&PKCS8_PREFIX).and_then(|key| key.try_into().ok());
        let key = key.ok_or_else(|| Error::General("the private key is not one of Ed25519".to_owned()))?;
        Ok(Arc::new(PrivateKey(key)))
    }
}

#[derive(Debug)]
struct Verification;

impl SignatureVerificationAlgorithm for Verification {
    fn verify_signature(&self, key: &[u8], message: &[u8], found: &[u8]) -> Result<(), InvalidSignature> {
        let valid = key.len() == KEY_BYTES && signature(key, message) == *found;
        valid.then_some(()).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }
}

fn signature(public: &[u8], message: &[u8]) -> [u8; SIGNATURE_BYTES] {
    let mut sponge = Sponge::new(SIGNATURE);
    sponge.absorb_item(public);
    sponge.absorb(message);
    sponge.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> PrivateKey {
        PrivateKey::from_seed(&Seed::new([n; 32]))
    }

    fn verify(key: &PrivateKey, message: &[u8], signature: &[u8]) -> bool {
        Verification.verify_signature(&key.public().0, message, signature).is_ok()
    }

    #[test]
    fn a_signature_is_good_for_its_key_and_message_only() {
        let message = b"a transcript";
        let signed = key(1).sign(message);
        assert!(verify(&key(1), message, &signed));
        assert!(!verify(&key(2), message, &signed));
        assert!(!verify(&key(1), &message[1..], &signed));
        assert!(!verify(&key(1), message, &signed[..63]));
        for bit in 0..SIGNATURE_BYTES * 8 {
            let mut changed = signed;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(&key(1), message, &changed), "bit {bit}");
        }
        assert!(Verification.verify_signature(&[], message, &signature(&[], message)).is_err());
    }

    #[test]
    fn keys_survive_their_encoding() {
        let loaded = Keys.load_private_key(key(3).to_der()).unwrap();
        assert_eq!(loaded.public_key(), Some(key(3).public().to_der()));
        for junk in [vec![], vec![0; 48], key(3).to_der().secret_der()[..47].to_vec()] {
            assert!(Keys.load_private_key(PrivateKeyDer::Pkcs8(junk.into())).is_err());
        }
    }

    #[test]
    fn keys_are_drawn_from_the_stream_and_not_shown() {
        assert!(PrivateKey::generate().is_err());
        let draw = |n| random::with_stream(&mut Seed::new([n; 32]).draws(), PrivateKey::generate).unwrap();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!(format!("{:?}", key(1)), format!("PrivateKey({:?})", key(1).public()));
    }

    #[test]
    fn only_the_one_scheme_is_chosen() {
        let chosen =
            |offered: &[SignatureScheme]| key(1).choose_scheme(offered).map(|signer| signer.scheme());
        let (ours, other) = (SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256);
        assert_eq!(chosen(&[other, ours]), Some(ours));
        assert_eq!(chosen(&[other]), None);
    }
}
