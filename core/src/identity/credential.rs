//! What a workload of this node presents: its certificate chain, its key, and whom it trusts.

use super::svid::SvidVerifier;
use super::{IdentityFault, Leaf, SpiffeId, Trust, TrustBundle};
use crate::time::WallTime;
use rustls::InconsistentKeys;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::{CertifiedKey, SigningKey};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a certificate authority issued, before it is joined with its key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The identity that was asked for.
    pub id: SpiffeId,
    /// The leaf, then the intermediates, each in DER.
    pub chain: Vec<Vec<u8>>,
    /// Whom this identity trusts.
    pub bundle: Arc<TrustBundle>,
    /// Counts up with every rotation of this identity.
    pub generation: u64,
}

/// A usable identity of this node; immutable. Its `Debug` shows no key and no certificate.
pub struct Credential {
    issued: Issued,
    leaf: Leaf,
    certified: Arc<CertifiedKey>,
}

/// Why a chain and a key make no credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialFault {
    /// There is no certificate.
    #[error("the credential has no certificate")]
    EmptyChain,
    /// The leaf is no X.509-SVID.
    #[error("the credential's leaf is refused: {0}")]
    Leaf(IdentityFault),
    /// The leaf is for another identity than was asked for.
    #[error("the credential is for {found}, not for {wanted}")]
    OtherId {
        /// The identity that was asked for.
        wanted: SpiffeId,
        /// The identity of the leaf.
        found: SpiffeId,
    },
    /// An intermediate is no certificate; counted from 1, the leaf being 0.
    #[error("certificate {0} of the credential's chain cannot be read")]
    Intermediate(usize),
    /// The leaf is past its end.
    #[error("the credential expired at {}", .0.as_unix_secs())]
    Expired(WallTime),
    /// The key is not the leaf's.
    #[error("the credential's key does not belong to its certificate")]
    KeyMismatch,
    /// The provider cannot use the key.
    #[error("the credential's key cannot be used: {0}")]
    Key(String),
    /// A text is no PEM, or has no such item.
    #[error("the credential is no PEM: {0}")]
    Pem(String),
}

impl Credential {
    /// Joins an issued chain with its key.
    ///
    /// # Errors
    /// When the chain is empty or unreadable, its leaf is no X.509-SVID for the id that was asked for or is past its end, or
    /// the key is known not to be the leaf's. A leaf that is not valid yet is taken: clocks differ, and peers judge by theirs.
    pub fn new(
        issued: Issued,
        key: Arc<dyn SigningKey>,
        now: WallTime,
    ) -> Result<Credential, CredentialFault> {
        let (first, intermediates) = issued.chain.split_first().ok_or(CredentialFault::EmptyChain)?;
        let leaf = Leaf::read(first).map_err(CredentialFault::Leaf)?;
        if leaf.id != issued.id {
            return Err(CredentialFault::OtherId { wanted: issued.id, found: leaf.id });
        }
        for (index, certificate) in intermediates.iter().enumerate() {
            webpki::EndEntityCert::try_from(&CertificateDer::from(certificate.as_slice()))
                .map_err(|_| CredentialFault::Intermediate(index.saturating_add(1)))?;
        }
        if leaf.not_after < now {
            return Err(CredentialFault::Expired(leaf.not_after));
        }
        let certified = CertifiedKey::new(certificates(&issued), key);
        match certified.keys_match() {
            // A key that does not show its public half can only be found out by the handshake.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(CredentialFault::KeyMismatch),
            Err(other) => return Err(CredentialFault::Key(other.to_string())),
        }
        Ok(Credential { issued, leaf, certified: Arc::new(certified) })
    }

    /// Joins an issued chain with a private key in DER, loaded by `provider`.
    ///
    /// # Errors
    /// As [`Credential::new`], and when the provider cannot load the key.
    pub fn from_der(
        issued: Issued,
        key: PrivateKeyDer<'static>,
        provider: &CryptoProvider,
        now: WallTime,
    ) -> Result<Credential, CredentialFault> {
        let key =
            provider.key_provider.load_private_key(key).map_err(|e| CredentialFault::Key(e.to_string()))?;
        Credential::new(issued, key, now)
    }

