//! The choice against one that looks at every endpoint.

use std::collections::BTreeMap;
use std::time::Duration;

use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;
use crate::balance::Observed;
use crate::limit::Limits;
use crate::mesh::sample::{one, rarely};
use crate::mesh::{
    ApplicationTunnel, Delta, HealthStatus, LoadBalancer, Locality, Mode, PortMap, RoutingScope, ServiceKey,
    ServiceSpec, TunnelledApplication, Uid, WorkloadSpec,
};
use crate::time::Time;

const NOTHING: Seen<'static> = Seen { observed: None, now: Time::START, avoid: None };

#[derive(Clone, Debug)]
struct Case {
    snapshot: Snapshot,
    source: Workload,
    local: Local,
    service: Service,
    port: u16,
}

fn place(g: &mut Gen, names: &[&'static str]) -> Arc<str> {
    one(g, names).into()
}

fn workload(g: &mut Gen, number: usize) -> Workload {
    // Most endpoints of a service are alike.
    let odd = rarely(g, 4);
    let ips: &[&str] = if odd {
        one(g, &[&["10.1.0.1", "2001:db8::1"][..], &["2001:db8::1"], &[], &["10.1.0.1"]])
    } else {
        &["10.1.0.1"]
    };
    let ports: PortMap = if odd {
        one(g, &[&[(80, 81)][..], &[(80, 0)], &[(443, 9443), (80, 8080)], &[(80, 15006)]])
            .iter()
            .copied()
            .collect()
    } else {
        PortMap::default()
    };
    let key = ServiceKey::new("n", "h");
    let spec = WorkloadSpec {
        uid: format!("e{number}").into(),
        namespace: "n".into(),
        network: if rarely(g, 8) { "far".into() } else { "".into() },
        workload_ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        hostname: if odd { place(g, &["", "db.example"]) } else { "".into() },
        status: if rarely(g, 6) { HealthStatus::Unhealthy } else { HealthStatus::Healthy },
        capacity: one(g, &[1, 1, 1, 2, 5, 0]),
        services: if rarely(g, 12) { BTreeMap::new() } else { [(key, ports)].into() },
        application_tunnel: (odd && rarely(g, 3))
            .then_some(ApplicationTunnel { protocol: TunnelledApplication::None, port: 99 }),
        node: place(g, &["k1", "k2", "k3"]),
        cluster_id: place(g, &["c1", "c2"]),
        locality: Locality {
            region: place(g, &["r1", "r2"]),
            zone: place(g, &["z1", "z2"]),
            subzone: place(g, &["", "s1", "s2"]),
        },
        ..WorkloadSpec::default()
    };
    Workload::try_from(spec).unwrap()
}

const SCOPES: [RoutingScope; 6] = [
    RoutingScope::Network,
    RoutingScope::Region,
    RoutingScope::Zone,
    RoutingScope::Subzone,
    RoutingScope::Node,
    RoutingScope::Cluster,
];

fn service(g: &mut Gen) -> Service {
    let preferences = u8::arbitrary(g) % 5;
    let spec = ServiceSpec {
        namespace: "n".into(),
        hostname: "h".into(),
        ports: one(g, &[&[(80, 8080), (443, 8443)][..], &[(80, 0), (443, 8443)], &[(443, 15008)]])
            .iter()
            .copied()
            .collect(),
        load_balancer: (!rarely(g, 5)).then(|| LoadBalancer {
            routing_preferences: (0..preferences).map(|_| one(g, &SCOPES)).collect(),
            mode: one(g, &[Mode::Failover, Mode::Failover, Mode::Strict, Mode::Standard]),
            health_policy: one(g, &[HealthPolicy::AllowAll, HealthPolicy::OnlyHealthy]),
        }),
        ip_families: one(g, &[None, Some(IpFamilies::Dual), Some(IpFamilies::Ipv4), Some(IpFamilies::Ipv6)]),
        ..ServiceSpec::default()
    };
    Service::try_from(spec).unwrap()
}

impl Arbitrary for Case {
    fn arbitrary(g: &mut Gen) -> Case {
        let mut snapshot = Snapshot::new();
        let mut last = service(g);
        for _ in 0..3 {
            let mut delta = Delta::new();
            for _ in 0..u8::arbitrary(g) % 64 {
                let number = usize::from(u8::arbitrary(g) % 96);
                if rarely(g, 4) {
                    delta.remove_workload(Uid::new(format!("e{number}")));
                } else {
                    delta.upsert_workload(workload(g, number));
                }
            }
            // The service comes, changes and goes between its endpoints; in the end it is there.
            if bool::arbitrary(g) {
                last = service(g);
                delta.upsert_service(last.clone());
            } else if rarely(g, 3) {
                delta.remove_service(last.key.clone());
            }
            snapshot = snapshot.apply(delta).0;
        }
        let mut delta = Delta::new();
        delta.upsert_service(last.clone());
        Case {
            snapshot: snapshot.apply(delta).0,
            source: workload(g, 200),
            local: Local::default(),
            service: last,
            port: one(g, &[80, 80, 443, 8080]),
        }
    }
}

impl Case {
    fn choose(&self, draw: u64) -> Result<Candidate<'_>, RouteFault> {
        self.choose_seeing(&NOTHING, draw)
    }

    fn choose_seeing<'a>(&'a self, seen: &'a Seen<'a>, draw: u64) -> Result<Candidate<'a>, RouteFault> {
        let peer = "10.0.0.1:1".parse().unwrap();
        let captured = Captured { source: &self.source, peer, original: peer, resolved: None };
        choose(&self.snapshot, &self.local, &captured, &self.service, self.port, seen, draw)
    }

    /// Whether an endpoint can take the connection, and at which port.
    fn naive_port(&self, workload: &Workload) -> Option<u16> {
        let balancer = self.service.load_balancer.as_ref();
        let any_health = balancer.is_some_and(|b| b.health_policy == HealthPolicy::AllowAll);
        let reachable = workload.ips.iter().any(|ip| takes_family(&self.service, *ip))
            || (workload.ips.is_empty() && !workload.about.hostname.is_empty());
        let port = target_port(&self.service, workload, self.port)?;
        let takes = (any_health || workload.status == HealthStatus::Healthy)
            && reachable
            && workload.network == self.local.network
            && !self.local.is_own_port(port);
        takes.then_some(port)
    }

    fn naive_matched(&self, workload: &Workload) -> usize {
        let (a, b) = (&self.source, workload);
        let shares = |scope: &&RoutingScope| match scope {
            RoutingScope::Cluster => a.about.cluster_id == b.about.cluster_id,
            RoutingScope::Network => a.network == b.network,
            RoutingScope::Node => a.about.node == b.about.node,
            RoutingScope::Region => a.about.locality.region == b.about.locality.region,
            RoutingScope::Subzone => a.about.locality.subzone == b.about.locality.subzone,
            RoutingScope::Zone => a.about.locality.zone == b.about.locality.zone,
        };
        let balancer = self.service.load_balancer.iter();
        balancer.flat_map(|b| &b.routing_preferences).take_while(shares).count()
    }

    /// Every endpoint that may be chosen, with its port and capacity.
    fn naive(&self) -> BTreeMap<Uid, (u16, u64)> {
        self.naive_sharing(|_| 1)
    }

    /// So with a part of each one's capacity.
    fn naive_sharing(&self, share: impl Fn(&Workload) -> u64) -> BTreeMap<Uid, (u16, u64)> {
        let admitted: Vec<_> = self
            .snapshot
            .workloads()
            .filter(|workload| u64::from(workload.capacity) * share(workload) > 0)
            .filter_map(|workload| Some((workload, self.naive_port(workload)?)))
            .collect();
        let best = admitted.iter().map(|(workload, _)| self.naive_matched(workload)).max();
        let needed = match self.service.load_balancer.as_ref() {
            Some(balancer) if balancer.mode == Mode::Strict => balancer.routing_preferences.len(),
            Some(balancer) if balancer.mode == Mode::Failover => best.unwrap_or(0),
            _ => 0,
        };
        let left = admitted.into_iter().filter(|(workload, _)| self.naive_matched(workload) >= needed);
        left.map(|(workload, port)| {
            (workload.uid.clone(), (port, u64::from(workload.capacity) * share(workload)))
        })
        .collect()
    }
}

