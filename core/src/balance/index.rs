//! The endpoints of one service, in the order in which they are chosen from.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::btree::{BTree, Item, Span};
use crate::mesh::{HealthStatus, LoadBalancer, PortMap, RoutingScope, Service, ServiceKey, Workload};

/// The endpoints of a service, in classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Endpoints {
    plan: Plan,
    /// In order of classes; none is empty.
    classes: Vec<(Class, BTree<Endpoint>)>,
}

/// What of a service the order of its endpoints depends on.
#[derive(Clone, Debug, Default, PartialEq)]
struct Plan {
    ports: PortMap,
    preferences: Box<[RoutingScope]>,
}

/// What decides whether an endpoint can take a connection: all of a class can, or none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class {
    /// The service's ports and what stands behind each; those left out that nothing is known to stand behind.
    targets: Box<[(u16, u16)]>,
    /// The network of its addresses.
    pub(crate) network: Arc<str>,
    /// Whether it is ready.
    pub(crate) healthy: bool,
    /// Whether it has an IPv4 address.
    pub(crate) v4: bool,
    /// Whether it has an IPv6 address.
    pub(crate) v6: bool,
    /// Whether it has no address, but a name that may have.
    pub(crate) named: bool,
    /// Whether its network has a gateway.
    pub(crate) gateway: bool,
}

/// A workload that counts by its capacity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Endpoint(pub(crate) Arc<Workload>);

impl Item for Endpoint {
    fn weight(&self) -> u64 {
        self.0.capacity.into()
    }
}

impl Class {
    fn of(plan: &Plan, key: &ServiceKey, workload: &Workload) -> Class {
        let own = workload.service_ports(key);
        let target = |(port, of_service): &(u16, u16)| {
            let of_endpoint = own.and_then(|ports| ports.target(*port));
            Some((*port, target_port(workload, of_endpoint, *of_service)?))
        };
        Class {
            targets: plan.ports.pairs().iter().filter_map(target).collect(),
            network: workload.network.clone(),
            healthy: workload.status == HealthStatus::Healthy,
            v4: workload.ips.iter().any(|ip| ip.is_ipv4()),
            v6: workload.ips.iter().any(|ip| ip.is_ipv6()),
            named: workload.ips.is_empty() && !workload.about.hostname.is_empty(),
            gateway: workload.network_gateway.is_some(),
        }
    }

    /// The port of its endpoints behind a port of the service (node.md row 59).
    pub(crate) fn target(&self, service_port: u16) -> Option<u16> {
        let at = self.targets.binary_search_by_key(&service_port, |&(port, _)| port).ok()?;
        self.targets.get(at).map(|&(_, target)| target)
    }
}

/// The port of an endpoint: its own, then the service's, then its application tunnel's; 0 says nothing (node.md row 59).
pub(crate) fn target_port(workload: &Workload, of_endpoint: Option<u16>, of_service: u16) -> Option<u16> {
    let of_tunnel = workload.application_tunnel.map(|tunnel| tunnel.port);
    [of_endpoint, Some(of_service), of_tunnel].into_iter().flatten().find(|port| *port != 0)
}

/// What a routing preference compares. A zone means something within its region only, but preferences say so by naming both.
fn place(scope: RoutingScope, workload: &Workload) -> &str {
    let about = &workload.about;
    match scope {
        RoutingScope::Cluster => &about.cluster_id,
        RoutingScope::Network => &workload.network,
        RoutingScope::Node => &about.node,
        RoutingScope::Region => &about.locality.region,
        RoutingScope::Subzone => &about.locality.subzone,
        RoutingScope::Zone => &about.locality.zone,
    }
}

