//! What is known of one kind of resource: names and versions, and what a response does to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Event, Fact, Rejection, Resource, ResourceType, Response};
use crate::mesh::{Delta, PolicyKey, ServiceKey, Uid};

/// A version that no control plane has: of a policy that was not understood.
const NO_VERSION: &str = "";
/// How many rejected names and reasons a NACK lists, and how many are kept for whoever asks.
const MAX_REASONS: usize = 32;
/// How much of one reason is told, in bytes.
const MAX_REASON_BYTES: usize = 256;

/// What kind of fact a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Policy,
    Service,
    Workload,
}

/// A resource that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    kind: Kind,
    version: Arc<str>,
}

/// One kind of resource.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) resource_type: ResourceType,
    known: BTreeMap<Arc<str>, Known>,
    /// Whether it was ever answered.
    pub(super) answered: bool,
}

/// What a response came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    pub(super) delta: Delta,
    /// What was not taken, by name, the reasons cut short.
    pub(super) rejected: Vec<(Arc<str>, Arc<str>)>,
    /// How many were not.
    pub(super) rejections: usize,
}

impl Taken {
    fn reject(&mut self, name: &Arc<str>, reason: &str) {
        self.rejections += 1;
        if self.rejected.len() < MAX_REASONS {
            let end =
                (0..=MAX_REASON_BYTES.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end));
            let cut = reason.get(..end.unwrap_or(0)).unwrap_or_default();
            self.rejected.push((name.clone(), cut.into()));
        }
    }

    /// What a NACK says: names and reasons.
    pub(super) fn error(&self) -> Option<String> {
        planted!(NackAsAck => return None);
        if self.rejections == 0 {
            return None;
        }
        let mut text: Vec<String> =
            self.rejected.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
        let more = self.rejections.saturating_sub(self.rejected.len());
        if more > 0 {
            text.push(format!("and {more} more"));
        }
        Some(text.join("; "))
    }

    pub(super) fn events(&self, resource_type: ResourceType) -> impl Iterator<Item = Event> {
        self.rejected.iter().map(move |(name, reason)| Event::Rejected {
            resource_type,
            name: name.clone(),
            reason: reason.clone(),
        })
    }
}

impl Subscription {
    pub(super) fn new(resource_type: ResourceType) -> Subscription {
        Subscription { resource_type, known: BTreeMap::new(), answered: false }
    }

    pub(super) fn versions(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Arc<str>)> {
        self.known.iter().map(|(name, known)| (name, &known.version))
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    /// Takes a response in, resource by resource; removals last, as Istio's node proxies do.
    pub(super) fn take(&mut self, response: &Response) -> Taken {
        let mut taken = Taken::default();
        for resource in &response.resources {
            match self.judge(resource) {
                Ok((kind, fact)) => {
                    self.know(&mut taken.delta, &resource.name, kind, resource.version.clone());
                    match fact {
                        Fact::Policy(policy) => taken.delta.upsert_policy(policy.clone()),
                        Fact::Service(service) => taken.delta.upsert_service(service.clone()),
                        Fact::Workload(workload) => taken.delta.upsert_workload(workload.clone()),
                    }
                }
                Err(rejection) => self.reject(&mut taken, &resource.name, &rejection),
            }
        }
        planted!(RemovalsIgnored => return taken);
        for name in &response.removed {
            if let Some(known) = self.known.remove(name) {
                forget(&mut taken.delta, name, known.kind);
            }
        }
        taken
    }

    /// A resource is what its name says and what was asked for, or it is none.
    fn judge<'a>(&self, resource: &'a Resource) -> Result<(Kind, &'a Fact), Rejection> {
        let fact = resource.content.as_ref().map_err(Clone::clone)?;
        let (kind, scope) = match fact {
            Fact::Policy(policy) => (Kind::Policy, Some(policy.scope)),
            Fact::Service(_) => (Kind::Service, None),
            Fact::Workload(_) => (Kind::Workload, None),
        };
        if (kind == Kind::Policy) != (self.resource_type == ResourceType::Authorization) {
            return Err(Rejection {
                scope: None,
                reason: "it is of another type than it was sent as".into(),
            });
        }
        let own = fact.name();
        if own != *resource.name {
            return Err(Rejection { scope, reason: format!("it is of {own:?}").into() });
        }
        // By its name it will be removed.
        if kind == Kind::Policy && own.parse::<PolicyKey>().is_err() {
            return Err(Rejection { scope, reason: "its name is none".into() });
        }
        Ok((kind, fact))
    }

    /// An address that was not understood leaves what was known as it was; a policy denies.
    fn reject(&mut self, taken: &mut Taken, name: &Arc<str>, rejection: &Rejection) {
        taken.reject(name, &rejection.reason);
        planted!(RejectedPolicyForgotten => return);
        if self.resource_type == ResourceType::Authorization
            && let Ok(key) = name.parse::<PolicyKey>()
        {
            self.know(&mut taken.delta, name, Kind::Policy, NO_VERSION.into());
            taken.delta.undecodable_policy(key, rejection.scope, rejection.reason.clone());
        }
    }

    fn know(&mut self, delta: &mut Delta, name: &Arc<str>, kind: Kind, version: Arc<str>) {
        let before = self.known.insert(name.clone(), Known { kind, version });
        if let Some(before) = before.filter(|before| before.kind != kind) {
            forget(delta, name, before.kind);
        }
    }
}

fn forget(delta: &mut Delta, name: &str, kind: Kind) {
    match kind {
        Kind::Policy => {
            if let Ok(key) = name.parse::<PolicyKey>() {
                delta.remove_policy(key);
            }
        }
        Kind::Service => {
            if let Ok(key) = name.parse::<ServiceKey>() {
                delta.remove_service(key);
            }
        }
        Kind::Workload => delta.remove_workload(Uid::new(name)),
    }
}
