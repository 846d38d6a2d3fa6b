//! When certificates are fetched: each before the one at hand ends, the most wanted first, never many at once.
//!
//! [`Rotation`] is a state machine as the engine is: facts in by [`handle_input`](Rotation::handle_input), effects out by
//! [`poll_output`](Rotation::poll_output), and [`next_deadline`](Rotation::next_deadline) is a pure question. Whoever drives it
//! fetches what it asks for and tells how that went; it decides when, and which credential serves meanwhile.
//!
//! Deadlines are on the monotonic clock, validity is judged by the wall clock. A wall clock that jumps forward (or a machine that
//! slept, whose monotonic clock stood still) brings renewals forward, spread over a few seconds; one that jumps backward changes
//! nothing (reliability C3).

mod agenda;
mod schedule;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::{Credential, IdentityFault, SpiffeId};
use crate::engine::boundary::Deadline;
use crate::seed::{Draws, Seed};
use crate::time::{Now, Time, WallTime};
use agenda::{Agenda, Step};

/// How much a credential is wanted; of those that are due, the most wanted is fetched first (node.md row 79).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Demand {
    /// One that is valid is at hand, and past half of its life.
    Background,
    /// A workload of this node will need it (node.md row 80).
    WarmUp,
    /// A connection waits for it.
    RealTime,
}

/// One fetch; the answer to it names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(u64);

/// What has a begin and an end: all that rotation needs to know of a credential.
pub trait Validity {
    /// The first second at which it is valid.
    fn not_before(&self) -> WallTime;
    /// The last second at which it is valid.
    fn not_after(&self) -> WallTime;
}

impl Validity for Arc<Credential> {
    fn not_before(&self) -> WallTime {
        Credential::not_before(self)
    }

