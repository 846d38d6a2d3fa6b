//! The address plan, and building it.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

use super::link::{self, Cable};
use super::{Host, Lab, LabConfig, LabError, Tap};
use crate::netlink::{Connection, Protocol};
use crate::netns::Netns;

const BRIDGE: &str = "bridge";
/// The interface of a pod or an outsider, and that of a node on the wire.
const HOST_INTERFACE: &str = "eth0";
const NODE_INTERFACE: &str = "uplink";

const MOST_NODES: usize = 200;
const MOST_PODS: usize = 200;
const MOST_OUTSIDERS: usize = 50;
/// Outsiders are numbered on the wire after the last possible node.
const FIRST_OUTSIDER: u8 = 201;
const PREFIX_V4: u8 = 24;
const PREFIX_V6: u8 = 64;

/// One network of the plan: 0 is the wire, the others are named after their node.
#[derive(Clone, Copy)]
struct Subnet(u8);

impl Subnet {
    const WIRE: Self = Self(0);

    fn v4(self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.0, 0, host)
    }

    fn v6(self, host: u8) -> Ipv6Addr {
        Ipv6Addr::new(0xfd10, u16::from(self.0), 0, 0, 0, 0, 0, u16::from(host))
    }

    /// The addresses of one of its hosts, each with the length of the network's prefix.
    fn host(self, host: u8) -> [(IpAddr, u8); 2] {
        [(self.v4(host).into(), PREFIX_V4), (self.v6(host).into(), PREFIX_V6)]
    }
}

/// A namespace under construction, with a connection to its part of the kernel.
struct Site {
    netns: Netns,
    connection: Connection,
}

impl Site {
    fn new() -> Result<Self, LabError> {
        let netns = Netns::create()?;
        // Nobody here has a stranger's address. Asking first takes two seconds, in which a node cannot look for the
        // neighbours that it forwards to. The defaults are those of interfaces made later.
        netns.run(|| {
            fs::write("/proc/sys/net/ipv6/conf/all/accept_dad", "0")?;
            fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")
        })??;
        let mut connection = netns.run(|| Connection::open(Protocol::Route))??;
        link::set_up(&mut connection, "lo")?;
        Ok(Self { netns, connection })
    }

    /// A site with a bridge in it that forwards between its networks.
    fn with_bridge() -> Result<Self, LabError> {
        let mut site = Self::new()?;
        link::add_bridge(&mut site.connection, BRIDGE)?;
        site.netns.run(|| {
            fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
            fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
        })??;
        Ok(site)
    }

    /// Connects `host` to the bridge here, under `interface` there, and gives it its addresses.
    fn connect(
        &mut self,
        host: &mut Site,
        port: &str,
        interface: &str,
        addresses: [(IpAddr, u8); 2],
    ) -> Result<Tap, LabError> {
        let cable = Cable { port, bridge: link::BRIDGE, interface, into: host.netns.as_fd() };
        link::add_cable(&mut self.connection, &cable)?;
        link::set_up(&mut host.connection, interface)?;
        link::settle(&mut self.connection, port)?;
        link::settle(&mut self.connection, BRIDGE)?;
        let index = link::settle(&mut host.connection, interface)?;
        for (address, prefix) in addresses {
            link::add_address(&mut host.connection, index, address, prefix)?;
        }
        Ok(Tap { netns: self.netns.try_clone()?, interface: port.to_owned() })
    }

    fn route(&mut self, network: Option<Subnet>, via: Subnet, gateway: u8) -> Result<(), LabError> {
        let [target_v4, target_v6] = network.map_or([None; 2], |network| network.host(0).map(Some));
        link::add_route(&mut self.connection, target_v4, via.v4(gateway).into())?;
        link::add_route(&mut self.connection, target_v6, via.v6(gateway).into())?;
        Ok(())
    }
}

