//! Links, addresses and routes over rtnetlink(7).

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::netlink::{Attributes, Connection, Message, NetlinkError, read_u32};

/// `VETH_INFO_PEER`.
const VETH_PEER: u16 = 1;
const CREATE: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL | libc::NLM_F_ACK;
const UP: u32 = libc::IFF_UP.cast_unsigned();

/// The two ends of a cable: a port of a bridge here, an interface in another namespace.
pub(super) struct Cable<'a> {
    pub(super) port: &'a str,
    /// The bridge of the port.
    pub(super) bridge: u32,
    pub(super) interface: &'a str,
    pub(super) into: BorrowedFd<'a>,
}

/// Index of a bridge made here; explicit, so that nobody has to ask for it.
pub(super) const BRIDGE: u32 = 1000;

/// Makes a bridge with index [`BRIDGE`] and brings it up.
pub(super) fn add_bridge(connection: &mut Connection, name: &str) -> Result<(), NetlinkError> {
    let message =
        Message::new(format!("add bridge {name}"), libc::RTM_NEWLINK, CREATE, &link_header(BRIDGE, UP));
    connection.request(message.with(|link| {
        link.put_text(libc::IFLA_IFNAME, name).nest(libc::IFLA_LINKINFO, |info| {
            info.put_text(libc::IFLA_INFO_KIND, "bridge");
        });
    }))
}

/// Connects a host to a bridge. The port comes up; the other end cannot before the link is complete.
pub(super) fn add_cable(connection: &mut Connection, cable: &Cable<'_>) -> Result<(), NetlinkError> {
    let what = format!("add link {} to {}", cable.port, cable.interface);
    let peer = |peer: &mut Attributes| {
        peer.raw(&link_header(0, 0))
            .put_text(libc::IFLA_IFNAME, cable.interface)
            .put_u32(libc::IFLA_NET_NS_FD, cable.into.as_raw_fd().cast_unsigned());
    };
    let message = Message::new(what, libc::RTM_NEWLINK, CREATE, &link_header(0, UP));
    connection.request(message.with(|link| {
        link.put_text(libc::IFLA_IFNAME, cable.port).put_u32(libc::IFLA_MASTER, cable.bridge).nest(
            libc::IFLA_LINKINFO,
            |info| {
                info.put_text(libc::IFLA_INFO_KIND, "veth").nest(libc::IFLA_INFO_DATA, |data| {
                    data.nest(VETH_PEER, peer);
                });
            },
        );
    }))
}

/// Brings a link up, by name.
pub(super) fn set_up(connection: &mut Connection, name: &str) -> Result<(), NetlinkError> {
    let what = format!("bring {name} up");
    let message = Message::new(what, libc::RTM_NEWLINK, libc::NLM_F_ACK, &link_header(0, UP));
    connection.request(message.with(|link| {
        link.put_text(libc::IFLA_IFNAME, name);
    }))
}

/// The index of a link that is up at both ends, once it can carry packets.
///
/// A link that has just got its carrier drops packets until the kernel's link watch has seen it. Asking for one link by
/// name makes the kernel catch up first; a lost first packet would cost a second.
pub(super) fn settle(connection: &mut Connection, name: &str) -> Result<u32, NetlinkError> {
    let what = format!("look at {name}");
    let message = Message::new(&what, libc::RTM_GETLINK, libc::NLM_F_ACK, &link_header(0, 0)).with(|link| {
        link.put_text(libc::IFLA_IFNAME, name);
    });
    let replies = connection.dump(&message)?;
    let index = replies.first().and_then(|reply| read_u32(reply.body.get(4..8)?));
    index.ok_or(NetlinkError::Malformed(what))
}

/// Gives a link an address that works at once, without asking the neighbours whether it is taken.
pub(super) fn add_address(
    connection: &mut Connection,
    index: u32,
    address: IpAddr,
    prefix: u8,
) -> Result<(), NetlinkError> {
    let [i0, i1, i2, i3] = index.to_ne_bytes();
    let header = [family(address), prefix, 0, 0, i0, i1, i2, i3];
    let message = Message::new(format!("add address {address}"), libc::RTM_NEWADDR, CREATE, &header);
    connection.request(message.with(|attributes| {
        let octets = octets(address);
        attributes.put(libc::IFA_LOCAL, &octets).put(libc::IFA_ADDRESS, &octets);
        if address.is_ipv6() {
            attributes.put_u32(libc::IFA_FLAGS, libc::IFA_F_NODAD);
        }
    }))
}

/// Routes a network, or everything, by way of a neighbour.
pub(super) fn add_route(
    connection: &mut Connection,
    network: Option<(IpAddr, u8)>,
    gateway: IpAddr,
) -> Result<(), NetlinkError> {
    let bits = network.map_or(0, |(_, bits)| bits);
    let header = [
        family(gateway),
        bits,
        0,
        0,
        libc::RT_TABLE_MAIN,
        libc::RTPROT_STATIC,
        libc::RT_SCOPE_UNIVERSE,
        libc::RTN_UNICAST,
        0,
        0,
        0,
        0,
    ];
    let message =
        Message::new(format!("add a route by way of {gateway}"), libc::RTM_NEWROUTE, CREATE, &header);
    connection.request(message.with(|route| {
        if let Some((target, _)) = network {
            route.put(libc::RTA_DST, &octets(target));
        }
        route.put(libc::RTA_GATEWAY, &octets(gateway));
    }))
}

/// `struct ifinfomsg`: family, padding, type, index, flags, and which flags to change.
fn link_header(index: u32, flags: u32) -> Vec<u8> {
    [0u32.to_ne_bytes(), index.to_ne_bytes(), flags.to_ne_bytes(), flags.to_ne_bytes()].concat()
}

fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    u8::try_from(family).unwrap_or_default()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
