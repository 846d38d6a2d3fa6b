//! Where a node's credentials come from.

use std::sync::Arc;

use culvert_certificate::{IstioAuthority, IstioConfig, WorkloadApi};
use culvert_channel::Connector;
use culvert_core::identity::{SpiffeId, TrustBundle};
use culvert_linux::node::{CredentialSource, Material};
use rustls::crypto::CryptoProvider;

use super::log;
use crate::args::{DEFAULT_TRUST_DOMAIN, IstioSettings, KeySource};
use crate::ca::{Ca, DEFAULT_LEAF_VALIDITY};
use crate::credentials::{CredentialDirectory, DevelopmentCa};
use crate::failure::Failure;

/// A development CA that issues what is asked for; several nodes of one process may share it.
pub(crate) struct FromCa(pub(crate) Arc<DevelopmentCa>);

impl CredentialSource for FromCa {
    fn fetch(&self, id: &SpiffeId) -> Result<Material, String> {
        self.0.fetch(id).map_err(|error| error.to_string())
    }
}

/// The source that settings name. `trusted` is told of bundles that come by themselves, on another thread.
pub(super) fn key_source(
    keys: &KeySource,
    crypto: &Arc<CryptoProvider>,
    trusted: impl FnMut(Arc<TrustBundle>) + Send + 'static,
) -> Result<Box<dyn CredentialSource>, Failure> {
    Ok(match keys {
        KeySource::Credentials(dir) => Box::new(CredentialDirectory::new(dir)),
        KeySource::Ca(dir) => {
            log::line(&serde_json::json!({
                "event": "development CA",
                "dir": dir.display().to_string(),
                "warning": "for development on one machine: whoever can read its key can be anyone in this mesh",
            }));
            let ca = Ca::open_or_init(dir, DEFAULT_TRUST_DOMAIN)?;
            Box::new(FromCa(Arc::new(DevelopmentCa::new(ca, DEFAULT_LEAF_VALIDITY))))
        }
        KeySource::Istio(settings) => Box::new(istio(settings, crypto)?),
        KeySource::Spiffe(endpoint) => {
            Box::new(WorkloadApi::start(endpoint, trusted).map_err(|error| Failure::from_error(&error))?)
        }
    })
}

fn istio(settings: &IstioSettings, crypto: &Arc<CryptoProvider>) -> Result<IstioAuthority, Failure> {
    let connector = Connector::new(settings.channel.clone(), crypto.clone()).map_err(|error| {
        Failure::from_error(&error)
            .hint("--ca-address is a URL such as https://istiod.istio-system.svc:15012")
    })?;
    let mut config = IstioConfig::new(connector);
    (config.ttl, config.impersonate) = (settings.ttl, settings.impersonate);
    IstioAuthority::start(config).map_err(|error| Failure::from_error(&error))
}
