//! The messages that Istio's control plane and its proxies exchange: generated from `proto/`, without protoc.
//!
//! Field numbers and meanings are those of Istio's workload, authorization and certificate services and of the delta
//! discovery service of xDS v3. With the feature `grpc`, the services' clients and servers are here too.
//!
//! [`decode`] makes core's facts of what a control plane sends; [`encode`] is the way back. What cannot be decoded has a typed
//! reason, and is never taken for less than it says.

pub mod decode;
pub mod delta;
pub mod encode;

macro_rules! generated {
    ($package:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
    };
}

/// The packages under the names that they have in `proto/`: generated code refers to other packages by them.
mod package {
    #![allow(missing_docs, clippy::all, reason = "the comments of the messages stand in proto/")]

    pub mod envoy {
        pub mod service {
            pub mod discovery {
                pub mod v3 {
                    generated!("envoy.service.discovery.v3");
                }
            }
        }
    }

    pub mod google {
        pub mod rpc {
            generated!("google.rpc");
        }
    }

    pub mod istio {
        pub mod security {
            generated!("istio.security");
        }
        pub mod v1 {
            pub mod auth {
                generated!("istio.v1.auth");
            }
        }
        pub mod workload {
            generated!("istio.workload");
        }
    }
}

/// Delta xDS (`envoy.service.discovery.v3`; `proto/envoy/discovery.proto`).
pub use package::envoy::service::discovery::v3 as discovery;
/// Why a resource was not taken (`google.rpc`; `proto/google/rpc/status.proto`).
pub use package::google::rpc;
/// Policies as a node proxy is told of them (`istio.security`; `proto/istio/authorization.proto`).
pub use package::istio::security as authorization;
/// How a proxy gets certificates (`istio.v1.auth`; `proto/istio/certificate.proto`).
pub use package::istio::v1::auth as certificate;
/// Workloads and services as a node proxy is told of them (`istio.workload`; `proto/istio/workload.proto`).
pub use package::istio::workload;

/// The type URL of a workload or a service.
pub const ADDRESS: &str = "type.googleapis.com/istio.workload.Address";
/// The type URL of a policy.
pub const AUTHORIZATION: &str = "type.googleapis.com/istio.security.Authorization";
