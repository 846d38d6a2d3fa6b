//! How a node hears of the mesh from a control plane (node.md rows 70 to 77), over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod listener;
mod program;
mod session;
mod traffic;
