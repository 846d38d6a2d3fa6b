//! Pipes to relay through, and keeping a few of them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::sys;

/// What to ask the kernel for, best first. The largest moved most in measurements and is also what an ordinary user may
/// have by default; an ordinary user has 64 such pipes, after which the kernel grants less (pipe(7)).
const WANTED_BYTES: [usize; 2] = [1 << 20, 1 << 18];
/// What a pipe has when the kernel grants nothing: 16 pages; less only when a user has far too many pipes.
const DEFAULT_BYTES: usize = 1 << 16;

/// A pipe and how much is in it.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) read: OwnedFd,
    pub(super) write: OwnedFd,
    pub(super) size: usize,
    pub(super) held: usize,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (read, write) = sys::pipe::pipe()?;
        let granted =
            WANTED_BYTES.iter().find_map(|&bytes| sys::splice::set_pipe_size(write.as_fd(), bytes).ok());
        Ok(Self { read, write, size: granted.unwrap_or(DEFAULT_BYTES), held: 0 })
    }
}

/// Empty pipes kept for the next who needs one; making one costs three system calls.
#[derive(Debug)]
pub struct PipePool {
    free: Vec<Pipe>,
    keep: usize,
}

impl PipePool {
    /// A pool that keeps up to `keep` empty pipes, two descriptors each; it makes as many as are asked for.
    #[must_use]
    pub fn new(keep: usize) -> Self {
        Self { free: Vec::new(), keep }
    }

    /// How many empty pipes are kept now.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.free.len()
    }

    /// Closes all pipes that are kept, as when descriptors run out.
    pub fn clear(&mut self) {
        self.free.clear();
    }

    pub(super) fn take(&mut self) -> io::Result<Pipe> {
        match self.free.pop() {
            Some(pipe) => Ok(pipe),
            None => Pipe::new(),
        }
    }

    /// Takes a pipe back; one that still holds something is closed, so that nobody gets another's bytes.
    pub(super) fn give(&mut self, pipe: Pipe) {
        if pipe.held == 0 && self.free.len() < self.keep {
            self.free.push(pipe);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_empty_pipes_are_kept_and_only_so_many() {
        let mut pool = PipePool::new(1);
        let (first, second) = (pool.take().unwrap(), pool.take().unwrap());
        assert!(first.size >= 4096);
        pool.give(Pipe { held: 1, ..first });
        assert_eq!(pool.kept(), 0);
        pool.give(second);
        pool.give(Pipe::new().unwrap());
        assert_eq!(pool.kept(), 1);
        pool.clear();
        assert_eq!(pool.kept(), 0);
    }
}
