//! A delta makes a new snapshot out of one; every index follows fact by fact.

use std::sync::Arc;

use super::Snapshot;
use super::index::{self, AtAddress, EndpointsOf, Naming, Reach};
use crate::balance::Endpoints;
use crate::mesh::{Changed, Delta, PolicyEntry, PolicyKey, Service, ServiceKey, Uid, Workload};

impl Snapshot {
    /// The snapshot after a delta, and what differs. A fact that is already so changes nothing; the epoch rises
    /// in any case.
    pub fn apply(&self, delta: Delta) -> (Snapshot, Changed) {
        let mut next = self.clone();
        let mut changed = Changed::default();
        next.epoch = self.epoch.saturating_add(1);
        // Services first: the order of their endpoints depends on them.
        for (key, service) in delta.services {
            next.set_service(key, service, &mut changed);
        }
        for (uid, workload) in delta.workloads {
            next.set_workload(uid, workload, &mut changed);
        }
        for (key, entry) in delta.policies {
            next.set_policy(key, entry, &mut changed);
        }
        (next, changed)
    }

    fn set_workload(&mut self, uid: Uid, workload: Option<Arc<Workload>>, changed: &mut Changed) {
        let before = self.workload(uid.as_str()).cloned();
        if before == workload {
            return;
        }
        if let Some(before) = before {
            self.forget_workload(&before);
        }
        match workload {
            Some(workload) => {
                self.index_workload(&workload);
                changed.workloads.insert(uid);
            }
            None => {
                changed.removed.insert(uid);
            }
        }
    }

    fn index_workload(&mut self, workload: &Arc<Workload>) {
        self.workloads.insert(workload.clone(), index::by_uid);
        self.by_instance.insert(workload.clone(), index::by_instance);
        for at in index::addresses(workload) {
            self.by_address.insert(at, AtAddress::order);
        }
        for (key, _) in &workload.services {
            let insert = |of: &mut EndpointsOf| Arc::make_mut(&mut of.endpoints).insert(key, workload);
            if !self.endpoints.update(|known| known.key.cmp(key), insert) {
                let service = self.services.get(key);
                // The service's own key, where there is one: its text need not be there twice.
                let key = service.map_or(key, |service| &service.key);
                let mut endpoints = Endpoints::new(service.map(AsRef::as_ref));
                endpoints.insert(key, workload);
                self.endpoints.insert(EndpointsOf::new(key, endpoints), EndpointsOf::order);
            }
        }
        for at in 0..workload.authorization_policies.len() {
            self.references.insert(Naming::new(workload, at), Naming::order);
        }
    }

    fn forget_workload(&mut self, workload: &Arc<Workload>) {
        self.workloads.remove(|known| known.uid.cmp(&workload.uid));
        self.by_instance.remove(|known| index::by_instance(known, workload));
        for at in index::addresses(workload) {
            planted!(RemovedStaysIndexed => continue);
            self.by_address.remove(|known| known.order(&at));
        }
        for (key, _) in &workload.services {
            let mut is_empty = false;
            let remove = |of: &mut EndpointsOf| {
                planted!(RemovedStaysChosen => return);
                let endpoints = Arc::make_mut(&mut of.endpoints);
                endpoints.remove(key, workload);
                is_empty = endpoints.is_empty();
            };
            self.endpoints.update(|known| known.key.cmp(key), remove);
            if is_empty {
                self.endpoints.remove(|known| known.key.cmp(key));
            }
        }
        for at in 0..workload.authorization_policies.len() {
            let naming = Naming::new(workload, at);
            self.references.remove(|known| known.order(&naming));
        }
    }

    /// Brings the endpoints of a service into the order in which it is chosen from them now.
    fn replan(&mut self, key: &ServiceKey, service: Option<&Service>) {
        let replan = |of: &mut EndpointsOf| {
            if let Some(anew) = of.endpoints.replanned(key, service) {
                of.endpoints = Arc::new(anew);
            }
        };
        self.endpoints.update(|known| known.key.cmp(key), replan);
    }

    fn set_service(&mut self, key: ServiceKey, service: Option<Arc<Service>>, changed: &mut Changed) {
        let before = self.services.get(&key).cloned();
        if before == service {
            return;
        }
        if let Some(before) = before {
            for vip in &before.vips {
                index::unclaim(&mut self.by_vip, vip.clone(), &before, index::service_order);
            }
            for range in &before.cidr_vips {
                index::unclaim(&mut self.by_cidr, range.clone(), &before, index::service_order);
            }
            index::unclaim(&mut self.by_hostname, key.hostname.clone(), &before, index::service_order);
        }
        changed.services.insert(key.clone());
        self.replan(&key, service.as_deref());
        let Some(service) = service else {
            self.services.remove_mut(&key);
            return;
        };
        for vip in &service.vips {
            index::claim(&mut self.by_vip, vip.clone(), &service, index::service_order);
        }
        for range in &service.cidr_vips {
            index::claim(&mut self.by_cidr, range.clone(), &service, index::service_order);
        }
        index::claim(&mut self.by_hostname, key.hostname.clone(), &service, index::service_order);
        self.services.insert_mut(key, service);
    }

    fn set_policy(&mut self, key: PolicyKey, entry: Option<PolicyEntry>, changed: &mut Changed) {
        let before = self.policies.get(&key).cloned();
        if before == entry {
            return;
        }
        if let Some(before) = before {
            changed.note_policy(&key, &before);
            match index::reach(&before) {
                Reach::Everywhere => {
                    self.global.remove_mut(&key);
                }
                Reach::Namespace => index::unnest(&mut self.by_namespace, &key.namespace, &key),
                Reach::Named => {}
            }
        }
        let Some(entry) = entry else {
            self.policies.remove_mut(&key);
            return;
        };
        changed.note_policy(&key, &entry);
        match index::reach(&entry) {
            Reach::Everywhere => self.global.insert_mut(key.clone(), entry.clone()),
            Reach::Namespace => {
                index::nest(&mut self.by_namespace, key.namespace.clone(), key.clone(), entry.clone());
            }
            Reach::Named => {}
        }
        self.policies.insert_mut(key, entry);
    }
}
