//! Five keys and their versions, and what they mean, said a second time and plainly.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use culvert_core::identity::SpiffeId;
use culvert_core::mesh::{
    Action, Delta, Match, NetworkAddress, Policy, PolicyKey, PortMap, Scope, ServiceKey, StringMatch, Uid,
    Workload, WorkloadSpec,
};
use culvert_core::mesh::{Service, Visibility};
use culvert_core::policy::Connection;

/// Keys.
pub(super) const KEYS: usize = 5;
/// The version of each key; 0 is before its first.
pub(super) type Versions = [u8; KEYS];

/// The workload that is judged.
pub(super) const WORKLOAD: &str = "w";
const NAMESPACE: &str = "n";

const NAMES: [&str; KEYS] =
    ["the workload", "the workload that shares its address", "policy p", "policy q", "the service"];
const NEWEST: Versions = [3, 2, 3, 3, 3];

pub(super) fn name(key: usize) -> &'static str {
    NAMES.get(key).copied().unwrap_or("nothing")
}

pub(super) fn newest(key: usize) -> u8 {
    NEWEST.get(key).copied().unwrap_or(0)
}

/// Every combination of versions, in the order of their places.
pub(super) fn combinations() -> impl Iterator<Item = Versions> {
    let count: usize = NEWEST.iter().map(|newest| usize::from(*newest) + 1).product();
    (0..count).map(|mut place| {
        NEWEST.map(|newest| {
            let version = place % (usize::from(newest) + 1);
            place /= usize::from(newest) + 1;
            version as u8
        })
    })
}

/// Where a combination stands among them.
pub(super) fn place(versions: &Versions) -> Option<usize> {
    versions.iter().zip(NEWEST).rev().try_fold(0, |place, (version, newest)| {
        (*version <= newest).then(|| place * (usize::from(newest) + 1) + usize::from(*version))
    })
}

/// The versions as what has come to a node that knew nothing.
pub(super) fn changes(versions: &Versions) -> [Option<u8>; KEYS] {
    versions.map(|version| (version > 0).then_some(version))
}

/// What has come, as one delta. Of each key the version 0 is its removal, as the last one of some is.
pub(super) fn delta(come: &[Option<u8>; KEYS]) -> Delta {
    let mut delta = Delta::new();
    let [workload, other, p, q, service] = *come;
    if let Some(version) = workload {
        match named_by(version) {
            Some(names) => upsert(&mut delta, WORKLOAD, names, version == 2),
            None => delta.remove_workload(Uid::new(WORKLOAD)),
        }
    }
    match other {
        Some(0) => delta.remove_workload(Uid::new("v")),
        Some(version) => upsert(&mut delta, "v", &["p"], version == 2),
        None => {}
    }
    for (name, version) in [("p", p), ("q", q)] {
        if let Some(version) = version {
            set_policy(&mut delta, name, version);
        }
    }
    match service {
        Some(version @ 1..=2) => delta.upsert_service(service_of(version)),
        Some(_) => delta.remove_service(service_key()),
        None => {}
    }
    delta
}

/// Which policies a version of the workload names.
fn named_by(version: u8) -> Option<&'static [&'static str]> {
    match version {
        1 => Some(&["p"]),
        2 => Some(&["p", "q"]),
        3 => Some(&["q"]),
        _ => None,
    }
}

fn upsert(delta: &mut Delta, uid: &str, names: &[&str], serves: bool) {
    let spec = WorkloadSpec {
        uid: uid.into(),
        name: uid.into(),
        namespace: NAMESPACE.into(),
        workload_ips: vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))],
        authorization_policies: names.iter().map(|name| PolicyKey::new(NAMESPACE, *name)).collect(),
        services: serves.then(|| (service_key(), PortMap::default())).into_iter().collect(),
        ..WorkloadSpec::default()
    };
    // It is within the grammar, whatever its version.
    if let Ok(workload) = Workload::try_from(spec) {
        delta.upsert_workload(workload);
    }
}

