//! Facts that come only when they are asked for: the names that connections need, and those that were answered (node.md row 73).

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::boundary::Output;
use super::flow::{FlowId, Waiting};
use crate::capture::{self, Need};
use crate::hbone::connect::Authority;
use crate::lies::Lies;
use crate::mesh::{Destination, Workload};
use crate::time::{Now, Time};

/// Answered names that are remembered at most: one beyond them is asked for again.
const ANSWERED: usize = 16_384;

/// Names that were asked for and not answered.
pub(super) type Asked = BTreeMap<Destination, Question>;

#[derive(Debug)]
pub(super) struct Question {
    /// Nobody who waits now waits longer than until then: it may be asked anew.
    until: Time,
    flows: BTreeSet<FlowId>,
}

impl<L: Lies> Engine<L> {
    /// Asks for a name that a flow waits for, unless an answer is due.
    pub(super) fn ask(&mut self, now: Now, id: FlowId, name: &Destination) {
        if let Some(question) = self.asked.get_mut(name).filter(|question| question.until > now.time) {
            question.flows.insert(id);
            return;
        }
        if self.asked.len() >= self.config.limits.names {
            self.asked.retain(|_, question| question.until > now.time);
        }
        // Where so many are under way, whoever needs one more waits in vain.
        if self.asked.len() < self.config.limits.names {
            let until = now.time.after(self.config.limits.wait_for_facts);
            let question = Question { until, flows: [id].into() };
            self.asked.insert(name.clone(), question);
            self.outputs.push_back(Output::NeedFacts { name: name.clone() });
        }
    }

    /// Whether an arriving flow cannot be judged before more is known; then it waits.
    pub(super) fn awaits_facts(
        &mut self,
        now: Now,
        id: FlowId,
        workload: &Workload,
        authority: Option<&Authority>,
    ) -> bool {
        match capture::inbound_need(&self.snapshot, &self.local, workload, authority) {
            Some(Need::Facts { name }) => {
                self.ask(now, id, &name);
                self.wait(id, Waiting::Facts);
                true
            }
            Some(Need::Resolve { .. }) | None => false,
        }
    }

    /// All there is of a name is in the facts now.
    pub(super) fn fact_known(&mut self, now: Now, name: Destination) {
        let question = self.asked.remove(&name);
        let Some(answered) = &mut self.local.answered else { return };
        // It never makes way for itself: whoever waits for it would ask again at once.
        if answered.len() >= ANSWERED && !answered.contains(&name) {
            answered.pop_first();
        }
        answered.insert(name);
        // Only those that asked: what others wait for has not changed.
        for flow in question.into_iter().flat_map(|question| question.flows) {
            if self.waiting.remove(&flow) {
                self.resume(now, flow);
            }
        }
    }

    pub(super) fn fact_forgotten(&mut self, name: &Destination) {
        if let Some(answered) = &mut self.local.answered {
            answered.remove(name);
        }
    }
}
