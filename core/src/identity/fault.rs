//! Why a certificate gives no identity.

use super::SpiffeIdError;
use crate::time::WallTime;
use rustls::pki_types::UnixTime;
use rustls::{CertificateError, OtherError};
use std::sync::Arc;

/// Why a peer's certificate, or one of our own, was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFault {
    /// The peer presented no certificate.
    #[error("no certificate was presented")]
    NoCertificate,
    /// The leaf is no X.509 v3 certificate in DER, or has an extension twice.
    #[error("the certificate cannot be read: {0}")]
    Malformed(&'static str),
    /// The leaf has no subject alternative name at all.
    #[error("the certificate has no subject alternative name")]
    NoSubjectAltName,
    /// The leaf has subject alternative names, but no URI among them.
    #[error("the certificate has {others} subject alternative names and none is a URI")]
    NoUri {
        /// How many names of other kinds there are.
        others: usize,
    },
    /// The leaf has more than one URI name (X.509-SVID section 2; node.md row B10).
    #[error("the certificate has {0} URI names, and must have one")]
    ManyUris(usize),
    /// The leaf's URI name has bytes that are not ASCII.
    #[error("the certificate's URI name is not ASCII")]
    UriNotAscii,
    /// The leaf's URI name is no SPIFFE id of a workload.
    #[error("the certificate's URI name is refused: {0}")]
    BadId(SpiffeIdError),
    /// The leaf says that it is a certificate authority (X.509-SVID section 4.1).
    #[error("the leaf certificate is a certificate authority")]
    LeafIsAuthority,
    /// The leaf's key usage is absent, or without digitalSignature (X.509-SVID section 4.3).
    #[error("the leaf certificate may not be used for digital signatures")]
    NoDigitalSignature,
    /// The leaf's key usage allows it to sign certificates or revocation lists (X.509-SVID section 4.3).
    #[error("the leaf certificate may sign certificates or revocation lists")]
    SigningLeaf,
    /// No trust anchors are known for the trust domain that the leaf claims.
    #[error("no trust bundle for the trust domain {0}")]
    UnknownTrustDomain(Arc<str>),
    /// The client's trust domain is not ours (node.md row 27).
    #[error("the client's trust domain {peer} is not {own}")]
    OtherTrustDomain {
        /// The trust domain of the client's certificate.
        peer: Arc<str>,
        /// Our own.
        own: Arc<str>,
    },
    /// The peer sent more intermediate certificates than [`MAX_INTERMEDIATES`](super::svid::MAX_INTERMEDIATES).
    #[error("{0} intermediate certificates were sent")]
    TooManyIntermediates(usize),
    /// A certificate of the chain is past its notAfter.
    #[error("the certificate expired at {not_after}, and it is {now}", not_after = .not_after.as_unix_secs(), now = .now.as_unix_secs())]
    Expired {
        /// The certificate's end.
        not_after: WallTime,
        /// When it was looked at.
        now: WallTime,
    },
    /// A certificate of the chain is before its notBefore.
    #[error("the certificate is valid from {not_before}, and it is {now}", not_before = .not_before.as_unix_secs(), now = .now.as_unix_secs())]
    NotYetValid {
        /// The certificate's begin.
        not_before: WallTime,
        /// When it was looked at.
        now: WallTime,
    },
    /// The chain leads to no anchor of the claimed trust domain.
    #[error("the certificate's issuer is unknown in its trust domain")]
    UnknownIssuer,
    /// A signature, of the chain or of the handshake, does not verify.
    #[error("a signature does not verify")]
    BadSignature,
    /// The issuer revoked a certificate of the chain (node.md row 82).
    #[error("a certificate of the chain was revoked")]
    Revoked,
    /// The leaf's extended key usage does not allow the role that the peer has in this connection.
    #[error("the certificate's extended key usage does not allow this role")]
    WrongUsage,
    /// A name constraint of the chain forbids the leaf's names, or is of a kind that cannot be judged.
    #[error("a name constraint of the chain forbids the certificate's names")]
    NameConstraint,
    /// Finding a path through the chain would take too much work.
    #[error("the certificate chain is too complex")]
    ChainTooComplex,
    /// Our own credential cannot be had from its source.
    #[error("no credential: {0}")]
    Unavailable(Arc<str>),
    /// A credential was delivered for another identity than asked for.
    #[error("the credential is for another identity")]
    Mismatch,
    /// Our own credential cannot be used for TLS.
    #[error("the credential cannot be used: {0}")]
    Unusable(String),
    /// The chain is refused for a rarer reason.
    #[error("the certificate chain is refused: {0}")]
    Chain(String),
}

