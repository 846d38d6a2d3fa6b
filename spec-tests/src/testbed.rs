//! What tests over real sockets are built of: addresses nobody else uses, plain programs, our node in this process and as
//! a child, other child processes.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod address;
mod application;
mod mesh;
mod node;
mod process;

use std::time::Duration;

pub use address::Address;
pub use application::{
    Ending, Heard, Server, abort, converse, echo, exchange, hear, pattern, read_line, take,
};
pub use mesh::Mesh;
pub use node::{CulvertProcess, Events, Forwarded, NodeSetup, TestNode};
pub use process::{Process, Stream};

/// After this long, what did not happen will not.
pub const PATIENCE: Duration = Duration::from_secs(20);
