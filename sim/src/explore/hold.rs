//! Policy and the hold, on the shipped snapshot and evaluator: whatever facts come and go in whatever order, a connection
//! that lives is one that the facts allow now (B4), and one that is held waits no longer than it may (B5).
//!
//! Two policies of a workload take every form that an evaluator tells apart; the workload names any of them, or is gone.
//! Two connections reach it: of a known identity, and of none. They are judged as the engine does it: when they come, and
//! when [`Changed`] says that a change affects the workload, and at no other time. A late driver takes several changes as one.

mod facts;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use culvert_core::identity::SpiffeId;
use culvert_core::mesh::{Changed, Snapshot, Workload};
use culvert_core::policy::{self, Compat, Connection, Verdict};

use super::{Machine, Violation};
use facts::{Answer, Content, FEW_FORMS, FORMS, Facts, UID};

/// Ticks of the clock for which a connection is held.
const HOLD: u8 = 2;

/// What decides, as a driver sees it: the shipped functions, and in tests some that break a rule.
pub(super) trait Judging: Clone + Send + Sync {
    fn evaluate(&self, snapshot: &Snapshot, workload: &Workload, connection: &Connection<'_>) -> Verdict {
        policy::evaluate(snapshot, workload, connection, Compat::Culvert)
    }

    fn affects(&self, changed: &Changed, workload: &Workload) -> bool {
        changed.affects(workload)
    }

    fn at_deadline(&self, verdict: Verdict) -> Verdict {
        verdict.at_deadline()
    }

    fn merge(&self, earlier: &mut Changed, later: Changed) {
        earlier.merge(later);
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Shipped;

impl Judging for Shipped {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// It is allowed, and its application is being dialled.
    Dialling,
    Gone,
    /// It waits for facts, before its application is dialled or after.
    Held {
        left: u8,
        dialled: bool,
    },
    Live,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A connection comes; the first has an identity.
    Connect { connection: usize },
    /// The application that a connection is for is there.
    Dialled { connection: usize },
    /// A connection ends.
    End { connection: usize },
    /// What has arrived is taken as one change; only a late driver has such a step.
    Hear,
    /// The workload comes, or names other policies.
    Name { names: [bool; 2] },
    /// The workload is removed.
    Remove,
    /// A policy comes, changes or goes.
    Set { policy: usize, content: Content },
    /// Time passes.
    Tick,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Step::Connect { connection } => write!(f, "connection {connection} comes"),
            Step::Dialled { connection } => write!(f, "the application of connection {connection} is there"),
            Step::End { connection } => write!(f, "connection {connection} ends"),
            Step::Hear => f.write_str("what has arrived is heard"),
            Step::Name { names: [first, second] } => {
                write!(f, "the workload names policy 0: {first}, policy 1: {second}")
            }
            Step::Remove => f.write_str("the workload is removed"),
            Step::Set { policy, content } => write!(f, "policy {policy} is {content:?}"),
            Step::Tick => f.write_str("time passes"),
        }
    }
}

/// A snapshot and the facts it must hold.
#[derive(Clone, Default)]
struct World {
    snapshot: Snapshot,
    facts: Facts,
}

/// Connections, the world they are judged by, and the one that has arrived since.
#[derive(Clone)]
pub(super) struct HoldMachine<J> {
    judging: J,
    forms: &'static [Content],
    late: bool,
    heard: World,
    arrived: World,
    /// What of the arrived world differs from the heard one.
    changed: Changed,
    connections: [Phase; 2],
    identity: Option<SpiffeId>,
}

/// Snapshots are what the facts make of them, which every state checks.
impl<J> Hash for HoldMachine<J> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Changed { workloads, removed, services, policies, policies_in, everything } = &self.changed;
        (self.heard.facts, self.arrived.facts, &self.connections).hash(state);
        (workloads, removed, services, policies, policies_in, everything).hash(state);
    }
}

fn broken<T>(rule: &str) -> Result<T, Violation> {
    Err(Violation(rule.to_owned()))
}

impl<J: Judging> HoldMachine<J> {
    /// A driver that hears each change as it arrives.
    pub(super) fn prompt(judging: J) -> Self {
        HoldMachine {
            judging,
            forms: &FORMS,
            late: false,
            heard: World::default(),
            arrived: World::default(),
            changed: Changed::default(),
            connections: [Phase::Gone; 2],
            identity: SpiffeId::new("cluster.local", facts::SOURCE, "web").ok(),
        }
    }

    /// One that hears several as one, with fewer forms of policy.
    pub(super) fn late(judging: J) -> Self {
        HoldMachine { forms: &FEW_FORMS, late: true, ..HoldMachine::prompt(judging) }
    }

