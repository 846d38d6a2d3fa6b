//! Delta xDS as a state machine: what a node asks a control plane for, and what it makes of the answers (node.md rows 70 to 77).
//!
//! **Internal**: for the transport and the simulator of this workspace; no part of the interface, and may change with any
//! version.
//!
//! A [`Session`] lives as long as the node; connections come and go under it. Its driver tells it what happened ([`Input`]) and
//! does what it asks for ([`Output`]); resources come to it decoded, or with the reason why they could not be. What it keeps
//! itself are names and versions: the facts go out as deltas, and what was applied stays in force whatever becomes of the
//! connection.
//!
//! - A response is taken resource by resource: what was understood is applied, what was not is told to the control plane. An
//!   address that was not understood leaves what was known of it as it was; a policy that was not understood denies (B5).
//! - No address is applied before the first answer about policies is there: without it, a workload would look as if none
//!   applied to it (S14).
//! - At a new connection the control plane hears which resources are here in which version, and answers with what differs,
//!   removals included. A resource that was not understood is listed in a version that no control plane has.

mod backoff;
mod demand;
mod session;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::mesh::{Delta, Policy, Scope, Service, Workload};
pub use backoff::{BACKOFF_FIRST, BACKOFF_LAST};
pub use demand::MAX_DEMANDS;
pub use session::{Config, Session, Status};

/// The two kinds of resources that a node subscribes to (node.md row 72).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// Workloads and services.
    Address,
    /// Policies.
    Authorization,
}

/// An answer of the control plane, or news that it was not asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// What it is about.
    pub resource_type: ResourceType,
    /// By what it is acknowledged.
    pub nonce: Arc<str>,
    /// What is new or has changed.
    pub resources: Vec<Resource>,
    /// The names of what is gone, or never was.
    pub removed: Vec<Arc<str>>,
}

/// One resource of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The name: a uid, `NAMESPACE/HOSTNAME` or `NAMESPACE/NAME`.
    pub name: Arc<str>,
    /// The version, which means something to the control plane only.
    pub version: Arc<str>,
    /// Further names under which it may have been asked for.
    pub aliases: Vec<Arc<str>>,
    /// The fact, or why it was not understood.
    pub content: Result<Fact, Rejection>,
}

/// What a resource says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A policy.
    Policy(Arc<Policy>),
    /// A service.
    Service(Arc<Service>),
    /// A workload.
    Workload(Arc<Workload>),
}

impl Fact {
    /// The name under which a control plane keeps it.
    pub fn name(&self) -> String {
        match self {
            Fact::Policy(policy) => policy.key().to_string(),
            Fact::Service(service) => service.key.to_string(),
            Fact::Workload(workload) => workload.uid.to_string(),
        }
    }
}

/// Why a resource is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The scope of a policy, if that much was understood.
    pub scope: Option<Scope>,
    /// What was not understood.
    pub reason: Arc<str>,
}

/// What is sent to the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it is about.
    pub resource_type: ResourceType,
    /// Names to be told of from now on. None in the first request of a connection: all.
    pub subscribe: Vec<Arc<str>>,
    /// Names not to be told of any more.
    pub unsubscribe: Vec<Arc<str>>,
    /// In the first request of a connection: what is here, by name, in which version.
    pub initial_versions: BTreeMap<Arc<str>, Arc<str>>,
    /// The response that this acknowledges; empty if none.
    pub nonce: Arc<str>,
    /// Why that response was not taken whole.
    pub error: Option<String>,
}

/// Why a connection ended or never was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Something went wrong.
    Failed(Arc<str>),
    /// The control plane ended it in good order, as it does from time to time (node.md row 76).
    Recycled,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A connection ended, or could not be made.
    Closed(Closed),
    /// A stream to the control plane is open.
    Connected,
    /// Somebody needs to know of this name: `NETWORK/ADDRESS`, `NAMESPACE/HOSTNAME` or a uid.
    Demand(Arc<str>),
    /// The control plane said something.
    Response(Response),
    /// Time went by.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Take these facts in.
    Apply(Delta),
    /// Open a stream to the control plane.
    Connect,
    /// The answer to a [`Input::Demand`]. If it exists it was applied before.
    Known {
        /// The name that was asked for.
        name: Arc<str>,
        /// Whether there is such a thing.
        exists: bool,
    },
    /// A name of which there was nothing gave way to another: what becomes of it is not told any more.
    Forgotten {
        /// The name.
        name: Arc<str>,
    },
    /// Tell whoever watches.
    Report(Event),
    /// Send this on the stream.
    Send(Request),
}

/// What an operator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A stream is open.
    Connected,
    /// No stream is open any more; what was known stays in force.
    Disconnected {
        /// Why.
        why: Closed,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// Both kinds of resources were answered for the first time.
    Ready,
    /// A resource was not taken.
    Rejected {
        /// Its kind.
        resource_type: ResourceType,
        /// Its name.
        name: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
}
