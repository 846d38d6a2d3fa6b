//! What engines let happen, held against the [model](crate::model) of what the facts permit that each of them knew.
//!
//! - S5: no byte arrives at an application of a connection that policy did not permit when it was made.
//! - S6: once policy does not permit it any more, nothing arrives but what was out already.
//! - S7: an identity is that of the pod that the connection comes from.
//! - S8: bytes go to the workload, and the identity, that the facts name for them, and to no other at its address.
//! - S10: nothing goes in clear that has to go under identities.
//! - S11: the far end of a tunnel reaches the pod at its address, and no port of the proxy.
//! - S14: nothing is opened for a pod without facts of it and a credential.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use culvert_core::identity::SpiffeId;
use culvert_core::limit::PROXY_PORTS;
use culvert_core::mesh::{Snapshot, Workload};
use culvert_core::telemetry::{Connection, Path, Reporter};

use super::app::AppId;
use super::network::Side;
use super::{NodeId, Pod, World};
use crate::model::{self, Answer, Call, Way};

/// What is known of connections between applications.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    /// What the node of a source opened, by the client's address.
    left: BTreeMap<SocketAddr, Arc<Connection>>,
    /// What the node of a destination opened for a tunnel, by the trace that both of its ends know.
    came: BTreeMap<[u8; 16], Arc<Connection>>,
    /// By server.
    pairs: BTreeMap<AppId, Pair>,
    /// By server: what was out when its node took in new facts.
    marks: BTreeMap<AppId, Vec<Mark>>,
}

/// Two applications that hear each other.
#[derive(Debug)]
struct Pair {
    who: Option<SpiffeId>,
    /// The view under which it was judged last, by number, and how.
    judged: (usize, Answer),
}

/// How much was out when facts changed.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// The number of the view that began.
    view: usize,
    /// Bytes that had left the server's node for it.
    to_server: u64,
    /// Bytes that the server had sent.
    from_server: u64,
}

impl World {
    /// A node takes in other facts: what is out by now stays permitted.
    pub(super) fn mark_permitted(&mut self, node: NodeId) {
        let view = self.control.views(node).len() - 1;
        for (number, app) in self.apps.list.iter().enumerate() {
            let here = app.side == Side::Dialled && self.host(app.place).node == Some(node);
            if here {
                let arriving = self.net.arriving(app.wire, app.side);
                let mark = Mark { view, to_server: app.received + arriving, from_server: app.sent };
                self.permissions.marks.entry(AppId(number)).or_default().push(mark);
            }
        }
    }

    /// An engine opened a connection.
    pub(super) fn check_opened(&mut self, node: NodeId, connection: &Arc<Connection>) {
        if !self.nodes[node.0].engine.is_honest() {
            return;
        }
        match connection.reporter {
            Reporter::Source => {
                self.permissions.left.insert(connection.source, connection.clone());
                self.check_way(node, connection);
            }
            Reporter::Destination => {
                if let (Some(trace), Path::Hbone) = (connection.trace, connection.path) {
                    self.permissions.came.insert(trace, connection.clone());
                }
                self.check_confined(node, connection);
            }
        }
    }

    /// S8, S14: some facts that the node has known since the client dialled permit the way that it took.
    fn check_way(&self, node: NodeId, connection: &Connection) {
        let client = self.apps.list.iter().rev();
        let client = client.filter(|app| app.side == Side::Dialler);
        let Some(client) = client.into_iter().find(|app| app.local == connection.source) else { return };
        let own = self.own_identity(client.place);
        let in_mesh = matches!(connection.path, Path::Hbone | Path::Local);
        let has_key = self.issued.contains(&(node, own.clone()));
        assert!(has_key || !in_mesh, "S14: {node:?} connects for {own} without a credential");
        let views = self.control.views(node);
        let since = views.iter().rposition(|(at, _)| *at <= client.started).unwrap_or(0);
        let known: Vec<(&Snapshot, &Arc<Workload>)> = views[since..]
            .iter()
            .filter_map(|(_, view)| Some((&**view, self.known_as(view, client.place)?)))
            .collect();
        assert!(!known.is_empty(), "S14: {node:?} connects for {own}, of which it has no facts");
        let taken = |way: &Way| match (way, connection.target) {
            (Way::Plain(to), Some(target)) => !in_mesh && *to == target,
            (Way::Mesh(to, ids), Some(target)) => {
                let shown = connection.destination_identity.as_ref();
                in_mesh && *to == target && shown.is_some_and(|id| ids.contains(id))
            }
            (Way::Beyond(ids), None) => {
                let shown = connection.destination_identity.as_ref();
                in_mesh && shown.is_some_and(|id| ids.contains(id))
            }
            (Way::Plain(_) | Way::Mesh(..), None) | (Way::Beyond(_), Some(_)) => false,
        };
        let permitted = |(view, source): &(&Snapshot, &Arc<Workload>)| {
            let from = connection.source.ip();
            model::ways(view, &self.names.said, source, from, connection.destination).iter().any(taken)
        };
        let law = if in_mesh { "S8" } else { "S10" };
        assert!(known.iter().any(permitted), "{law}: no facts permit the way of {connection:?}");
        if !in_mesh {
            self.check_asked(node, connection);
        } else {
            assert_eq!(
                connection.source_identity.as_ref(),
                Some(&own),
                "S7: bytes leave under another identity"
            );
        }
    }

