//! The control plane: every node hears of changed facts on a stream of its own, at once, late, twice, out of order, or not at
//! all for a while.
//!
//! What a node hears are responses of delta xDS, which its session takes in (`culvert_core::xds`); what a node whose stream is set
//! up anew hears goes by what its session says it has. Within a stream nothing is told that is older than what was told before.
//! Whatever happened on the way, nodes that have heard everything have the same facts (S13, L6).

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::engine::boundary::Input;
use culvert_core::mesh::{Changed, Delta, NetworkAddress, Snapshot};
use culvert_core::seed::{Draws, Seed};
use culvert_core::telemetry::Event;
use culvert_core::time::Time;

use serde::{Deserialize, Serialize};

use super::agenda::Happening;
use super::digest::Digest;
use super::hearing::{Hearing, Held, Key};
use super::{NodeId, World};

/// How a node hears of facts that change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// Not at all: its stream is broken, and what was under way is lost.
    Cut,
    /// Each resource by itself, within this time.
    Late(#[serde(with = "crate::scenario::seconds")] Duration),
    /// At once.
    Prompt,
    /// As late ones, and each of them twice.
    Twice(#[serde(with = "crate::scenario::seconds")] Duration),
}

/// How a node whose stream is set up anew hears of what it missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CatchUp {
    /// From one that is behind itself: what was so at some time before, and then what is so now.
    Behind,
    /// Only what differs, what is gone included.
    Difference,
    /// All there is, resource by resource.
    Whole,
}

/// Resources in one version, on their way to a node.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    stream: u64,
    version: usize,
    keys: Vec<Key>,
}

/// What one node has heard.
#[derive(Debug)]
struct Subscription {
    delivery: Delivery,
    hearing: Hearing,
    /// What it knows now, and what it knew before, each since when.
    views: Vec<(Time, Arc<Snapshot>)>,
    heard: BTreeMap<Key, usize>,
    /// How often its stream was set up anew.
    stream: u64,
    under_way: usize,
    /// Something came twice, too late to count, from the past, or was gone meanwhile.
    confused: bool,
}

/// All that was ever so, and who has heard of it.
#[derive(Debug)]
pub(super) struct Control {
    /// By version.
    log: Vec<Arc<Snapshot>>,
    subscriptions: Vec<Subscription>,
    seed: Seed,
    draws: Draws,
}

impl Control {
    pub(super) fn new(seed: Seed, facts: Arc<Snapshot>) -> Control {
        Control { log: vec![facts], subscriptions: Vec::new(), seed, draws: seed.draws() }
    }

    fn informed(&self, now: Time) -> Hearing {
        Hearing::informed(self.seed, now, self.facts(), self.log.len() - 1)
    }

    /// A node that knows what is so now.
    pub(super) fn subscribe(&mut self, now: Time) {
        let hearing = self.informed(now);
        self.subscriptions.push(Subscription {
            delivery: Delivery::Prompt,
            hearing,
            views: vec![(now, self.facts().clone())],
            heard: BTreeMap::new(),
            stream: 0,
            under_way: 0,
            confused: false,
        });
    }

    /// A node's process begins anew, and with it its stream: what it knows is what is so now, or nothing if nothing reaches it.
    pub(super) fn begin_anew(&mut self, node: NodeId, now: Time) -> Arc<Snapshot> {
        let (view, hearing) = if self.is_cut(node) {
            (Arc::new(Snapshot::new()), Hearing::new(self.seed, now))
        } else {
            (self.facts().clone(), self.informed(now))
        };
        let subscription = &mut self.subscriptions[node.0];
        subscription.hearing = hearing;
        subscription.stream += 1;
        subscription.under_way = 0;
        subscription.heard.clear();
        subscription.views.push((now, view.clone()));
        view
    }

    /// What is so now.
    pub(super) fn facts(&self) -> &Arc<Snapshot> {
        &self.log[self.log.len() - 1]
    }

    /// What a node knew, and since when; the last is what it knows now.
    pub(super) fn views(&self, node: NodeId) -> &[(Time, Arc<Snapshot>)] {
        &self.subscriptions[node.0].views
    }

    /// What a node knows now.
    pub(super) fn view(&self, node: NodeId) -> &Arc<Snapshot> {
        let views = self.views(node);
        &views[views.len() - 1].1
    }

