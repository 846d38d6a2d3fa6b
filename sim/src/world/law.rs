//! The laws that hold in every test, whatever it is about. Of nodes they hold for the honest ones, whoever is beside them.
//!
//! - E1: however late outputs are taken, they are the same; only interest may be merged.
//! - E2: what an application receives is a prefix of what the other sent, byte for byte.
//! - E3: no byte of a connection that is denied, or of an attacker without a permission, reaches an application.
//! - E4: every socket is closed.
//! - E5: queues are within their limits, and empty at the end.
//! - L7: nothing is left of a drained node's connections after its deadline.
//! - R14: a server is shown the address of its client.
//! - S3: FIN comes only where FIN was sent and every byte arrived.
//! - S5: an identity is one whose key the peer holds.
//! - S7: a connection has the identity of the pod that it comes from.
//! - S11: what a tunnel leads to is the workload at whose address it arrived.
//! - S21: every connection has one terminal reason, and its books say what its applications saw.

use std::collections::BTreeMap;
use std::time::Duration;

use culvert_core::proxy_protocol::Endpoints;
use culvert_core::telemetry::{Connection, Event, Path, Reason, Reporter};

use super::app::{App, AppId, Seen};
use super::network::Side;
use super::recording::Polling;
use super::{NodeId, World};

/// What every deadline but those of half-closed connections and idle tunnels is over after.
const QUIET: Duration = Duration::from_secs(600);
/// What queues may hold beyond the limit at which connections are refused.
const SLACK: usize = 64 << 20;

impl World {
    /// Laws that hold at any moment.
    pub(super) fn check(&self) {
        for node in self.nodes.iter().filter(|node| !node.killed && node.engine.is_honest()) {
            let held = node.engine.held_bytes();
            assert!(held <= node.limits.memory_max + SLACK, "E5: {held} bytes are held");
        }
    }

    /// Laws on what an application sees.
    pub(super) fn check_app(&mut self, id: AppId) {
        let app = &self.apps.list[id.0];
        if let Some(stream) = app.hears() {
            assert!(!self.apps.forbidden.contains(&stream), "E3: stream {stream} is denied and arrived");
            if stream != app.stream {
                let first = *self.apps.heard_by.entry(stream).or_insert(id);
                assert_eq!(first, id, "E2: stream {stream} arrived twice");
            }
        }
        let Some(sender) = self.sender_to(id) else { return };
        self.check_permission(id, sender);
        let app = self.app(id);
        let liars = [id, sender];
        let sender = self.app(sender);
        self.check_shown(app, sender);
        assert!(app.received <= sender.sent, "E2: more arrived than was sent");
        let client = if app.side == Side::Dialler { app } else { sender };
        let severed = self.apps.severed.contains(&(client.local.ip(), client.dialled));
        let ended = app.seen == Seen::Fin && !severed && !self.apps.orphans.contains(&id);
        if ended && !liars.into_iter().any(|app| self.is_behind_liar(app)) {
            assert!(sender.fin_sent, "S3: FIN arrived at {id:?} and was not sent");
            assert_eq!(app.received, sender.sent, "S3: FIN arrived at {id:?} before all bytes");
        }
    }

    /// Rows 14 and 66: what a server is shown, or told, of its client is so.
    fn check_shown(&self, app: &App, sender: &App) {
        if let Some(told) = &app.told {
            let Endpoints::Tcp { source, destination } = told.endpoints else {
                panic!("R66: {:?} is told nothing", app.local);
            };
            assert_eq!(
                source.ip(),
                sender.local.ip(),
                "R66: a server is told another address than its client's"
            );
            assert_eq!(
                destination, sender.dialled,
                "R66: a server is told another destination than was asked for"
            );
            let identity = &self.host(sender.place).identity;
            assert_eq!(
                told.identity.as_ref(),
                Some(identity),
                "R66: a server is told another peer than it has"
            );
        } else if app.side == Side::Dialled
            && let Some(wire) = self.net.wire(app.wire)
        {
            let shown = wire.end(Side::Dialler).address.ip();
            assert_eq!(shown, sender.local.ip(), "R14: a server is shown another address than its client's");
        }
    }

    /// L7: a drain is over at its deadline.
    pub(super) fn check_drains(&self) {
        for node in self.nodes.iter().filter(|node| node.is_awake()) {
            if node.drain_until.is_some_and(|until| until.after(node.lag) < self.net.now) {
                assert_eq!(node.engine.connections(), 0, "L7: connections are left after a drain");
            }
        }
    }

    /// S7: the identity that a destination takes a connection for is that of the pod at its source, unless a liar is there.
    fn check_identity(&self, connection: &Connection) {
        let is_honest = |node: NodeId| self.nodes[node.0].engine.is_honest();
        let there = self.hosts.iter().filter(|host| host.ip == connection.source.ip());
        let there: Vec<_> = there.filter(|host| host.node.is_some_and(is_honest)).collect();
        if let (Reporter::Destination, Some(found), false) =
            (connection.reporter, &connection.source_identity, there.is_empty())
        {
            let own = there.iter().any(|host| host.identity == *found);
            assert!(own, "S7: a connection of another identity, {found}");
        }
    }

    /// Whether a liar speaks for an application: what ends its connection is then whatever the liar says.
    pub(super) fn is_behind_liar(&self, app: AppId) -> bool {
        let node = self.host_at(self.app(app).local.ip()).and_then(|pod| self.host(pod).node);
        node.is_some_and(|node| !self.nodes[node.0].engine.is_honest())
    }

