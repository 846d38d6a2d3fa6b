//! A certificate authority for simulated meshes: X.509-SVIDs, as a rule with the fake signatures of
//! [`crypto::sign`](crate::crypto::sign).
//!
//! Those are a function of the authority's seed and of what was asked for. Those for names of equal length have equal
//! lengths, as long as their times are on the same side of the year 2050.

mod der;
#[cfg(test)]
mod tests;

use crate::crypto::sign::PrivateKey;
use crate::cryptography::{Issuer, KeyName, Notary};
use culvert_core::identity::{
    Credential, CredentialFault, Issued, RevocationLists, Serial, SpiffeId, TrustBundle, TrustBundleError,
};
use culvert_core::seed::Seed;
use culvert_core::time::WallTime;
use der::{element, sequence, tag};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, alg_id};
use rustls::sign::SigningKey;
use std::collections::BTreeMap;
use std::sync::Arc;

/// KeyUsage bits (RFC 5280 section 4.2.1.3).
pub const DIGITAL_SIGNATURE: u8 = 0x80;
/// See [`DIGITAL_SIGNATURE`].
pub const KEY_CERT_SIGN: u8 = 0x04;
/// See [`DIGITAL_SIGNATURE`].
pub const CRL_SIGN: u8 = 0x02;

/// Object identifiers as encoded: extensions (RFC 5280 sections 4.2.1 and 5.2.3), purposes of keys (section 4.2.1.12), commonName.
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 0x14];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// What a certificate shall say. [`Template::svid`] makes a correct one; its fields can be changed to make others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Template {
    /// The URIs of the subject alternative name; the extension is left out if there is none.
    pub uris: Vec<String>,
    /// The first second at which the certificate is valid.
    pub not_before: WallTime,
    /// The last second at which the certificate is valid; from the year 10000 on, it is taken for never.
    pub not_after: WallTime,
    /// The serial number; it always takes nine bytes.
    pub serial: u64,
    /// The KeyUsage bits; the extension is left out if there is none.
    pub key_usage: u8,
    /// Whether BasicConstraints says that it is a certificate authority.
    pub authority: bool,
}

impl Template {
    /// A leaf that obeys X.509-SVID.
    pub fn svid(id: &SpiffeId, not_before: WallTime, not_after: WallTime) -> Template {
        Template {
            uris: vec![id.to_string()],
            not_before,
            not_after,
            serial: 1,
            key_usage: DIGITAL_SIGNATURE,
            authority: false,
        }
    }
}

/// A root authority of one trust domain. It issues whatever it is asked for, names of other trust domains and times that are
/// over included: to refuse these is the business of those who verify.
#[derive(Clone, Debug)]
pub struct Authority {
    notary: Arc<dyn Notary>,
    seed: Seed,
    trust_domain: Arc<str>,
    issuer: Issuer,
    root: CertificateDer<'static>,
    bundle: Arc<TrustBundle>,
    generations: BTreeMap<SpiffeId, u64>,
}

/// Keys that an identity has in turn, where a world's keys are not made for it alone.
const TURNS: u64 = 4;

impl Authority {
    /// The authority of `trust_domain` with fake keys that come from `seed`. Another seed makes a stranger of the same name.
    ///
    /// # Errors
    /// When the trust domain's name breaks the grammar.
    pub fn new(seed: &Seed, trust_domain: &str) -> Result<Authority, TrustBundleError> {
        let notary: Arc<dyn Notary> = Arc::new(Fake);
        Authority::with(&notary, &KeyName::new(*seed, "root"), trust_domain)
    }

    /// The authority of `trust_domain` whose keys and certificates `notary` makes. Another `name`, of both kinds, makes a stranger
    /// that calls itself the same.
    ///
    /// # Errors
    /// When the trust domain's name breaks the grammar.
    pub fn with(
        notary: &Arc<dyn Notary>,
        name: &KeyName,
        trust_domain: &str,
    ) -> Result<Authority, TrustBundleError> {
        let seed = name.seed.child("authority").child(trust_domain);
        let key = KeyName::new(seed, format!("{} of {trust_domain}", name.label));
        let issuer = Issuer { key, name: format!("simulated authority of {trust_domain}") };
        let template = Template {
            uris: vec![format!("spiffe://{trust_domain}")],
            not_before: WallTime::from_unix_secs(0),
            not_after: WallTime::from_unix_secs(u64::MAX),
            serial: 0,
            key_usage: KEY_CERT_SIGN | CRL_SIGN,
            authority: true,
        };
        let root = notary.certify(&issuer, &template, &*notary.key(&issuer.key));
        let bundle = Arc::new(TrustBundle::empty().with_roots(trust_domain, std::slice::from_ref(&root))?);
        let (notary, generations) = (notary.clone(), BTreeMap::new());
        Ok(Authority { notary, seed, trust_domain: trust_domain.into(), issuer, root, bundle, generations })
    }

