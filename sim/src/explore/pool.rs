//! The shipped pool, driven as the engine drives it, beside an observer that knows what it may do (S16, L2, B1 to B3).
//!
//! Keys are independent but for the maps they share, so one scope is wide and one deep: [`WIDE`] and [`DEEP`].

mod observer;
mod settle;
mod step;
#[cfg(test)]
mod tests;

use std::hash::Hash;

use culvert_core::hbone::pool::{Acquired, Pool, PoolLimits};

use super::canonical::Id;
use super::{Machine, Violation};
use observer::{Line, Phase, Tunnel};
pub(super) use step::Step;

/// The pool's own bounds, and those of what is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    limits: PoolLimits,
    keys: usize,
    /// Tunnels at once over all keys, those included that take no streams and end what they carry.
    tunnels: usize,
    /// Waiters at once over all keys.
    waiters: usize,
}

/// Two keys.
pub(super) const WIDE: Scope = Scope {
    limits: PoolLimits { streams_per_tunnel: 2, tunnels_per_key: 2, waiters_per_key: 3 },
    keys: 2,
    tunnels: 3,
    waiters: 4,
};

/// One key, which has more of everything.
pub(super) const DEEP: Scope = Scope {
    limits: PoolLimits { streams_per_tunnel: 2, tunnels_per_key: 3, waiters_per_key: 4 },
    keys: 1,
    tunnels: 4,
    waiters: 4,
};

/// A pool, as a driver sees it: the shipped one, and in tests one that breaks a rule.
pub(super) trait Pooling: Clone + Hash + Eq + Send + Sync {
    fn acquire(&mut self, key: usize, waiter: Id) -> Acquired<Id>;
    fn dials_wanted(&self, key: usize) -> usize;
    fn dialling(&mut self, key: usize, tunnel: Id);
    fn has_room(&mut self, tunnel: Id, room: usize) -> Vec<Id>;
    fn retired(&mut self, tunnel: Id) -> Option<usize>;
    fn failed(&mut self, tunnel: Id) -> Vec<Id>;
    fn hopeless(&mut self, key: usize) -> Vec<Id>;
    fn cancelled(&mut self, waiter: Id);
    fn knows(&self, tunnel: Id) -> bool;
    fn counts(&self) -> (usize, usize);
}

impl Pooling for Pool<usize, Id, Id> {
    fn acquire(&mut self, key: usize, waiter: Id) -> Acquired<Id> {
        Pool::acquire(self, &key, waiter)
    }

    fn dials_wanted(&self, key: usize) -> usize {
        Pool::dials_wanted(self, &key)
    }

    fn dialling(&mut self, key: usize, tunnel: Id) {
        Pool::dialling(self, &key, tunnel);
    }

    fn has_room(&mut self, tunnel: Id, room: usize) -> Vec<Id> {
        Pool::has_room(self, tunnel, room)
    }

    fn retired(&mut self, tunnel: Id) -> Option<usize> {
        Pool::retired(self, tunnel)
    }

    fn failed(&mut self, tunnel: Id) -> Vec<Id> {
        Pool::failed(self, tunnel)
    }

    fn hopeless(&mut self, key: usize) -> Vec<Id> {
        Pool::hopeless(self, &key)
    }

    fn cancelled(&mut self, waiter: Id) {
        Pool::cancelled(self, waiter);
    }

    fn knows(&self, tunnel: Id) -> bool {
        Pool::knows(self, tunnel)
    }

    fn counts(&self) -> (usize, usize) {
        Pool::counts(self)
    }
}

/// Whether the node is about to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Drain {
    /// It is not, and the alphabet has no such event.
    Never,
    NotYet,
    /// Open tunnels are retired; connections still come, and what is dialled for them serves them and retires.
    Begun,
    /// The deadline has passed: everything ended.
    Over,
}

/// A pool and its observer.
#[derive(Clone, Debug, Hash)]
pub(super) struct PoolMachine<P> {
    scope: Scope,
    lines: Vec<Line>,
    drain: Drain,
    pool: P,
}

/// The shipped pool, with or without a drain.
pub(super) fn shipped(scope: Scope, drains: bool) -> PoolMachine<Pool<usize, Id, Id>> {
    PoolMachine::new(Pool::new(scope.limits), scope, drains)
}

fn broken<T>(rule: &str) -> Result<T, Violation> {
    Err(Violation(rule.to_owned()))
}

impl<P: Pooling> PoolMachine<P> {
    pub(super) fn new(pool: P, scope: Scope, drains: bool) -> Self {
        let drain = if drains { Drain::NotYet } else { Drain::Never };
        PoolMachine { scope, lines: vec![Line::default(); scope.keys], drain, pool }
    }

    fn line(&mut self, key: usize) -> Result<&mut Line, Violation> {
        self.lines.get_mut(key).ok_or_else(|| Violation(format!("there is no key {key}")))
    }

