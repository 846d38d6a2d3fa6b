//! Certificates that come over the network: Istio's certificate service, honest and not (node.md rows 78 and 79).
#![expect(clippy::unwrap_used, reason = "what a test sets up must be there, or the test fails")]

mod istio;
mod node;
