//! Credentials over time: renewed before they end, by an authority that may be away, with a root that may change; and clocks
//! that jump.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use culvert_core::engine::boundary::Input;
use culvert_core::fault::Fault;
use culvert_core::identity::{Credential, IdentityFault, SpiffeId};
use culvert_core::telemetry::{Connection, Event, Path, Reason, Reporter};
use culvert_core::time::{Time, WallTime};
use culvert_core::tls::TlsFault;

use super::agenda::Happening;
use super::node::Issuing;
use super::{NodeId, Serve, World};
use crate::certificate::Authority;

/// A credential that could not be had is asked for again after this.
const RETRY: Duration = Duration::from_secs(5);
/// Between two phases of a change of roots: longer than any handshake.
const PHASE: Duration = Duration::from_secs(18);
/// Certificates that live so long do not end in a scenario.
const LONG: Duration = Duration::from_secs(12 * 3600);
/// A clock that is wrong by no more than this is right for certificates.
const TOLERANCE: i64 = 300;

/// How far a change of the authority's root has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Everybody shall trust both.
    Both,
    /// The new one issues.
    Switch,
    /// Nobody trusts the old one any more.
    Alone,
}

/// What is known of credentials.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    /// Whether nodes ask for newer ones before theirs end.
    enabled: bool,
    /// Certificates begin so long before they are issued.
    backdate: Duration,
    /// The ends of what each node was issued last.
    ends: BTreeMap<(NodeId, SpiffeId), WallTime>,
    /// What the authority is asked for and has not answered.
    asked: BTreeSet<(NodeId, SpiffeId)>,
    /// When each is asked for next.
    planned: BTreeMap<(NodeId, SpiffeId), Time>,
    /// Who asked for a newer one in vain.
    failing: BTreeSet<(NodeId, SpiffeId)>,
    /// Who was ever given a wrong one: it may serve where a pod, and with it its right one, was gone in between.
    wronged: BTreeSet<NodeId>,
    /// Who was given a wrong one while it had a right one.
    misled: BTreeSet<NodeId>,
    /// Whose certificates others may have to refuse, or who may have to refuse those of others.
    unsound: BTreeSet<NodeId>,
    /// Certificates may end between the dial of a tunnel and its handshake.
    brief: bool,
    /// Nodes whose clocks jumped.
    jumped: BTreeSet<NodeId>,
    successor: Option<Authority>,
    roots: u64,
    /// When the last change of roots was complete.
    settled: Option<Time>,
}

impl Renewals {
    /// A node's process is another one, which has no credential yet.
    pub(super) fn begin_anew(&mut self, node: NodeId) {
        self.ends.retain(|(holder, _), _| *holder != node);
        self.asked.retain(|(holder, _)| *holder != node);
    }

    /// Others may have to refuse a node's certificates from here on, or it those of others.
    pub(super) fn distrust(&mut self, node: NodeId) {
        self.unsound.insert(node);
    }

    /// A node was given what is wrong: it goes on with what it has, if it has anything.
    pub(super) fn mislead(&mut self, node: NodeId, id: &SpiffeId) {
        self.wronged.insert(node);
        if self.ends.contains_key(&(node, id.clone())) {
            self.misled.insert(node);
        } else {
            self.unsound.insert(node);
        }
    }
}

impl World {
    /// How long certificates issued from here on are valid.
    pub fn lifetime(&mut self, lifetime: Duration) {
        self.renewals.brief |= lifetime < LONG;
        self.lifetime = lifetime;
    }

    /// Nodes renew credentials at half of their life; those that cannot be had are asked for again.
    pub fn renewing(&mut self, backdate: Duration) {
        self.renewals.enabled = true;
        self.renewals.backdate = backdate;
    }

    pub(super) fn ask(&mut self, node: NodeId, id: SpiffeId) {
        if !self.renewals.asked.insert((node, id.clone())) {
            // It became more urgent while the authority is on it.
            return;
        }
        let delay = match self.nodes[node.0].issuing {
            Issuing::After(delay) | Issuing::Refusing(delay) => delay,
            Issuing::Wrong(_) => Duration::from_millis(5),
            Issuing::Never => {
                self.renewals.asked.remove(&(node, id.clone()));
                return self.plan(node, id, RETRY);
            }
        };
        self.net.agenda.put(self.net.now.after(delay), Happening::Credential(node, id));
    }

    pub(super) fn authority_answers(&mut self, node: NodeId, id: SpiffeId) {
        self.renewals.asked.remove(&(node, id.clone()));
        match self.nodes[node.0].issuing {
            Issuing::After(_) => return self.issue(node, id),
            Issuing::Refusing(_) => {
                let outcome = Err(IdentityFault::Unusable("the authority refuses".to_owned()));
                self.input(node, Input::Credential { id: id.clone(), outcome });
            }
            Issuing::Wrong(wrong) => self.issue_wrongly(node, id.clone(), wrong),
            Issuing::Never => {}
        }
        self.plan(node, id, RETRY);
    }