    fn tunnel(&mut self, key: usize, id: Id) -> Result<&mut Tunnel, Violation> {
        match self.line(key)?.tunnels.iter_mut().find(|tunnel| tunnel.id == id) {
            Some(tunnel) => Ok(tunnel),
            None => broken("a stream on a tunnel that is gone, or another key's"),
        }
    }

    fn acquire(&mut self, key: usize) -> Result<(), Violation> {
        let line = self.line(key)?;
        let waiter = line.waiter_ids.next(2 * key as u64);
        self.queue(key, waiter)
    }

    /// A connection gets in line.
    fn queue(&mut self, key: usize, waiter: Id) -> Result<(), Violation> {
        let before = self.line(key)?.waiters.len();
        match self.pool.acquire(key, waiter) {
            Acquired::Tunnel(_) if before > 0 => broken("a newcomer overtook those that wait"),
            Acquired::Tunnel(tunnel) => self.carry(key, tunnel),
            Acquired::Full if before < self.scope.limits.waiters_per_key => {
                broken("turned away although one may wait")
            }
            Acquired::Full => Ok(()),
            Acquired::Waiting if before >= self.scope.limits.waiters_per_key => broken("more wait than may"),
            Acquired::Waiting => {
                self.line(key)?.waiters.push_back(waiter);
                self.dial(key)
            }
        }
    }

    /// A stream is opened on a tunnel.
    fn carry(&mut self, key: usize, id: Id) -> Result<(), Violation> {
        let cap = self.scope.limits.streams_per_tunnel;
        let tunnel = self.tunnel(key, id)?;
        if tunnel.phase != Phase::Open {
            return broken("a stream on a tunnel that is not open, or retired");
        }
        if tunnel.room(cap) == 0 {
            return broken("more streams than the tunnel has room for");
        }
        tunnel.streams += 1;
        Ok(())
    }

    /// Starts the dials that are wanted.
    fn dial(&mut self, key: usize) -> Result<(), Violation> {
        let wanted = self.pool.dials_wanted(key);
        for _ in 0..wanted {
            let line = self.line(key)?;
            let id = line.tunnel_ids.next(2 * key as u64 + 1);
            line.tunnels.push(Tunnel { id, phase: Phase::Dialling, limit: 0, streams: 0 });
            self.pool.dialling(key, id);
        }
        let limits = self.scope.limits;
        let line = self.line(key)?;
        let useful = line.useful_dials(limits.streams_per_tunnel);
        if wanted > 0 && line.count(Phase::Dialling) > useful {
            return broken("more dials than the waiters justify");
        }
        if line.count(Phase::Dialling) + line.count(Phase::Open) > self.scope.limits.tunnels_per_key {
            return broken("more tunnels than one key may have");
        }
        Ok(())
    }

    /// Tells the pool what room a tunnel has; whoever gets some of it opens a stream.
    fn offer(&mut self, key: usize, id: Id) -> Result<(), Violation> {
        let cap = self.scope.limits.streams_per_tunnel;
        let room = self.tunnel(key, id)?.room(cap);
        for waiter in self.pool.has_room(id, room) {
            self.serve(key, waiter)?;
            self.carry(key, id)?;
        }
        self.dial(key)?;
        if self.drain == Drain::Begun {
            return self.retire(key, id);
        }
        Ok(())
    }

    /// The pool lets one go on: it must be the first in line.
    fn serve(&mut self, key: usize, waiter: Id) -> Result<(), Violation> {
        let line = self.line(key)?;
        match line.waiters.pop_front() {
            Some(first) if first == waiter => Ok(()),
            _ if line.waiters.contains(&waiter) => broken("served before one that came earlier"),
            _ => broken("served although it does not wait"),
        }
    }

    /// A tunnel opens, has room and yet refuses the streams: it retires, and who was served gets in line again.
    fn refuse(&mut self, key: usize, id: Id) -> Result<(), Violation> {
        let room = self.scope.limits.streams_per_tunnel;
        let tunnel = self.tunnel(key, id)?;
        tunnel.phase = Phase::Open;
        tunnel.limit = room;
        self.line(key)?.carries = Some(room);
        let served = self.pool.has_room(id, room);
        for waiter in &served {
            self.serve(key, *waiter)?;
        }
        self.retire(key, id)?;
        for waiter in served {
            self.queue(key, waiter)?;
        }
        self.dial(key)
    }

    /// The tunnel takes no more streams and ends with its last.
    fn retire(&mut self, key: usize, id: Id) -> Result<(), Violation> {
        self.tunnel(key, id)?.phase = Phase::Retired;
        if self.pool.retired(id) != Some(key) {
            return broken("a tunnel that takes streams was not known by its key");
        }
        self.line(key)?.forget_ended();
        self.dial(key)
    }

    fn retire_open(&mut self, key: usize) -> Result<(), Violation> {
        for id in self.line(key)?.ids(Phase::Open) {
            self.retire(key, id)?;
        }
        Ok(())
    }

