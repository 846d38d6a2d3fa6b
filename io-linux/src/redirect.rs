//! The redirect: what makes a pod's connections arrive at the node's listeners (node.md row 18).
//!
//! Three parts, in one network namespace, IPv4 and IPv6 alike:
//!
//! * an nf_tables table `culvert`, replaced whole in one atomic batch;
//! * a routing rule: packets marked [`RETURN_MARK`] are looked up in table [`ROUTE_TABLE`];
//! * in that table a route that makes every address local, by way of the loopback.
//!
//! The last two bring an application's answers back to the node when it dialled the application under the client's own
//! address. Everything goes over netlink; no program of the host is needed, and no privilege outside the namespace's
//! own user namespace.
//!
//! ```no_run
//! use culvert_linux::redirect::{self, RedirectConfig};
//!
//! let config = RedirectConfig::default();
//! redirect::apply(&config)?;
//! assert_eq!(redirect::show()?, config.expected()?);
//! redirect::remove()?;
//! # Ok::<(), culvert_linux::redirect::RedirectError>(())
//! ```

mod expression;
mod routing;
mod ruleset;
mod state;
mod table;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::netlink::{Connection, NetlinkError, Protocol};
use crate::netns::Netns;

pub use state::{Chain, Redirect};

/// The mark of packets that must take the local route back to the node (node.md row 18).
pub const RETURN_MARK: u32 = 0x111;
/// The routing table with the local routes (node.md row 18).
pub const ROUTE_TABLE: u32 = 100;
/// The preference of the routing rule (node.md row 18).
pub const RULE_PREFERENCE: u32 = 32_764;
/// Where the kubelet's probes come from, translated so by whoever set up the pod's network (node.md row 18).
pub const PROBE_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 7, 127);
/// As [`PROBE_V4`].
pub const PROBE_V6: Ipv6Addr = Ipv6Addr::new(0xfd16, 0x9254, 0x7127, 0x1337, 0xffff, 0xffff, 0xffff, 0xffff);

/// Longest name of a network interface (`IFNAMSIZ` without its NUL).
const INTERFACE_NAME_BYTES: usize = 15;

/// What is redirected where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectConfig {
    /// Port for connections that the pod opens; `None` leaves them alone.
    pub outbound: Option<u16>,
    /// Port for plain connections to the pod; `None` leaves them alone, as for an ingress gateway.
    pub inbound: Option<u16>,
    /// Port of the tunnel listener, to which connections are never redirected away from.
    pub tunnel: u16,
    /// Port for DNS questions, UDP and TCP; `None` leaves them alone. The UDP listener must be bound to 127.0.0.1 and
    /// ::1, which is where redirected questions arrive and where their answers must come from.
    pub dns: Option<u16>,
    /// Interfaces behind which something else lives, such as a virtual machine: what comes from them counts as opened
    /// by the pod.
    pub virtual_interfaces: Vec<String>,
}

impl Default for RedirectConfig {
    /// The ports of node.md rows 4 to 6; no DNS, no virtual interfaces.
    fn default() -> Self {
        Self {
            outbound: Some(15_001),
            inbound: Some(15_006),
            tunnel: 15_008,
            dns: None,
            virtual_interfaces: Vec::new(),
        }
    }
}

impl RedirectConfig {
    /// What [`show`] answers once this is applied, in a namespace that has IPv6.
    ///
    /// # Errors
    /// [`RedirectError::InterfaceName`].
    pub fn expected(&self) -> Result<Redirect, RedirectError> {
        self.check()?;
        Ok(Redirect { chains: state::expected_chains(&ruleset::chains(self)), routing: routing::expected() })
    }

    fn check(&self) -> Result<(), RedirectError> {
        let bad =
            |name: &&String| name.is_empty() || name.len() > INTERFACE_NAME_BYTES || name.contains('\0');
        match self.virtual_interfaces.iter().find(bad) {
            Some(name) => Err(RedirectError::InterfaceName(name.clone())),
            None => Ok(()),
        }
    }
}

