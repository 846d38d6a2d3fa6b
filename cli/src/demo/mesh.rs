//! The demo's mesh, as the files in `mesh/` with the addresses of a world filled in.

use std::net::IpAddr;

use super::place::Place;

const WORKLOADS: &str = include_str!("mesh/workloads.yaml");
const POLICIES: &str = include_str!("mesh/policies.yaml");
const FREEZE: &str = include_str!("mesh/freeze.yaml");

/// Which state of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeshState {
    /// As it is at first.
    Open,
    /// With a policy more, which cuts what goes to `orders`.
    Frozen,
}

/// The policy that [`MeshState::Frozen`] adds, `NAMESPACE/NAME`.
pub const FREEZE_POLICY: &str = "shop/orders-freeze";
/// The policy that keeps plaintext from `payments`, `NAMESPACE/NAME`.
pub const STRICT_POLICY: &str = "shop/payments-strict";

/// The mesh file of `state`, with the addresses that `address` gives.
pub fn yaml(state: MeshState, address: impl Fn(Place) -> IpAddr) -> String {
    let mut text = format!("{WORKLOADS}\n{POLICIES}");
    if state == MeshState::Frozen {
        text.push_str(FREEZE);
    }
    for place in Place::ALL {
        text = text.replace(&format!("${{{}}}", place.name()), &address(place).to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Mesh {
        workloads: Vec<Workload>,
        policies: Vec<Policy>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Workload {
        name: String,
        namespace: String,
        service_account: String,
        workload_ips: Vec<IpAddr>,
        node: String,
        #[serde(default)]
        authorization_policies: Vec<String>,
    }

    #[derive(Deserialize)]
    struct Policy {
        name: String,
        namespace: String,
        scope: String,
    }

    fn mesh(state: MeshState) -> Mesh {
        let text = yaml(state, |place| IpAddr::from([127, 0, 7, place as u8]));
        assert!(!text.contains("${"), "{text}");
        serde_saphyr::from_str(&text).unwrap()
    }

    #[test]
    fn the_mesh_is_the_places() {
        let mesh = mesh(MeshState::Open);
        let meshed: Vec<Place> = Place::ALL.into_iter().filter(|place| place.node().is_some()).collect();
        assert_eq!(mesh.workloads.len(), meshed.len());
        for (workload, place) in mesh.workloads.iter().zip(meshed) {
            assert_eq!(format!("{}/{}", workload.namespace, workload.name), place.label());
            assert_eq!(workload.service_account, place.name());
            assert_eq!(workload.workload_ips, [IpAddr::from([127, 0, 7, place as u8])]);
            assert_eq!(workload.node, format!("node-{}", place.node().unwrap()));
        }
    }

    #[test]
    fn every_policy_that_is_named_exists() {
        for (state, frozen) in [(MeshState::Open, false), (MeshState::Frozen, true)] {
            let mesh = mesh(state);
            let keys: Vec<String> =
                mesh.policies.iter().map(|policy| format!("{}/{}", policy.namespace, policy.name)).collect();
            assert!(keys.iter().any(|key| key == STRICT_POLICY));
            assert_eq!(keys.iter().any(|key| key == FREEZE_POLICY), frozen);
            let mut named: Vec<&String> =
                mesh.workloads.iter().flat_map(|workload| &workload.authorization_policies).collect();
            named.sort();
            let mut attached: Vec<&String> = keys
                .iter()
                .zip(&mesh.policies)
                .filter(|(_, policy)| policy.scope == "WorkloadSelector")
                .map(|(key, _)| key)
                .collect();
            attached.sort();
            assert_eq!(named, attached);
        }
    }
}
