//! The facts that an engine under test is given: a few workloads, and policies that come and go.

use std::sync::Arc;

use culvert_core::engine::boundary::{PodId, WorkloadRef};
use culvert_core::mesh::{
    Action, Delta, Match, NetworkAddress, Policy, PolicyKey, Scope, Service, ServiceKey, ServiceSpec,
    Snapshot, StringMatch, TunnelProtocol, Workload, WorkloadSpec,
};

use crate::peers::TRUST_DOMAIN;

/// A workload here and one there, by their names: which of them a byte takes away or changes is in [`facts`].
const WORKLOADS: [(&str, &str, TunnelProtocol); 4] = [
    ("a", "10.0.0.1", TunnelProtocol::Hbone),
    ("b", "10.0.0.2", TunnelProtocol::Hbone),
    ("honest", "10.0.0.3", TunnelProtocol::Hbone),
    ("plain", "10.0.0.4", TunnelProtocol::Tcp),
];

/// The pods that a byte can mean; the last one's workload is not in the facts.
pub fn pod(byte: u8) -> (PodId, WorkloadRef) {
    let (number, name) = [(0, "a"), (1, "b"), (2, "ghost")][usize::from(byte) % 3];
    let workload = WorkloadRef { namespace: "x".into(), name: name.into(), service_account: name.into() };
    (PodId(number), workload)
}

/// One of 256 worlds: each bit takes something away, adds a policy, or changes who somebody is.
pub fn facts(bits: u8) -> Snapshot {
    let has = |bit: u8| bits & (1 << bit) != 0;
    let mut delta = Delta::new();
    for (name, ip, protocol) in WORKLOADS {
        if (name == "b" && has(0)) || (name == "honest" && has(1)) {
            continue;
        }
        let account = if name == "honest" && has(2) { "other" } else { name };
        let restarted = name == "a" && has(3);
        let names = if name == "b" && has(4) { vec![PolicyKey::new("x", "named")] } else { vec![] };
        let services = [(ServiceKey::new("x", "web.example"), [(80, 8080)].into_iter().collect())];
        let spec = WorkloadSpec {
            uid: format!("c//Pod/x/{name}{}", if restarted { "2" } else { "" }).into(),
            name: name.into(),
            namespace: "x".into(),
            trust_domain: TRUST_DOMAIN.into(),
            service_account: account.into(),
            workload_ips: vec![ip.parse().expect("an address")],
            protocol,
            services: if name == "plain" { Default::default() } else { services.into_iter().collect() },
            authorization_policies: names,
            ..WorkloadSpec::default()
        };
        delta.upsert_workload(Workload::try_from(spec).expect("the workload is good"));
    }
    let vip = NetworkAddress::new("".into(), "10.96.0.1".parse().expect("an address"));
    let spec = ServiceSpec {
        namespace: "x".into(),
        hostname: "web.example".into(),
        vips: vec![vip],
        ports: [(80, 8080)].into_iter().collect(),
        ..ServiceSpec::default()
    };
    delta.upsert_service(Service::try_from(spec).expect("the service is good"));
    if has(5) {
        delta.upsert_policy(policy("named", Scope::WorkloadSelector, Action::Allow, "honest"));
    }
    if has(6) {
        delta.upsert_policy(policy(
            "deny",
            Scope::Namespace,
            Action::Deny,
            if has(7) { "a" } else { "honest" },
        ));
    } else if has(7) {
        delta.undecodable_policy(PolicyKey::new("x", "odd"), Some(Scope::Namespace), "not understood");
    }
    Snapshot::new().apply(delta).0
}

fn policy(name: &str, scope: Scope, action: Action, of: &str) -> Arc<Policy> {
    let principal = StringMatch::Suffix(format!("/sa/{of}").into());
    let wanted = Match { principals: vec![principal], ..Match::default() };
    Arc::new(Policy {
        name: name.into(),
        namespace: "x".into(),
        scope,
        action,
        rules: vec![vec![vec![wanted]]],
        dry_run: false,
    })
}
