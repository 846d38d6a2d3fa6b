//! Faults between hosts, as they happen and as they are seen.

use std::time::Duration;

use super::super::plan::{NetworkFault, Ways};
use super::Stage;
use crate::world::{AppId, KEEPALIVE, Seen, World};

/// What is remembered of faults until something shows them.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// A way is cut in one direction, and none in both.
    one_way: bool,
    /// Clients whose hosts forgot their connections.
    forgotten: Vec<AppId>,
}

/// How the ways of a world always are.
pub(super) fn lay(world: &mut World, ways: &Ways) {
    world.jitter(ways.jitter);
    world.loss(ways.loss);
    if let Some(bytes) = ways.bandwidth {
        world.bandwidth(bytes);
    }
}

impl Stage {
    pub(super) fn network_fault(&mut self, fault: &NetworkFault) {
        match fault {
            NetworkFault::Blackhole { pod } => {
                if let Some(pod) = self.host(*pod) {
                    self.world.blackhole(pod);
                    self.outages.one_way = false;
                }
            }
            NetworkFault::Clog { pod, time } => {
                if let Some(pod) = self.host(*pod) {
                    self.world.clog(pod, *time);
                    self.outages.one_way = false;
                }
            }
            NetworkFault::Cut { pod, direction } => {
                if let Some(pod) = self.host(*pod) {
                    self.outages.one_way = !self.world.is_clogged();
                    self.world.cut(pod, *direction);
                }
            }
            NetworkFault::Heal => self.unclog(),
            NetworkFault::Lose { call } => {
                if let Some(app) = self.calls.get(*call).map(|made| made.app) {
                    if !self.world.has_closed(app) {
                        self.outages.forgotten.push(app);
                    }
                    self.world.lose(app);
                }
            }
            NetworkFault::Unroute { pod } => {
                if let Some(pod) = self.host(*pod) {
                    self.world.lose_route(pod);
                    self.outages.one_way = false;
                }
            }
        }
    }

    /// All ways are free, and what was held back comes at once.
    pub(super) fn unclog(&mut self) {
        if self.world.is_clogged() {
            self.seen.insert("D15");
        }
        self.outages.one_way = false;
        self.world.heal();
    }

    /// How long it takes until everybody knows of connections that hosts forgot, which take up room until then.
    pub(super) fn ignorance(&self) -> Duration {
        if self.outages.forgotten.is_empty() { Duration::ZERO } else { KEEPALIVE }
    }

    pub(super) fn look_at_network(&mut self) {
        let world = &self.world;
        if world.is_clogged() && self.outages.one_way {
            self.seen.insert("cut-one-way");
        }
        let whole = |app| world.seen(app) == Seen::Fin && world.received(app) > 0;
        if world.lost() > 0 && self.calls.iter().any(|made| whole(made.app)) {
            self.seen.insert("loss");
        }
        let told = |app: &AppId| world.heard_by(*app).is_some_and(|server| world.seen(server) == Seen::Reset);
        if self.outages.forgotten.iter().any(told) {
            self.seen.insert("half-open");
        }
        if world.bursts() > 0 {
            self.seen.insert("D15");
        }
    }
}
