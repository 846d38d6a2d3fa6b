//! What is going to happen, in the order of simulated time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::engine::boundary::ResolveFault;
use culvert_core::fault::IoFault;
use culvert_core::identity::SpiffeId;
use culvert_core::identity::rotation::FetchId;
use culvert_core::mesh::Destination;
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
    /// What a node asks for reaches the control plane.
    Asked(NodeId, Destination),
    /// The answer to a dial reaches the dialler.
    Answer(WireId, Result<(), IoFault>),
    /// Something reaches one end of a connection.
    Arrive(WireId, Side, Segment),
    /// The certificate authority answers.
    Credential(NodeId, SpiffeId),
    /// The control plane's word reaches a node.
    Facts(NodeId, Parcel),
    /// The certificate authority answers a fetch of a node's rotation.
    Fetched(NodeId, SpiffeId, FetchId),
    /// A resolver answers.
    Resolved(NodeId, Arc<str>, Result<(Vec<IpAddr>, Duration), ResolveFault>),
    /// A node gets a newer credential, whatever it asked for.
    Reissue(NodeId, SpiffeId),
    /// A node asks for a newer credential.
    Renew(NodeId, SpiffeId),
    /// A deadline of a node's rotation may have come.
    Rotate(NodeId),
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
    /// The first at the top.
    queue: BinaryHeap<Reverse<Entry>>,
    /// What happens, by the place that its entry names; places are used again.
    places: Vec<Option<Happening>>,
    free: Vec<usize>,
    count: u64,
}

/// By time, then those that come first, then by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: Time,
    in_turn: bool,
    number: u64,
    place: usize,
}

impl Agenda {
    pub(super) fn put(&mut self, at: Time, what: Happening) {
        self.add(at, true, what);
    }

    /// Before whatever was put down for that moment, but for what came first too.
    pub(super) fn put_first(&mut self, at: Time, what: Happening) {
        self.add(at, false, what);
    }

    fn add(&mut self, at: Time, in_turn: bool, what: Happening) {
        self.count += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(what);
        self.queue.push(Reverse(Entry { at, in_turn, number: self.count, place }));
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.queue.peek().map(|Reverse(entry)| entry.at)
    }

    pub(super) fn pop_due(&mut self, now: Time) -> Option<Happening> {
        self.next().filter(|at| *at <= now)?;
        let Reverse(entry) = self.queue.pop()?;
        self.free.push(entry.place);
        self.places[entry.place].take()
    }
}
