//! `culvert demo`: real programs in five pods on two nodes, every kind of flow, each compared with what a mesh must do.
//!
//! What the demo shows is in [`scenario`], how it is carried out in [`runner`], and where in a [`World`]: network
//! namespaces with a redirect, or loopback addresses where those are not permitted.

mod by_hand;
pub mod canary;
pub mod mesh;
pub mod place;
pub mod process;
pub mod programs;
pub mod report;
pub mod runner;
pub mod scenario;
mod show;
mod start;
pub mod world;

pub use place::Place;
pub use report::{FlowPath, FlowResult, Summary, Verdict};
pub use runner::{DemoError, Interrupt, Runner};
pub use show::show;
pub(crate) use start::{probe, start};
pub use world::{FlowRecord, Side, World, WorldError};
