//! Who has something to do: wakers that put a stream's number in a queue.
//!
//! A waker must be `Send` and `Sync`, so this is where core's lock is; nothing ever contends for it, as an engine is
//! single-threaded. The order of the queue is the order of the wakes, which is a function of the input.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task;

use bytes::{Buf, Bytes};

/// Takes a lock of this module or of the pipe. What they guard is whole at every point where a holder could panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The numbers of those woken, each once, and what all streams have yet to send.
#[derive(Debug, Default)]
pub(super) struct Ready {
    woken: Mutex<VecDeque<u32>>,
    unsent: AtomicUsize,
}

impl Ready {
    pub(super) fn pop(&self) -> Option<u32> {
        lock(&self.woken).pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.woken).is_empty()
    }

    /// Bytes of all streams that were accepted and neither encoded nor dropped.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.load(Ordering::Relaxed)
    }
}

/// One stream's waker (or the connection's, number 0), and the count of its bytes that h2 has not encoded yet.
#[derive(Debug)]
pub(super) struct Wake {
    number: u32,
    queued: AtomicBool,
    unsent: AtomicUsize,
    ready: Arc<Ready>,
}

impl Wake {
    pub(super) fn new(number: u32, ready: &Arc<Ready>) -> Arc<Wake> {
        let (queued, unsent) = (AtomicBool::new(false), AtomicUsize::new(0));
        Arc::new(Wake { number, queued, unsent, ready: Arc::clone(ready) })
    }

    pub(super) fn mark(&self) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            lock(&self.ready.woken).push_back(self.number);
        }
    }

    /// Says that the number was taken from the queue, so that the next wake puts it there again.
    pub(super) fn taken(&self) {
        self.queued.store(false, Ordering::Relaxed);
    }

    /// Bytes handed to h2 and neither encoded nor dropped.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.load(Ordering::Relaxed)
    }

    /// Counts bytes that wait to be handed to h2.
    pub(super) fn waiting(&self, count: usize) {
        self.ready.unsent.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts them no more: they were dropped, or are counted as handed over.
    pub(super) fn waits_no_more(&self, count: usize) {
        self.ready.unsent.fetch_sub(count, Ordering::Relaxed);
    }

    fn sent(&self, count: usize) {
        self.waits_no_more(count);
        if count > 0 && self.unsent.fetch_sub(count, Ordering::Relaxed) == count {
            self.mark();
        }
    }
}

impl task::Wake for Wake {
    fn wake(self: Arc<Self>) {
        self.mark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.mark();
    }
}

/// The payload of a DATA frame: counted until h2 has encoded or dropped it, which h2 does not tell.
#[derive(Debug)]
pub(super) struct Payload {
    bytes: Bytes,
    owner: Arc<Wake>,
}

impl Payload {
    pub(super) fn new(bytes: Bytes, owner: &Arc<Wake>) -> Payload {
        owner.unsent.fetch_add(bytes.len(), Ordering::Relaxed);
        owner.waiting(bytes.len());
        Payload { bytes, owner: Arc::clone(owner) }
    }
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.owner.sent(count);
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.owner.sent(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_queued_once_until_taken() {
        let ready = Arc::new(Ready::default());
        let (one, two) = (Wake::new(1, &ready), Wake::new(2, &ready));
        two.mark();
        one.mark();
        two.mark();
        assert_eq!([ready.pop(), ready.pop(), ready.pop()], [Some(2), Some(1), None]);
        two.mark();
        assert_eq!(ready.pop(), None);
        two.taken();
        two.mark();
        assert_eq!(ready.pop(), Some(2));
    }

    #[test]
    fn bytes_are_counted_until_encoded_or_dropped() {
        let ready = Arc::new(Ready::default());
        let wake = Wake::new(7, &ready);
        let mut payload = Payload::new(Bytes::from_static(b"abcdef"), &wake);
        payload.advance(2);
        assert_eq!((wake.unsent(), ready.unsent(), ready.pop()), (4, 4, None));
        drop(payload);
        assert_eq!((wake.unsent(), ready.unsent(), ready.pop()), (0, 0, Some(7)));
    }
}
