//! The indexes of a snapshot: which keys a fact is found by, and who wins among several.

use std::cmp::Ordering;
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

use crate::mesh::{NetworkAddress, NetworkMode, PolicyEntry, Scope, Service, TunnelProtocol, Workload};

/// The key under which a workload is found by namespace, service account and name. The first two hold no slash, so no
/// two workloads that differ share a key.
pub(super) fn instance_key(namespace: &str, name: &str, service_account: &str) -> String {
    [namespace, service_account, name].join("/")
}

/// The addresses a workload is found by.
pub(super) fn addresses(workload: &Workload) -> impl Iterator<Item = NetworkAddress> {
    let own = match workload.network_mode {
        NetworkMode::HostNetwork => [].as_slice(),
        NetworkMode::Standard => workload.ips.as_ref(),
    };
    own.iter().map(|ip| NetworkAddress::new(workload.network.clone(), *ip))
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
    planted!(RemovedStaysIndexed => return);
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
