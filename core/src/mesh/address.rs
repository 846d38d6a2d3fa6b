//! Addresses as the mesh writes them: an IP address in a named network, and address ranges.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is no address of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text is not of the form `NETWORK/ADDRESS`.
    #[error("{0:?} is not NETWORK/ADDRESS")]
    NetworkAddress(String),
    /// The text is not of the form `ADDRESS/LENGTH`.
    #[error("{0:?} is not ADDRESS/LENGTH")]
    Cidr(String),
    /// The prefix is longer than an address of this family.
    #[error("prefix length {length} is longer than an address, {bits} bits")]
    Length {
        /// The length that was given, in bits.
        length: u8,
        /// The length of the address, in bits.
        bits: u8,
    },
}

/// An IP address in a named network. `""` is the default network.
///
/// Written `NETWORK/ADDRESS`; the address is canonical, so an IPv4-mapped IPv6 address is the IPv4 address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkAddress {
    network: Arc<str>,
    ip: IpAddr,
}

impl NetworkAddress {
    /// Makes an address; an IPv4-mapped IPv6 address becomes the IPv4 address.
    pub fn new(network: Arc<str>, ip: IpAddr) -> NetworkAddress {
        NetworkAddress { network, ip: ip.to_canonical() }
    }

    /// The name of the network.
    pub fn network(&self) -> &Arc<str> {
        &self.network
    }

    /// The address, canonical.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }
}

impl FromStr for NetworkAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<NetworkAddress, AddressError> {
        let bad = || AddressError::NetworkAddress(text.to_owned());
        let (network, ip) = text.split_once('/').ok_or_else(bad)?;
        let ip: IpAddr = ip.parse().map_err(|_| bad())?;
        Ok(NetworkAddress::new(network.into(), ip))
    }
}

impl fmt::Display for NetworkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.ip)
    }
}

impl fmt::Debug for NetworkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A range of addresses that share a prefix. Bits after the prefix are zero, and a range inside `::ffff:0:0/96` is
/// the IPv4 range it stands for, so equal ranges are equal values.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    first: IpAddr,
    length: u8,
}

impl Cidr {
    /// Makes a range of the prefix of `length` bits of `ip`.
    ///
    /// # Errors
    ///
    /// [`AddressError::Length`] if the address has fewer than `length` bits.
    pub fn new(ip: IpAddr, length: u8) -> Result<Cidr, AddressError> {
        let bits = address_bits(ip);
        if length > bits {
            return Err(AddressError::Length { length, bits });
        }
        if let (IpAddr::V6(v6), Some(length)) = (ip, length.checked_sub(96))
            && let Some(v4) = v6.to_ipv4_mapped()
        {
            return Ok(Cidr { first: mask(IpAddr::V4(v4), length), length });
        }
        Ok(Cidr { first: mask(ip, length), length })
    }

    /// The prefix of `length` bits of the canonical form of `ip`; a length beyond the address is the whole address.
    pub(crate) fn prefix(ip: IpAddr, length: u8) -> Cidr {
        let ip = ip.to_canonical();
        let length = length.min(address_bits(ip));
        Cidr { first: mask(ip, length), length }
    }

    /// Whether the range holds the address. An IPv4-mapped IPv6 address counts as the IPv4 address, and a range of
    /// one family holds no address of the other.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.first.is_ipv4() && mask(ip, self.length) == self.first
    }

    /// The first address of the range.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// The length of the prefix, in bits.
    pub fn prefix_bits(&self) -> u8 {
        self.length
    }
}

/// The length of an address of this family, in bits.
pub(crate) fn address_bits(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn mask(ip: IpAddr, length: u8) -> IpAddr {
    let length = u32::from(length);
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

impl FromStr for Cidr {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Cidr, AddressError> {
        let bad = || AddressError::Cidr(text.to_owned());
        let (ip, length) = text.split_once('/').ok_or_else(bad)?;
        let ip: IpAddr = ip.parse().map_err(|_| bad())?;
        // The number parser of the standard library takes a sign, which no prefix length has.
        if !length.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        Cidr::new(ip, length.parse().map_err(|_| bad())?)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A range of addresses in a named network, written `NETWORK/ADDRESS/LENGTH`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkCidr {
    /// The name of the network.
    pub network: Arc<str>,
    /// The range.
    pub cidr: Cidr,
}

impl FromStr for NetworkCidr {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<NetworkCidr, AddressError> {
        let (network, cidr) =
            text.split_once('/').ok_or_else(|| AddressError::NetworkAddress(text.to_owned()))?;
        Ok(NetworkCidr { network: network.into(), cidr: cidr.parse()? })
    }
}

impl fmt::Display for NetworkCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.cidr)
    }
}

impl fmt::Debug for NetworkCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! text_form {
    ($($name:ty),*) => {$(
        impl TryFrom<String> for $name {
            type Error = AddressError;

            fn try_from(text: String) -> Result<$name, AddressError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.to_string()
            }
        }
    )*};
}

text_form!(NetworkAddress, Cidr, NetworkCidr);

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_hold_what_their_prefix_says() {
        let rows = [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
            ("192.0.2.7/32", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "::ffff:11.1.2.3", false),
            ("2001:db8::/32", "2001:db8:1::", true),
            ("2001:db8::/32", "2001:db9::", false),
        ];
        for (range, address, held) in rows {
            assert_eq!(cidr(range).contains(ip(address)), held, "{range} {address}");
        }
    }

    #[test]
    fn a_mapped_range_is_the_ipv4_range() {
        assert_eq!(cidr("::ffff:10.0.0.0/104"), cidr("10.0.0.0/8"));
        assert_eq!(cidr("10.1.2.3/8").to_string(), "10.0.0.0/8");
    }

    #[test]
    fn bad_texts_are_refused() {
        for text in [
            "10.0.0.0",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "010.0.0.0/8",
            "10.0/8",
            "/8",
            "a/8",
            "1.2.3.4/",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
        for text in ["10.0.0.1", "n/", "n/10.0.0.1/8", "n/x", "n/0x7f.0.0.1", "n/fe80::1%1"] {
            assert!(text.parse::<NetworkAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_address_is_canonical() {
        let mapped: NetworkAddress = "west/::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(mapped, "west/10.0.0.1".parse().unwrap());
        assert_eq!(mapped.to_string(), "west/10.0.0.1");
        assert_eq!("/10.0.0.1".parse::<NetworkAddress>().unwrap().network().as_ref(), "");
    }

    quickcheck! {
        fn a_range_holds_its_own_addresses_and_prints_as_it_parses(ip: IpAddr, length: u8) -> bool {
            let Ok(range) = Cidr::new(ip, length) else { return length > address_bits(ip) };
            let mapped_wider_than_v4 = ip != ip.to_canonical() && length < 96;
            (mapped_wider_than_v4 || range.contains(ip)) && range.to_string().parse() == Ok(range)
        }
    }
}