fn set_policy(delta: &mut Delta, name: &str, version: u8) {
    let key = PolicyKey::new(NAMESPACE, name);
    match content(name, version) {
        Content::Absent => delta.remove_policy(key),
        Content::Undecodable => delta.undecodable_policy(key, Some(Scope::WorkloadSelector), "unreadable"),
        Content::Rule { scope, action, from } => {
            let asks = Match { namespaces: vec![StringMatch::Exact(from.into())], ..Match::default() };
            delta.upsert_policy(Policy {
                name: name.into(),
                namespace: NAMESPACE.into(),
                scope,
                action,
                rules: vec![vec![vec![asks]]],
                dry_run: false,
            });
        }
    }
}

/// What a version of a policy says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Absent,
    Rule { scope: Scope, action: Action, from: &'static str },
    Undecodable,
}

fn content(name: &str, version: u8) -> Content {
    let rule = |scope, action, from| Content::Rule { scope, action, from };
    match (name, version) {
        ("p", 1) => rule(Scope::WorkloadSelector, Action::Deny, "a"),
        ("p", 2) => rule(Scope::Global, Action::Deny, "a"),
        ("q", 1) => rule(Scope::WorkloadSelector, Action::Allow, "b"),
        ("q", 2) => Content::Undecodable,
        ("q", 3) => rule(Scope::Namespace, Action::Allow, "b"),
        _ => Content::Absent,
    }
}

fn service_key() -> ServiceKey {
    ServiceKey::new(NAMESPACE, "s.example")
}

fn service_of(version: u8) -> Service {
    let ip = IpAddr::V4(Ipv4Addr::new(10, 1, 0, version));
    Service {
        key: service_key(),
        name: "s".into(),
        vips: vec![NetworkAddress::new(Arc::default(), ip)],
        cidr_vips: Vec::new(),
        ports: PortMap::default(),
        subject_alt_names: Vec::new(),
        waypoint: None,
        weighted_waypoints: Vec::new(),
        load_balancer: None,
        ip_families: None,
        canonical: version == 2,
        visibility: Visibility::Public,
    }
}

/// Whether the facts allow a caller: `a` is denied by name or not in the list of any version, `b` is in it.
pub(super) fn allows(versions: &Versions, caller: usize) -> bool {
    let [workload, _, p, q, _] = *versions;
    let Some(names) = named_by(workload) else { return false };
    let from = if caller == Callers::NEVER { "a" } else { "b" };
    let policies = [("p", content("p", p)), ("q", content("q", q))].map(|(name, content)| {
        let everywhere = matches!(content, Content::Rule { scope, .. } if scope != Scope::WorkloadSelector);
        (names.contains(&name) || everywhere).then_some(content)
    });
    let mut listed = None;
    for content in policies.into_iter().flatten() {
        match content {
            Content::Absent | Content::Undecodable => return false,
            Content::Rule { action: Action::Deny, from: denied, .. } if denied == from => return false,
            Content::Rule { action: Action::Deny, .. } => {}
            Content::Rule { action: Action::Allow, from: allowed, .. } => {
                listed = Some(listed.unwrap_or(false) || allowed == from);
            }
        }
    }
    listed.unwrap_or(true)
}

/// Who calls.
pub(super) struct Callers(Vec<Option<SpiffeId>>);

impl Callers {
    pub(super) const COUNT: usize = 2;
    /// The one whom no version allows.
    pub(super) const NEVER: usize = 0;

    pub(super) fn new() -> Callers {
        Callers(["a", "b"].map(|namespace| SpiffeId::new("cluster.local", namespace, "x").ok()).into())
    }

    pub(super) fn connection(&self, caller: usize) -> Connection<'_> {
        Connection {
            identity: self.0.get(caller).and_then(Option::as_ref),
            source: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)),
            destination: SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 80)),
        }
    }
}
