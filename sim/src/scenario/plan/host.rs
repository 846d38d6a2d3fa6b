//! What goes wrong in hosts: things used up, processes and pods that come again, connections that come another way.

use serde::{Deserialize, Serialize};

use super::{Choices, Digit, Known};

/// Something happens to a host. Pods and nodes by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scenario) enum HostFault {
    /// A pod is there again, or its node is told twice.
    Appear { pod: usize },
    /// A node's kernel keeps so few connections that wait to be accepted.
    Backlog { node: usize, most: usize },
    /// A node's process may have so many sockets.
    Descriptors { node: usize, most: usize },
    /// A pod, or the machine, dials a port of the proxy's own at a pod, perhaps at itself.
    Direct { from: usize, to: usize, port: u16 },
    /// The machine dials a pod with the address of another as its source.
    Forge { shown: usize, to: usize },
    /// A pod has no ephemeral ports left, or has them again.
    Ports { pod: usize, exhausted: bool },
    /// What a pod's proxy dials on another's HBONE port comes back to it, or does so no more.
    Recapture { pod: usize, recaptured: bool },
    /// A node's process that is gone begins anew.
    Restart { node: usize },
    /// A pod is gone with all its applications.
    Vanish { pod: usize },
}

/// One limit that is far below the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scenario) enum Scarcity {
    /// Tunnels that peers may have open.
    AcceptedTunnels,
    /// The age of connections and tunnels.
    Age,
    /// Connections.
    Connections,
    /// How long half-closed connections may be silent.
    HalfClosed,
    /// Tunnels before the end of their handshake.
    HalfOpenTunnels,
    /// How long connections may be silent.
    Idle,
    /// Bytes in all queues.
    Memory,
    /// Connections that wait for a tunnel.
    Waiters,
}

impl Choices<'_> {
    pub(super) fn scarcity(&mut self) -> Option<Scarcity> {
        let all = [
            Scarcity::AcceptedTunnels,
            Scarcity::Age,
            Scarcity::Connections,
            Scarcity::HalfClosed,
            Scarcity::HalfOpenTunnels,
            Scarcity::Idle,
            Scarcity::Memory,
            Scarcity::Waiters,
        ];
        self.one_in(2).then(|| self.of(all))
    }

    /// What can happen now.
    pub(super) fn host_faults(&mut self, known: &Known, pod: usize, node: usize) -> Vec<HostFault> {
        let other = self.below(known.pods);
        let from = self.below(known.pods + 1);
        let port = self.of([15001, 15006, 15008]);
        let most = self.digit(Digit::Most, 6);
        let again = known.vanished.first().copied();
        let mut menu = vec![
            HostFault::Appear { pod: again.unwrap_or(pod) },
            HostFault::Backlog { node, most: most % 3 },
            HostFault::Descriptors { node, most },
            HostFault::Direct { from, to: pod, port },
            HostFault::Forge { shown: other, to: pod },
            HostFault::Ports { pod, exhausted: most != 0 },
            HostFault::Recapture { pod, recaptured: most != 0 },
            HostFault::Vanish { pod },
        ];
        menu.extend(known.gone.map(|node| HostFault::Restart { node }));
        menu
    }
}
