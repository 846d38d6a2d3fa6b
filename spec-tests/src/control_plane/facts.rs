//! What a control plane knows, and the names under which it is found.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use culvert_core::mesh::{Delta, NetworkAddress, ServiceKey, Snapshot};
use culvert_core::xds::{Fact, ResourceType};
use culvert_proto::delta;
use culvert_proto::discovery::Resource;

/// A resource as it is sent, and what it is if it makes sense.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) resource: Resource,
    fact: Option<Fact>,
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    addresses: BTreeMap<String, Entry>,
    policies: BTreeMap<String, Entry>,
}

impl Facts {
    pub(super) fn of(&self, of: ResourceType) -> &BTreeMap<String, Entry> {
        match of {
            ResourceType::Address => &self.addresses,
            ResourceType::Authorization => &self.policies,
        }
    }

    fn of_mut(&mut self, of: ResourceType) -> &mut BTreeMap<String, Entry> {
        match of {
            ResourceType::Address => &mut self.addresses,
            ResourceType::Authorization => &mut self.policies,
        }
    }

    pub(super) fn publish(&mut self, facts: impl IntoIterator<Item = Fact>) {
        for fact in facts {
            let of = match fact {
                Fact::Policy(_) => ResourceType::Authorization,
                Fact::Service(_) | Fact::Workload(_) => ResourceType::Address,
            };
            let resource = versioned(delta::resource(&fact, ""));
            self.of_mut(of).insert(fact.name(), Entry { resource, fact: Some(fact) });
        }
    }

    pub(super) fn publish_bytes(&mut self, of: ResourceType, name: &str, value: Vec<u8>) {
        let resource = Some(prost_types::Any { type_url: delta::type_url(of).into(), value });
        let resource = versioned(Resource { name: name.into(), resource, ..Resource::default() });
        self.of_mut(of).insert(name.to_owned(), Entry { resource, fact: None });
    }

    pub(super) fn withdraw(&mut self, of: ResourceType, name: &str) {
        self.of_mut(of).remove(name);
    }

    /// The names of the resources that have this one, or have it as an address.
    pub(super) fn found(&self, name: &str) -> BTreeSet<String> {
        let address: Option<NetworkAddress> = name.parse().ok();
        let has_address = |entry: &Entry| match (&entry.fact, &address) {
            (Some(Fact::Workload(workload)), Some(address)) => {
                workload.network == *address.network() && workload.has_ip(address.ip())
            }
            (Some(Fact::Service(service)), Some(address)) => service.vips.contains(address),
            _ => false,
        };
        let own = self.addresses.iter().filter(|(known, entry)| *known == name || has_address(entry));
        own.map(|(known, _)| known.clone()).collect()
    }

    /// The names of the workloads that are endpoints of the services among these.
    pub(super) fn members(&self, names: &BTreeSet<String>) -> BTreeSet<String> {
        let services: Vec<ServiceKey> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let is_member = |entry: &Entry| match &entry.fact {
            Some(Fact::Workload(workload)) => {
                services.iter().any(|key| workload.service_ports(key).is_some())
            }
            _ => false,
        };
        self.addresses.iter().filter(|(_, entry)| is_member(entry)).map(|(name, _)| name.clone()).collect()
    }

    /// What a node comes to that hears of everything.
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut delta = Delta::new();
        for fact in
            self.addresses.values().chain(self.policies.values()).filter_map(|entry| entry.fact.clone())
        {
            match fact {
                Fact::Policy(policy) => delta.upsert_policy(policy),
                Fact::Service(service) => delta.upsert_service(service),
                Fact::Workload(workload) => delta.upsert_workload(workload),
            }
        }
        Snapshot::new().apply(delta).0
    }

    /// The workloads of a node, of which it hears unasked.
    pub(super) fn on_node<'a>(&'a self, node: &'a str) -> impl Iterator<Item = String> + 'a {
        let is_there = move |entry: &Entry| match &entry.fact {
            Some(Fact::Workload(workload)) => !node.is_empty() && *workload.about.node == *node,
            _ => false,
        };
        self.addresses.iter().filter(move |(_, entry)| is_there(entry)).map(|(name, _)| name.clone())
    }
}

/// The version is a hash of what is sent, so that what did not change has the version it had, restarts included.
fn versioned(resource: Resource) -> Resource {
    let mut hash = DefaultHasher::new();
    if let Some(any) = &resource.resource {
        any.value.hash(&mut hash);
    }
    Resource { version: format!("{:016x}", hash.finish()), ..resource }
}
