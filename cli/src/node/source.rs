//! The command line's development CA, as the node wants it.

use std::sync::Arc;

use culvert_core::identity::SpiffeId;
use culvert_linux::node::{CredentialSource, Material};

use crate::credentials::DevelopmentCa;

/// A development CA that issues what is asked for; several nodes of one process may share it.
pub(crate) struct FromCa(pub(crate) Arc<DevelopmentCa>);

impl CredentialSource for FromCa {
    fn fetch(&self, id: &SpiffeId) -> Result<Material, String> {
        self.0.fetch(id).map_err(|error| error.to_string())
    }
}
