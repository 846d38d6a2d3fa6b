//! Whose turn it is: identities that wait, that are due, and that are fetched.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Demand, FetchId};
use crate::identity::SpiffeId;
use crate::time::Time;

/// What is done about an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is fetched from this time on.
    Waiting(Time),
    /// It is due since this time and waits for others to be done.
    Due(Time),
    /// It is being fetched, until this time at most.
    Fetching(FetchId, Time),
}

/// Every identity is in one step; those that wait or are fetched are found by their time, those that are due by their demand.
#[derive(Debug)]
pub(super) struct Agenda {
    parallel: usize,
    steps: BTreeMap<SpiffeId, (Step, Demand)>,
    waiting: BTreeSet<(Time, SpiffeId)>,
    due: BTreeSet<(Reverse<Demand>, Time, SpiffeId)>,
    fetching: BTreeSet<(Time, SpiffeId)>,
}

impl Agenda {
    pub(super) fn new(parallel: usize) -> Agenda {
        Agenda {
            parallel,
            steps: BTreeMap::new(),
            waiting: BTreeSet::new(),
            due: BTreeSet::new(),
            fetching: BTreeSet::new(),
        }
    }

    /// Puts an identity into a step, whatever step it was in.
    pub(super) fn begin(&mut self, id: &SpiffeId, step: Step, demand: Demand) {
        self.forget(id);
        match step {
            Step::Waiting(at) => self.waiting.insert((at, id.clone())),
            Step::Due(since) => self.due.insert((Reverse(demand), since, id.clone())),
            Step::Fetching(_, until) => self.fetching.insert((until, id.clone())),
        };
        self.steps.insert(id.clone(), (step, demand));
    }

    pub(super) fn wait(&mut self, id: &SpiffeId, at: Time, demand: Demand) {
        self.begin(id, Step::Waiting(at), demand);
    }

    pub(super) fn forget(&mut self, id: &SpiffeId) {
        if let Some((step, demand)) = self.steps.remove(id) {
            match step {
                Step::Waiting(at) => self.waiting.remove(&(at, id.clone())),
                Step::Due(since) => self.due.remove(&(Reverse(demand), since, id.clone())),
                Step::Fetching(_, until) => self.fetching.remove(&(until, id.clone())),
            };
        }
    }

    /// It is wanted at least so much.
    pub(super) fn raise(&mut self, id: &SpiffeId, to: Demand) {
        if let Some((step, demand)) = self.steps.get(id).copied().filter(|(_, demand)| *demand < to) {
            self.begin(id, step, demand.max(to));
        }
    }

    /// One that waits does so until this time at most.
    pub(super) fn advance(&mut self, id: &SpiffeId, to: Time) {
        if let Some((Step::Waiting(at), demand)) = self.steps.get(id).copied()
            && to < at
        {
            self.wait(id, to, demand);
        }
    }

    pub(super) fn demand(&self, id: &SpiffeId) -> Demand {
        self.steps.get(id).map_or(Demand::Background, |(_, demand)| *demand)
    }

    pub(super) fn fetch_of(&self, id: &SpiffeId) -> Option<FetchId> {
        match self.steps.get(id) {
            Some((Step::Fetching(fetch, _), _)) => Some(*fetch),
            Some((Step::Waiting(_) | Step::Due(_), _)) | None => None,
        }
    }

    pub(super) fn fetching(&self) -> usize {
        self.fetching.len()
    }

    /// Whose fetch took too long.
    pub(super) fn overdue(&self, now: Time) -> Vec<SpiffeId> {
        let over = self.fetching.iter().take_while(|(until, _)| *until <= now);
        over.map(|(_, id)| id.clone()).collect()
    }

    /// The next to fetch, where fewer than the most are under way.
    pub(super) fn pop(&mut self, now: Time) -> Option<(SpiffeId, Demand)> {
        while let Some((at, id)) = self.waiting.first().filter(|(at, _)| *at <= now).cloned() {
            self.begin(&id, Step::Due(at), self.demand(&id));
        }
        planted!(FetchesUnbounded => return self.due.first().map(|(demand, _, id)| (id.clone(), demand.0)));
        if self.fetching.len() >= self.parallel {
            return None;
        }
        self.due.first().map(|(Reverse(demand), _, id)| (id.clone(), *demand))
    }

    /// When something is to be done next. What is due already waits for an answer, not for time.
    pub(super) fn next(&self) -> Option<Time> {
        [self.waiting.first(), self.fetching.first()].into_iter().flatten().map(|(at, _)| *at).min()
    }
}
