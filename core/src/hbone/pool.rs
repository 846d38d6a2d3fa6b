//! Which tunnel carries a connection: one small state machine for each key (node.md 1.3, B1 to B3).
//!
//! **Internal**: for the simulator, the fuzz targets and the tests of this workspace; no part of the interface, and may change
//! with any version.
//!
//! The pool knows nothing of bytes, sockets or time. It is told what happened to tunnels and connections and answers with
//! who gets which tunnel and whether to dial. A stalled peer delays nobody but its own key, and the outcome of a dial
//! reaches every waiter of the key at once.

use std::collections::{BTreeMap, VecDeque};

/// The bounds of each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolLimits {
    /// Streams that one tunnel is expected to carry; how many dials the waiters justify follows from it.
    pub streams_per_tunnel: usize,
    /// Tunnels for one key at most.
    pub tunnels_per_key: usize,
    /// Waiters for one key at most.
    pub waiters_per_key: usize,
}

/// The answer to [`Pool::acquire`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acquired<T> {
    /// Open a stream on this tunnel now; the pool has counted it.
    Tunnel(T),
    /// Wait; a tunnel is assigned, or the failure told, later.
    Waiting,
    /// Too many wait already.
    Full,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry<T, W> {
    /// Dials in progress.
    dialling: Vec<T>,
    /// Tunnels that take streams, oldest first, with the room that each has left.
    open: Vec<(T, usize)>,
    waiters: VecDeque<W>,
    /// Streams that the last tunnel took when it opened: what peers permit is known only then.
    carries: Option<usize>,
}

impl<T, W> Default for Entry<T, W> {
    fn default() -> Self {
        Entry { dialling: Vec::new(), open: Vec::new(), waiters: VecDeque::new(), carries: None }
    }
}

/// All keys of one engine. `K` names who talks to whom, `T` a tunnel, `W` a connection that wants one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pool<K, T, W> {
    limits: PoolLimits,
    entries: BTreeMap<K, Entry<T, W>>,
    key_of_tunnel: BTreeMap<T, K>,
    key_of_waiter: BTreeMap<W, K>,
}

impl<K: Ord + Clone, T: Ord + Copy, W: Ord + Copy> Pool<K, T, W> {
    /// An empty pool.
    pub fn new(limits: PoolLimits) -> Self {
        Pool {
            limits,
            entries: BTreeMap::new(),
            key_of_tunnel: BTreeMap::new(),
            key_of_waiter: BTreeMap::new(),
        }
    }

    /// A connection wants a stream. Follow with [`Pool::dials_wanted`].
    pub fn acquire(&mut self, key: &K, waiter: W) -> Acquired<T> {
        let entry = self.entries.entry(key.clone()).or_default();
        if entry.waiters.is_empty()
            && let Some((tunnel, room)) = entry.open.iter_mut().find(|(_, room)| *room > 0)
        {
            *room -= 1;
            return Acquired::Tunnel(*tunnel);
        }
        if entry.waiters.len() >= self.limits.waiters_per_key {
            return Acquired::Full;
        }
        entry.waiters.push_back(waiter);
        self.key_of_waiter.insert(waiter, key.clone());
        Acquired::Waiting
    }

    /// How many dials to start for this key now: enough for its waiters, within the bound on tunnels.
    pub fn dials_wanted(&self, key: &K) -> usize {
        let Some(entry) = self.entries.get(key) else { return 0 };
        let carries = entry.carries.unwrap_or(usize::MAX).min(self.limits.streams_per_tunnel).max(1);
        let useful = entry.waiters.len().div_ceil(carries);
        let possible = self.limits.tunnels_per_key.saturating_sub(entry.dialling.len() + entry.open.len());
        planted!(HerdOfDials => return useful.min(possible));
        useful.saturating_sub(entry.dialling.len()).min(possible)
    }

    /// A dial was started.
    pub fn dialling(&mut self, key: &K, tunnel: T) {
        self.entries.entry(key.clone()).or_default().dialling.push(tunnel);
        self.key_of_tunnel.insert(tunnel, key.clone());
    }

    /// The tunnel has room for so many more streams: it opened, the peer changed its limit, or a stream ended. Returns
    /// the waiters that get one of them, in the order of their arrival.
    pub fn has_room(&mut self, tunnel: T, room: usize) -> Vec<W> {
        let Some(entry) = self.key_of_tunnel.get(&tunnel).and_then(|key| self.entries.get_mut(key)) else {
            return Vec::new();
        };
        entry.dialling.retain(|t| *t != tunnel);
        planted!(LastComeFirstServed => entry.waiters.make_contiguous().reverse());
        let served: Vec<W> = entry.waiters.drain(..room.min(entry.waiters.len())).collect();
        let left = room - served.len();
        planted!(RoomGivenTwice, left = room);
        match entry.open.iter_mut().find(|(t, _)| *t == tunnel) {
            Some((_, room)) => *room = left,
            None => {
                entry.carries = Some(room);
                entry.open.push((tunnel, left));
            }
        }
        for waiter in &served {
            self.key_of_waiter.remove(waiter);
        }
        served
    }

