//! Tests against the real kernel, each in network namespaces of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod lab;
mod netns;
mod redirect;
mod sandbox;
mod socket;
mod splice;