quickcheck! {
    /// Of all draws, as many fall on each endpoint as its share of the capacity is.
    fn endpoints_are_chosen_as_if_each_had_been_looked_at(case: Case) -> bool {
        let expected = case.naive();
        let total: u64 = expected.values().map(|(_, weight)| weight).sum();
        let mut chosen: BTreeMap<Uid, (u16, u64)> = BTreeMap::new();
        for at in 0..total {
            let draw = u64::try_from(((2 * u128::from(at) + 1) << 63) / u128::from(total)).unwrap();
            let Ok(candidate) = case.choose(draw) else { return false };
            let count = chosen.entry(candidate.workload.uid.clone()).or_insert((candidate.port, 0));
            if count.0 != candidate.port { return false; }
            count.1 += 1;
        }
        chosen == expected && (total > 0 || case.choose(7).is_err())
    }
}

/// Endpoints that failed, at some time since.
#[derive(Clone, Debug)]
struct Failing {
    case: Case,
    observed: Observed,
    now: Time,
}

impl Arbitrary for Failing {
    fn arbitrary(g: &mut Gen) -> Failing {
        let case = Case::arbitrary(g);
        let mut observed = Observed::new(&Limits::default());
        let key = &case.service.key;
        let endpoints = case.snapshot.endpoints(key).count();
        let mut now = Time::START;
        for _ in 0..u8::arbitrary(g) % 48 {
            let failing = Uid::new(format!("e{}", u8::arbitrary(g) % 6));
            observed.failed(now, key, &failing, endpoints);
            now = now.after(Duration::from_millis(u64::from(u16::arbitrary(g) % 800)));
        }
        Failing { case, observed, now: now.after(Duration::from_secs(u64::from(u8::arbitrary(g) % 16))) }
    }
}

