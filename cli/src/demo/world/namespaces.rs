//! The world that is most like a cluster: pods and nodes in network namespaces, with the redirect of a real node.

use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command};
use std::time::Duration;

use culvert_core::capture::Local;
use culvert_linux::lab::{Capture, Host, Lab, LabConfig, LabError, Sniffer};
use culvert_linux::node::{PodConfig, Ports};
use culvert_linux::redirect::{self, RedirectConfig};
use culvert_linux::socket::EXEMPT_MARK;

use super::nodes::{self, Nodes, Settings};
use super::{FlowRecord, World, WorldError};
use crate::demo::canary::Canary;
use crate::demo::place::Place;
use crate::runtime::Runtime;

const NODE_1: &str = "node-1";
const NODE_2: &str = "node-2";

/// Two nodes with two pods each and a machine outside the mesh, all in namespaces that nobody else has a name for.
pub struct Namespaces {
    // Dropped in this order: nodes first, then what they stand on.
    nodes: Nodes,
    wire: Wire,
    lab: Lab,
}

impl Namespaces {
    /// Builds the network, redirects the pods' traffic and starts the nodes.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses a part, most often for want of privileges.
    pub fn new(runtime: Runtime, run: u64) -> Result<Namespaces, WorldError> {
        let pods_of = |node| Place::ALL.into_iter().filter(move |place| place.node() == Some(node));
        let lab = Lab::new(
            &LabConfig::new()
                .node(NODE_1, pods_of(1).map(Place::name))
                .node(NODE_2, pods_of(2).map(Place::name))
                .outsider(Place::Outsider.name()),
        )
        .map_err(|error| network(&error))?;
        let pods = |node| pods_of(node).map(|place| pod(&lab, place)).collect::<Result<Vec<_>, _>>();
        let settings = Settings {
            local: Local::default(),
            keep_source: true,
            bind_pod_address: false,
            mark: Some(EXEMPT_MARK),
        };
        let nodes = Nodes::start(runtime, vec![pods(1)?, pods(2)?], &settings)?;
        let wire = Wire::watch(host(&lab, NODE_1)?, vec![Canary::mesh(run), Canary::passthrough(run)])?;
        Ok(Namespaces { nodes, wire, lab })
    }

    fn place(&self, place: Place) -> Result<&Host, WorldError> {
        host(&self.lab, place.name())
    }
}

impl World for Namespaces {
    fn address(&self, place: Place) -> IpAddr {
        // The lab has every place: it was built from them.
        self.place(place).map_or(IpAddr::from([0, 0, 0, 0]), |host| host.v4.into())
    }

    fn dial(&mut self, _from: Place, target: SocketAddr) -> Result<SocketAddr, WorldError> {
        Ok(target)
    }

    fn apply_mesh(&mut self, yaml: &str) -> Result<(), WorldError> {
        self.nodes.apply_mesh(yaml)
    }

    fn spawn(&mut self, place: Place, mut command: Command) -> Result<Child, WorldError> {
        // A child is born into the namespace of the thread that makes it.
        self.place(place)?
            .run(|| command.spawn())
            .and_then(|spawned| spawned)
            .map_err(|error| WorldError::io(format!("cannot start a program in {}", place.label()), error))
    }

    fn next_record(&mut self, time: Duration) -> Result<Option<FlowRecord>, WorldError> {
        self.nodes.next_record(time)
    }

    fn seen_on_wire(&mut self, canary: &Canary) -> Result<u64, WorldError> {
        self.wire.seen(canary)
    }
}

/// A watch on everything that enters or leaves a node.
///
/// Under load it may miss frames, since the kernel keeps only so many for it. That hides no leak: every frame full of a
/// flow's payload holds the flow's canary many times, and tens of thousands of frames are looked at.
struct Wire {
    canaries: Vec<Canary>,
    sniffer: Option<Sniffer>,
    capture: Capture,
}

impl Wire {
    fn watch(node: &Host, canaries: Vec<Canary>) -> Result<Wire, WorldError> {
        let tap = node.tap().map_err(|error| WorldError::io("cannot watch the wire", error))?;
        let strings: Vec<&[u8]> = canaries.iter().map(Canary::as_bytes).collect();
        let sniffer =
            Sniffer::start(&tap.netns, &tap.interface, &strings).map_err(|error| network(&error))?;
        Ok(Wire { sniffer: Some(sniffer), canaries, capture: Capture::default() })
    }

    /// Ends the watch, the first time, and says in how many frames the canary was.
    fn seen(&mut self, canary: &Canary) -> Result<u64, WorldError> {
        if let Some(sniffer) = self.sniffer.take() {
            self.capture = sniffer.stop().map_err(|error| network(&error))?;
        }
        let hits = self.canaries.iter().zip(&self.capture.hits).find(|(known, _)| *known == canary);
        hits.map(|(_, hits)| *hits).ok_or_else(|| WorldError::new("this canary was not looked for"))
    }
}

fn pod(lab: &Lab, place: Place) -> Result<PodConfig, WorldError> {
    let host = host(lab, place.name())?;
    redirect::apply_in(&host.netns, &RedirectConfig::default()).map_err(|error| {
        WorldError::new(format!("cannot redirect the traffic of {}: {error}", place.label()))
    })?;
    let netns = host.netns.try_clone();
    let netns = netns.map_err(|error| WorldError::io("cannot hold a network namespace", error))?;
    Ok(PodConfig {
        workload: nodes::workload(place),
        netns: Some(netns),
        address: None,
        ports: Ports::default(),
        forwards: Vec::new(),
        consumer: None,
    })
}

fn host<'a>(lab: &'a Lab, name: &str) -> Result<&'a Host, WorldError> {
    lab.host(name).map_err(|error| network(&error))
}

fn network(error: &LabError) -> WorldError {
    WorldError::new(format!("cannot build the demo's network: {error}"))
}
