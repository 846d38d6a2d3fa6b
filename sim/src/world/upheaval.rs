//! Workloads that are not what they were: other names, another pod at an address, endpoints that come and go, waypoints, and
//! facts that somebody hostile made up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use culvert_core::capture::RouteFault;
use culvert_core::engine::boundary::{Input, WorkloadRef};
use culvert_core::fault::Fault;
use culvert_core::mesh::{
    Action, ApplicationTunnel, Cidr, Delta, Destination, GatewayAddress, HealthStatus, Match, NetworkAddress,
    Policy, PolicyKey, PortMap, Scope, Service, ServiceKey, ServiceSpec, StringMatch, TunnelProtocol,
    TunnelledApplication, Uid, Workload, WorkloadSpec,
};
use culvert_core::telemetry::{Event, Reason, Reporter};
use serde::{Deserialize, Serialize};

use super::{NodeId, Pod, Serve, World};

/// Where a gateway's application takes what it passes on.
const PASSED: u16 = 15443;
/// The virtual address of the service of [`World::service`].
const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1));

/// Facts that no honest control plane would send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hostile {
    /// Addresses that are nobody's, and another pod's.
    Addresses,
    /// A policy that was not understood, for everybody.
    Garbled,
    /// Names with control characters, and very long ones.
    Names,
    /// A service with ports 0, 65535 and the proxy's own.
    Ports,
    /// Policies without rules, with empty ones, and with thousands.
    Rules,
    /// Weights so large that their sum overflows, and none.
    Weights,
}

impl Hostile {
    /// All of them.
    pub const ALL: [Hostile; 6] = [
        Hostile::Addresses,
        Hostile::Garbled,
        Hostile::Names,
        Hostile::Ports,
        Hostile::Rules,
        Hostile::Weights,
    ];
}

/// What happened to workloads.
#[derive(Debug, Default)]
pub(super) struct Upheavals {
    /// Addresses that are another pod's than they were.
    reused: BTreeSet<IpAddr>,
    /// Whether workloads have other names, services or policies than their own.
    renamed: bool,
    /// Whether there are endpoints less.
    churned: bool,
    hostile: bool,
}

impl World {
    /// A service of these ports with these endpoints, at a virtual address.
    pub fn service(&mut self, ports: &[u16], endpoints: &[Pod]) -> IpAddr {
        let spec = ServiceSpec {
            name: "all".into(),
            namespace: "default".into(),
            hostname: "all.default.svc".into(),
            vips: vec![NetworkAddress::new("".into(), VIP)],
            ports: ports.iter().map(|port| (*port, *port)).collect(),
            ..ServiceSpec::default()
        };
        let mut delta = Delta::new();
        delta.upsert_service(Service::try_from(spec).expect("the service's key is correct"));
        self.apply(delta);
        for pod in endpoints {
            self.endpoint(*pod, Some(HealthStatus::Healthy));
        }
        VIP
    }

    /// A pod stands before the service of [`World::service`] from here on, or none does.
    pub fn service_waypoint(&mut self, waypoint: Option<Pod>) {
        let gateway = waypoint.map(|pod| self.gateway_at(pod));
        self.change_service(|spec| spec.waypoint = gateway);
    }

    /// Adds a gateway to another network: a pod whose application passes on what it gets.
    pub fn gateway(&mut self, node: NodeId) -> Pod {
        let gate = self.pod(node, "gate");
        self.change(gate, |spec| {
            let protocol = TunnelledApplication::None;
            spec.application_tunnel = Some(ApplicationTunnel { protocol, port: PASSED });
        });
        gate
    }

    /// The service of [`World::service`] has an endpoint in another network, of which only its gateway is known and which pod is
    /// there; or has none.
    pub fn beyond(&mut self, way: Option<(Pod, Pod)>) {
        let mut delta = Delta::new();
        let Some((gate, server)) = way else {
            delta.remove_workload(Uid::new("beyond"));
            return self.apply(delta);
        };
        self.serve(gate, PASSED, Serve::Forward(self.address(server, 15008)));
        let spec = WorkloadSpec {
            uid: "beyond".into(),
            name: "beyond".into(),
            namespace: "default".into(),
            network: "far".into(),
            services: BTreeMap::from([(ServiceKey::new("default", "all.default.svc"), PortMap::default())]),
            network_gateway: Some(self.gateway_at(gate)),
            ..WorkloadSpec::default()
        };
        delta.upsert_workload(Workload::try_from(spec).expect("the facts are correct"));
        self.apply(delta);
        let identity = self.identity(server).to_string();
        self.change_service(|spec| spec.subject_alt_names = vec![identity.into()]);
    }

    fn change_service(&mut self, with: impl FnOnce(&mut ServiceSpec)) {
        let key = ServiceKey::new("default", "all.default.svc");
        let known = self.control.facts().service(&key).cloned().expect("there is the service");
        let mut spec = ServiceSpec::from(known.as_ref().clone());
        with(&mut spec);
        let mut delta = Delta::new();
        delta.upsert_service(Service::try_from(spec).expect("the service's key is correct"));
        self.apply(delta);
    }

