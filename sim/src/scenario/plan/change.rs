//! What goes wrong, or changes, in the facts: how nodes hear of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Choices, Known};
use crate::world::{CatchUp, Delivery};

/// A change of what nodes are told. Nodes by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scenario) enum Change {
    /// A node hears of facts so from here on; if it heard of nothing before, it catches up so.
    Deliver { node: usize, delivery: Delivery, catch_up: CatchUp },
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

    pub(super) fn change(&mut self, known: &Known) -> Change {
        let node = self.below(known.nodes);
        let delivery = if self.one_in(2) { Delivery::Cut } else { self.delivery() };
        let catch_up = self.of([CatchUp::Difference, CatchUp::Whole, CatchUp::Behind]);
        Change::Deliver { node, delivery, catch_up }
    }
}
