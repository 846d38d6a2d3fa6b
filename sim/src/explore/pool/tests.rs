use super::*;
use crate::explore::explore;

/// A rule that a pool may break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fault {
    CancelForgotten,
    DialsTooMany,
    FailureTellsOne,
    HopelessTellsNobody,
    KeepsRetired,
    LastFirst,
    NoSecondDial,
    OneDialOnly,
    RoomOneMore,
    RoomOnlyOnce,
    WaitsBesideRoom,
}

/// The shipped pool behind a wrapper that breaks one rule.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Faulty {
    inner: Pool<usize, Id, Id>,
    fault: Fault,
}

impl Pooling for Faulty {
    fn acquire(&mut self, key: usize, waiter: Id) -> Acquired<Id> {
        match Pooling::acquire(&mut self.inner, key, waiter) {
            // The stream is counted but never opened: it gets in line instead.
            Acquired::Tunnel(_) if self.fault == Fault::WaitsBesideRoom => Acquired::Waiting,
            acquired => acquired,
        }
    }

    fn dials_wanted(&self, key: usize) -> usize {
        let wanted = Pooling::dials_wanted(&self.inner, key);
        match self.fault {
            Fault::DialsTooMany if wanted > 0 => wanted + 1,
            // Once per key, then no more.
            Fault::OneDialOnly if self.inner.knows(Id((2 * key as u64 + 1) << 32 | 1)) => 0,
            Fault::NoSecondDial if self.inner.counts().0 > 1 => 0,
            _ => wanted,
        }
    }

    fn dialling(&mut self, key: usize, tunnel: Id) {
        Pooling::dialling(&mut self.inner, key, tunnel);
    }

    fn has_room(&mut self, tunnel: Id, room: usize) -> Vec<Id> {
        let more = usize::from(self.fault == Fault::RoomOneMore && room > 0);
        if self.fault == Fault::RoomOnlyOnce && room == 1 {
            return Vec::new();
        }
        let mut served = self.inner.has_room(tunnel, room + more);
        if self.fault == Fault::LastFirst {
            served.reverse();
        }
        served
    }

    fn retired(&mut self, tunnel: Id) -> Option<usize> {
        if self.fault == Fault::KeepsRetired {
            return self.inner.knows(tunnel).then_some(usize::from(tunnel.0 >> 33 > 0));
        }
        self.inner.retired(tunnel)
    }

    fn failed(&mut self, tunnel: Id) -> Vec<Id> {
        let mut told = self.inner.failed(tunnel);
        if self.fault == Fault::FailureTellsOne {
            told.truncate(1);
        }
        told
    }

    fn hopeless(&mut self, key: usize) -> Vec<Id> {
        if self.fault == Fault::HopelessTellsNobody {
            return Vec::new();
        }
        Pooling::hopeless(&mut self.inner, key)
    }

    fn cancelled(&mut self, waiter: Id) {
        if self.fault != Fault::CancelForgotten {
            self.inner.cancelled(waiter);
        }
    }

    fn knows(&self, tunnel: Id) -> bool {
        self.inner.knows(tunnel)
    }

    fn counts(&self) -> (usize, usize) {
        self.inner.counts()
    }
}

#[test]
fn each_fault_is_found_by_a_shortest_path() {
    let unheard = "a failure did not reach exactly those that wait, in order";
    let faults = [
        (Fault::CancelForgotten, 1, unheard),
        (Fault::DialsTooMany, 1, "more dials than the waiters justify"),
        (Fault::FailureTellsOne, 3, unheard),
        (Fault::HopelessTellsNobody, 4, unheard),
        (Fault::KeepsRetired, 2, "the pool keeps something of nothing"),
        (Fault::LastFirst, 3, "served before one that came earlier"),
        (Fault::NoSecondDial, 2, "one waits without a dial or a tunnel"),
        (Fault::OneDialOnly, 2, "fewer dials than the waiters justify"),
        (Fault::RoomOneMore, 2, "more streams than the tunnel has room for"),
        (Fault::RoomOnlyOnce, 1, "one waits for ever although every tunnel opens and every stream ends"),
        (Fault::WaitsBesideRoom, 3, "one waits although a tunnel of its key has room"),
    ];
    for (drains, (fault, length, rule)) in [false, true].into_iter().flat_map(|d| faults.map(|f| (d, f))) {
        let pool = Faulty { inner: Pool::new(WIDE.limits), fault };
        let found = explore(PoolMachine::new(pool, WIDE, drains), 6).counterexample.unwrap();
        let seen = (found.path.len(), found.violation.0.as_str());
        assert_eq!(seen, (length, rule), "{fault:?}, drains: {drains}");
    }
    // Where there is no second key, this one never shows.
    for (fault, _, rule) in faults.into_iter().filter(|(fault, ..)| *fault != Fault::NoSecondDial) {
        let pool = Faulty { inner: Pool::new(DEEP.limits), fault };
        let found = explore(PoolMachine::new(pool, DEEP, false), 6).counterexample.unwrap();
        assert_eq!(found.violation.0, rule, "{fault:?}");
    }
}

#[test]
fn no_order_of_events_breaks_the_shipped_pool() {
    let found = explore(shipped(WIDE, false), 8);
    assert!(found.counterexample.is_none(), "{:?}", found.counterexample);
    assert!(found.states > 10_000 && found.depth == 8, "{} states, depth {}", found.states, found.depth);
}

#[test]
fn nor_with_a_drain() {
    let found = explore(shipped(WIDE, true), 8);
    assert!(found.counterexample.is_none(), "{:?}", found.counterexample);
    assert!(found.states > 10_000 && found.depth == 8, "{} states, depth {}", found.states, found.depth);
}

#[test]
fn nor_with_more_of_one_key() {
    let found = explore(shipped(DEEP, false), 8);
    assert!(found.counterexample.is_none(), "{:?}", found.counterexample);
    assert!(found.states > 10_000 && found.depth == 8, "{} states, depth {}", found.states, found.depth);
}
