//! The world as facts: workloads, services and policies, in one immutable, structurally shared [`Snapshot`].
//!
//! Facts come as a [`MeshFile`] (the local form, node.md 1.14) or as a [`Delta`] (from a control plane). Each
//! [`Snapshot::apply`] makes a new snapshot that shares what did not change, and says in [`Changed`] whose
//! decisions may differ from before. Indexes are kept, never rebuilt; the same facts give the same snapshot in
//! whatever order they arrived.

mod address;
mod delta;
mod file;
mod gateway;
mod interner;
mod key;
mod policy;
mod port;
#[cfg(test)]
pub(crate) mod sample;
mod service;
mod snapshot;
mod workload;

pub use address::{AddressError, Cidr, NetworkAddress, NetworkCidr};
pub use delta::{Changed, Delta};
pub use file::{MeshError, MeshFile};
pub use gateway::{DEFAULT_HBONE_PORT, Destination, GatewayAddress};
pub use interner::Interner;
pub use key::{KeyError, PolicyKey, ServiceKey, Uid};
pub use policy::{Action, Match, Policy, PolicyEntry, Scope, ServiceAccountMatch, StringMatch};
pub use port::PortMap;
pub use service::{
    HealthPolicy, IpFamilies, LoadBalancer, Mode, RoutingScope, Service, ServiceError, ServiceSpec, Unread,
    Visibility, WeightedWaypoint,
};
pub use snapshot::Snapshot;
pub use workload::{
    About, ApplicationTunnel, HealthStatus, Locality, NetworkMode, TunnelProtocol, TunnelledApplication,
    Workload, WorkloadError, WorkloadSpec, WorkloadType,
};
