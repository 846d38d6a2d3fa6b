//! Two bounded lanes of bytes between an engine's driver and an application, on whatever threads they are.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Bytes that a lane holds at most.
pub(super) const ROOM: usize = 64 << 10;

/// One direction.
#[derive(Debug, Default)]
struct Lane {
    bytes: VecDeque<u8>,
    /// FIN stands behind the bytes.
    finished: bool,
    /// Nobody reads any more.
    deaf: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug, Default)]
struct State {
    lanes: [Lane; 2],
    /// Reset, by whichever end.
    broken: bool,
}

/// One end of a connection: it writes one lane and reads the other. Dropped before it has finished, it resets the connection.
#[derive(Debug)]
pub(crate) struct End {
    state: Arc<Mutex<State>>,
    /// Which lane it writes.
    own: usize,
}

/// A connection, as its two ends.
pub(crate) fn connection() -> (End, End) {
    let state = Arc::<Mutex<State>>::default();
    (End { state: state.clone(), own: 0 }, End { state, own: 1 })
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl State {
    fn lane(&mut self, number: usize) -> &mut Lane {
        let [first, second] = &mut self.lanes;
        if number == 0 { first } else { second }
    }
}

/// Keeps who is to be woken.
fn wait(place: &mut Option<Waker>, waker: &Waker) -> io::Error {
    if place.as_ref().is_none_or(|known| !known.will_wake(waker)) {
        *place = Some(waker.clone());
    }
    io::ErrorKind::WouldBlock.into()
}

/// Wakes outside the lock: who is woken may come here at once.
fn wake(state: MutexGuard<'_, State>, wakers: impl IntoIterator<Item = Option<Waker>>) {
    drop(state);
    for waker in wakers.into_iter().flatten() {
        waker.wake();
    }
}

impl End {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read(&self, space: &mut [u8], waker: &Waker) -> io::Result<usize> {
        let mut state = self.state();
        if state.broken {
            return Err(reset());
        }
        let lane = state.lane(1 - self.own);
        if space.is_empty() || (lane.bytes.is_empty() && lane.finished) {
            return Ok(0);
        }
        if lane.bytes.is_empty() {
            return Err(wait(&mut lane.reader, waker));
        }
        // A read of a deque takes of its first half only.
        let mut len = 0;
        while let Some(rest) = space.get_mut(len..).filter(|rest| !rest.is_empty() && !lane.bytes.is_empty())
        {
            len += io::Read::read(&mut lane.bytes, rest)?;
        }
        let writer = lane.writer.take();
        wake(state, [writer]);
        Ok(len)
    }

    pub(crate) fn write(&self, slices: &[IoSlice<'_>], waker: &Waker) -> io::Result<usize> {
        let mut state = self.state();
        if state.broken {
            return Err(reset());
        }
        let lane = state.lane(self.own);
        if lane.finished || lane.deaf {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut room = ROOM.saturating_sub(lane.bytes.len());
        if slices.iter().all(|slice| slice.is_empty()) {
            return Ok(0);
        }
        if room == 0 {
            return Err(wait(&mut lane.writer, waker));
        }
        let mut len = 0;
        for slice in slices {
            let part = slice.get(..room.min(slice.len())).unwrap_or(slice);
            lane.bytes.extend(part);
            len += part.len();
            room -= part.len();
        }
        let reader = lane.reader.take();
        wake(state, [reader]);
        Ok(len)
    }

    /// Whether a read would do something; where not, `waker` is woken once it would.
    pub(crate) fn poll_readable(&self, waker: &Waker) -> bool {
        let mut state = self.state();
        let broken = state.broken;
        let lane = state.lane(1 - self.own);
        let ready = broken || !lane.bytes.is_empty() || lane.finished;
        if !ready {
            wait(&mut lane.reader, waker);
        }
        ready
    }

    /// Whether a write would do something; where not, `waker` is woken once it would.
    pub(crate) fn poll_writable(&self, waker: &Waker) -> bool {
        let mut state = self.state();
        let broken = state.broken;
        let lane = state.lane(self.own);
        let ready = broken || lane.finished || lane.deaf || lane.bytes.len() < ROOM;
        if !ready {
            wait(&mut lane.writer, waker);
        }
        ready
    }

    /// FIN after what was written.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        let lane = state.lane(self.own);
        lane.finished = true;
        let reader = lane.reader.take();
        wake(state, [reader]);
    }

    /// RST: what is on its way is dropped.
    pub(crate) fn abort(&self) {
        let mut state = self.state();
        state.broken = true;
        let mut wakers = Vec::new();
        for lane in &mut state.lanes {
            lane.bytes = VecDeque::new();
            wakers.extend([lane.reader.take(), lane.writer.take()]);
        }
        wake(state, wakers);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.state();
        if !state.lane(self.own).finished {
            drop(state);
            return self.abort();
        }
        let heard = state.lane(1 - self.own);
        heard.deaf = true;
        heard.bytes = VecDeque::new();
        let writer = heard.writer.take();
        wake(state, [writer]);
    }
}
