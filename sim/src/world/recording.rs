//! What went into an engine, byte for byte, and its replay into a fresh one.

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_core::engine::boundary::{Input, Origin, Output, Slices, SocketId};
use culvert_core::engine::{Config, Engine};
use culvert_core::mesh::Snapshot;
use culvert_core::seed::Draws;
use culvert_core::time::Now;

use crate::crypto::random::with_stream;

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
    /// All outputs but interest, in order.
    pub outputs: Vec<Output>,
    /// The last interest of each socket.
    pub interest: BTreeMap<SocketId, Output>,
    /// A hash of the bytes written, for each socket.
    pub written: BTreeMap<SocketId, u64>,
    /// Steps that the engine did not permit: none where it got what was recorded of its like.
    pub refused: usize,
}

impl Outcome {
    pub(super) fn take(&mut self, output: Output) {
        match &output {
            Output::Interest { socket, .. } => {
                self.interest.insert(*socket, output);
            }
            Output::Connect { .. }
            | Output::Join { .. }
            | Output::NeedCredential(_)
            | Output::Finish { .. }
            | Output::Close { .. }
            | Output::Report(_) => {
                if let Output::Close { socket, .. } = &output {
                    self.interest.remove(socket);
                }
                self.outputs.push(output);
            }
        }
    }

    pub(super) fn wrote(&mut self, socket: SocketId, bytes: impl Iterator<Item = u8>) {
        let hash = self.written.entry(socket).or_insert(FNV_OFFSET);
        for byte in bytes {
            *hash = fnv(*hash, byte);
        }
    }

    /// One number for all of it: equal in every process for equal outcomes.
    pub fn hash(&self) -> u64 {
        let text = format!("{:?} {:?} {}", self.outputs, self.written, self.refused);
        text.bytes().fold(FNV_OFFSET, fnv)
    }
}

/// Where every hash begins.
pub(crate) const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// One byte more of a hash: FNV-1a, the same in every process.
pub(crate) fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

impl Recording {
    pub(super) fn new(config: Config, snapshot: Arc<Snapshot>, start: Now, draws: Draws) -> Recording {
        Recording { config, snapshot, start, draws, steps: Vec::new() }
    }

    /// Puts all of it into a fresh engine.
    pub fn replay(&self, polling: Polling) -> Outcome {
        let mut draws = self.draws.clone();
        let mut engine = Engine::new(self.config.clone(), self.snapshot.clone(), self.start);
        let mut outcome = Outcome::default();
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
        outcome.take(output);
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
            let bytes = slices.as_slice().iter().flat_map(|slice| slice.iter().copied()).take(*len);
            outcome.wrote(*socket, bytes);
            let len = offered.min(*len);
            engine.handle_input(*now, Input::Wrote { socket: *socket, len });
        }
    }
}
