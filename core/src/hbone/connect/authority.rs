//! `:authority` of a CONNECT: an address or a name, and always a port (row 31).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::WireError;

/// The longest host name, in bytes (RFC 1035 section 2.3.4, without the root's dot).
pub const MAX_HOST_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// The target of a tunnel. Made by the parser or the constructors it has one spelling for each target: an IPv4 address
/// inside an IPv6 one is that IPv4 address, names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authority {
    /// A name, to be resolved by the receiver.
    Host {
        /// The name, in lower case.
        host: Arc<str>,
        /// The port, not 0.
        port: u16,
    },
    /// An address.
    Ip(SocketAddr),
}

impl Authority {
    /// Reads `1.2.3.4:80`, `[2001:db8::1]:80` or `name:80`.
    ///
    /// # Errors
    /// Anything else: no port, port 0, user information, a zone id, an IPv4 address in octal, hexadecimal or short
    /// form, a character outside letters, digits, dot, dash and underscore.
    pub fn parse(text: &str) -> Result<Authority, WireError> {
        if let Some(rest) = text.strip_prefix('[') {
            let (inside, after) = rest.split_once(']').ok_or(WireError::new(0, "no closing bracket"))?;
            let ip: Ipv6Addr = inside.parse().map_err(|_| WireError::new(1, "not an IPv6 address"))?;
            let at = inside.len() + 2;
            let port = after.strip_prefix(':').ok_or(WireError::new(at, "no port"))?;
            return Ok(Authority::ip(SocketAddr::new(IpAddr::V6(ip), parse_port(port, at + 1)?)));
        }
        let (host, port) = text.split_once(':').ok_or(WireError::new(text.len(), "no port"))?;
        let port = parse_port(port, host.len() + 1)?;
        if ends_in_a_number(host) {
            let ip: Ipv4Addr = host.parse().map_err(|_| WireError::new(0, "not an IPv4 address"))?;
            return Ok(Authority::Ip(SocketAddr::new(IpAddr::V4(ip), port)));
        }
        check_host(host, 0)?;
        Ok(Authority::Host { host: host.to_ascii_lowercase().into(), port })
    }

    /// The authority of an address; one that is IPv4 inside IPv6 becomes IPv4.
    pub fn ip(address: SocketAddr) -> Authority {
        Authority::Ip(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// The authority of a name.
    ///
    /// # Errors
    /// The text is no host name, or the port is 0.
    pub fn host(host: &str, port: u16) -> Result<Authority, WireError> {
        if port == 0 {
            return Err(WireError::new(host.len() + 1, "port 0"));
        }
        if ends_in_a_number(host) {
            return Err(WireError::new(0, "an address, not a name"));
        }
        check_host(host, 0)?;
        Ok(Authority::Host { host: host.to_ascii_lowercase().into(), port })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Authority::Host { port, .. } => *port,
            Authority::Ip(address) => address.port(),
        }
    }
}

/// Whether resolvers would take the name for an IPv4 address, strictly written or not (WHATWG URL, host parsing):
/// `127.1`, `0x7f000001`, `0177.0.0.1` and `2130706433` all mean the node itself to some.
fn ends_in_a_number(host: &str) -> bool {
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let digits = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    digits || hexadecimal.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn parse_port(text: &str, at: usize) -> Result<u16, WireError> {
    if text.is_empty() {
        return Err(WireError::new(at, "no port"));
    }
    if text.starts_with('0') || text.len() > 5 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(WireError::new(at, "not a port"));
    }
    text.parse().map_err(|_| WireError::new(at, "not a port"))
}

/// Accepts a name of labels of letters, digits, dash and underscore; `at` is where it begins in the whole text.
pub(super) fn check_host(host: &str, at: usize) -> Result<(), WireError> {
    if host.is_empty() || host.len() > MAX_HOST_BYTES {
        return Err(WireError::new(at, "a host name has 1 to 253 bytes"));
    }
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if let Some(bad) = host.bytes().position(|b| !valid(b)) {
        return Err(WireError::new(at + bad, "not a character of a host name"));
    }
    if host.split('.').any(|label| label.is_empty() || label.len() > MAX_LABEL_BYTES) {
        return Err(WireError::new(at, "a label has 1 to 63 bytes"));
    }
    Ok(())
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Authority::Host { host, port } => write!(f, "{host}:{port}"),
            Authority::Ip(address) => address.fmt(f),
        }
    }
}
