//! What an engine has seen of endpoints, beyond what facts say: how busy each is, and which fail.

use std::collections::BTreeMap;
use std::time::Duration;

use super::outlier::{Outliers, Return};
use crate::limit::Limits;
use crate::mesh::{ServiceKey, Uid};
use crate::time::Time;

/// What an engine has seen of endpoints.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Connections under way, by endpoint; none is zero.
    in_flight: BTreeMap<Uid, u32>,
    outliers: Outliers,
}

/// What a choice may know beyond the facts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<'a> {
    /// What was seen of endpoints.
    pub observed: Option<&'a Observed>,
    /// When.
    pub now: Time,
    /// An endpoint that was tried and failed: another is better.
    pub avoid: Option<&'a Uid>,
}

impl Observed {
    /// Nothing yet.
    pub(crate) fn new(limits: &Limits) -> Observed {
        Observed { in_flight: BTreeMap::new(), outliers: Outliers::new(limits) }
    }

    /// A connection to an endpoint began.
    pub(crate) fn begun(&mut self, endpoint: &Uid) {
        match self.in_flight.get_mut(endpoint) {
            Some(count) => *count = count.saturating_add(1),
            None => {
                self.in_flight.insert(endpoint.clone(), 1);
            }
        }
    }

    /// A connection that began has ended.
    pub(crate) fn ended(&mut self, endpoint: &Uid) {
        let Some(count) = self.in_flight.get_mut(endpoint) else { return };
        planted!(LoadNeverEnds => return);
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.in_flight.remove(endpoint);
        }
    }

    /// How many connections to an endpoint are under way.
    pub(crate) fn in_flight(&self, endpoint: &Uid) -> u32 {
        self.in_flight.get(endpoint).copied().unwrap_or(0)
    }

    /// An endpoint of a service that has so many could not be reached. Says for how long it is ejected, if it is now.
    pub(crate) fn failed(
        &mut self,
        now: Time,
        service: &ServiceKey,
        endpoint: &Uid,
        endpoints: usize,
    ) -> Option<Duration> {
        self.outliers.failed(now, service, endpoint, endpoints)
    }

    /// An endpoint of a service was reached.
    pub(crate) fn succeeded(&mut self, service: &ServiceKey, endpoint: &Uid) {
        self.outliers.succeeded(service, endpoint);
    }

    /// Time has passed: the endpoints that are given connections again.
    pub(crate) fn advance(&mut self, now: Time) -> Vec<Return> {
        self.outliers.advance(now)
    }

    /// An endpoint is gone.
    pub(crate) fn forget(&mut self, endpoint: &Uid) {
        self.outliers.forget(endpoint);
    }

    /// What of its share an endpoint has, in 64ths.
    #[cfg(test)]
    pub(crate) fn share(&self, now: Time, service: &ServiceKey, endpoint: &Uid, endpoints: usize) -> u64 {
        let shares = self.outliers.shares(now, service, endpoints);
        shares.iter().find(|(uid, _)| *uid == endpoint).map_or(super::outlier::WHOLE, |(_, share)| *share)
    }

    pub(super) fn outliers(&self) -> &Outliers {
        &self.outliers
    }
}
