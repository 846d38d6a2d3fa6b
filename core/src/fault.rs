//! What can go wrong, sorted by who is to blame, and the one table that says what the wire sees of it.

use std::io;

use crate::capture::{InboundFault, RouteFault};
#[doc(inline)]
pub use crate::hbone::mux::MuxFault;
use crate::identity::IdentityFault;
use crate::policy::Denial;
#[doc(inline)]
pub use crate::tls::{Alert, TlsFault};

/// Why a connection or a tunnel ended other than in order. Comparable, loggable, replayable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Policy refused the connection before it carried a byte.
    #[error("denied: {0}")]
    Denied(Denial),
    /// A change of policy ended a live connection (node.md B4).
    #[error("closed by a policy change: {0}")]
    Revoked(Denial),
    /// No usable identity of our own, or the peer's was refused.
    #[error("identity: {0}")]
    Identity(IdentityFault),
    /// The destination proxy showed an identity other than the expected.
    #[error("the destination proxy is {found}, not {expected}")]
    WrongPeer {
        /// Who it is.
        found: String,
        /// Who it should be.
        expected: String,
    },
    /// There is no way to the destination.
    #[error("no route: {0}")]
    Route(RouteFault),
    /// A tunnelled or redirected connection names a target that this workload does not serve.
    #[error("refused target: {0}")]
    Target(InboundFault),
    /// The peer broke TLS.
    #[error("tls: {0}")]
    Tls(TlsFault),
    /// The peer broke HTTP/2.
    #[error("http/2: {0}")]
    Http2(MuxFault),
    /// The peer's CONNECT request is none.
    #[error("not an HBONE request: {0}")]
    Request(&'static str),
    /// The far proxy answered CONNECT with something other than 200.
    #[error("the far proxy answered {0}")]
    Status(u16),
    /// The tunnel that carried the connection was lost.
    #[error("the tunnel was lost: {0}")]
    TunnelLost(Box<Fault>),
    /// The far proxy reset the stream with this HTTP/2 error code.
    #[error("the stream was reset with code {0}")]
    StreamReset(u32),
    /// The kernel said so.
    #[error("{0}")]
    Io(IoFault),
    /// A phase ran out of time.
    #[error("timed out: {0}")]
    Timeout(Stage),
    /// A named limit was hit.
    #[error("limit reached: {0}")]
    Limit(LimitName),
    /// This process is going away.
    #[error("draining")]
    Drain,
    /// The pod or the workload of the connection is gone.
    #[error("the workload is gone")]
    WorkloadGone,
    /// The tunnel was retired: certificate rotated, idle, or too old. Never the end of a live connection.
    #[error("retired")]
    Retired,
}

/// The phase that ran out of time; each has its own deadline (node.md B1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Stage {
    /// TCP connect.
    #[error("tcp connect")]
    TcpConnect,
    /// TLS handshake.
    #[error("tls handshake")]
    TlsHandshake,
    /// HTTP/2 preface and SETTINGS.
    #[error("http/2 preface")]
    Http2Preface,
    /// CONNECT request to response.
    #[error("connect response")]
    ConnectResponse,
    /// Facts that decide a connection.
    #[error("waiting for facts")]
    Facts,
    /// A credential of our own.
    #[error("waiting for a credential")]
    Credential,
    /// PING without an answer.
    #[error("keepalive")]
    Keepalive,
    /// Half-closed and silent.
    #[error("half-closed and idle")]
    HalfClosed,
    /// Silent.
    #[error("idle")]
    Idle,
    /// Older than permitted.
    #[error("maximum age")]
    Age,
}

/// Which limit of [`crate::limit::Limits`] was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum LimitName {
    /// `memory_max`.
    #[error("memory")]
    Memory,
    /// `connections`.
    #[error("connections")]
    Connections,
    /// `waiters_per_key`.
    #[error("waiters for one tunnel")]
    Waiters,
    /// `accepted_tunnels`.
    #[error("tunnels")]
    AcceptedTunnels,
    /// `half_open_tunnels`.
    #[error("half-open tunnels")]
    HalfOpenTunnels,
}

