//! The alphabet of a pool.

use std::fmt;

use crate::explore::canonical::Id;

/// One event, as the engine hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::explore) enum Step {
    /// A connection wants a stream; the dials that this justifies are started.
    Acquire { key: usize },
    /// A connection that waits gives up.
    Cancel { key: usize, waiter: Id },
    /// The drain is over.
    Deadline,
    /// A drain begins.
    Drain,
    /// A stream ends.
    EndStream { key: usize, tunnel: Id },
    /// The peer's SETTINGS change its limit.
    Limit { key: usize, tunnel: Id, limit: usize },
    /// A dial fails, or a tunnel breaks.
    Lose { key: usize, tunnel: Id },
    /// A dialled tunnel opens; the peer permits so many streams.
    Open { key: usize, tunnel: Id, limit: usize },
    /// A dialled tunnel opens and then takes no stream: an expired certificate, or a GOAWAY just now.
    Refuse { key: usize, tunnel: Id },
    /// The destination is removed.
    Remove { key: usize },
    /// A tunnel takes no more streams: GOAWAY, age, its certificate's end.
    Retire { key: usize, tunnel: Id },
    /// A certificate is rotated: every open tunnel under it retires.
    Rotate { key: usize },
}

/// An id as a person reads it: what mints it, dot, how many before it.
fn short(id: Id) -> String {
    format!("{}.{}", id.0 >> 33, id.0 & 0xffff_ffff)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Step::Acquire { key } => write!(f, "a connection wants a stream of key {key}"),
            Step::Cancel { waiter, .. } => write!(f, "waiter {} gives up", short(waiter)),
            Step::Deadline => f.write_str("the drain is over"),
            Step::Drain => f.write_str("a drain begins"),
            Step::EndStream { tunnel, .. } => write!(f, "a stream of tunnel {} ends", short(tunnel)),
            Step::Limit { tunnel, limit, .. } => {
                write!(f, "tunnel {} now permits {limit} streams", short(tunnel))
            }
            Step::Lose { tunnel, .. } => write!(f, "tunnel {} is lost", short(tunnel)),
            Step::Open { tunnel, limit, .. } => {
                write!(f, "tunnel {} opens and permits {limit} streams", short(tunnel))
            }
            Step::Refuse { tunnel, .. } => {
                write!(f, "tunnel {} opens and refuses its streams", short(tunnel))
            }
            Step::Remove { key } => write!(f, "the destination of key {key} is removed"),
            Step::Retire { tunnel, .. } => write!(f, "tunnel {} retires", short(tunnel)),
            Step::Rotate { key } => write!(f, "the certificate of key {key} is rotated"),
        }
    }
}