    /// Whether what a node was issued last is over, by its clock.
    pub(super) fn is_over(&self, node: NodeId, id: &SpiffeId) -> bool {
        let end = self.renewals.ends.get(&(node, id.clone()));
        end.is_some_and(|end| *end < self.now_at(node).wall)
    }

    pub(super) fn forget_credential(&mut self, node: NodeId, id: &SpiffeId) {
        self.renewals.ends.remove(&(node, id.clone()));
    }

    /// A node goes on with this credential.
    pub(super) fn note_credential(&mut self, node: NodeId, id: &SpiffeId, credential: &Credential) {
        self.renewals.ends.insert((node, id.clone()), credential.not_after());
        self.note_serial(node, id, credential.chain());
    }

    pub(super) fn issue(&mut self, node: NodeId, id: SpiffeId) {
        let now = self.now().wall.as_unix_secs();
        let at = WallTime::from_unix_secs;
        let (start, end) = (at(now - self.renewals.backdate.as_secs()), at(now + self.lifetime.as_secs()));
        self.issued.insert((node, id.clone()));
        let key = (node, id.clone());
        if self.renewals.failing.remove(&key) {
            self.shown.insert("C1");
        }
        self.renewals.ends.insert(key, end);
        let credential = self.authority.issue(&id, start, end).expect("validity ends after it begins");
        self.note_serial(node, &id, credential.chain());
        self.input(node, Input::Credential { id: id.clone(), outcome: Ok(credential) });
        self.plan(node, id, self.lifetime / 2);
    }

    /// A renewal, up to a tenth earlier, so that not all come at once.
    fn plan(&mut self, node: NodeId, id: SpiffeId, after: Duration) {
        if !self.renewals.enabled || self.nodes[node.0].killed {
            return;
        }
        let early = self.control.delay(after / 10);
        let at = self.net.now.after(after - early);
        let key = (node, id.clone());
        if self.renewals.planned.get(&key).is_none_or(|planned| at < *planned) {
            self.renewals.planned.insert(key, at);
            self.net.agenda.put(at, Happening::Renew(node, id));
        }
    }

    pub(super) fn renew(&mut self, node: NodeId, id: SpiffeId) {
        let key = (node, id.clone());
        if self.renewals.planned.get(&key).is_none_or(|planned| *planned > self.net.now) {
            return;
        }
        self.renewals.planned.remove(&key);
        let serves = |host: &super::host::Host| host.node == Some(node) && !host.gone && host.identity == id;
        if !self.hosts.iter().any(serves) {
            return;
        }
        if !matches!(self.nodes[node.0].issuing, Issuing::After(_)) {
            let end = self.renewals.ends.get(&key).copied();
            self.renewals.failing.insert(key);
            if end.is_none_or(|end| end.as_unix_secs() < self.now().wall.as_unix_secs() + 60) {
                self.renewals.unsound.insert(node);
            }
        }
        self.ask(node, id);
    }

    /// A node's wall clock jumps, or is set right with zero; its monotonic one goes on.
    pub fn jump(&mut self, node: NodeId, seconds: i64) {
        self.nodes[node.0].skew = seconds;
        self.renewals.jumped.insert(node);
        if seconds.abs() > TOLERANCE || self.lifetime < LONG {
            self.renewals.unsound.insert(node);
        }
    }

    /// Every credential there is is issued anew, each within a second.
    fn reissue(&mut self) {
        for (node, id) in self.issued.clone() {
            let at = self.net.now.after(self.control.delay(Duration::from_secs(1)));
            self.net.agenda.put(at, Happening::Reissue(node, id));
        }
    }

    /// The authority gets another root, and goes over to it such that nobody notices (C5).
    pub fn change_root(&mut self) {
        if self.renewals.successor.is_none() {
            self.renewals.roots += 1;
            let seed = self.seed.child(&format!("root {}", self.renewals.roots));
            self.renewals.successor = Some(self.namesake(&seed, format!("root {}", self.renewals.roots)));
            self.net.agenda.put(self.net.now, Happening::Root(Phase::Both));
        }
    }

    pub(super) fn next_root(&mut self, phase: Phase) {
        let issues = |node: &super::node::Node| node.killed || matches!(node.issuing, Issuing::After(_));
        if !self.nodes.iter().all(issues) {
            self.net.agenda.put(self.net.now.after(RETRY), Happening::Root(phase));
            return;
        }
        let next = match (phase, &mut self.renewals.successor) {
            (Phase::Both, Some(successor)) => {
                successor.federate(&self.authority).expect("a root is a certificate");
                self.authority.federate(successor).expect("a root is a certificate");
                Some(Phase::Switch)
            }
            (Phase::Switch, Some(successor)) => {
                std::mem::swap(&mut self.authority, successor);
                Some(Phase::Alone)
            }
            (Phase::Alone, _) => {
                self.authority.stand_alone().expect("a root is a certificate");
                self.renewals.successor = None;
                self.renewals.settled = Some(self.net.now.after(Duration::from_secs(1)));
                None
            }
            (Phase::Both | Phase::Switch, None) => None,
        };
        self.reissue();
        if let Some(next) = next {
            self.net.agenda.put(self.net.now.after(PHASE), Happening::Root(next));
        }
    }

