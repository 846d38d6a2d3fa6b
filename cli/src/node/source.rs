//! The command line's credential sources, as the node wants them.

use std::sync::Arc;

use culvert_core::identity::SpiffeId;
use culvert_linux::node::{CredentialSource, Material};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::credentials::{self, CredentialError, DevelopmentCa, Directory};

/// Leaf keys and bundle in a directory.
pub(crate) struct FromDirectory(pub(crate) Directory);

/// A development CA that issues what is asked for; several nodes of one process may share it.
pub(crate) struct FromCa(pub(crate) Arc<DevelopmentCa>);

fn material(fetched: Result<credentials::Material, CredentialError>) -> Result<Material, String> {
    fetched
        .map(|material| Material {
            chain: material.chain.into_iter().map(CertificateDer::from).collect(),
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(material.key)),
            roots: material.bundle.into_iter().map(CertificateDer::from).collect(),
        })
        .map_err(|error| error.to_string())
}

impl CredentialSource for FromDirectory {
    fn fetch(&mut self, id: &SpiffeId) -> Result<Material, String> {
        material(self.0.fetch(id))
    }
}

impl CredentialSource for FromCa {
    fn fetch(&mut self, id: &SpiffeId) -> Result<Material, String> {
        material(self.0.fetch(id))
    }
}