quickcheck! {
    fn what_is_ejected_or_returns_has_its_part_and_no_more(failing: Failing) -> bool {
        let Failing { case, observed, now } = failing;
        let seen = Seen { observed: Some(&observed), now, avoid: None };
        let count = case.snapshot.endpoints(&case.service.key).count();
        let share = |workload: &Workload| observed.share(now, &case.service.key, &workload.uid, count);
        let mut expected = case.naive_sharing(share);
        if expected.is_empty() {
            expected = case.naive_sharing(|_| 64);
        }
        let total: u64 = expected.values().map(|(_, weight)| weight).sum();
        let mut chosen: BTreeMap<Uid, (u16, u64)> = BTreeMap::new();
        for at in 0..total {
            let draw = u64::try_from(((2 * u128::from(at) + 1) << 63) / u128::from(total)).unwrap();
            let Ok(candidate) = case.choose_seeing(&seen, draw) else { return false };
            chosen.entry(candidate.workload.uid.clone()).or_insert((candidate.port, 0)).1 += 1;
        }
        chosen == expected
    }
}

#[test]
fn generated_failures_eject_and_return() {
    let mut g = Gen::new(20);
    let shares: Vec<u64> = (0..100)
        .map(|_| Failing::arbitrary(&mut g))
        .flat_map(|failing| {
            let Failing { case, observed, now } = failing;
            let count = case.snapshot.endpoints(&case.service.key).count();
            case.naive()
                .keys()
                .map(|uid| observed.share(now, &case.service.key, uid, count))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(shares.contains(&0) && shares.iter().any(|share| (1..64).contains(share)), "{shares:?}");
}

#[test]
fn generated_services_are_not_trivial() {
    let mut g = Gen::new(20);
    let cases: Vec<Case> = (0..200).map(|_| Case::arbitrary(&mut g)).collect();
    let classes =
        |case: &Case| case.snapshot.endpoint_index(&case.service.key).map_or(0, |e| e.classes().count());
    assert!(cases.iter().any(|case| classes(case) > 3));
    // Preferences leave some of those that could take the connection, and not all.
    let excluded = |case: &Case| {
        let admitted =
            case.snapshot.workloads().filter(|w| w.capacity > 0 && case.naive_port(w).is_some()).count();
        case.naive().len() > 1 && case.naive().len() < admitted
    };
    let count = cases.iter().filter(|case| excluded(case)).count();
    assert!(count > 10, "{count}");
}
