//! What a handshake with a control plane needs, read from where the configuration says.

use crate::config::{ClientCertificate, Endpoint, Roots};
use crate::fault::ConnectError;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The files that a handshake is made of, as they are now. Two that are equal make the same handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Material {
    /// Absent where the operating system is asked, whose answer is not watched.
    roots: Option<Vec<u8>>,
    /// Chain and key.
    client: Option<(Vec<u8>, Vec<u8>)>,
}

impl Material {
    pub(crate) fn read(endpoint: &Endpoint) -> Result<Material, ConnectError> {
        if endpoint.server.is_none() {
            return Ok(Material::default());
        }
        let roots = match &endpoint.roots {
            Roots::File(path) => Some(fs::read(path).map_err(|error| ConnectError::UnreadableRoots {
                from: path.display().to_string(),
                reason: error.to_string(),
            })?),
            Roots::Pem(text) => Some(text.clone().into_bytes()),
            Roots::System => None,
        };
        let read = |path: &Path| fs::read(path).map_err(|error| unusable(path, error));
        let client = match &endpoint.client_certificate {
            Some(own) => Some((read(&own.chain)?, read(&own.key)?)),
            None => None,
        };
        Ok(Material { roots, client })
    }

    pub(crate) fn client_config(
        &self,
        endpoint: &Endpoint,
        provider: &Arc<CryptoProvider>,
    ) -> Result<ClientConfig, ConnectError> {
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(ConnectError::Setup)?
            .with_root_certificates(self.root_store(&endpoint.roots)?);
        let mut config = match (&self.client, &endpoint.client_certificate) {
            (Some((chain, key)), Some(own)) => {
                let (chain, key) = own_certificate(chain, key, own)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| unusable(&own.key, error))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        // The configuration is made for one connection: there is nothing to resume.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn root_store(&self, source: &Roots) -> Result<RootCertStore, ConnectError> {
        let from = match source {
            Roots::File(path) => path.display().to_string(),
            Roots::Pem(_) => "the given PEM text".into(),
            Roots::System => "the operating system's store".into(),
        };
        let unreadable = |reason: String| ConnectError::UnreadableRoots { from: from.clone(), reason };
        let mut store = RootCertStore::empty();
        match &self.roots {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
                    store.add(certificate).map_err(|error| unreadable(error.to_string()))?;
                }
            }
            // Of an operating system's many, one that cannot be read is no reason to trust none.
            None => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if store.is_empty() { Err(ConnectError::NoRoots(from)) } else { Ok(store) }
    }
}

fn own_certificate(
    chain: &[u8],
    key: &[u8],
    own: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ConnectError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let certificates = certificates.map_err(|error| unusable(&own.chain, error))?;
    if certificates.is_empty() {
        return Err(unusable(&own.chain, "it holds no certificate"));
    }
    Ok((certificates, PrivateKeyDer::from_pem_slice(key).map_err(|error| unusable(&own.key, error))?))
}

fn unusable(path: &Path, reason: impl ToString) -> ConnectError {
    ConnectError::ClientCertificate { path: path.into(), reason: reason.to_string() }
}
