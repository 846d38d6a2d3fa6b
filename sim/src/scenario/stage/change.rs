//! Changes of what nodes are told, as they happen.

use super::super::plan::Change;
use super::Stage;

impl Stage {
    pub(super) fn change(&mut self, change: &Change) {
        match change {
            Change::Deliver { node, delivery, catch_up } => {
                if let Some(node) = self.nodes.get(*node) {
                    self.world.deliver(*node, *delivery, *catch_up);
                }
            }
        }
    }
}
