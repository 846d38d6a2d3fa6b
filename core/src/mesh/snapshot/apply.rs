//! A delta makes a new snapshot out of one; every index follows fact by fact.

use std::sync::Arc;

use super::Snapshot;
use super::index::{self, Reach};
use crate::mesh::{Changed, Delta, PolicyEntry, PolicyKey, Service, ServiceKey, Uid, Workload};

impl Snapshot {
    /// The snapshot after a delta, and what differs. A fact that is already so changes nothing; the epoch rises
    /// in any case.
    pub fn apply(&self, delta: Delta) -> (Snapshot, Changed) {
        let mut next = self.clone();
        let mut changed = Changed::default();
        next.epoch = self.epoch.saturating_add(1);
        for (uid, workload) in delta.workloads {
            next.set_workload(uid, workload, &mut changed);
        }
        for (key, service) in delta.services {
            next.set_service(key, service, &mut changed);
        }
        for (key, entry) in delta.policies {
            next.set_policy(key, entry, &mut changed);
        }
        (next, changed)
    }

    fn set_workload(&mut self, uid: Uid, workload: Option<Arc<Workload>>, changed: &mut Changed) {
        let before = self.workloads.get(&uid).cloned();
        if before == workload {
            return;
        }
        if let Some(before) = before {
            self.forget_workload(&before);
        }
        match workload {
            Some(workload) => {
                self.index_workload(&workload);
                self.workloads.insert_mut(uid.clone(), workload);
                changed.workloads.insert(uid);
            }
            None => {
                self.workloads.remove_mut(&uid);
                changed.removed.insert(uid);
            }
        }
    }

    fn index_workload(&mut self, workload: &Arc<Workload>) {
        for address in index::addresses(workload) {
            index::claim(&mut self.by_address, address, workload, index::workload_order);
        }
        let instance = instance(workload);
        index::claim(&mut self.by_instance, instance, workload, |a, b| a.uid.cmp(&b.uid));
        for (key, _) in &workload.services {
            index::nest(&mut self.endpoints, key.clone(), workload.uid.clone(), workload.clone());
        }
        for key in &workload.authorization_policies {
            let mut uids = self.references.get(key).cloned().unwrap_or_default();
            uids.insert_mut(workload.uid.clone());
            self.references.insert_mut(key.clone(), uids);
        }
    }

    fn forget_workload(&mut self, workload: &Workload) {
        for address in index::addresses(workload) {
            index::unclaim(&mut self.by_address, address, workload, index::workload_order);
        }
        let instance = instance(workload);
        index::unclaim(&mut self.by_instance, instance, workload, |a, b| a.uid.cmp(&b.uid));
        for (key, _) in &workload.services {
            index::unnest(&mut self.endpoints, key, &workload.uid);
        }
        for key in &workload.authorization_policies {
            let Some(uids) = self.references.get(key) else { continue };
            let left = uids.remove(&workload.uid);
            if left.is_empty() {
                self.references.remove_mut(key);
            } else {
                self.references.insert_mut(key.clone(), left);
            }
        }
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

fn instance(workload: &Workload) -> Arc<str> {
    let identity = workload.identity();
    index::instance_key(identity.namespace(), &workload.name, identity.service_account()).into()
}
