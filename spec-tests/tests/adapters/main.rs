//! The contract of adapters: cases written once, as scripts of applications and what each of them must see, and run on the
//! simulator and on every runtime over real sockets. What applications see must be what the case says, and the same everywhere
//! (invariant M2).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod burst;
mod case;
mod cases;
mod command;
mod contract;
mod ground;
mod idle;
mod pipes;
mod program;
mod random;
mod restless;
mod urgent;
