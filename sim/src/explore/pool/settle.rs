//! What must hold in every state of a pool, and in those that it settles into.

use super::{Drain, Id, Machine, Phase, PoolMachine, Pooling, Step, Violation, broken};

/// Rounds within which all that wait are served, if every dial opens and every stream ends: no line is longer.
const ROUNDS: usize = 8;

impl<P: Pooling> PoolMachine<P> {
    /// L2: nobody waits for nothing, nor beside room; and the pool knows what it must and no more.
    pub(super) fn check_now(&self) -> Result<(), Violation> {
        let cap = self.scope.limits.streams_per_tunnel;
        for line in &self.lines {
            let open = || line.tunnels.iter().filter(|tunnel| tunnel.phase == Phase::Open);
            if !line.waiters.is_empty() {
                if open().any(|tunnel| tunnel.room(cap) > 0) {
                    return broken("one waits although a tunnel of its key has room");
                }
                if line.count(Phase::Dialling) == 0 && open().next().is_none() {
                    return broken("one waits without a dial or a tunnel");
                }
            }
            let possible = self.scope.limits.tunnels_per_key.saturating_sub(line.count(Phase::Open));
            if line.count(Phase::Dialling) < line.useful_dials(cap).min(possible) {
                return broken("fewer dials than the waiters justify");
            }
            if line
                .tunnels
                .iter()
                .any(|tunnel| self.pool.knows(tunnel.id) != (tunnel.phase != Phase::Retired))
            {
                return broken("the pool knows other tunnels than those that take streams or are dialled");
            }
        }
        let waiters = self.lines.iter().map(|line| line.waiters.len()).sum();
        let keys = self.lines.iter().filter(|line| line.is_live()).count();
        if self.pool.counts() != (keys, waiters) {
            return broken("the pool keeps keys or waiters that are none, or has lost some");
        }
        if self.drain == Drain::Over && keys > 0 {
            return broken("something is left after the drain");
        }
        Ok(())
    }

    /// Words that come late, of tunnels and connections that the pool no longer has, change nothing.
    pub(super) fn check_stale(&self) -> Result<(), Violation> {
        let mut pool = self.pool.clone();
        let unknown = Id(u64::MAX);
        let retired = self.lines.iter().flat_map(|line| line.ids(Phase::Retired));
        for tunnel in retired.chain([unknown]) {
            if !pool.has_room(tunnel, 1).is_empty() {
                return broken("room on a retired tunnel was given away");
            }
            if pool.retired(tunnel).is_some() || !pool.failed(tunnel).is_empty() {
                return broken("the end of a retired tunnel was news");
            }
        }
        pool.cancelled(unknown);
        if pool != self.pool { broken("a late word changed the pool") } else { Ok(()) }
    }

    /// From here, if every dial opens, every peer permits a stream and every stream ends, all that wait are served.
    pub(super) fn check_served(&self) -> Result<(), Violation> {
        let mut settled = self.clone();
        for _ in 0..ROUNDS {
            if settled.lines.iter().all(|line| line.waiters.is_empty()) {
                return Ok(());
            }
            for (key, line) in settled.lines.clone().iter().enumerate() {
                for tunnel in &line.tunnels {
                    let (id, limit) = (tunnel.id, tunnel.limit.max(1));
                    for _ in 0..tunnel.streams {
                        settled.apply(&Step::EndStream { key, tunnel: id })?;
                    }
                    if tunnel.phase != Phase::Retired && tunnel.limit == 0 {
                        settled.apply(&Step::Limit { key, tunnel: id, limit })?;
                    }
                }
            }
        }
        broken("one waits for ever although every tunnel opens and every stream ends")
    }

    /// From here, once nobody waits and every tunnel is gone, the pool is empty.
    pub(super) fn check_wound_down(&self) -> Result<(), Violation> {
        let mut settled = self.clone();
        for (key, line) in self.lines.iter().enumerate() {
            for waiter in &line.waiters {
                settled.cancel(key, *waiter)?;
            }
            for tunnel in &line.tunnels {
                settled.lose(key, tunnel.id)?;
                settled.dial(key)?;
            }
        }
        match settled.pool.counts() {
            (0, 0) => Ok(()),
            _ => broken("the pool keeps something of nothing"),
        }
    }
}
