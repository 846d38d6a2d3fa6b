//! The PROXY protocol, version 2: who a relayed connection is from and where it was headed, told to an application in front of
//! its bytes (the protocol's specification section 2.2; node.md row 66).
//!
//! Version 1, the one in text, is recognised only to be refused by name: it has no place for an identity.

mod checksum;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::identity::{MAX_ID_BYTES, SpiffeId, SpiffeIdError};

/// The longest header that is read or written, in bytes: fixed part, IPv6 addresses, the longest identity, and as much again
/// for what others add.
pub const MAX_HEADER_BYTES: usize = FIXED_BYTES + 4096;
/// The type of the field with the SPIFFE id of the source (node.md row 66).
pub const IDENTITY_FIELD: u8 = 0xD0;

/// What every header begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// What a header of version 1 begins with.
const TEXT_SIGNATURE: &[u8] = b"PROXY ";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;
const VERSION: u8 = 0x20;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
/// Families that are assigned and are no TCP connection: datagrams and Unix sockets.
const OTHER_FAMILIES: [u8; 4] = [0x12, 0x22, 0x31, 0x32];
const CHECKSUM_FIELD: u8 = 0x03;

const _: () = assert!(FIXED_BYTES + 36 + 3 + MAX_ID_BYTES <= MAX_HEADER_BYTES);

/// A header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The connection that is relayed.
    pub endpoints: Endpoints,
    /// Who the source is, as the sender of the header verified it.
    pub identity: Option<SpiffeId>,
}

/// The two ends of the connection that a header speaks of. Addresses are canonical: an IPv4 address inside an IPv6 one is that
/// IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoints {
    /// The sender's own connection, such as a health check: the ends are those of the socket.
    Local,
    /// A relayed TCP connection.
    Tcp {
        /// Its client.
        source: SocketAddr,
        /// Where the client was headed.
        destination: SocketAddr,
    },
    /// A relayed connection whose ends the sender does not tell: they are those of the socket.
    Unspecified,
}

/// Why bytes are no header that can be taken. None of these is mended by more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyFault {
    /// The checksum is not that of the header.
    #[error("the checksum of the PROXY header is wrong")]
    Checksum,
    /// The command is neither LOCAL nor PROXY.
    #[error("the PROXY command {0} is unknown")]
    Command(u8),
    /// The family is none that the protocol has.
    #[error("the PROXY family {0:#04x} is unknown")]
    Family(u8),
    /// The identity is no SPIFFE id of a workload.
    #[error("the identity of the PROXY header is not valid: {0}")]
    Identity(SpiffeIdError),
    /// The identity is not text.
    #[error("the identity of the PROXY header is not text")]
    IdentityText,
    /// The header is longer than [`MAX_HEADER_BYTES`].
    #[error("a PROXY header of {0} bytes is too long")]
    Length(usize),
    /// A datagram or a Unix socket is relayed, not a TCP connection.
    #[error("the PROXY family {0:#04x} is no TCP connection")]
    NoTcp(u8),
    /// There are two identities, or two checksums.
    #[error("the field {0:#04x} of the PROXY header is there twice")]
    Repeated(u8),
    /// The bytes do not begin as a header does.
    #[error("no PROXY header")]
    Signature,
    /// It is a header of version 1.
    #[error("the PROXY header is of version 1")]
    Text,
    /// An address or a field is longer than what is left of the header.
    #[error("the PROXY header ends within a field")]
    Truncated,
    /// The version is not 2.
    #[error("the PROXY version {0} is unknown")]
    Version(u8),
}

impl Header {
    /// Reads a header from the start of what a connection brought. Returns it with the number of its bytes, or `None` if more
    /// must come before it can be read; of [`MAX_HEADER_BYTES`] bytes or more it never is.
    ///
    /// # Errors
    /// [`ProxyFault`], as soon as the bytes tell.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, ProxyFault> {
        check_signature(bytes)?;
        let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else { return Ok(None) };
        let [.., command, family, high, low] = *fixed;
        if command & 0xf0 != VERSION {
            return Err(ProxyFault::Version(command >> 4));
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        let whole = FIXED_BYTES + length;
        if whole > MAX_HEADER_BYTES {
            return Err(ProxyFault::Length(whole));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let header = match command & 0x0f {
            // What the sender says of its own connection is not looked at, family included.
            LOCAL => Header { endpoints: Endpoints::Local, identity: None },
            PROXY => {
                let (endpoints, fields) = endpoints(family, body)?;
                let identity = identity(fixed, body, fields)?;
                Header { endpoints, identity }
            }
            other => return Err(ProxyFault::Command(other)),
        };
        Ok(Some((header, whole)))
    }

    /// The bytes of the header, [`MAX_HEADER_BYTES`] at most. Addresses of two families go as IPv6. A header of the sender's own
    /// connection has nothing but its command.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (command, family, mut body) = match self.endpoints {
            Endpoints::Local => (LOCAL, UNSPECIFIED, Vec::new()),
            Endpoints::Unspecified => (PROXY, UNSPECIFIED, Vec::new()),
            Endpoints::Tcp { source, destination } => {
                let (family, addresses) = addresses(source, destination);
                (PROXY, family, addresses)
            }
        };
        if command == PROXY
            && let Some(identity) = &self.identity
        {
            let text = identity.to_string();
            body.push(IDENTITY_FIELD);
            body.extend(length_of(&text).to_be_bytes());
            body.extend(text.bytes());
        }
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([VERSION | command, family]);
        bytes.extend(length_of(&body).to_be_bytes());
        bytes.append(&mut body);
        bytes
    }
}

