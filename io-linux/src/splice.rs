//! Relaying two sockets in the kernel: bytes go from one to the other by way of a pipe and are never copied here.
//!
//! Nothing waits: [`SplicePair::drive`] moves what can be moved in one direction and says what it waits for. The caller
//! brings the readiness, from whatever loop it has:
//!
//! ```no_run
//! # use culvert_linux::splice::*;
//! # fn relay(a: std::net::TcpStream, b: std::net::TcpStream, wait: impl Fn(Interest, Interest)) -> Result<(), SpliceError> {
//! let (mut pair, mut pool) = (SplicePair::default(), PipePool::new(64));
//! while !pair.is_finished() {
//!     for direction in [Direction::Forward, Direction::Backward] {
//!         // When a direction is `Step::Finished` the caller decides whether its target is sent FIN.
//!         pair.drive(direction, &a, &b, &mut pool, 1 << 20)?;
//!     }
//!     wait(pair.interest(Side::A), pair.interest(Side::B));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A direction holds a pipe only while bytes are in it, so an idle connection costs none. A pipe is filled only when it
//! is empty: what a stuck receiver can make us hold is one pipe, and all that came in before an error goes out.

mod pipe;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use thiserror::Error;

use crate::sys;

use pipe::Pipe;
pub use pipe::PipePool;

/// Why a direction can go on no longer.
#[derive(Debug, Error)]
pub enum SpliceError {
    /// No descriptor or memory is left for a pipe. Nothing is lost: no byte was taken from the source since it was last
    /// empty, so the caller may relay by copying, or try again later.
    #[error("no pipe to relay through: {0}")]
    NoPipe(#[source] io::Error),
    /// The source has come to urgent data, which the kernel does not splice: it says that there is nothing, or, with a FIN behind,
    /// that all has been read. Nothing is lost, so the caller must relay by copying: to read is to pass the mark.
    #[error("urgent data cannot be relayed in the kernel")]
    Urgent,
    /// The socket that sends to us failed; all that it sent before was passed on.
    #[error("relay source: {0}")]
    Source(#[source] io::Error),
    /// The socket that receives from us failed; what was on the way is lost.
    #[error("relay target: {0}")]
    Target(#[source] io::Error),
}

/// What a direction waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// Nothing; the budget is used up, so others may have their turn.
    #[default]
    Ready,
    /// The source has nothing to read.
    BlockedOnRead,
    /// The target takes no more; bytes are held in the pipe.
    BlockedOnWrite,
    /// The source has ended and all of it has arrived. Whether the target is told so by FIN is for the caller to decide.
    Finished,
}

/// One direction of a relay.
#[derive(Debug, Default)]
pub struct Splice {
    pipe: Option<Pipe>,
    moved: u64,
    ended: bool,
    step: Step,
}

impl Splice {
    /// Moves bytes until one side blocks, the source ends, or `budget` bytes have gone (and at most a pipe more).
    ///
    /// Both sockets must be non-blocking. May be called at any time, as often as wanted.
    ///
    /// # Errors
    /// See [`SpliceError`]; what has arrived before is in [`Splice::moved`].
    pub fn drive(
        &mut self,
        source: impl AsFd,
        target: impl AsFd,
        pool: &mut PipePool,
        budget: u64,
    ) -> Result<Step, SpliceError> {
        let (source, target) = (source.as_fd(), target.as_fd());
        let stop = self.moved.saturating_add(budget);
        if self.step != Step::Finished {
            self.step = self.advance(source, target, pool, stop)?;
        }
        Ok(self.step)
    }

    fn advance(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        pool: &mut PipePool,
        stop: u64,
    ) -> Result<Step, SpliceError> {
        loop {
            if !self.drain(target, pool)? {
                return Ok(Step::BlockedOnWrite);
            }
            if self.ended {
                return Ok(Step::Finished);
            }
            if self.moved >= stop {
                return Ok(Step::Ready);
            }
            if !self.fill(source, pool)? {
                return Ok(Step::BlockedOnRead);
            }
        }
    }

    /// Empties the pipe into the target and gives it back; false if the target blocks.
    fn drain(&mut self, target: BorrowedFd<'_>, pool: &mut PipePool) -> Result<bool, SpliceError> {
        let Some(mut pipe) = self.pipe.take() else { return Ok(true) };
        while pipe.held > 0 {
            match retry(|| sys::splice::splice(pipe.read.as_fd(), target, pipe.held)) {
                Ok(0) => return Err(SpliceError::Target(io::ErrorKind::WriteZero.into())),
                Ok(length) => {
                    pipe.held = pipe.held.saturating_sub(length);
                    self.moved = self.moved.saturating_add(length as u64);
                }
                Err(blocked) if blocked.kind() == io::ErrorKind::WouldBlock => {
                    self.pipe = Some(pipe);
                    return Ok(false);
                }
                Err(error) => return Err(SpliceError::Target(error)),
            }
        }
        pool.give(pipe);
        Ok(true)
    }

    /// Fills an empty pipe from the source; false if there is nothing to read yet.
    fn fill(&mut self, source: BorrowedFd<'_>, pool: &mut PipePool) -> Result<bool, SpliceError> {
        let mut pipe = pool.take().map_err(SpliceError::NoPipe)?;
        // The pipe is empty, so "would block" can only mean the source.
        match retry(|| sys::splice::splice(source, pipe.write.as_fd(), pipe.size)) {
            Ok(length @ 1..) => {
                pipe.held = length;
                self.pipe = Some(pipe);
                return Ok(true);
            }
            Ok(0) => self.ended = true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                pool.give(pipe);
                return Err(SpliceError::Source(error));
            }
        }
        pool.give(pipe);
        if sys::is_at_urgent_mark(source) {
            self.ended = false;
            return Err(SpliceError::Urgent);
        }
        Ok(self.ended)
    }

    /// Bytes that have arrived at the target's socket since the beginning.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Bytes taken from the source that the target has not taken yet.
    #[must_use]
    pub fn held(&self) -> usize {
        self.pipe.as_ref().map_or(0, |pipe| pipe.held)
    }

    /// What the direction waits for, as the last [`Splice::drive`] said.
    #[must_use]
    pub fn step(&self) -> Step {
        self.step
    }
}

fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(interrupted) if interrupted.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// One of the two sockets of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

/// One of the two directions of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From A to B.
    Forward,
    /// From B to A.
    Backward,
}