    /// Whether a node knows what is so now.
    pub(super) fn is_current(&self, node: NodeId) -> bool {
        Arc::ptr_eq(self.view(node), self.facts()) || self.view(node).same_facts(self.facts())
    }

    /// Whether nothing reaches a node.
    pub(super) fn is_cut(&self, node: NodeId) -> bool {
        self.subscriptions[node.0].delivery == Delivery::Cut
    }

    /// What one who holds this must be told of to know `facts`.
    fn missing(&self, held: &Held, facts: &Snapshot) -> Vec<Key> {
        let is_current = |key: &Key, version: &Option<usize>| {
            version.and_then(|version| self.log.get(version)).is_some_and(|then| key.is_same(then, facts))
        };
        let (same, differ): (Vec<_>, Vec<_>) =
            held.iter().partition(|(key, version)| is_current(key, version));
        let same: BTreeSet<&Key> = same.into_iter().map(|(key, _)| key).collect();
        let all = keys(&Snapshot::new().diff_to(facts)).into_iter().filter(|key| !same.contains(key));
        let gone = differ.into_iter().map(|(key, _)| key).filter(|key| !key.exists(facts)).cloned();
        all.chain(gone).collect()
    }

    pub(super) fn delay(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(self.draws.next_u64() % most)
    }
}

impl World {
    /// Facts change. Who hears of it when is a matter of [`World::deliver`]; by default it is all nodes, at once.
    pub fn apply(&mut self, delta: Delta) {
        let before = self.control.facts().clone();
        let (snapshot, changed) = before.apply(delta);
        let facts = Arc::new(snapshot);
        self.control.log.push(facts.clone());
        let changed = Arc::new(changed);
        for node in (0..self.nodes.len()).map(NodeId) {
            let subscription = &self.control.subscriptions[node.0];
            match subscription.delivery {
                Delivery::Cut => {}
                Delivery::Late(most) => self.send_each(node, keys(&changed), most, false),
                Delivery::Prompt if Arc::ptr_eq(self.control.view(node), &before) => {
                    let (keys, version) = (keys(&changed), self.control.log.len() - 1);
                    let (now, subscription) = (self.net.now, &mut self.control.subscriptions[node.0]);
                    subscription.heard.extend(keys.iter().map(|key| (key.clone(), version)));
                    let deltas = subscription.hearing.hear(now, &keys, &facts, version, false);
                    // Nodes that took in the same share it.
                    if deltas == Hearing::expected(&keys, &facts) {
                        self.take(node, facts.clone(), changed.clone());
                    } else {
                        self.take_all(node, deltas);
                    }
                }
                Delivery::Prompt => self.hear(node, self.control.log.len() - 1, keys(&changed)),
                Delivery::Twice(most) => self.send_each(node, keys(&changed), most, true),
            }
        }
        self.check();
    }

    /// How a node hears of facts from here on. One whose stream was broken catches up as told.
    pub fn deliver(&mut self, node: NodeId, delivery: Delivery, catch_up: CatchUp) {
        let subscription = &mut self.control.subscriptions[node.0];
        let was = std::mem::replace(&mut subscription.delivery, delivery);
        if delivery == Delivery::Cut {
            subscription.stream += 1;
            subscription.under_way = 0;
            subscription.hearing.lose(self.net.now);
        } else if was == Delivery::Cut {
            subscription.heard.clear();
            let held = subscription.hearing.begin(self.net.now, &self.control.log);
            // Each kind is answered, also where there is nothing to say.
            let deltas = subscription.hearing.hear(self.net.now, &[], &Snapshot::new(), 0, true);
            assert!(deltas.is_empty(), "an empty answer changes nothing");
            self.catch_up(node, &held, delivery, catch_up);
            self.tell_demanded(node);
        } else if delivery == Delivery::Prompt && subscription.under_way > 0 {
            let facts = self.control.facts().clone();
            let missed = keys(&self.control.view(node).diff_to(&facts));
            self.send(node, self.control.log.len() - 1, missed, Duration::ZERO);
        }
    }

