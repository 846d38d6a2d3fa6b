//! The engine of a node, honest or a liar's, behind one face: what drives it cannot tell.

use std::sync::Arc;

use culvert_core::engine::boundary::{Deadline, Input, Origin, Output, SocketId};
use culvert_core::engine::pump::{Budget, Readiness, Socket, pump};
use culvert_core::engine::{Config, Engine};
use culvert_core::mesh::Snapshot;
use culvert_core::time::Now;

use crate::liar::Liar;

/// An engine of either kind.
#[derive(Debug)]
pub(super) enum Machine {
    /// As shipped.
    Honest(Box<Engine>),
    /// The same code with lies.
    Liar(Box<Engine<Liar>>),
}

/// Calls the engine, whichever it is.
macro_rules! either {
    ($machine:expr, $engine:ident => $call:expr) => {
        match $machine {
            Machine::Honest($engine) => $call,
            Machine::Liar($engine) => $call,
        }
    };
}

impl Machine {
    pub(super) fn new(config: Config, snapshot: Arc<Snapshot>, now: Now, liar: Option<Liar>) -> Machine {
        match liar {
            None => Machine::Honest(Box::new(Engine::new(config, snapshot, now))),
            Some(liar) => Machine::Liar(Box::new(Engine::lying(config, snapshot, now, liar))),
        }
    }

    pub(super) fn is_honest(&self) -> bool {
        matches!(self, Machine::Honest(_))
    }

    pub(super) fn accept(&mut self, now: Now, origin: Origin) -> SocketId {
        either!(self, engine => engine.accept(now, origin))
    }

    pub(super) fn handle_input(&mut self, now: Now, input: Input) {
        either!(self, engine => engine.handle_input(now, input));
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        either!(self, engine => engine.poll_output())
    }

    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        either!(self, engine => engine.next_deadline())
    }

    pub(super) fn connections(&self) -> usize {
        either!(self, engine => engine.connections())
    }

    pub(super) fn tunnels(&self) -> usize {
        either!(self, engine => engine.tunnels())
    }

    pub(super) fn held_bytes(&self) -> usize {
        either!(self, engine => engine.held_bytes())
    }

    pub(super) fn pump(
        &mut self,
        id: SocketId,
        now: Now,
        socket: &mut impl Socket,
        budget: &mut Budget,
    ) -> Readiness {
        either!(self, engine => pump(engine, id, now, socket, budget))
    }
}
