//! Changes of facts, credentials and clocks, as they happen, and their end.

use std::time::Duration;

use super::super::plan::{Before, Change, Endpoints, Name, Options, Port};
use super::Stage;
use crate::world::{CatchUp, HealthStatus, Issuing, NodeId, Pod, World};

/// How long certificates live where they are not meant to end.
const LONG: Duration = Duration::from_secs(24 * 3600);
/// How long before their issue they begin.
const BACKDATE: Duration = Duration::from_secs(600);

/// The service, and how long certificates live.
pub(super) fn prepare(world: &mut World, options: &Options) {
    world.lifetime(options.lifetime.map_or(LONG, Duration::from_secs));
    world.renewing(BACKDATE);
}

/// What is there once there are pods.
pub(super) fn found(world: &mut World, options: &Options, nodes: &[NodeId], pods: &[Pod]) {
    world.service(&Port::ALL.map(Port::number), pods);
    for node in nodes {
        world.deliver(*node, options.delivery, CatchUp::Difference);
    }
}

/// What stands before the service, once there are pods; the gateway is a pod that nobody calls.
pub(super) fn stand_before(
    world: &mut World,
    options: &Options,
    nodes: &[NodeId],
    pods: &[Pod],
) -> Option<Pod> {
    match (options.before?, nodes.first(), pods) {
        (Before::Gateway, Some(node), [_, server, ..]) => {
            let gate = world.gateway(*node);
            world.beyond(Some((gate, *server)));
            Some(gate)
        }
        (Before::Waypoint(number), ..) => {
            world.service_waypoint(pods.get(number).copied());
            None
        }
        (Before::Gateway, ..) => None,
    }
}

impl Stage {
    pub(super) fn change(&mut self, change: &Change) {
        match change {
            Change::Deliver { node, delivery, catch_up } => {
                if let Some(node) = self.nodes.get(*node) {
                    self.world.deliver(*node, *delivery, *catch_up);
                }
            }
            Change::Estrange { node }
            | Change::Jump { node, .. }
            | Change::Leave { node }
            | Change::Mislead { node, .. } => {
                if let Some(node) = self.nodes.get(*node).copied() {
                    self.node_change(change, node);
                }
            }
            Change::Endpoints(endpoints) => self.endpoints(*endpoints),
            Change::Hostile { pod, .. }
            | Change::Rename { pod, .. }
            | Change::Reuse { pod, .. }
            | Change::Waypoint { pod, .. } => {
                if let Some(host) = self.host(*pod) {
                    self.pod_change(change, *pod, host);
                }
            }
            Change::Root => self.world.change_root(),
        }
    }

    fn node_change(&mut self, change: &Change, node: NodeId) {
        match change {
            Change::Jump { seconds, .. } => self.world.jump(node, *seconds),
            Change::Leave { .. } => self.world.issuing(node, Issuing::Never),
            Change::Mislead { pod, wrong, .. } => {
                self.world.issuing(node, Issuing::Wrong(*wrong));
                if let Some(pod) = self.host(*pod) {
                    self.world.rotate(pod);
                }
            }
            _ => self.world.estrange(node),
        }
    }

    fn pod_change(&mut self, change: &Change, number: usize, pod: Pod) {
        match change {
            Change::Hostile { what, .. } => self.world.hostile(*what, pod),
            Change::Rename { name: Name::Namespace, .. } => {
                self.world.rename(pod, |spec| spec.namespace = "elsewhere".into());
            }
            Change::Rename { name: Name::ServiceAccount, .. } => {
                self.world.rename(pod, |spec| spec.service_account = "another".into());
            }
            Change::Reuse { number: again, .. } => {
                let new = self.world.reuse(pod, &format!("heir-{again}"));
                if let Some(host) = self.hosts.get_mut(number) {
                    *host = new;
                }
            }
            Change::Waypoint { stands, by, .. } => match by.and_then(|by| self.host(by)) {
                Some(waypoint) if *stands => self.world.stand_before(pod, waypoint),
                _ => self.world.waypoint(pod, *stands),
            },
            _ => {}
        }
    }

    fn endpoints(&mut self, endpoints: Endpoints) {
        for (number, pod) in self.hosts.clone().into_iter().enumerate().take(self.honest()) {
            let status = match endpoints {
                Endpoints::All => Some(HealthStatus::Healthy),
                Endpoints::One(one) if one == number => Some(HealthStatus::Healthy),
                Endpoints::None | Endpoints::One(_) => None,
                Endpoints::Unhealthy => Some(HealthStatus::Unhealthy),
            };
            self.world.endpoint(pod, status);
        }
    }

    /// What stands before the service does so while its own node is there.
    fn restore_before(&mut self) {
        let is_there = |number: usize| self.gone.is_none_or(|gone| number % self.nodes.len() != gone);
        match self.before {
            Some(Before::Waypoint(number)) => {
                let waypoint = self.host(number).filter(|_| is_there(number));
                self.world.service_waypoint(waypoint);
            }
            Some(Before::Gateway) => {
                // The gateway is on the first node, the server is the second pod.
                let way = self.gate.zip(self.host(1)).filter(|_| is_there(0) && is_there(1));
                self.world.beyond(way);
            }
            None => {}
        }
    }

    /// Facts, credentials and clocks are right again, and everybody hears of it.
    pub(super) fn restore(&mut self) {
        self.world.purge();
        for (number, pod) in self.hosts.clone().into_iter().enumerate().take(self.pods) {
            self.world.restore_pod(pod);
            let there = self.gone.is_none_or(|gone| number % self.nodes.len() != gone);
            let there = there && number < self.honest();
            self.world.endpoint(pod, there.then_some(HealthStatus::Healthy));
        }
        self.restore_before();
        self.world.reassure(LONG);
        self.world.reconcile();
    }
}
