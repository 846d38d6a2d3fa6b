//! A large mesh: what its facts cost in memory, and what a change, a decision and a verdict cost in time.
//!
//!     cargo bench -p culvert-core --bench scale              # prints a table
//!     cargo bench -p culvert-core --bench scale -- decision  # that path alone, a few thousand times: for callgrind
//!
//! `decision`, `verdict` and `delta` are the paths.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a benchmark measures time")]
#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use culvert_core::capture::{Captured, Decision, Local, outbound};
use culvert_core::mesh::{
    Action, Delta, Interner, LoadBalancer, Locality, Match, Mode, NetworkAddress, Policy, PolicyKey,
    RoutingScope, Scope, Service, ServiceKey, ServiceSpec, Snapshot, StringMatch, TunnelProtocol, Workload,
    WorkloadSpec,
};
use culvert_core::policy::{self, Compat};

const WORKLOADS: usize = 100_000;
const SERVICES: usize = 10_000;
const POLICIES: usize = 10_000;
/// Endpoints of the first service.
const CROWD: usize = 10_000;
const RULES: usize = 1_000;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn ip(net: u8, number: usize) -> IpAddr {
    let [_, b, c, d] = u32::try_from(number).unwrap().to_be_bytes();
    Ipv4Addr::new(net, b, c, d).into()
}

fn service_key(number: usize) -> ServiceKey {
    ServiceKey::new(
        format!("team-{}", number % 100),
        format!("app-{number}.team-{}.svc.cluster.local", number % 100),
    )
}

/// Deployments of ten pods each, spread over nodes; every tenth pod is an endpoint of the crowded service as well.
fn workload(number: usize) -> Workload {
    let deployment = number % SERVICES;
    let node = (number / 20) % 5_000;
    let key = service_key(deployment);
    let mut services = std::collections::BTreeMap::from([(key.clone(), Default::default())]);
    if number.is_multiple_of(WORKLOADS / CROWD) {
        services.insert(service_key(0), Default::default());
    }
    let policies = if number.is_multiple_of(2) { vec![policy_key(deployment)] } else { Vec::new() };
    let spec = WorkloadSpec {
        uid: format!("cluster1//Pod/{}/app-{deployment}-5f7c9d8b6d-{number:05x}", key.namespace).into(),
        name: format!("app-{deployment}-5f7c9d8b6d-{number:05x}").into(),
        namespace: key.namespace,
        service_account: format!("app-{}", deployment % 1_000).into(),
        workload_ips: vec![ip(10, number)],
        protocol: TunnelProtocol::Hbone,
        services,
        authorization_policies: policies,
        node: format!("ip-10-0-{}-{}.region.compute.internal", node / 256, node % 256).into(),
        cluster_id: "cluster1".into(),
        locality: Locality {
            region: "region".into(),
            zone: format!("zone-{}", node % 3).into(),
            subzone: "".into(),
        },
        workload_name: format!("app-{deployment}").into(),
        canonical_name: format!("app-{deployment}").into(),
        canonical_revision: "v1".into(),
        ..WorkloadSpec::default()
    };
    Workload::try_from(spec).unwrap()
}

fn service(number: usize) -> Service {
    let key = service_key(number);
    let spec = ServiceSpec {
        name: format!("app-{number}").into(),
        namespace: key.namespace,
        hostname: key.hostname,
        vips: vec![NetworkAddress::new("".into(), ip(11, number))],
        ports: [(80, 8080), (443, 8443)].into_iter().collect(),
        load_balancer: (number.is_multiple_of(2)).then(|| LoadBalancer {
            routing_preferences: vec![RoutingScope::Network, RoutingScope::Region, RoutingScope::Zone],
            mode: Mode::Failover,
            ..LoadBalancer::default()
        }),
        ..ServiceSpec::default()
    };
    Service::try_from(spec).unwrap()
}

fn policy_key(number: usize) -> PolicyKey {
    PolicyKey::new(format!("team-{}", number % 100), format!("policy-{number}"))
}

fn policy(number: usize, rules: usize) -> Policy {
    let key = policy_key(number);
    let principal =
        |rule: usize| StringMatch::Exact(format!("cluster.local/ns/team-{rule}/sa/app-{rule}").into());
    let rule = |rule| vec![vec![Match { principals: vec![principal(rule)], ..Match::default() }]];
    Policy {
        name: key.name,
        namespace: key.namespace,
        scope: Scope::WorkloadSelector,
        action: Action::Allow,
        rules: (0..rules).map(rule).collect(),
        dry_run: false,
    }
}

/// Shortest of some runs of `times` each: what else the machine does makes runs longer, never shorter.
fn each(times: u32, mut work: impl FnMut(u32)) -> Duration {
    let run = |_| {
        let start = Instant::now();
        (0..times).for_each(&mut work);
        start.elapsed() / times
    };
    (0..7).map(run).min().unwrap()
}

struct World {
    snapshot: Snapshot,
    interner: Interner,
}

