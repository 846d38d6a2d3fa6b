//! Culvert's core: every decision of the node proxy as a deterministic state machine, without I/O.
#![forbid(unsafe_code)]

pub mod capture;
pub mod identity;
pub mod mesh;
pub mod policy;
pub mod seed;
pub mod time;
