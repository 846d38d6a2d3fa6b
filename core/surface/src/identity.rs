//! `culvert_core::identity`.

use culvert_core::identity::{
    Credential, CredentialFault, IdentityFault, Issued, Leaf, MAX_ID_BYTES, MAX_TRUST_DOMAIN_BYTES,
    PeerIdentity, RevocationError, RevocationLists, Serial, SpiffeId, SpiffeIdError, Trust, TrustBundle,
    TrustBundleError,
};
use culvert_core::time::WallTime;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use std::sync::Arc;

const _: usize = MAX_ID_BYTES;
const _: usize = MAX_TRUST_DOMAIN_BYTES;
pub fn cases_of_credential_fault(value: CredentialFault) -> &'static str {
    match value {
        CredentialFault::EmptyChain => "EmptyChain",
        CredentialFault::Leaf(f0) => {
            let _: IdentityFault = f0;
            "Leaf"
        }
        CredentialFault::OtherId { wanted, found } => {
            let _: SpiffeId = wanted;
            let _: SpiffeId = found;
            "OtherId"
        }
        CredentialFault::Intermediate(f0) => {
            let _: usize = f0;
            "Intermediate"
        }
        CredentialFault::Expired(f0) => {
            let _: WallTime = f0;
            "Expired"
        }
        CredentialFault::KeyMismatch => "KeyMismatch",
        CredentialFault::Key(f0) => {
            let _: String = f0;
            "Key"
        }
        CredentialFault::Pem(f0) => {
            let _: String = f0;
            "Pem"
        }
    }
}
pub fn cases_of_identity_fault(value: IdentityFault) -> &'static str {
    match value {
        IdentityFault::NoCertificate => "NoCertificate",
        IdentityFault::Malformed(f0) => {
            let _: &'static str = f0;
            "Malformed"
        }
        IdentityFault::NoSubjectAltName => "NoSubjectAltName",
        IdentityFault::NoUri { others } => {
            let _: usize = others;
            "NoUri"
        }
        IdentityFault::ManyUris(f0) => {
            let _: usize = f0;
            "ManyUris"
        }
        IdentityFault::UriNotAscii => "UriNotAscii",
        IdentityFault::BadId(f0) => {
            let _: SpiffeIdError = f0;
            "BadId"
        }
        IdentityFault::LeafIsAuthority => "LeafIsAuthority",
        IdentityFault::NoDigitalSignature => "NoDigitalSignature",
        IdentityFault::SigningLeaf => "SigningLeaf",
        IdentityFault::UnknownTrustDomain(f0) => {
            let _: Arc<str> = f0;
            "UnknownTrustDomain"
        }
        IdentityFault::OtherTrustDomain { peer, own } => {
            let _: Arc<str> = peer;
            let _: Arc<str> = own;
            "OtherTrustDomain"
        }
        IdentityFault::TooManyIntermediates(f0) => {
            let _: usize = f0;
            "TooManyIntermediates"
        }
        IdentityFault::Expired { not_after, now } => {
            let _: WallTime = not_after;
            let _: WallTime = now;
            "Expired"
        }
        IdentityFault::NotYetValid { not_before, now } => {
            let _: WallTime = not_before;
            let _: WallTime = now;
            "NotYetValid"
        }
        IdentityFault::UnknownIssuer => "UnknownIssuer",
        IdentityFault::BadSignature => "BadSignature",
        IdentityFault::Revoked => "Revoked",
        IdentityFault::WrongUsage => "WrongUsage",
        IdentityFault::NameConstraint => "NameConstraint",
        IdentityFault::ChainTooComplex => "ChainTooComplex",
        IdentityFault::Unavailable(f0) => {
            let _: Arc<str> = f0;
            "Unavailable"
        }
        IdentityFault::Mismatch => "Mismatch",
        IdentityFault::Unusable(f0) => {
            let _: String = f0;
            "Unusable"
        }
        IdentityFault::Chain(f0) => {
            let _: String = f0;
            "Chain"
        }
    }
}
const _: fn(&IdentityFault) -> &'static str = IdentityFault::label;
pub fn cases_of_spiffe_id_error(value: SpiffeIdError) -> &'static str {
    match value {
        SpiffeIdError::TooLong => "TooLong",
        SpiffeIdError::Scheme => "Scheme",
        SpiffeIdError::TrustDomain => "TrustDomain",
        SpiffeIdError::Path => "Path",
        SpiffeIdError::Segment => "Segment",
    }
}
pub fn cases_of_trust_bundle_error(value: TrustBundleError) -> &'static str {
    match value {
        TrustBundleError::TrustDomain(f0) => {
            let _: SpiffeIdError = f0;
            "TrustDomain"
        }
        TrustBundleError::NoRoot(f0) => {
            let _: String = f0;
            "NoRoot"
        }
        TrustBundleError::Root { trust_domain, index, why } => {
            let _: String = trust_domain;
            let _: usize = index;
            let _: String = why;
            "Root"
        }
        TrustBundleError::Pem(f0) => {
            let _: String = f0;
            "Pem"
        }
    }
}
pub type CredentialIs = Credential;
const _: fn(Issued, Arc<dyn SigningKey>, WallTime) -> Result<Credential, CredentialFault> = Credential::new;
const _: fn(
    Issued,
    PrivateKeyDer<'static>,
    &CryptoProvider,
    WallTime,
) -> Result<Credential, CredentialFault> = Credential::from_der;
const _: fn(Issued, &[u8], &[u8], &CryptoProvider, WallTime) -> Result<Credential, CredentialFault> =
    Credential::from_pem;
