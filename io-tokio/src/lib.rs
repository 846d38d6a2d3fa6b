//! Culvert's engine on tokio: one thread for each worker, one engine in each, real sockets around it.
//!
//! No decision is made here. A worker reads the clock, moves bytes with [`culvert_core::engine::pump`], and does what the
//! engine's outputs say.

mod clock;
mod credentials;
mod node;
mod ready;
mod worker;

pub use credentials::{CredentialSource, Material, OnCredentialFault};
pub use node::{
    Applying, Forward, Listening, Node, NodeConfig, NodeError, OnEvent, OriginalSource, PodConfig, Ports,
};
