//! What the observer of a pool knows of one key.

use std::collections::VecDeque;

use super::Step;
use crate::explore::canonical::{Id, Mint};

/// How far a tunnel has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Dialling,
    Open,
    /// It takes no streams and ends those it carries.
    Retired,
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Tunnel {
    pub(super) id: Id,
    pub(super) phase: Phase,
    /// Streams that the peer permits.
    pub(super) limit: usize,
    /// Streams that it carries.
    pub(super) streams: usize,
}

impl Tunnel {
    /// Streams that it could carry in addition, if it may carry `cap` in all.
    pub(super) fn room(&self, cap: usize) -> usize {
        self.limit.min(cap).saturating_sub(self.streams)
    }
}

/// One key: its tunnels, in the order in which they were dialled, and who waits, in the order of arrival.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Line {
    pub(super) tunnels: Vec<Tunnel>,
    pub(super) waiters: VecDeque<Id>,
    /// Streams that the last tunnel took when it opened.
    pub(super) carries: Option<usize>,
    pub(super) tunnel_ids: Mint,
    pub(super) waiter_ids: Mint,
}

impl Line {
    pub(super) fn count(&self, phase: Phase) -> usize {
        self.tunnels.iter().filter(|tunnel| tunnel.phase == phase).count()
    }

    pub(super) fn ids(&self, phase: Phase) -> Vec<Id> {
        self.tunnels.iter().filter(|tunnel| tunnel.phase == phase).map(|tunnel| tunnel.id).collect()
    }

    /// Whether the pool has reason to remember this key.
    pub(super) fn is_live(&self) -> bool {
        !self.waiters.is_empty() || self.tunnels.iter().any(|tunnel| tunnel.phase != Phase::Retired)
    }

    /// Retired tunnels without streams are closed, and of a key without tunnels and waiters nothing is kept.
    pub(super) fn forget_ended(&mut self) {
        self.tunnels.retain(|tunnel| tunnel.phase != Phase::Retired || tunnel.streams > 0);
        if !self.is_live() {
            self.carries = None;
        }
    }

    /// Dials that serve all waiters, if each tunnel takes what the last did, `cap` at most.
    pub(super) fn useful_dials(&self, cap: usize) -> usize {
        self.waiters.len().div_ceil(self.carries.unwrap_or(cap).clamp(1, cap))
    }

    /// Every event that can happen to this key; peers permit up to `cap` streams.
    pub(super) fn steps(&self, key: usize, cap: usize, steps: &mut Vec<Step>) {
        steps.push(Step::Acquire { key });
        steps.extend(self.waiters.iter().map(|waiter| Step::Cancel { key, waiter: *waiter }));
        for &Tunnel { id: tunnel, phase, limit: now, streams } in &self.tunnels {
            let limits = 0..=cap;
            match phase {
                Phase::Dialling => {
                    steps.extend(limits.map(|limit| Step::Open { key, tunnel, limit }));
                    steps.push(Step::Refuse { key, tunnel });
                }
                Phase::Open => {
                    let others = limits.filter(|limit| *limit != now);
                    steps.extend(others.map(|limit| Step::Limit { key, tunnel, limit }));
                    steps.push(Step::Retire { key, tunnel });
                }
                Phase::Retired => {}
            }
            if streams > 0 {
                steps.push(Step::EndStream { key, tunnel });
            }
            steps.push(Step::Lose { key, tunnel });
        }
        if self.count(Phase::Open) > 1 {
            steps.push(Step::Rotate { key });
        }
        if self.is_live() {
            steps.push(Step::Remove { key });
        }
    }
}
