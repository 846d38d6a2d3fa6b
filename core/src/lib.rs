//! Culvert's core: every decision of the node proxy as a deterministic state machine, without I/O.
#![forbid(unsafe_code)]

pub mod capture;
pub mod engine;
pub mod fault;
pub mod hbone;
pub mod identity;
pub mod lies;
pub mod limit;
pub mod mesh;
pub mod policy;
pub mod proxy_protocol;
pub mod seed;
mod slots;
pub mod telemetry;
pub mod time;
pub mod tls;
