//! Credentials by core's rotation, as a production driver runs it: one machine for each node, asked and told through the world's
//! agenda, with an authority that may be slow, away, or wrong (C1, C4, L5).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::engine::boundary::Input;
use culvert_core::identity::rotation::{self, FetchId, Output, Rotation, RotationConfig};
use culvert_core::identity::{Credential, IdentityFault, SpiffeId};
use culvert_core::time::{Time, WallTime};

use super::agenda::Happening;
use super::node::Issuing;
use super::{NodeId, Pod, World};

/// The machines of a world, and how its authority issues to them.
#[derive(Debug, Default)]
pub(super) struct Rotations {
    /// Certificates begin so long before they are issued; `None` where credentials are not rotated by machines.
    backdate: Option<Duration>,
    machines: BTreeMap<NodeId, Machine>,
}

#[derive(Debug)]
struct Machine {
    rotation: Rotation<Arc<Credential>>,
    /// When it is told that time has passed.
    tick: Option<Time>,
}

impl World {
    /// From here on nodes have core's rotation between them and the authority.
    pub fn rotating(&mut self, backdate: Duration) {
        self.rotations.backdate = Some(backdate);
    }

    pub(super) fn rotates(&self) -> bool {
        self.rotations.backdate.is_some()
    }

    /// Whether the identity of a pod has a credential that is valid now.
    pub fn is_certified(&self, pod: Pod) -> bool {
        let Some(node) = self.host(pod).node else { return false };
        let machine = self.rotations.machines.get(&node);
        let wall = self.now_at(node).wall;
        machine.is_some_and(|machine| machine.rotation.serving(&self.identity(pod), wall).is_some())
    }

    pub(super) fn rotate_by(&mut self, node: NodeId, input: rotation::Input<Arc<Credential>>) {
        let now = self.now_at(node);
        let seed = self.seed.child(&format!("rotation of node {}", node.0));
        let machine = self.rotations.machines.entry(node).or_insert_with(|| Machine {
            rotation: Rotation::new(RotationConfig::default(), &seed, now),
            tick: None,
        });
        machine.rotation.handle_input(now, input);
        self.carry_out(node);
    }

    fn carry_out(&mut self, node: NodeId) {
        while let Some(output) =
            self.rotations.machines.get_mut(&node).and_then(|machine| machine.rotation.poll_output())
        {
            match output {
                Output::Fetch { id, fetch, .. } => {
                    let delay = match self.nodes[node.0].issuing {
                        Issuing::After(delay) | Issuing::Refusing(delay) => delay,
                        Issuing::Wrong(_) => Duration::from_millis(5),
                        Issuing::Never => continue,
                    };
                    self.net.agenda.put(self.net.now.after(delay), Happening::Fetched(node, id, fetch));
                }
                Output::Serve { id, credential } => {
                    self.note_credential(node, &id, &credential);
                    self.input(node, Input::Credential { id, outcome: Ok(credential) });
                }
                Output::Failed { id, fault, serving: false } => {
                    self.input(node, Input::Credential { id, outcome: Err(fault) });
                }
                Output::Failed { serving: true, .. } | Output::Drop { .. } => {}
            }
        }
        let Some(machine) = self.rotations.machines.get_mut(&node) else { return };
        let next = machine.rotation.next_deadline().map(|deadline| deadline.at);
        if let Some(at) = next.filter(|at| machine.tick.is_none_or(|tick| *at < tick)) {
            machine.tick = Some(at);
            self.net.agenda.put(at.max(self.net.now), Happening::Rotate(node));
        }
    }

    /// A deadline of a node's rotation may have come.
    pub(super) fn rotation_due(&mut self, node: NodeId) {
        let now = self.net.now;
        let Some(machine) = self.rotations.machines.get_mut(&node) else { return };
        if machine.tick.is_some_and(|tick| tick <= now) {
            machine.tick = None;
            self.rotate_by(node, rotation::Input::Tick);
        }
    }

    /// The authority answers a fetch, as it treats the node now.
    pub(super) fn fetched(&mut self, node: NodeId, id: SpiffeId, fetch: FetchId) {
        let refused = |why: &str| Err(IdentityFault::Unavailable(why.into()));
        let outcome = match self.nodes[node.0].issuing {
            Issuing::After(_) => {
                let now = self.now().wall.as_unix_secs();
                let backdate = self.rotations.backdate.unwrap_or_default().as_secs();
                let (start, end) = (now.saturating_sub(backdate), now + self.lifetime.as_secs());
                let at = WallTime::from_unix_secs;
                self.issued.insert((node, id.clone()));
                Ok(self.authority.issue(&id, at(start), at(end)).expect("validity ends after it begins"))
            }
            Issuing::Refusing(_) => refused("the authority refuses"),
            Issuing::Wrong(wrong) => self.wrong_credential(node, &id, wrong),
            Issuing::Never => return,
        };
        // As a driver does: what peers would refuse must not take the place of what they take.
        let (wall, trust) = (self.now_at(node).wall, self.trusted_by(node));
        let provider = self.cryptography.provider.clone();
        let outcome = outcome.and_then(|credential| {
            credential.check(&trust, &provider, wall)?;
            Ok(credential)
        });
        self.rotate_by(node, rotation::Input::Fetched { id, fetch, outcome });
    }
}