/// Builds everything, the wire first.
pub(super) fn build(config: &LabConfig) -> Result<Lab, LabError> {
    check(config)?;
    let mut wire = Site::with_bridge()?;
    let mut hosts = Vec::new();
    let nodes = config.nodes.len();
    for (number, (name, pods)) in (1u8..).zip(&config.nodes) {
        let mut node = Site::with_bridge()?;
        for (address, prefix) in Subnet(number).host(1) {
            link::add_address(&mut node.connection, link::BRIDGE, address, prefix)?;
        }
        let port = format!("node{number}");
        let tap = wire.connect(&mut node, &port, NODE_INTERFACE, Subnet::WIRE.host(number))?;
        route_to_nodes(&mut node, nodes, Some(number))?;
        let mut members = Vec::new();
        for (position, pod_name) in (1u8..).zip(pods) {
            members.push(add_pod(&mut node, number, position, pod_name)?);
        }
        hosts.push(host(name, node, Subnet::WIRE, number, NODE_INTERFACE, tap));
        hosts.append(&mut members);
    }
    for (position, name) in (0u8..).zip(&config.outsiders) {
        let address = FIRST_OUTSIDER.saturating_add(position);
        let mut outsider = Site::new()?;
        let port = format!("outsider{address}");
        let tap = wire.connect(&mut outsider, &port, HOST_INTERFACE, Subnet::WIRE.host(address))?;
        route_to_nodes(&mut outsider, nodes, None)?;
        hosts.push(host(name, outsider, Subnet::WIRE, address, HOST_INTERFACE, tap));
    }
    Ok(Lab { wire: wire.netns, hosts })
}

fn check(config: &LabConfig) -> Result<(), LabError> {
    let too_many_pods = config.nodes.iter().any(|(_, pods)| pods.len() > MOST_PODS);
    if config.nodes.len() > MOST_NODES || config.outsiders.len() > MOST_OUTSIDERS || too_many_pods {
        return Err(LabError::TooLarge);
    }
    let mut seen = BTreeSet::new();
    let nodes = config.nodes.iter().flat_map(|(name, pods)| std::iter::once(name).chain(pods));
    match nodes.chain(&config.outsiders).find(|name| !seen.insert(name.as_str())) {
        Some(name) => Err(LabError::Duplicate(name.clone())),
        None => Ok(()),
    }
}

/// Sends what is for the pods of the nodes, but those of `own`, over the wire to their node.
fn route_to_nodes(site: &mut Site, nodes: usize, own: Option<u8>) -> Result<(), LabError> {
    for number in (1u8..).take(nodes).filter(|number| Some(*number) != own) {
        site.route(Some(Subnet(number)), Subnet::WIRE, number)?;
    }
    Ok(())
}

fn add_pod(node: &mut Site, number: u8, position: u8, name: &str) -> Result<Host, LabError> {
    // The node's own bridge has the first address.
    let address = position.saturating_add(1);
    let mut pod = Site::new()?;
    let port = format!("pod{position}");
    let tap = node.connect(&mut pod, &port, HOST_INTERFACE, Subnet(number).host(address))?;
    pod.route(None, Subnet(number), 1)?;
    Ok(host(name, pod, Subnet(number), address, HOST_INTERFACE, tap))
}

fn host(name: &str, site: Site, subnet: Subnet, address: u8, interface: &str, tap: Tap) -> Host {
    Host {
        name: name.to_owned(),
        netns: site.netns,
        v4: subnet.v4(address),
        v6: subnet.v6(address),
        interface: interface.to_owned(),
        tap,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_occur_once_and_the_plan_has_an_end() {
        let twice = LabConfig::new().node("a", ["b"]).outsider("b");
        assert!(matches!(check(&twice), Err(LabError::Duplicate(name)) if name == "b"));
        assert!(matches!(check(&LabConfig::uniform(201, 0, 0)), Err(LabError::TooLarge)));
        assert!(matches!(check(&LabConfig::uniform(1, 201, 0)), Err(LabError::TooLarge)));
        assert!(check(&LabConfig::uniform(200, 200, 50)).is_ok());
    }

    #[test]
    fn no_two_hosts_of_the_largest_plan_share_an_address() {
        let wire = (1..=250).map(|host| Subnet::WIRE.v6(host));
        let pods = (1..=200).flat_map(|node| (1..=201).map(move |host| Subnet(node).v6(host)));
        let all: BTreeSet<_> = wire.chain(pods).collect();
        assert_eq!(all.len(), 250 + 200 * 201);
    }
}
