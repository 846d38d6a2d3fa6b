//! Certificates of any shape, and credentials.

use std::sync::Arc;

use culvert_core::identity::{Credential, Issued, SpiffeId, TrustBundle};
use culvert_core::time::WallTime;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub const CLIENT: &str = "spiffe://cluster.local/ns/x/sa/client";
pub const SERVER: &str = "spiffe://cluster.local/ns/x/sa/server";
/// When the tests take place: 15 January 2027, 08:00 UTC.
pub const WALL: WallTime = WallTime::from_unix_secs(1_800_000_000);

pub fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

pub struct Authority(pub CertifiedIssuer<'static, KeyPair>);

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        Authority(CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap()).unwrap())
    }

    pub fn below(&self, name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::signed_by(authority(name), key, &self.0).unwrap())
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub fn issue(&self, params: &CertificateParams) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let leaf = params.clone().signed_by(&key, &self.0).unwrap();
        (leaf.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    pub fn credential(&self, id: &str) -> Arc<Credential> {
        let id: SpiffeId = id.parse().unwrap();
        let (leaf, key) = self.issue(&svid(&[&id.to_string()]));
        let bundle = bundle(&[(id.trust_domain(), self)]);
        let issued = Issued { id, chain: vec![leaf.to_vec()], bundle, generation: 1 };
        Arc::new(Credential::from_der(issued, key, &provider(), WALL).unwrap())
    }
}

pub fn bundle(roots: &[(&str, &Authority)]) -> Arc<TrustBundle> {
    let add = |bundle: TrustBundle, (domain, root): &(&str, &Authority)| {
        bundle.with_roots(domain, &[root.der()]).unwrap()
    };
    Arc::new(roots.iter().fold(TrustBundle::empty(), add))
}

pub fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// A leaf that is in order but for its names.
pub fn svid(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = uris.iter().map(|text| uri(text)).collect();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}
