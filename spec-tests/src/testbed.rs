//! What tests over real sockets are built of: addresses nobody else uses, plain programs, our node in this process and as
//! a child, other child processes.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod address;
mod any_server;
mod application;
mod certificates;
mod mesh;
mod node;
mod process;
mod runtime;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use address::Address;
pub use any_server::AnyServer;
pub use application::{
    Ending, Heard, Server, abort, call, converse, dial, echo, exchange, greet, hear, pattern, read_line, take,
};
pub use certificates::Certificates;
pub use mesh::Mesh;
pub use node::{CulvertProcess, Events, Forwarded, NodeSetup, TestNode, culvert};
pub use process::{Process, Stream};
pub use runtime::Runtime;

/// After this long, what did not happen will not.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::canonicalize(here.join("..")).unwrap_or_else(|_| here.to_path_buf())
}
