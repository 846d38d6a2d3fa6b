//! What a control plane sends, and what it changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::key::{PolicyKey, ServiceKey, Uid};
use super::policy::{Policy, PolicyEntry, Scope};
use super::service::Service;
use super::workload::Workload;

/// Facts that come (`Some`) and go (`None`), by key; of two about one key the later one stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    pub(super) workloads: BTreeMap<Uid, Option<Arc<Workload>>>,
    pub(super) services: BTreeMap<ServiceKey, Option<Arc<Service>>>,
    pub(super) policies: BTreeMap<PolicyKey, Option<PolicyEntry>>,
}

impl Delta {
    /// A delta of nothing.
    pub fn new() -> Delta {
        Delta::default()
    }

    /// A workload is new or has changed.
    pub fn upsert_workload(&mut self, workload: impl Into<Arc<Workload>>) {
        let workload = workload.into();
        self.workloads.insert(workload.uid.clone(), Some(workload));
    }

    /// A workload is gone.
    pub fn remove_workload(&mut self, uid: Uid) {
        self.workloads.insert(uid, None);
    }

    /// A service is new or has changed.
    pub fn upsert_service(&mut self, service: impl Into<Arc<Service>>) {
        let service = service.into();
        self.services.insert(service.key.clone(), Some(service));
    }

    /// A service is gone.
    pub fn remove_service(&mut self, key: ServiceKey) {
        self.services.insert(key, None);
    }

    /// A policy is new or has changed.
    pub fn upsert_policy(&mut self, policy: impl Into<Arc<Policy>>) {
        let policy = policy.into();
        self.policies.insert(policy.key(), Some(PolicyEntry::Decoded(policy)));
    }

    /// A policy arrived and was not understood; `scope` if that much was. It denies until it is replaced or removed.
    pub fn undecodable_policy(&mut self, key: PolicyKey, scope: Option<Scope>, reason: impl Into<Arc<str>>) {
        self.policies.insert(key, Some(PolicyEntry::Undecodable { scope, reason: reason.into() }));
    }

    /// A policy is gone.
    pub fn remove_policy(&mut self, key: PolicyKey) {
        self.policies.insert(key, None);
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.workloads.is_empty() && self.services.is_empty() && self.policies.is_empty()
    }
}

/// What differs between two snapshots, so that only decisions it touches are made again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Workloads that are new or have changed in any way.
    pub workloads: BTreeSet<Uid>,
    /// Workloads that are gone.
    pub removed: BTreeSet<Uid>,
    /// Services that are new, changed or gone.
    pub services: BTreeSet<ServiceKey>,
    /// Policies that came, changed or went and count only for workloads that name them.
    pub policies: BTreeSet<PolicyKey>,
    /// Namespaces in which a policy for all workloads came, changed or went.
    pub policies_in: BTreeSet<Arc<str>>,
    /// Whether a policy for all workloads of the mesh came, changed or went.
    pub everything: bool,
}

impl Changed {
    /// Whether the workload, or a policy that applies to it, came, changed or went. Either version of a changed
    /// workload serves.
    pub fn affects(&self, workload: &Workload) -> bool {
        planted!(NamespaceUnheard => return self.everything
            || self.workloads.contains(&workload.uid)
            || workload.authorization_policies.iter().any(|key| self.policies.contains(key)));
        self.everything
            || self.workloads.contains(&workload.uid)
            || self.removed.contains(&workload.uid)
            || self.policies_in.contains(workload.namespace())
            || workload.authorization_policies.iter().any(|key| self.policies.contains(key))
    }

    /// Whether a workload or a service came, changed or went: what decides where connections go.
    pub fn touches_routes(&self) -> bool {
        !(self.workloads.is_empty() && self.removed.is_empty() && self.services.is_empty())
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Changed::default()
    }

    /// Adds what another change differs in: a snapshot that skips one between counts for both.
    pub fn merge(&mut self, later: Changed) {
        planted!(MergeForgetsPolicies, later = Changed { policies: BTreeSet::new(), ..later });
        for uid in &later.workloads {
            self.removed.remove(uid);
        }
        for uid in &later.removed {
            self.workloads.remove(uid);
        }
        self.workloads.extend(later.workloads);
        self.removed.extend(later.removed);
        self.services.extend(later.services);
        self.policies.extend(later.policies);
        self.policies_in.extend(later.policies_in);
        self.everything |= later.everything;
    }

    /// A policy was `before` and is now something else, or the other way round.
    pub(super) fn note_policy(&mut self, key: &PolicyKey, entry: &PolicyEntry) {
        // Whatever its scope, it counts for those who name it.
        self.policies.insert(key.clone());
        match entry.scope() {
            Some(Scope::Global) => self.everything = true,
            Some(Scope::Namespace) | None => {
                self.policies_in.insert(key.namespace.clone());
            }
            Some(Scope::WorkloadSelector) => {}
        }
    }
}
