//! What every Culvert adapter needs of Linux, and of no runtime.
//!
//! * [`socket`]: listening, dialling, the original destination, marks, keepalive, and what an errno means for the
//!   caller.
//! * [`netns`]: network namespaces held by file descriptor; [`user_namespace`]: running without privileges.
//! * [`redirect`]: the rules that bring a pod's connections to the node's listeners.
//! * [`splice`]: relaying two sockets in the kernel.
//! * [`driver`]: the loop of a worker around its engine, for any [`driver::Runtime`]; [`node`]: workers, listeners and
//!   credentials as a whole.
//! * [`consumer`]: applications in the process of their node, connected through memory.
//! * [`lab`]: throw-away networks for demonstrations, tests and benchmarks.
//!
//! Nothing here waits for readiness: that is the adapter's. Nothing starts a thread that outlives its call, unless its
//! documentation says so.

mod clock;
pub mod consumer;
pub mod driver;
pub mod lab;
mod netlink;
pub mod netns;
pub mod node;
pub mod redirect;
pub mod socket;
pub mod splice;
mod sys;
pub mod user_namespace;

pub use netlink::NetlinkError;
