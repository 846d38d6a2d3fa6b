//! Faults of hosts, as they happen and as they are seen.

use std::net::SocketAddr;
use std::time::Duration;

use culvert_core::limit::Limits;
use culvert_core::telemetry::{Connection, Event, Path, Reporter};
use culvert_core::time::Time;

use super::super::plan::{HostFault, Port, Scarcity};
use super::Stage;
use crate::world::{AppId, Pod, Script, World};

/// What is remembered of faults until something shows them.
#[derive(Debug, Default)]
pub(super) struct Tricks {
    /// Clients that dial another way than applications of the mesh do.
    clients: Vec<AppId>,
    /// Sources that were not their senders'.
    forged: Vec<SocketAddr>,
    /// Pods that have vanished.
    vanished: Vec<Pod>,
}

/// Makes one thing scarce.
pub(super) fn limit(limits: &mut Limits, scarcity: Scarcity) {
    match scarcity {
        Scarcity::AcceptedTunnels => limits.accepted_tunnels = 12,
        Scarcity::Age => {
            limits.connection_max_age = Duration::from_secs(6);
            limits.tunnel_max_age = Duration::from_secs(20);
        }
        Scarcity::Connections => limits.connections = 9,
        Scarcity::HalfClosed => limits.half_closed_idle = Duration::from_secs(5),
        Scarcity::HalfOpenTunnels => limits.half_open_tunnels = 4,
        Scarcity::Idle => limits.connection_idle = Duration::from_secs(4),
        Scarcity::Memory => {
            limits.memory_low = 8 << 10;
            limits.memory_max = 16 << 10;
        }
        Scarcity::Waiters => limits.waiters_per_key = 2,
    }
}

impl Stage {
    pub(super) fn host_fault(&mut self, fault: &HostFault) {
        match fault {
            HostFault::Backlog { node, most } => {
                if let Some(node) = self.nodes.get(*node) {
                    self.world.backlog(*node, *most);
                }
            }
            HostFault::Descriptors { node, most } => {
                if let Some(node) = self.nodes.get(*node) {
                    self.world.descriptors(*node, *most);
                }
            }
            HostFault::Restart { node } => self.restart(*node),
            HostFault::Direct { from, to, port } => {
                if let (Some(from), Some(to)) = (self.host(*from), self.host(*to)) {
                    let target = self.world.address(to, *port);
                    let client = self.world.call_in_vain(from, target, Script::keep(100));
                    self.tricks.clients.push(client);
                }
            }
            HostFault::Forge { shown, to } => self.forge(*shown, *to),
            HostFault::Appear { pod }
            | HostFault::Ports { pod, .. }
            | HostFault::Recapture { pod, .. }
            | HostFault::Vanish { pod } => {
                if let Some(pod) = self.host(*pod) {
                    self.trick(fault, pod);
                }
            }
        }
    }

    fn trick(&mut self, fault: &HostFault, pod: Pod) {
        match fault {
            HostFault::Ports { exhausted, .. } => self.world.exhaust_ports(pod, *exhausted),
            HostFault::Recapture { recaptured, .. } => self.world.recapture(pod, *recaptured),
            HostFault::Vanish { .. } => {
                self.world.vanish_pod(pod);
                self.tricks.vanished.push(pod);
            }
            _ => {
                self.world.add_pod_again(pod);
                self.tricks.vanished.retain(|vanished| *vanished != pod);
            }
        }
    }

    /// The machine dials as another.
    fn forge(&mut self, shown: usize, to: usize) {
        let machine = self.hosts.last().copied();
        if let (Some(machine), Some(shown), Some(to)) = (machine, self.host(shown), self.host(to)) {
            let target = self.world.address(to, Port::Echo.number());
            let client = self.world.call_as(machine, shown, target, Script::keep(100));
            self.tricks.forged.push(self.world.local(client));
            self.tricks.clients.push(client);
        }
    }

    /// A node's process that is gone begins anew.
    pub(super) fn restart(&mut self, number: usize) {
        if let Some(node) = self.nodes.get(number).copied() {
            self.tell();
            self.world.restart(node);
            self.gone = self.gone.filter(|gone| *gone != number);
        }
    }

    pub(super) fn heal_hosts(&mut self) {
        for node in self.nodes.clone() {
            self.world.descriptors(node, usize::MAX);
            self.world.backlog(node, usize::MAX);
        }
        for pod in self.hosts.clone() {
            self.world.exhaust_ports(pod, false);
            self.world.recapture(pod, false);
        }
        for pod in std::mem::take(&mut self.tricks.vanished) {
            self.world.add_pod_again(pod);
            self.seen.insert("H10");
        }
    }

    pub(super) fn tricksters(&self) -> &[AppId] {
        &self.tricks.clients
    }

    pub(super) fn look_at_hosts(&mut self) {
        let world: &World = &self.world;
        if self.nodes.iter().any(|node| world.recovered_accepts(*node) > 0) {
            self.seen.insert("H2");
        }
        if self.nodes.iter().any(|node| world.dropped_dials(*node) > 0) {
            self.seen.insert("backlog-full");
        }
    }

    /// Notes what reports show of connections that came another way.
    pub(super) fn look_at_forgeries(&mut self, reports: &[(Time, Event)]) {
        let plain = |connection: &Connection| {
            connection.reporter == Reporter::Destination
                && connection.path == Path::Plaintext
                && connection.source_identity.is_none()
        };
        for (_, event) in reports {
            if let Event::Opened(connection) | Event::Closed { connection, .. } = event
                && plain(connection)
                && self.tricks.forged.contains(&connection.source)
            {
                self.seen.insert("H8");
            }
        }
    }
}
