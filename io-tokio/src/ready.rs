//! Which sockets have something to do: wakers that push a token to a queue, in the order of their wakes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The queue of a worker. Wakes come from tokio's driver on the worker's own thread, so the lock is never contended.
#[derive(Debug, Default)]
pub(crate) struct ReadyQueue {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tokens: VecDeque<Arc<Token>>,
    worker: Option<Waker>,
}

/// One socket's or listener's place in the queue.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) index: usize,
    queued: AtomicBool,
    queue: Arc<ReadyQueue>,
}

impl ReadyQueue {
    pub(crate) fn token(self: &Arc<Self>, index: usize) -> Arc<Token> {
        Arc::new(Token { index, queued: AtomicBool::new(false), queue: self.clone() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is woken when the queue fills.
    pub(crate) fn set_worker(&self, waker: &Waker) {
        let mut state = self.state();
        if state.worker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            state.worker = Some(waker.clone());
        }
    }

    pub(crate) fn pop(&self) -> Option<Arc<Token>> {
        let token = self.state().tokens.pop_front()?;
        token.queued.store(false, Ordering::Relaxed);
        Some(token)
    }

    pub(crate) fn len(&self) -> usize {
        self.state().tokens.len()
    }
}

impl Token {
    /// Puts the token in line, once.
    pub(crate) fn push(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            let mut state = self.queue.state();
            state.tokens.push_back(self.clone());
            let waker = state.worker.clone();
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
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
