//! Conformance of the workspace: real peers, real sockets, real processes around the node.

pub mod peers;
pub mod testbed;
