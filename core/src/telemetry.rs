//! Typed events: data for the access log and the metrics. Nothing is formatted here, and nothing here decides anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::fault::Fault;
use crate::identity::SpiffeId;
use crate::mesh::{Service, ServiceKey, Uid, Workload};
use crate::time::WallTime;

/// One event. Each connection that is accepted ends in exactly one [`Event::Closed`].
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A connection was established end to end.
    Opened(Arc<Connection>),
    /// A connection ended; its one terminal reason.
    Closed {
        /// What is known of it.
        connection: Arc<Connection>,
        /// Bytes from the source to the destination.
        bytes_sent: u64,
        /// Bytes from the destination to the source.
        bytes_received: u64,
        /// From accept to end.
        duration: Duration,
        /// How it ended.
        reason: Reason,
    },
    /// A tunnel finished its handshake.
    TunnelOpened {
        /// The far end.
        peer: SocketAddr,
        /// Who it is.
        identity: SpiffeId,
        /// Who opened it.
        side: Reporter,
    },
    /// A tunnel ended, or failed before it opened.
    TunnelClosed {
        /// The far end.
        peer: SocketAddr,
        /// Who opened it.
        side: Reporter,
        /// Why.
        fault: Fault,
    },
    /// A policy in dry run would have decided otherwise than what was done.
    DryRun {
        /// The connection.
        connection: Arc<Connection>,
        /// `namespace/name` of the policy.
        policy: String,
        /// Whether it would deny.
        denies: bool,
    },
    /// A peer sent optional headers that could not be read; they were ignored (node.md B11).
    HeadersIgnored {
        /// The far end.
        peer: SocketAddr,
        /// How many.
        count: u32,
    },
    /// An endpoint of a service failed again and again: it is given no connections for a while.
    EndpointEjected {
        /// The service.
        service: ServiceKey,
        /// The workload.
        endpoint: Uid,
        /// For how long.
        lasts: Duration,
    },
    /// An endpoint that was ejected is given connections again, few at first.
    EndpointReturned {
        /// The service.
        service: ServiceKey,
        /// The workload.
        endpoint: Uid,
    },
    /// The driver broke the contract of the boundary, or a close raced with it; ignored.
    Misuse(&'static str),
    /// Everything ended after `Input::Drain`.
    Drained,
    /// A driver lost the worker that says so to a defect of this program. Its connections were reset without a word of their
    /// own, and it begins anew with the facts, pods and listeners of that moment (attack A25).
    WorkerRestarted {
        /// What the panic said.
        why: String,
        /// How often workers of this process have begun anew.
        restarts: u64,
    },
}

impl Event {
    /// Whether the process itself has done what it must not: its driver or its engine, whatever peers, applications and the
    /// kernel did. Belongs into the log as an error; a simulated world in which it occurs has failed.
    pub fn is_error(&self) -> bool {
        match self {
            Event::Misuse(_) | Event::WorkerRestarted { .. } => true,
            Event::Opened(_)
            | Event::Closed { .. }
            | Event::TunnelOpened { .. }
            | Event::TunnelClosed { .. }
            | Event::DryRun { .. }
            | Event::HeadersIgnored { .. }
            | Event::EndpointEjected { .. }
            | Event::EndpointReturned { .. }
            | Event::Drained => false,
        }
    }
}

/// On which side of a connection the report was made (metric label `reporter`, node.md 1.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reporter {
    /// At the source's node.
    Source,
    /// At the destination's node.
    Destination,
}

/// How the bytes of a connection travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// In an HBONE tunnel.
    Hbone,
    /// Inside this proxy: both workloads are on this node (node.md B14).
    Local,
    /// In clear.
    Plaintext,
    /// Not at all.
    Refused,
}

impl Path {
    /// The word in logs and reports.
    pub fn label(self) -> &'static str {
        match self {
            Path::Hbone => "hbone",
            Path::Local => "local",
            Path::Plaintext => "plaintext",
            Path::Refused => "refused",
        }
    }
}

/// What is known of a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Which side reports.
    pub reporter: Reporter,
    /// How it travels.
    pub path: Path,
    /// The far end of the accepted socket.
    pub source: SocketAddr,
    /// Where it was headed.
    pub destination: SocketAddr,
    /// The proxy at the other end of the tunnel, where there is one.
    pub hbone: Option<SocketAddr>,
    /// The endpoint that it was resolved to; through a waypoint, which decides that, what the waypoint is asked for.
    pub target: Option<SocketAddr>,
    /// The verified identity of the source.
    pub source_identity: Option<SpiffeId>,
    /// The identity of the destination: verified at the source, our own at the destination.
    pub destination_identity: Option<SpiffeId>,
    /// The workload at the source, where it is known for certain.
    pub source_workload: Option<Arc<Workload>>,
    /// The workload at the destination.
    pub destination_workload: Option<Arc<Workload>>,
    /// The service that was addressed.
    pub service: Option<Arc<Service>>,
    /// `namespace/name` of the policy that decided, where one did.
    pub policy: Option<String>,
    /// The trace id that the source claims; for correlation only (node.md row 34, B11).
    pub trace: Option<[u8; 16]>,
    /// When it was accepted.
    pub opened: WallTime,
}

/// The one terminal reason of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Both sides sent FIN and every byte arrived.
    Completed,
    /// The source reset it.
    SourceReset,
    /// The destination reset it.
    DestinationReset,
    /// Anything else.
    Failed(Fault),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Completed => f.write_str("completed"),
            Reason::SourceReset => f.write_str("reset by the source"),
            Reason::DestinationReset => f.write_str("reset by the destination"),
            Reason::Failed(fault) => fault.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_do_is_no_error_of_ours() {
        assert!(Event::Misuse("a socket connected twice").is_error());
        let peer = SocketAddr::from(([10, 0, 0, 1], 15008));
        let lost = Event::TunnelClosed { peer, side: Reporter::Source, fault: Fault::Drain };
        assert!(!lost.is_error());
        assert!(!Event::HeadersIgnored { peer, count: 1 }.is_error());
        assert!(!Event::Drained.is_error());
    }
}
