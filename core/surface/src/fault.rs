//! `culvert_core::fault`.

use culvert_core::capture::{InboundFault, RouteFault};
use culvert_core::fault::{Alert, Fault, IoFault, LimitName, MuxFault, Stage, TlsFault};
use culvert_core::identity::IdentityFault;
use culvert_core::policy::Denial;
use std::io::Error;

pub fn cases_of_fault(value: Fault) -> &'static str {
    match value {
        Fault::Denied(f0) => {
            let _: Denial = f0;
            "Denied"
        }
        Fault::Revoked(f0) => {
            let _: Denial = f0;
            "Revoked"
        }
        Fault::Identity(f0) => {
            let _: IdentityFault = f0;
            "Identity"
        }
        Fault::WrongPeer { found, expected } => {
            let _: String = found;
            let _: String = expected;
            "WrongPeer"
        }
        Fault::Route(f0) => {
            let _: RouteFault = f0;
            "Route"
        }
        Fault::Target(f0) => {
            let _: InboundFault = f0;
            "Target"
        }
        Fault::Tls(f0) => {
            let _: TlsFault = f0;
            "Tls"
        }
        Fault::Http2(f0) => {
            let _: MuxFault = f0;
            "Http2"
        }
        Fault::Request(f0) => {
            let _: &'static str = f0;
            "Request"
        }
        Fault::Status(f0) => {
            let _: u16 = f0;
            "Status"
        }
        Fault::TunnelLost(f0) => {
            let _: Box<Fault> = f0;
            "TunnelLost"
        }
        Fault::StreamReset(f0) => {
            let _: u32 = f0;
            "StreamReset"
        }
        Fault::Io(f0) => {
            let _: IoFault = f0;
            "Io"
        }
        Fault::Timeout(f0) => {
            let _: Stage = f0;
            "Timeout"
        }
        Fault::Limit(f0) => {
            let _: LimitName = f0;
            "Limit"
        }
        Fault::Drain => "Drain",
        Fault::WorkloadGone => "WorkloadGone",
        Fault::Retired => "Retired",
    }
}
const _: fn(&Fault) -> u16 = Fault::status;
const _: fn(&Fault) -> &'static str = Fault::label;
pub fn cases_of_io_fault(value: IoFault) -> &'static str {
    match value {
        IoFault::Reset => "Reset",
        IoFault::Refused => "Refused",
        IoFault::TimedOut => "TimedOut",
        IoFault::Unreachable => "Unreachable",
        IoFault::Exhausted => "Exhausted",
        IoFault::AddressUnavailable => "AddressUnavailable",
        IoFault::NotPermitted => "NotPermitted",
        IoFault::Other(f0) => {
            let _: i32 = f0;
            "Other"
        }
    }
}
const _: fn(&Error) -> IoFault = IoFault::from_error;
pub fn cases_of_limit_name(value: LimitName) -> &'static str {
    match value {
        LimitName::Memory => "Memory",
        LimitName::Connections => "Connections",
        LimitName::Waiters => "Waiters",
        LimitName::AcceptedTunnels => "AcceptedTunnels",
        LimitName::HalfOpenTunnels => "HalfOpenTunnels",
    }
}
pub fn cases_of_mux_fault(value: MuxFault) -> &'static str {
    match value {
        MuxFault::Eof => "Eof",
        MuxFault::Local { code } => {
            let _: u32 = code;
            "Local"
        }
        MuxFault::Peer { code } => {
            let _: u32 = code;
            "Peer"
        }
        MuxFault::Protocol { code } => {
            let _: u32 = code;
            "Protocol"
        }
        MuxFault::Truncated => "Truncated",
    }
}
pub fn cases_of_stage(value: Stage) -> &'static str {
    match value {
        Stage::TcpConnect => "TcpConnect",
        Stage::TlsHandshake => "TlsHandshake",
        Stage::Http2Preface => "Http2Preface",
        Stage::ConnectResponse => "ConnectResponse",
        Stage::Facts => "Facts",
        Stage::Credential => "Credential",
        Stage::Keepalive => "Keepalive",
        Stage::HalfClosed => "HalfClosed",
        Stage::Idle => "Idle",
        Stage::Age => "Age",
    }
}
pub fn cases_of_tls_fault(value: TlsFault) -> &'static str {
    match value {
        TlsFault::Alert(f0) => {
            let _: Alert = f0;
            "Alert"
        }
        TlsFault::CredentialRefused(f0) => {
            let _: Alert = f0;
            "CredentialRefused"
        }
        TlsFault::Identity(f0) => {
            let _: IdentityFault = f0;
            "Identity"
        }
        TlsFault::NoTls13 => "NoTls13",
        TlsFault::NoCipherSuite => "NoCipherSuite",
        TlsFault::NoAlpn => "NoAlpn",
        TlsFault::Incompatible(f0) => {
            let _: String = f0;
            "Incompatible"
        }
        TlsFault::Peer(f0) => {
            let _: String = f0;
            "Peer"
        }
        TlsFault::HandshakeTooLong => "HandshakeTooLong",
        TlsFault::ClosedEarly => "ClosedEarly",
        TlsFault::Truncated => "Truncated",
        TlsFault::Handshaking => "Handshaking",
        TlsFault::Closed => "Closed",
        TlsFault::Internal(f0) => {
            let _: String = f0;
            "Internal"
        }
    }
}
const _: fn(&TlsFault) -> &'static str = TlsFault::label;
pub fn fields_of_alert(value: Alert) -> u8 {
    value.0
}
const _: fn(Alert) -> &'static str = Alert::name;