/// What the kernel said, without its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum IoFault {
    /// RST from the peer.
    #[error("connection reset")]
    Reset,
    /// The peer refused the connection.
    #[error("connection refused")]
    Refused,
    /// The kernel gave up.
    #[error("connection timed out")]
    TimedOut,
    /// No route to the host or network.
    #[error("unreachable")]
    Unreachable,
    /// No descriptors or memory left (EMFILE, ENFILE, ENOBUFS, ENOMEM).
    #[error("out of descriptors or memory")]
    Exhausted,
    /// No free port, or the source address is not ours.
    #[error("address not available")]
    AddressUnavailable,
    /// Not permitted.
    #[error("not permitted")]
    NotPermitted,
    /// Anything else, by number.
    #[error("system error {0}")]
    Other(i32),
}

impl IoFault {
    /// Sorts an error of the operating system.
    pub fn from_error(error: &io::Error) -> IoFault {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                IoFault::Reset
            }
            io::ErrorKind::ConnectionRefused => IoFault::Refused,
            io::ErrorKind::TimedOut => IoFault::TimedOut,
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown => IoFault::Unreachable,
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => IoFault::AddressUnavailable,
            io::ErrorKind::PermissionDenied => IoFault::NotPermitted,
            io::ErrorKind::OutOfMemory => IoFault::Exhausted,
            _ => match error.raw_os_error() {
                // ENFILE, EMFILE, ENOBUFS
                Some(23 | 24 | 105) => IoFault::Exhausted,
                number => IoFault::Other(number.unwrap_or(0)),
            },
        }
    }
}

/// HTTP/2 error codes that we send (RFC 9113 section 7).
pub mod reset_code {
    /// The TCP connection behind a CONNECT was reset or closed abnormally.
    pub const CONNECT_ERROR: u32 = 0xa;
    /// The stream was refused before any processing.
    pub const REFUSED_STREAM: u32 = 0x7;
}

impl Fault {
    /// The status with which a CONNECT is refused (node.md row 37).
    pub fn status(&self) -> u16 {
        match self {
            Fault::Denied(_) | Fault::Revoked(_) => 401,
            Fault::Target(fault) => fault.status(),
            Fault::Request(_) => 400,
            Fault::Identity(_)
            | Fault::WrongPeer { .. }
            | Fault::Route(_)
            | Fault::Tls(_)
            | Fault::Http2(_)
            | Fault::Status(_)
            | Fault::TunnelLost(_)
            | Fault::StreamReset(_)
            | Fault::Io(_)
            | Fault::Timeout(_)
            | Fault::Limit(_)
            | Fault::Drain
            | Fault::WorkloadGone
            | Fault::Retired => 503,
        }
    }

    /// The value of the metric label `response_flags` (node.md 1.11).
    pub fn label(&self) -> &'static str {
        match self {
            Fault::Denied(_) | Fault::Revoked(_) => "DENY",
            Fault::Identity(IdentityFault::Revoked)
            | Fault::Tls(TlsFault::Identity(IdentityFault::Revoked)) => "CERT_REVOKED",
            Fault::Identity(_) | Fault::WrongPeer { .. } => "IDENTITY_ERROR",
            Fault::Tls(_) | Fault::Timeout(Stage::TlsHandshake) => "TLS_FAILURE",
            Fault::Http2(_) | Fault::Timeout(Stage::Http2Preface) => "H2_HANDSHAKE_FAILURE",
            Fault::TunnelLost(inner) => inner.label(),
            Fault::Route(_)
            | Fault::Target(_)
            | Fault::Request(_)
            | Fault::Status(_)
            | Fault::StreamReset(_)
            | Fault::Io(_)
            | Fault::Timeout(_)
            | Fault::Limit(_)
            | Fault::Drain
            | Fault::WorkloadGone
            | Fault::Retired => "CONNECT",
        }
    }
}