    /// The trust domain that it vouches for.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// Its own certificate.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// Whom the credentials that it issues trust: this authority, and those it was federated with.
    pub fn bundle(&self) -> &Arc<TrustBundle> {
        &self.bundle
    }

    /// Makes the credentials issued from now on trust `other`, for the trust domain of `other`.
    ///
    /// # Errors
    /// When the root of `other` is no certificate, which does not happen.
    pub fn federate(&mut self, other: &Authority) -> Result<(), TrustBundleError> {
        let roots = std::slice::from_ref(&other.root);
        self.bundle = Arc::new(TrustBundle::clone(&self.bundle).with_roots(&other.trust_domain, roots)?);
        Ok(())
    }

    /// Makes the credentials issued from now on trust nobody but itself.
    ///
    /// # Errors
    /// When its root is no certificate, which does not happen.
    pub fn stand_alone(&mut self) -> Result<(), TrustBundleError> {
        let roots = std::slice::from_ref(&self.root);
        self.bundle = Arc::new(TrustBundle::empty().with_roots(&self.trust_domain, roots)?);
        Ok(())
    }

    /// Issues a credential with a key of its own. Asked again for the same id, it issues the next generation of it; what was
    /// issued to others makes no difference.
    ///
    /// # Errors
    /// When `not_after` is before `not_before`.
    pub fn issue(
        &mut self,
        id: &SpiffeId,
        not_before: WallTime,
        not_after: WallTime,
    ) -> Result<Arc<Credential>, CredentialFault> {
        let generation = self.generations.get(id).copied().unwrap_or(0) + 1;
        self.generations.insert(id.clone(), generation);
        let seed = self.seed.child(&format!("{id} {generation}"));
        let key = KeyName::new(seed.child("key"), format!("{id} {}", generation % TURNS));
        let key = self.notary.key(&key);
        let serial = seed.child("serial").draws().next_u64();
        let template = Template { serial, ..Template::svid(id, not_before, not_after) };
        let chain = vec![self.certify(&template, &*key).to_vec()];
        let issued = Issued { id: id.clone(), chain, bundle: self.bundle.clone(), generation };
        Credential::new(issued, key, not_before).map(Arc::new)
    }

    /// The lists by which it revokes the certificates of these serial numbers. `None` where its keys are such that it cannot.
    pub fn revoke(&self, serials: &[Serial]) -> Option<RevocationLists> {
        let list = self.notary.revoke(&self.issuer, serials)?;
        RevocationLists::read(&list).ok()
    }

    /// Signs a certificate that says what `template` says, right or wrong, for the owner of `key`.
    pub fn certify(&self, template: &Template, key: &dyn SigningKey) -> CertificateDer<'static> {
        self.notary.certify(&self.issuer, template, key)
    }
}

/// Makes keys of their seeds, and signs with what they make.
#[derive(Clone, Copy, Debug)]
pub struct Fake;

/// The name of an issuer.
fn name_of(issuer: &Issuer) -> Vec<u8> {
    let name = element(tag::UTF8_STRING, &[issuer.name.as_bytes()]);
    let name = sequence(&[&element(tag::OID, &[COMMON_NAME]), &name]);
    sequence(&[&element(tag::SET, &[&name])])
}

impl Notary for Fake {
    fn key(&self, name: &KeyName) -> Arc<dyn SigningKey> {
        Arc::new(PrivateKey::from_seed(&name.seed))
    }

    fn certify(&self, issuer: &Issuer, template: &Template, key: &dyn SigningKey) -> CertificateDer<'static> {
        let name = name_of(issuer);
        let signer = PrivateKey::from_seed(&issuer.key.seed);
        let key = key.public_key().unwrap_or_else(|| SubjectPublicKeyInfoDer::from(Vec::new()));
        // A leaf has no subject: who it is for stands in its URI.
        let subject = if key == signer.public().to_der() { name.clone() } else { sequence(&[]) };
        certificate(&signer, &name, &subject, template, &key)
    }

    fn revoke(&self, issuer: &Issuer, serials: &[Serial]) -> Option<Vec<u8>> {
        let signer = PrivateKey::from_seed(&issuer.key.seed);
        Some(revocation_list(&signer, &name_of(issuer), serials))
    }
}

