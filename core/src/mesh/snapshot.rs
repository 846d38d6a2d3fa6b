//! One immutable state of the world, with the indexes that decisions need.

mod apply;
mod index;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

use super::address::{Cidr, NetworkAddress, NetworkCidr, address_bits};
use super::delta::{Changed, Delta};
use super::file::{MeshError, MeshFile};
use super::interner::Interner;
use super::key::{PolicyKey, ServiceKey, Uid};
use super::policy::PolicyEntry;
use super::service::Service;
use super::workload::Workload;
use crate::balance::Endpoints;
use crate::btree::BTree;
use index::{AtAddress, EndpointsOf, Naming};

type Map<K, V> = RedBlackTreeMapSync<K, V>;
/// All that share a key, the one that wins first.
type Claims<T> = Arc<[Arc<T>]>;

/// One immutable state of the world. A clone is cheap, and snapshots made from each other share what is equal.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    epoch: u64,
    /// By unique name. This and the other trees hold nothing but pointers to facts that they are ordered by.
    workloads: BTree<Arc<Workload>>,
    services: Map<ServiceKey, Arc<Service>>,
    policies: Map<PolicyKey, PolicyEntry>,
    /// Workloads by address, those on the host's network left out.
    by_address: BTree<AtAddress>,
    /// By namespace, service account, name and unique name.
    by_instance: BTree<Arc<Workload>>,
    by_vip: Map<NetworkAddress, Claims<Service>>,
    by_cidr: Map<NetworkCidr, Claims<Service>>,
    by_hostname: Map<Arc<str>, Claims<Service>>,
    /// By service. Kept whether or not the service is known, so endpoints may arrive before it.
    endpoints: BTree<EndpointsOf>,
    global: Map<PolicyKey, PolicyEntry>,
    by_namespace: Map<Arc<str>, Map<PolicyKey, PolicyEntry>>,
    /// By policy and unique name.
    references: BTree<Naming>,
}

impl Snapshot {
    /// A world without facts, epoch 0.
    pub fn new() -> Snapshot {
        Snapshot::default()
    }

    /// A world of the facts of a file, epoch 1.
    ///
    /// # Errors
    ///
    /// A key that appears twice.
    pub fn from_file(file: MeshFile) -> Result<Snapshot, MeshError> {
        file.check()?;
        let mut delta = Delta::new();
        file.workloads.into_iter().for_each(|workload| delta.upsert_workload(workload));
        file.services.into_iter().for_each(|service| delta.upsert_service(service));
        file.policies.into_iter().for_each(|policy| delta.upsert_policy(policy));
        Ok(Snapshot::new().apply(Interner::new().share(delta)).0)
    }

    /// How many deltas made this snapshot.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether it holds the same facts as another, whatever their history.
    pub fn same_facts(&self, other: &Snapshot) -> bool {
        self.workloads == other.workloads
            && self.services == other.services
            && self.policies == other.policies
    }

    /// Whether it is the same as another in all but its epoch, indexes included: snapshots of the same facts always are, in
    /// whatever order, batches and repetitions the facts arrived.
    pub fn is_identical_to(&self, other: &Snapshot) -> bool {
        let Snapshot {
            epoch: _,
            workloads: _,
            services: _,
            policies: _,
            by_address,
            by_instance,
            by_vip,
            by_cidr,
            by_hostname,
            endpoints,
            global,
            by_namespace,
            references,
        } = self;
        self.same_facts(other)
            && *by_address == other.by_address
            && *by_instance == other.by_instance
            && *by_vip == other.by_vip
            && *by_cidr == other.by_cidr
            && *by_hostname == other.by_hostname
            && *endpoints == other.endpoints
            && *global == other.global
            && *by_namespace == other.by_namespace
            && *references == other.references
    }

    /// The delta that makes of this snapshot one with the facts of another. To take over a file that was read anew:
    /// `now.apply(now.delta_to(&Snapshot::from_file(file)?))`.
    pub fn delta_to(&self, other: &Snapshot) -> Delta {
        Delta {
            workloads: index::workload_differences(&self.workloads, &other.workloads),
            services: differences(&self.services, &other.services),
            policies: differences(&self.policies, &other.policies),
        }
    }

    /// What differs from this snapshot to another.
    pub fn diff_to(&self, other: &Snapshot) -> Changed {
        self.apply(self.delta_to(other)).1
    }

    /// A workload by its unique name.
    pub fn workload(&self, uid: &str) -> Option<&Arc<Workload>> {
        self.workloads.get(|workload| workload.uid.as_str().cmp(uid))
    }