    /// A node gets credentials of a root that nobody else trusts, and trusts nobody else (C5).
    pub fn estrange(&mut self, node: NodeId) {
        let seed = self.seed.child("stranger");
        let stranger = self.namesake(&seed, "stranger");
        let own = std::mem::replace(&mut self.authority, stranger);
        self.renewals.unsound.insert(node);
        let ids = self.issued.iter().filter(|(holder, _)| *holder == node);
        for (_, id) in ids.cloned().collect::<Vec<_>>() {
            self.issue(node, id);
        }
        self.authority = own;
    }

    /// The authority is there again for all, with long-lived certificates; whoever cannot go on with what it has gets new ones.
    pub fn reassure(&mut self, lifetime: Duration) {
        self.lifetime = lifetime;
        for node in (0..self.nodes.len()).map(NodeId) {
            self.issuing(node, Issuing::After(Duration::from_millis(1)));
            self.nodes[node.0].skew = 0;
        }
        for (node, id) in self.issued.clone() {
            if self.renewals.unsound.contains(&node) && !self.renewals.failing.contains(&(node, id.clone())) {
                self.issue(node, id);
            }
        }
    }

    /// From here on certificates are right again.
    pub(super) fn all_sound(&mut self) {
        self.renewals.unsound.clear();
        self.renewals.brief = false;
    }

    /// What an event shows of credentials, and whether it may be.
    pub(super) fn check_papers(&mut self, node: NodeId, event: &Event) {
        match event {
            Event::Opened(connection) => self.check_valid(node, connection),
            Event::TunnelClosed { peer, fault, .. } => {
                // Of a tunnel inside another the peer is told by the gateway's address.
                let behind = self.apps.listeners.iter().find_map(|(at, serve)| match serve {
                    Serve::Forward(to) if at.ip() == peer.ip() => Some(to.ip()),
                    Serve::Forward(_) | Serve::Script(_) | Serve::Silent | Serve::Told(_) => None,
                });
                let node_at = |ip| self.host_at(ip).and_then(|pod| self.host(pod).node);
                let nodes = [Some(node), node_at(peer.ip()), behind.and_then(node_at)].into_iter().flatten();
                // What was issued while a clock was wrong may still be on its way when the clock is right again, and a process
                // that begins anew has none but the one that it is given, right or wrong.
                let right = |node: &NodeId| {
                    let known = &self.renewals;
                    let wrong = [&known.unsound, &known.jumped, &known.wronged];
                    wrong.iter().all(|nodes| !nodes.contains(node)) && self.nodes[node.0].lives.is_empty()
                };
                let sound = nodes.clone().all(|node| right(&node));
                let trusted = nodes.into_iter().all(|node| self.nodes[node.0].engine.is_honest());
                if let Some(what) = refused(fault)
                    && self.attackers.is_empty()
                    && !self.renewals.brief
                    && trusted
                {
                    assert!(!sound, "S9: a certificate that is right is refused: {what}");
                }
                self.note_expired(fault);
            }
            Event::Closed { reason: Reason::Failed(fault), .. } => self.note_expired(fault),
            _ => {}
        }
    }

    fn note_expired(&mut self, fault: &Fault) {
        if refused(fault).is_some_and(|what| what.contains("expired")) {
            self.shown.insert("C2");
        }
    }

    /// S9: no stream is opened under a certificate of our own that is over.
    fn check_valid(&mut self, node: NodeId, connection: &Connection) {
        if connection.path != Path::Hbone {
            return;
        }
        let own = match connection.reporter {
            Reporter::Source => &connection.source_identity,
            Reporter::Destination => &connection.destination_identity,
        };
        let end = own.as_ref().and_then(|id| self.renewals.ends.get(&(node, id.clone())));
        if let Some(end) = end.filter(|_| !self.renewals.jumped.contains(&node)) {
            assert!(
                *end >= connection.opened,
                "S9: {node:?} opens a stream under a certificate that is over"
            );
        }
        if self.nodes[node.0].skew != 0 {
            self.shown.insert("C3");
        }
        if self.renewals.misled.remove(&node) {
            self.shown.insert("C4");
        }
        if self.renewals.settled.is_some_and(|at| at < self.net.now) {
            self.shown.insert("C5");
        }
    }
}

/// What was wrong with a certificate, if that is what a tunnel ended for.
fn refused(fault: &Fault) -> Option<String> {
    match fault {
        Fault::Identity(IdentityFault::Unusable(_) | IdentityFault::Unavailable(_)) => None,
        Fault::Identity(fault) => Some(fault.to_string()),
        Fault::Tls(fault @ (TlsFault::Identity(_) | TlsFault::CredentialRefused(_))) => {
            Some(fault.to_string())
        }
        Fault::TunnelLost(fault) => refused(fault),
        _ => None,
    }
}
