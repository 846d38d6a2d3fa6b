//! The CONNECT request and its answer as values: total parsers and printers of what HBONE puts in headers
//! (node.md rows 31 to 37).
//!
//! Only the authority decides anything. The other headers are a peer's claim, for telemetry: one that cannot be
//! parsed is ignored and counted, and never fails the request.

mod authority;
mod baggage;
mod forwarded;
mod traceparent;

use std::sync::Arc;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};

pub use authority::{Authority, MAX_HOST_BYTES};
pub use baggage::{Baggage, MAX_BAGGAGE_BYTES, MAX_BAGGAGE_MEMBERS};
pub use forwarded::{Forwarded, MAX_FORWARDED_BYTES};
pub use traceparent::TraceParent;

/// The longest `x-forwarded-network` that is read, in bytes: a network's name is a label's value in Kubernetes.
pub const MAX_NETWORK_BYTES: usize = 63;

const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const NETWORK: HeaderName = HeaderName::from_static("x-forwarded-network");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Where in a text the grammar was broken, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct WireError {
    /// The offset in bytes from the start of the text.
    pub at: u32,
    /// What was wrong there.
    pub what: &'static str,
}

impl WireError {
    pub(crate) fn new(at: usize, what: &'static str) -> WireError {
        WireError { at: u32::try_from(at).unwrap_or(u32::MAX), what }
    }
}

/// A CONNECT (RFC 9113 section 8.5): the target, and what the peer says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnectRequest {
    /// The target of the tunnel: `:authority`.
    pub authority: Authority,
    /// The source workload, as the peer describes it (row 32).
    pub baggage: Option<Baggage>,
    /// The client's address and the service it called (row 33).
    pub forwarded: Option<Forwarded>,
    /// The network the client is in; only inside double HBONE (row 35).
    pub network: Option<Arc<str>>,
    /// For the correlation of logs (row 34).
    pub trace: Option<TraceParent>,
}

/// Why a request is no CONNECT that can be served; each is answered with status 400 (row 37).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RequestFault {
    /// The authority is not an address or name with a port.
    #[error("malformed authority: {0}")]
    Authority(WireError),
    /// A `host` header names another target than `:authority`.
    #[error("the host header differs from the authority")]
    HostMismatch,
    /// There is no `:authority`.
    #[error("the request has no authority")]
    NoAuthority,
    /// The method is another than CONNECT.
    #[error("the method is not CONNECT")]
    NotConnect,
}

impl RequestFault {
    /// The status that answers it.
    pub const fn status(&self) -> u16 {
        400
    }
}

impl ConnectRequest {
    /// A CONNECT without any optional header.
    pub fn new(authority: Authority) -> ConnectRequest {
        ConnectRequest { authority, baggage: None, forwarded: None, network: None, trace: None }
    }

    /// Reads a request; the second value counts the optional headers that could not be parsed.
    pub(crate) fn from_http(request: &Request<()>) -> (Result<ConnectRequest, RequestFault>, u32) {
        let mut ignored = 0;
        let headers = request.headers();
        let parsed = authority_of(request).map(|authority| ConnectRequest {
            authority,
            baggage: optional(Baggage::from_headers(headers.get_all(&BAGGAGE)), &mut ignored),
            forwarded: single(headers, &FORWARDED, Forwarded::parse, &mut ignored),
            network: single(headers, &NETWORK, parse_network, &mut ignored),
            trace: single(headers, &TRACEPARENT, TraceParent::parse, &mut ignored),
        });
        (parsed, ignored)
    }