    /// What the evaluator says of a connection by a snapshot; nothing where the workload is gone.
    fn verdict(&self, snapshot: &Snapshot, connection: usize) -> Option<Verdict> {
        let asked = Connection {
            identity: self.identity.as_ref().filter(|_| connection == 0),
            source: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)),
            destination: SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 80)),
        };
        snapshot.workload(UID).map(|workload| self.judging.evaluate(snapshot, workload, &asked))
    }

    fn judge(&mut self, connection: usize) {
        let verdict = self.verdict(&self.heard.snapshot, connection);
        let Some(phase) = self.connections.get_mut(connection) else { return };
        *phase = match (verdict, *phase) {
            (None | Some(Verdict::Deny(_)), _) => Phase::Gone,
            (Some(Verdict::Allow { .. }), Phase::Live | Phase::Held { dialled: true, .. }) => Phase::Live,
            (Some(Verdict::Allow { .. }), _) => Phase::Dialling,
            (Some(Verdict::Hold { .. }), held @ Phase::Held { .. }) => held,
            (Some(Verdict::Hold { .. }), phase) => Phase::Held { left: HOLD, dialled: phase == Phase::Live },
        };
    }

    fn change(&mut self, facts: Facts) -> Result<(), Violation> {
        let delta = self.arrived.facts.delta_to(&facts)?;
        let (snapshot, changed) = self.arrived.snapshot.apply(delta);
        self.arrived = World { snapshot, facts };
        self.judging.merge(&mut self.changed, changed);
        if !self.late {
            self.hear();
        }
        Ok(())
    }

    fn hear(&mut self) {
        self.heard = self.arrived.clone();
        let changed = std::mem::take(&mut self.changed);
        let affects = match self.heard.snapshot.workload(UID) {
            Some(workload) => self.judging.affects(&changed, workload),
            None => true,
        };
        for connection in 0..self.connections.len() {
            if affects && self.connections.get(connection) != Some(&Phase::Gone) {
                self.judge(connection);
            }
        }
    }

    /// Whoever is held has a tick less; the last one ends the wait.
    fn tick(&mut self) -> Result<(), Violation> {
        for connection in 0..self.connections.len() {
            let verdict = self.verdict(&self.heard.snapshot, connection);
            let Some(phase) = self.connections.get_mut(connection) else { continue };
            let Phase::Held { left, dialled } = *phase else { continue };
            *phase = Phase::Held { left: left.saturating_sub(1), dialled };
            if left > 1 {
                continue;
            }
            match verdict.map(|verdict| self.judging.at_deadline(verdict)) {
                Some(Verdict::Allow { .. }) => {
                    return broken("the end of the wait allows what is not decided");
                }
                Some(Verdict::Hold { .. }) => return broken("the end of the wait is no end"),
                Some(Verdict::Deny(_)) | None => *phase = Phase::Gone,
            }
        }
        Ok(())
    }
}

impl<J: Judging> Machine for HoldMachine<J> {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = vec![Step::Tick];
        if self.heard.facts != self.arrived.facts || !self.changed.is_empty() {
            steps.push(Step::Hear);
        }
        for (connection, phase) in self.connections.iter().enumerate() {
            match phase {
                Phase::Gone if self.heard.facts.names.is_some() => steps.push(Step::Connect { connection }),
                Phase::Gone => {}
                Phase::Dialling => {
                    steps.push(Step::Dialled { connection });
                    steps.push(Step::End { connection });
                }
                Phase::Held { .. } | Phase::Live => steps.push(Step::End { connection }),
            }
        }
        for (policy, now) in self.arrived.facts.policies.iter().enumerate() {
            let others = self.forms.iter().filter(|content| *content != now);
            steps.extend(others.map(|content| Step::Set { policy, content: *content }));
        }
        let names = [[false, false], [false, true], [true, false], [true, true]];
        let others = names.into_iter().filter(|names| self.arrived.facts.names != Some(*names));
        steps.extend(others.map(|names| Step::Name { names }));
        if self.arrived.facts.names.is_some() {
            steps.push(Step::Remove);
        }
        steps
    }

    fn apply(&mut self, step: &Step) -> Result<(), Violation> {
        let mut facts = self.arrived.facts;
        match *step {
            Step::Connect { connection } => {
                self.judge(connection);
                return Ok(());
            }
            Step::Dialled { connection } => {
                if let Some(phase) = self.connections.get_mut(connection) {
                    *phase = Phase::Live;
                }
                return Ok(());
            }
            Step::End { connection } => {
                if let Some(phase) = self.connections.get_mut(connection) {
                    *phase = Phase::Gone;
                }
                return Ok(());
            }
            Step::Hear => {
                self.hear();
                return Ok(());
            }
            Step::Tick => return self.tick(),
            Step::Name { names } => facts.names = Some(names),
            Step::Remove => facts.names = None,
            Step::Set { policy, content } => {
                if let Some(now) = facts.policies.get_mut(policy) {
                    *now = content;
                }
            }
        }
        self.change(facts)
    }

    fn check(&self) -> Result<(), Violation> {
        let World { snapshot, facts } = &self.heard;
        let fresh = Snapshot::new().apply(Facts::default().delta_to(facts)?).0;
        if !fresh.same_facts(snapshot) {
            return broken("the snapshot holds other facts than arrived");
        }
        for (connection, phase) in self.connections.iter().enumerate() {
            let verdict = self.verdict(snapshot, connection);
            if verdict != self.verdict(&fresh, connection) {
                return broken("the order in which facts arrived changes the verdict");
            }
            let answer = facts.answer(connection == 0);
            if verdict.as_ref().map(Answer::of) != answer {
                return broken("the verdict is not what the facts say");
            }
            match phase {
                Phase::Dialling | Phase::Live if answer != Some(Answer::Allow) => {
                    return broken("one lives that the facts do not allow");
                }
                Phase::Held { .. } if answer != Some(Answer::Hold) => {
                    return broken("one is held that the facts decide");
                }
                Phase::Dialling | Phase::Gone | Phase::Held { .. } | Phase::Live => {}
            }
        }
        Ok(())
    }
}
