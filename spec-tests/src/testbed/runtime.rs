//! The runtimes that our node can run on.

use std::sync::Arc;

use culvert_core::mesh::Snapshot;
use culvert_linux::node::{Node, NodeConfig, NodeError};

/// What the workers of a node run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// tokio.
    Tokio,
    /// smol.
    Smol,
    /// mio.
    Mio,
}

impl Runtime {
    /// All of them.
    pub const ALL: [Runtime; 3] = [Runtime::Tokio, Runtime::Smol, Runtime::Mio];

    /// What tests run on that have no reason for another: as `CULVERT_TEST_RUNTIME` says, tokio where it says nothing.
    ///
    /// # Panics
    /// There is no such runtime.
    pub fn of_tests() -> Runtime {
        match std::env::var("CULVERT_TEST_RUNTIME") {
            Ok(name) => Runtime::ALL
                .into_iter()
                .find(|runtime| runtime.name() == name)
                .unwrap_or_else(|| panic!("CULVERT_TEST_RUNTIME: there is no runtime {name:?}")),
            Err(_) => Runtime::Tokio,
        }
    }

    /// Its name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Runtime::Tokio => "tokio",
            Runtime::Smol => "smol",
            Runtime::Mio => "mio",
        }
    }

    /// Starts a node on it.
    ///
    /// # Errors
    /// A listener or a thread cannot be had.
    pub fn start(self, config: NodeConfig, snapshot: Arc<Snapshot>) -> Result<Node, NodeError> {
        match self {
            Runtime::Tokio => culvert_tokio::start(config, snapshot),
            Runtime::Smol => culvert_smol::start(config, snapshot),
            Runtime::Mio => culvert_mio::start(config, snapshot),
        }
    }
}
