//! A flow: one connection of an application, from its accept to its one terminal reason.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::boundary::{Origin, PodId, SocketId};
use super::tunnels::{PoolKey, TunnelId};
use crate::capture::Decision;
use crate::hbone::connect::Authority;
use crate::hbone::mux::StreamId;
use crate::mesh::Uid;
use crate::slots::key;
use crate::telemetry::Connection;
use crate::time::Time;

key!(
    /// A flow of this engine.
    FlowId,
    "flow"
);

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Not there yet.
    None,
    Socket(SocketId),
    Stream(TunnelId, StreamId),
}

/// Which end: the one that opened the flow, or the one that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Near,
    Far,
}

impl Side {
    pub(super) fn other(self) -> Side {
        match self {
            Side::Near => Side::Far,
            Side::Far => Side::Near,
        }
    }
}

/// A value for each side.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Both<T> {
    pub(super) near: T,
    pub(super) far: T,
}

impl<T> Both<T> {
    pub(super) fn of(&self, side: Side) -> &T {
        match side {
            Side::Near => &self.near,
            Side::Far => &self.far,
        }
    }

    pub(super) fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Near => &mut self.near,
            Side::Far => &mut self.far,
        }
    }
}

/// How a flow came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Accepted from an application of a local pod.
    Outbound,
    /// Accepted in clear for a local pod.
    Plaintext,
    /// A stream of a tunnel that a peer opened.
    Tunnelled,
}

/// Where a flow stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    /// Facts or a credential are missing; decided again when they come.
    Waiting(Waiting),
    /// In line for a tunnel.
    Pooled(Box<PoolKey>),
    /// CONNECT is sent.
    Opening,
    /// The far socket is being dialled.
    Dialling,
    /// Bytes move.
    Relaying,
}

/// What a flow waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    Facts,
    Credential,
    Policy,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) kind: Kind,
    /// The pod whose listener accepted it.
    pub(super) pod: PodId,
    pub(super) origin: Origin,
    pub(super) phase: Phase,
    pub(super) near: End,
    pub(super) far: End,
    /// This end has sent FIN (or END_STREAM), and every byte before it was taken.
    pub(super) ended: Both<bool>,
    /// FIN was passed on to this end.
    pub(super) finished: Both<bool>,
    /// Bytes taken from this end.
    pub(super) bytes: Both<u64>,
    /// The peer reset its stream after END_STREAM: it takes nothing more (node.md B6).
    pub(super) deaf: Both<bool>,
    /// Bytes that came before the far end was there.
    pub(super) early: VecDeque<Bytes>,
    pub(super) early_bytes: usize,
    /// The endpoint choice of this flow, the same however often it is decided.
    pub(super) draw: u64,
    /// Where a tunnelled flow asks to go.
    pub(super) authority: Option<Authority>,
    /// It asks for something else than the workload at whose address it arrived: the workload stands before that.
    pub(super) for_another: bool,
    /// What is written to the application before the stream's bytes (node.md row 66).
    pub(super) header: Option<Bytes>,
    /// Bytes of that header which the application has not taken: nobody is owed credit for them.
    pub(super) header_left: usize,
    /// An outbound decision, once made.
    pub(super) decision: Option<Box<Decision>>,
    /// The workload whose policies judge it, where they do.
    pub(super) judged_at: Option<Uid>,
    /// A referenced policy has not arrived: no byte moves until then (node.md B5).
    pub(super) held: Option<Time>,
    /// When CONNECT, or the dial of the far end, was sent.
    pub(super) asked: Time,
    /// It had a second try already.
    pub(super) retried: bool,
    pub(super) joined: bool,
    /// The driver cannot join, or must not.
    pub(super) never_join: bool,
    /// The workload that an outbound decision leads to: it counts as busy with this flow.
    pub(super) endpoint: Option<Uid>,
    /// An endpoint that was tried and is not to be tried again, if there is another.
    pub(super) avoid: Option<Uid>,
    /// What is reported of it.
    pub(super) connection: Arc<Connection>,
    pub(super) opened: Time,
    pub(super) active: Time,
}

impl Flow {
    pub(super) fn end(&self, side: Side) -> End {
        match side {
            Side::Near => self.near,
            Side::Far => self.far,
        }
    }

    /// For reports: the shared value is copied only if somebody holds it.
    pub(super) fn connection_mut(&mut self) -> &mut Connection {
        Arc::make_mut(&mut self.connection)
    }
}