const _: fn(&Credential, &Trust, &CryptoProvider, WallTime) -> Result<(), IdentityFault> = Credential::check;
const _: fn(&Credential) -> &SpiffeId = Credential::id;
const _: fn(&Credential) -> &[Vec<u8>] = Credential::chain;
const _: fn(&Credential) -> &Arc<TrustBundle> = Credential::bundle;
const _: fn(&Credential) -> u64 = Credential::generation;
const _: fn(&Credential) -> WallTime = Credential::not_before;
const _: fn(&Credential) -> WallTime = Credential::not_after;
pub fn fields_of_issued(value: Issued) -> (SpiffeId, Vec<Vec<u8>>, Arc<TrustBundle>, u64) {
    let Issued { id, chain, bundle, generation } = value;
    (id, chain, bundle, generation)
}
pub fn fields_of_leaf(value: Leaf) -> (SpiffeId, WallTime, WallTime, Serial) {
    let Leaf { id, not_before, not_after, serial } = value;
    (id, not_before, not_after, serial)
}
const _: fn(&[u8]) -> Result<Leaf, IdentityFault> = Leaf::read;
pub fn fields_of_peer_identity(value: PeerIdentity) -> (SpiffeId, WallTime, Serial) {
    let PeerIdentity { id, not_after, serial } = value;
    (id, not_after, serial)
}
pub type SerialIs = Serial;
const _: fn(&Serial) -> &[u8] = Serial::as_bytes;
pub type SpiffeIdIs = SpiffeId;
const _: fn(&str, &str, &str) -> Result<SpiffeId, SpiffeIdError> = SpiffeId::new;
const _: fn(&SpiffeId) -> &str = SpiffeId::trust_domain;
const _: fn(&SpiffeId) -> &str = SpiffeId::namespace;
const _: fn(&SpiffeId) -> &str = SpiffeId::service_account;
pub type TrustBundleIs = TrustBundle;
const _: fn() -> TrustBundle = TrustBundle::empty;
const _: fn(TrustBundle, &str, &[u8]) -> Result<TrustBundle, TrustBundleError> = TrustBundle::with_roots_pem;
const _: fn(TrustBundle, &str, &[Vec<u8>]) -> Result<TrustBundle, TrustBundleError> = TrustBundle::with_roots;

pub fn trust_domains(bundle: &TrustBundle) -> impl Iterator<Item = (&str, usize)> {
    TrustBundle::trust_domains(bundle)
}

pub fn cases_of_revocation_error(value: RevocationError) -> &'static str {
    match value {
        RevocationError::Pem(f0) => {
            let _: String = f0;
            "Pem"
        }
        RevocationError::List { index, why } => {
            let _: (usize, String) = (index, why);
            "List"
        }
        RevocationError::TooLong(f0) => {
            let _: usize = f0;
            "TooLong"
        }
    }
}
pub type RevocationListsIs = RevocationLists;
const _: fn(&[u8]) -> Result<RevocationLists, RevocationError> = RevocationLists::read;
const _: fn(RevocationLists) -> RevocationLists = RevocationLists::strict;
const _: fn(&RevocationLists) -> usize = RevocationLists::len;
const _: fn(&RevocationLists) -> bool = RevocationLists::is_empty;
pub fn fields_of_trust(value: Trust) -> (Option<Arc<TrustBundle>>, Arc<RevocationLists>) {
    let Trust { bundle, revoked } = value;
    (bundle, revoked)
}
