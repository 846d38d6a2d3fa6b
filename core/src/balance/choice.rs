//! The choice itself: who may be chosen, and on whom a draw falls.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::index::{Class, Endpoints};
use super::observed::Seen;
use super::outlier::WHOLE;
use crate::mesh::{LoadBalancer, Mode, Service, Snapshot, Workload};

/// Who chooses, and from what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'a> {
    /// The facts.
    pub(crate) snapshot: &'a Snapshot,
    /// The service, of which the endpoints are.
    pub(crate) service: &'a Service,
    /// Its endpoints.
    pub(crate) endpoints: &'a Endpoints,
    /// The client.
    pub(crate) source: &'a Workload,
    /// What was seen of the endpoints.
    pub(crate) seen: &'a Seen<'a>,
    /// From all 64-bit numbers, each as likely as another.
    pub(crate) draw: u64,
}

/// An endpoint that has less than its share: where it lies in its class, and what its weight lacks.
struct Lack {
    class: usize,
    start: u64,
    weight: u64,
    /// Of [`WHOLE`] parts of its weight.
    parts: u64,
}

/// Endpoints of equal standing: neighbours, one run of them for each class. Weights are counted in [`WHOLE`] parts.
struct Field<'a> {
    endpoints: &'a Endpoints,
    /// Class, where its run begins, what it weighs; in wholes.
    runs: Vec<(usize, u64, u64)>,
    /// Where weight is missing, and how much, in order.
    gaps: Vec<(u64, u64)>,
    /// All but the gaps.
    weight: u64,
}

impl<'a> Field<'a> {
    fn new(choice: &Choice<'a>, classes: &[usize], preferences: usize, lacks: &[Lack]) -> Field<'a> {
        let mut field = Field { endpoints: choice.endpoints, runs: Vec::new(), gaps: Vec::new(), weight: 0 };
        for class in classes {
            let span = choice.endpoints.span(*class, preferences, choice.source);
            let inside = |lack: &&Lack| {
                lack.class == *class && (span.start..span.start + span.weight).contains(&lack.start)
            };
            for lack in lacks.iter().filter(inside) {
                let at = field.weight.saturating_add((lack.start - span.start).saturating_mul(WHOLE));
                field.gaps.push((at, lack.weight.saturating_mul(lack.parts)));
            }
            field.runs.push((*class, span.start, span.weight));
            field.weight = field.weight.saturating_add(span.weight.saturating_mul(WHOLE));
        }
        field.gaps.sort_unstable();
        let missing = field.gaps.iter().map(|(_, weight)| *weight).fold(0, u64::saturating_add);
        field.weight = field.weight.saturating_sub(missing);
        field
    }

    /// The endpoint on which a draw falls.
    fn draw(&self, draw: u64) -> Option<&'a Arc<Workload>> {
        let mut at = scaled(draw, self.weight);
        for (gap, weight) in &self.gaps {
            if at < *gap {
                break;
            }
            at = at.saturating_add(*weight);
        }
        at /= WHOLE;
        for (class, start, run) in &self.runs {
            if at < *run {
                return self.endpoints.at(*class, start + at);
            }
            at -= run;
        }
        None
    }
}

/// Chooses among the endpoints of the classes that are admitted: those that the routing preferences leave, and of these one by
/// capacity. One without capacity is never chosen and stands in nobody's way. `None` where nobody is left.
///
/// Those that are ejected, and the one to avoid, count as if they were not there; but they are better than nobody. Of two
/// that are drawn the one is taken that has less to do.
pub(crate) fn choose<'a>(choice: &Choice<'a>, admit: impl Fn(&Class) -> bool) -> Option<&'a Arc<Workload>> {
    let classes: Vec<usize> =
        choice.endpoints.classes().enumerate().filter(|(_, class)| admit(class)).map(|(at, _)| at).collect();
    let best = |lacks: &[Lack]| {
        levels(choice.service.load_balancer.as_ref())
            .map(|preferences| Field::new(choice, &classes, preferences, lacks))
            .find(|field| field.weight > 0)
    };
    let (ejected, avoided) = (ejected(choice), avoided(choice));
    let mut field = None;
    if !ejected.is_empty() && !avoided.is_empty() {
        let both: Vec<Lack> = avoided_first(&avoided, ejected.as_slice());
        field = best(&both);
    }
    for lacks in [&avoided, &ejected] {
        if field.is_none() && !lacks.is_empty() {
            field = best(lacks);
        }
    }
    let field = field.or_else(|| best(&[]))?;
    less_busy(choice, &field)
}

