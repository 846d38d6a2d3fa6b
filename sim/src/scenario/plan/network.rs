//! What goes wrong between hosts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Choices, Known};
use crate::world::Direction;

/// How the ways between hosts always are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scenario) struct Ways {
    /// Segments take up to so much longer.
    #[serde(with = "crate::scenario::seconds")]
    pub(in crate::scenario) jitter: Duration,
    /// Bytes of one connection in one second.
    pub(in crate::scenario) bandwidth: Option<u64>,
    /// One of so many segments is lost, until all is healed.
    pub(in crate::scenario) loss: Option<u64>,
}

/// Something happens to the ways of a pod or of the machine; calls by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scenario) enum NetworkFault {
    /// Nothing passes to or from it.
    Blackhole { pod: usize },
    /// Nothing passes for so long, and then all of it at once.
    Clog {
        pod: usize,
        #[serde(with = "crate::scenario::seconds")]
        time: Duration,
    },
    /// Nothing passes in one direction.
    Cut { pod: usize, direction: Direction },
    /// All ways are free again.
    Heal,
    /// The host of a client forgets its connection.
    Lose { call: usize },
    /// Nobody has a route to it.
    Unroute { pod: usize },
}

impl Choices<'_> {
    pub(super) fn ways(&mut self) -> Ways {
        if !self.one_in(3) {
            return Ways::default();
        }
        Ways {
            jitter: self.millis(40),
            bandwidth: self.one_in(3).then(|| 20_000 << self.below(5)),
            loss: self.one_in(2).then(|| 4 + self.below(30) as u64),
        }
    }

    /// What can happen now.
    pub(super) fn network_faults(&mut self, known: &Known, pod: usize) -> impl Iterator<Item = NetworkFault> {
        let seconds = self.of([1, 10, 10, 10]);
        let direction = self.of([Direction::In, Direction::Out]);
        let faults = [
            Some(NetworkFault::Blackhole { pod }),
            Some(NetworkFault::Clog { pod, time: Duration::from_secs(seconds) }),
            Some(NetworkFault::Cut { pod, direction }),
            known.cut.then_some(NetworkFault::Heal),
            known.calls.checked_sub(1).map(|call| NetworkFault::Lose { call }),
            Some(NetworkFault::Unroute { pod }),
            known.calls.checked_sub(1).map(|call| NetworkFault::Lose { call }),
        ];
        faults.into_iter().flatten()
    }
}
