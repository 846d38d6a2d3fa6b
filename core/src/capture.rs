//! Where a captured connection goes: total, pure functions of current facts (node.md 1.4, 1.5, B12 and B14).
//!
//! [`outbound`] decides for a connection a workload opens, [`inbound_connect`] for a CONNECT that arrives for a
//! workload, [`inbound_plaintext`] for a plain connection that arrives for it. Chance enters only as an argument, and
//! only to choose among waypoints and endpoints of equal standing. What cannot be done is refused, never done another
//! way: traffic that belongs before a waypoint or a network gateway does not go past it.

mod endpoint;
mod fault;
mod gateway;
mod inbound;
mod outbound;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

pub use fault::{InboundFault, RouteFault};
pub use inbound::{InboundTarget, inbound_connect, inbound_need, inbound_plaintext, may_pass, must_pass};
pub use outbound::{Captured, Decision, LocalTo, Need, Resolved, TunnelTo, outbound, outbound_seeing};

use crate::hbone::connect::Authority;
use crate::mesh::{DEFAULT_HBONE_PORT, Destination, Uid};

/// The ports a node proxy listens on in a pod: outbound, inbound, HBONE and SOCKS (node.md row 12).
pub const OWN_PORTS: [u16; 4] = [15001, 15006, 15008, 15080];

/// What a process knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// The network of its node.
    pub network: Arc<str>,
    /// The ports it listens on, which it never dials.
    pub own_ports: BTreeSet<u16>,
    /// The workloads it serves.
    pub workloads: BTreeSet<Uid>,
    /// Whether two workloads it serves meet in the process, without a tunnel between them (node.md B14).
    pub same_node: bool,
    /// The port on which workloads take HBONE.
    pub hbone_port: u16,
    /// Whether what has a waypoint refuses those that are not that waypoint (node.md B13): the workload's own, and for the
    /// ports behind a service, the service's. A port behind two services is behind the waypoints of both.
    pub require_waypoint: bool,
    /// Whether an application that takes the PROXY protocol is reached at the loopback address of its pod instead of the
    /// pod's own (node.md row 66, `LOCALHOST_APP_TUNNEL`). Never where pods share the loopback address of one host.
    pub loopback_tunnel: bool,
    /// Present where facts come only when they are asked for (node.md row 73, `XDS_ON_DEMAND`): the names that were asked
    /// for and answered. What else the facts lack is to be asked for before anything is decided on it.
    pub answered: Option<BTreeSet<Destination>>,
}

impl Default for Local {
    fn default() -> Local {
        Local {
            network: Arc::default(),
            own_ports: OWN_PORTS.into(),
            workloads: BTreeSet::new(),
            same_node: true,
            hbone_port: DEFAULT_HBONE_PORT,
            require_waypoint: false,
            loopback_tunnel: true,
            answered: None,
        }
    }
}

impl Local {
    /// Whether there may be something of this name though the facts have nothing.
    pub fn may_exist(&self, name: &Destination) -> bool {
        planted!(UnknownIsAbsent => return false);
        self.answered.as_ref().is_some_and(|answered| !answered.contains(name))
    }

    /// Whether a port is one the proxy listens on: the HBONE port is, listed or not.
    pub fn is_own_port(&self, port: u16) -> bool {
        planted!(OwnPortDialled => return false);
        port == self.hbone_port || self.own_ports.contains(&port)
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether an address means something else on every host, or no one host: loopback, link-local, multicast, unspecified,
/// broadcast. Takes the canonical form.
fn is_special(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets().first() == Some(&0)
        }
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified()
        }
    }
}