    /// Says what a node does not know yet, going by what it says it has.
    fn catch_up(&mut self, node: NodeId, held: &Held, delivery: Delivery, how: CatchUp) {
        let now = self.control.log.len() - 1;
        let facts = self.control.facts().clone();
        let most = match delivery {
            Delivery::Late(most) | Delivery::Twice(most) => most,
            Delivery::Cut | Delivery::Prompt => Duration::ZERO,
        };
        let missed = self.control.missing(held, &facts);
        self.control.subscriptions[node.0].confused |= missed.iter().any(|key| !key.exists(&facts));
        match how {
            CatchUp::Difference => self.send(node, now, missed, most),
            CatchUp::Whole => {
                let nothing = Snapshot::new();
                let all = [keys(&nothing.diff_to(&facts)), missed].concat();
                self.send_each(node, all, most, false);
            }
            CatchUp::Behind => {
                let old = usize::try_from(self.control.draws.next_u64() % (now as u64 + 1)).unwrap_or(0);
                let past = self.control.log[old].clone();
                let back = self.control.missing(held, &past);
                self.control.subscriptions[node.0].confused |= !back.is_empty();
                let again: BTreeSet<Key> =
                    [keys(&past.diff_to(&facts)), missed].concat().into_iter().collect();
                self.send(node, old, back, Duration::ZERO);
                self.send(node, now, again.into_iter().collect(), most);
            }
        }
    }

    fn send_each(&mut self, node: NodeId, keys: Vec<Key>, most: Duration, twice: bool) {
        let version = self.control.log.len() - 1;
        for key in keys {
            self.send(node, version, vec![key.clone()], most);
            if twice {
                self.send(node, version, vec![key], most);
            }
        }
    }

    fn send(&mut self, node: NodeId, version: usize, keys: Vec<Key>, most: Duration) {
        if keys.is_empty() {
            return;
        }
        if most.is_zero() {
            return self.hear(node, version, keys);
        }
        let at = self.net.now.after(self.control.delay(most));
        let subscription = &mut self.control.subscriptions[node.0];
        subscription.under_way += 1;
        let parcel = Parcel { stream: subscription.stream, version, keys };
        self.net.agenda.put(at, Happening::Facts(node, parcel));
    }

    /// A parcel arrives at a node.
    pub(super) fn arrived(&mut self, node: NodeId, parcel: Parcel) {
        let subscription = &mut self.control.subscriptions[node.0];
        if parcel.stream == subscription.stream {
            subscription.under_way = subscription.under_way.saturating_sub(1);
            self.hear(node, parcel.version, parcel.keys);
        }
    }

    fn hear(&mut self, node: NodeId, version: usize, keys: Vec<Key>) {
        let source = self.control.log[version].clone();
        let subscription = &mut self.control.subscriptions[node.0];
        let mut fresh = Vec::new();
        for key in keys {
            match subscription.heard.get(&key) {
                Some(heard) if *heard > version => subscription.confused = true,
                heard => {
                    subscription.confused |= heard == Some(&version);
                    subscription.heard.insert(key.clone(), version);
                    fresh.push(key);
                }
            }
        }
        let deltas = subscription.hearing.hear(self.net.now, &fresh, &source, version, false);
        self.take_all(node, deltas);
    }

    /// A node takes in what its session says, one after the other.
    fn take_all(&mut self, node: NodeId, deltas: Vec<Delta>) {
        let mut view = self.control.view(node).clone();
        let mut all = Changed::default();
        for delta in deltas {
            let (snapshot, changed) = view.apply(delta);
            view = Arc::new(snapshot);
            all.merge(changed);
        }
        self.take(node, view, Arc::new(all));
    }

    /// A node takes in facts, right or wrong.
    pub(super) fn take(&mut self, node: NodeId, snapshot: Arc<Snapshot>, changed: Arc<Changed>) {
        let now = self.net.now;
        self.control.subscriptions[node.0].views.push((now, snapshot.clone()));
        self.input(node, Input::Apply { snapshot, changed });
        self.tell_demanded(node);
        self.mark_permitted(node);
    }