    /// S11: what is dialled for a peer is a pod of this node, at a port that is not the proxy's.
    fn check_confined(&self, node: NodeId, connection: &Connection) {
        let Some(target) = connection.target else { return };
        let own = self.hosts.iter().any(|host| host.ip == target.ip() && host.node == Some(node));
        let confined = own && !PROXY_PORTS.contains(&target.port());
        assert!(confined, "S11: {node:?} dials {target} for a peer");
    }

    /// Two applications hear each other: whether they may, and what of it.
    pub(super) fn check_permission(&mut self, id: AppId, sender: AppId) {
        let is_client = self.app(id).side == Side::Dialler;
        let (client, server) = if is_client { (id, sender) } else { (sender, id) };
        if self.is_behind_liar(client) || self.is_behind_liar(server) {
            return;
        }
        let place = self.app(server).place;
        if !self.permissions.pairs.contains_key(&server) {
            let who = self.check_pair(client, server);
            self.permissions.pairs.insert(server, Pair { who, judged: (usize::MAX, Answer::Hold) });
        }
        let Some(node) = self.host(place).node else { return };
        let view = self.control.views(node).len() - 1;
        let Some(pair) = self.permissions.pairs.get(&server) else { return };
        let mut answer = pair.judged.1;
        if pair.judged.0 != view {
            answer = self.answer(node, view, server, client);
            if let Some(pair) = self.permissions.pairs.get_mut(&server) {
                pair.judged = (view, answer);
            }
        }
        if answer != Answer::Allow {
            self.check_revoked(node, server, client);
        }
    }

    /// S7, S8: both are who the other's node took them for. The answer is who the client is to policy.
    fn check_pair(&self, client: AppId, server: AppId) -> Option<SpiffeId> {
        let (from, to) = (self.app(client).place, self.app(server).place);
        self.host(from).node?;
        let left = self.permissions.left.get(&self.app(client).local);
        assert!(left.is_some(), "S14: bytes of {client:?} pass before its connection is opened");
        let left = left.filter(|left| matches!(left.path, Path::Hbone | Path::Local))?;
        let (own, other) = (self.own_identity(from), self.own_identity(to));
        let shown = left.destination_identity.as_ref();
        assert_eq!(shown, Some(&other), "S8: {} gets what was meant for another", self.host(to).ip);
        if left.path == Path::Hbone {
            let came = left.trace.and_then(|trace| self.permissions.came.get(&trace));
            assert!(came.is_some(), "S5: {} gets bytes that its node did not open", self.host(to).ip);
            let taken_for = came.and_then(|came| came.source_identity.as_ref());
            assert_eq!(taken_for, Some(&own), "S7: {} is taken for another", self.host(from).ip);
        }
        Some(own)
    }

    /// What policy says, by the facts that a node knew as its view of this number.
    fn answer(&self, node: NodeId, view: usize, server: AppId, client: AppId) -> Answer {
        let Some((_, facts)) = self.control.views(node).get(view) else { return Answer::Deny };
        let app = self.app(server);
        // A connection that is there is judged by what its workload has become, whatever that is called.
        let by_uid = || facts.workload(&self.host(app.place).spec.uid);
        let Some(at) = self.known_as(facts, app.place).or_else(by_uid) else { return Answer::Deny };
        let who = self.permissions.pairs.get(&server).and_then(|pair| pair.who.as_ref());
        model::judge(facts, at, Call { who, from: self.app(client).local.ip(), to: app.local })
    }

    /// S5, S6: of a connection that is not permitted now, nothing passes that was not out when that began.
    fn check_revoked(&self, node: NodeId, server: AppId, client: AppId) {
        let marks = self.permissions.marks.get(&server).map_or(&[][..], Vec::as_slice);
        let denied = marks
            .iter()
            .rev()
            .take_while(|mark| self.answer(node, mark.view, server, client) != Answer::Allow);
        let place = self.host(self.app(server).place).ip;
        let Some(mark) = denied.last() else {
            panic!("S5: {place} gets bytes of {client:?}, which policy never permitted");
        };
        let (received, back) = (self.app(server).received, self.app(client).received);
        assert!(received <= mark.to_server, "S6: bytes of {client:?} reach {place} after policy changed");
        assert!(back <= mark.from_server, "S6: bytes of {place} reach {client:?} after policy changed");
    }

    /// The facts of a pod by which its node finds it.
    pub(super) fn known_as<'a>(&self, facts: &'a Snapshot, pod: Pod) -> Option<&'a Arc<Workload>> {
        let added = &self.host(pod).added;
        model::workload_of(facts, &added.namespace, &added.name, &added.service_account)
    }

    /// The identity under which a pod was added to its node.
    fn own_identity(&self, pod: Pod) -> SpiffeId {
        self.host(pod).identity.clone()
    }
}
