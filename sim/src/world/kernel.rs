//! What the kernel of a node has only so much of: descriptors, ports, room for connections that wait to be accepted.

use std::time::Duration;

use culvert_core::engine::boundary::{Input, SocketId};
use culvert_core::fault::IoFault;

use super::agenda::Happening;
use super::network::WireId;
use super::{NodeId, Pod, World};

/// The first pause of a listener whose process has no descriptors; doubled up to the last.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What a node's kernel has, and how it stands with that.
#[derive(Debug)]
pub(super) struct Kernel {
    descriptors: usize,
    backlog: usize,
    /// The pause after the next accept that fails.
    pause: Duration,
    /// Listeners wait until the pause is over.
    pausing: bool,
    /// Accepts that failed for want of descriptors.
    deferred: usize,
    /// Connections accepted after that.
    recovered: usize,
    /// Dials that were dropped because the backlog was full.
    dropped: usize,
}

impl Default for Kernel {
    fn default() -> Kernel {
        Kernel {
            descriptors: usize::MAX,
            backlog: usize::MAX,
            pause: PAUSE_MIN,
            pausing: false,
            deferred: 0,
            recovered: 0,
            dropped: 0,
        }
    }
}

impl World {
    /// A node's process may have so many sockets; more of them fail with EMFILE, dialled or accepted.
    pub fn descriptors(&mut self, node: NodeId, most: usize) {
        self.nodes[node.0].kernel.descriptors = most;
    }

    /// A node's kernel keeps so many connections that its process has not accepted; it drops further dials, which their kernels
    /// repeat.
    pub fn backlog(&mut self, node: NodeId, most: usize) {
        self.nodes[node.0].kernel.backlog = most;
    }

    /// Whether a pod has no ephemeral ports left, so that dials within it fail with EADDRNOTAVAIL.
    pub fn exhaust_ports(&mut self, pod: Pod, exhausted: bool) {
        self.hosts[pod.0].ports_exhausted = exhausted;
    }

    /// How many connections a node accepted after it had none of its descriptors left, one after each time.
    pub fn recovered_accepts(&self, node: NodeId) -> usize {
        self.nodes[node.0].kernel.recovered
    }

    /// How many times a node failed to accept for want of descriptors.
    pub fn deferred_accepts(&self, node: NodeId) -> usize {
        self.nodes[node.0].kernel.deferred
    }

    /// How many dials a node's kernel dropped because too many waited to be accepted.
    pub fn dropped_dials(&self, node: NodeId) -> usize {
        self.nodes[node.0].kernel.dropped
    }

    /// What the kernel says to a dial before anything is sent.
    pub(super) fn refuses_dial(&self, node: NodeId, pod: Pod) -> Option<IoFault> {
        let entry = &self.nodes[node.0];
        if entry.sockets.len() >= entry.kernel.descriptors {
            return Some(IoFault::Exhausted);
        }
        self.host(pod).ports_exhausted.then_some(IoFault::AddressUnavailable)
    }

    /// Tells an engine of dials that failed at once.
    pub(super) fn fail_dials(&mut self, node: NodeId, failed: Vec<(SocketId, IoFault)>) {
        for (socket, fault) in failed {
            self.input(node, Input::Failed { socket, fault });
        }
    }

    /// Whether a process cannot accept now; it tries again after a pause.
    pub(super) fn defers_accept(&mut self, node: NodeId) -> bool {
        let entry = &mut self.nodes[node.0];
        let full = entry.sockets.len() >= entry.kernel.descriptors;
        let kernel = &mut entry.kernel;
        if kernel.pausing {
            return true;
        }
        if full {
            kernel.deferred += 1;
            kernel.pausing = true;
            let at = self.net.now.after(kernel.pause);
            kernel.pause = (kernel.pause * 2).min(PAUSE_MAX);
            self.net.agenda.put(at, Happening::Accept(node));
        } else if kernel.pause > PAUSE_MIN {
            kernel.recovered += 1;
            kernel.pause = PAUSE_MIN;
        }
        full
    }

    /// The pause is over.
    pub(super) fn accept_again(&mut self, node: NodeId) {
        self.nodes[node.0].kernel.pausing = false;
        self.accept_backlog(node);
    }

    /// Drops a dial for which a node's kernel has no room; whether it did.
    pub(super) fn drops_dial(&mut self, node: NodeId, wire: WireId) -> bool {
        let most = self.nodes[node.0].kernel.backlog;
        let full = most < usize::MAX && self.net.backlog_of(node) >= most;
        if full {
            self.nodes[node.0].kernel.dropped += 1;
            self.net.drop_syn(wire);
        }
        full
    }
}
