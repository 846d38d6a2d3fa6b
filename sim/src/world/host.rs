//! Pods, machines and facts: what a test changes in the world.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use culvert_core::engine::boundary::{Input, PodId, WorkloadRef};
use culvert_core::identity::SpiffeId;
use culvert_core::mesh::{
    Action, Delta, Match, MeshFile, Policy, PolicyKey, Scope, StringMatch, TunnelProtocol, Uid, Workload,
    WorkloadSpec,
};

use super::network::{Owner, Side};
use super::node::{Issuing, Joining};
use super::{NodeId, World};

/// A pod, or a machine outside the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pod(pub(super) usize);

#[derive(Debug)]
pub(super) struct Host {
    pub(super) ip: IpAddr,
    /// Absent for a machine outside the mesh.
    pub(super) node: Option<NodeId>,
    /// Another has its address now.
    pub(super) gone: bool,
    pub(super) spec: WorkloadSpec,
    /// As which it was added to its node.
    pub(super) added: WorkloadRef,
    pub(super) identity: SpiffeId,
    /// Dials within it find no port.
    pub(super) ports_exhausted: bool,
    /// It is not there for now.
    pub(super) removed: bool,
    /// What its proxy dials is redirected to the proxy.
    pub(super) recaptured: bool,
    /// Its applications live in the process of its proxy.
    pub(super) consumer: bool,
}

impl Host {
    fn new(ip: IpAddr, node: Option<NodeId>, spec: WorkloadSpec, added: WorkloadRef) -> Host {
        let identity = identity_of(&spec);
        Host {
            ip,
            node,
            gone: false,
            spec,
            added,
            identity,
            ports_exhausted: false,
            removed: false,
            recaptured: false,
            consumer: false,
        }
    }
}

impl Pod {
    pub(super) fn id(self) -> PodId {
        PodId(u32::try_from(self.0).unwrap_or(u32::MAX))
    }
}

impl World {
    /// Adds a pod that is in the mesh, with its facts known to all.
    pub fn pod(&mut self, node: NodeId, name: &str) -> Pod {
        let pod = self.place(node, name);
        self.change(pod, |_| ());
        pod
    }

    /// Adds a pod of which nobody has facts yet; [`World::change`] makes it known.
    pub fn unknown_pod(&mut self, node: NodeId, name: &str) -> Pod {
        self.place(node, name)
    }

    /// The applications of a pod live in the process of its proxy from here on: what they dial and are dialled by goes through
    /// memory.
    pub fn consumer(&mut self, pod: Pod) {
        self.hosts[pod.0].consumer = true;
        self.tell_of_pod(pod);
    }

    fn place(&mut self, node: NodeId, name: &str) -> Pod {
        let number = u8::try_from(self.hosts.len() + 1).expect("few hosts");
        let ip = IpAddr::V4(Ipv4Addr::new(10, 0, u8::try_from(node.0 + 1).expect("few nodes"), number));
        let spec = WorkloadSpec {
            uid: format!("c//Pod/default/{name}").into(),
            name: name.into(),
            namespace: "default".into(),
            trust_domain: "cluster.local".into(),
            service_account: name.into(),
            workload_ips: vec![ip],
            protocol: TunnelProtocol::Hbone,
            ..WorkloadSpec::default()
        };
        let added =
            WorkloadRef { namespace: "default".into(), name: name.into(), service_account: name.into() };
        self.add_pod(node, ip, spec, added)
    }

    pub(super) fn add_pod(
        &mut self,
        node: NodeId,
        ip: IpAddr,
        spec: WorkloadSpec,
        added: WorkloadRef,
    ) -> Pod {
        self.hosts.push(Host::new(ip, Some(node), spec, added));
        let pod = Pod(self.hosts.len() - 1);
        self.tell_of_pod(pod);
        pod
    }

