//! Certificate revocation lists: which certificates are void before their end (RFC 5280 section 5; node.md row 82).

use std::collections::BTreeMap;
use std::fmt;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use webpki::{CertRevocationList, ExpirationPolicy, OwnedCertRevocationList, RevocationOptionsBuilder};
use webpki::{RevocationCheckDepth, RevocationOptions, UnknownStatusPolicy};

/// The longest text of lists that is read, in bytes.
const MAX_BYTES: usize = 64 << 20;

/// Revocation lists of any number of issuers; immutable. Every certificate of a chain is looked up in those of its issuer. One
/// whose issuer has no list is taken, and so is a list that is past its next update (node.md row 82), unless
/// [`strict`](RevocationLists::strict) says otherwise. A list that its issuer did not sign refuses whom it is about.
#[derive(Default)]
pub struct RevocationLists {
    /// The first list of every issuer, then the second of those that have two, and so on: of two that are about one certificate
    /// a verification looks at one only.
    rounds: Vec<Vec<CertRevocationList<'static>>>,
    strict: bool,
}

/// Why bytes are no revocation lists.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// The text is no PEM, or has no revocation list.
    #[error("the revocation lists are no PEM: {0}")]
    Pem(String),
    /// A list cannot be read.
    #[error("revocation list {index} is refused: {why}")]
    List {
        /// Which, from 0.
        index: usize,
        /// What is wrong with it.
        why: String,
    },
    /// There is too much of it.
    #[error("the revocation lists have {0} bytes, and may have {MAX_BYTES}")]
    TooLong(usize),
}

/// A certificate by who issued it and the number it was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CertificateName {
    issuer: Vec<u8>,
    serial: Vec<u8>,
}

impl CertificateName {
    /// The name of a certificate that was verified; `None` of one that cannot be read.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<CertificateName> {
        let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
        Some(CertificateName { issuer: certificate.issuer().to_vec(), serial: certificate.serial().to_vec() })
    }
}

impl RevocationLists {
    /// Reads lists: any number in PEM, one after another, or one in DER. Nothing at all is no list.
    ///
    /// # Errors
    /// When there is something and it is none, or one of them cannot be read.
    pub fn read(bytes: &[u8]) -> Result<RevocationLists, RevocationError> {
        if bytes.len() > MAX_BYTES {
            return Err(RevocationError::TooLong(bytes.len()));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(RevocationLists::default());
        }
        // A list in DER begins with the tag of a sequence, which no text does.
        if bytes.first() == Some(&0x30) {
            return RevocationLists::of(std::iter::once(bytes));
        }
        let found: Vec<_> = CertificateRevocationListDer::pem_slice_iter(bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| RevocationError::Pem(error.to_string()))?;
        if found.is_empty() {
            return Err(RevocationError::Pem("no revocation list".to_owned()));
        }
        RevocationLists::of(found.iter().map(AsRef::as_ref))
    }

    fn of<'a>(lists: impl Iterator<Item = &'a [u8]>) -> Result<RevocationLists, RevocationError> {
        let mut rounds: Vec<Vec<CertRevocationList<'static>>> = Vec::new();
        let mut known: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for (index, der) in lists.enumerate() {
            let list = OwnedCertRevocationList::from_der(der)
                .map_err(|error| RevocationError::List { index, why: error.to_string() })?;
            let list = CertRevocationList::Owned(list);
            let round = known.entry(list.issuer().to_vec()).or_default();
            while rounds.len() <= *round {
                rounds.push(Vec::new());
            }
            if let Some(lists) = rounds.get_mut(*round) {
                lists.push(list);
            }
            *round += 1;
        }
        Ok(RevocationLists { rounds, strict: false })
    }

    /// The same lists, by which a certificate whose issuer has none is refused, and so is every one of an issuer whose list is past
    /// its next update.
    #[must_use]
    pub fn strict(self) -> RevocationLists {
        RevocationLists { strict: true, ..self }
    }

    /// How many lists there are.
    pub fn len(&self) -> usize {
        self.rounds.iter().map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }

    /// Whether a list names this certificate, whoever signed that list.
    pub(crate) fn name(&self, certificate: &CertificateName) -> bool {
        self.rounds.iter().flatten().any(|list| {
            list.issuer() == certificate.issuer
                && list.find_serial(&certificate.serial).is_ok_and(|found| found.is_some())
        })
    }

    /// Whether a change from these lists to others may matter to certificates that no list names.
    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }

    /// Verifies once for each round: `verify` is given what to look up in it, or nothing where there is no list.
    pub(crate) fn check<E>(
        &self,
        mut verify: impl FnMut(Option<RevocationOptions<'_>>) -> Result<(), E>,
    ) -> Result<(), E> {
        planted!(ListsIgnored => return verify(None));
        if self.rounds.is_empty() {
            return verify(None);
        }
        for (number, round) in self.rounds.iter().enumerate() {
            let lists: Vec<&CertRevocationList<'_>> = round.iter().collect();
            // Further rounds have no list of most issuers, whatever the first had.
            let (status, expiration) = match (self.strict, number) {
                (true, 0) => (UnknownStatusPolicy::Deny, ExpirationPolicy::Enforce),
                (true, _) => (UnknownStatusPolicy::Allow, ExpirationPolicy::Enforce),
                (false, _) => (UnknownStatusPolicy::Allow, ExpirationPolicy::Ignore),
            };
            let depth = RevocationCheckDepth::Chain;
            planted!(LeavesOnly, depth = RevocationCheckDepth::EndEntity);
            let options = RevocationOptionsBuilder::new(&lists).ok().map(|builder| {
                builder
                    .with_depth(depth)
                    .with_status_policy(status)
                    .with_expiration_policy(expiration)
                    .build()
            });
            verify(options)?;
        }
        Ok(())
    }
}

impl fmt::Debug for RevocationLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationLists").field("lists", &self.len()).field("strict", &self.strict).finish()
    }
}

#[cfg(test)]
mod tests;
