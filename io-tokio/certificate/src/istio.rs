//! Istio's certificate service (node.md row 78).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use culvert_channel::Connector;
use culvert_core::identity::SpiffeId;
use culvert_linux::node::{CredentialSource, Material};
use culvert_proto::certificate::istio_certificate_service_client::IstioCertificateServiceClient;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::answer::material;
use crate::fault::{FetchError, StartError};
use crate::request::request;
use crate::runtime::Runtime;

/// Beyond this an answer is no certificate.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// What is asked of the service, and how.
#[derive(Debug)]
pub struct IstioConfig {
    /// How it is reached.
    pub connector: Connector,
    /// How long certificates shall be valid (`SECRET_TTL`); the authority may grant less.
    pub ttl: Duration,
    /// Whether the authority is told for whom it is: in shared mode a node asks for its workloads, not for itself.
    pub impersonate: bool,
    /// Whom certificates make trust, in PEM, read at each fetch; `None` for the root that the authority sends with each.
    pub roots: Option<PathBuf>,
    /// How long one request may take, its connection included.
    pub patience: Duration,
}

impl IstioConfig {
    /// Certificates for a day, for workloads of this node, with the root that comes with them.
    pub fn new(connector: Connector) -> IstioConfig {
        IstioConfig {
            connector,
            ttl: Duration::from_secs(24 * 3600),
            impersonate: true,
            roots: None,
            patience: Duration::from_secs(20),
        }
    }
}

/// Asks Istio's certificate service for certificates.
#[derive(Debug)]
pub struct IstioAuthority {
    config: IstioConfig,
    runtime: Runtime,
}

impl IstioAuthority {
    /// Makes a client; nothing is dialled before the first question.
    ///
    /// # Errors
    /// No thread for it can be had.
    pub fn start(config: IstioConfig) -> Result<IstioAuthority, StartError> {
        Ok(IstioAuthority { config, runtime: Runtime::start("culvert-istio-ca")? })
    }

    /// Asks for the certificate of one identity, with a new key. Blocks; never call it within a runtime.
    ///
    /// # Errors
    /// The service cannot be reached, says no, does not answer in time, or answers with what is not what was asked for.
    pub fn issue(&self, id: &SpiffeId) -> Result<Material, FetchError> {
        let (key, asked) = request(id, self.config.ttl, self.config.impersonate)?;
        let (connector, patience) = (self.config.connector.clone(), self.config.patience);
        let asking = async move {
            let channel = connector.shared().await?;
            let client = IstioCertificateServiceClient::new(channel);
            let mut client = client.max_decoding_message_size(MAX_ANSWER_BYTES);
            let answer = client.create_certificate(asked).await.map_err(|status| FetchError::Refused {
                code: format!("{:?}", status.code()),
                message: status.message().to_owned(),
            })?;
            Ok::<_, FetchError>(answer.into_inner().cert_chain)
        };
        let answer = self.runtime.wait(async move {
            let in_time = tokio::time::timeout(patience, asking).await;
            in_time.unwrap_or(Err(FetchError::Timeout(patience)))
        });
        let chain = answer.unwrap_or(Err(FetchError::Timeout(patience)))?;
        let roots = self.config.roots.as_deref().map(read_roots).transpose()?;
        Ok(material(id, &key, &chain, roots)?)
    }
}

impl CredentialSource for IstioAuthority {
    fn fetch(&self, id: &SpiffeId) -> Result<Material, String> {
        self.issue(id).map_err(|error| error.to_string())
    }
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, FetchError> {
    let refused = |why: String| FetchError::Roots { path: path.to_owned(), why };
    let text = fs::read(path).map_err(|error| refused(error.to_string()))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| refused(error.to_string()))?;
    if found.is_empty() { Err(refused("no certificate in it".to_owned())) } else { Ok(found) }
}
