//! The loop that moves bytes between one socket and the engine, written once for every driver, the simulator included.
//! Short writes, half-close and resets are handled here and nowhere else.

use std::io::{self, IoSlice};

use super::Engine;
use super::boundary::{Input, Slices, SocketId};
use crate::fault::IoFault;
use crate::lies::Lies;
use crate::time::Now;

/// A non-blocking byte socket.
pub trait Socket {
    /// Reads into `space`: a count, 0 for FIN, or `WouldBlock`.
    fn try_read(&mut self, space: &mut [u8]) -> io::Result<usize>;
    /// Writes some of `slices`: a count, or `WouldBlock`.
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// How many bytes a socket may move in one turn before others have theirs.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    bytes: usize,
}

impl Budget {
    /// A budget of so many bytes.
    pub const fn bytes(bytes: usize) -> Budget {
        Budget { bytes }
    }

    fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// Where the pump left off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// The kernel has nothing to read: wait until it does.
    pub read_blocked: bool,
    /// The kernel takes no more: wait until it does.
    pub write_blocked: bool,
    /// The budget is spent and more could be moved: come back without waiting.
    pub more: bool,
}

/// Reads and writes until the kernel blocks, the engine wants no more, or the budget is spent.
///
/// `budget` covers both directions; at least one read and one write are tried.
pub fn pump<L: Lies>(
    engine: &mut Engine<L>,
    id: SocketId,
    now: Now,
    socket: &mut impl Socket,
    budget: &mut Budget,
) -> Readiness {
    let mut readiness = Readiness::default();
    write_all(engine, id, now, socket, budget, &mut readiness);
    read_all(engine, id, now, socket, budget, &mut readiness);
    if !readiness.write_blocked {
        write_all(engine, id, now, socket, budget, &mut readiness);
    }
    readiness
}

fn read_all<L: Lies>(
    engine: &mut Engine<L>,
    id: SocketId,
    now: Now,
    socket: &mut impl Socket,
    budget: &mut Budget,
    readiness: &mut Readiness,
) {
    loop {
        let space = engine.read_space(id);
        if space.is_empty() {
            return;
        }
        match socket.try_read(space) {
            Ok(0) => return engine.handle_input(now, Input::ReadEnd { socket: id }),
            Ok(len) => {
                engine.handle_input(now, Input::Read { socket: id, len });
                budget.spend(len);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                readiness.read_blocked = true;
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return engine
                    .handle_input(now, Input::Failed { socket: id, fault: IoFault::from_error(&error) });
            }
        }
        if budget.bytes == 0 {
            readiness.more = true;
            return;
        }
    }
}

fn write_all<L: Lies>(
    engine: &mut Engine<L>,
    id: SocketId,
    now: Now,
    socket: &mut impl Socket,
    budget: &mut Budget,
    readiness: &mut Readiness,
) {
    loop {
        let mut slices = Slices::new();
        engine.write_slices(id, &mut slices);
        if slices.is_empty() {
            return;
        }
        match socket.try_write(slices.as_slice()) {
            Ok(len) => {
                engine.handle_input(now, Input::Wrote { socket: id, len });
                budget.spend(len);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                readiness.write_blocked = true;
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                // The peer may have answered before it closed: what it said is still in the kernel's queue, and is read
                // before the failure is reported.
                read_all(engine, id, now, socket, &mut Budget::bytes(usize::MAX), readiness);
                return engine
                    .handle_input(now, Input::Failed { socket: id, fault: IoFault::from_error(&error) });
            }
        }
        if budget.bytes == 0 {
            readiness.more = true;
            return;
        }
    }
}