/// A length as the wire has it. The longest identity and two addresses are far from where it would be cut.
fn length_of(bytes: &(impl AsRef<[u8]> + ?Sized)) -> u16 {
    u16::try_from(bytes.as_ref().len()).unwrap_or(u16::MAX)
}

/// Refuses what does not begin as a header does, as far as there are bytes. A text is told from junk once its word is there.
fn check_signature(bytes: &[u8]) -> Result<(), ProxyFault> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(is, wanted)| is == wanted);
    if begins(&SIGNATURE) || (begins(TEXT_SIGNATURE) && bytes.len() < TEXT_SIGNATURE.len()) {
        return Ok(());
    }
    Err(if begins(TEXT_SIGNATURE) { ProxyFault::Text } else { ProxyFault::Signature })
}

/// What the family says of the body: the ends, and the fields behind them.
fn endpoints(family: u8, body: &[u8]) -> Result<(Endpoints, &[u8]), ProxyFault> {
    match family {
        UNSPECIFIED => Ok((Endpoints::Unspecified, body)),
        TCP_OVER_IPV4 => {
            let (source, rest) = taken(body)?;
            let (destination, rest) = taken(rest)?;
            let ip = |octets: [u8; 4]| IpAddr::V4(Ipv4Addr::from(octets));
            with_ports(ip(source), ip(destination), rest)
        }
        TCP_OVER_IPV6 => {
            let (source, rest) = taken(body)?;
            let (destination, rest) = taken(rest)?;
            let ip = |octets: [u8; 16]| Ipv6Addr::from(octets).to_canonical();
            with_ports(ip(source), ip(destination), rest)
        }
        other if OTHER_FAMILIES.contains(&other) => Err(ProxyFault::NoTcp(other)),
        other => Err(ProxyFault::Family(other)),
    }
}

fn with_ports(source: IpAddr, destination: IpAddr, rest: &[u8]) -> Result<(Endpoints, &[u8]), ProxyFault> {
    let (from, rest) = taken(rest)?;
    let (to, rest) = taken(rest)?;
    let source = SocketAddr::new(source, u16::from_be_bytes(from));
    let destination = SocketAddr::new(destination, u16::from_be_bytes(to));
    Ok((Endpoints::Tcp { source, destination }, rest))
}

fn taken<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), ProxyFault> {
    bytes.split_first_chunk().map(|(first, rest)| (*first, rest)).ok_or(ProxyFault::Truncated)
}

/// Walks the fields: the identity is read, a checksum is verified, what is unknown is passed over.
fn identity(
    fixed: &[u8; FIXED_BYTES],
    body: &[u8],
    mut fields: &[u8],
) -> Result<Option<SpiffeId>, ProxyFault> {
    let (mut identity, mut checked) = (None, false);
    while !fields.is_empty() {
        let ([kind, high, low], rest) = taken(fields)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(ProxyFault::Truncated)?;
        match kind {
            IDENTITY_FIELD => {
                let text = std::str::from_utf8(value).map_err(|_| ProxyFault::IdentityText)?;
                let id = text.parse().map_err(ProxyFault::Identity)?;
                if identity.replace(id).is_some() {
                    return Err(ProxyFault::Repeated(kind));
                }
            }
            CHECKSUM_FIELD => {
                if std::mem::replace(&mut checked, true) {
                    return Err(ProxyFault::Repeated(kind));
                }
                // The checksum is over the whole header, with its own four bytes zero.
                let at = body.len() - rest.len() - length;
                let (before, from) = body.split_at(at);
                let (stated, behind) = taken::<4>(from)?;
                let sum = checksum::crc32c(fixed.iter().chain(before).chain(&[0; 4]).chain(behind));
                if length != stated.len() || u32::from_be_bytes(stated) != sum {
                    return Err(ProxyFault::Checksum);
                }
            }
            _ => {}
        }
        fields = rest;
    }
    Ok(identity)
}

/// The family of two addresses, and both with their ports.
fn addresses(source: SocketAddr, destination: SocketAddr) -> (u8, Vec<u8>) {
    let mut bytes = Vec::with_capacity(36);
    let ends = (source.ip().to_canonical(), destination.ip().to_canonical());
    let family = if let (IpAddr::V4(from), IpAddr::V4(to)) = ends {
        bytes.extend(from.octets());
        bytes.extend(to.octets());
        TCP_OVER_IPV4
    } else {
        bytes.extend(wide(ends.0).octets());
        bytes.extend(wide(ends.1).octets());
        TCP_OVER_IPV6
    };
    bytes.extend(source.port().to_be_bytes());
    bytes.extend(destination.port().to_be_bytes());
    (family, bytes)
}

fn wide(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}