    /// Joins a chain and a private key, both in PEM. `issued.chain` is replaced by the certificates of `chain_pem`, in their order.
    ///
    /// # Errors
    /// As [`Credential::from_der`], and when a text is no PEM or `key_pem` has no private key.
    pub fn from_pem(
        mut issued: Issued,
        chain_pem: &[u8],
        key_pem: &[u8],
        provider: &CryptoProvider,
        now: WallTime,
    ) -> Result<Credential, CredentialFault> {
        let pem = |e: rustls::pki_types::pem::Error| CredentialFault::Pem(e.to_string());
        issued.chain = CertificateDer::pem_slice_iter(chain_pem)
            .map(|certificate| certificate.map(|der| der.to_vec()))
            .collect::<Result<_, _>>()
            .map_err(pem)?;
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(pem)?;
        Credential::from_der(issued, key, provider, now)
    }

    /// Whose credential this is.
    pub fn id(&self) -> &SpiffeId {
        &self.issued.id
    }

    /// The leaf, then the intermediates, each in DER.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.issued.chain
    }

    /// Whom this identity trusts.
    pub fn bundle(&self) -> &Arc<TrustBundle> {
        &self.issued.bundle
    }

    /// Counts up with every rotation of this identity.
    pub fn generation(&self) -> u64 {
        self.issued.generation
    }

    /// The first second at which the leaf is valid.
    pub fn not_before(&self) -> WallTime {
        self.leaf.not_before
    }

    /// The last second at which the leaf is valid.
    pub fn not_after(&self) -> WallTime {
        self.leaf.not_after
    }

    /// Whether a peer that trusts whom this credential trusts takes it, by the bundle of `trust` where it has one, and by what that
    /// knows of revocations. What is wrong beside its begin is found though it has not begun: clocks differ.
    ///
    /// # Errors
    /// What such a peer finds wrong with it.
    pub fn check(
        &self,
        trust: &Trust,
        provider: &CryptoProvider,
        wall: WallTime,
    ) -> Result<(), IdentityFault> {
        let bundle = trust.bundle.as_ref().unwrap_or(&self.issued.bundle).clone();
        let algorithms = provider.signature_verification_algorithms;
        let verifier = SvidVerifier::new(self.id().trust_domain(), bundle, algorithms)
            .with_revoked(trust.revoked.clone());
        let Some((leaf, intermediates)) = self.certified.cert.split_first() else {
            return Err(IdentityFault::NoCertificate);
        };
        let mut at = wall;
        // Once for each certificate that begins later than those before, and once more.
        for _ in 0..=self.certified.cert.len() {
            let now = UnixTime::since_unix_epoch(Duration::from_secs(at.as_unix_secs()));
            match verifier.verify_server(leaf, intermediates, now) {
                Err(IdentityFault::NotYetValid { not_before, .. }) if not_before > at => at = not_before,
                outcome => return outcome.map(|_leaf| ()),
            }
        }
        Ok(())
    }

    /// A credential that skips all checks but the reading of a leaf, to present what peers must refuse.
    #[cfg(test)]
    pub(crate) fn unchecked(issued: Issued, key: Arc<dyn SigningKey>, leaf: Leaf) -> Credential {
        let certified = Arc::new(CertifiedKey::new(certificates(&issued), key));
        Credential { issued, leaf, certified }
    }

    /// The chain and key in the form that rustls takes.
    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("id", &self.issued.id)
            .field("generation", &self.issued.generation)
            .field("serial", &self.leaf.serial)
            .field("not_before", &self.leaf.not_before)
            .field("not_after", &self.leaf.not_after)
            .field("chain", &self.issued.chain.len())
            .field("bundle", &self.issued.bundle)
            .finish_non_exhaustive()
    }
}

