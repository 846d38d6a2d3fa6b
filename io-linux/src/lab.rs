//! Throw-away networks for demonstrations, tests and benchmarks. The data path uses nothing of this.
//!
//! A lab is a wire with nodes and outsiders on it, and pods behind the nodes, each in a network namespace of its own:
//!
//! ```text
//!            wire (a bridge)            10.0.0.0/24  fd10::/64
//!     ┌──────────────┼───────────────┐
//!   node 1         node 2        outsiders
//!   a bridge       a bridge          10.1.0.0/24  fd10:1::/64,  10.2.0.0/24  fd10:2::/64
//!   ┌──┴──┐        ┌──┴──┐
//!  pod   pod      pod   pod
//! ```
//!
//! Nodes route, nothing is translated: everyone reaches everyone, and what passes between pods of different nodes
//! passes over the wire, where a [`Sniffer`] can see it. Namespaces are held by descriptor, so nothing is left behind,
//! however the process ends. Neither privileges (see [`crate::user_namespace`]) nor programs of the host are needed.
//!
//! ```no_run
//! use culvert_linux::lab::{Lab, LabConfig, Sniffer};
//!
//! let lab = Lab::new(&LabConfig::uniform(2, 2, 0))?;
//! let target = lab.host("node2-pod1")?;
//! let listener = target.netns.run(|| std::net::TcpListener::bind((target.v4, 80)))??;
//! let tap = lab.host("node1")?.tap()?;
//! let sniffer = Sniffer::start(&tap.netns, &tap.interface, &[b"canary"])?;
//! let client = lab.host("node1-pod1")?.run(|| std::net::TcpStream::connect((target.v4, 80)))??;
//! assert!(sniffer.stop()?.frames > 0);
//! # Ok::<(), culvert_linux::lab::LabError>(())
//! ```

mod link;
mod sniffer;
mod topology;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::netlink::{Connection, NetlinkError, Protocol};
use crate::netns::Netns;

pub use sniffer::{Capture, Sniffer};

/// Who is in a lab. Names are free, but each may occur only once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabConfig {
    nodes: Vec<(String, Vec<String>)>,
    outsiders: Vec<String>,
}

impl LabConfig {
    /// A wire with nobody on it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nodes `node1`, `node2` and so on with pods `node1-pod1` and so on, and outsiders `outsider1` and so on.
    #[must_use]
    pub fn uniform(nodes: usize, pods_per_node: usize, outsiders: usize) -> Self {
        let mut config = Self::new();
        for node in 1..=nodes {
            config = config
                .node(format!("node{node}"), (1..=pods_per_node).map(|pod| format!("node{node}-pod{pod}")));
        }
        (1..=outsiders).fold(config, |config, number| config.outsider(format!("outsider{number}")))
    }

    /// Adds a node and its pods.
    #[must_use]
    pub fn node<S: Into<String>>(
        mut self,
        name: impl Into<String>,
        pods: impl IntoIterator<Item = S>,
    ) -> Self {
        self.nodes.push((name.into(), pods.into_iter().map(Into::into).collect()));
        self
    }

    /// Adds a host that belongs to no node.
    #[must_use]
    pub fn outsider(mut self, name: impl Into<String>) -> Self {
        self.outsiders.push(name.into());
        self
    }
}

/// Why a lab could not be built or used.
#[derive(Debug, Error)]
pub enum LabError {
    /// No namespace, thread or file.
    #[error("lab: {0}")]
    Io(#[from] io::Error),
    /// The kernel refused a link, an address or a route.
    #[error("lab: {0}")]
    Netlink(#[from] NetlinkError),
    /// Nobody of this name is in the lab.
    #[error("lab: no host named {0:?}")]
    NoHost(String),
    /// Two hosts have this name.
    #[error("lab: more than one host named {0:?}")]
    Duplicate(String),
    /// The address plan has room for 200 nodes, 200 pods on each and 50 outsiders.
    #[error("lab: too many hosts")]
    TooLarge,
}

/// A network that lives as long as this value and the sockets made in it.
#[derive(Debug)]
pub struct Lab {
    wire: Netns,
    hosts: Vec<Host>,
}

/// One node, pod or outsider.
#[derive(Debug)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub netns: Netns,
    /// Its IPv4 address; of a node, the one on the wire.
    pub v4: Ipv4Addr,
    /// Its IPv6 address; of a node, the one on the wire.
    pub v6: Ipv6Addr,
    /// The interface with these addresses.
    pub interface: String,
    tap: Tap,
}

/// Where a host's frames can be seen from outside: the other end of its cable.
#[derive(Debug)]
pub struct Tap {
    /// The namespace with the bridge that the host is connected to.
    pub netns: Netns,
    /// The port of that bridge.
    pub interface: String,
}

impl Lab {
    /// Builds the network.
    ///
    /// # Errors
    /// The kernel refuses something, most often for want of privileges; or the configuration cannot be built.
    pub fn new(config: &LabConfig) -> Result<Self, LabError> {
        topology::build(config)
    }

    /// Finds a host by name.
    ///
    /// # Errors
    /// [`LabError::NoHost`].
    pub fn host(&self, name: &str) -> Result<&Host, LabError> {
        self.hosts.iter().find(|host| host.name == name).ok_or_else(|| LabError::NoHost(name.to_owned()))
    }

    /// All hosts: nodes each followed by their pods, then outsiders.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The namespace of the bridge between the nodes.
    #[must_use]
    pub fn wire(&self) -> &Netns {
        &self.wire
    }
}

impl Host {
    /// Runs `work` on a fresh thread in the host's namespace.
    ///
    /// # Errors
    /// As [`Netns::run`].
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        self.netns.run(work)
    }

    /// Both addresses, IPv4 first.
    #[must_use]
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }

    /// Gives the host one more address on its interface, such as the one a kubelet probes from.
    ///
    /// # Errors
    /// What the kernel says; an address it has already is refused.
    pub fn add_address(&self, address: IpAddr) -> Result<(), LabError> {
        let bits = if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
        self.run(|| {
            let mut connection = Connection::open(Protocol::Route)?;
            let index = link::settle(&mut connection, &self.interface)?;
            link::add_address(&mut connection, index, address, u8::try_from(bits).unwrap_or(u8::MAX))
        })??;
        Ok(())
    }

    /// Where the host's frames can be seen: for a node that is the wire, so only what leaves or enters the node.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn tap(&self) -> io::Result<Tap> {
        Ok(Tap { netns: self.tap.netns.try_clone()?, interface: self.tap.interface.clone() })
    }
}

/// Brings the loopback of the calling thread's namespace up, as every pod's is.
///
/// # Errors
/// What the kernel says.
pub fn loopback_up() -> Result<(), NetlinkError> {
    link::set_up(&mut Connection::open(Protocol::Route)?, "lo")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uniform_lab_is_the_same_as_one_by_name() {
        let named = LabConfig::new()
            .node("node1", ["node1-pod1", "node1-pod2"])
            .node("node2", ["node2-pod1", "node2-pod2"])
            .outsider("outsider1");
        assert_eq!(LabConfig::uniform(2, 2, 1), named);
    }
}
