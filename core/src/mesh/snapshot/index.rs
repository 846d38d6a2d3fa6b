//! The indexes of a snapshot: which keys a fact is found by, and who wins among several.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

use crate::balance::Endpoints;
use crate::btree::{BTree, Item};
use crate::mesh::{
    NetworkAddress, NetworkMode, PolicyEntry, PolicyKey, Scope, Service, ServiceKey, TunnelProtocol, Uid,
    Workload,
};

/// A workload at one of its addresses.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AtAddress {
    pub(super) ip: IpAddr,
    pub(super) workload: Arc<Workload>,
}

impl Item for AtAddress {}

impl AtAddress {
    pub(super) fn cmp_address(&self, address: &NetworkAddress) -> Ordering {
        self.ip.cmp(&address.ip()).then_with(|| cmp_text(&self.workload.network, address.network()))
    }

    /// By address; of those at one address the one that wins comes first.
    pub(super) fn order(&self, other: &AtAddress) -> Ordering {
        self.ip
            .cmp(&other.ip)
            .then_with(|| cmp_text(&self.workload.network, &other.workload.network))
            .then_with(|| workload_order(&self.workload, &other.workload))
    }
}

/// The addresses a workload is found by.
pub(super) fn addresses(workload: &Arc<Workload>) -> impl Iterator<Item = AtAddress> {
    let own = match workload.network_mode {
        NetworkMode::HostNetwork => [].as_slice(),
        NetworkMode::Standard => workload.ips.as_ref(),
    };
    own.iter().map(|ip| AtAddress { ip: *ip, workload: workload.clone() })
}

/// The endpoints of a service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EndpointsOf {
    pub(super) key: ServiceKey,
    pub(super) endpoints: Arc<Endpoints>,
}

impl Item for EndpointsOf {}

impl EndpointsOf {
    pub(super) fn new(key: &ServiceKey, endpoints: Endpoints) -> EndpointsOf {
        EndpointsOf { key: key.clone(), endpoints: Arc::new(endpoints) }
    }

    pub(super) fn order(&self, other: &EndpointsOf) -> Ordering {
        self.key.cmp(&other.key)
    }
}

/// A workload, and one of the policies that it names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Naming {
    pub(super) workload: Arc<Workload>,
    at: usize,
}

impl Item for Naming {}

impl Naming {
    pub(super) fn new(workload: &Arc<Workload>, at: usize) -> Naming {
        Naming { workload: workload.clone(), at }
    }

    /// The policy; never absent.
    pub(super) fn key(&self) -> Option<&PolicyKey> {
        self.workload.authorization_policies.get(self.at)
    }

    pub(super) fn order(&self, other: &Naming) -> Ordering {
        self.key().cmp(&other.key()).then_with(|| self.workload.uid.cmp(&other.workload.uid))
    }
}

pub(super) fn by_uid(a: &Arc<Workload>, b: &Arc<Workload>) -> Ordering {
    a.uid.cmp(&b.uid)
}

pub(super) fn by_instance(a: &Arc<Workload>, b: &Arc<Workload>) -> Ordering {
    let identity = b.identity();
    cmp_instance(a, identity.namespace(), identity.service_account(), &b.name).then_with(|| a.uid.cmp(&b.uid))
}

pub(super) fn cmp_instance(
    workload: &Workload,
    namespace: &str,
    service_account: &str,
    name: &str,
) -> Ordering {
    let identity = workload.identity();
    cmp_text(identity.namespace(), namespace)
        .then_with(|| cmp_text(identity.service_account(), service_account))
        .then_with(|| workload.name.as_ref().cmp(name))
}

/// Texts that many facts share are one in memory, mostly.
fn cmp_text(a: &str, b: &str) -> Ordering {
    if std::ptr::eq(a, b) { Ordering::Equal } else { a.cmp(b) }
}