    /// All workloads, by unique name.
    pub fn workloads(&self) -> impl ExactSizeIterator<Item = &Arc<Workload>> {
        self.workloads.iter()
    }

    /// The workload that has an address: of several a pod wins over others, then one that takes HBONE (node.md row
    /// 62), then the smallest uid. Workloads on the host's network have no address of their own.
    pub fn workload_at(&self, address: &NetworkAddress) -> Option<&Arc<Workload>> {
        self.by_address.get(|known| known.cmp_address(address)).map(|known| &known.workload)
    }

    /// The workloads of a namespace, name and service account, by unique name: more than one only if clusters share the names.
    pub fn instances<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        service_account: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Workload>> {
        self.by_instance.range(move |known| index::cmp_instance(known, namespace, service_account, name))
    }

    /// A service by its key.
    pub fn service(&self, key: &ServiceKey) -> Option<&Arc<Service>> {
        self.services.get(key)
    }

    /// All services, by key.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// The services of a hostname, a canonical one first.
    pub fn services_of_hostname(&self, hostname: &str) -> &[Arc<Service>] {
        self.by_hostname.get(hostname).map_or(&[], |claims| claims)
    }

    /// The service behind a virtual address as a client of a namespace sees it: an exact address before ranges, a long
    /// prefix before a short one; of several the one of the client's namespace, then a canonical one, then the
    /// smallest key (node.md row 52).
    pub fn service_at(&self, address: &NetworkAddress, client_namespace: &str) -> Option<&Arc<Service>> {
        let exact = self.by_vip.get(address).and_then(|claims| preferred(claims, client_namespace));
        if exact.is_some() || self.by_cidr.is_empty() {
            return exact;
        }
        let ip: IpAddr = address.ip();
        (0..=address_bits(ip)).rev().find_map(|length| {
            let range = NetworkCidr { network: address.network().clone(), cidr: Cidr::prefix(ip, length) };
            preferred(self.by_cidr.get(&range)?, client_namespace)
        })
    }

    /// The workloads that are endpoints of a service, whatever their health, in an order that depends on the facts alone.
    pub fn endpoints(&self, key: &ServiceKey) -> impl Iterator<Item = &Arc<Workload>> {
        self.endpoint_index(key).into_iter().flat_map(Endpoints::iter)
    }

    /// The endpoints of a service as they are chosen from; `None` if there are none.
    pub(crate) fn endpoint_index(&self, key: &ServiceKey) -> Option<&Endpoints> {
        self.endpoints.get(|known| known.key.cmp(key)).map(|known| known.endpoints.as_ref())
    }

    /// A policy by its key.
    pub fn policy(&self, key: &PolicyKey) -> Option<&PolicyEntry> {
        self.policies.get(key)
    }

    /// All policies, by key.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = (&PolicyKey, &PolicyEntry)> {
        self.policies.iter()
    }

    /// The policies that apply to a workload: global ones, then those of its namespace, then those it names, each by
    /// key; `None` for one that is named and has not arrived. One that is named and applies anyway comes twice.
    pub fn policies_for<'a>(
        &'a self,
        workload: &'a Workload,
    ) -> impl Iterator<Item = (&'a PolicyKey, Option<&'a PolicyEntry>)> {
        let local =
            self.by_namespace.get(workload.namespace()).into_iter().flat_map(|policies| policies.iter());
        let everywhere = self.global.iter().chain(local).map(|(key, entry)| (key, Some(entry)));
        let named = workload.authorization_policies.iter().map(|key| (key, self.policies.get(key)));
        everywhere.chain(named)
    }

    /// The workloads that name a policy, by unique name.
    pub fn workloads_naming<'a>(&'a self, key: &'a PolicyKey) -> impl Iterator<Item = &'a Uid> {
        self.references.range(move |known| known.key().cmp(&Some(key))).map(|known| &known.workload.uid)
    }
}

/// The first that the client sees, unless one of its own namespace is among them.
fn preferred<'a>(claims: &'a [Arc<Service>], client_namespace: &str) -> Option<&'a Arc<Service>> {
    let own = claims.iter().find(|service| service.key.namespace.as_ref() == client_namespace);
    own.or_else(|| claims.iter().find(|service| service.is_visible_from(client_namespace)))
}

fn differences<K: Ord + Clone, V: PartialEq + Clone>(
    from: &Map<K, V>,
    to: &Map<K, V>,
) -> std::collections::BTreeMap<K, Option<V>> {
    let gone = from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), None));
    let come = to.iter().filter(|(key, value)| from.get(*key) != Some(*value));
    gone.chain(come.map(|(key, value)| (key.clone(), Some(value.clone())))).collect()
}
