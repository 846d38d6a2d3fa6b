//! Every public item of `culvert-core`, named with its type by a crate that depends on nothing else but rustls, whose
//! `CryptoProvider` an embedder injects. It does nothing; it compiles as long as the interface is what it was.
//!
//! Functions are assigned to pointers of their type; structs are taken apart into the types of their fields; enums are matched
//! without a wildcard. A change of the interface is a change here, in the same commit, for everybody to see. `.ci/api` checks
//! that nothing is left out, and that nothing of another crate shows.
#![expect(missing_docs, reason = "what these stand for is documented where they are made")]
#![allow(clippy::type_complexity, reason = "a tuple of all fields is as long as the struct")]

pub mod balance;
pub mod capture;
pub mod compliance;
pub mod engine;
pub mod engine_boundary;
pub mod engine_pump;
pub mod fault;
pub mod fault_reset_code;
pub mod hbone_connect;
pub mod identity;
pub mod identity_rotation;
pub mod limit;
pub mod mesh;
pub mod policy;
pub mod proxy_protocol;
pub mod seed;
pub mod telemetry;
pub mod time;