    /// Writes a request with `:method` and `:authority` only, and the headers that are set.
    ///
    /// # Errors
    /// The authority was not made by its parser and is no authority, or the network's name no header value.
    pub(crate) fn to_http(&self) -> Result<Request<()>, WireError> {
        let authority = http::uri::Authority::from_maybe_shared(self.authority.to_string())
            .map_err(|_| WireError::new(0, "not an authority"))?;
        let mut parts = http::uri::Parts::default();
        parts.authority = Some(authority);
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| WireError::new(0, "not an authority"))?;
        let headers = request.headers_mut();
        if let Some(baggage) = &self.baggage {
            insert(headers, BAGGAGE, &baggage.to_string())?;
        }
        if let Some(forwarded) = &self.forwarded {
            insert(headers, FORWARDED, &forwarded.to_string())?;
        }
        if let Some(network) = &self.network {
            insert(headers, NETWORK, network)?;
        }
        if let Some(trace) = &self.trace {
            insert(headers, TRACEPARENT, &trace.to_string())?;
        }
        Ok(request)
    }
}

/// The answer to a CONNECT: 200 once the target is connected, and anything else if it is not (row 37).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnectResponse {
    /// The HTTP status, 200 to 599.
    pub status: u16,
    /// The destination workload, as the peer describes it (row 36).
    pub baggage: Option<Baggage>,
}

impl ConnectResponse {
    /// An answer without baggage.
    pub const fn new(status: u16) -> ConnectResponse {
        ConnectResponse { status, baggage: None }
    }

    /// Reads an answer; the second value counts the optional headers that could not be parsed.
    pub(crate) fn from_http(status: StatusCode, headers: &HeaderMap) -> (ConnectResponse, u32) {
        let mut ignored = 0;
        let baggage = optional(Baggage::from_headers(headers.get_all(&BAGGAGE)), &mut ignored);
        (ConnectResponse { status: status.as_u16(), baggage }, ignored)
    }

    /// Writes an answer.
    ///
    /// # Errors
    /// The status is outside 200 to 599.
    pub(crate) fn to_http(&self) -> Result<Response<()>, WireError> {
        let status = StatusCode::from_u16(self.status).ok().filter(|_| (200..600).contains(&self.status));
        let mut response = Response::new(());
        *response.status_mut() = status.ok_or(WireError::new(0, "not a final status"))?;
        if let Some(baggage) = &self.baggage {
            insert(response.headers_mut(), BAGGAGE, &baggage.to_string())?;
        }
        Ok(response)
    }
}

fn authority_of(request: &Request<()>) -> Result<Authority, RequestFault> {
    if request.method() != Method::CONNECT {
        return Err(RequestFault::NotConnect);
    }
    let text = request.uri().authority().ok_or(RequestFault::NoAuthority)?.as_str();
    let authority = Authority::parse(text).map_err(RequestFault::Authority)?;
    // Two names of one target are how a proxy and what is behind it are made to disagree.
    let differs = |host: &HeaderValue| host.as_bytes() != text.as_bytes();
    if request.headers().get_all(HOST).iter().any(differs) {
        return Err(RequestFault::HostMismatch);
    }
    Ok(authority)
}

fn single<T>(
    headers: &HeaderMap,
    name: &HeaderName,
    parse: fn(&str) -> Result<T, WireError>,
    ignored: &mut u32,
) -> Option<T> {
    let value = headers.get(name)?;
    let parsed = value.to_str().map_err(|_| WireError::new(0, "not ASCII")).and_then(parse);
    optional(parsed.map(Some), ignored)
}

fn optional<T>(parsed: Result<Option<T>, WireError>, ignored: &mut u32) -> Option<T> {
    parsed.unwrap_or_else(|_| {
        *ignored += 1;
        None
    })
}

fn parse_network(text: &str) -> Result<Arc<str>, WireError> {
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if text.is_empty() || text.len() > MAX_NETWORK_BYTES {
        return Err(WireError::new(0, "a network's name has 1 to 63 bytes"));
    }
    match text.bytes().position(|b| !valid(b)) {
        Some(at) => Err(WireError::new(at, "not a character of a network's name")),
        None => Ok(text.into()),
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) -> Result<(), WireError> {
    let value = HeaderValue::from_str(text).map_err(|_| WireError::new(0, "not a header value"))?;
    headers.insert(name, value);
    Ok(())
}

#[cfg(test)]
mod tests;
