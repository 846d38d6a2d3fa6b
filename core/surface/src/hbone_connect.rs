//! `culvert_core::hbone::connect`.

use culvert_core::hbone::connect::{
    Authority, Baggage, ConnectRequest, ConnectResponse, Forwarded, MAX_BAGGAGE_BYTES, MAX_BAGGAGE_MEMBERS,
    MAX_FORWARDED_BYTES, MAX_HOST_BYTES, MAX_NETWORK_BYTES, RequestFault, TraceParent, WireError,
};
use std::net::SocketAddr;
use std::sync::Arc;

const _: usize = MAX_BAGGAGE_BYTES;
const _: usize = MAX_BAGGAGE_MEMBERS;
const _: usize = MAX_FORWARDED_BYTES;
const _: usize = MAX_HOST_BYTES;
const _: usize = MAX_NETWORK_BYTES;
pub fn cases_of_authority(value: Authority) -> &'static str {
    match value {
        Authority::Host { host, port } => {
            let _: Arc<str> = host;
            let _: u16 = port;
            "Host"
        }
        Authority::Ip(f0) => {
            let _: SocketAddr = f0;
            "Ip"
        }
    }
}
const _: fn(&str) -> Result<Authority, WireError> = Authority::parse;
const _: fn(SocketAddr) -> Authority = Authority::ip;
const _: fn(&str, u16) -> Result<Authority, WireError> = Authority::host;
const _: fn(&Authority) -> u16 = Authority::port;
pub fn cases_of_request_fault(value: RequestFault) -> &'static str {
    match value {
        RequestFault::Authority(f0) => {
            let _: WireError = f0;
            "Authority"
        }
        RequestFault::HostMismatch => "HostMismatch",
        RequestFault::NoAuthority => "NoAuthority",
        RequestFault::NotConnect => "NotConnect",
    }
}
const _: fn(&RequestFault) -> u16 = RequestFault::status;
pub type BaggageIs = Baggage;
const _: fn(&str) -> Result<Baggage, WireError> = Baggage::parse;
const _: fn(&mut Baggage, &str, &str) -> bool = Baggage::push;
const _: for<'a> fn(&'a Baggage, &str) -> Option<&'a str> = Baggage::get;
pub fn fields_of_connect_request(
    value: ConnectRequest,
) -> (Authority, Option<Baggage>, Option<Forwarded>, Option<Arc<str>>, Option<TraceParent>) {
    let ConnectRequest { authority, baggage, forwarded, network, trace } = value;
    (authority, baggage, forwarded, network, trace)
}
const _: fn(Authority) -> ConnectRequest = ConnectRequest::new;
pub fn fields_of_connect_response(value: ConnectResponse) -> (u16, Option<Baggage>) {
    let ConnectResponse { status, baggage } = value;
    (status, baggage)
}
const _: fn(u16) -> ConnectResponse = ConnectResponse::new;
pub fn fields_of_forwarded(value: Forwarded) -> (Option<SocketAddr>, Option<Arc<str>>) {
    let Forwarded { client, host } = value;
    (client, host)
}
const _: fn(&str) -> Result<Forwarded, WireError> = Forwarded::parse;
pub fn fields_of_trace_parent(value: TraceParent) -> ([u8; 16], [u8; 8], u8) {
    let TraceParent { trace, parent, flags } = value;
    (trace, parent, flags)
}
const _: fn(&str) -> Result<TraceParent, WireError> = TraceParent::parse;
pub fn fields_of_wire_error(value: WireError) -> (u32, &'static str) {
    let WireError { at, what } = value;
    (at, what)
}

pub fn iter(baggage: &Baggage) -> impl Iterator<Item = (&str, &str)> {
    Baggage::iter(baggage)
}
