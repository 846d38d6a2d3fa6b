//! Trust bundles: which roots may vouch for which trust domain.

use super::RevocationLists;
use super::spiffe::{SpiffeIdError, check_trust_domain};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Trust anchors by trust domain; immutable once shared. A certificate is only ever checked against the anchors of the trust
/// domain that it claims, so that a federated domain cannot mint ids of another one (X.509-SVID section 5.2).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TrustBundle {
    domains: BTreeMap<Arc<str>, Vec<TrustAnchor<'static>>>,
}

/// Whom a whole node trusts, and whom no longer; changes without any credential (node.md B10, row 82).
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The roots of every trust domain. Where it is there, it alone is asked, whatever bundles credentials came with; a domain that
    /// it does not have is not trusted.
    pub bundle: Option<Arc<TrustBundle>>,
    /// What issuers revoked.
    pub revoked: Arc<RevocationLists>,
}

/// Why roots make no trust bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustBundleError {
    /// The trust domain's name breaks the grammar.
    #[error("the bundle's trust domain is refused: {0}")]
    TrustDomain(SpiffeIdError),
    /// No root was given: a domain that nobody vouches for is better left out.
    #[error("the bundle of {0} has no root")]
    NoRoot(String),
    /// A root is no certificate.
    #[error("root {index} of {trust_domain} is refused: {why}")]
    Root {
        /// The trust domain.
        trust_domain: String,
        /// Which of its roots, from 0.
        index: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The text is no PEM.
    #[error("the roots are no PEM: {0}")]
    Pem(String),
}

impl TrustBundle {
    /// A bundle that trusts nobody.
    pub fn empty() -> TrustBundle {
        TrustBundle::default()
    }

    /// Adds the roots of one trust domain, in DER; they join those that the domain already has.
    ///
    /// # Errors
    /// When the trust domain's name breaks the grammar, there is no root, or one of them is no certificate.
    pub fn with_roots(
        mut self,
        trust_domain: &str,
        roots: &[impl AsRef<[u8]>],
    ) -> Result<TrustBundle, TrustBundleError> {
        check_trust_domain(trust_domain).map_err(TrustBundleError::TrustDomain)?;
        if roots.is_empty() {
            return Err(TrustBundleError::NoRoot(trust_domain.to_owned()));
        }
        let anchors = self.domains.entry(trust_domain.into()).or_default();
        for (index, root) in roots.iter().enumerate() {
            let anchor = webpki::anchor_from_trusted_cert(&CertificateDer::from(root.as_ref()))
                .map_err(|e| TrustBundleError::Root {
                    trust_domain: trust_domain.to_owned(),
                    index,
                    why: e.to_string(),
                })?
                .to_owned();
            if !anchors.contains(&anchor) {
                anchors.push(anchor);
            }
        }
        Ok(self)
    }

    /// Adds the roots of one trust domain, as the PEM text that certificate authorities hand out.
    ///
    /// # Errors
    /// As [`TrustBundle::with_roots`], and when the text is no PEM.
    pub fn with_roots_pem(self, trust_domain: &str, pem: &[u8]) -> Result<TrustBundle, TrustBundleError> {
        let roots: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|e| TrustBundleError::Pem(e.to_string()))?;
        self.with_roots(trust_domain, &roots)
    }

    /// The anchors of a trust domain; `None` if it is not trusted at all.
    pub(crate) fn anchors(&self, trust_domain: &str) -> Option<&[TrustAnchor<'static>]> {
        self.domains.get(trust_domain).map(Vec::as_slice)
    }

    /// The trust domains, in order, with the number of their anchors.
    pub fn trust_domains(&self) -> impl Iterator<Item = (&str, usize)> {
        self.domains.iter().map(|(domain, anchors)| (&**domain, anchors.len()))
    }
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.trust_domains()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::Ca;

    #[test]
    fn roots_are_kept_by_domain_and_once() {
        let (a, b) = (Ca::new("a"), Ca::new("b"));
        let bundle = TrustBundle::empty()
            .with_roots("b.org", &[b.der()])
            .and_then(|t| t.with_roots("a.org", &[a.der(), b.der(), a.der()]))
            .and_then(|t| t.with_roots("a.org", &[b.der()]))
            .unwrap();
        assert_eq!(bundle.trust_domains().collect::<Vec<_>>(), [("a.org", 2), ("b.org", 1)]);
        assert!(bundle.anchors("c.org").is_none());
        assert_eq!(format!("{bundle:?}"), r#"{"a.org": 2, "b.org": 1}"#);
    }

    #[test]
    fn pem_and_der_give_the_same_bundle() {
        let (a, b) = (Ca::new("a"), Ca::new("b"));
        let pem = format!("comment\n{}{}", a.0.pem(), b.0.pem());
        assert_eq!(
            TrustBundle::empty().with_roots_pem("t", pem.as_bytes()),
            TrustBundle::empty().with_roots("t", &[a.der(), b.der()])
        );
    }

    #[test]
    fn bad_roots_are_refused() {
        let add = |domain: &str, roots: &[CertificateDer<'_>]| TrustBundle::empty().with_roots(domain, roots);
        let root = Ca::new("a").der();
        assert_eq!(
            add("A", std::slice::from_ref(&root)),
            Err(TrustBundleError::TrustDomain(SpiffeIdError::TrustDomain))
        );
        assert_eq!(add("a", &[]), Err(TrustBundleError::NoRoot("a".into())));
        let refused = add("a", &[root, CertificateDer::from(vec![1, 2, 3])]);
        assert!(matches!(refused, Err(TrustBundleError::Root { index: 1, .. })), "{refused:?}");
        assert_eq!(
            TrustBundle::empty().with_roots_pem("a", b"no pem at all"),
            Err(TrustBundleError::NoRoot("a".into()))
        );
        let broken = TrustBundle::empty().with_roots_pem("a", b"-----BEGIN CERTIFICATE-----\n!\n");
        assert!(matches!(broken, Err(TrustBundleError::Pem(_))), "{broken:?}");
    }
}