    /// Adds a machine outside the mesh.
    pub fn machine(&mut self) -> Pod {
        let number = u8::try_from(self.hosts.len() + 1).expect("few hosts");
        let ip = IpAddr::V4(Ipv4Addr::new(192, 168, 0, number));
        let spec =
            WorkloadSpec { uid: "machine".into(), namespace: "none".into(), ..WorkloadSpec::default() };
        let added = WorkloadRef { namespace: "".into(), name: "machine".into(), service_account: "".into() };
        self.hosts.push(Host::new(ip, None, spec, added));
        Pod(self.hosts.len() - 1)
    }

    /// An address of a pod or machine.
    pub fn address(&self, pod: Pod, port: u16) -> SocketAddr {
        SocketAddr::new(self.host(pod).ip, port)
    }

    /// The identity of a pod.
    pub fn identity(&self, pod: Pod) -> SpiffeId {
        identity_of(&self.host(pod).spec)
    }

    pub(super) fn host(&self, pod: Pod) -> &Host {
        &self.hosts[pod.0]
    }

    pub(super) fn host_at(&self, ip: IpAddr) -> Option<Pod> {
        self.hosts.iter().position(|host| host.ip == ip && !host.gone).map(Pod)
    }

    /// Changes the facts of a pod, for all nodes at once.
    pub fn change(&mut self, pod: Pod, with: impl FnOnce(&mut WorkloadSpec)) {
        let spec = &mut self.hosts[pod.0].spec;
        let before = spec.uid.clone();
        with(spec);
        let spec = spec.clone();
        let mut delta = Delta::new();
        if before != spec.uid {
            delta.remove_workload(Uid::new(before));
        }
        delta.upsert_workload(Workload::try_from(spec).expect("a pod's facts are correct"));
        self.apply(delta);
    }

    /// Adds policies and services, as in a mesh file.
    pub fn facts(&mut self, yaml: &str) {
        let file: MeshFile = serde_saphyr::from_str(yaml).expect("facts are correct");
        let mut delta = Delta::new();
        file.workloads.into_iter().for_each(|workload| delta.upsert_workload(workload));
        file.services.into_iter().for_each(|service| delta.upsert_service(service));
        file.policies.into_iter().for_each(|policy| delta.upsert_policy(policy));
        self.apply(delta);
    }

    /// Denies everything that comes from one identity to anybody, by a policy of the whole mesh with this name.
    pub fn deny(&mut self, name: &str, source: Pod) {
        let principal = self.identity(source).to_string().replace("spiffe://", "");
        let principals = vec![StringMatch::Exact(principal.into())];
        self.deny_where(name, Match { principals, ..Match::default() });
    }

    /// Denies whatever comes without an identity, as STRICT does (node.md row 69).
    pub fn strict(&mut self) {
        self.deny_where("strict", Match { not_principals: vec![StringMatch::Presence], ..Match::default() });
    }

    /// A policy of the whole mesh.
    fn deny_where(&mut self, name: &str, wanted: Match) {
        let mut delta = Delta::new();
        delta.upsert_policy(Policy {
            name: name.into(),
            namespace: "default".into(),
            scope: Scope::Global,
            action: Action::Deny,
            rules: vec![vec![vec![wanted]]],
            dry_run: false,
        });
        self.apply(delta);
    }

    /// Removes a policy of the namespace `default`.
    pub fn remove_policy(&mut self, name: &str) {
        let mut delta = Delta::new();
        delta.remove_policy(PolicyKey::new("default", name));
        self.apply(delta);
    }

    /// One node alone takes in facts that are wrong: that what is at `place` is `claimed`.
    pub fn misinform(&mut self, node: NodeId, place: Pod, claimed: Pod) {
        let wrong =
            WorkloadSpec { workload_ips: vec![self.host(place).ip], ..self.host(claimed).spec.clone() };
        let mut delta = Delta::new();
        delta.remove_workload(Uid::new(self.host(place).spec.uid.clone()));
        delta.upsert_workload(Workload::try_from(wrong).expect("a pod's facts are well formed"));
        self.apply_apart(node, delta);
    }

