//! Who a workload is: SPIFFE ids, X.509-SVIDs and their verification, credentials, trust bundles.
//!
//! A peer's certificate becomes an identity in one place, [`svid`]: its leaf is walked for exactly one
//! SPIFFE id ([`Leaf`]), the id's trust domain chooses the anchors ([`TrustBundle`]), and the chain is checked against those
//! anchors only, and against the lists of what was revoked ([`RevocationLists`]). Why a certificate was refused is an [`IdentityFault`]. What this node presents is a [`Credential`];
//! [`rotation`] says when it is fetched anew.

mod credential;
mod der;
mod fault;
mod leaf;
mod revocation;
pub mod rotation;
mod san;
mod spiffe;
pub mod svid;
#[cfg(test)]
pub(crate) mod testing;
mod trust;

pub use credential::{Credential, CredentialFault, Issued};
pub use fault::IdentityFault;
pub use leaf::{Leaf, PeerIdentity, Serial};
pub(crate) use revocation::CertificateName;
pub use revocation::{RevocationError, RevocationLists};
pub use spiffe::{MAX_ID_BYTES, MAX_TRUST_DOMAIN_BYTES, SpiffeId, SpiffeIdError};
pub use trust::{Trust, TrustBundle, TrustBundleError};