fn certificates(issued: &Issued) -> Vec<CertificateDer<'static>> {
    issued.chain.iter().cloned().map(CertificateDer::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::{Ca, Template, WALL, provider};
    use rcgen::KeyPair;

    const ID: &str = "spiffe://cluster.local/ns/x/sa/a";

    fn issued(ca: &Ca, template: Template) -> (Issued, PrivateKeyDer<'static>) {
        let (leaf, key) = ca.issue(template);
        let bundle = ca.bundle("cluster.local");
        (Issued { id: ID.parse().unwrap(), chain: vec![leaf.to_vec()], bundle, generation: 7 }, key)
    }

    fn fault(
        change: impl FnOnce(&mut Issued),
        key: Option<PrivateKeyDer<'static>>,
    ) -> Option<CredentialFault> {
        let (mut issued, own) = issued(&Ca::new("mesh"), Template::svid(&[ID]));
        change(&mut issued);
        Credential::from_der(issued, key.unwrap_or(own), &provider(), WALL).err()
    }

    #[test]
    fn a_chain_and_its_key_make_a_credential() {
        let ca = Ca::new("mesh");
        let (mut issued, key) = issued(&ca, Template::svid(&[ID]));
        issued.chain.push(ca.der().to_vec());
        let credential = Credential::from_der(issued, key, &provider(), WALL).unwrap();
        assert_eq!((credential.id().to_string(), credential.generation()), (ID.to_owned(), 7));
        assert!(credential.not_before() < WALL && WALL < credential.not_after());
        assert_eq!(credential.chain().len(), 2);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(fault(|_| (), None), None);
        assert_eq!(fault(|i| i.chain.clear(), None), Some(CredentialFault::EmptyChain));
        assert_eq!(fault(|i| i.chain.push(vec![0]), None), Some(CredentialFault::Intermediate(1)));
        let other: SpiffeId = "spiffe://cluster.local/ns/x/sa/b".parse().unwrap();
        assert_eq!(
            fault(|i| i.id = other.clone(), None),
            Some(CredentialFault::OtherId { wanted: other, found: ID.parse().unwrap() })
        );
        let stranger = PrivateKeyDer::try_from(KeyPair::generate().unwrap().serialize_der()).unwrap();
        assert_eq!(fault(|_| (), Some(stranger)), Some(CredentialFault::KeyMismatch));
        let junk = PrivateKeyDer::Pkcs8(vec![1, 2, 3].into());
        assert!(matches!(fault(|_| (), Some(junk)), Some(CredentialFault::Key(_))));
    }

    #[test]
    fn only_an_unexpired_svid_is_taken() {
        let with = |template: Template| {
            let (issued, key) = issued(&Ca::new("mesh"), template);
            Credential::from_der(issued, key, &provider(), WALL).err()
        };
        let mut old = Template::svid(&[ID]);
        old.params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        assert_eq!(with(old), Some(CredentialFault::Expired(WallTime::from_unix_secs(1_577_836_800))));
        let mut early = Template::svid(&[ID]);
        early.params.not_before = rcgen::date_time_ymd(2090, 1, 1);
        assert_eq!(with(early), None);
        assert_eq!(with(Template::svid(&[ID, ID])), Some(CredentialFault::Leaf(IdentityFault::ManyUris(2))));
    }

    #[test]
    fn what_no_peer_would_take_is_found_before_it_is_used() {
        let ca = Ca::new("mesh");
        let check = |issued: Issued, key, trust: &Trust| {
            Credential::from_der(issued, key, &provider(), WALL).unwrap().check(trust, &provider(), WALL)
        };
        let (own, key) = issued(&ca, Template::svid(&[ID]));
        assert_eq!(check(own, key, &Trust::default()), Ok(()));
        let (mut unchained, key) = issued(&ca.below("between", |_| ()), Template::svid(&[ID]));
        unchained.bundle = ca.bundle("cluster.local");
        assert_eq!(check(unchained.clone(), key, &Trust::default()), Err(IdentityFault::UnknownIssuer));
        let mut early = Template::svid(&[ID]);
        early.params.not_before = rcgen::date_time_ymd(2090, 1, 1);
        let (early, key) = issued(&ca, early);
        let other = Trust { bundle: Some(Ca::new("other").bundle("cluster.local")), ..Trust::default() };
        assert_eq!(check(early.clone(), key.clone_key(), &Trust::default()), Ok(()));
        assert_eq!(check(early, key, &other), Err(IdentityFault::UnknownIssuer), "its begin hides nothing");
    }

    #[test]
    fn pem_gives_the_same_and_debug_shows_no_key() {
        let ca = Ca::new("mesh");
        let key = KeyPair::generate().unwrap();
        let leaf = Template::svid(&[ID]).params.signed_by(&key, &ca.0).unwrap();
        let issued = Issued {
            id: ID.parse().unwrap(),
            chain: vec![],
            bundle: ca.bundle("cluster.local"),
            generation: 1,
        };
        let chain = leaf.pem() + &ca.0.pem();
        let load = |chain: &str, key: &str| {
            Credential::from_pem(issued.clone(), chain.as_bytes(), key.as_bytes(), &provider(), WALL)
        };
        let credential = load(&chain, &key.serialize_pem()).unwrap();
        assert_eq!(credential.chain(), [leaf.der().to_vec(), ca.der().to_vec()]);
        let shown = format!("{credential:?}");
        assert!(shown.contains(ID) && !shown.to_lowercase().contains("key"), "{shown}");
        assert!(matches!(load(&chain, "none"), Err(CredentialFault::Pem(_))));
        assert_eq!(load("none", &key.serialize_pem()).err(), Some(CredentialFault::EmptyChain));
    }
}
