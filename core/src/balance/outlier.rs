//! Ejection: an endpoint that fails again and again is given no connections for a while, the longer the more often, and then
//! gradually its share again.
//!
//! At most half of a service's endpoints are ejected: what more of them fail at once is rather the network, or this node. Time
//! comes in with what happens; nothing here has a timer.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::limit::Limits;
use crate::mesh::{ServiceKey, Uid};
use crate::time::Time;

/// A full share.
pub(super) const WHOLE: u64 = 64;

/// An endpoint of a service that is given connections again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Return {
    pub(crate) service: ServiceKey,
    pub(crate) endpoint: Uid,
}

/// The endpoints that failed of late.
#[derive(Clone, Debug)]
pub(crate) struct Outliers {
    after: u32,
    shortest: Duration,
    longest: Duration,
    ramp: Duration,
    most: usize,
    services: BTreeMap<ServiceKey, BTreeMap<Uid, Outlier>>,
    count: usize,
    /// When somebody returns or is forgotten next, or before.
    next: Option<Time>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Outlier {
    /// Failures in a row.
    failures: u32,
    /// How often it was ejected of late.
    ejections: u32,
    state: State,
    /// When nothing of this counts any more.
    forget: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has its full share.
    In,
    Ejected {
        until: Time,
    },
    /// It has the more of its share the longer ago this was.
    Returning {
        since: Time,
    },
}

impl Outliers {
    pub(super) fn new(limits: &Limits) -> Outliers {
        Outliers {
            after: limits.eject_after.max(1),
            shortest: limits.ejection,
            longest: limits.ejection_max,
            ramp: limits.ejection_return,
            most: limits.outliers,
            services: BTreeMap::new(),
            count: 0,
            next: None,
        }
    }

    pub(super) fn failed(
        &mut self,
        now: Time,
        service: &ServiceKey,
        endpoint: &Uid,
        endpoints: usize,
    ) -> Option<Duration> {
        self.make_room(service, endpoint);
        let known = self.services.entry(service.clone()).or_default();
        let ejected = known.values().filter(|outlier| outlier.is_ejected(now)).count();
        planted!(EjectsAll, ejected = 0);
        let outlier = known.entry(endpoint.clone()).or_insert_with(|| {
            self.count += 1;
            Outlier { failures: 0, ejections: 0, state: State::In, forget: now }
        });
        if outlier.is_ejected(now) {
            // Of those that were under way when it was ejected.
            return None;
        }
        outlier.failures = outlier.failures.saturating_add(1);
        outlier.forget = outlier.forget.max(now.after(self.longest));
        self.next = Some(self.next.map_or(outlier.forget, |next| next.min(outlier.forget)));
        // One that returns has its next chance from the first failure on.
        let returning = matches!(outlier.state, State::Returning { .. });
        if (outlier.failures < self.after && !returning) || (ejected + 1) * 2 > endpoints {
            return None;
        }
        let lasts = self.shortest.saturating_mul(1 << outlier.ejections.min(16)).min(self.longest);
        planted!(EjectionNotBounded, lasts = self.shortest.saturating_mul(1 << outlier.ejections.min(30)));
        let until = now.after(lasts);
        outlier.ejections = outlier.ejections.saturating_add(1);
        outlier.failures = 0;
        outlier.state = State::Ejected { until };
        // What it did is remembered for as long again as it may be ejected.
        outlier.forget = until.after(self.ramp).after(self.longest);
        self.next = Some(self.next.map_or(until, |next| next.min(until)));
        Some(lasts)
    }

    /// Before one more is taken in: of too many the one goes that would be forgotten first.
    fn make_room(&mut self, service: &ServiceKey, endpoint: &Uid) {
        let is_known = self.services.get(service).is_some_and(|known| known.contains_key(endpoint));
        if is_known || self.count < self.most {
            return;
        }
        let all = self.services.iter().flat_map(|(service, known)| {
            known.iter().map(move |(endpoint, outlier)| (outlier.forget, service, endpoint))
        });
        let first = all.min().map(|(_, service, endpoint)| (service.clone(), endpoint.clone()));
        if let Some((service, endpoint)) = first {
            self.remove(&service, &endpoint);
        }
    }