    /// Who sends what this application receives, where that is known.
    fn sender_to(&self, id: AppId) -> Option<AppId> {
        let app = self.app(id);
        match app.hears() {
            Some(stream) if stream != app.stream => {
                AppId::of_stream(stream).filter(|id| id.0 < self.apps.list.len())
            }
            Some(_) | None => self.apps.heard_by.get(&app.stream).copied(),
        }
    }

    /// Ends everything, lets it come to rest, and checks what then must hold.
    pub fn finish(mut self) {
        self.conclude();
    }

    /// Drops a world without its last laws: for one that has broken one already.
    pub(crate) fn abandon(mut self) {
        self.finished = true;
    }

    pub(crate) fn conclude(&mut self) {
        self.finished = true;
        self.net.heal();
        for node in 0..self.nodes.len() {
            self.resume(NodeId(node));
        }
        self.run(Duration::from_secs(1));
        for app in &mut self.apps.list {
            app.leave(&mut self.net);
        }
        for attacker in &mut self.attackers {
            attacker.leave(&mut self.net);
        }
        // Long enough for half-closed connections whose end nobody can know of, and then for idle tunnels.
        self.run(self.limits.half_closed_idle + self.limits.tunnel_idle + QUIET);
        let honest = |number: &usize| self.nodes[*number].engine.is_honest();
        for number in (0..self.nodes.len()).filter(honest) {
            self.check_at_rest(NodeId(number));
            self.check_books(NodeId(number));
            self.check_tunnelled(NodeId(number));
            self.check_interleaving(NodeId(number));
        }
    }

    fn check_at_rest(&self, id: NodeId) {
        let node = &self.nodes[id.0];
        if node.killed {
            return;
        }
        assert_eq!(node.engine.connections(), 0, "E4: connections of {id:?} are left");
        assert_eq!(node.engine.tunnels(), 0, "E4: tunnels of {id:?} are left");
        assert!(node.sockets.is_empty(), "E4: sockets of {id:?} are left: {:?}", node.sockets);
        assert_eq!(node.engine.held_bytes(), 0, "E5: bytes of {id:?} are left");
        assert_eq!(self.net.ends_of(id), [], "E4: connections of {id:?} are left in the kernel");
    }

    pub(super) fn check_books(&self, id: NodeId) {
        let node = &self.nodes[id.0];
        let mut closed: BTreeMap<_, usize> = BTreeMap::new();
        for (_, event) in &node.reports {
            let Event::Closed { connection, bytes_sent, bytes_received, reason, .. } = event else {
                continue;
            };
            self.check_identity(connection);
            let plain = connection.reporter == Reporter::Destination && connection.path == Path::Plaintext;
            assert!(
                !plain || connection.source_identity.is_none(),
                "S7: an address is no identity: {connection:?}"
            );
            *closed.entry((connection.source, connection.destination)).or_default() += 1;
            if *reason != Reason::Completed || connection.reporter != Reporter::Source {
                continue;
            }
            let client =
                self.apps.list.iter().find(|app| app.side == Side::Dialler && app.local == connection.source);
            // One that does not read has in its kernel what the books say was delivered.
            if let Some(client) = client.filter(|client| client.seen == Seen::Fin) {
                assert_eq!(*bytes_received, client.received, "S21: the books of {:?}", client.dialled);
                // What a server that has left did not take is in nobody's books.
                let server = self.apps.heard_by.get(&client.stream).map(|id| self.app(*id));
                if server.is_some_and(|server| server.seen == Seen::Fin) {
                    assert_eq!(*bytes_sent, client.sent, "S21: the books of {:?}", client.dialled);
                }
            }
        }
        if node.killed {
            return;
        }
        for (key, accepted) in &node.accepted {
            let reports = closed.get(key).copied().unwrap_or(0);
            assert_eq!(reports, *accepted, "S21: terminal reasons of {key:?} at {id:?}");
        }
    }

    /// What was opened at the far end of tunnels, whoever asked for it.
    fn check_tunnelled(&self, id: NodeId) {
        for (_, event) in &self.nodes[id.0].reports {
            let Event::Opened(connection) = event else { continue };
            let Connection { source, hbone, target, source_identity, .. } = &**connection;
            if connection.reporter != Reporter::Destination || connection.path != Path::Hbone {
                continue;
            }
            let (arrived, dialled) = (hbone.map(|at| at.ip()), target.map(|at| at.ip()));
            assert_eq!(arrived, dialled, "S11: {connection:?}");
            let known = source_identity.as_ref().is_some_and(|identity| self.holds(source.ip(), identity));
            assert!(known, "S5: {connection:?}");
        }
    }

    pub(super) fn check_interleaving(&self, id: NodeId) {
        let node = &self.nodes[id.0];
        let Some(recording) = &node.recording else { return };
        for polling in [Polling::Late, Polling::Every(7)] {
            let again = recording.replay(polling);
            assert_eq!(again.refused, 0, "E1: {id:?} does not take what was recorded of it ({polling:?})");
            for (now, before) in again.outputs.iter().zip(&node.outcome.outputs) {
                assert_eq!(now, before, "E1: outputs of {id:?} depend on when they are taken ({polling:?})");
            }
            assert_eq!(
                again.outputs.len(),
                node.outcome.outputs.len(),
                "E1: outputs of {id:?} ({polling:?})"
            );
            assert!(again.wrote_as(&node.outcome), "E1: bytes of {id:?} ({polling:?})");
            assert_eq!(again.interest, node.outcome.interest, "E1: interest of {id:?} ({polling:?})");
        }
    }
}

impl AppId {
    fn of_stream(stream: u64) -> Option<AppId> {
        usize::try_from(stream.checked_sub(1)?).ok().map(AppId)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.finished, "a world is finished, so that its laws are checked");
        }
    }
}