    /// A tunnel is lost, in whatever phase; what it carries is lost with it.
    fn lose(&mut self, key: usize, id: Id) -> Result<(), Violation> {
        let phase = self.tunnel(key, id)?.phase;
        self.line(key)?.tunnels.retain(|tunnel| tunnel.id != id);
        if phase == Phase::Dialling {
            let told = self.pool.failed(id);
            self.told(key, &told)?;
        } else {
            self.pool.retired(id);
        }
        self.line(key)?.forget_ended();
        Ok(())
    }

    /// A failure reached these: they must be all that wait.
    fn told(&mut self, key: usize, told: &[Id]) -> Result<(), Violation> {
        let line = self.line(key)?;
        if line.waiters != told {
            return broken("a failure did not reach exactly those that wait, in order");
        }
        line.waiters.clear();
        Ok(())
    }

    /// The destination is removed: all tunnels are lost, and no dial can be started.
    fn remove(&mut self, key: usize) -> Result<(), Violation> {
        let ids: Vec<Id> = self.line(key)?.tunnels.iter().map(|tunnel| tunnel.id).collect();
        for id in ids {
            self.lose(key, id)?;
        }
        let told = self.pool.hopeless(key);
        self.told(key, &told)?;
        self.line(key)?.forget_ended();
        Ok(())
    }

    fn end_stream(&mut self, key: usize, id: Id) -> Result<(), Violation> {
        let tunnel = self.tunnel(key, id)?;
        tunnel.streams = tunnel.streams.saturating_sub(1);
        if tunnel.phase == Phase::Open {
            return self.offer(key, id);
        }
        self.line(key)?.forget_ended();
        Ok(())
    }

    fn cancel(&mut self, key: usize, waiter: Id) -> Result<(), Violation> {
        self.line(key)?.waiters.retain(|other| *other != waiter);
        self.pool.cancelled(waiter);
        self.line(key)?.forget_ended();
        Ok(())
    }

    fn set_limit(&mut self, key: usize, id: Id, limit: usize) -> Result<(), Violation> {
        let cap = self.scope.limits.streams_per_tunnel;
        let tunnel = self.tunnel(key, id)?;
        let opens = tunnel.phase == Phase::Dialling;
        tunnel.phase = Phase::Open;
        tunnel.limit = limit;
        if opens {
            self.line(key)?.carries = Some(limit.min(cap));
        }
        self.offer(key, id)
    }

    fn begin_drain(&mut self) -> Result<(), Violation> {
        self.drain = Drain::Begun;
        (0..self.scope.keys).try_for_each(|key| self.retire_open(key))
    }

    /// Every connection fails, then every tunnel goes.
    fn end_drain(&mut self) -> Result<(), Violation> {
        self.drain = Drain::Over;
        for key in 0..self.scope.keys {
            for waiter in self.line(key)?.waiters.clone() {
                self.cancel(key, waiter)?;
            }
        }
        for key in 0..self.scope.keys {
            let ids: Vec<Id> = self.line(key)?.tunnels.iter().map(|tunnel| tunnel.id).collect();
            for id in ids {
                self.lose(key, id)?;
                self.dial(key)?;
            }
        }
        Ok(())
    }
}

impl<P: Pooling> Machine for PoolMachine<P> {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.drain == Drain::Over {
            return steps;
        }
        for (key, line) in self.lines.iter().enumerate() {
            line.steps(key, self.scope.limits.streams_per_tunnel, &mut steps);
        }
        match self.drain {
            Drain::NotYet => steps.push(Step::Drain),
            Drain::Begun => steps.push(Step::Deadline),
            Drain::Never | Drain::Over => {}
        }
        steps
    }

    fn apply(&mut self, step: &Step) -> Result<(), Violation> {
        match *step {
            Step::Acquire { key } => self.acquire(key),
            Step::Cancel { key, waiter } => self.cancel(key, waiter),
            Step::Deadline => self.end_drain(),
            Step::Drain => self.begin_drain(),
            Step::EndStream { key, tunnel } => self.end_stream(key, tunnel),
            Step::Limit { key, tunnel, limit } | Step::Open { key, tunnel, limit } => {
                self.set_limit(key, tunnel, limit)
            }
            Step::Lose { key, tunnel } => self.lose(key, tunnel).and_then(|()| self.dial(key)),
            Step::Refuse { key, tunnel } => self.refuse(key, tunnel),
            Step::Remove { key } => self.remove(key),
            Step::Retire { key, tunnel } => self.retire(key, tunnel),
            Step::Rotate { key } => self.retire_open(key),
        }
    }

    fn in_scope(&self) -> bool {
        self.lines.iter().map(|line| line.tunnels.len()).sum::<usize>() <= self.scope.tunnels
            && self.lines.iter().map(|line| line.waiters.len()).sum::<usize>() <= self.scope.waiters
    }

    fn check(&self) -> Result<(), Violation> {
        self.check_now()?;
        self.check_stale()?;
        self.check_served()?;
        self.check_wound_down()
    }
}
