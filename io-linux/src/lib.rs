//! What every Culvert adapter needs of Linux, and of no runtime.
//!
//! * [`socket`]: listening, dialling, the original destination, marks, keepalive, and what an errno means for the
//!   caller.
//! * [`netns`]: network namespaces held by file descriptor; [`user_namespace`]: running without privileges.
//!
//! Nothing here waits for readiness and nothing starts a thread that outlives its call, unless its documentation
//! says so: the readiness loop is the adapter's.

pub mod netns;
pub mod socket;
mod sys;
pub mod user_namespace;