fn by_place(preferences: &[RoutingScope], a: &Workload, b: &Workload) -> Ordering {
    let compare = |scope: &RoutingScope| {
        let (a, b) = (place(*scope, a), place(*scope, b));
        // Most are one text in memory.
        if std::ptr::eq(a, b) { Ordering::Equal } else { a.cmp(b) }
    };
    preferences.iter().map(compare).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

impl Plan {
    fn of(service: Option<&Service>) -> Plan {
        let preferences = |balancer: &LoadBalancer| balancer.routing_preferences.as_slice().into();
        Plan {
            ports: service.map(|service| service.ports.clone()).unwrap_or_default(),
            preferences: service
                .and_then(|service| service.load_balancer.as_ref().map(preferences))
                .unwrap_or_default(),
        }
    }

    fn order(&self, a: &Workload, b: &Workload) -> Ordering {
        by_place(&self.preferences, a, b).then_with(|| a.uid.cmp(&b.uid))
    }
}

impl Endpoints {
    /// No endpoints of a service, known or not.
    pub(crate) fn new(service: Option<&Service>) -> Endpoints {
        Endpoints { plan: Plan::of(service), classes: Vec::new() }
    }

    /// Takes in an endpoint that is not there yet.
    pub(crate) fn insert(&mut self, key: &ServiceKey, workload: &Arc<Workload>) {
        let Endpoints { plan, classes } = self;
        let class = Class::of(plan, key, workload);
        let at = match classes.binary_search_by(|(known, _)| known.cmp(&class)) {
            Ok(at) => at,
            Err(at) => {
                classes.insert(at, (class, BTree::default()));
                at
            }
        };
        if let Some((_, tree)) = classes.get_mut(at) {
            tree.insert(Endpoint(workload.clone()), |a, b| plan.order(&a.0, &b.0));
        }
    }

    /// Forgets an endpoint, as it was when it was taken in.
    pub(crate) fn remove(&mut self, key: &ServiceKey, workload: &Workload) {
        let Endpoints { plan, classes } = self;
        let class = Class::of(plan, key, workload);
        let Ok(at) = classes.binary_search_by(|(known, _)| known.cmp(&class)) else { return };
        let Some((_, tree)) = classes.get_mut(at) else { return };
        tree.remove(|known| plan.order(&known.0, workload));
        if tree.is_empty() {
            classes.remove(at);
        }
    }

    /// The same endpoints as a service wants them that has come, changed or gone; `None` where it changes nothing.
    pub(crate) fn replanned(&self, key: &ServiceKey, service: Option<&Service>) -> Option<Endpoints> {
        let mut anew = Endpoints::new(service);
        if anew.plan == self.plan {
            return None;
        }
        self.iter().for_each(|workload| anew.insert(key, workload));
        Some(anew)
    }

    /// How many there are, whatever their health.
    pub(crate) fn len(&self) -> usize {
        self.classes.iter().map(|(_, tree)| tree.len()).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// All of them, in an order that depends on nothing but the facts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.classes.iter().flat_map(|(_, tree)| tree.iter()).map(|endpoint| &endpoint.0)
    }

    /// The classes, in their order.
    pub(crate) fn classes(&self) -> impl Iterator<Item = &Class> {
        self.classes.iter().map(|(class, _)| class)
    }

    /// Where those of a class lie that share the first `preferences` with a client.
    pub(super) fn span(&self, class: usize, preferences: usize, client: &Workload) -> Span {
        let Some((_, tree)) = self.classes.get(class) else { return Span::default() };
        let scopes = self.plan.preferences.get(..preferences).unwrap_or(&self.plan.preferences);
        if scopes.is_empty() {
            return tree.span(|_| Ordering::Equal);
        }
        tree.span(|endpoint| by_place(scopes, &endpoint.0, client))
    }

    /// The endpoint of a class on which a weight falls.
    pub(super) fn at(&self, class: usize, weight: u64) -> Option<&Arc<Workload>> {
        self.classes.get(class)?.1.at(weight).map(|endpoint| &endpoint.0)
    }

    /// The class of an endpoint, and where it lies in it; `None` for one without weight.
    pub(super) fn locate(&self, key: &ServiceKey, workload: &Workload) -> Option<(usize, Span)> {
        let class = Class::of(&self.plan, key, workload);
        let at = self.classes.binary_search_by(|(known, _)| known.cmp(&class)).ok()?;
        let (_, tree) = self.classes.get(at)?;
        let span = tree.span(|known| self.plan.order(&known.0, workload));
        (span.weight > 0).then_some((at, span))
    }
}
