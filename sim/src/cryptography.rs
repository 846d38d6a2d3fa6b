//! What a world's TLS and certificates are made with: the fake that is a function of the seed, or whatever else is given.

use std::fmt;
use std::sync::Arc;

use culvert_core::identity::Serial;
use culvert_core::seed::Seed;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::sign::SigningKey;

use crate::certificate::{self, Template};
use crate::crypto;

/// The cryptography of all nodes, attackers and authorities of a world.
#[derive(Clone, Debug)]
pub struct Cryptography {
    /// What rustls encrypts, signs and verifies with.
    pub provider: Arc<CryptoProvider>,
    /// Who makes keys and certificates that fit the provider.
    pub notary: Arc<dyn Notary>,
    /// Whether every byte is a function of the seed. Where only their number is, bytes that go out are counted and not compared,
    /// and no recording is replayed: a fresh engine could not read what was encrypted for another.
    pub exact: bool,
}

/// Makes keys and certificates.
pub trait Notary: fmt::Debug + Send + Sync {
    /// The key of this name: the same whenever it is asked for.
    fn key(&self, name: &KeyName) -> Arc<dyn SigningKey>;

    /// A certificate that says what `template` says, right or wrong, for the owner of `key`. Its subject is the issuer if the key
    /// is the issuer's own, and else nobody.
    fn certify(&self, issuer: &Issuer, template: &Template, key: &dyn SigningKey) -> CertificateDer<'static>;

    /// The list, in DER, by which `issuer` revokes the certificates of these serial numbers; `None` where certificates of several
    /// owners have one number.
    fn revoke(&self, _issuer: &Issuer, _serials: &[Serial]) -> Option<Vec<u8>> {
        None
    }
}

/// What a key is known by.
#[derive(Clone, Debug)]
pub struct KeyName {
    /// A seed of its own, for those who make keys of seeds.
    pub seed: Seed,
    /// What it is for, for those who keep a few keys and use them in every world: two keys of one world that must not be one have
    /// different labels.
    pub label: String,
}

/// Who signs.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its key.
    pub key: KeyName,
    /// Its common name.
    pub name: String,
}

impl Cryptography {
    /// The simulator's own: nearly free, and a function of the seed.
    pub fn fake() -> Cryptography {
        Cryptography { provider: crypto::provider(), notary: Arc::new(certificate::Fake), exact: true }
    }
}

impl KeyName {
    /// A name of both kinds.
    pub fn new(seed: Seed, label: impl Into<String>) -> KeyName {
        KeyName { seed, label: label.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Fake;
    use crate::scenario::{Depth, Scenario};

    /// The fake's keys, but other ones: what they sign differs in its bytes, not in their number.
    #[derive(Debug)]
    struct Salted(&'static str);

    impl Salted {
        fn salt(&self, name: &KeyName) -> KeyName {
            KeyName::new(name.seed.child(self.0), name.label.clone())
        }
    }

    impl Notary for Salted {
        fn key(&self, name: &KeyName) -> Arc<dyn SigningKey> {
            Fake.key(&self.salt(name))
        }

        fn certify(&self, of: &Issuer, template: &Template, key: &dyn SigningKey) -> CertificateDer<'static> {
            Fake.certify(&Issuer { key: self.salt(&of.key), ..of.clone() }, template, key)
        }
    }

    fn hash(salt: &'static str, exact: bool, scenario: &Scenario) -> u64 {
        let cryptography = Cryptography { notary: Arc::new(Salted(salt)), exact, ..Cryptography::fake() };
        let outcome = scenario.run_with(&cryptography, Depth::WHOLE);
        assert_eq!(outcome.violation, None);
        assert!(outcome.seen.contains("completed"), "{:?}", outcome.seen);
        outcome.hash
    }

    #[test]
    fn bytes_count_in_the_hash_where_they_are_exact_and_else_their_number() {
        let scenario = Scenario::of_seed(2);
        assert_ne!(hash("a", true, &scenario), hash("b", true, &scenario));
        assert_eq!(hash("a", false, &scenario), hash("b", false, &scenario));
        assert_ne!(hash("a", false, &scenario), hash("a", false, &Scenario::of_seed(4)));
    }
}
