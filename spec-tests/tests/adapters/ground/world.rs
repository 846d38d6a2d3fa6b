//! The simulator: two nodes in a world.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use culvert_core::telemetry::{Event, Reporter};
use culvert_sim::world::{AppId, NodeId, Pod, Seen, Serve, World};

use super::Ground;
use crate::case::{Call, Case, End, History, Kind, Served, Side, Step};

/// Virtual time after which what did not happen will not.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Simulated;

impl Ground for Simulated {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn run(&self, case: &Case) -> History {
        let mut scene = Scene::new(case);
        for step in &case.steps {
            scene.step(step);
        }
        scene.end()
    }
}

struct Scene<'a> {
    case: &'a Case,
    world: World,
    near: NodeId,
    far: NodeId,
    client: Pod,
    server: Pod,
    calls: Vec<AppId>,
    drained: BTreeSet<NodeId>,
}

impl Scene<'_> {
    fn new(case: &Case) -> Scene<'_> {
        let mut world = World::with_limits(1, |limits| *limits = case.limits.clone());
        let near = world.node();
        let far = if case.kind.has_two_nodes() { world.node() } else { near };
        let client = if case.kind == Kind::Incoming { world.machine() } else { world.pod(near, "client") };
        let server = if case.kind == Kind::Outgoing { world.machine() } else { world.pod(far, "server") };
        if let Some(most) = case.chop {
            world.chop(most);
        }
        for (port, served) in (7000..).zip(&case.served) {
            let serve = match served {
                Served::By(script) => Serve::Script(script.clone()),
                Served::Silent => Serve::Silent,
                Served::Nobody => continue,
            };
            world.serve(server, port, serve);
        }
        let (calls, drained) = (Vec::new(), BTreeSet::new());
        Scene { case, world, near, far, client, server, calls, drained }
    }

    fn address(&self, served: usize) -> SocketAddr {
        self.world.address(self.server, 7000 + u16::try_from(served).unwrap())
    }

    fn node(&self, side: Side) -> NodeId {
        match side {
            Side::Near => self.near,
            Side::Far => self.far,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Call { served, script } => {
                let target = self.address(*served);
                self.calls.push(self.world.call(self.client, target, script.clone()));
                // A connect that has returned, as it is where calls are made one after the other.
                let id = *self.calls.last().unwrap();
                self.until("is answered", |world, _| world.seen(id) != Seen::Dialling);
            }
            Step::Until { call, received } => {
                let id = self.calls[*call];
                self.until("bytes come", |world, _| world.received(id) >= *received);
            }
            Step::Over { call } => {
                let id = self.calls[*call];
                self.until("it is over", |world, _| world.has_closed(id));
            }
            Step::Drain(side, within) => {
                let node = self.node(*side);
                self.drained.insert(node);
                self.world.drain(node, *within);
            }
            Step::Rotate => {
                self.world.rotate(self.client);
                self.world.run(Duration::from_secs(1));
            }
            Step::Deny => self.world.deny("no-more", self.client),
            // To close listeners is the driver's part of a drain; those of worlds go on, for whoever was in the queue.
            Step::TurnedAway { .. } => {}
        }
    }

    /// Lets time pass until something is so, and looks all the time how far senders are ahead.
    fn until(&mut self, what: &str, mut done: impl FnMut(&World, &[AppId]) -> bool) {
        let (calls, most, name) = (&self.calls, self.case.ahead, &self.case.name);
        let nodes = [self.near, self.far];
        let came = self.world.run_until(PATIENCE, |world| {
            for call in calls {
                let ahead = world.sent(*call) - world.heard_by(*call).map_or(0, |app| world.received(app));
                assert!(most.is_none_or(|most| ahead <= most), "{name}: a sender is {ahead} bytes ahead");
            }
            let held = nodes.iter().map(|node| world.held_bytes(*node) as u64).max();
            assert!(most.is_none_or(|most| held <= Some(most)), "{name}: a node holds {held:?} bytes");
            done(world, calls)
        });
        assert!(came, "{name}: it does not come that {what}");
    }

    fn seen_by(&self, app: AppId) -> End {
        End { received: self.world.received(app), seen: self.world.seen(app) }
    }

    fn end(mut self) -> History {
        self.until("every application is done", |world, calls| {
            calls.iter().chain(&world.served()).all(|app| world.has_closed(*app))
        });
        let nodes = [self.near, self.far];
        for node in nodes {
            if self.drained.insert(node) {
                self.world.drain(node, Duration::from_secs(5));
            }
        }
        self.until("both nodes have drained", |world, _| {
            nodes.iter().all(|node| world.reports(*node).iter().any(|(_, event)| *event == Event::Drained))
        });
        let call = |call: &AppId| Call {
            client: self.seen_by(*call),
            server: self.world.heard_by(*call).map(|app| self.seen_by(app)),
        };
        let mut history = History {
            calls: self.calls.iter().map(call).collect(),
            near: self.reasons(self.near),
            ..History::default()
        };
        if self.case.kind.has_two_nodes() {
            history.far = self.reasons(self.far);
        }
        for (_, event) in self.world.reports(self.near) {
            match event {
                Event::TunnelOpened { side: Reporter::Source, .. } => history.tunnels += 1,
                Event::Closed { connection, .. } if self.case.in_order => {
                    let from = |call: &AppId| self.world.local(*call) == connection.source;
                    history.order.extend(self.calls.iter().position(from));
                }
                _ => {}
            }
        }
        self.world.finish();
        history
    }

    fn reasons(&self, node: NodeId) -> Vec<String> {
        let reason = |(_, event): &(_, Event)| match event {
            Event::Closed { reason, .. } => Some(reason.to_string()),
            _ => None,
        };
        let mut reasons: Vec<String> = self.world.reports(node).iter().filter_map(reason).collect();
        reasons.sort();
        reasons
    }
}
