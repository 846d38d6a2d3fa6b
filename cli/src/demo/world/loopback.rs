//! The world that needs no permission: pods are loopback addresses, a forward stands for each captured connection, and
//! relays between the nodes are the wire.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use culvert_core::capture::Local;
use culvert_linux::node::{Forward, Listening, PodConfig, Ports};

use super::nodes::{self, Nodes, Settings};
use super::tap::{Tap, Watch};
use super::{FlowRecord, World, WorldError};
use crate::demo::canary::Canary;
use crate::demo::place::Place;
use crate::demo::runner::FIRST_PORT;
use crate::demo::scenario;
use crate::runtime::Runtime;

/// Where the nodes take tunnels, on each pod's address.
const HBONE_PORT: u16 = 7008;
/// Where the nodes believe that others take tunnels: the wire.
const WIRE_PORT: u16 = 7009;
/// The end of the wire that leads to the machine outside the mesh.
const WIRE_TO_OUTSIDER: Ipv4Addr = Ipv4Addr::new(127, 77, 9, 2);

/// Two nodes, four pods and an outsider on addresses of 127.77.0.0/16.
pub struct Loopback {
    // Dropped in this order: connections end with the nodes, and with them the relays.
    nodes: Nodes,
    _wire: Vec<Tap>,
    watch: Arc<Watch>,
}

impl Loopback {
    /// Opens the wire and starts the nodes.
    ///
    /// # Errors
    ///
    /// Where an address cannot be listened on, most often because another demo is running.
    pub fn new(runtime: Runtime, run: u64) -> Result<Loopback, WorldError> {
        let watch = Arc::new(Watch::for_canaries([Canary::mesh(run), Canary::passthrough(run)]));
        let mut wire = Vec::new();
        let mut tap = |listen: SocketAddr, target: SocketAddr| -> Result<(), WorldError> {
            let opened = Tap::open(listen, target, watch.clone());
            wire.push(opened.map_err(|error| WorldError::io(format!("cannot listen on {listen}"), error))?);
            Ok(())
        };
        for pod in Place::ALL.into_iter().filter(|place| place.node().is_some()) {
            tap(at(pod, WIRE_PORT), at(pod, HBONE_PORT))?;
        }
        let captures: Vec<Capture> = captures();
        for capture in captures.iter().filter(|capture| capture.target.ip() == WIRE_TO_OUTSIDER) {
            tap(capture.target, at(Place::Outsider, capture.target.port()))?;
        }
        let pods_of = |node| {
            let places = Place::ALL.into_iter().filter(move |place| place.node() == Some(node));
            places.map(|place| pod(place, &captures)).collect()
        };
        let local =
            Local { own_ports: [HBONE_PORT, WIRE_PORT].into(), hbone_port: WIRE_PORT, ..Local::default() };
        let settings = Settings { local, keep_source: false, bind_pod_address: true, mark: None };
        let nodes = Nodes::start(runtime, vec![pods_of(1), pods_of(2)], &settings)?;
        Ok(Loopback { nodes, _wire: wire, watch })
    }
}

impl World for Loopback {
    fn address(&self, place: Place) -> IpAddr {
        address(place).into()
    }

    fn dial(&mut self, from: Place, target: SocketAddr) -> Result<SocketAddr, WorldError> {
        Ok(at(from, target.port()))
    }

    fn apply_mesh(&mut self, yaml: &str) -> Result<(), WorldError> {
        self.nodes.apply_mesh(yaml)
    }

    fn spawn(&mut self, place: Place, mut command: Command) -> Result<Child, WorldError> {
        let what = || format!("cannot start a program for {}", place.label());
        command.spawn().map_err(|error| WorldError::io(what(), error))
    }

    fn next_record(&mut self, time: Duration) -> Result<Option<FlowRecord>, WorldError> {
        Ok(self.nodes.next_record(time)?.map(|mut record| {
            if record.target.ip() == WIRE_TO_OUTSIDER {
                record.target = at(Place::Outsider, record.target.port());
            }
            record
        }))
    }

    fn seen_on_wire(&mut self, canary: &Canary) -> Result<u64, WorldError> {
        self.watch.seen(canary).ok_or_else(|| WorldError::new("this canary was not looked for"))
    }
}

fn address(place: Place) -> Ipv4Addr {
    let (network, host) = match place {
        Place::Frontend => (1, 1),
        Place::Cart => (1, 2),
        Place::Orders => (2, 1),
        Place::Payments => (2, 2),
        Place::Outsider => (9, 1),
    };
    Ipv4Addr::new(127, 77, network, host)
}

fn at(place: Place, port: u16) -> SocketAddr {
    SocketAddr::new(address(place).into(), port)
}

/// A connection that a redirect would catch: the place, and the forward in its stead.
struct Capture {
    /// In whose pod.
    pod: Place,
    listen: SocketAddr,
    target: SocketAddr,
    as_if: Listening,
}

/// One for each scenario. A client connects to its own address and the port of the server that it means.
fn captures() -> Vec<Capture> {
    let capture = |(scenario, port): (scenario::Scenario, u16)| {
        let (pod, as_if) = match scenario.source {
            Place::Outsider => (scenario.destination, Listening::Inbound),
            inside => (inside, Listening::Outbound),
        };
        let target = match scenario.destination {
            Place::Outsider => SocketAddr::new(WIRE_TO_OUTSIDER.into(), port),
            inside => at(inside, port),
        };
        Capture { pod, listen: at(scenario.source, port), target, as_if }
    };
    scenario::all().into_iter().zip(FIRST_PORT..).map(capture).collect()
}

fn pod(place: Place, captures: &[Capture]) -> PodConfig {
    let of_pod = captures.iter().filter(|capture| capture.pod == place);
    PodConfig {
        workload: nodes::workload(place),
        netns: None,
        address: Some(address(place).into()),
        ports: Ports { outbound: None, inbound: None, hbone: HBONE_PORT },
        forwards: of_pod
            .map(|capture| Forward { listen: capture.listen, target: capture.target, as_if: capture.as_if })
            .collect(),
        consumer: None,
    }
}