impl IdentityFault {
    /// A short stable name, for metrics and access logs.
    pub fn label(&self) -> &'static str {
        match self {
            IdentityFault::NoCertificate => "no_certificate",
            IdentityFault::Malformed(_) => "certificate_malformed",
            IdentityFault::NoSubjectAltName => "no_subject_alt_name",
            IdentityFault::NoUri { .. } => "no_uri_name",
            IdentityFault::ManyUris(_) => "many_uri_names",
            IdentityFault::UriNotAscii => "uri_name_not_ascii",
            IdentityFault::BadId(_) => "bad_spiffe_id",
            IdentityFault::LeafIsAuthority => "leaf_is_authority",
            IdentityFault::NoDigitalSignature => "no_digital_signature",
            IdentityFault::SigningLeaf => "signing_leaf",
            IdentityFault::UnknownTrustDomain(_) => "unknown_trust_domain",
            IdentityFault::OtherTrustDomain { .. } => "other_trust_domain",
            IdentityFault::TooManyIntermediates(_) => "too_many_intermediates",
            IdentityFault::Expired { .. } => "certificate_expired",
            IdentityFault::NotYetValid { .. } => "certificate_not_yet_valid",
            IdentityFault::UnknownIssuer => "unknown_issuer",
            IdentityFault::BadSignature => "bad_signature",
            IdentityFault::Revoked => "certificate_revoked",
            IdentityFault::WrongUsage => "wrong_usage",
            IdentityFault::NameConstraint => "name_constraint",
            IdentityFault::ChainTooComplex => "chain_too_complex",
            IdentityFault::Unavailable(_) => "credential_unavailable",
            IdentityFault::Mismatch => "credential_mismatch",
            IdentityFault::Unusable(_) => "credential_unusable",
            IdentityFault::Chain(_) => "chain_refused",
        }
    }

    /// The fault that a failed verification carried through rustls.
    pub(crate) fn from_certificate_error(error: &CertificateError) -> IdentityFault {
        match error {
            CertificateError::Other(OtherError(inner)) => match inner.downcast_ref::<IdentityFault>() {
                Some(fault) => fault.clone(),
                None => IdentityFault::Chain(inner.to_string()),
            },
            CertificateError::ExpiredContext { time, not_after } => {
                IdentityFault::Expired { not_after: wall(*not_after), now: wall(*time) }
            }
            CertificateError::NotValidYetContext { time, not_before } => {
                IdentityFault::NotYetValid { not_before: wall(*not_before), now: wall(*time) }
            }
            CertificateError::UnknownIssuer => IdentityFault::UnknownIssuer,
            CertificateError::BadSignature => IdentityFault::BadSignature,
            CertificateError::Revoked => IdentityFault::Revoked,
            CertificateError::InvalidPurpose => IdentityFault::WrongUsage,
            other => IdentityFault::Chain(other.to_string()),
        }
    }

    /// Lifts what webpki says of a chain.
    pub(crate) fn from_webpki(error: webpki::Error) -> IdentityFault {
        use webpki::Error;
        match error {
            Error::CertExpired { time, not_after } => {
                IdentityFault::Expired { not_after: wall(not_after), now: wall(time) }
            }
            Error::CertNotValidYet { time, not_before } => {
                IdentityFault::NotYetValid { not_before: wall(not_before), now: wall(time) }
            }
            Error::UnknownIssuer => IdentityFault::UnknownIssuer,
            Error::CertRevoked => IdentityFault::Revoked,
            Error::InvalidSignatureForPublicKey => IdentityFault::BadSignature,
            Error::CaUsedAsEndEntity => IdentityFault::LeafIsAuthority,
            Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => IdentityFault::WrongUsage,
            Error::NameConstraintViolation | Error::MalformedNameConstraint => IdentityFault::NameConstraint,
            Error::MaximumNameConstraintComparisonsExceeded
            | Error::MaximumPathBuildCallsExceeded
            | Error::MaximumPathDepthExceeded
            | Error::MaximumSignatureChecksExceeded => IdentityFault::ChainTooComplex,
            other => IdentityFault::Chain(other.to_string()),
        }
    }

    /// Carries the fault through rustls, in the form that makes rustls send the fitting alert.
    pub(crate) fn into_certificate_error(self) -> CertificateError {
        match self {
            IdentityFault::Expired { not_after, now } => {
                CertificateError::ExpiredContext { time: unix(now), not_after: unix(not_after) }
            }
            IdentityFault::NotYetValid { not_before, now } => {
                CertificateError::NotValidYetContext { time: unix(now), not_before: unix(not_before) }
            }
            IdentityFault::UnknownIssuer => CertificateError::UnknownIssuer,
            IdentityFault::BadSignature => CertificateError::BadSignature,
            IdentityFault::Revoked => CertificateError::Revoked,
            IdentityFault::WrongUsage => CertificateError::InvalidPurpose,
            other => CertificateError::Other(OtherError(Arc::new(other))),
        }
    }
}

fn wall(time: UnixTime) -> WallTime {
    WallTime::from_unix_secs(time.as_secs())
}

fn unix(time: WallTime) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(time.as_unix_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_survives_the_way_through_rustls() {
        let at = WallTime::from_unix_secs;
        let faults = [
            IdentityFault::Malformed("x"),
            IdentityFault::NoSubjectAltName,
            IdentityFault::NoUri { others: 2 },
            IdentityFault::ManyUris(3),
            IdentityFault::UriNotAscii,
            IdentityFault::BadId(SpiffeIdError::Path),
            IdentityFault::LeafIsAuthority,
            IdentityFault::NoDigitalSignature,
            IdentityFault::SigningLeaf,
            IdentityFault::UnknownTrustDomain("a".into()),
            IdentityFault::OtherTrustDomain { peer: "a".into(), own: "b".into() },
            IdentityFault::TooManyIntermediates(9),
            IdentityFault::Expired { not_after: at(1), now: at(2) },
            IdentityFault::NotYetValid { not_before: at(2), now: at(1) },
            IdentityFault::UnknownIssuer,
            IdentityFault::BadSignature,
            IdentityFault::WrongUsage,
            IdentityFault::Revoked,
            IdentityFault::NameConstraint,
            IdentityFault::ChainTooComplex,
            IdentityFault::Chain("x".into()),
        ];
        for fault in &faults {
            assert_eq!(
                &IdentityFault::from_certificate_error(&fault.clone().into_certificate_error()),
                fault
            );
        }
        let labels: std::collections::BTreeSet<_> = faults.iter().map(IdentityFault::label).collect();
        assert_eq!(labels.len(), faults.len());
    }
}
