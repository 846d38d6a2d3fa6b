//! The cryptography of production in simulated worlds: aws-lc-rs as nodes use it, ECDSA P-256 keys, and certificates of rcgen.
//!
//! What aws-lc-rs draws from the operating system decides the values of bytes. Their number it decides in one place, the DER form
//! of an ECDSA signature. So a signature is made again until it has the length that the simulation drew: lengths vary as they do
//! in production, but by the seed, and what happens in a world is a function of its seed with this provider too.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use culvert::failure::Failure;
use culvert_core::time::WallTime;
use culvert_sim::certificate::{CRL_SIGN, DIGITAL_SIGNATURE, KEY_CERT_SIGN, Template};
use culvert_sim::crypto::random;
use culvert_sim::cryptography::{Cryptography, Issuer, KeyName, Notary};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

/// Lengths of ECDSA P-256 signatures in DER (RFC 3279 section 2.2.3), each as often as it occurs: both integers have a byte more
/// where their first bit is set. Shorter ones, one in 128, are not drawn.
const LENGTHS: [usize; 4] = [70, 71, 71, 72];
/// The length of all signatures of certificates: these are kept, and a world must not depend on which world they were made for.
const CERTIFICATE: usize = 71;
/// A length that is not had after so many signatures never will be.
const ATTEMPTS: usize = 10_000;
/// Certificates that are kept at most.
const KEPT: usize = 20_000;
/// 9999-12-31T23:59:59Z, in seconds since 1970: no certificate ends later (RFC 5280 section 4.1.2.5).
const NO_END: u64 = 253_402_300_799;

/// The cryptography of production.
pub(super) fn cryptography() -> Cryptography {
    Cryptography {
        provider: Arc::new(aws_lc_rs::default_provider()),
        notary: Arc::new(RealNotary::default()),
        exact: false,
    }
}

/// Makes a key the first time that its label is asked for, and keeps it for every world of the process; likewise certificates.
#[derive(Default)]
struct RealNotary {
    keys: Mutex<BTreeMap<String, Arc<Key>>>,
    certificates: Mutex<BTreeMap<Wanted, CertificateDer<'static>>>,
}

/// The label of the issuer's key, what the certificate shall say, and the owner's public key.
type Wanted = (String, Template, Vec<u8>);

struct Key {
    pair: KeyPair,
    signing: Arc<dyn SigningKey>,
}

impl Key {
    fn generate() -> Result<Key, Failure> {
        let failure = |error: &dyn std::error::Error| Failure::new(format!("cannot make a key: {error}"));
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| failure(&error))?;
        let der = PrivateKeyDer::try_from(pair.serialize_der()).map_err(Failure::new)?;
        let signing = aws_lc_rs::sign::any_supported_type(&der).map_err(|error| failure(&error))?;
        Ok(Key { pair, signing: Arc::new(Drawn(signing)) })
    }
}

impl fmt::Debug for RealNotary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealNotary").finish_non_exhaustive()
    }
}

impl RealNotary {
    #[expect(clippy::expect_used, reason = "a key of a curve that the library has can be made")]
    fn named(&self, label: &str) -> Arc<Key> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(label) {
            return key.clone();
        }
        let key = Arc::new(Key::generate().expect("aws-lc-rs makes P-256 keys"));
        keys.insert(label.to_owned(), key.clone());
        key
    }

    fn sign(
        &self,
        issuer: &Issuer,
        template: &Template,
        key: &[u8],
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        let owner = SubjectPublicKeyInfo::from_der(key)?;
        let authority = self.named(&issuer.key.label);
        let mut params = params_of(template)?;
        if owner.der_bytes() == authority.pair.der_bytes() {
            params.distinguished_name.push(DnType::CommonName, issuer.name.as_str());
        }
        let mut above = CertificateParams::default();
        above.distinguished_name = DistinguishedName::new();
        above.distinguished_name.push(DnType::CommonName, issuer.name.as_str());
        let signer = rcgen::Issuer::new(above, Fixed(&authority.pair));
        Ok(params.signed_by(&owner, &signer)?.der().clone())
    }
}

impl Notary for RealNotary {
    fn key(&self, name: &KeyName) -> Arc<dyn SigningKey> {
        self.named(&name.label).signing.clone()
    }

