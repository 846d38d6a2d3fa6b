//! Resources of each kind: one that says much, one that says little, one that is refused.

use culvert_core::mesh::{MeshFile, PolicyKey};
use culvert_proto::encode;
use prost::Message;

const MESH: &str = "
workloads:
- {uid: c//Pod/n/a, name: a, namespace: n, serviceAccount: web, workloadIps: [10.0.0.1, '2001:db8::1'], protocol: HBONE,
   node: k1, services: {n/x.example: {80: 8080}}, authorizationPolicies: [n/p], waypoint: {destination: n/way.example},
   locality: {region: r, zone: z}, applicationTunnel: {protocol: PROXY, port: 81}, capacity: 3}
- {uid: c//Pod/n/b, namespace: n}
services:
- {name: x, namespace: n, hostname: x.example, vips: [/10.96.0.1], cidrVips: [/10.97.0.0/16], ports: {80: 8080, 443: 0},
   loadBalancer: {routingPreferences: [Network, Region], mode: Failover}, canonical: true, visibility: Namespace}
- {namespace: n, hostname: y.example}
policies:
- {name: p, namespace: n, scope: WorkloadSelector, action: Allow, dryRun: true,
   rules: [[[{principals: [{Exact: x}, Presence], sourceIps: [10.0.0.0/8], destinationPorts: [80]}]]]}
- {name: q, namespace: n, scope: Global, action: Deny}
";

pub fn resources() -> Vec<(String, Vec<u8>)> {
    let mesh: MeshFile = serde_saphyr::from_str(MESH).expect("the mesh is well formed");
    let mut seeds = Vec::new();
    let mut add = |name: &str, kind: u8, bytes: Vec<u8>| {
        seeds.push((format!("{name}-{:02}", seeds.len()), [vec![kind], bytes].concat()));
    };
    for workload in &mesh.workloads {
        add("workload", 0, encode::workload(workload).encode_to_vec());
    }
    for service in &mesh.services {
        add("service", 0, encode::service(service).encode_to_vec());
    }
    for policy in &mesh.policies {
        add("policy", 1, encode::authorization(policy).encode_to_vec());
    }
    add("refused", 1, encode::undecodable(&PolicyKey::new("n", "p"), None).encode_to_vec());
    seeds
}
