//! What a scenario can show, by name, so that a campaign can say what it never showed (M3).

use culvert_core::fault::{Fault, IoFault, LimitName, Stage};
use culvert_core::telemetry::Reason;

/// What a campaign of scenarios must show at least once: attacks (A), faults of the data path (D), control (C) and host (H) by
/// their id, faults of the network and of hosts that have no id by name, and ways in which connections and tunnels end.
/// `docs/testing.md` says which ends are not in it, and why.
pub const VOCABULARY: &[&str] = &[
    "A1",
    "A2",
    "A3",
    "A5",
    "A9",
    "A22",
    "A23",
    "A24",
    "C1",
    "C2",
    "C3",
    "C4",
    "C5",
    "C7",
    "C8",
    "C9",
    "C10",
    "C11",
    "C12",
    "C13",
    "C14",
    "D1",
    "D2",
    "D3",
    "D4",
    "D5",
    "D6",
    "D7",
    "D8",
    "D9",
    "D10",
    "D11",
    "D12",
    "D13",
    "D14",
    "D15",
    "D16",
    "H1",
    "H2",
    "H3",
    "H4",
    "H5",
    "H7",
    "H8",
    "H10",
    "backlog-full",
    "completed",
    "cut-one-way",
    "denied",
    "drain",
    "gateway",
    "half-open",
    "http2",
    "identity",
    "io-address-unavailable",
    "io-exhausted",
    "io-refused",
    "io-reset",
    "io-unreachable",
    "limit-accepted-tunnels",
    "limit-connections",
    "limit-half-open-tunnels",
    "limit-memory",
    "limit-waiters",
    "loss",
    "no-route",
    "on-demand",
    "refused-target",
    "reset-by-destination",
    "reset-by-source",
    "restart",
    "retired",
    "revoked",
    "status",
    "stream-reset",
    "timeout-age",
    "timeout-connect-response",
    "timeout-facts",
    "timeout-half-closed",
    "timeout-http2-preface",
    "timeout-idle",
    "timeout-keepalive",
    "timeout-tcp-connect",
    "timeout-tls-handshake",
    "tls",
    "tunnel-lost",
    "waypoint",
    "workload-gone",
    "wrong-peer",
];

/// The name of a terminal reason.
pub(super) fn name(reason: &Reason) -> &'static str {
    match reason {
        Reason::Completed => "completed",
        Reason::SourceReset => "reset-by-source",
        Reason::DestinationReset => "reset-by-destination",
        Reason::Failed(fault) => fault_name(fault),
    }
}

/// The name of what ended a connection or a tunnel.
pub(super) fn fault_name(fault: &Fault) -> &'static str {
    match fault {
        Fault::Denied(_) => "denied",
        Fault::Revoked(_) => "revoked",
        Fault::Identity(_) => "identity",
        Fault::WrongPeer { .. } => "wrong-peer",
        Fault::Route(_) => "no-route",
        Fault::Target(_) => "refused-target",
        Fault::Tls(_) => "tls",
        Fault::Http2(_) => "http2",
        Fault::Request(_) => "request",
        Fault::Status(_) => "status",
        Fault::TunnelLost(_) => "tunnel-lost",
        Fault::StreamReset(_) => "stream-reset",
        Fault::Io(fault) => io_name(*fault),
        Fault::Timeout(stage) => stage_name(*stage),
        Fault::Limit(limit) => limit_name(*limit),
        Fault::Drain => "drain",
        Fault::WorkloadGone => "workload-gone",
        Fault::Retired => "retired",
    }
}

fn io_name(fault: IoFault) -> &'static str {
    match fault {
        IoFault::Reset => "io-reset",
        IoFault::Refused => "io-refused",
        IoFault::TimedOut => "io-timed-out",
        IoFault::Unreachable => "io-unreachable",
        IoFault::Exhausted => "io-exhausted",
        IoFault::AddressUnavailable => "io-address-unavailable",
        IoFault::NotPermitted => "io-not-permitted",
        IoFault::Other(_) => "io-other",
    }
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::TcpConnect => "timeout-tcp-connect",
        Stage::TlsHandshake => "timeout-tls-handshake",
        Stage::Http2Preface => "timeout-http2-preface",
        Stage::ConnectResponse => "timeout-connect-response",
        Stage::Facts => "timeout-facts",
        Stage::Credential => "timeout-credential",
        Stage::Keepalive => "timeout-keepalive",
        Stage::HalfClosed => "timeout-half-closed",
        Stage::Idle => "timeout-idle",
        Stage::Age => "timeout-age",
    }
}

fn limit_name(limit: LimitName) -> &'static str {
    match limit {
        LimitName::Memory => "limit-memory",
        LimitName::Connections => "limit-connections",
        LimitName::Waiters => "limit-waiters",
        LimitName::AcceptedTunnels => "limit-accepted-tunnels",
        LimitName::HalfOpenTunnels => "limit-half-open-tunnels",
    }
}
