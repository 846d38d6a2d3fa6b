//! The ways between hosts: how long they take, what they lose, and where they are cut.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use culvert_core::seed::Draws;
use culvert_core::time::Time;

/// Time between two sockets of one host.
const LOOPBACK: Duration = Duration::from_micros(10);
/// After this a sender repeats what was lost; doubled each time (RFC 6298 section 2, with the minimum that kernels use).
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// One segment is lost so many times at most.
const LOSSES: u32 = 5;

/// A host's way to all others, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Direction {
    /// What it sends.
    Out,
    /// What is sent to it.
    In,
}

/// What holds of every way, and of those of some hosts.
#[derive(Debug)]
pub(in crate::world) struct Paths {
    pub(in crate::world) latency: Duration,
    /// Each segment takes up to so much longer; the order stays.
    pub(in crate::world) jitter: Duration,
    /// Bytes of one connection in one second, one way.
    pub(in crate::world) bandwidth: Option<u64>,
    /// One of so many segments is lost, and sent again after a time. To the ends of a stream of bytes loss, repetition and
    /// disorder all look like this: a pause, then everything at once.
    pub(in crate::world) loss: Option<u64>,
    /// Segments that were lost so far.
    pub(in crate::world) lost: usize,
    cuts: BTreeSet<(IpAddr, Direction)>,
    /// Until when nothing passes to or from a host.
    clogs: BTreeMap<IpAddr, Time>,
    /// Nobody has a route to these.
    unreachable: BTreeSet<IpAddr>,
    draws: Draws,
}

impl Paths {
    pub(super) fn new(draws: Draws) -> Paths {
        Paths {
            latency: Duration::from_millis(1),
            jitter: Duration::ZERO,
            bandwidth: None,
            loss: None,
            lost: 0,
            cuts: BTreeSet::new(),
            clogs: BTreeMap::new(),
            unreachable: BTreeSet::new(),
            draws,
        }
    }

    /// How long a segment is on its way once it is sent.
    pub(super) fn delay(&mut self, from: IpAddr, to: IpAddr) -> Duration {
        if from == to {
            return LOOPBACK;
        }
        let jitter = u64::try_from(self.jitter.as_nanos()).unwrap_or(u64::MAX);
        let late = if jitter == 0 { 0 } else { self.draws.next_u64() % jitter };
        self.latency + Duration::from_nanos(late) + self.repetitions()
    }

    fn repetitions(&mut self) -> Duration {
        let Some(loss) = self.loss else { return Duration::ZERO };
        let mut late = Duration::ZERO;
        for number in 0..LOSSES {
            if !self.draws.next_u64().is_multiple_of(loss.max(1)) {
                break;
            }
            self.lost += 1;
            late += RETRANSMISSION * 2_u32.pow(number);
        }
        late
    }

    /// How long so many bytes take to be sent off.
    pub(super) fn sending(&self, from: IpAddr, to: IpAddr, bytes: usize) -> Duration {
        match self.bandwidth {
            Some(rate) if from != to => {
                Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / rate.max(1))
            }
            _ => Duration::ZERO,
        }
    }

    /// Whether what is sent now does not arrive until the way is free again.
    pub(super) fn blocked(&self, from: IpAddr, to: IpAddr) -> bool {
        let out = |host| self.cuts.contains(&(host, Direction::Out));
        let into = |host| self.cuts.contains(&(host, Direction::In));
        let clogged = |host| self.clogs.contains_key(host) || self.unreachable.contains(host);
        from != to && (out(from) || into(to) || clogged(&from) || clogged(&to))
    }

    pub(in crate::world) fn is_unreachable(&self, from: IpAddr, to: IpAddr) -> bool {
        from != to && self.unreachable.contains(&to)
    }

    pub(in crate::world) fn cut(&mut self, host: IpAddr, direction: Direction) {
        self.cuts.insert((host, direction));
    }

    pub(in crate::world) fn clog(&mut self, host: IpAddr, until: Time) {
        let end = self.clogs.entry(host).or_insert(until);
        *end = (*end).max(until);
    }

    /// The clogs that are over by now are gone.
    pub(super) fn unclog(&mut self, now: Time) {
        self.clogs.retain(|_, until| *until > now);
    }

    pub(in crate::world) fn lose_route(&mut self, host: IpAddr) {
        self.unreachable.insert(host);
    }

    /// Whatever was cut or clogged is free again; what is always so of the ways stays.
    pub(super) fn heal(&mut self) {
        self.cuts.clear();
        self.clogs.clear();
        self.unreachable.clear();
    }
}