    /// A pod is an endpoint of the service, in this health, or is none.
    pub fn endpoint(&mut self, pod: Pod, status: Option<HealthStatus>) {
        self.upheavals.churned |= status != Some(HealthStatus::Healthy);
        let key = ServiceKey::new("default", "all.default.svc");
        self.change(pod, |spec| {
            spec.status = status.unwrap_or_default();
            spec.services = match status {
                Some(_) => BTreeMap::from([(key, PortMap::default())]),
                None => BTreeMap::new(),
            };
        });
    }

    /// What a pod is called changes in its facts, not in its node.
    pub fn rename(&mut self, pod: Pod, with: impl FnOnce(&mut WorkloadSpec)) {
        self.upheavals.renamed = true;
        self.change(pod, with);
    }

    /// A waypoint at whose address nothing is stands before a pod, or does not any more.
    pub fn waypoint(&mut self, pod: Pod, stands: bool) {
        let address = NetworkAddress::new("".into(), IpAddr::V4(Ipv4Addr::new(10, 96, 0, 9)));
        let gateway = GatewayAddress { destination: Destination::Address(address), hbone_mtls_port: 15008 };
        self.change(pod, |spec| spec.waypoint = stands.then_some(gateway));
    }

    /// A pod is the waypoint of another from here on, named by its address.
    pub fn stand_before(&mut self, pod: Pod, waypoint: Pod) {
        let gateway = self.gateway_at(waypoint);
        self.change(pod, |spec| spec.waypoint = Some(gateway));
    }

    /// A pod is an endpoint of one more service, in its health.
    pub fn join(&mut self, pod: Pod, namespace: &str, hostname: &str) {
        let key = ServiceKey::new(namespace, hostname);
        self.change(pod, |spec| {
            spec.services.insert(key, PortMap::default());
        });
    }

    /// The address of a pod, as that of a waypoint or gateway.
    pub fn gateway_at(&self, pod: Pod) -> GatewayAddress {
        let host = self.host(pod);
        let address = NetworkAddress::new(host.spec.network.clone(), host.ip);
        GatewayAddress { destination: Destination::Address(address), hbone_mtls_port: 15008 }
    }

    /// The facts of a pod are as they were when it was added, whatever has become of them.
    pub fn restore_pod(&mut self, pod: Pod) {
        let WorkloadRef { namespace, service_account, .. } = self.host(pod).added.clone();
        self.change(pod, |spec| {
            (spec.namespace, spec.service_account) = (namespace, service_account);
            spec.authorization_policies.clear();
            spec.waypoint = None;
            spec.capacity = 1;
            spec.canonical_name = "".into();
        });
    }

    /// A pod goes, and another with its address is there at once: under another name, and another identity.
    pub fn reuse(&mut self, pod: Pod, name: &str) -> Pod {
        let Some(node) = self.host(pod).node else { return pod };
        for number in 0..self.apps.list.len() {
            if self.apps.list[number].place == pod {
                self.apps.list[number].leave(&mut self.net);
            }
        }
        self.input(node, Input::PodRemoved { pod: pod.id() });
        let old = &mut self.hosts[pod.0];
        old.gone = true;
        let (ip, uid) = (old.ip, Uid::new(old.spec.uid.clone()));
        let spec = WorkloadSpec {
            uid: format!("c//Pod/default/{name}").into(),
            name: name.into(),
            namespace: "default".into(),
            service_account: name.into(),
            trust_domain: "cluster.local".into(),
            workload_ips: vec![ip],
            protocol: TunnelProtocol::Hbone,
            services: old.spec.services.clone(),
            ..WorkloadSpec::default()
        };
        let added =
            WorkloadRef { namespace: "default".into(), name: name.into(), service_account: name.into() };
        let new = self.add_pod(node, ip, spec.clone(), added);
        self.upheavals.reused.insert(ip);
        let mut delta = Delta::new();
        delta.remove_workload(uid);
        delta.upsert_workload(Workload::try_from(spec).expect("a pod's facts are correct"));
        self.apply(delta);
        new
    }

