//! Deadlines of flows and tunnels: one ordered set, at most one entry for each owner.

use std::collections::{BTreeMap, BTreeSet};

use super::boundary::{Deadline, SocketId};
use super::flow::FlowId;
use super::tunnels::TunnelId;
use crate::hbone::mux::StreamId;
use crate::time::Time;

/// Whose deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Flow(FlowId),
    Tunnel(TunnelId),
    Socket(SocketId),
    Stream(TunnelId, StreamId),
    Drain,
}

impl Timer {
    fn why(self) -> &'static str {
        match self {
            Timer::Flow(_) => "connection deadline",
            Timer::Tunnel(_) => "tunnel deadline",
            Timer::Socket(_) | Timer::Stream(..) => "flush before an abort",
            Timer::Drain => "drain deadline",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(Time, Timer)>,
    armed: BTreeMap<Timer, Time>,
}

impl Timers {
    /// Sets the owner's deadline, whatever it was before.
    pub(super) fn set(&mut self, timer: Timer, at: Time) {
        match self.armed.insert(timer, at) {
            Some(before) if before == at => return,
            Some(before) => {
                self.order.remove(&(before, timer));
            }
            None => {}
        }
        self.order.insert((at, timer));
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.armed.remove(&timer) {
            self.order.remove(&(at, timer));
        }
    }

    /// The next timer that is due; it is disarmed.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Timer> {
        let (at, timer) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.order.pop_first();
        self.armed.remove(&timer);
        Some(timer)
    }

    pub(super) fn next(&self) -> Option<Deadline> {
        self.order.first().map(|(at, timer)| Deadline { at: *at, why: timer.why() })
    }
}
