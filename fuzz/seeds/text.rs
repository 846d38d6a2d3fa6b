//! Texts that parsers read, right and wrong.

/// The seeds of each target that reads a text.
pub const ALL: [(&str, &[&str]); 6] = [
    ("authority", AUTHORITY),
    ("baggage", BAGGAGE),
    ("forwarded", FORWARDED),
    ("mesh_yaml", MESH),
    ("spiffe_id", SPIFFE_ID),
    ("traceparent", TRACEPARENT),
];

const AUTHORITY: &[&str] = &[
    "10.0.0.1:80",
    "[2001:db8::1]:443",
    "[::ffff:10.0.0.1]:15008",
    "[::FFFF:7f00:1]:1",
    "reviews.default.svc.cluster.local:9080",
    "Web.Example:65535",
    "user@10.0.0.1:80",
    "10.0.0.1:80,10.0.0.2:80",
    "0x7f.0.0.1:80",
    "0177.0.0.1:80",
    "2130706433:80",
    "[fe80::1%25eth0]:80",
    "a:0",
    "a:080",
    "a:+80",
    "a.:80",
    "_sip._tcp.x:1",
    "1.2.3.4.:80",
];

const BAGGAGE: &[&str] = &[
    "k8s.cluster.name=c1,k8s.namespace.name=default,k8s.deployment.name=web,service.name=web,service.version=v1",
    "a=b;property=1 , c = d%20e ,,",
    "k=%C3%BC%25%2C",
    "k=%0a",
    "k=%ff",
    "k=%4",
    "=v",
    "k",
    "k=\"quoted\"",
    "key\nvalue with blanks\nkey\nvalue,two",
];

const FORWARDED: &[&str] = &[
    "for=\"10.0.0.1:4000\";host=web.default.svc.cluster.local",
    "For=\"[2001:db8::1]:4000\";proto=https",
    "for=\"10.0.0.1:4\\000\";by=_x, for=unknown",
    "for=unknown;host=A.B",
    "host=\"a b\"",
    "for=\"open",
    "for=a;for=b",
    "by=10",
];

const SPIFFE_ID: &[&str] = &[
    "spiffe://cluster.local/ns/default/sa/web",
    "spiffe://td-1.x_y/ns/N.s/sa/A-b_c.d",
    "spiffe://Cluster.local/ns/a/sa/b",
    "spiffe://cluster.local/ns/../sa/b",
    "spiffe://cluster.local/ns/a%2fb/sa/c",
    "spiffe://cluster.local/ns/a/sa/b/",
    "spiffe://cluster.local/ns/a/sa/b?q#f",
    "spiffe://user@cluster.local:1/ns/a/sa/b",
    "spiffe:///ns/a/sa/b",
    "SPIFFE://cluster.local/ns/a/sa/b",
];

const TRACEPARENT: &[&str] = &[
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
    "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-00",
    "00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",
];

const MESH: &[&str] = &[
    "workloads: []\n",
    "policies:\nservices:\n",
    r#"workloads:
- uid: c//Pod/default/a
  name: a
  namespace: default
  serviceAccount: web
  trustDomain: cluster.local
  network: ""
  workloadIps: [10.0.0.1, "::ffff:10.0.0.9", "2001:db8::1"]
  protocol: HBONE
  services: {default/web.example: {80: 8080, 443: 0}}
  authorizationPolicies: [default/only-b, n/p]
  waypoint: {destination: /10.0.0.2, hboneMtlsPort: 15008}
  networkGateway: {destination: n/gateway.example}
  applicationTunnel: {protocol: PROXY, port: 15088}
  status: Unhealthy
  capacity: 3
  node: k1
  clusterId: c
  locality: {region: r, zone: z, subzone: s}
  workloadType: job
- {uid: b, namespace: default, workloadIps: [10.0.0.1], networkMode: HostNetwork, hostname: db.example, nativeTunnel: true}
"#,
    r#"policies:
- name: only-b
  namespace: default
  scope: WorkloadSelector
  action: Allow
  rules:
  - - - principals: [{Exact: cluster.local/ns/default/sa/b}, {Suffix: /sa/c}, Presence]
        notNamespaces: [{Prefix: kube-}]
        serviceAccounts: [{namespace: default, serviceAccount: b}]
        sourceIps: [10.0.0.0/8, "::ffff:10.0.0.0/104"]
        notDestinationPorts: [80]
- {name: all, namespace: default, scope: Global, action: Deny, rules: [[]], dryRun: true}
"#,
    r#"services:
- name: web
  namespace: default
  hostname: web.example
  vips: [west/10.96.0.1, /2001:db8::96]
  cidrVips: [/10.96.0.0/16]
  ports: {80: 8080}
  endpoints: {}
  subjectAltNames: [spiffe://other/ns/default/sa/a, not-an-id]
  waypoint: {destination: default/way.example}
  loadBalancer: {routingPreferences: [Network, zone], mode: Failover, healthPolicy: AllowAll}
  ipFamilies: IPv4
  canonical: true
  visibility: Namespace
- {namespace: n, hostname: web.example, vips: [west/10.96.0.1]}
"#,
    "workloads:\n- &a {uid: a, namespace: n}\n- {<<: *a, uid: b}\n",
    "workloads: [{uid: a, namespace: n}, {uid: a, namespace: m}]\n",
    "workloads: [{uid: \"\", namespace: n}]\n",
    "workloads: [{uid: a, namespace: n, unknown: 1}]\n",
    "{\"workloads\": [{\"uid\": \"\\u0007\\ud83d\\ude00\", \"namespace\": \"n\", \"capacity\": 4294967295}]}\n",
    "policies: [{name: p, namespace: n, scope: Global, action: Allow, rules: [[[{}]]]}]\n---\npolicies: []\n",
];
