//! What goes wrong, or changes, in facts and credentials, in clocks, and in how nodes hear of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Choices, Digit, Known};
use crate::world::{CatchUp, Delivery, Hostile, Wrong};

/// Which of the service's endpoints there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scenario) enum Endpoints {
    /// Every pod.
    All,
    /// None.
    None,
    /// One pod.
    One(usize),
    /// Every pod, and none is healthy.
    Unhealthy,
}

/// What a pod is called all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scenario) enum Name {
    Namespace,
    ServiceAccount,
}

/// A change of what nodes are told. Nodes and pods by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scenario) enum Change {
    /// A node hears of facts so from here on; if it heard of nothing before, it catches up so.
    Deliver { node: usize, delivery: Delivery, catch_up: CatchUp },
    /// The service has other endpoints.
    Endpoints(Endpoints),
    /// A node gets credentials of a root that nobody else knows.
    Estrange { node: usize },
    /// Facts that somebody hostile made up.
    Hostile { what: Hostile, pod: usize },
    /// A node's wall clock is so many seconds ahead.
    Jump { node: usize, seconds: i64 },
    /// The authority does not answer a node any more.
    Leave { node: usize },
    /// The authority issues a node what is wrong, at once to a pod.
    Mislead { node: usize, pod: usize, wrong: Wrong },
    /// A pod has another name in its facts.
    Rename { pod: usize, name: Name },
    /// A pod's address is another pod's from one moment to the next.
    Reuse { pod: usize, number: usize },
    /// The authority goes over to another root.
    Root,
    /// A waypoint stands before a pod, or does not: another pod, or one that is not there.
    Waypoint {
        pod: usize,
        stands: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<usize>,
    },
}

impl Choices<'_> {
    /// How late facts are.
    pub(super) fn delivery(&mut self) -> Delivery {
        let most = Duration::from_millis(self.of([20, 200, 2000, 20_000]));
        match self.below(3) {
            0 => Delivery::Late(most),
            1 => Delivery::Twice(most),
            _ => Delivery::Prompt,
        }
    }

    pub(super) fn change(&mut self, known: &mut Known) -> Change {
        let (node, pod) = (self.digit(Digit::Place, known.nodes), self.digit(Digit::Place, known.pods));
        match self.digit(Digit::Change, 14) {
            0..=2 => {
                let delivery = if self.digit(Digit::Deaf, 2) == 1 { Delivery::Cut } else { self.delivery() };
                let catch_up = self.of([CatchUp::Difference, CatchUp::Whole, CatchUp::Behind]);
                Change::Deliver { node, delivery, catch_up }
            }
            3 | 4 => {
                let all = [Endpoints::All, Endpoints::None, Endpoints::One(pod), Endpoints::Unhealthy];
                Change::Endpoints(self.digit_of(Digit::Endpoints, all))
            }
            5 => Change::Estrange { node },
            6 => Change::Hostile { what: self.of(Hostile::ALL), pod },
            7 => {
                let year = 365 * 24 * 3600;
                Change::Jump { node, seconds: self.digit_of(Digit::Jump, [-year, -300, -1, 0, 1, 300, year]) }
            }
            8 => Change::Leave { node },
            9 => Change::Mislead { node, pod, wrong: self.digit_of(Digit::Wrong, Wrong::ALL) },
            10 => Change::Rename { pod, name: self.of([Name::Namespace, Name::ServiceAccount]) },
            11 => {
                known.reused += 1;
                Change::Reuse { pod, number: known.reused }
            }
            12 => Change::Root,
            _ => {
                let stands = !self.one_in(3);
                // Of the calls so far, so that it takes no byte of its own.
                let other = (pod + 1 + known.calls / 2) % known.pods;
                let by = (stands && known.calls % 2 == 1 && other != pod).then_some(other);
                Change::Waypoint { pod, stands, by }
            }
        }
    }
}