    /// Which of the scenarios' vocabulary the world has seen since this was asked last.
    pub(crate) fn take_shown(&mut self) -> BTreeSet<&'static str> {
        std::mem::take(&mut self.shown)
    }

    /// Looks at what a node has reported since the last time.
    pub(super) fn notice(&mut self, node: NodeId) {
        let entry = &mut self.nodes[node.0];
        let from = std::mem::replace(&mut entry.noticed, entry.reports.len());
        if from == entry.noticed {
            return;
        }
        let news: Vec<Event> = entry.reports.iter().skip(from).map(|(_, event)| event.clone()).collect();
        let mut opened = false;
        for event in &news {
            if let Event::Opened(connection) = event {
                opened = true;
                self.check_opened(node, connection);
            }
            self.check_papers(node, event);
            self.note_upheaval(node, event);
        }
        // One that does not hear of what is new serves by what it knows.
        if opened && self.control.is_cut(node) && !self.control.is_current(node) {
            self.shown.insert("C7");
        }
    }

    /// The world takes a node to know what it was never told, so that laws about what nodes know can be seen to fail.
    #[cfg(test)]
    pub(super) fn pretend(&mut self, node: NodeId, delta: Delta) {
        let (snapshot, _) = self.control.view(node).apply(delta);
        self.control.subscriptions[node.0].views = vec![(Time::START, Arc::new(snapshot))];
        self.mark_permitted(node);
    }

    /// Every node hears at once of all that is so, and from here on of what changes.
    pub fn reconcile(&mut self) {
        for node in (0..self.nodes.len()).map(NodeId) {
            self.deliver(node, Delivery::Cut, CatchUp::Difference);
            self.deliver(node, Delivery::Prompt, CatchUp::Difference);
        }
    }

    /// S13: every node came to the same facts, with the same indexes over them, whatever it heard on the way.
    pub fn check_convergence(&mut self) {
        self.all_sound();
        let facts = self.control.facts().clone();
        // Made in one go, by nobody who has a history.
        let made = || Snapshot::new().apply(Snapshot::new().delta_to(&facts)).0;
        let expected = LazyCell::new(|| canonical(&made()));
        for node in (0..self.nodes.len()).map(NodeId) {
            let subscription = &mut self.control.subscriptions[node.0];
            let view = &subscription.views[subscription.views.len() - 1].1;
            let shared = Arc::ptr_eq(view, &facts);
            assert!(
                (shared && !subscription.confused) || canonical(view) == *expected,
                "S13: {node:?} has other facts than there are"
            );
            if std::mem::take(&mut subscription.confused) {
                self.shown.insert("C8");
            }
        }
    }
}

/// One number for the facts of a snapshot and for what its indexes find, not for its history.
fn canonical(snapshot: &Snapshot) -> u64 {
    let mut text = String::new();
    for workload in snapshot.workloads() {
        let identity = workload.identity();
        let same = snapshot
            .instances(identity.namespace(), &workload.name, identity.service_account())
            .map(|same| &same.uid);
        let at = workload.ips.iter().map(|ip| NetworkAddress::new(workload.network.clone(), *ip));
        let at: Vec<_> = at.map(|at| snapshot.workload_at(&at).map(|found| &found.uid)).collect();
        let policies: Vec<_> = snapshot.policies_for(workload).collect();
        let _infallible = write!(text, "{workload:?} {:?} {at:?} {policies:?}", same.collect::<Vec<_>>());
    }
    for service in snapshot.services() {
        let endpoints: Vec<_> = snapshot.endpoints(&service.key).map(|endpoint| &endpoint.uid).collect();
        let at: Vec<_> =
            service.vips.iter().map(|vip| snapshot.service_at(vip, "").map(|s| &s.key)).collect();
        let named: Vec<_> =
            snapshot.services_of_hostname(&service.key.hostname).iter().map(|s| &s.key).collect();
        let _infallible = write!(text, "{service:?} {endpoints:?} {at:?} {named:?}");
    }
    for (key, entry) in snapshot.policies() {
        let naming: Vec<_> = snapshot.workloads_naming(key).collect();
        let _infallible = write!(text, "{key} {entry:?} {naming:?}");
    }
    let mut digest = Digest::default();
    digest.write(text.as_bytes());
    digest.finish()
}

/// Every resource that a change is about.
fn keys(changed: &Changed) -> Vec<Key> {
    let workloads = changed.workloads.iter().chain(&changed.removed).cloned().map(Key::Workload);
    let services = changed.services.iter().cloned().map(Key::Service);
    let policies = changed.policies.iter().cloned().map(Key::Policy);
    workloads.chain(services).chain(policies).collect()
}
