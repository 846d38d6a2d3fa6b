//! The mesh file: what is read can be written and read again, and its snapshot keeps what the file says.
#![no_main]

use culvert_core::mesh::{MeshFile, NetworkAddress, NetworkMode, Snapshot};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(file) = serde_saphyr::from_str::<MeshFile>(text) else { return };
    let written = serde_json::to_string(&file).expect("facts can be written");
    let read: MeshFile = serde_json::from_str(&written).expect("what is written can be read");
    assert_eq!(read, file, "{written}");

    let snapshot = Snapshot::from_file(file.clone()).expect("reading has refused repeated keys");
    keeps(&file, &snapshot);
    let mut reversed = read;
    reversed.workloads.reverse();
    reversed.services.reverse();
    reversed.policies.reverse();
    let other = Snapshot::from_file(reversed).expect("the order repeats nothing");
    assert!(snapshot.same_facts(&other) && snapshot.diff_to(&other).is_empty());
    same_answers(&snapshot, &other);
    let rebuilt = Snapshot::new().apply(Snapshot::new().delta_to(&snapshot)).0;
    assert!(snapshot.same_facts(&rebuilt) && snapshot.delta_to(&rebuilt).is_empty());
    let emptied = snapshot.apply(snapshot.delta_to(&Snapshot::new())).0;
    assert!(emptied.same_facts(&Snapshot::new()) && emptied.workloads().len() == 0);
});

/// Every fact is found by its key, and by what it is indexed by.
fn keeps(file: &MeshFile, snapshot: &Snapshot) {
    assert_eq!(snapshot.workloads().len(), file.workloads.len());
    assert_eq!(snapshot.services().len(), file.services.len());
    assert_eq!(snapshot.policies().len(), file.policies.len());
    for workload in &file.workloads {
        assert_eq!(snapshot.workload(workload.uid.as_str()), Some(workload));
        let (namespace, account) = (workload.namespace(), workload.identity().service_account());
        assert!(snapshot.instances(namespace, &workload.name, account).any(|found| found == workload));
        for (key, _) in &workload.services {
            assert!(snapshot.endpoints(key).any(|endpoint| endpoint == workload));
        }
        for ip in &workload.ips {
            assert_eq!(*ip, ip.to_canonical());
            let found = snapshot.workload_at(&NetworkAddress::new(workload.network.clone(), *ip));
            if workload.network_mode == NetworkMode::Standard {
                let found = found.expect("somebody has the address");
                assert!(found.has_ip(*ip) && found.network == workload.network);
            }
            assert!(found.is_none_or(|found| found.network_mode == NetworkMode::Standard));
        }
    }
    for service in &file.services {
        assert_eq!(snapshot.service(&service.key), Some(service));
        assert!(snapshot.services_of_hostname(&service.key.hostname).contains(service));
        for vip in &service.vips {
            let found = snapshot.service_at(vip, &service.key.namespace).expect("its own namespace sees it");
            assert!(found.vips.contains(vip));
        }
    }
    for policy in &file.policies {
        assert_eq!(snapshot.policy(&policy.key()).and_then(|entry| entry.scope()), Some(policy.scope));
    }
}

/// Which of two claims wins does not depend on which came first.
fn same_answers(one: &Snapshot, other: &Snapshot) {
    for workload in one.workloads() {
        for ip in &workload.ips {
            let address = NetworkAddress::new(workload.network.clone(), *ip);
            assert_eq!(one.workload_at(&address), other.workload_at(&address));
        }
        assert!(one.policies_for(workload).eq(other.policies_for(workload)));
    }
    for service in one.services() {
        for vip in &service.vips {
            for namespace in ["default", &service.key.namespace] {
                assert_eq!(one.service_at(vip, namespace), other.service_at(vip, namespace));
            }
        }
    }
}
