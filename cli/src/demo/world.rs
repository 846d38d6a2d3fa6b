//! What the demo needs of the machine it runs on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command};
use std::time::Duration;

use super::canary::Canary;
use super::place::Place;
use super::report::{FlowPath, Verdict};

mod loopback;
mod namespaces;
mod nodes;
mod tap;

pub use loopback::Loopback;
pub use namespaces::Namespaces;

/// Which end of a flow a node's record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The node of the destination.
    Inbound,
    /// The node of the source.
    Outbound,
}

/// What a node recorded of a flow that has ended, or was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    /// Which end the node was at.
    pub side: Side,
    /// The application address the flow was for, as the source meant it.
    pub target: SocketAddr,
    /// The source's SPIFFE id, if it had one.
    pub source_identity: Option<String>,
    /// The destination's SPIFFE id, if it has one.
    pub destination_identity: Option<String>,
    /// How the flow went.
    pub path: FlowPath,
    /// What policy said in the end.
    pub verdict: Verdict,
    /// Which policy decided, `NAMESPACE/NAME`.
    pub policy: Option<String>,
}

/// Why the machine did not do what the demo needs of it.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct WorldError {
    /// What was tried.
    pub what: String,
    /// What the system said, if it was that.
    pub source: Option<io::Error>,
}

impl WorldError {
    /// An error without a cause in the system.
    pub fn new(what: impl Into<String>) -> WorldError {
        WorldError { what: what.into(), source: None }
    }

    /// An error with what the system said.
    pub fn io(what: impl Into<String>, source: io::Error) -> WorldError {
        WorldError { what: what.into(), source: Some(source) }
    }
}

/// Pods, nodes and the wire between them. Dropping a world takes everything away that it made.
pub trait World {
    /// The address of a place, as its neighbours know it.
    fn address(&self, place: Place) -> IpAddr;

    /// Where a program in `from` connects in order to reach `target`: `target` itself where traffic is captured, a
    /// forward of the node where it is not.
    fn dial(&mut self, from: Place, target: SocketAddr) -> Result<SocketAddr, WorldError>;

    /// Puts a mesh file in force on both nodes; returns when it is.
    fn apply_mesh(&mut self, yaml: &str) -> Result<(), WorldError>;

    /// Starts `command` in a place. Its standard streams are set already and must be left.
    fn spawn(&mut self, place: Place, command: Command) -> Result<Child, WorldError>;

    /// The next record of a node, in any order; `None` if there is none within `time`.
    fn next_record(&mut self, time: Duration) -> Result<Option<FlowRecord>, WorldError>;

    /// How often `canary` has been seen until now on the wire between the nodes (and out of them).
    fn seen_on_wire(&mut self, canary: &Canary) -> Result<u64, WorldError>;
}
