//! What went into an engine, byte for byte, and its replay into a fresh one.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::io::IoSlice;
use std::sync::Arc;

use culvert_core::engine::boundary::{Input, Interest, Origin, Output, Slices, SocketId};
use culvert_core::engine::{Config, Engine};
use culvert_core::mesh::Snapshot;
use culvert_core::seed::Draws;
use culvert_core::time::Now;

use super::digest::Digest;
use crate::crypto::random::with_stream;
use crate::crypto::sponge::Sponge;

/// The purpose of what is absorbed of written bytes.
const WRITTEN: u64 = 0x7772;

/// One thing that went in.
#[derive(Clone, Debug)]
pub enum Step {
    /// A listener accepted a connection.
    Accept(Now, Origin),
    /// Anything but bytes.
    Input(Now, Input),
    /// Bytes were read.
    Read(Now, SocketId, Vec<u8>),
    /// Bytes were offered and none taken: from then on they are as they were offered.
    Offered(SocketId),
    /// So many bytes were written.
    Wrote(Now, SocketId, usize),
}

/// Everything that went into one engine.
#[derive(Clone, Debug)]
pub struct Recording {
    config: Config,
    snapshot: Arc<Snapshot>,
    start: Now,
    draws: Draws,
    /// In order.
    pub steps: Vec<Step>,
}

/// When a replay takes the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polling {
    /// After each step.
    Eager,
    /// Now and then: after every so many steps.
    Every(usize),
    /// After the last step.
    Late,
}

/// What came out of an engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// All outputs but interest, in order; none where only their digest is kept.
    pub outputs: Vec<Output>,
    /// The last interest of each socket.
    pub interest: BTreeMap<SocketId, Interest>,
    /// Steps that the engine did not permit: none where it got what was recorded of its like.
    pub refused: usize,
    /// What was written, for each socket.
    written: BTreeMap<SocketId, Sponge>,
    /// Of what was written only the lengths count.
    lengths: bool,
    digest: Digest,
    /// Whether outputs are kept, not only their digest.
    whole: bool,
}

impl Outcome {
    pub(super) fn new(whole: bool) -> Outcome {
        Outcome { whole, ..Outcome::default() }
    }

    /// Whether bytes that are written count as what they are, or as so many.
    pub(super) fn compares_bytes(&mut self, exact: bool) {
        self.lengths = !exact;
    }

    pub(super) fn take(&mut self, output: &Output) {
        if let Output::Interest { socket, interest } = output {
            self.interest.insert(*socket, *interest);
            return;
        }
        if let Output::Close { socket, .. } = output {
            self.interest.remove(socket);
        }
        self.digest.output(output);
        if self.whole {
            self.outputs.push(output.clone());
        }
    }

    pub(super) fn wrote(&mut self, socket: SocketId, slices: &[IoSlice<'_>], len: usize) {
        let written = self.written.entry(socket).or_insert_with(|| Sponge::new(WRITTEN));
        if self.lengths {
            return written.absorb(&(len as u64).to_le_bytes());
        }
        let mut left = len;
        for slice in slices {
            let part = slice.get(..left).unwrap_or(slice);
            written.absorb(part);
            left -= part.len();
        }
    }

    /// Whether the same bytes were written to the same sockets.
    pub(super) fn wrote_as(&self, other: &Outcome) -> bool {
        self.written == other.written
    }

    /// One number for all of it: equal in every process for equal outcomes.
    pub fn hash(&self) -> u64 {
        let mut digest = self.digest.clone();
        for (socket, written) in &self.written {
            socket.hash(&mut digest);
            written.words::<1>().hash(&mut digest);
        }
        self.refused.hash(&mut digest);
        digest.finish()
    }
}

impl Recording {
    pub(super) fn new(config: Config, snapshot: Arc<Snapshot>, start: Now, draws: Draws) -> Recording {
        Recording { config, snapshot, start, draws, steps: Vec::new() }
    }

    /// Puts all of it into a fresh engine.
    pub fn replay(&self, polling: Polling) -> Outcome {
        let mut draws = self.draws.clone();
        let mut engine = Engine::new(self.config.clone(), self.snapshot.clone(), self.start);
        let mut outcome = Outcome::new(true);
        for (count, step) in self.steps.iter().enumerate() {
            with_stream(&mut draws, || take_step(&mut engine, step, &mut outcome));
            let due = match polling {
                Polling::Eager => true,
                Polling::Every(steps) => count % steps == 0,
                Polling::Late => false,
            };
            if due {
                drain(&mut engine, &mut outcome);
            }
        }
        drain(&mut engine, &mut outcome);
        outcome
    }
}

fn drain(engine: &mut Engine, outcome: &mut Outcome) {
    while let Some(output) = engine.poll_output() {
        outcome.take(&output);
    }
}

fn take_step(engine: &mut Engine, step: &Step, outcome: &mut Outcome) {
    match step {
        Step::Accept(now, origin) => {
            engine.accept(*now, *origin);
        }
        Step::Input(now, input) => engine.handle_input(*now, input.clone()),
        Step::Read(now, socket, bytes) => {
            match engine.read_space(*socket).get_mut(..bytes.len()) {
                Some(space) if !space.is_empty() => space.copy_from_slice(bytes),
                _ => outcome.refused += 1,
            }
            engine.handle_input(*now, Input::Read { socket: *socket, len: bytes.len() });
        }
        Step::Offered(socket) => engine.write_slices(*socket, &mut Slices::new()),
        Step::Wrote(now, socket, len) => {
            let mut slices = Slices::new();
            engine.write_slices(*socket, &mut slices);
            let offered: usize = slices.as_slice().iter().map(|slice| slice.len()).sum();
            if offered < *len {
                outcome.refused += 1;
            }
            let len = offered.min(*len);
            outcome.wrote(*socket, slices.as_slice(), len);
            engine.handle_input(*now, Input::Wrote { socket: *socket, len });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::world::{Script, World};

    fn socket() -> SocketId {
        let mut world = World::new(1);
        let node = world.node();
        let (pod, machine) = (world.pod(node, "a"), world.machine());
        let target = world.address(machine, 9);
        world.call(pod, target, Script::send(8));
        world.run(Duration::from_secs(1));
        let steps = &world.recording(node).unwrap().steps;
        let read = |step: &Step| match step {
            Step::Read(_, socket, _) => Some(*socket),
            _ => None,
        };
        let socket = steps.iter().find_map(read).unwrap();
        world.finish();
        socket
    }

    #[test]
    fn where_bytes_are_not_exact_their_number_counts() {
        let socket = socket();
        let hash = |exact, parts: &[&[u8]]| {
            let mut outcome = Outcome::new(false);
            outcome.compares_bytes(exact);
            parts.iter().for_each(|part| outcome.wrote(socket, &[IoSlice::new(part)], part.len()));
            outcome.hash()
        };
        assert_ne!(hash(true, &[b"ab"]), hash(true, &[b"cd"]));
        assert_eq!(hash(false, &[b"ab"]), hash(false, &[b"cd"]));
        assert_ne!(hash(false, &[b"ab"]), hash(false, &[b"abc"]));
        assert_ne!(hash(false, &[b"ab", b"c"]), hash(false, &[b"a", b"bc"]));
    }
}