/// Why the redirect could not be set, removed or read.
#[derive(Debug, Error)]
pub enum RedirectError {
    /// The kernel refused.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The namespace could not be entered.
    #[error("cannot enter the network namespace: {0}")]
    Namespace(#[source] io::Error),
    /// No interface can have this name.
    #[error("not the name of an interface: {0:?}")]
    InterfaceName(String),
}

/// Sets the redirect in the calling thread's namespace, in place of any earlier one of ours.
///
/// Rules of others stay. The loopback must be up. Connections that exist already are not moved. Should the table be
/// refused, the routing rule may be left: without marks it concerns no packet.
///
/// # Errors
/// What the kernel says; the table is then as it was before.
pub fn apply(config: &RedirectConfig) -> Result<(), RedirectError> {
    config.check()?;
    routing::apply(&mut Connection::open(Protocol::Route)?)?;
    let batch = table::replacement(&ruleset::chains(config));
    Ok(Connection::open(Protocol::Netfilter)?.batch(&batch)?)
}

/// Removes the redirect from the calling thread's namespace; nothing happens if there is none.
///
/// # Errors
/// What the kernel says.
pub fn remove() -> Result<(), RedirectError> {
    Connection::open(Protocol::Netfilter)?.batch(&table::removal())?;
    Ok(routing::remove(&mut Connection::open(Protocol::Route)?)?)
}

/// What there is of the redirect in the calling thread's namespace, as the kernel tells it.
///
/// # Errors
/// What the kernel says.
pub fn show() -> Result<Redirect, RedirectError> {
    let chains = state::read_chains(&mut Connection::open(Protocol::Netfilter)?)?;
    let routing = routing::read(&mut Connection::open(Protocol::Route)?)?;
    Ok(Redirect { chains, routing })
}

/// [`apply`] in another namespace.
///
/// # Errors
/// As [`apply`], and [`RedirectError::Namespace`].
pub fn apply_in(netns: &Netns, config: &RedirectConfig) -> Result<(), RedirectError> {
    netns.run(|| apply(config)).map_err(RedirectError::Namespace)?
}

/// [`remove`] in another namespace.
///
/// # Errors
/// As [`remove`], and [`RedirectError::Namespace`].
pub fn remove_in(netns: &Netns) -> Result<(), RedirectError> {
    netns.run(remove).map_err(RedirectError::Namespace)?
}

/// [`show`] in another namespace.
///
/// # Errors
/// As [`show`], and [`RedirectError::Namespace`].
pub fn show_in(netns: &Netns) -> Result<Redirect, RedirectError> {
    netns.run(show).map_err(RedirectError::Namespace)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_no_interface_can_have_are_refused() {
        for name in ["", "sixteen-bytes-xx", "a\0b"] {
            let config =
                RedirectConfig { virtual_interfaces: vec![name.to_owned()], ..RedirectConfig::default() };
            assert!(matches!(apply(&config), Err(RedirectError::InterfaceName(_))), "{name:?}");
        }
    }

    #[test]
    fn each_option_leaves_its_trace_in_what_is_expected() {
        let text = |config: &RedirectConfig| config.expected().unwrap().to_string();
        let plain = text(&RedirectConfig::default());
        assert!(plain.contains("redirect to 15001") && plain.contains("redirect to 15006"), "{plain}");
        let ingress = text(&RedirectConfig { inbound: None, ..RedirectConfig::default() });
        assert!(!ingress.contains("15006"), "{ingress}");
        let dns = text(&RedirectConfig { dns: Some(15_053), ..RedirectConfig::default() });
        assert!(dns.contains("redirect to 15053") && !plain.contains("15053"), "{dns}");
        let machines =
            RedirectConfig { virtual_interfaces: vec!["vnet0".to_owned()], ..RedirectConfig::default() };
        assert!(text(&machines).contains("vnet0"));
    }
}
