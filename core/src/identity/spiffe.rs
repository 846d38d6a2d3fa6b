//! The SPIFFE id of a workload: `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT` (node.md row 29).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest SPIFFE id that is accepted, in bytes (SPIFFE-ID section 2.3).
pub const MAX_ID_BYTES: usize = 2048;
/// The longest trust domain name that is accepted, in bytes (SPIFFE-ID section 2.3).
pub const MAX_TRUST_DOMAIN_BYTES: usize = 255;

/// A workload identity, always valid: it can only be made by parsing or from valid parts. Compared as parts, exactly.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    trust_domain: Arc<str>,
    namespace: Arc<str>,
    service_account: Arc<str>,
}

/// Why a text is no SPIFFE id of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    /// The text is longer than [`MAX_ID_BYTES`], or its trust domain longer than [`MAX_TRUST_DOMAIN_BYTES`].
    #[error("the SPIFFE id is too long")]
    TooLong,
    /// The text does not start with `spiffe://`.
    #[error("a SPIFFE id starts with spiffe://")]
    Scheme,
    /// The trust domain is empty or has a character outside `a-z 0-9 . - _`.
    #[error("the trust domain must be of a-z, 0-9, dot, dash and underscore")]
    TrustDomain,
    /// The path is not `/ns/NAMESPACE/sa/SERVICE_ACCOUNT`.
    #[error("the path must be /ns/NAMESPACE/sa/SERVICE_ACCOUNT")]
    Path,
    /// A path segment is empty, `.` or `..`, or has a character outside `a-z A-Z 0-9 . - _`.
    #[error("a path segment must be of letters, digits, dot, dash and underscore, and not . or ..")]
    Segment,
}

impl SpiffeId {
    /// Makes an id from its parts.
    pub fn new(
        trust_domain: &str,
        namespace: &str,
        service_account: &str,
    ) -> Result<SpiffeId, SpiffeIdError> {
        check_trust_domain(trust_domain)?;
        check_segment(namespace)?;
        check_segment(service_account)?;
        let length = "spiffe:///ns//sa/".len() + trust_domain.len() + namespace.len() + service_account.len();
        if length > MAX_ID_BYTES {
            return Err(SpiffeIdError::TooLong);
        }
        Ok(SpiffeId {
            trust_domain: trust_domain.into(),
            namespace: namespace.into(),
            service_account: service_account.into(),
        })
    }

    /// The same id, of other copies of its parts.
    pub(crate) fn with_parts(&self, mut copy: impl FnMut(&Arc<str>) -> Arc<str>) -> SpiffeId {
        SpiffeId {
            trust_domain: copy(&self.trust_domain),
            namespace: copy(&self.namespace),
            service_account: copy(&self.service_account),
        }
    }

    /// The trust domain, such as `cluster.local`.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The Kubernetes namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The Kubernetes service account.
    pub fn service_account(&self) -> &str {
        &self.service_account
    }
}

pub(super) fn check_trust_domain(text: &str) -> Result<(), SpiffeIdError> {
    if text.len() > MAX_TRUST_DOMAIN_BYTES {
        return Err(SpiffeIdError::TooLong);
    }
    let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    if text.is_empty() || !text.bytes().all(valid) { Err(SpiffeIdError::TrustDomain) } else { Ok(()) }
}

fn check_segment(text: &str) -> Result<(), SpiffeIdError> {
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if text.is_empty() || text == "." || text == ".." || !text.bytes().all(valid) {
        return Err(SpiffeIdError::Segment);
    }
    Ok(())
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<SpiffeId, SpiffeIdError> {
        if text.len() > MAX_ID_BYTES {
            return Err(SpiffeIdError::TooLong);
        }
        let rest = text.strip_prefix("spiffe://").ok_or(SpiffeIdError::Scheme)?;
        let (trust_domain, path) = rest.split_once('/').ok_or(SpiffeIdError::Path)?;
        check_trust_domain(trust_domain)?;
        let mut parts = path.split('/');
        let (Some("ns"), Some(namespace), Some("sa"), Some(service_account), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SpiffeIdError::Path);
        };
        SpiffeId::new(trust_domain, namespace, service_account)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.service_account)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
