//! What is going to happen, in the order of simulated time.

use std::collections::BTreeMap;

use culvert_core::fault::IoFault;
use culvert_core::identity::SpiffeId;
use culvert_core::time::Time;

use super::app::AppId;
use super::control::Parcel;
use super::network::{Segment, Side, WireId};
use super::node::NodeId;
use super::renewal::Phase;

/// Something that happens at a moment.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// A process whose descriptors were used up tries to accept again.
    Accept(NodeId),
    /// An application's pause or slow read is over.
    App(AppId),
    /// The answer to a dial reaches the dialler.
    Answer(WireId, Result<(), IoFault>),
    /// Something reaches one end of a connection.
    Arrive(WireId, Side, Segment),
    /// The certificate authority answers.
    Credential(NodeId, SpiffeId),
    /// The control plane's word reaches a node.
    Facts(NodeId, Parcel),
    /// A node gets a newer credential, whatever it asked for.
    Reissue(NodeId, SpiffeId),
    /// A node asks for a newer credential.
    Renew(NodeId, SpiffeId),
    /// The authority's root changes: the next phase of it.
    Root(Phase),
    /// A dial reaches its target.
    Syn(WireId),
    /// A clog is over.
    Unclog,
}

/// The happenings to come; two of one moment happen in the order in which they were put down.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// By time, then those that come first, then by number.
    queue: BTreeMap<(Time, bool, u64), Happening>,
    count: u64,
}

impl Agenda {
    pub(super) fn put(&mut self, at: Time, what: Happening) {
        self.count += 1;
        self.queue.insert((at, true, self.count), what);
    }

    /// Before whatever was put down for that moment, but for what came first too.
    pub(super) fn put_first(&mut self, at: Time, what: Happening) {
        self.count += 1;
        self.queue.insert((at, false, self.count), what);
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.queue.keys().next().map(|(at, ..)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Time) -> Option<Happening> {
        let entry = self.queue.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }
}
