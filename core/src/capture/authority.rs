//! The target of a CONNECT: `:authority`, an address or a hostname with a port (node.md row 31).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::fault::InboundFault;

/// The longest hostname, in bytes (RFC 1035, section 2.3.4, without the root's dot).
const MAX_HOSTNAME_BYTES: usize = 253;
/// The longest label of a hostname, in bytes (RFC 1035, section 2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// What a CONNECT asks for. Each has one spelling: what systems read in more than one way is refused, such as numbers with
/// leading zeros, hostnames that are really numbers, and zones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authority {
    /// A service by its hostname.
    Host {
        /// The hostname, in lower case.
        host: String,
        /// The port.
        port: u16,
    },
    /// An address, canonical.
    Ip(SocketAddr),
}

impl Authority {
    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Authority::Host { port, .. } => *port,
            Authority::Ip(address) => address.port(),
        }
    }
}

impl FromStr for Authority {
    type Err = InboundFault;

    fn from_str(text: &str) -> Result<Authority, InboundFault> {
        let (host, port) = text.rsplit_once(':').ok_or(InboundFault::BadAuthority)?;
        let port = parse_port(port).ok_or(InboundFault::BadAuthority)?;
        if let Some(inner) = host.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(InboundFault::BadAuthority)?;
            let ip: Ipv6Addr = inner.parse().map_err(|_| InboundFault::BadAuthority)?;
            return Ok(Authority::Ip(SocketAddr::new(IpAddr::V6(ip).to_canonical(), port)));
        }
        if let Ok(ip) = host.parse::<Ipv4Addr>() {
            return Ok(Authority::Ip(SocketAddr::new(ip.into(), port)));
        }
        if !is_hostname(host) {
            return Err(InboundFault::BadAuthority);
        }
        Ok(Authority::Host { host: host.to_ascii_lowercase(), port })
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn is_hostname(text: &str) -> bool {
    let label_is_valid = |label: &str| {
        (1..=MAX_LABEL_BYTES).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    // Resolvers read `127.1`, `2130706433` and `0x7f000001` as addresses: a name whose last label is a number is none.
    let last = text.rsplit('.').next().unwrap_or("");
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let numeric = last.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    text.len() <= MAX_HOSTNAME_BYTES && !numeric && text.split('.').all(label_is_valid)
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Authority::Host { host, port } => write!(f, "{host}:{port}"),
            Authority::Ip(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    #[test]
    fn one_spelling_of_each_target_is_read() {
        for (text, printed) in [
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
            ("[2001:DB8:0::1]:443", "[2001:db8::1]:443"),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
            ("[::ffff:a00:1]:80", "10.0.0.1:80"),
            ("Web.Default.svc.cluster.local:80", "web.default.svc.cluster.local:80"),
            ("web_1:65535", "web_1:65535"),
            ("1.2.3.4x:80", "1.2.3.4x:80"),
        ] {
            assert_eq!(
                text.parse::<Authority>().map(|read| read.to_string()),
                Ok(printed.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let long_label = format!("{}.example:80", "a".repeat(64));
        let long_name = format!("{}example:80", "a.".repeat(130));
        for text in [
            "",
            ":",
            ":80",
            "10.0.0.1",
            "10.0.0.1:",
            "10.0.0.1:0",
            "10.0.0.1:080",
            "10.0.0.1:+80",
            "10.0.0.1:65536",
            "10.0.0.1:-1",
            "10.0.0.1: 80",
            "10.0.0.1:80 ",
            " 10.0.0.1:80",
            "010.0.0.1:80",
            "10.0.0.01:80",
            "10.0.0.0x1:80",
            "0x0a000001:80",
            "0X0a000001:80",
            "167772161:80",
            "0127.0.0.1:80",
            "127.1:80",
            "10.1:80",
            "0:80",
            "0x:80",
            "2001:db8::1:80",
            "[2001:db8::1]",
            "[2001:db8::1]80",
            "[fe80::1%eth0]:80",
            "[fe80::1%1]:80",
            "[10.0.0.1]:80",
            "[::1:80",
            "::1]:80",
            "[]:80",
            "[v1.x]:80",
            "user@10.0.0.1:80",
            "10.0.0.1:80/path",
            "http://10.0.0.1:80",
            "a..b:80",
            ".a:80",
            "a.:80",
            "a b:80",
            "a%2e:80",
            "*.a:80",
            "bücher.example:80",
            "１0.0.0.1:80",
            "a\0:80",
            &long_label,
            &long_name,
        ] {
            assert_eq!(text.parse::<Authority>(), Err(InboundFault::BadAuthority), "{text:?}");
        }
    }

    quickcheck! {
        fn what_is_read_prints_as_it_is_read(text: String, label: u32, port: u16) -> bool {
            [text.clone(), format!("{text}:{port}"), format!("{label:x}.{label:o}:{port}"), format!("[::{label:x}]:{port}")]
                .iter()
                .filter_map(|text| text.parse::<Authority>().ok())
                .all(|read| read.to_string().parse() == Ok(read))
        }

        fn every_address_is_read_in_canonical_form(ip: IpAddr, port: u16) -> bool {
            let read = SocketAddr::new(ip, port).to_string().parse::<Authority>();
            let address = SocketAddr::new(ip.to_canonical(), port);
            if port == 0 { read.is_err() } else { read == Ok(Authority::Ip(address)) }
        }
    }
}
