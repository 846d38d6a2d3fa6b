//! What the node promises (node.md, "Where Culvert is better, on purpose"), with plain programs at both ends and our nodes
//! between them, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod deadlines;
mod delta;
mod eof;
mod exhaustion;
mod gateway;
mod isolation;
mod pair;
mod tunnel;
mod worker;