fn world() -> World {
    let mut interner = Interner::new();
    let mut delta = Delta::new();
    let before = HELD.load(Ordering::Relaxed);
    // In batches, as a control plane sends them, so that what is shared is not there a hundred thousand times before.
    let mut snapshot = Snapshot::new();
    let mut applied = Duration::ZERO;
    let mut take = |interner: &mut Interner, delta: &mut Delta, snapshot: &mut Snapshot| {
        let start = Instant::now();
        *snapshot = snapshot.apply(interner.share(std::mem::take(delta))).0;
        applied += start.elapsed();
    };
    (0..SERVICES).for_each(|number| delta.upsert_service(service(number)));
    (0..POLICIES).for_each(|number| delta.upsert_policy(policy(number, 1)));
    take(&mut interner, &mut delta, &mut snapshot);
    for number in 0..WORKLOADS {
        delta.upsert_workload(workload(number));
        if number % 1_000 == 999 {
            take(&mut interner, &mut delta, &mut snapshot);
        }
    }
    let with_interner = HELD.load(Ordering::Relaxed) - before;
    println!(
        "{WORKLOADS} workloads, {SERVICES} services, {POLICIES} policies, one service of {CROWD} endpoints"
    );
    println!("applied in batches of 1,000           {:>10.2} s", applied.as_secs_f64());
    println!("memory for each workload, of all facts {:>9} bytes", with_interner / WORKLOADS);
    World { snapshot, interner }
}

fn decision(snapshot: &Snapshot, number: u32, crowded: bool) -> Decision {
    let source = snapshot.workload(workload(7).uid.as_str()).unwrap();
    decision_of(snapshot, source, number, crowded)
}

fn decision_of(snapshot: &Snapshot, source: &Workload, number: u32, crowded: bool) -> Decision {
    let service = if crowded { 0 } else { 1 + number as usize % (SERVICES - 1) };
    let original = SocketAddr::new(ip(11, service), 80);
    let peer = SocketAddr::new(ip(10, 7), 40_000);
    let captured = Captured { source, peer, original, resolved: None };
    let draw = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    outbound(snapshot, &Local::default(), &captured, draw)
}

fn verdict(snapshot: &Snapshot, workload: &Workload) -> policy::Verdict {
    let identity = "spiffe://cluster.local/ns/team-999/sa/app-999".parse().unwrap();
    let connection = policy::Connection {
        identity: Some(&identity),
        source: ip(10, 7),
        destination: SocketAddr::new(ip(10, 8), 8080),
    };
    policy::evaluate(snapshot, workload, &connection, Compat::default())
}

fn with_rules(snapshot: &Snapshot) -> (Snapshot, Arc<Workload>) {
    let mut delta = Delta::new();
    delta.upsert_policy(policy(8, RULES));
    let judged = snapshot.workload(workload(8).uid.as_str()).unwrap().clone();
    (snapshot.apply(delta).0, judged)
}

/// A pod changes its address, and another time has its own again.
fn change(snapshot: &Snapshot, interner: &mut Interner, changed: &Workload, number: u32) -> Snapshot {
    let mut delta = Delta::new();
    let ips = [ip(12, number as usize % 2)].into();
    delta.upsert_workload(Workload { ips, ..changed.clone() });
    snapshot.apply(interner.share(delta)).0
}

fn main() {
    let path = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let World { mut snapshot, mut interner } = world();
    let (ruled, judged) = with_rules(&snapshot);
    let of_crowd = snapshot.workload(workload(WORKLOADS / CROWD).uid.as_str()).unwrap().clone();
    let source = snapshot.workload(workload(7).uid.as_str()).unwrap().clone();
    assert!(matches!(decision(&snapshot, 3, true), Decision::Tunnel(_)));
    match path.as_deref() {
        Some("decision") => {
            for number in 0..4_000 {
                black_box(decision_of(&snapshot, &source, number, number % 2 == 0));
            }
        }
        Some("verdict") => {
            for _ in 0..1_000 {
                black_box(verdict(&ruled, &judged));
            }
        }
        Some("delta") => {
            for number in 0..1_000 {
                snapshot = change(&snapshot, &mut interner, &of_crowd, number);
            }
        }
        Some(_) | None => {
            let crowd = each(2_000, |number| {
                black_box(decision_of(&snapshot, &source, number, true));
            });
            let any = each(2_000, |number| {
                black_box(decision_of(&snapshot, &source, number, false));
            });
            println!("decision, service of {CROWD} endpoints  {:>10.2} us", crowd.as_nanos() as f64 / 1e3);
            println!("decision, services of ten endpoints   {:>10.2} us", any.as_nanos() as f64 / 1e3);
            let judged = each(500, |_| {
                black_box(verdict(&ruled, &judged));
            });
            println!("verdict, {RULES} rules, the last matches {:>9.2} us", judged.as_nanos() as f64 / 1e3);
            let delta = each(500, |number| {
                snapshot = change(&snapshot, &mut interner, &of_crowd, number);
            });
            println!("delta, endpoint of {CROWD}              {:>10.2} us", delta.as_nanos() as f64 / 1e3);
            let alone = snapshot.workload(workload(11).uid.as_str()).unwrap().clone();
            let delta = each(500, |number| {
                snapshot = change(&snapshot, &mut interner, &alone, number);
            });
            println!("delta, endpoint of ten                {:>10.2} us", delta.as_nanos() as f64 / 1e3);
        }
    }
}
