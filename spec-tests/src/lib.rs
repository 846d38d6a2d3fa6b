//! Conformance of the workspace: what the specifications ask for, clause by clause, which test proves each clause, and what
//! shows only among real peers, real sockets and real processes.
//!
//! The clauses are the files in `spec/`, read by [`ledger`]; the tests are anywhere in the workspace. Those that were written
//! for a specification alone are in `tests/conformance/`. `tests/report.rs` fails where clauses and tests do not match, and
//! prints what is covered. [`peers`] and [`testbed`] serve the tests over real sockets, [`control_plane`] those of discovery,
//! [`authority`] those of certificates.

pub mod authority;
pub mod control_plane;
pub mod ledger;
pub mod peers;
pub mod testbed;