    /// Facts arrive that somebody hostile made up (C14). What cannot be is refused before it is a fact.
    pub fn hostile(&mut self, what: Hostile, pod: Pod) {
        refuse_impossible();
        self.upheavals.hostile = true;
        let mut delta = Delta::new();
        match what {
            Hostile::Addresses => {
                let texts = ["127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "::ffff:10.0.1.1", "::"];
                let mut ips: Vec<IpAddr> = texts.iter().filter_map(|text| text.parse().ok()).collect();
                ips.push(self.host(pod).ip);
                delta.upsert_workload(hostile_workload(|spec| spec.workload_ips = ips));
            }
            Hostile::Garbled => {
                delta.undecodable_policy(hostile_key(), Some(Scope::Global), "made of noise\u{0}\n");
            }
            Hostile::Names => {
                let junk: Arc<str> = "\u{0}\r\n\u{202e}\"%,;=".repeat(800).into();
                self.change(pod, |spec| spec.canonical_name = junk);
            }
            Hostile::Ports => {
                let ports = [(0, 0), (80, 15008), (81, 15001), (82, 0), (8080, 15006), (65535, 65535)];
                delta.upsert_service(hostile_service(ports.into_iter().collect()));
            }
            Hostile::Rules => delta.upsert_policy(hostile_policy()),
            Hostile::Weights => self.change(pod, |spec| spec.capacity = u32::MAX),
        }
        self.apply(delta);
    }

    /// What somebody hostile made up is gone again.
    pub fn purge(&mut self) {
        self.upheavals =
            Upheavals { reused: std::mem::take(&mut self.upheavals.reused), ..Upheavals::default() };
        let mut delta = Delta::new();
        delta.remove_workload(Uid::new("hostile"));
        delta.remove_policy(hostile_key());
        delta.remove_service(ServiceKey::new("hostile", "hostile.svc"));
        self.apply(delta);
    }

    /// Which changes an event shows.
    pub(super) fn note_upheaval(&mut self, node: NodeId, event: &Event) {
        match event {
            Event::TunnelClosed { peer, side: Reporter::Source, fault } => {
                let lost = matches!(fault, Fault::WrongPeer { .. } | Fault::WorkloadGone);
                if lost && self.upheavals.reused.contains(&peer.ip()) {
                    self.shown.insert("C11");
                }
                if matches!(fault, Fault::WrongPeer { .. }) && self.upheavals.renamed {
                    self.shown.insert("C10");
                }
            }
            Event::Opened(_) if self.upheavals.hostile && self.control.is_current(node) => {
                self.shown.insert("C14");
            }
            Event::Closed { reason: Reason::Failed(Fault::Route(fault)), .. } => match fault {
                RouteFault::NoHealthyEndpoint if self.upheavals.churned => {
                    self.shown.insert("C12");
                }
                RouteFault::NoWaypoint => {
                    self.shown.insert("C13");
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// An address of the service.
    pub fn service_address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(VIP, port)
    }
}

/// What no fact can say, whoever sends it.
fn refuse_impossible() {
    let refused = |change: fn(&mut WorkloadSpec)| {
        let mut spec =
            WorkloadSpec { uid: "hostile".into(), namespace: "x".into(), ..WorkloadSpec::default() };
        change(&mut spec);
        Workload::try_from(spec).is_err()
    };
    let service = |hostname: &str| {
        let (namespace, hostname) = ("hostile".into(), hostname.into());
        Service::try_from(ServiceSpec { namespace, hostname, ..ServiceSpec::default() }).is_err()
    };
    let all = refused(|spec| spec.uid = "".into())
        && refused(|spec| spec.namespace = "a/../b".into())
        && refused(|spec| spec.namespace = "a\u{0}b".into())
        && refused(|spec| spec.service_account = "..".into())
        && refused(|spec| spec.trust_domain = "UPPER CASE".into())
        && refused(|spec| spec.trust_domain = "x".repeat(70_000).into())
        && service("")
        && service("a/b")
        && Cidr::new(VIP, 33).is_err();
    assert!(all, "C14: a fact that cannot be was taken for one");
}

fn hostile_key() -> PolicyKey {
    PolicyKey::new("hostile", "hostile")
}

fn hostile_workload(with: impl FnOnce(&mut WorkloadSpec)) -> Workload {
    let mut spec =
        WorkloadSpec { uid: "hostile".into(), namespace: "hostile".into(), ..WorkloadSpec::default() };
    with(&mut spec);
    Workload::try_from(spec).expect("its names are correct")
}

fn hostile_service(ports: PortMap) -> Service {
    let spec = ServiceSpec {
        namespace: "hostile".into(),
        hostname: "hostile.svc".into(),
        vips: vec![NetworkAddress::new("".into(), VIP)],
        ports,
        canonical: true,
        ..ServiceSpec::default()
    };
    Service::try_from(spec).expect("its names are correct")
}

/// It denies many who do not exist, by thousands of rules, and nobody else.
fn hostile_policy() -> Policy {
    let nobody = |number: usize| Match {
        namespaces: vec![StringMatch::Exact(format!("nobody-{number}\u{0}").into())],
        destination_ports: vec![0, 65535],
        ..Match::default()
    };
    let mut rules: Vec<_> = (0..2000).map(|number| vec![vec![nobody(number)]]).collect();
    rules.push(vec![vec![Match::default()], vec![]]);
    Policy {
        name: "hostile".into(),
        namespace: "hostile".into(),
        scope: Scope::Global,
        action: Action::Deny,
        rules,
        dry_run: false,
    }
}
