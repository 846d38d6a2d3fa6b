//! Joined pairs: relayed in the kernel by splice. The engine is told what moved and what ended, and decides what follows.

use std::collections::BTreeMap;

use culvert_core::engine::boundary::{Input, SocketId};
use culvert_core::time::Now;

use super::{Driver, Runtime, Stream};
use crate::splice::{Direction, PipePool, SpliceError, SplicePair, Step};

/// Pipes kept for the next bytes of any pair.
const PIPES_KEPT: usize = 64;
/// Bytes that one direction of a pair moves before others have their turn.
const BYTES_PER_TURN: u64 = 4 << 20;

struct Joint {
    pair: SplicePair,
    forward: Told,
    backward: Told,
    /// A direction found no pipe, or came to what no pipe takes, while the other had bytes in its own.
    starved: bool,
}

impl Joint {
    /// Bytes that were taken from one socket and not yet by the other.
    fn held(&self) -> usize {
        self.pair.direction(Direction::Forward).held() + self.pair.direction(Direction::Backward).held()
    }
}

/// What the engine knows of a direction.
#[derive(Clone, Copy, Default)]
struct Told {
    moved: u64,
    ended: bool,
}

/// The joined pairs of a worker, by their sockets in the order in which they were joined.
pub(super) struct Joints {
    pairs: BTreeMap<(SocketId, SocketId), Joint>,
    pool: PipePool,
}

impl Default for Joints {
    fn default() -> Joints {
        Joints { pairs: BTreeMap::new(), pool: PipePool::new(PIPES_KEPT) }
    }
}

impl Joints {
    pub(super) fn forget(&mut self, one: SocketId, other: SocketId) {
        if self.pairs.remove(&(one, other)).is_none() {
            self.pairs.remove(&(other, one));
        }
    }
}

impl<R: Runtime> Driver<R> {
    pub(super) fn join(&mut self, now: Now, a: SocketId, b: SocketId) {
        for (one, other) in [(a, b), (b, a)] {
            if let Some(entry) = self.table.get(one) {
                entry.joined = Some(other);
            }
        }
        self.joints.pairs.insert(
            (a, b),
            Joint {
                pair: SplicePair::default(),
                forward: Told::default(),
                backward: Told::default(),
                starved: false,
            },
        );
        self.joined_ready(now, a);
    }

    /// Moves what can be moved, both ways, and waits for what cannot.
    pub(super) fn joined_ready(&mut self, now: Now, id: SocketId) {
        let Some(other) = self.table.get(id).and_then(|entry| entry.joined) else { return };
        let (a, b) = if self.joints.pairs.contains_key(&(id, other)) { (id, other) } else { (other, id) };
        for direction in [Direction::Forward, Direction::Backward] {
            self.relay(now, a, b, direction);
        }
        // The direction that waited for a pipe may go on once the other's is empty, whichever of them came first here.
        if let Some(joint) = self.joints.pairs.get_mut(&(a, b)).filter(|joint| joint.held() == 0)
            && std::mem::take(&mut joint.starved)
            && let Some(entry) = self.table.get(a)
        {
            entry.token.push();
        }
    }

    fn relay(&mut self, now: Now, a: SocketId, b: SocketId, direction: Direction) {
        let (from, to) = match direction {
            Direction::Forward => (a, b),
            Direction::Backward => (b, a),
        };
        loop {
            // A hold pauses the pair; interest that comes back brings it here again.
            if self.table.get(from).is_none_or(|entry| !entry.interest.read) {
                return;
            }
            let Some(joint) = self.joints.pairs.get_mut(&(a, b)) else { return };
            let (Some(one), Some(two)) = (self.table.descriptor(a), self.table.descriptor(b)) else { return };
            let outcome = joint.pair.drive(direction, one, two, &mut self.joints.pool, BYTES_PER_TURN);
            let moved = joint.pair.direction(direction).moved();
            let told = match direction {
                Direction::Forward => &mut joint.forward,
                Direction::Backward => &mut joint.backward,
            };
            let news = moved - std::mem::replace(&mut told.moved, moved);
            let finished = matches!(outcome, Ok(Step::Finished));
            let ended = finished && !std::mem::replace(&mut told.ended, finished);
            if news > 0 {
                self.engine.handle_input(now, Input::Moved { from, to, len: news });
            }
            let ready = match outcome {
                Ok(Step::Finished) => {
                    if ended {
                        self.engine.handle_input(now, Input::ReadEnd { socket: from });
                    }
                    return;
                }
                Ok(Step::Ready) => {
                    if let Some(entry) = self.table.get(a) {
                        entry.token.push();
                    }
                    return;
                }
                Ok(Step::BlockedOnRead) => self.table.get(from).map(|entry| {
                    entry.stream.kernel().is_some_and(|stream| {
                        stream.read_would_block();
                        stream.poll_readable()
                    })
                }),
                Ok(Step::BlockedOnWrite) => self.table.get(to).map(|entry| {
                    entry.stream.kernel().is_some_and(|stream| {
                        stream.write_would_block();
                        stream.poll_writable()
                    })
                }),
                // What the other direction has in its pipe must arrive first: parted, it would be lost in mid-stream. Its
                // target's readiness brings the pair here again.
                Err(SpliceError::NoPipe(_) | SpliceError::Urgent) if joint.held() > 0 => {
                    joint.starved = true;
                    return;
                }
                Err(SpliceError::NoPipe(_) | SpliceError::Urgent) => return self.part(now, a, b),
                Err(SpliceError::Source(error)) => return self.broke(now, from, &error),
                Err(SpliceError::Target(error)) => return self.broke(now, to, &error),
            };
            if ready != Some(true) {
                return;
            }
        }
    }

    /// No pipe to be had, or not all can go through one: the engine relays through its buffers from here on.
    fn part(&mut self, now: Now, a: SocketId, b: SocketId) {
        self.joints.forget(a, b);
        for socket in [a, b] {
            if let Some(entry) = self.table.get(socket) {
                entry.joined = None;
                // Nobody waits for it to be readable, and its interest, which is to be read as before, tells nobody to.
                entry.token.push();
            }
        }
        self.engine.handle_input(now, Input::Parted { a, b });
    }
}