/// All that lack something; the one to avoid lacks everything, whatever else it lacks.
fn avoided_first(avoided: &[Lack], ejected: &[Lack]) -> Vec<Lack> {
    let copy =
        |lack: &Lack| Lack { class: lack.class, start: lack.start, weight: lack.weight, parts: lack.parts };
    let is_avoided = |lack: &&Lack| avoided.iter().any(|a| (a.class, a.start) == (lack.class, lack.start));
    let others = ejected.iter().filter(|lack| !is_avoided(lack));
    avoided.iter().chain(others).map(copy).collect()
}

fn ejected(choice: &Choice<'_>) -> Vec<Lack> {
    let Some(observed) = choice.seen.observed else { return Vec::new() };
    let key = &choice.service.key;
    let shares = observed.outliers().shares(choice.seen.now, key, choice.endpoints.len());
    let lack = |(uid, share): (&crate::mesh::Uid, u64)| lack_of(choice, uid.as_str(), WHOLE - share);
    shares.into_iter().filter_map(lack).collect()
}

fn avoided(choice: &Choice<'_>) -> Vec<Lack> {
    let lack = choice.seen.avoid.and_then(|uid| lack_of(choice, uid.as_str(), WHOLE));
    lack.into_iter().collect()
}

fn lack_of(choice: &Choice<'_>, uid: &str, parts: u64) -> Option<Lack> {
    let workload = choice.snapshot.workload(uid)?;
    let (class, span) = choice.endpoints.locate(&choice.service.key, workload)?;
    Some(Lack { class, start: span.start, weight: span.weight, parts })
}

/// Of two draws the endpoint that has fewer connections under way for its capacity; the first where they have as many.
fn less_busy<'a>(choice: &Choice<'a>, field: &Field<'a>) -> Option<&'a Arc<Workload>> {
    let first = field.draw(choice.draw)?;
    let Some(observed) = choice.seen.observed else { return Some(first) };
    let load = |workload: &Workload| u64::from(observed.in_flight(&workload.uid));
    if load(first) == 0 {
        return Some(first);
    }
    planted!(OneChoice => return Some(first));
    let second = field.draw(independent(choice.draw))?;
    // Fractions over one denominator.
    let first_load = load(first).saturating_mul(second.capacity.into());
    let second_load = load(second).saturating_mul(first.capacity.into());
    Some(if second_load < first_load { second } else { first })
}

/// How many of the preferences an endpoint must match, counted from the weightiest; the best comes first.
fn levels(balancer: Option<&LoadBalancer>) -> impl Iterator<Item = usize> {
    let (most, least) = match balancer {
        None => (0, 0),
        Some(balancer) => {
            let all = balancer.routing_preferences.len();
            match balancer.mode {
                Mode::Failover => (all, 0),
                Mode::Passthrough | Mode::Standard => (0, 0),
                Mode::Strict => (all, all),
            }
        }
    };
    (least..=most).rev()
}

/// A draw from all 64-bit numbers as a draw below `bound`.
pub(crate) fn scaled(draw: u64, bound: u64) -> u64 {
    let product = u128::from(draw) * u128::from(bound);
    u64::try_from(product >> 64).unwrap_or(0)
}

/// A draw that says nothing about the one that it is made of.
fn independent(draw: u64) -> u64 {
    let mut z = draw ^ 0x6a09_e667_f3bc_c909;
    for multiplier in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        z = (z ^ (z >> 33)).wrapping_mul(multiplier);
    }
    z ^ (z >> 33)
}
