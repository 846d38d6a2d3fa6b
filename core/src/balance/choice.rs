//! The choice itself: who may be chosen, and on whom a draw falls.

use std::sync::Arc;

use super::index::{Class, Endpoints};
use crate::mesh::{LoadBalancer, Mode, Service, Workload};

/// Who chooses, and from what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'a> {
    /// The service, of which the endpoints are.
    pub(crate) service: &'a Service,
    /// Its endpoints.
    pub(crate) endpoints: &'a Endpoints,
    /// The client.
    pub(crate) source: &'a Workload,
    /// From all 64-bit numbers, each as likely as another.
    pub(crate) draw: u64,
}

/// Endpoints of equal standing: neighbours, one run of them for each class.
struct Field<'a> {
    endpoints: &'a Endpoints,
    /// Class, where its run begins, what it weighs.
    runs: Vec<(usize, u64, u64)>,
    weight: u64,
}

impl<'a> Field<'a> {
    fn new(choice: &Choice<'a>, classes: &[usize], preferences: usize) -> Field<'a> {
        let mut field = Field { endpoints: choice.endpoints, runs: Vec::new(), weight: 0 };
        for class in classes {
            let span = choice.endpoints.span(*class, preferences, choice.source);
            field.runs.push((*class, span.start, span.weight));
            field.weight = field.weight.saturating_add(span.weight);
        }
        field
    }

    fn at(&self, mut weight: u64) -> Option<&'a Arc<Workload>> {
        for (class, start, run) in &self.runs {
            if weight < *run {
                return self.endpoints.at(*class, start + weight);
            }
            weight -= run;
        }
        None
    }
}

/// Chooses among the endpoints of the classes that are admitted: those that the routing preferences leave, and of these one by
/// capacity. One without capacity is never chosen and stands in nobody's way. `None` where nobody is left.
pub(crate) fn choose<'a>(choice: &Choice<'a>, admit: impl Fn(&Class) -> bool) -> Option<&'a Arc<Workload>> {
    let classes: Vec<usize> =
        choice.endpoints.classes().enumerate().filter(|(_, class)| admit(class)).map(|(at, _)| at).collect();
    let mut fields = levels(choice.service.load_balancer.as_ref())
        .map(|preferences| Field::new(choice, &classes, preferences))
        .filter(|field| field.weight > 0);
    let field = fields.next()?;
    field.at(scaled(choice.draw, field.weight))
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
