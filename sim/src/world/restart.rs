//! Processes and pods that go and come again, and what a driver is told twice.

use culvert_core::engine::boundary::Input;

use super::node::Node;
use super::{NodeId, Pod, World};

impl World {
    /// A node's process begins anew with the facts and pods of now: whatever the one before had is closed by its kernel.
    pub fn restart(&mut self, node: NodeId) {
        if !self.nodes[node.0].killed {
            self.kill(node);
        }
        self.check_books(node);
        self.check_interleaving(node);
        let life = self.nodes[node.0].lives.len() + 1;
        let config = self.config(node.0, life);
        let draws = config.seed.child("tls").draws();
        let (facts, now) = (self.control.begin_anew(node, self.net.now), self.now());
        let recorded = self.nodes[node.0].recording.is_some();
        let mut fresh = Node::new(config, facts, now, draws, recorded, None);
        fresh.outcome.compares_bytes(self.cryptography.exact);
        let before = std::mem::replace(&mut self.nodes[node.0], fresh);
        self.nodes[node.0].succeed(before);
        self.renewals.begin_anew(node);
        self.forget_questions(node);
        self.mark_permitted(node);
        for number in 0..self.hosts.len() {
            let host = &self.hosts[number];
            if host.node == Some(node) && !host.removed && !host.gone {
                self.tell_of_pod(Pod(number));
            }
        }
    }

    /// Hashes of what came out of a node's processes before the one of now.
    pub(crate) fn past_outcomes(&self, node: NodeId) -> &[u64] {
        &self.nodes[node.0].lives
    }

    /// Whether a node's process was killed and has not begun anew.
    pub fn is_dead(&self, node: NodeId) -> bool {
        self.nodes[node.0].killed
    }

    /// A pod is gone for its node's process; its facts and its applications stay.
    pub fn remove_pod(&mut self, pod: Pod) {
        if let Some(node) = self.host(pod).node {
            self.input(node, Input::PodRemoved { pod: pod.id() });
        }
    }

    /// A pod is gone with its applications and its namespace; its facts stay.
    pub fn vanish_pod(&mut self, pod: Pod) {
        self.hosts[pod.0].removed = true;
        self.remove_pod(pod);
        let ip = self.host(pod).ip;
        for app in self.apps.list.iter_mut().filter(|app| app.local.ip() == ip) {
            app.leave(&mut self.net);
        }
        self.turn();
    }

    /// A pod is there again, or its node is told once more that it is.
    pub fn add_pod_again(&mut self, pod: Pod) {
        self.hosts[pod.0].removed = false;
        self.tell_of_pod(pod);
        self.turn();
    }

    pub(super) fn tell_of_pod(&mut self, pod: Pod) {
        let host = self.host(pod);
        if let Some(node) = host.node {
            let (workload, consumer) = (host.added.clone(), host.consumer);
            self.input(node, Input::PodAdded { pod: pod.id(), workload, consumer });
        }
    }
}
