//! What a control plane knows of one stream, and what it answers.

use std::collections::{BTreeMap, BTreeSet};

use culvert_core::xds::ResourceType;
use culvert_proto::delta;
use culvert_proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};

use super::Manner;
use super::facts::Facts;

const EVERYTHING: &str = "*";

/// One kind of resource on one stream.
#[derive(Debug, Default)]
struct Watched {
    /// Whether all are wanted.
    wildcard: bool,
    /// The names that were asked for.
    asked: BTreeSet<String>,
    /// What is there, by name, in which version, as far as is known.
    sent: BTreeMap<String, String>,
}

/// One stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    watched: BTreeMap<ResourceType, Watched>,
    node: String,
    nonces: u64,
}

impl Stream {
    /// Responses to a request; none to one that only acknowledges.
    pub(super) fn request(
        &mut self,
        request: &DeltaDiscoveryRequest,
        facts: &Facts,
    ) -> Vec<DeltaDiscoveryResponse> {
        let of = delta::resource_type(&request.type_url).expect("nodes ask for two types");
        if let Some(node) = &request.node {
            self.node = node_name(node);
        }
        let first = !self.watched.contains_key(&of);
        let watched = self.watched.entry(of).or_default();
        let names =
            |names: &[String]| names.iter().filter(|name| *name != EVERYTHING).cloned().collect::<Vec<_>>();
        if first {
            let declined = request.resource_names_unsubscribe.iter().any(|name| name == EVERYTHING);
            watched.wildcard = !declined;
            watched.sent.extend(request.initial_resource_versions.clone());
        } else if request.resource_names_subscribe.is_empty() && request.resource_names_unsubscribe.is_empty()
        {
            return Vec::new();
        }
        let asked = names(&request.resource_names_subscribe);
        watched.asked.extend(asked.iter().cloned());
        for name in names(&request.resource_names_unsubscribe) {
            watched.asked.remove(&name);
        }
        vec![self.answer(of, facts, &asked)]
    }

    /// What is new since the last time; nothing is no response.
    pub(super) fn push(&mut self, facts: &Facts) -> Vec<DeltaDiscoveryResponse> {
        let types: Vec<ResourceType> = self.watched.keys().copied().collect();
        let responses = types.into_iter().map(|of| self.answer(of, facts, &[]));
        responses
            .filter(|response| !response.resources.is_empty() || !response.removed_resources.is_empty())
            .collect()
    }

    /// What differs from what was sent. A name that was asked for and stands for nothing is answered as removed.
    fn answer(&mut self, of: ResourceType, facts: &Facts, asked: &[String]) -> DeltaDiscoveryResponse {
        let watched = self.watched.entry(of).or_default();
        let known = facts.of(of);
        let mut aliases: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let wanted: BTreeSet<String> = if watched.wildcard {
            known.keys().cloned().collect()
        } else {
            let mut wanted: BTreeSet<String> = facts.on_node(&self.node).collect();
            for name in &watched.asked {
                let found = facts.found(name);
                for alias in found.iter().filter(|found| *found != name) {
                    aliases.entry(alias.clone()).or_default().push(name.clone());
                }
                wanted.extend(facts.members(&found));
                wanted.extend(found);
            }
            wanted
        };
        let mut resources: Vec<Resource> = Vec::new();
        for name in &wanted {
            let Some(entry) = known.get(name) else { continue };
            let asked_for =
                aliases.get(name).is_some_and(|names| names.iter().any(|alias| asked.contains(alias)));
            if watched.sent.get(name) != Some(&entry.resource.version) || asked_for {
                watched.sent.insert(name.clone(), entry.resource.version.clone());
                resources.push(Resource {
                    aliases: aliases.remove(name).unwrap_or_default(),
                    ..entry.resource.clone()
                });
            }
        }
        let gone: Vec<String> = watched.sent.keys().filter(|name| !wanted.contains(*name)).cloned().collect();
        gone.iter().for_each(|name| drop(watched.sent.remove(name)));
        let nothing = asked.iter().filter(|name| facts.found(name).is_empty() && !gone.contains(name));
        let removed_resources = gone.iter().chain(nothing).cloned().collect();
        self.nonces += 1;
        DeltaDiscoveryResponse {
            type_url: delta::type_url(of).into(),
            nonce: self.nonces.to_string(),
            resources,
            removed_resources,
            ..DeltaDiscoveryResponse::default()
        }
    }
}

/// The response as it is said.
pub(super) fn in_manner(response: DeltaDiscoveryResponse, manner: &Manner) -> Vec<DeltaDiscoveryResponse> {
    let mut response = response;
    if let Some(seed) = manner.shuffle {
        let key = |name: &str| {
            name.bytes().fold(seed, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
        };
        response.resources.sort_by_key(|resource| key(&resource.name));
    }
    let mut parts = if manner.split && response.resources.len() > 1 {
        let empty = DeltaDiscoveryResponse {
            resources: Vec::new(),
            removed_resources: Vec::new(),
            ..response.clone()
        };
        let gone = DeltaDiscoveryResponse { removed_resources: response.removed_resources, ..empty.clone() };
        let each = response.resources.into_iter();
        let mut parts: Vec<_> = each
            .map(|resource| DeltaDiscoveryResponse { resources: vec![resource], ..empty.clone() })
            .collect();
        parts.push(gone);
        parts
    } else {
        vec![response]
    };
    if manner.repeat {
        parts = parts.into_iter().flat_map(|part| [part.clone(), part]).collect();
    }
    parts
}

fn node_name(node: &culvert_proto::discovery::Node) -> String {
    let fields = node.metadata.as_ref().map(|metadata| &metadata.fields);
    match fields.and_then(|fields| fields.get("NODE_NAME")).and_then(|value| value.kind.clone()) {
        Some(prost_types::value::Kind::StringValue(name)) => name,
        _ => String::new(),
    }
}