    #[expect(clippy::expect_used, reason = "what a template can say, a certificate can")]
    fn certify(&self, issuer: &Issuer, template: &Template, key: &dyn SigningKey) -> CertificateDer<'static> {
        let key = key.public_key().map(|key| key.to_vec()).unwrap_or_default();
        // The serial number would be of one world only, and nobody looks at it.
        let template = Template { serial: 0, ..template.clone() };
        let wanted = (issuer.key.label.clone(), template, key);
        let kept = |made: &Self| {
            made.certificates.lock().unwrap_or_else(PoisonError::into_inner).get(&wanted).cloned()
        };
        if let Some(certificate) = kept(self) {
            return certificate;
        }
        let made = self
            .sign(issuer, &wanted.1, &wanted.2)
            .expect("rcgen writes any of the simulator's certificates");
        let mut certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        if certificates.len() >= KEPT {
            certificates.clear();
        }
        certificates.entry(wanted).or_insert(made).clone()
    }
}

fn params_of(template: &Template) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let uris = template.uris.iter().map(|uri| Ok(SanType::URI(Ia5String::try_from(uri.as_str())?)));
    params.subject_alt_names = uris.collect::<Result<_, rcgen::Error>>()?;
    (params.not_before, params.not_after) =
        (time(template.not_before).into(), time(template.not_after).into());
    params.serial_number = Some(SerialNumber::from_slice(&[1; 16]));
    let usages = [
        (DIGITAL_SIGNATURE, KeyUsagePurpose::DigitalSignature),
        (KEY_CERT_SIGN, KeyUsagePurpose::KeyCertSign),
        (CRL_SIGN, KeyUsagePurpose::CrlSign),
    ];
    params.key_usages =
        usages.into_iter().filter(|(bit, _)| template.key_usage & bit != 0).map(|(_, usage)| usage).collect();
    if template.authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    } else {
        params.is_ca = IsCa::ExplicitNoCa;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
    }
    Ok(params)
}

fn time(wall: WallTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(wall.as_unix_secs().min(NO_END))
}

/// A key whose signatures have the lengths that the simulation draws.
#[derive(Debug)]
struct Drawn(Arc<dyn SigningKey>);

impl SigningKey for Drawn {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = self.0.choose_scheme(offered)?;
        Some(Box::new(DrawnSigner(signer)))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.0.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

#[derive(Debug)]
struct DrawnSigner(Box<dyn Signer>);

impl Signer for DrawnSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut drawn = [0];
        random::fill(&mut drawn)?;
        let [drawn] = drawn;
        let length = LENGTHS[usize::from(drawn) % LENGTHS.len()];
        again_until(length, || self.0.sign(message))?
            .ok_or_else(|| Error::General(format!("no signature has {length} bytes")))
    }

    fn scheme(&self) -> SignatureScheme {
        self.0.scheme()
    }
}

/// A key whose signatures have one length.
struct Fixed<'a>(&'a KeyPair);

impl PublicKeyData for Fixed<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl rcgen::SigningKey for Fixed<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        again_until(CERTIFICATE, || self.0.sign(message))?.ok_or(rcgen::Error::RemoteKeyError)
    }
}

