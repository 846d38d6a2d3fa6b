//! Hostile peers on real sockets: a client with a valid identity, or with none, that writes its TLS records and HTTP/2
//! frames by hand, against a node in a process of its own.
//!
//! In each test the node's memory, the connections to its applications and its output stay within a bound that the test
//! states, and a good connection beside the attack, on the same worker, goes on during it and after it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod certificate;
mod floods;
mod frame;
mod handshake;
mod peer;
mod resets;
mod scene;
mod targets;
mod windows;
