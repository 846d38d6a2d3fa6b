//! Whom nodes trust, changed while they run: roots that follow one another, certificates that are revoked (C5, C6).

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_core::engine::boundary::Input;
use culvert_core::identity::{Leaf, RevocationLists, Serial, SpiffeId, Trust, TrustBundle};

use super::{NodeId, Pod, World};
use crate::certificate::Authority;

/// Which roots a node is told to trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Those that its credentials came with.
    Issued,
    /// The authority's of the beginning.
    Old,
    /// That and its successor.
    Both,
    /// The successor's.
    New,
}

/// What nodes were told of whom to trust.
#[derive(Debug, Default)]
pub(super) struct Trusts {
    /// The authority's successor, once somebody was told of it.
    next: Option<Authority>,
    told: BTreeMap<NodeId, Trust>,
    /// What each was issued last.
    serials: BTreeMap<(NodeId, SpiffeId), Serial>,
    revoked: Vec<Serial>,
    /// How often an authority followed another.
    successions: u64,
}

impl World {
    /// Tells a node whose roots to trust, by itself: no credential comes with it.
    pub fn trust(&mut self, node: NodeId, roots: Roots) {
        let bundle = match roots {
            Roots::Issued => None,
            Roots::Old => Some(self.authority.bundle().clone()),
            Roots::New => {
                self.renewals.distrust(node);
                Some(self.next_authority().bundle().clone())
            }
            Roots::Both => {
                let both = [self.authority.root().clone(), self.next_authority().root().clone()];
                let bundle = TrustBundle::empty().with_roots("cluster.local", &both);
                Some(Arc::new(bundle.expect("roots are certificates")))
            }
        };
        let told = Trust { bundle, ..self.trusts.told.get(&node).cloned().unwrap_or_default() };
        self.tell_trust(node, told);
    }

    /// The pod's credential is issued anew, by the authority's successor; it comes with the roots of both.
    pub fn rotate_to_next(&mut self, pod: Pod) {
        let mut next = self.next_authority().clone();
        next.federate(&self.authority).expect("a root is a certificate");
        let own = std::mem::replace(&mut self.authority, next);
        self.rotate(pod);
        let next = std::mem::replace(&mut self.authority, own);
        self.trusts.next = Some(next);
    }

    /// The certificate that the pod's identity was issued last is revoked, and these nodes hear of it.
    ///
    /// Nothing happens where the world's cryptography is such that certificates have no numbers of their own.
    pub fn revoke(&mut self, pod: Pod, nodes: &[NodeId]) -> bool {
        let holder = self.host(pod).node.map(|node| (node, self.identity(pod)));
        let serial = holder.as_ref().and_then(|holder| self.trusts.serials.get(holder).cloned());
        self.trusts.revoked.extend(serial);
        if let Some((node, _)) = holder {
            self.renewals.distrust(node);
        }
        let Some(lists) = self.authority.revoke(&self.trusts.revoked) else { return false };
        let lists = Arc::new(lists);
        for node in nodes {
            self.tell_revoked(*node, &lists);
        }
        true
    }

    /// The nodes hear that nothing is revoked.
    pub fn absolve(&mut self, nodes: &[NodeId]) {
        for node in nodes {
            self.tell_revoked(*node, &Arc::default());
        }
    }

    fn tell_revoked(&mut self, node: NodeId, revoked: &Arc<RevocationLists>) {
        let told = self.trusts.told.get(&node).cloned().unwrap_or_default();
        self.tell_trust(node, Trust { revoked: revoked.clone(), ..told });
    }

    fn tell_trust(&mut self, node: NodeId, trust: Trust) {
        self.trusts.told.insert(node, trust.clone());
        self.input(node, Input::Trust(trust));
    }

    fn next_authority(&mut self) -> &Authority {
        let label = format!("next root {}", self.trusts.successions);
        let seed = self.seed.child(&label);
        let next = match self.trusts.next.take() {
            Some(next) => next,
            None => self.namesake(&seed, label),
        };
        self.trusts.next.insert(next)
    }

    /// Whom a node was told to trust.
    pub(super) fn trusted_by(&self, node: NodeId) -> Trust {
        self.trusts.told.get(&node).cloned().unwrap_or_default()
    }

    /// The authority's successor issues from here on, and is the authority; [`Roots::Old`] is its root then.
    pub fn succeed(&mut self) {
        self.next_authority();
        if let Some(next) = self.trusts.next.take() {
            self.authority = next;
            self.trusts.successions += 1;
        }
    }

    /// A node was issued this certificate.
    pub(super) fn note_serial(&mut self, node: NodeId, id: &SpiffeId, chain: &[Vec<u8>]) {
        if let Some(leaf) = chain.first().and_then(|leaf| Leaf::read(leaf).ok()) {
            self.trusts.serials.insert((node, id.clone()), leaf.serial);
        }
    }
}
