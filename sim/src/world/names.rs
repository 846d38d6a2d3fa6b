//! Names: who has which addresses, and how long it takes to find out (attack H11).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::engine::boundary::{Input, ResolveFault};

use super::{NodeId, World};
use crate::model::Addresses;
use crate::world::agenda::Happening;

/// What a resolver says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// After how long.
    pub after: Duration,
    /// The addresses and how long they serve; poisoned ones look as others do.
    pub says: Result<(Vec<IpAddr>, Duration), ResolveFault>,
}

/// All names; of others there is no such name, which is said within a millisecond.
#[derive(Debug, Default)]
pub(super) struct Names {
    answers: BTreeMap<Arc<str>, Answer>,
    /// Every address that was ever said.
    pub(super) said: Addresses,
}

impl World {
    /// From now on resolvers say this of a name.
    pub fn name(&mut self, host: &str, answer: Answer) {
        let said = self.names.said.entry(host.into()).or_default();
        said.extend(answer.says.iter().flat_map(|(addresses, _)| addresses));
        self.names.answers.insert(host.into(), answer);
    }

    pub(super) fn look_up(&mut self, node: NodeId, host: Arc<str>) {
        let unknown = Answer { after: Duration::from_millis(1), says: Err(ResolveFault::NoSuchName) };
        let Answer { after, says } = self.names.answers.get(&host).cloned().unwrap_or(unknown);
        self.net.agenda.put(self.net.now.after(after), Happening::Resolved(node, host, says));
    }

    pub(super) fn resolved(
        &mut self,
        node: NodeId,
        host: Arc<str>,
        outcome: Result<(Vec<IpAddr>, Duration), ResolveFault>,
    ) {
        self.input(node, Input::Resolved { host, outcome });
    }
}
