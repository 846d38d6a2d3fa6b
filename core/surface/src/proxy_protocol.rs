//! `culvert_core::proxy_protocol`.

use culvert_core::identity::SpiffeId;
use culvert_core::identity::SpiffeIdError;
use culvert_core::proxy_protocol::{Endpoints, Header, IDENTITY_FIELD, MAX_HEADER_BYTES, ProxyFault};
use std::net::SocketAddr;

const _: u8 = IDENTITY_FIELD;
const _: usize = MAX_HEADER_BYTES;
pub fn cases_of_endpoints(value: Endpoints) -> &'static str {
    match value {
        Endpoints::Local => "Local",
        Endpoints::Tcp { source, destination } => {
            let _: SocketAddr = source;
            let _: SocketAddr = destination;
            "Tcp"
        }
        Endpoints::Unspecified => "Unspecified",
    }
}
pub fn cases_of_proxy_fault(value: ProxyFault) -> &'static str {
    match value {
        ProxyFault::Checksum => "Checksum",
        ProxyFault::Command(f0) => {
            let _: u8 = f0;
            "Command"
        }
        ProxyFault::Family(f0) => {
            let _: u8 = f0;
            "Family"
        }
        ProxyFault::Identity(f0) => {
            let _: SpiffeIdError = f0;
            "Identity"
        }
        ProxyFault::IdentityText => "IdentityText",
        ProxyFault::Length(f0) => {
            let _: usize = f0;
            "Length"
        }
        ProxyFault::NoTcp(f0) => {
            let _: u8 = f0;
            "NoTcp"
        }
        ProxyFault::Repeated(f0) => {
            let _: u8 = f0;
            "Repeated"
        }
        ProxyFault::Signature => "Signature",
        ProxyFault::Text => "Text",
        ProxyFault::Truncated => "Truncated",
        ProxyFault::Version(f0) => {
            let _: u8 = f0;
            "Version"
        }
    }
}
pub fn fields_of_header(value: Header) -> (Endpoints, Option<SpiffeId>) {
    let Header { endpoints, identity } = value;
    (endpoints, identity)
}
const _: fn(&[u8]) -> Result<Option<(Header, usize)>, ProxyFault> = Header::parse;
const _: fn(&Header) -> Vec<u8> = Header::to_bytes;