/// The first that has this length.
fn again_until<E>(length: usize, mut sign: impl FnMut() -> Result<Vec<u8>, E>) -> Result<Option<Vec<u8>>, E> {
    for _ in 0..ATTEMPTS {
        let signature = sign()?;
        if signature.len() == length {
            return Ok(Some(signature));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use culvert_core::identity::svid::SvidVerifier;
    use culvert_core::identity::{Credential, CredentialFault, IdentityFault, Issued, SpiffeId};
    use culvert_core::seed::Seed;
    use culvert_sim::certificate::Authority;
    use rustls::pki_types::{AlgorithmIdentifier, UnixTime, alg_id};

    const START: u64 = 1_800_000_000;
    const END: u64 = START + 86_400;

    fn at(secs: u64) -> WallTime {
        WallTime::from_unix_secs(secs)
    }

    fn id() -> SpiffeId {
        "spiffe://cluster.local/ns/x/sa/a".parse().unwrap()
    }

    fn name(label: &str) -> KeyName {
        KeyName::new(Seed::new([1; 32]), label)
    }

    fn authority(real: &Cryptography, label: &str) -> Authority {
        Authority::with(&real.notary, &name(label), "cluster.local").unwrap()
    }

    /// What whoever trusts `trusted` finds wrong with a certificate of this template by `issuer`.
    fn fault(
        real: &Cryptography,
        trusted: &Authority,
        issuer: &Authority,
        change: impl Fn(&mut Template),
    ) -> Option<IdentityFault> {
        let mut template = Template::svid(&id(), at(START), at(END));
        change(&mut template);
        let leaf = issuer.certify(&template, &*real.notary.key(&name("leaf")));
        let algorithms = real.provider.signature_verification_algorithms;
        let verifier = SvidVerifier::new("cluster.local", trusted.bundle().clone(), algorithms);
        verifier.verify_server(&leaf, &[], UnixTime::since_unix_epoch(Duration::from_secs(START + 1))).err()
    }

    #[test]
    fn what_is_right_is_taken_and_what_is_wrong_refused() {
        let real = cryptography();
        let (root, stranger) = (authority(&real, "root 0"), authority(&real, "stranger"));
        let of_root = |change: fn(&mut Template)| fault(&real, &root, &root, change);
        assert_eq!(of_root(|_| ()), None);
        assert!(matches!(
            of_root(|t| (t.not_before, t.not_after) = (at(START - 9), at(START - 1))),
            Some(IdentityFault::Expired { .. })
        ));
        assert!(matches!(
            of_root(|t| t.not_before = at(START + 60)),
            Some(IdentityFault::NotYetValid { .. })
        ));
        assert_eq!(of_root(|t| t.uris.push("spiffe://b/ns/x/sa/a".into())), Some(IdentityFault::ManyUris(2)));
        assert_eq!(of_root(|t| t.uris.clear()), Some(IdentityFault::NoSubjectAltName));
        assert_eq!(of_root(|t| t.authority = true), Some(IdentityFault::LeafIsAuthority));
        assert_eq!(of_root(|t| t.key_usage |= KEY_CERT_SIGN), Some(IdentityFault::SigningLeaf));
        assert!(of_root(|t| t.uris = vec!["spiffe://other.org/ns/x/sa/a".into()]).is_some());
        assert_eq!(fault(&real, &stranger, &stranger, |_| ()), None);
        assert!(fault(&real, &root, &stranger, |_| ()).is_some(), "a namesake signed it");
    }

    #[test]
    fn credentials_turn_to_another_key_and_do_not_take_one_that_is_not_theirs() {
        let real = cryptography();
        let mut root = authority(&real, "root 0");
        let mut issue = || root.issue(&id(), at(START), at(END)).unwrap();
        let key = |credential: &Credential| credential.chain().to_vec();
        let (first, second) = (issue(), issue());
        assert_ne!(key(&first), key(&second));
        let template = Template::svid(&id(), at(START), at(END));
        let chain = vec![root.certify(&template, &*real.notary.key(&name("another"))).to_vec()];
        let issued = Issued { id: id(), chain, bundle: root.bundle().clone(), generation: 1 };
        let joined = Credential::new(issued, real.notary.key(&name("wrong")), at(START));
        assert_eq!(joined.err(), Some(CredentialFault::KeyMismatch));
    }

    #[test]
    fn signatures_are_valid_and_of_every_length_and_their_lengths_are_the_seeds() {
        let real = cryptography();
        let key = real.notary.key(&name("leaf"));
        let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
        let signer = key.choose_scheme(&[scheme]).unwrap();
        let signed = |seed: u8| -> Vec<Vec<u8>> {
            let mut stream = Seed::new([seed; 32]).draws();
            random::with_stream(&mut stream, || (0..32).map(|_| signer.sign(b"words").unwrap()).collect())
        };
        let lengths = |signed: &[Vec<u8>]| signed.iter().map(Vec::len).collect::<Vec<_>>();
        let (one, again, other) = (signed(1), signed(1), signed(2));
        assert_eq!(lengths(&one), lengths(&again));
        assert_ne!(one, again, "the bytes are not the seed's");
        assert_ne!(lengths(&one), lengths(&other));
        assert!(LENGTHS.iter().all(|length| lengths(&one).contains(length)), "{:?}", lengths(&one));
        let is = |id: AlgorithmIdentifier, wanted| id == wanted;
        let public = key.public_key().unwrap();
        let point = SubjectPublicKeyInfo::from_der(&public).unwrap();
        let verified = real.provider.signature_verification_algorithms.all.iter().any(|algorithm| {
            is(algorithm.public_key_alg_id(), alg_id::ECDSA_P256)
                && is(algorithm.signature_alg_id(), alg_id::ECDSA_SHA256)
                && one
                    .iter()
                    .all(|made| algorithm.verify_signature(point.der_bytes(), b"words", made).is_ok())
        });
        assert!(verified);
        assert!(signer.sign(b"words").is_err(), "without a stream there is no length");
    }

    #[test]
    fn a_key_and_a_certificate_are_the_same_in_every_world() {
        let real = cryptography();
        let [first, second] = [(); 2].map(|()| authority(&real, "root 0").root().clone());
        assert_eq!(first, second);
        let [one, other] =
            [cryptography(), cryptography()].map(|real| authority(&real, "root 0").root().clone());
        assert_ne!(one, other);
        assert_eq!(one.len(), other.len(), "lengths are the same in every process");
    }
}
