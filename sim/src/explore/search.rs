//! The search itself: breadth first, on several threads, with the same outcome whatever their number.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::num::NonZeroUsize;
use std::thread;

use super::{Bounds, Counterexample, Exploration, Machine, Violation, canonical};

/// States whose events are tried before any of what they lead to is kept: a bound on memory, and not on the number of threads,
/// so that this number decides nothing.
const BATCH: usize = 1 << 12;

/// The hashes of all states seen. They are as random as a hash of them would be.
type Seen = HashSet<u128, BuildHasherDefault<LowBits>>;

#[derive(Default)]
struct LowBits(u64);

impl Hasher for LowBits {
    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A state that one event led to, or the rule that the event broke.
struct Candidate<M: Machine> {
    /// The place of the state before, in all that were seen.
    parent: u32,
    step: M::Step,
    /// Events that its thread had tried, this one included.
    tried: usize,
    reached: Result<(u128, M), Violation>,
}

/// What a thread made of its share of a batch.
struct Share<M: Machine> {
    candidates: Vec<Candidate<M>>,
    tried: usize,
}

/// A state's way from the start: its parent's place and the event between; absent for the start.
struct Ways<S>(Vec<Option<(u32, S)>>);

impl<S: Clone> Ways<S> {
    fn path(&self, mut at: u32, last: Option<S>) -> Vec<S> {
        let mut path: Vec<S> = last.into_iter().collect();
        while let Some(Some((parent, step))) = self.0.get(at as usize) {
            path.push(step.clone());
            at = *parent;
        }
        path.reverse();
        path
    }
}

struct Search<M: Machine> {
    jobs: usize,
    seen: Seen,
    ways: Ways<M::Step>,
    found: Exploration<M::Step>,
}

/// Visits every state that `bounds` permit, breadth first, until a violation.
pub(super) fn search<M: Machine>(start: M, bounds: &Bounds) -> Exploration<M::Step> {
    let mut search = Search {
        jobs: bounds.jobs.map_or(1, NonZeroUsize::get),
        seen: Seen::from_iter([canonical::hash_of(&start)]),
        ways: Ways(vec![None]),
        found: Exploration { states: 1, transitions: 0, depth: 0, complete: false, counterexample: None },
    };
    if let Err(violation) = start.check() {
        search.found.counterexample = Some(Counterexample { path: Vec::new(), violation });
        return search.found;
    }
    let mut frontier = vec![(start, 0)];
    for level in 1..=bounds.depth {
        let mut next = Vec::new();
        let mut left = std::mem::take(&mut frontier).into_iter();
        while left.len() > 0 && search.found.states < bounds.states {
            let batch: Vec<(M, u32)> = left.by_ref().take(BATCH).collect();
            if !search.expand(&batch, level, &mut next) {
                return search.found;
            }
        }
        let cut_short = left.len() > 0;
        frontier = next;
        if cut_short || frontier.is_empty() {
            search.found.complete = !cut_short;
            break;
        }
    }
    search.found
}

impl<M: Machine> Search<M> {
    /// Tries every event of a batch and keeps what is new; false if that broke a rule.
    fn expand(&mut self, batch: &[(M, u32)], level: usize, next: &mut Vec<(M, u32)>) -> bool {
        let shares = in_parallel(self.jobs, batch, |states| try_all(&self.seen, states));
        let mut fresh: Vec<Candidate<M>> = Vec::new();
        let mut broken = None;
        let mut tried = 0;
        'shares: for share in shares {
            for mut candidate in share.candidates {
                candidate.tried += tried;
                match &candidate.reached {
                    Ok((hash, _)) if self.seen.insert(*hash) => fresh.push(candidate),
                    Ok(_) => {}
                    Err(violation) => {
                        broken = Some((fresh.len(), violation.clone(), candidate));
                        break 'shares;
                    }
                }
            }
            tried += share.tried;
        }
        let checked = in_parallel(self.jobs, &fresh, first_broken);
        let chunk = fresh.len().div_ceil(self.jobs).max(1);
        let first = checked
            .into_iter()
            .enumerate()
            .find_map(|(share, found)| found.map(|(index, violation)| (share * chunk + index, violation)));
        if let Some((index, violation)) = first {
            let candidate = fresh.swap_remove(index);
            broken = Some((index, violation, candidate));
        }
        let whole = broken.is_none();
        let kept = broken.as_ref().map_or(fresh.len(), |(index, ..)| *index);
        self.found.states += kept;
        if kept > 0 {
            self.found.depth = level;
        }
        if let Some((_, violation, Candidate { parent, step, tried, .. })) = broken {
            self.found.transitions += tried;
            let path = self.ways.path(parent, Some(step));
            self.found.counterexample = Some(Counterexample { path, violation });
            return whole;
        }
        self.found.transitions += tried;
        for Candidate { parent, step, reached, .. } in fresh {
            if let Ok((_, state)) = reached {
                next.push((state, u32::try_from(self.ways.0.len()).unwrap_or(u32::MAX)));
                self.ways.0.push(Some((parent, step)));
            }
        }
        whole
    }
}

/// Every event of these states, as far as it leads to what was not seen before.
fn try_all<M: Machine>(seen: &Seen, states: &[(M, u32)]) -> Share<M> {
    let mut share = Share { candidates: Vec::new(), tried: 0 };
    for (state, parent) in states {
        for step in state.steps() {
            share.tried += 1;
            let mut next = state.clone();
            let reached = match next.apply(&step) {
                Err(violation) => Err(violation),
                Ok(()) if !next.in_scope() => continue,
                Ok(()) => {
                    let hash = canonical::hash_of(&next);
                    if seen.contains(&hash) {
                        continue;
                    }
                    Ok((hash, next))
                }
            };
            share.candidates.push(Candidate { parent: *parent, step, tried: share.tried, reached });
        }
    }
    share
}

/// The first state in which a rule does not hold.
fn first_broken<M: Machine>(states: &[Candidate<M>]) -> Option<(usize, Violation)> {
    states.iter().enumerate().find_map(|(index, candidate)| match &candidate.reached {
        Ok((_, state)) => state.check().err().map(|violation| (index, violation)),
        Err(_) => None,
    })
}

/// Lets each of `jobs` threads work on an equal part of `items`; results come in the order of the parts.
fn in_parallel<T: Sync, R: Send>(jobs: usize, items: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let chunk = items.len().div_ceil(jobs).max(1);
    let mut parts = items.chunks(chunk);
    let (Some(first), work) = (parts.next(), &work) else { return Vec::new() };
    thread::scope(|scope| {
        let others: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let mut results = vec![work(first)];
        for other in others {
            match other.join() {
                Ok(result) => results.push(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    })
}