    pub(super) fn succeeded(&mut self, service: &ServiceKey, endpoint: &Uid) {
        let Some(known) = self.services.get_mut(service) else { return };
        let Some(outlier) = known.get_mut(endpoint) else { return };
        outlier.failures = 0;
        if outlier.ejections == 0 {
            self.remove(&service.clone(), &endpoint.clone());
        }
    }

    fn remove(&mut self, service: &ServiceKey, endpoint: &Uid) {
        let Some(known) = self.services.get_mut(service) else { return };
        if known.remove(endpoint).is_some() {
            self.count = self.count.saturating_sub(1);
        }
        if known.is_empty() {
            self.services.remove(service);
        }
    }

    /// The endpoints whose ejection is over since the last call; they have a part of their share from here on.
    pub(super) fn advance(&mut self, now: Time) -> Vec<Return> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let mut returned = Vec::new();
        let mut next: Option<Time> = None;
        for (service, known) in &mut self.services {
            for (endpoint, outlier) in known.iter_mut() {
                if outlier.advance(now, self.ramp) {
                    returned.push(Return { service: service.clone(), endpoint: endpoint.clone() });
                }
            }
            known.retain(|_, outlier| outlier.forget > now);
            let times = known.values().map(|outlier| outlier.next(self.ramp));
            next = times.chain(next).min();
        }
        self.next = next;
        self.services.retain(|_, known| !known.is_empty());
        self.count = self.services.values().map(BTreeMap::len).sum();
        returned
    }

    pub(super) fn forget(&mut self, endpoint: &Uid) {
        let services: Vec<ServiceKey> = self
            .services
            .iter()
            .filter(|(_, known)| known.contains_key(endpoint))
            .map(|(key, _)| key.clone())
            .collect();
        for service in services {
            self.remove(&service, endpoint);
        }
    }

    /// The endpoints of a service that have less than their share, of [`WHOLE`] parts; none where they are more than half of
    /// its endpoints.
    pub(super) fn shares(&self, now: Time, service: &ServiceKey, endpoints: usize) -> Vec<(&Uid, u64)> {
        let Some(known) = self.services.get(service) else { return Vec::new() };
        let ejected = known.values().filter(|outlier| outlier.is_ejected(now)).count();
        if ejected * 2 > endpoints {
            return Vec::new();
        }
        let shares = known.iter().map(|(endpoint, outlier)| (endpoint, outlier.share(now, self.ramp)));
        shares.filter(|(_, share)| *share < WHOLE).collect()
    }
}

impl Outlier {
    /// Whether its ejection is over now, and was not yet.
    fn advance(&mut self, now: Time, ramp: Duration) -> bool {
        let before = self.state;
        if let State::Ejected { until } = self.state
            && until <= now
        {
            self.state = State::Returning { since: until };
        }
        if let State::Returning { since } = self.state
            && since.after(ramp) <= now
        {
            self.state = State::In;
        }
        matches!(before, State::Ejected { .. }) && before != self.state
    }

    /// When it changes by itself.
    fn next(&self, ramp: Duration) -> Time {
        match self.state {
            State::Ejected { until } => until.min(self.forget),
            State::Returning { since } => since.after(ramp).min(self.forget),
            State::In => self.forget,
        }
    }

    fn is_ejected(&self, now: Time) -> bool {
        matches!(self.state, State::Ejected { until } if now < until)
    }

    fn share(&self, now: Time, ramp: Duration) -> u64 {
        let since = match self.state {
            State::In => return WHOLE,
            State::Ejected { until } if now < until => return 0,
            State::Ejected { until: since } | State::Returning { since } => since,
        };
        if ramp.is_zero() {
            return WHOLE;
        }
        let parts = now.since(since).as_nanos() * u128::from(WHOLE) / ramp.as_nanos();
        // Somebody must try it, or nobody learns that it is well.
        u64::try_from(parts).unwrap_or(WHOLE).clamp(1, WHOLE)
    }
}