/// What makes of some workloads others.
pub(super) fn workload_differences(
    from: &BTree<Arc<Workload>>,
    to: &BTree<Arc<Workload>>,
) -> BTreeMap<Uid, Option<Arc<Workload>>> {
    let mut differences = BTreeMap::new();
    let (mut from, mut to) = (from.iter().peekable(), to.iter().peekable());
    loop {
        let order = match (from.peek(), to.peek()) {
            (Some(a), Some(b)) => a.uid.cmp(&b.uid),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return differences,
        };
        let before = if order.is_le() { from.next() } else { None };
        let after = if order.is_ge() { to.next() } else { None };
        if before != after
            && let Some(workload) = after.or(before)
        {
            differences.insert(workload.uid.clone(), after.cloned());
        }
    }
}

/// Which of two workloads wins an address: the lesser (node.md row 62). Equal only if they have one uid.
pub(super) fn workload_order(a: &Workload, b: &Workload) -> Ordering {
    let hbone = |workload: &Workload| workload.protocol == TunnelProtocol::Hbone;
    (b.uid.is_pod().cmp(&a.uid.is_pod()))
        .then_with(|| hbone(b).cmp(&hbone(a)))
        .then_with(|| a.uid.cmp(&b.uid))
}

/// Which of two services wins a virtual address, if the client's namespace does not decide: the lesser (node.md row
/// 52). Equal only if they have one key.
pub(super) fn service_order(a: &Service, b: &Service) -> Ordering {
    b.canonical.cmp(&a.canonical).then_with(|| a.key.cmp(&b.key))
}

/// Adds an item to those that share a key, in their order.
pub(super) fn claim<K: Ord, T>(
    index: &mut RedBlackTreeMapSync<K, Arc<[Arc<T>]>>,
    key: K,
    item: &Arc<T>,
    order: fn(&T, &T) -> Ordering,
) {
    let mut claims = index.get(&key).map_or_else(Vec::new, |claims| claims.to_vec());
    // An item that lists an address twice claims it once.
    if let Err(at) = claims.binary_search_by(|known| order(known, item)) {
        claims.insert(at, item.clone());
        index.insert_mut(key, claims.into());
    }
}

/// Takes an item out of those that share a key.
pub(super) fn unclaim<K: Ord, T>(
    index: &mut RedBlackTreeMapSync<K, Arc<[Arc<T>]>>,
    key: K,
    item: &T,
    order: fn(&T, &T) -> Ordering,
) {
    let Some(claims) = index.get(&key) else { return };
    let left: Vec<Arc<T>> =
        claims.iter().filter(|known| order(known, item) != Ordering::Equal).cloned().collect();
    if left.is_empty() {
        index.remove_mut(&key);
    } else {
        index.insert_mut(key, left.into());
    }
}

/// Where a policy counts without being named.
pub(super) enum Reach {
    Everywhere,
    Namespace,
    Named,
}

pub(super) fn reach(entry: &PolicyEntry) -> Reach {
    match entry.scope() {
        Some(Scope::Global) => Reach::Everywhere,
        // A policy that was not even understood so far counts for its namespace, and by name as all do.
        Some(Scope::Namespace) | None => Reach::Namespace,
        Some(Scope::WorkloadSelector) => Reach::Named,
    }
}

/// Puts a value into a map of maps.
pub(super) fn nest<K: Ord, L: Ord + Clone, V: Clone>(
    outer: &mut RedBlackTreeMapSync<K, RedBlackTreeMapSync<L, V>>,
    key: K,
    inner_key: L,
    value: V,
) {
    let mut inner = outer.get(&key).cloned().unwrap_or_default();
    inner.insert_mut(inner_key, value);
    outer.insert_mut(key, inner);
}

/// Takes a value out of a map of maps; an empty map goes with it.
pub(super) fn unnest<K: Ord + Clone, L: Ord + Clone, V: Clone>(
    outer: &mut RedBlackTreeMapSync<K, RedBlackTreeMapSync<L, V>>,
    key: &K,
    inner_key: &L,
) {
    let Some(inner) = outer.get(key) else { return };
    let left = inner.remove(inner_key);
    if left.is_empty() {
        outer.remove_mut(key);
    } else {
        outer.insert_mut(key.clone(), left);
    }
}
