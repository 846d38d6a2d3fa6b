//! Certificates for tests: authorities and leaves with any fault one asks for, made with rcgen and aws-lc-rs.

use super::{Credential, Issued, TrustBundle};
use crate::time::WallTime;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

/// The moment at which tests take place, inside the validity of every certificate that does not say otherwise.
pub(crate) const WALL: WallTime = WallTime::from_unix_secs(1_800_000_000);

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// What a leaf shall look like; starts as a correct SVID.
pub(crate) struct Template {
    pub(crate) params: CertificateParams,
}

impl Template {
    pub(crate) fn svid(uris: &[&str]) -> Template {
        let mut params = CertificateParams::default();
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Template { params }
    }
}

/// A certificate authority, root or intermediate.
pub(crate) struct Ca(pub(crate) CertifiedIssuer<'static, KeyPair>);

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Ca {
    pub(crate) fn new(name: &str) -> Ca {
        Ca(CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap()).unwrap())
    }

    /// An intermediate authority below this one.
    pub(crate) fn below(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Ca {
        let mut params = authority(name);
        change(&mut params);
        Ca(CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn issue(&self, template: Template) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let leaf = template.params.signed_by(&key, &self.0).unwrap();
        (leaf.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    /// A bundle in which this authority alone vouches for `trust_domain`.
    pub(crate) fn bundle(&self, trust_domain: &str) -> Arc<TrustBundle> {
        Arc::new(TrustBundle::empty().with_roots(trust_domain, &[self.der()]).unwrap())
    }

    /// A correct credential for `id`, trusting this authority for the id's trust domain.
    pub(crate) fn credential(&self, id: &str) -> Arc<Credential> {
        let id: super::SpiffeId = id.parse().unwrap();
        let (leaf, key) = self.issue(Template::svid(&[&id.to_string()]));
        let bundle = self.bundle(id.trust_domain());
        let issued = Issued { id, chain: vec![leaf.to_vec()], bundle, generation: 1 };
        Arc::new(Credential::from_der(issued, key, &provider(), WALL).unwrap())
    }
}
