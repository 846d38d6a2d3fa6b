//! Which sockets have something to do: wakers that push a token to a queue, in the order of their wakes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Who is woken when a worker has something to do. It outlives drivers: commands may come between two of them.
#[derive(Debug, Default)]
pub(crate) struct Sleeper {
    waker: Mutex<Option<Waker>>,
    /// A command was sent since they were last looked for.
    called: AtomicBool,
}

impl Sleeper {
    fn state(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of a command. A worker may send them to itself, in the middle of a turn: it is not asleep then, and whom it is
    /// woken by may know that.
    pub(crate) fn call(&self) {
        self.called.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_called(&self) -> bool {
        self.called.load(Ordering::Acquire)
    }

    /// Commands are looked for now.
    pub(crate) fn answer(&self) {
        self.called.swap(false, Ordering::AcqRel);
    }

    pub(crate) fn set(&self, waker: &Waker) {
        let mut state = self.state();
        if state.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            *state = Some(waker.clone());
        }
    }

    pub(crate) fn wake(&self) {
        let waker = self.state().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The queue of a worker. Most wakes come on the worker's own thread, so the lock is hardly ever contended.
#[derive(Debug)]
pub(crate) struct ReadyQueue {
    tokens: Mutex<VecDeque<Arc<Token>>>,
    sleeper: Arc<Sleeper>,
}

/// One socket's or listener's place in the queue of its worker: what a runtime wakes when either becomes ready.
///
/// A wake too many does no harm, one too few is a connection that stands still.
#[derive(Debug)]
pub struct Token {
    pub(crate) index: usize,
    queued: AtomicBool,
    queue: Arc<ReadyQueue>,
}

impl ReadyQueue {
    pub(crate) fn new(sleeper: Arc<Sleeper>) -> ReadyQueue {
        ReadyQueue { tokens: Mutex::default(), sleeper }
    }

    pub(crate) fn token(self: &Arc<Self>, index: usize) -> Arc<Token> {
        Arc::new(Token { index, queued: AtomicBool::new(false), queue: self.clone() })
    }

    fn tokens(&self) -> MutexGuard<'_, VecDeque<Arc<Token>>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pop(&self) -> Option<Arc<Token>> {
        let token = self.tokens().pop_front()?;
        token.queued.store(false, Ordering::Relaxed);
        Some(token)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tokens().is_empty()
    }
}

impl Token {
    /// Puts the token in line, once.
    pub(crate) fn push(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.queue.tokens().push_back(self.clone());
            self.queue.sleeper.wake();
        }
    }
}

impl Wake for Token {
    fn wake(self: Arc<Self>) {
        self.push();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.push();
    }
}
