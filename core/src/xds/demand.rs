//! What was asked for by name, and what became of it (node.md row 73).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Fact, Output, Resource};
use crate::mesh::NetworkAddress;

/// How many names a node asks for at most. Beyond them it gives up one of which there was nothing.
pub const MAX_DEMANDS: usize = 16_384;

/// A name that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Demand {
    /// There is nothing of that name, as far as the control plane has said.
    Absent,
    /// No answer yet.
    Pending,
    /// The name of the resource that it stands for.
    Present(Arc<str>),
}

/// What a new demand leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It was asked for before, and this is known: whether it exists.
    Answered(bool),
    /// It is asked for now, in place of another if there are too many.
    Now { instead_of: Option<Arc<str>> },
    /// It was asked for before, or there are too many.
    Pending,
}

/// All names that were asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Demands {
    by_name: BTreeMap<Arc<str>, Demand>,
}

impl Demands {
    pub(super) fn ask(&mut self, name: &Arc<str>) -> Asked {
        match self.by_name.get(name) {
            Some(Demand::Absent) => return Asked::Answered(false),
            Some(Demand::Pending) => return Asked::Pending,
            Some(Demand::Present(_)) => return Asked::Answered(true),
            None => {}
        }
        let mut instead_of = None;
        if self.by_name.len() >= MAX_DEMANDS {
            let absent = self.by_name.iter().find(|(_, demand)| **demand == Demand::Absent);
            // What cannot be asked for is not known to be absent either.
            let Some(name) = absent.map(|(name, _)| name.clone()) else { return Asked::Pending };
            self.by_name.remove(&name);
            instead_of = Some(name);
        }
        self.by_name.insert(name.clone(), Demand::Pending);
        Asked::Now { instead_of }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_name.keys()
    }

    /// A resource arrived, understood or not: it answers its name, its aliases and its addresses.
    pub(super) fn arrived(&mut self, resource: &Resource, exists: bool, out: &mut Vec<Output>) {
        if self.by_name.is_empty() {
            return;
        }
        let own = [resource.name.clone()].into_iter().chain(resource.aliases.iter().cloned());
        let addresses = resource.content.as_ref().map(addresses).unwrap_or_default();
        for name in own.chain(addresses.into_iter().map(Arc::from)) {
            let Some(demand) = self.by_name.get_mut(&name) else { continue };
            let after = if exists { Demand::Present(resource.name.clone()) } else { Demand::Absent };
            if *demand != after {
                *demand = after;
                out.push(Output::Known { name, exists });
            }
        }
    }

    /// A name is gone, or never was: it, and what it was also known by.
    pub(super) fn removed(&mut self, name: &Arc<str>, out: &mut Vec<Output>) {
        for (asked, demand) in &mut self.by_name {
            let gone = match demand {
                Demand::Absent => false,
                Demand::Pending => asked == name,
                Demand::Present(resource) => resource == name || asked == name,
            };
            if gone {
                *demand = Demand::Absent;
                out.push(Output::Known { name: asked.clone(), exists: false });
            }
        }
    }
}

fn addresses(fact: &Fact) -> Vec<String> {
    match fact {
        Fact::Policy(_) => Vec::new(),
        Fact::Service(service) => service.vips.iter().map(ToString::to_string).collect(),
        Fact::Workload(workload) => workload
            .ips
            .iter()
            .map(|ip| NetworkAddress::new(workload.network.clone(), *ip).to_string())
            .collect(),
    }
}
