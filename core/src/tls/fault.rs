//! Why a TLS session failed.

use super::ALPN;
use crate::identity::IdentityFault;
use rustls::{AlertDescription, Error, PeerIncompatible};
use std::fmt;

/// A fatal alert that the peer sent (RFC 8446 section 6.2), by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert(pub u8);

impl Alert {
    /// The alert's name in RFC 8446 appendix B.2, or `unknown`.
    pub fn name(self) -> &'static str {
        match self.0 {
            10 => "unexpected_message",
            20 => "bad_record_mac",
            22 => "record_overflow",
            40 => "handshake_failure",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            _ => "unknown",
        }
    }

    /// Whether the alert is about the certificate of whoever receives it.
    fn is_about_certificate(self) -> bool {
        matches!(self.0, 42..=46 | 48 | 49 | 116)
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

/// Why a TLS session failed, or why a call on it was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// The peer ended the session with an alert that is not about our certificate.
    #[error("the peer sent the alert {0}")]
    Alert(Alert),
    /// The peer refused our certificate. A client can learn this after its own handshake was done.
    #[error("the peer refused our certificate with the alert {0}")]
    CredentialRefused(Alert),
    /// The peer's certificate gives no identity that we accept.
    #[error("the peer's identity is refused: {0}")]
    Identity(IdentityFault),
    /// The peer does not speak TLS 1.3 (node.md row 22).
    #[error("the peer does not offer TLS 1.3")]
    NoTls13,
    /// There is no cipher suite that both sides have (node.md row 23).
    #[error("no cipher suite in common")]
    NoCipherSuite,
    /// The peer did not agree on HTTP/2 (node.md row 26).
    #[error("the peer did not agree on the application protocol {}", String::from_utf8_lossy(ALPN))]
    NoAlpn,
    /// The peer lacks something else that we require; the text is the TLS library's.
    #[error("the peer is not compatible: {0}")]
    Incompatible(String),
    /// The peer broke the protocol, or somebody changed bytes on the way; the text is the TLS library's.
    #[error("the peer broke the protocol: {0}")]
    Peer(String),
    /// The peer sent a handshake message that does not fit [`INPUT_BYTES`](super::INPUT_BYTES).
    #[error("the peer sent a handshake message that is too long")]
    HandshakeTooLong,
    /// The peer sent close_notify before the handshake was done.
    #[error("the peer closed the session during the handshake")]
    ClosedEarly,
    /// The byte stream ended without close_notify: somebody cut it (RFC 8446 section 6.1).
    #[error("the connection was cut without close_notify")]
    Truncated,
    /// A call came too early: the handshake is not done. The session is still good.
    #[error("the handshake is not done")]
    Handshaking,
    /// A call came too late: close_notify was sent. The session still receives.
    #[error("the session is closed for sending")]
    Closed,
    /// Our own side failed: provider, configuration, or an invariant of this module.
    #[error("internal TLS failure: {0}")]
    Internal(String),
}

impl TlsFault {
    /// A short stable name, for metrics and access logs.
    pub fn label(&self) -> &'static str {
        match self {
            TlsFault::Alert(_) => "tls_alert",
            TlsFault::CredentialRefused(_) => "tls_credential_refused",
            TlsFault::Identity(fault) => fault.label(),
            TlsFault::NoTls13 => "tls_version",
            TlsFault::NoCipherSuite => "tls_cipher_suite",
            TlsFault::NoAlpn => "tls_alpn",
            TlsFault::Incompatible(_) => "tls_incompatible",
            TlsFault::Peer(_) => "tls_protocol",
            TlsFault::HandshakeTooLong => "tls_handshake_too_long",
            TlsFault::ClosedEarly => "tls_closed_early",
            TlsFault::Truncated => "tls_truncated",
            TlsFault::Handshaking => "tls_handshaking",
            TlsFault::Closed => "tls_closed",
            TlsFault::Internal(_) => "tls_internal",
        }
    }
}

impl TlsFault {
    pub(super) fn of(error: Error) -> TlsFault {
        match error {
            // Once there is a session, rustls takes this alert for the end of the data and not for an error.
            Error::AlertReceived(AlertDescription::CloseNotify) => TlsFault::ClosedEarly,
            Error::AlertReceived(alert) => {
                let alert = Alert(u8::from(alert));
                if alert.is_about_certificate() {
                    TlsFault::CredentialRefused(alert)
                } else {
                    TlsFault::Alert(alert)
                }
            }
            Error::InvalidCertificate(error) => {
                TlsFault::Identity(IdentityFault::from_certificate_error(&error))
            }
            Error::NoCertificatesPresented => TlsFault::Identity(IdentityFault::NoCertificate),
            Error::NoApplicationProtocol => TlsFault::NoAlpn,
            Error::PeerIncompatible(why) => incompatible(&why),
            Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::InvalidMessage(_)
            | Error::DecryptError
            | Error::PeerMisbehaved(_)
            | Error::PeerSentOversizedRecord => TlsFault::Peer(error.to_string()),
            other => TlsFault::Internal(other.to_string()),
        }
    }
}

fn incompatible(why: &PeerIncompatible) -> TlsFault {
    match why {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => TlsFault::NoTls13,
        PeerIncompatible::NoCipherSuitesInCommon => TlsFault::NoCipherSuite,
        other => TlsFault::Incompatible(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_about_our_certificate_are_told_apart() {
        let fault = |alert| TlsFault::of(Error::AlertReceived(alert));
        assert_eq!(fault(AlertDescription::UnknownCA), TlsFault::CredentialRefused(Alert(48)));
        assert_eq!(fault(AlertDescription::CertificateRequired), TlsFault::CredentialRefused(Alert(116)));
        assert_eq!(fault(AlertDescription::InternalError), TlsFault::Alert(Alert(80)));
        assert_eq!(fault(AlertDescription::IllegalParameter), TlsFault::Alert(Alert(47)));
        assert_eq!(
            fault(AlertDescription::UnknownCA).to_string(),
            "the peer refused our certificate with the alert unknown_ca (48)"
        );
        assert_eq!(Alert(255).to_string(), "unknown (255)");
    }
}
