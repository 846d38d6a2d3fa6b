//! What policy must stop at once: everything from a pod is denied, and from then on nothing that is sent arrives (S6).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::app::AppId;
use super::network::Side;
use super::{Pod, World};

/// The denials in force, by the names of their policies.
#[derive(Debug, Default)]
pub(super) struct Denials {
    by_policy: BTreeMap<String, Denial>,
    /// Facts were taken away since, so that connections may have passed as ones outside the mesh.
    blurred: bool,
}

#[derive(Debug)]
struct Denial {
    client: IpAddr,
    /// How much every application had sent when it began.
    sent: Vec<u64>,
}

impl Denials {
    pub(super) fn end(&mut self, policy: &str) {
        self.by_policy.remove(policy);
    }

    pub(super) fn blur(&mut self) {
        self.blurred = true;
    }
}

impl World {
    /// From here on nothing of what this pod's connections send arrives.
    pub(super) fn denied(&mut self, policy: &str, client: Pod) {
        let sent = self.apps.list.iter().map(|app| app.sent).collect();
        let denial = Denial { client: self.host(client).ip, sent };
        self.denials.by_policy.insert(policy.to_owned(), denial);
    }

    /// S6: of what was sent after a denial nothing has arrived.
    pub(super) fn check_denials(&self, id: AppId, sender: AppId) {
        // Whom a policy denies is known by its identity: one that shows the address of a denied pod and has none is let in as
        // whatever else has none.
        if self.apps.forged.contains(&id) || self.apps.forged.contains(&sender) {
            return;
        }
        // A liar may come with another identity.
        let lies = |app| self.is_behind_liar(app);
        if self.denials.blurred || self.denials.by_policy.is_empty() || lies(id) || lies(sender) {
            return;
        }
        let receiver = self.app(id);
        let other = self.app(sender);
        let (client, server) =
            if receiver.side == Side::Dialler { (receiver, other) } else { (other, receiver) };
        let Some(host) = self.host_at(server.local.ip()).filter(|host| self.host(*host).node.is_some())
        else {
            return;
        };
        for denial in self.denials.by_policy.values().filter(|denial| denial.client == client.local.ip()) {
            let sent = denial.sent.get(sender.0).copied().unwrap_or(0);
            assert!(receiver.received <= sent, "S6: bytes sent after the denial arrived at {host:?}");
        }
    }
}
