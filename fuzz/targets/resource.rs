//! Resources of a control plane: bytes become facts or are refused; facts are written as they are read, and no snapshot
//! stumbles over them. The first byte says of which kind.
#![no_main]

use culvert_core::mesh::{Delta, PolicyKey, Snapshot};
use culvert_proto::decode::{self, Address};
use culvert_proto::encode;
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let mut delta = Delta::new();
    if kind % 2 == 0 {
        match decode::address(bytes) {
            Ok(Address::Workload(workload)) => {
                let written = encode::workload(&workload).encode_to_vec();
                assert_eq!(decode::address(&written).as_ref(), Ok(&Address::Workload(workload.clone())));
                delta.upsert_workload(workload);
            }
            Ok(Address::Service(service)) => {
                let written = encode::service(&service).encode_to_vec();
                assert_eq!(decode::address(&written).as_ref(), Ok(&Address::Service(service.clone())));
                delta.upsert_service(service);
            }
            Err(_) => return,
        }
    } else {
        match decode::authorization(bytes) {
            Ok(policy) => {
                let written = encode::authorization(&policy).encode_to_vec();
                assert_eq!(decode::authorization(&written).as_ref(), Ok(&policy));
                delta.upsert_policy(policy);
            }
            Err(error) => {
                let key = PolicyKey::new("n", "p");
                let written = encode::undecodable(&key, error.scope).encode_to_vec();
                assert_eq!(decode::authorization(&written).map_err(|error| error.scope), Err(error.scope));
                delta.undecodable_policy(key, error.scope, error.to_string());
            }
        }
    }
    let (snapshot, changed) = Snapshot::new().apply(delta);
    assert!(!changed.is_empty() && snapshot.diff_to(&snapshot).is_empty());
});