    /// The tunnel takes no more streams: GOAWAY, rotation, age, or its end. What it carries is not the pool's concern.
    /// Waiters stay: follow with [`Pool::dials_wanted`] for the key returned.
    pub fn retired(&mut self, tunnel: T) -> Option<K> {
        planted!(RetiredTakesStreams => return self.key_of_tunnel.get(&tunnel).cloned());
        let key = self.key_of_tunnel.remove(&tunnel)?;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.dialling.retain(|t| *t != tunnel);
            entry.open.retain(|(t, _)| *t != tunnel);
        }
        self.forget_if_empty(&key);
        Some(key)
    }

    /// A dial failed. Every waiter of its key learns it now, whatever else is being dialled (B2).
    pub fn failed(&mut self, tunnel: T) -> Vec<W> {
        let Some(key) = self.key_of_tunnel.remove(&tunnel) else { return Vec::new() };
        let mut told = Vec::new();
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.dialling.retain(|t| *t != tunnel);
            entry.open.retain(|(t, _)| *t != tunnel);
            told = entry.waiters.drain(..).collect();
            planted!(FailureTellsOne => entry.waiters.extend(told.split_off(told.len().min(1))));
            for waiter in &told {
                self.key_of_waiter.remove(waiter);
            }
        }
        self.forget_if_empty(&key);
        told
    }

    /// No dial can even be started for this key: its waiters learn it now.
    pub fn hopeless(&mut self, key: &K) -> Vec<W> {
        let told: Vec<W> =
            self.entries.get_mut(key).map(|entry| entry.waiters.drain(..).collect()).unwrap_or_default();
        for waiter in &told {
            self.key_of_waiter.remove(waiter);
        }
        self.forget_if_empty(key);
        told
    }

    /// The connection no longer waits.
    pub fn cancelled(&mut self, waiter: W) {
        let Some(key) = self.key_of_waiter.remove(&waiter) else { return };
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.waiters.retain(|w| *w != waiter);
        }
        self.forget_if_empty(&key);
    }

    /// How many waiters of this key have no dial to hope for: they get room when a stream ends.
    pub fn crowded(&self, key: &K) -> usize {
        self.entries.get(key).filter(|entry| entry.dialling.is_empty()).map_or(0, |entry| entry.waiters.len())
    }

    /// The tunnels of this key that take streams, oldest first, though they may be full.
    pub fn open(&self, key: &K) -> impl Iterator<Item = T> {
        self.entries.get(key).into_iter().flat_map(|entry| entry.open.iter().map(|(tunnel, _)| *tunnel))
    }

    /// Whether a tunnel of this key takes streams or is being dialled.
    pub fn knows(&self, tunnel: T) -> bool {
        self.key_of_tunnel.contains_key(&tunnel)
    }

    /// Number of keys, and of waiters over all keys.
    pub fn counts(&self) -> (usize, usize) {
        (self.entries.len(), self.key_of_waiter.len())
    }

    fn forget_if_empty(&mut self, key: &K) {
        if self
            .entries
            .get(key)
            .is_some_and(|e| e.dialling.is_empty() && e.open.is_empty() && e.waiters.is_empty())
        {
            self.entries.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::{Arbitrary, Gen, quickcheck};

    const NONE: [u32; 0] = [];

    fn pool() -> Pool<u8, u32, u32> {
        Pool::new(PoolLimits { streams_per_tunnel: 2, tunnels_per_key: 3, waiters_per_key: 5 })
    }

    #[test]
    fn one_dial_serves_the_waiters_of_its_key_in_order() {
        let mut pool = pool();
        assert_eq!(pool.acquire(&1, 10), Acquired::Waiting);
        assert_eq!(pool.dials_wanted(&1), 1);
        pool.dialling(&1, 100);
        assert_eq!(pool.acquire(&1, 11), Acquired::Waiting);
        assert_eq!(pool.dials_wanted(&1), 0);
        assert_eq!(pool.has_room(100, 2), vec![10, 11]);
        assert_eq!(pool.acquire(&1, 12), Acquired::Waiting);
        assert_eq!(pool.dials_wanted(&1), 1, "demand above one tunnel's limit opens another");
        assert_eq!(pool.has_room(100, 1), vec![12], "a tunnel that was full takes streams again");
        assert_eq!(pool.dials_wanted(&1), 0);
    }

    #[test]
    fn a_failed_dial_reaches_every_waiter_of_its_key_and_no_other() {
        let mut pool = pool();
        for waiter in 0..4 {
            assert_eq!(pool.acquire(&1, waiter), Acquired::Waiting);
        }
        assert_eq!(pool.acquire(&2, 9), Acquired::Waiting);
        pool.dialling(&1, 100);
        pool.dialling(&1, 101);
        pool.dialling(&2, 200);
        assert_eq!(pool.failed(100), vec![0, 1, 2, 3]);
        assert_eq!(pool.failed(101), Vec::<u32>::new());
        assert_eq!(pool.has_room(200, 1), vec![9]);
        assert_eq!(pool.counts(), (1, 0));
    }

    #[test]
    fn a_retired_tunnel_takes_no_stream() {
        let mut pool = pool();
        assert_eq!(pool.acquire(&1, 1), Acquired::Waiting);
        pool.dialling(&1, 100);
        assert_eq!(pool.has_room(100, 2), vec![1]);
        assert_eq!(pool.retired(100), Some(1));
        assert_eq!(pool.has_room(100, 2), Vec::<u32>::new(), "room on a retired tunnel is nobody's");
        assert_eq!(pool.acquire(&1, 2), Acquired::Waiting);
        assert_eq!(pool.dials_wanted(&1), 1);
    }

    #[test]
    fn waiters_are_bounded() {
        let mut pool = pool();
        for waiter in 0..5 {
            assert_eq!(pool.acquire(&1, waiter), Acquired::Waiting);
        }
        assert_eq!(pool.acquire(&1, 5), Acquired::Full);
        pool.cancelled(0);
        assert_eq!(pool.acquire(&1, 6), Acquired::Waiting);
    }

    #[test]
    fn room_is_counted_down_and_belongs_to_its_own_tunnel() {
        let mut pool = pool();
        for waiter in 0..2 {
            assert_eq!(pool.acquire(&1, waiter), Acquired::Waiting);
        }
        pool.dialling(&1, 100);
        pool.dialling(&1, 101);
        assert_eq!(pool.has_room(100, 1), [0]);
        assert_eq!(pool.has_room(101, 2), [1]);
        assert_eq!(pool.acquire(&1, 2), Acquired::Tunnel(101));
        assert_eq!(pool.acquire(&1, 3), Acquired::Waiting, "101 had room for one more");
        assert_eq!(pool.has_room(100, 2), [3]);
        assert_eq!(pool.acquire(&1, 4), Acquired::Tunnel(100));
        assert_eq!(pool.acquire(&1, 5), Acquired::Waiting);
        // Told anew, room replaces what was known; it does not come on top.
        assert_eq!(pool.has_room(101, 3), [5]);
        assert_eq!(pool.has_room(101, 1), NONE);
        assert_eq!(pool.acquire(&1, 6), Acquired::Tunnel(101));
        assert_eq!(pool.acquire(&1, 7), Acquired::Waiting);
    }

    #[test]
    fn dials_and_open_tunnels_are_bounded_together() {
        let mut pool = pool();
        pool.dialling(&1, 100);
        assert_eq!(pool.has_room(100, 0), NONE);
        for waiter in 0..5 {
            assert_eq!(pool.acquire(&1, waiter), Acquired::Waiting);
        }
        pool.dialling(&1, 101);
        assert_eq!(pool.dials_wanted(&1), 1, "one is open, one is dialled, three are the bound");
        pool.dialling(&1, 102);
        assert_eq!(pool.dials_wanted(&1), 0);
        assert_eq!(pool.dials_wanted(&2), 0, "nobody waits there");
    }

    #[test]
    fn where_no_dial_can_start_all_that_wait_are_told() {
        let mut pool = pool();
        for waiter in 0..3 {
            assert_eq!(pool.acquire(&1, waiter), Acquired::Waiting);
        }
        assert_eq!(pool.acquire(&2, 3), Acquired::Waiting);
        assert_eq!(pool.hopeless(&1), [0, 1, 2]);
        assert_eq!(pool.hopeless(&1), NONE);
        assert_eq!(pool.counts(), (1, 1), "the other key has its waiter, and nothing is kept of the first");
        pool.cancelled(0);
        assert_eq!(pool.counts(), (1, 1));
    }

    #[test]
    fn a_key_is_kept_while_anything_of_it_is_alive() {
        let mut pool = pool();
        assert_eq!(pool.acquire(&1, 1), Acquired::Waiting);
        pool.dialling(&1, 100);
        assert!(pool.knows(100) && !pool.knows(101));
        pool.cancelled(1);
        assert_eq!(pool.counts(), (1, 0), "a dial is under way");
        assert_eq!(pool.has_room(100, 2), NONE);
        assert_eq!(pool.hopeless(&1), NONE);
        assert_eq!(pool.acquire(&1, 2), Acquired::Tunnel(100), "an open tunnel outlives those that waited");
        pool.dialling(&1, 101);
        assert_eq!(pool.acquire(&1, 3), Acquired::Tunnel(100));
        assert_eq!(pool.acquire(&1, 4), Acquired::Waiting);
        assert_eq!(pool.retired(100), Some(1));
        assert_eq!(pool.retired(100), None);
        assert!(!pool.knows(100));
        assert_eq!(pool.retired(101), Some(1));
        assert_eq!(pool.counts(), (1, 1), "somebody waits");
        pool.cancelled(4);
        assert_eq!(pool.counts(), (0, 0));
    }

    /// A key of many whose hash has two bits: what tells keys apart by their hash mixes these up.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Colliding(u8);

    impl std::hash::Hash for Colliding {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            state.write_u8(self.0 & 3);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Acquire(u8),
        Dial(u8),
        Room(u8, u8),
        Retire(u8),
        Fail(u8),
        Cancel(u8),
    }

    impl Arbitrary for Step {
        fn arbitrary(g: &mut Gen) -> Step {
            let n = u8::arbitrary(g) % 6;
            match u8::arbitrary(g) % 6 {
                0 => Step::Acquire(n % 2),
                1 => Step::Dial(n % 2),
                2 => Step::Room(n, u8::arbitrary(g) % 4),
                3 => Step::Retire(n),
                4 => Step::Fail(n),
                _ => Step::Cancel(n),
            }
        }
    }

    quickcheck! {
        /// Attack A29: equality decides which pool somebody is in, whatever hashes say.
        fn keys_whose_hashes_collide_share_no_tunnel(steps: Vec<(u8, bool, u8)>) -> bool {
            let limits = PoolLimits { streams_per_tunnel: 2, tunnels_per_key: 2, waiters_per_key: 3 };
            let mut pool: Pool<Colliding, (Colliding, u32), (Colliding, u32)> = Pool::new(limits);
            let mut tunnels: Vec<(Colliding, u32)> = Vec::new();
            let own = |key: Colliding, got: &[(Colliding, u32)]| got.iter().all(|waiter| waiter.0 == key);
            (0..).zip(steps).all(|(number, (key, acquires, room))| {
                let key = Colliding(key % 32);
                let fair = match acquires {
                    true => !matches!(pool.acquire(&key, (key, number)), Acquired::Tunnel(t) if t.0 != key),
                    false => match tunnels.get(usize::from(room) % (tunnels.len() + 1)).copied() {
                        Some(tunnel) if room % 5 == 0 => own(tunnel.0, &pool.failed(tunnel)),
                        Some(tunnel) if room % 5 == 1 => pool.retired(tunnel).is_none_or(|key| key == tunnel.0),
                        Some(tunnel) => own(tunnel.0, &pool.has_room(tunnel, usize::from(room % 4))),
                        None => own(key, &pool.hopeless(&key)),
                    },
                };
                for _ in 0..pool.dials_wanted(&key) {
                    pool.dialling(&key, (key, number));
                    tunnels.push((key, number));
                }
                fair
            })
        }

        /// Every waiter has exactly one outcome, and a quiescent pool keeps nothing.
        fn no_waiter_is_lost_or_served_twice(steps: Vec<Step>) -> bool {
            let mut pool = pool();
            let (mut next_waiter, mut next_tunnel) = (0u32, 0u32);
            let mut waiting = std::collections::BTreeSet::new();
            for step in steps {
                let told = match step {
                    Step::Acquire(key) => {
                        next_waiter += 1;
                        if pool.acquire(&key, next_waiter) == Acquired::Waiting { waiting.insert(next_waiter); }
                        Vec::new()
                    }
                    Step::Dial(key) => {
                        for _ in 0..pool.dials_wanted(&key) { pool.dialling(&key, next_tunnel); next_tunnel += 1; }
                        Vec::new()
                    }
                    Step::Room(tunnel, room) => pool.has_room(u32::from(tunnel), usize::from(room)),
                    Step::Retire(tunnel) => { pool.retired(u32::from(tunnel)); Vec::new() }
                    Step::Fail(tunnel) => pool.failed(u32::from(tunnel)),
                    Step::Cancel(waiter) => {
                        pool.cancelled(u32::from(waiter));
                        waiting.remove(&u32::from(waiter));
                        Vec::new()
                    }
                };
                for waiter in told {
                    if !waiting.remove(&waiter) { return false; }
                }
                if pool.counts().1 != waiting.len() { return false; }
            }
            for waiter in waiting { pool.cancelled(waiter); }
            for tunnel in 0..next_tunnel { pool.retired(tunnel); }
            pool.counts() == (0, 0)
        }
    }
}
