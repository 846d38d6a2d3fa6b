//! The rustls configurations of an identity: one for each role, made once for each credential.

use super::{ALPN, TlsFault, WallCell};
use crate::compliance;
use crate::identity::svid::SvidVerifier;
use crate::identity::{Credential, IdentityFault, Trust};
use crate::time::WallTime;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{CipherSuite, ClientConfig, NoKeyLog, ServerConfig};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The cipher suites of the mesh, most preferred first (node.md row 23).
const CIPHER_SUITES: [CipherSuite; 2] =
    [CipherSuite::TLS13_AES_256_GCM_SHA384, CipherSuite::TLS13_AES_128_GCM_SHA256];

/// What all identities of a node share: the cryptography and the wall time.
#[derive(Clone, Debug)]
pub struct TlsContext {
    provider: Arc<CryptoProvider>,
    wall: WallCell,
    trust: Trust,
}

/// A credential made ready for sessions of both roles.
#[derive(Clone)]
pub struct TlsIdentity {
    credential: Arc<Credential>,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl TlsContext {
    /// Takes the mesh's cipher suites out of `provider` and puts its key exchange in the mesh's order, what quantum computers do
    /// not break first; all other cryptography is the provider's. Certificates are judged at the time that `wall` shows.
    pub fn new(provider: &CryptoProvider, wall: WallCell) -> TlsContext {
        let mut provider = provider.clone();
        let offered = std::mem::take(&mut provider.cipher_suites);
        provider.cipher_suites = CIPHER_SUITES
            .iter()
            .filter_map(|wanted| offered.iter().find(|suite| suite.suite() == *wanted).copied())
            .collect();
        compliance::prefer(&mut provider);
        TlsContext { provider: Arc::new(provider), wall, trust: Trust::default() }
    }

    /// The cell that holds the wall time; store `now.wall` in it before using a session.
    pub fn wall(&self) -> &WallCell {
        &self.wall
    }

    /// Changes whom sessions trust that are made ready from here on. Those that are there are for their owner to judge.
    pub fn set_trust(&mut self, trust: Trust) {
        self.trust = trust;
    }

    /// Whom sessions trust beside what their credentials say.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Who verifies peers for a credential.
    fn verifier(&self, credential: &Credential) -> SvidVerifier {
        let bundle = self.trust.bundle.as_ref().unwrap_or_else(|| credential.bundle()).clone();
        let algorithms = self.provider.signature_verification_algorithms;
        SvidVerifier::new(credential.id().trust_domain(), bundle, algorithms)
            .with_revoked(self.trust.revoked.clone())
    }

    /// Whether a session under `credential` would still be had with a peer of this chain, by whom it trusts now; `client` where
    /// the peer is the client. `wall` is when the peer was authenticated: that a certificate ended since is no change of trust.
    ///
    /// # Errors
    /// Why it would not.
    pub fn judge(
        &self,
        credential: &Credential,
        chain: &[CertificateDer<'_>],
        client: bool,
        wall: WallTime,
    ) -> Result<(), IdentityFault> {
        let (leaf, intermediates) = chain.split_first().ok_or(IdentityFault::NoCertificate)?;
        let (verifier, at) = (self.verifier(credential), unix(wall));
        let judged = if client {
            verifier.verify_client(leaf, intermediates, at)
        } else {
            verifier.verify_server(leaf, intermediates, at)
        };
        judged.map(|_leaf| ())
    }

    /// Makes a credential ready for sessions. Resumption, tickets, early data, server names and key logs are all off: every
    /// session verifies its peer's certificate afresh (node.md row 26).
    ///
    /// # Errors
    /// [`TlsFault::NoCipherSuite`] when the provider has no suite of the mesh's, [`TlsFault::Internal`] when it does not fit
    /// TLS 1.3 otherwise.
    pub fn for_credential(&self, credential: &Arc<Credential>) -> Result<Arc<TlsIdentity>, TlsFault> {
        if self.provider.cipher_suites.is_empty() {
            return Err(TlsFault::NoCipherSuite);
        }
        let verifier = Arc::new(self.verifier(credential));
        let certified = Arc::new(SingleCertAndKey::from(credential.certified().clone()));
        Ok(Arc::new(TlsIdentity {
            credential: credential.clone(),
            client: Arc::new(self.client(verifier.clone(), certified.clone())?),
            server: Arc::new(self.server(verifier, certified)?),
        }))
    }

    /// Whether a peer that trusts whom this credential trusts accepts it at `wall`.
    ///
    /// # Errors
    /// What such a peer finds wrong with it.
    pub fn vouch(&self, credential: &Credential, wall: WallTime) -> Result<(), IdentityFault> {
        self.judge(credential, &credential.certified().cert, false, wall)
    }

    /// Whether a peer whose clock is ahead of `wall` accepts it: at the first moment at which every certificate of the chain has
    /// begun. Until then the time hides whatever else is wrong.
    ///
    /// # Errors
    /// What is wrong with it beside its begin.
    pub fn vouch_once_begun(&self, credential: &Credential, wall: WallTime) -> Result<(), IdentityFault> {
        let mut at = wall;
        // One more for each certificate that begins later than those before.
        for _ in credential.chain() {
            match self.vouch(credential, at) {
                Err(IdentityFault::NotYetValid { not_before, .. }) if not_before > at => at = not_before,
                outcome => return outcome,
            }
        }
        self.vouch(credential, at)
    }

    fn client(
        &self,
        verifier: Arc<SvidVerifier>,
        certified: Arc<SingleCertAndKey>,
    ) -> Result<ClientConfig, TlsFault> {
        let wall = Arc::new(self.wall.clone());
        let mut config = ClientConfig::builder_with_details(self.provider.clone(), wall)
            .with_protocol_versions(&[&TLS13])
            .map_err(|e| TlsFault::Internal(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(certified);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        config.enable_early_data = false;
        config.enable_secret_extraction = false;
        config.key_log = Arc::new(NoKeyLog);
        Ok(config)
    }

    fn server(
        &self,
        verifier: Arc<SvidVerifier>,
        certified: Arc<SingleCertAndKey>,
    ) -> Result<ServerConfig, TlsFault> {
        let wall = Arc::new(self.wall.clone());
        let mut config = ServerConfig::builder_with_details(self.provider.clone(), wall)
            .with_protocol_versions(&[&TLS13])
            .map_err(|e| TlsFault::Internal(e.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certified);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config.send_half_rtt_data = false;
        config.enable_secret_extraction = false;
        config.key_log = Arc::new(NoKeyLog);
        Ok(config)
    }
}

fn unix(wall: WallTime) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(wall.as_unix_secs()))
}

impl TlsIdentity {
    /// Whose identity this is, with its chain and bundle.
    pub fn credential(&self) -> &Arc<Credential> {
        &self.credential
    }

    pub(super) fn client_config(&self) -> &Arc<ClientConfig> {
        &self.client
    }

    pub(super) fn server_config(&self) -> &Arc<ServerConfig> {
        &self.server
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsIdentity").field(&self.credential).finish()
    }
}
