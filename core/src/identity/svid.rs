//! The verification of a peer's X.509-SVID, for both roles of a TLS connection.
//!
//! **Internal**: for the simulator, the fuzz targets and the tests of this workspace; no part of the interface, and may change
//! with any version.

use super::{IdentityFault, Leaf, RevocationLists, TrustBundle};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};
use std::sync::Arc;

/// The most intermediate certificates that a peer may send; the work of building a path grows steeply with their number.
pub const MAX_INTERMEDIATES: usize = 5;

/// Verifies X.509-SVIDs for one of our identities: the SPIFFE id of the leaf, the chain up to an anchor of the id's trust
/// domain, the time, the usage for the peer's role. A client must be of our own trust domain (node.md row 27); whether a
/// server is one of those that were expected is for the caller to compare afterwards.
#[derive(Debug)]
pub struct SvidVerifier {
    trust_domain: Arc<str>,
    bundle: Arc<TrustBundle>,
    revoked: Arc<RevocationLists>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl SvidVerifier {
    /// Makes a verifier for an identity of `trust_domain` that trusts `bundle`.
    pub fn new(
        trust_domain: &str,
        bundle: Arc<TrustBundle>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> SvidVerifier {
        SvidVerifier { trust_domain: trust_domain.into(), bundle, revoked: Arc::default(), algorithms }
    }

    /// The same, for whom every certificate of a chain must not be revoked.
    #[must_use]
    pub fn with_revoked(self, revoked: Arc<RevocationLists>) -> SvidVerifier {
        SvidVerifier { revoked, ..self }
    }

    /// Verifies the chain of a server that we connected to, and returns what its leaf says.
    ///
    /// # Errors
    /// The first reason found, in the order: leaf, number of intermediates, trust domain, chain.
    pub fn verify_server(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Leaf, IdentityFault> {
        self.verify(Leaf::read(leaf)?, leaf, intermediates, now, webpki::KeyUsage::server_auth())
    }

    /// Verifies the chain of a client that connected to us, and returns what its leaf says.
    ///
    /// # Errors
    /// As [`SvidVerifier::verify_server`], and when the client is of another trust domain than ours.
    pub fn verify_client(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Leaf, IdentityFault> {
        let facts = Leaf::read(leaf)?;
        planted!(AnyTrustDomain => return self.verify(facts, leaf, intermediates, now, webpki::KeyUsage::client_auth()));
        if facts.id.trust_domain() != &*self.trust_domain {
            return Err(IdentityFault::OtherTrustDomain {
                peer: facts.id.trust_domain().into(),
                own: self.trust_domain.clone(),
            });
        }
        self.verify(facts, leaf, intermediates, now, webpki::KeyUsage::client_auth())
    }

    fn verify(
        &self,
        facts: Leaf,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: webpki::KeyUsage,
    ) -> Result<Leaf, IdentityFault> {
        planted!(
            ValidityIgnored,
            now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(facts.not_before.as_unix_secs()))
        );
        if intermediates.len() > MAX_INTERMEDIATES {
            return Err(IdentityFault::TooManyIntermediates(intermediates.len()));
        }
        let anchors = self
            .bundle
            .anchors(facts.id.trust_domain())
            .ok_or_else(|| IdentityFault::UnknownTrustDomain(facts.id.trust_domain().into()))?;
        let leaf = webpki::EndEntityCert::try_from(leaf).map_err(IdentityFault::from_webpki)?;
        self.revoked
            .check(|lists| {
                leaf.verify_for_usage(self.algorithms.all, anchors, intermediates, now, usage, lists, None)
                    .map(|_path| ())
            })
            .map_err(IdentityFault::from_webpki)?;
        Ok(facts)
    }

    fn tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.algorithms)
    }
}

fn refuse(fault: IdentityFault) -> Error {
    Error::InvalidCertificate(fault.into_certificate_error())
}

/// TLS 1.2 is not offered, so that its signatures never come up; should they, they are refused.
fn no_tls12() -> Error {
    Error::PeerIncompatible(PeerIncompatible::SupportedVersionsExtensionRequired)
}

impl ServerCertVerifier for SvidVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify_server(leaf, intermediates, now).map_err(refuse)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for SvidVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify_client(leaf, intermediates, now).map_err(refuse)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