    fn not_after(&self) -> WallTime {
        Credential::not_after(self)
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input<C> {
    /// Somebody wants the credential of this identity from here on, until [`Input::Dropped`].
    Wanted {
        /// Whose.
        id: SpiffeId,
        /// How much.
        demand: Demand,
    },
    /// The last workload of this identity is gone.
    Dropped {
        /// Whose.
        id: SpiffeId,
    },
    /// The answer to [`Output::Fetch`].
    Fetched {
        /// Whose credential was fetched.
        id: SpiffeId,
        /// Which fetch it was.
        fetch: FetchId,
        /// The credential, or why there is none.
        outcome: Result<C, IdentityFault>,
    },
    /// Everything at hand is to be fetched anew, whatever is left of its life.
    Renew,
    /// Time has passed: a deadline was reached.
    Tick,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<C> {
    /// Fetch a credential; answered by [`Input::Fetched`].
    Fetch {
        /// Whose.
        id: SpiffeId,
        /// The name of the fetch.
        fetch: FetchId,
        /// How much it is wanted.
        demand: Demand,
    },
    /// Whoever wants this identity uses this credential from here on. It is valid now.
    Serve {
        /// Whose.
        id: SpiffeId,
        /// The credential.
        credential: C,
    },
    /// A fetch failed. It is tried again by itself.
    Failed {
        /// Whose.
        id: SpiffeId,
        /// Why.
        fault: IdentityFault,
        /// Whether a credential that is valid is at hand and goes on serving. Otherwise whoever waits learns that there is none.
        serving: bool,
    },
    /// The identity has no workload any more: its keys are dropped (node.md row 80).
    Drop {
        /// Whose.
        id: SpiffeId,
    },
}

/// The bounds of rotation (node.md row 79).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationConfig {
    /// Fetches at a time at most.
    pub parallel: usize,
    /// After the first failure of an identity it is tried again after this; twice that after each further one.
    pub backoff: Duration,
    /// The longest back-off, before its jitter of a fifth.
    pub backoff_max: Duration,
    /// A fetch without an answer for this long counts as failed.
    pub patience: Duration,
    /// How soon after a failure a connection that waits brings the next try forward.
    pub insistence: Duration,
}

impl Default for RotationConfig {
    fn default() -> RotationConfig {
        RotationConfig {
            parallel: 8,
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(150),
            patience: Duration::from_secs(30),
            insistence: Duration::from_millis(100),
        }
    }
}

#[derive(Debug)]
struct Entry<C> {
    held: Option<C>,
    /// Failures since the last success.
    failures: u32,
    /// When the last fetch ended.
    tried: Option<Time>,
    /// Answers to fetches before this one are to somebody who is gone.
    first: FetchId,
}

/// The rotation of a node's credentials, one for each identity that has a workload here.
#[derive(Debug)]
pub struct Rotation<C> {
    config: RotationConfig,
    draws: Draws,
    latest: Now,
    /// The wall clock as it was compared with the monotonic one, when it last jumped.
    reckoned: Now,
    entries: BTreeMap<SpiffeId, Entry<C>>,
    agenda: Agenda,
    fetches: u64,
    /// The next look at the wall clock.
    look: Time,
    outputs: VecDeque<Output<C>>,
}

impl<C: Validity + Clone> Rotation<C> {
    /// A rotation that holds nothing; jitter comes from `seed`.
    pub fn new(config: RotationConfig, seed: &Seed, now: Now) -> Rotation<C> {
        Rotation {
            agenda: Agenda::new(config.parallel.max(1)),
            config,
            draws: seed.child("rotation").draws(),
            latest: now,
            reckoned: now,
            entries: BTreeMap::new(),
            fetches: 0,
            look: now.time.after(schedule::LOOK),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened. Total: an answer that nobody waits for is ignored.
    pub fn handle_input(&mut self, now: Now, input: Input<C>) {
        let now = Now { time: now.time.max(self.latest.time), wall: now.wall };
        self.latest = now;
        self.look_at_clock(now);
        match input {
            Input::Wanted { id, demand } => self.wanted(now, id, demand),
            Input::Dropped { id } => self.dropped(&id),
            Input::Fetched { id, fetch, outcome } => self.fetched(now, &id, fetch, outcome),
            Input::Renew => self.renew(now),
            Input::Tick => {}
        }
        for id in self.agenda.overdue(now.time) {
            let fault = IdentityFault::Unavailable("the source did not answer in time".into());
            self.failed(now, &id, fault);
        }
        self.start(now);
    }

    /// The next effect, in the order in which they were decided.
    pub fn poll_output(&mut self) -> Option<Output<C>> {
        self.outputs.pop_front()
    }

    /// When to send [`Input::Tick`] at the latest. Querying changes nothing.
    pub fn next_deadline(&self) -> Option<Deadline> {
        let look = Some(Deadline { at: self.look, why: "clock jump" }).filter(|_| !self.entries.is_empty());
        let due = self.agenda.next().map(|at| Deadline { at, why: "certificate renewal" });
        [look, due].into_iter().flatten().min_by_key(|deadline| deadline.at)
    }

    /// The credential that serves for this identity at this time; none that is over.
    pub fn serving(&self, id: &SpiffeId, wall: WallTime) -> Option<&C> {
        self.entries.get(id)?.held.as_ref().filter(|held| {
            planted!(RotationServesExpired => return true);
            wall <= held.not_after()
        })
    }

    /// The identities that have a workload here.
    pub fn identities(&self) -> impl Iterator<Item = &SpiffeId> {
        self.entries.keys()
    }

    /// Fetches under way.
    pub fn fetching(&self) -> usize {
        self.agenda.fetching()
    }

    fn wanted(&mut self, now: Now, id: SpiffeId, demand: Demand) {
        let next = FetchId(self.fetches);
        let entry = self.entries.entry(id.clone()).or_insert_with(|| {
            self.agenda.wait(&id, now.time, demand);
            Entry { held: None, failures: 0, tried: None, first: next }
        });
        let tried = entry.tried;
        if let Some(credential) = self.serving(&id, now.wall).cloned() {
            return self.outputs.push_back(Output::Serve { id, credential });
        }
        self.agenda.raise(&id, demand);
        if demand == Demand::RealTime {
            planted!(BackoffUnbroken => return);
            let at = tried.map_or(now.time, |tried| tried.after(self.config.insistence).max(now.time));
            self.agenda.advance(&id, at);
        }
    }

    fn dropped(&mut self, id: &SpiffeId) {
        planted!(KeysKept => return);
        if self.entries.remove(id).is_some() {
            self.agenda.forget(id);
            self.outputs.push_back(Output::Drop { id: id.clone() });
        }
    }

    fn renew(&mut self, now: Now) {
        for (id, entry) in &self.entries {
            if entry.held.is_some() {
                self.agenda.advance(id, now.time);
            }
        }
    }

    fn fetched(&mut self, now: Now, id: &SpiffeId, fetch: FetchId, outcome: Result<C, IdentityFault>) {
        let Some(entry) = self.entries.get(id).filter(|entry| entry.first <= fetch) else { return };
        let valid = entry.held.as_ref().is_some_and(|held| schedule::is_valid(held, now.wall));
        let current = self.agenda.fetch_of(id) == Some(fetch);
        if !current && (valid || outcome.is_err()) {
            // Too late, and of no use.
            return;
        }
        let outcome = outcome.and_then(|credential| {
            let (not_before, not_after) = (credential.not_before(), credential.not_after());
            if not_after < now.wall {
                Err(IdentityFault::Expired { not_after, now: now.wall })
            } else if now.wall < not_before && valid {
                Err(IdentityFault::NotYetValid { not_before, now: now.wall })
            } else {
                Ok(credential)
            }
        });
        match outcome {
            Ok(credential) => self.succeeded(now, id, credential),
            Err(fault) if current => self.failed(now, id, fault),
            Err(_) => {}
        }
    }

    fn succeeded(&mut self, now: Now, id: &SpiffeId, credential: C) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.held = Some(credential.clone());
        entry.tried = Some(now.time);
        let left = schedule::until_half(&credential, now.wall);
        planted!(RenewedAtExpiry, left = left * 2);
        let after = if left.is_zero() {
            // It was old when it came; another of that kind would not help soon.
            entry.failures = entry.failures.saturating_add(1);
            schedule::retry(&self.config, &mut self.draws, entry.failures, Some(&credential), now.wall)
        } else {
            entry.failures = 0;
            schedule::jittered(&mut self.draws, left)
        };
        self.agenda.wait(id, now.time.after(after), Demand::Background);
        self.outputs.push_back(Output::Serve { id: id.clone(), credential });
    }

    fn failed(&mut self, now: Now, id: &SpiffeId, fault: IdentityFault) {
        let demand = self.agenda.demand(id);
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.failures = entry.failures.saturating_add(1);
        entry.tried = Some(now.time);
        let serving = entry.held.as_ref().filter(|held| now.wall <= held.not_after());
        let after = schedule::retry(&self.config, &mut self.draws, entry.failures, serving, now.wall);
        let serving = serving.is_some();
        planted!(FailureDropsCredential => entry.held = None);
        let demand = if serving { Demand::Background } else { demand.max(Demand::WarmUp) };
        self.agenda.wait(id, now.time.after(after), demand);
        self.outputs.push_back(Output::Failed { id: id.clone(), fault, serving });
    }

    /// Sees whether the wall clock went another way than the monotonic one, and brings forward what that makes due.
    fn look_at_clock(&mut self, now: Now) {
        if self.look <= now.time {
            self.look = now.time.after(schedule::LOOK);
        }
        if !schedule::has_jumped(self.reckoned, now) {
            return;
        }
        let forward = schedule::is_ahead(self.reckoned, now);
        self.reckoned = now;
        if !forward {
            return;
        }
        for (id, entry) in &self.entries {
            // Who is tried again anyway is not hurried by a clock.
            let Some(held) = entry.held.as_ref().filter(|_| entry.failures == 0) else { continue };
            let left = schedule::until_half(held, now.wall);
            let after = if left.is_zero() { schedule::spread(&mut self.draws) } else { left };
            planted!(StormAfterJump, after = Duration::ZERO);
            self.agenda.advance(id, now.time.after(after));
            if now.wall > held.not_after() {
                self.agenda.raise(id, Demand::WarmUp);
            }
        }
    }

    fn start(&mut self, now: Now) {
        while let Some((id, demand)) = self.agenda.pop(now.time) {
            let fetch = FetchId(self.fetches);
            self.fetches = self.fetches.saturating_add(1);
            self.agenda.begin(&id, Step::Fetching(fetch, now.time.after(self.config.patience)), demand);
            self.outputs.push_back(Output::Fetch { id, fetch, demand });
        }
    }
}

#[cfg(test)]
mod tests;