/// The readiness a socket of a pair should be waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Until it is readable.
    pub read: bool,
    /// Until it is writable.
    pub write: bool,
}

/// Two sockets relayed to each other: each direction ends on its own, as TCP's do.
#[derive(Debug, Default)]
pub struct SplicePair {
    forward: Splice,
    backward: Splice,
}

impl SplicePair {
    /// Moves bytes in one direction; see [`Splice::drive`]. `a` and `b` must be the same two sockets every time.
    ///
    /// # Errors
    /// As [`Splice::drive`].
    pub fn drive(
        &mut self,
        direction: Direction,
        a: impl AsFd,
        b: impl AsFd,
        pool: &mut PipePool,
        budget: u64,
    ) -> Result<Step, SpliceError> {
        match direction {
            Direction::Backward => self.backward.drive(b, a, pool, budget),
            Direction::Forward => self.forward.drive(a, b, pool, budget),
        }
    }

    /// The state of one direction.
    #[must_use]
    pub fn direction(&self, direction: Direction) -> &Splice {
        match direction {
            Direction::Backward => &self.backward,
            Direction::Forward => &self.forward,
        }
    }

    /// Whether both directions have ended well.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.forward.step == Step::Finished && self.backward.step == Step::Finished
    }

    /// What to wait for at one socket. Nothing at either means that a direction is ready, or that both are finished.
    #[must_use]
    pub fn interest(&self, side: Side) -> Interest {
        let (from_here, to_here) = match side {
            Side::A => (&self.forward, &self.backward),
            Side::B => (&self.backward, &self.forward),
        };
        Interest { read: from_here.step == Step::BlockedOnRead, write: to_here.step == Step::BlockedOnWrite }
    }
}