/// `Certificate` of RFC 5280 section 4.1.
fn certificate(
    issuer: &PrivateKey,
    issuer_name: &[u8],
    subject_name: &[u8],
    template: &Template,
    key: &[u8],
) -> CertificateDer<'static> {
    let algorithm = sequence(&[alg_id::ED25519.as_ref()]);
    let version_3 = element(tag::INTEGER, &[&[2]]);
    // The leading byte keeps the number positive and its length the same.
    let serial = element(tag::INTEGER, &[&[1], &template.serial.to_be_bytes()]);
    let to_be_signed = sequence(&[
        &element(tag::VERSION, &[&version_3]),
        &serial,
        &algorithm,
        issuer_name,
        &sequence(&[&der::time(template.not_before), &der::time(template.not_after)]),
        subject_name,
        key,
        &element(tag::EXTENSIONS, &[&extensions(template, subject_name.len() > 2)]),
    ]);
    let signature = element(tag::BIT_STRING, &[&[0], &issuer.sign(&to_be_signed)]);
    CertificateDer::from(sequence(&[&to_be_signed, &algorithm, &signature]))
}

/// `CertificateList` of RFC 5280 section 5.1, without an end.
fn revocation_list(issuer: &PrivateKey, issuer_name: &[u8], serials: &[Serial]) -> Vec<u8> {
    let algorithm = sequence(&[alg_id::ED25519.as_ref()]);
    let begin = der::time(WallTime::from_unix_secs(0));
    let revoked = |serial: &Serial| sequence(&[&element(tag::INTEGER, &[serial.as_bytes()]), &begin]);
    let revoked: Vec<u8> = serials.iter().flat_map(revoked).collect();
    let revoked = if revoked.is_empty() { Vec::new() } else { sequence(&[&revoked]) };
    let number = extension(CRL_NUMBER, false, &element(tag::INTEGER, &[&[1]]));
    let to_be_signed = sequence(&[
        &element(tag::INTEGER, &[&[1]]),
        &algorithm,
        issuer_name,
        &begin,
        &der::time(WallTime::from_unix_secs(u64::MAX)),
        &revoked,
        // `[0]`, constructed, as the version of a certificate is.
        &element(tag::VERSION, &[&sequence(&[&number])]),
    ]);
    let signature = element(tag::BIT_STRING, &[&[0], &issuer.sign(&to_be_signed)]);
    sequence(&[&to_be_signed, &algorithm, &signature])
}

/// The SEQUENCE of all extensions.
fn extensions(template: &Template, has_subject: bool) -> Vec<u8> {
    let mut all = Vec::new();
    if template.authority {
        let yes = element(tag::BOOLEAN, &[&[0xff]]);
        all.push(extension(BASIC_CONSTRAINTS, true, &sequence(&[&yes])));
    } else {
        let purposes = [SERVER_AUTH, CLIENT_AUTH].map(|purpose| element(tag::OID, &[purpose]));
        all.push(extension(EXTENDED_KEY_USAGE, false, &sequence(&purposes.each_ref().map(Vec::as_slice))));
    }
    if template.key_usage != 0 {
        // Bits that are named are encoded without the zeros behind them (X.690 section 11.2.2).
        let unused = template.key_usage.trailing_zeros() as u8;
        let bits = element(tag::BIT_STRING, &[&[unused, template.key_usage]]);
        all.push(extension(KEY_USAGE, true, &bits));
    }
    if !template.uris.is_empty() {
        let uris: Vec<_> = template.uris.iter().map(|uri| element(tag::URI, &[uri.as_bytes()])).collect();
        // Critical exactly if it stands for the subject (RFC 5280 section 4.2.1.6).
        all.push(extension(SUBJECT_ALT_NAME, !has_subject, &sequence(&[&uris.concat()])));
    }
    sequence(&[&all.concat()])
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let oid = element(tag::OID, &[oid]);
    let value = element(tag::OCTET_STRING, &[value]);
    let critical = if critical { element(tag::BOOLEAN, &[&[0xff]]) } else { Vec::new() };
    sequence(&[&oid, &critical, &value])
}
