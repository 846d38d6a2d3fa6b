//! Where a node's certificates come from, beside files: sources for [`culvert_linux::node::NodeConfig`], on a thread and a runtime of
//! their own, so that they serve nodes on any runtime.
//!
//! - [`IstioAuthority`] asks Istio's certificate service, with a new key for each certificate.
//! - [`WorkloadApi`] takes what a SPIFFE Workload API (SPIRE's agent, for instance) hands out, and tells when that changes.
//!
//! When to ask is not decided here: [`culvert_core::identity::rotation`] does. A source answers one question at a time for each
//! identity, or says in one line why it cannot.

mod answer;
mod fault;
mod istio;
mod request;
mod runtime;
mod workload;

pub use fault::{AnswerError, FetchError, StartError};
pub use istio::{IstioAuthority, IstioConfig};
pub use workload::{Trusted, WorkloadApi};
