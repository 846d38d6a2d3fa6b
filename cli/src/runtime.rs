//! The runtimes that a node can run on.

use std::sync::Arc;

use clap::ValueEnum;
use culvert_core::mesh::Snapshot;
use culvert_linux::node::{Node, NodeConfig, NodeError};

/// What a node's workers run on; what they do is the same on all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Runtime {
    /// A single-threaded tokio runtime for each worker.
    #[default]
    Tokio,
    /// smol: one reactor for all workers.
    Smol,
    /// mio: a poll loop for each worker and nothing else.
    Mio,
}

impl Runtime {
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
