//! The address of a waypoint or of a network gateway.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::address::NetworkAddress;
use super::key::{KeyError, ServiceKey};

/// The port on which gateways take HBONE unless they say another.
pub const DEFAULT_HBONE_PORT: u16 = 15008;

/// Where a waypoint or a network gateway is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayAddress {
    /// The address or the service of the gateway.
    pub destination: Destination,
    /// The port on which it takes HBONE.
    #[serde(default = "default_port")]
    pub hbone_mtls_port: u16,
}

fn default_port() -> u16 {
    DEFAULT_HBONE_PORT
}

/// An address, written `NETWORK/ADDRESS`, or a service, written `NAMESPACE/HOSTNAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Destination {
    /// A workload's address or a service's VIP.
    Address(NetworkAddress),
    /// A service.
    Service(ServiceKey),
}

impl TryFrom<String> for Destination {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Destination, KeyError> {
        match text.parse() {
            Ok(address) => Ok(Destination::Address(address)),
            Err(_) => text.parse().map(Destination::Service),
        }
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> String {
        destination.to_string()
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Address(address) => fmt::Display::fmt(address, f),
            Destination::Service(key) => fmt::Display::fmt(key, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_a_hostname_are_told_apart() {
        let parse = |text: &str| Destination::try_from(text.to_owned());
        assert_eq!(parse("n/10.0.0.1"), Ok(Destination::Address("n/10.0.0.1".parse().unwrap())));
        assert_eq!(parse("n/way.n.svc"), Ok(Destination::Service(ServiceKey::new("n", "way.n.svc"))));
        assert!(parse("way.n.svc").is_err());
    }
}
