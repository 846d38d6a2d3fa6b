//! Facts that share the texts that they have in common: most workloads differ in little but their names and addresses.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::delta::Delta;
use super::key::{PolicyKey, ServiceKey};
use super::workload::{About, Locality, Workload};

/// Texts that facts have in common, each kept once. Whoever reads facts of a control plane keeps one for as long as it reads.
///
/// What no fact uses any more goes with the next sweep, which comes whenever there is twice as much as after the last.
#[derive(Clone, Debug, Default)]
pub struct Interner {
    texts: BTreeSet<Arc<str>>,
    abouts: BTreeSet<Arc<About>>,
    swept: usize,
}

impl Interner {
    /// An interner that knows nothing.
    pub fn new() -> Interner {
        Interner::default()
    }

    /// The same facts, sharing what they have in common with all that came before.
    pub fn share(&mut self, delta: Delta) -> Delta {
        let mut shared = Delta::new();
        for (key, service) in delta.services {
            let key = self.service_key(&key);
            let service = service.map(|service| {
                let mut service = Arc::unwrap_or_clone(service);
                service.key = key.clone();
                Arc::new(service)
            });
            shared.services.insert(key, service);
        }
        for (uid, workload) in delta.workloads {
            let workload = workload.map(|workload| Arc::new(self.workload(Arc::unwrap_or_clone(workload))));
            shared.workloads.insert(uid, workload);
        }
        shared.policies = delta.policies;
        self.sweep();
        shared
    }

    fn workload(&mut self, mut workload: Workload) -> Workload {
        workload.identity = workload.identity.with_parts(|text| self.text(text));
        workload.network = self.text(&workload.network);
        workload.about = self.about(workload.about);
        for (key, _) in &mut workload.services {
            *key = self.service_key(key);
        }
        for key in &mut workload.authorization_policies {
            *key = PolicyKey { namespace: self.text(&key.namespace), name: self.text(&key.name) };
        }
        workload
    }

    fn service_key(&mut self, key: &ServiceKey) -> ServiceKey {
        ServiceKey { namespace: self.text(&key.namespace), hostname: self.text(&key.hostname) }
    }

    fn about(&mut self, about: Arc<About>) -> Arc<About> {
        if let Some(known) = self.abouts.get(&about) {
            return known.clone();
        }
        let About { locality, .. } = about.as_ref();
        let locality = Locality {
            region: self.text(&locality.region),
            zone: self.text(&locality.zone),
            subzone: self.text(&locality.subzone),
        };
        let about = Arc::new(About {
            node: self.text(&about.node),
            cluster_id: self.text(&about.cluster_id),
            locality,
            hostname: self.text(&about.hostname),
            workload_name: self.text(&about.workload_name),
            canonical_name: self.text(&about.canonical_name),
            canonical_revision: self.text(&about.canonical_revision),
            workload_type: about.workload_type,
            native_tunnel: about.native_tunnel,
        });
        self.abouts.insert(about.clone());
        about
    }

    fn text(&mut self, text: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        self.texts.insert(text.clone());
        text.clone()
    }

    /// How many texts and groups of them are kept.
    fn len(&self) -> usize {
        self.texts.len() + self.abouts.len()
    }

    fn sweep(&mut self) {
        if self.len() <= 2 * self.swept.max(64) {
            return;
        }
        self.abouts.retain(|about| Arc::strong_count(about) > 1);
        self.texts.retain(|text| Arc::strong_count(text) > 1);
        self.swept = self.len();
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;
    use crate::mesh::{Snapshot, WorkloadSpec};

    fn workload(name: &str, node: &str) -> Workload {
        let key: ServiceKey = "n/web.example".parse().unwrap();
        Workload::try_from(WorkloadSpec {
            uid: name.into(),
            namespace: "n".into(),
            node: node.into(),
            services: [(key, Default::default())].into(),
            ..WorkloadSpec::default()
        })
        .unwrap()
    }

    fn taken(interner: &mut Interner, workload: Workload) -> Arc<Workload> {
        let mut delta = Delta::new();
        delta.upsert_workload(workload);
        interner.share(delta).workloads.into_values().next().flatten().unwrap()
    }

    #[test]
    fn what_workloads_have_in_common_is_there_once() {
        let mut interner = Interner::new();
        let a = taken(&mut interner, workload("a", "k1"));
        let b = taken(&mut interner, workload("b", "k1"));
        let c = taken(&mut interner, workload("c", "k2"));
        assert!(Arc::ptr_eq(&a.about, &b.about) && !Arc::ptr_eq(&a.about, &c.about));
        assert!(Arc::ptr_eq(&a.about.cluster_id, &c.about.cluster_id));
        assert!(std::ptr::eq(a.namespace(), c.namespace()));
        assert!(Arc::ptr_eq(&a.services[0].0.hostname, &c.services[0].0.hostname));
    }

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let mut interner = Interner::new();
        for number in 0..10_000 {
            taken(&mut interner, workload("a", &format!("k{number}")));
            assert!(interner.len() < 256, "{}", interner.len());
        }
    }

    quickcheck! {
        fn shared_facts_are_the_same_facts(deltas: Vec<Delta>) -> bool {
            let mut interner = Interner::new();
            let apply = |snapshot: Snapshot, delta| snapshot.apply(delta).0;
            let plain = deltas.iter().cloned().fold(Snapshot::new(), apply);
            let shared = deltas.into_iter().map(|delta| interner.share(delta)).fold(Snapshot::new(), apply);
            plain.is_identical_to(&shared)
        }
    }
}
