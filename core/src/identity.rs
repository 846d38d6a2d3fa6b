//! Who a workload is: SPIFFE ids, X.509-SVIDs and their verification, credentials, trust bundles.

pub mod spiffe;

pub use spiffe::{SpiffeId, SpiffeIdError};
