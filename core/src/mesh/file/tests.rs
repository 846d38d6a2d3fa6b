use super::*;
use crate::mesh::{Action, HealthPolicy, Match, Mode, RoutingScope, Scope, StringMatch, TunnelProtocol};

const WHOLE: &str = r#"
workloads:
- uid: cluster1//v1/Pod/default/a
  name: a
  namespace: default
  serviceAccount: default
  trustDomain: cluster.local
  workloadIps: ["127.0.0.1", "::ffff:10.0.0.9"]
  protocol: HBONE
  node: local
  network: ""
  services: {"default/example.com": {80: 8080}}
  waypoint: {destination: /10.0.0.2, hboneMtlsPort: 15008}
  authorizationPolicies: [default/only-b]
  status: Unhealthy
  capacity: 3
policies:
- name: only-b
  namespace: default
  scope: WorkloadSelector
  action: Allow
  rules:
  - - - principals: [{Exact: cluster.local/ns/default/sa/b}, {Suffix: /sa/c}, Presence]
        notNamespaces: [{Prefix: kube-}]
        sourceIps: ["10.0.0.0/8"]
        destinationPorts: [80]
        serviceAccounts: [{namespace: default, serviceAccount: b}]
  dryRun: true
services:
- name: web
  namespace: default
  hostname: example.com
  vips: [west/1.2.3.4]
  cidrVips: [west/10.96.0.0/16]
  ports: {80: 8080}
  endpoints: {}
  subjectAltNames: [spiffe://cluster.local/ns/default/sa/a]
  loadBalancer: {routingPreferences: [Network, Zone], mode: Failover, healthPolicy: AllowAll}
  ipFamilies: IPv4
  canonical: true
  visibility: Namespace
"#;

fn read(text: &str) -> Result<MeshFile, serde_saphyr::Error> {
    serde_saphyr::from_str(text)
}

/// The reason, and the line it is at; both must be there.
fn refusal(text: &str) -> (String, u64) {
    let error = read(text).expect_err(text);
    let location = error.location().unwrap_or_else(|| panic!("no location: {error}"));
    assert!(location.column() > 0, "{error}");
    (error.to_string(), location.line())
}

#[test]
fn the_whole_schema_is_read() {
    let file = read(WHOLE).unwrap();
    let workload = &file.workloads[0];
    assert_eq!(workload.identity().to_string(), "spiffe://cluster.local/ns/default/sa/default");
    assert_eq!(workload.protocol, TunnelProtocol::Hbone);
    assert!(workload.has_ip("10.0.0.9".parse().unwrap()));
    let key = ServiceKey::new("default", "example.com");
    assert_eq!(workload.service_ports(&key).unwrap().target(80), Some(8080));
    assert_eq!(workload.waypoint.as_ref().unwrap().destination.to_string(), "/10.0.0.2");

    let policy = &file.policies[0];
    assert_eq!((policy.scope, policy.action, policy.dry_run), (Scope::WorkloadSelector, Action::Allow, true));
    let Match { principals, not_namespaces, .. } = &policy.rules[0][0][0];
    assert_eq!(principals[1..], [StringMatch::Suffix("/sa/c".into()), StringMatch::Presence]);
    assert_eq!(not_namespaces[..], [StringMatch::Prefix("kube-".into())]);

    let service = &file.services[0];
    assert_eq!(service.vips[0].network().as_ref(), "west");
    let balancer = service.load_balancer.as_ref().unwrap();
    assert_eq!(balancer.routing_preferences, [RoutingScope::Network, RoutingScope::Zone]);
    assert_eq!((balancer.mode, balancer.health_policy), (Mode::Failover, HealthPolicy::AllowAll));
    assert_eq!(service.identities().count(), 1);
}

/// Writes JSON, which is YAML, and reads it as YAML.
fn rewritten(file: &MeshFile) -> MeshFile {
    read(&serde_json::to_string_pretty(file).unwrap()).unwrap()
}

#[test]
fn what_is_read_can_be_written_and_read_again() {
    let file = read(WHOLE).unwrap();
    assert_eq!(rewritten(&file), file);
}

quickcheck::quickcheck! {
    fn what_is_made_can_be_written_and_read(workload: Workload, service: Service, policy: Policy) -> bool {
        let file = MeshFile {
            workloads: vec![workload.into()],
            policies: vec![policy.into()],
            services: vec![service.into()],
        };
        rewritten(&file) == file
    }
}

#[test]
fn empty_lists_and_an_empty_file_are_a_mesh_of_nothing() {
    assert_eq!(read("{}").unwrap(), MeshFile::default());
    assert_eq!(read("workloads: []\npolicies:\nservices: []").unwrap(), MeshFile::default());
}

#[test]
fn every_fault_is_refused_with_its_reason_and_place() {
    let rows = [
        ("workloads:\n- {uid: a, namespace: n, colour: red}", "colour", 2),
        ("wrokloads: []", "wrokloads", 1),
        ("workloads:\n- {uid: a, namespace: n}\n- {uid: a, namespace: n}", "workload a appears twice", 3),
        ("workloads:\n- {uid: a, namespace: 'n n'}", "path segment", 2),
        ("workloads:\n- {uid: a}", "path segment", 2),
        ("workloads:\n- {uid: a, namespace: n, trustDomain: UPPER}", "trust domain", 2),
        ("workloads:\n- {uid: '', namespace: n}", "uid", 2),
        ("workloads:\n- {namespace: n}", "uid", 2),
        ("workloads:\n- {uid: a, namespace: n, workloadIps: [10.0.0.256]}", "IP", 2),
        ("workloads:\n- {uid: a, namespace: n, protocol: LEGACY_ISTIO_MTLS}", "LEGACY_ISTIO_MTLS", 2),
        ("workloads:\n- {uid: a, namespace: n, services: {x: {80: 80}}}", "NAMESPACE/NAME", 2),
        ("workloads:\n- {uid: a, namespace: n, services: {n/x: {0: 80}}}", "service port", 2),
        ("workloads:\n- {uid: a, namespace: n, services: {n/x: {80: 65536}}}", "u16", 2),
        ("services:\n- {namespace: n, hostname: h}\n- {namespace: n, hostname: h}", "n/h appears twice", 3),
        ("services:\n- {namespace: n}", "hostname", 2),
        ("services:\n- {namespace: n, hostname: h, vips: [10.0.0.1]}", "NETWORK/ADDRESS", 2),
        ("services:\n- {namespace: n, hostname: h, cidrVips: [x/10.0.0.0/40]}", "prefix length", 2),
        ("services:\n- {namespace: n, hostname: h, endpoints: {a: {}}}", "endpoints", 2),
        ("policies:\n- {name: p, namespace: n, scope: Planet, action: Allow}", "Planet", 2),
        ("policies:\n- {name: p, namespace: n, scope: Global, action: Audit}", "Audit", 2),
        ("policies:\n- {name: p, namespace: n, scope: Global}", "action", 2),
        (
            "policies:\n- {name: p, namespace: n, scope: Global, action: Deny,\n   rules: [[[{sourceIps: [10.0.0.0/33]}]]]}",
            "prefix length",
            3,
        ),
        (
            "policies:\n- {name: p, namespace: n, scope: Global, action: Deny,\n   rules: [[[{ports: [80]}]]]}",
            "ports",
            3,
        ),
    ];
    for (text, reason, line) in rows {
        let (message, at) = refusal(text);
        assert!(message.contains(reason), "{text}\n{message}");
        assert!(at.abs_diff(line) <= 1, "{text}\nline {at}: {message}");
    }
}

#[test]
fn repeated_keys_made_in_code_are_found() {
    let mut file = read(WHOLE).unwrap();
    assert_eq!(file.check(), Ok(()));
    file.policies.push(file.policies[0].clone());
    assert_eq!(file.check(), Err(MeshError::DuplicatePolicy(PolicyKey::new("default", "only-b"))));
}
