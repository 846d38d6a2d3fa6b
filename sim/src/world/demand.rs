//! Nodes whose facts come when they are asked for (node.md row 73): what they asked, and what they were told.
//!
//! Such a node still hears of all facts as its stream delivers them. What it must not do is take what it has not heard of for
//! something that is not there (S10).

use std::collections::BTreeMap;
use std::time::Duration;

use culvert_core::engine::boundary::Input;
use culvert_core::mesh::{Destination, NetworkAddress, Snapshot};
use culvert_core::telemetry::Connection;

use super::agenda::Happening;
use super::{NodeId, World};

/// How long a question is under way.
const WAY: Duration = Duration::from_millis(2);

/// What nodes asked for, and whether they were answered.
#[derive(Debug, Default)]
pub(super) struct Demands {
    by_node: BTreeMap<NodeId, BTreeMap<Destination, bool>>,
    /// All that was ever asked.
    asked: Vec<(NodeId, Destination)>,
}

impl World {
    /// Nodes added from here on ask for what they do not know.
    pub fn on_demand(&mut self) {
        self.on_demand = true;
    }

    /// The names that a node's processes asked for, as often as they did.
    pub fn questions(&self, node: NodeId) -> Vec<Destination> {
        let own = self.demands.asked.iter().filter(|(asking, _)| *asking == node);
        own.map(|(_, name)| name.clone()).collect()
    }

    pub(super) fn ask_for_facts(&mut self, node: NodeId, name: Destination) {
        self.shown.insert("on-demand");
        self.net.agenda.put(self.net.now.after(WAY), Happening::Asked(node, name));
    }

    /// A question reaches the control plane.
    pub(super) fn asked(&mut self, node: NodeId, name: Destination) {
        self.demands.asked.push((node, name.clone()));
        // One that was asked before is answered again.
        self.demands.by_node.entry(node).or_default().insert(name, false);
        self.tell_demanded(node);
    }

    /// The process begins anew, and knows nothing of what the one before had asked.
    pub(super) fn forget_questions(&mut self, node: NodeId) {
        self.demands.by_node.remove(&node);
    }

    /// The control plane gives up to tell a node of a name.
    pub fn give_up(&mut self, node: NodeId, name: Destination) {
        if let Some(asked) = self.demands.by_node.get_mut(&node) {
            asked.remove(&name);
        }
        self.input(node, Input::Forgotten { name });
    }

    /// Answers a node's questions, as far as the facts have reached it.
    pub(super) fn tell_demanded(&mut self, node: NodeId) {
        if self.control.is_cut(node) {
            return;
        }
        let Some(asked) = self.demands.by_node.get_mut(&node) else { return };
        let (truth, view) = (self.control.facts(), self.control.view(node));
        let mut answered = Vec::new();
        for (name, told) in asked.iter_mut().filter(|(_, told)| !**told) {
            // What there is must have come before it is said that it has.
            *told = exists(view, name) || !exists(truth, name);
            if *told {
                answered.push(name.clone());
            }
        }
        for name in answered {
            self.input(node, Input::Known { name });
        }
    }

    /// S10: what goes in clear, past the mesh, was asked for and answered before.
    pub(super) fn check_asked(&self, node: NodeId, connection: &Connection) {
        let ip = connection.destination.ip().to_canonical();
        if !self.on_demand || connection.destination_workload.is_some() {
            return;
        }
        let name = Destination::Address(NetworkAddress::new(self.network_of(node), ip));
        let told = self.demands.by_node.get(&node).and_then(|asked| asked.get(&name));
        assert_eq!(told, Some(&true), "S10: {node:?} did not wait to hear of {name}");
    }
}

fn exists(facts: &Snapshot, name: &Destination) -> bool {
    match name {
        Destination::Address(address) => {
            facts.workload_at(address).is_some()
                || facts.services().any(|service| service.vips.contains(address))
        }
        Destination::Service(key) => facts.service(key).is_some(),
    }
}
