//! Which endpoint of a service takes a connection (node.md rows 54 and 55).
//!
//! Endpoints lie in an index that the snapshot keeps, fact by fact, so that a choice among ten thousand costs what one among ten
//! does. Those of a service that can take the same connections are a class: the same target ports, families, network and health.
//! Within a class they are ordered by what the service's routing preferences compare, the weightiest first, so that those that
//! share the first few with a client are neighbours; their capacities are summed up in a tree, in which a draw falls on one.
//!
//! An engine adds what it has [`Observed`]: how many connections each endpoint has, and which fail.

mod choice;
mod index;
mod observed;
mod outlier;

pub(crate) use choice::{Choice, choose, scaled};
pub(crate) use index::{Class, Endpoints, target_port};
pub use observed::{Observed, Seen};
