//! A fake `CryptoProvider` for simulated meshes. **It protects nothing**: whoever reads a session's bytes can decrypt them, and
//! whoever reads a certificate can sign for it.
//!
//! What it keeps of the real thing is what a simulation can observe:
//!
//! - Sizes. Shares, signatures, keys, tags and hashes have the lengths of X25519, Ed25519, AES-GCM and SHA-2, whose numbers they
//!   go by on the wire, and none varies from run to run; so records and segments end where they would with the real ones.
//! - Integrity. A record of which any one aligned word was changed is always refused, other changes but for one in 2^64;
//!   likewise for the transcript and for signatures.
//! - Failure. Without a stream of randomness set by [`random::with_stream`], sessions cannot be made at all.
//!
//! Everything drawn comes from that stream, so that one seed gives the same bytes in every process and every build.
//!
//! ```
//! use culvert_core::{seed::Seed, time::WallTime};
//! use culvert_core::tls::{Session, TlsContext, WallCell};
//! use culvert_sim::{certificate::Authority, crypto};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (now, later) = (WallTime::from_unix_secs(1_800_000_000), WallTime::from_unix_secs(1_800_086_400));
//! let seed = Seed::new([7; 32]);
//! let mut authority = Authority::new(&seed, "cluster.local")?;
//! let credential = authority.issue(&"spiffe://cluster.local/ns/x/sa/a".parse()?, now, later)?;
//! let identity = TlsContext::new(&crypto::provider(), WallCell::new(now)).for_credential(&credential)?;
//! let mut stream = seed.child("tls").draws();
//! let session = crypto::random::with_stream(&mut stream, || Session::client(&identity))?;
//! assert!(session.is_handshaking());
//! # Ok(())
//! # }
//! ```

mod aead;
mod hash;
mod kx;
pub mod random;
pub mod sign;
pub(crate) mod sponge;
#[cfg(test)]
mod tests;

use rustls::crypto::tls13::HkdfUsingHmac;
use rustls::crypto::{CipherSuiteCommon, CryptoProvider};
use rustls::{CipherSuite, SupportedCipherSuite, Tls13CipherSuite};
use std::sync::Arc;

/// After how many records of one key rustls updates the key: as for AES-GCM, so that updates happen in simulations too.
const CONFIDENTIALITY_LIMIT_RECORDS: u64 = 1 << 24;

static AES_256_GCM_SHA384: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_AES_256_GCM_SHA384,
        hash_provider: &hash::SHA384,
        confidentiality_limit: CONFIDENTIALITY_LIMIT_RECORDS,
    },
    hkdf_provider: &HkdfUsingHmac(&hash::SHA384),
    aead_alg: &aead::AES_256_GCM,
    quic: None,
};

static AES_128_GCM_SHA256: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_AES_128_GCM_SHA256,
        hash_provider: &hash::SHA256,
        confidentiality_limit: CONFIDENTIALITY_LIMIT_RECORDS,
    },
    hkdf_provider: &HkdfUsingHmac(&hash::SHA256),
    aead_alg: &aead::AES_128_GCM,
    quic: None,
};

/// The provider: TLS 1.3 with the mesh's two cipher suites, one key exchange group and one signature scheme. It has no state,
/// so any number of nodes can share it.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            SupportedCipherSuite::Tls13(&AES_256_GCM_SHA384),
            SupportedCipherSuite::Tls13(&AES_128_GCM_SHA256),
        ],
        kx_groups: vec![&kx::X25519],
        signature_verification_algorithms: sign::ALGORITHMS,
        secure_random: &random::ThreadStream,
        key_provider: &sign::Keys,
    })
}
