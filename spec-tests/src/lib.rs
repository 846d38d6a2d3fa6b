//! Conformance: the ledger of clauses and the tests that prove them, and interop with real peers.
//!
//! What culvert promises is written down as clauses in `spec/*.toml`, each with the tests that prove it. The tests
//! stand here in `tests/`, or beside the code in the other crates.

pub mod ledger;
pub mod peers;
