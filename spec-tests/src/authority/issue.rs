//! What an authority issues, right and wrong.

use std::time::{Duration, SystemTime};

use culvert_core::identity::SpiffeId;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SubjectPublicKeyInfo,
};

/// What an authority must not answer (reliability C4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// A certificate for another workload.
    OtherIdentity,
    /// One for another key.
    OtherKey,
    /// One that is over.
    Expired,
    /// One with two SPIFFE ids.
    TwoNames,
    /// The leaf without anything behind it.
    Truncated,
    /// One of another trust domain.
    OtherDomain,
    /// One by an issuer between it and the root, which is left out.
    NoIntermediate,
    /// One that may sign others.
    Authority,
    /// Text that is no certificate.
    Junk,
    /// Nothing at all.
    Nothing,
}

impl Lie {
    /// All of them.
    pub const ALL: [Lie; 10] = [
        Lie::OtherIdentity,
        Lie::OtherKey,
        Lie::Expired,
        Lie::TwoNames,
        Lie::Truncated,
        Lie::OtherDomain,
        Lie::NoIntermediate,
        Lie::Authority,
        Lie::Junk,
        Lie::Nothing,
    ];
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// A root of that name.
pub(super) fn authority(name: &str) -> Issuer {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// The answer for `id` and its key: the chain, root last.
pub(super) fn answer(
    root: &Issuer,
    id: &SpiffeId,
    key: &SubjectPublicKeyInfo,
    life: Duration,
    lie: Option<Lie>,
) -> Vec<String> {
    let now = SystemTime::now();
    let minute = Duration::from_secs(60);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![uri(&id.to_string())];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    (params.not_before, params.not_after) = ((now - minute).into(), (now + life).into());
    match lie {
        Some(Lie::OtherIdentity) => params.subject_alt_names = vec![uri("spiffe://cluster.local/ns/x/sa/y")],
        Some(Lie::OtherDomain) => params.subject_alt_names = vec![uri("spiffe://other.org/ns/x/sa/y")],
        Some(Lie::TwoNames) => params.subject_alt_names.push(uri("spiffe://cluster.local/ns/x/sa/y")),
        Some(Lie::Expired) => {
            (params.not_before, params.not_after) = ((now - 10 * minute).into(), (now - minute).into());
        }
        Some(Lie::Authority) => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
        _ => {}
    }
    let other =
        SubjectPublicKeyInfo::from_der(&KeyPair::generate().unwrap().subject_public_key_info()).unwrap();
    let key = if lie == Some(Lie::OtherKey) { &other } else { key };
    let between = CertifiedIssuer::signed_by(authority_params("between"), KeyPair::generate().unwrap(), root);
    let between = between.unwrap();
    let leaf = if lie == Some(Lie::NoIntermediate) {
        params.signed_by(key, &between).unwrap()
    } else {
        params.signed_by(key, root).unwrap()
    };
    match lie {
        Some(Lie::Truncated) => vec![leaf.pem()],
        Some(Lie::Junk) => vec!["junk".to_owned(), root.pem()],
        Some(Lie::Nothing) => Vec::new(),
        _ => vec![leaf.pem(), root.pem()],
    }
}