    /// One node alone does not know of a pod any more, until [`World::restore`].
    pub fn withhold(&mut self, node: NodeId, pod: Pod) {
        let mut delta = Delta::new();
        delta.remove_workload(Uid::new(self.host(pod).spec.uid.clone()));
        self.apply_apart(node, delta);
    }

    /// One node has the same facts as the others again.
    pub fn restore(&mut self, node: NodeId) {
        let facts = self.control.facts().clone();
        let changed = Arc::new(self.control.view(node).diff_to(&facts));
        self.take(node, facts, changed);
    }

    fn apply_apart(&mut self, node: NodeId, delta: Delta) {
        let (snapshot, changed) = self.control.view(node).apply(delta);
        self.take(node, Arc::new(snapshot), Arc::new(changed));
    }

    /// Removes the facts of a pod.
    pub fn forget(&mut self, pod: Pod) {
        let mut delta = Delta::new();
        delta.remove_workload(Uid::new(self.host(pod).spec.uid.clone()));
        self.apply(delta);
    }

    /// A node finishes what it has, until a deadline from now.
    pub fn drain(&mut self, node: NodeId, within: Duration) {
        let until = self.net.now.after(within);
        self.nodes[node.0].drain_until.get_or_insert(until);
        self.input(node, Input::Drain { until });
    }

    /// The process of a node's proxy does nothing any more; its kernel still does.
    pub fn stop(&mut self, node: NodeId) {
        self.nodes[node.0].stopped = true;
    }

    /// A node's driver is late by so much whenever time passes.
    pub fn lag(&mut self, node: NodeId, lag: Duration) {
        self.nodes[node.0].lag = lag;
    }

    /// The process goes on.
    pub fn resume(&mut self, node: NodeId) {
        self.nodes[node.0].stopped = false;
        self.accept_backlog(node);
    }

    /// The process is killed: the kernel closes what it had open.
    pub fn kill(&mut self, node: NodeId) {
        for (wire, side) in self.net.ends_of(node) {
            let Some(entry) = self.net.wire(wire) else { continue };
            match &entry.end(side.other()).owner {
                Owner::App(app) => {
                    self.apps.orphans.insert(*app);
                }
                Owner::Node(..) | Owner::Backlog(..) | Owner::Nobody if entry.target.port() != 15008 => {
                    let client = entry.end(Side::Dialler).address.ip();
                    self.apps.severed.insert((client, entry.target));
                }
                Owner::Attacker(_) | Owner::Node(..) | Owner::Backlog(..) | Owner::Nobody => {}
            }
            self.net.close(wire, side, false);
        }
        self.nodes[node.0].kill(&mut self.net);
    }

    /// How the certificate authority treats a node from here on.
    pub fn issuing(&mut self, node: NodeId, issuing: Issuing) {
        self.nodes[node.0].issuing = issuing;
    }

    /// How a node's driver takes joins from here on; those that are joined are parted where it cannot.
    pub fn joining(&mut self, node: NodeId, joining: Joining) {
        self.nodes[node.0].joining = joining;
    }

    /// A node gets a newer credential of a pod's identity.
    pub fn rotate(&mut self, pod: Pod) {
        let id = self.identity(pod);
        if let Some(node) = self.host(pod).node {
            self.issue(node, id);
        }
    }

    pub(super) fn input(&mut self, node: NodeId, input: Input) {
        let now = self.now_at(node);
        let entry = &mut self.nodes[node.0];
        if entry.killed {
            return;
        }
        entry.input(&mut self.net, now, input);
        self.grant(node);
    }
}

fn identity_of(spec: &WorkloadSpec) -> SpiffeId {
    Workload::try_from(spec.clone()).expect("a pod's facts are correct").identity().clone()
}
