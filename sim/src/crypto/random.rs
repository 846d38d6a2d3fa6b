//! Where everything random comes from: a stream that the caller lends to its thread for the length of a call.

use culvert_core::seed::Draws;
use rustls::crypto::{GetRandomFailed, SecureRandom};
use std::cell::RefCell;

thread_local! {
    static STREAM: RefCell<Option<Draws>> = const { RefCell::new(None) };
}

/// Lets TLS draw from `stream` while `run` runs on this thread; what it drew is then gone from `stream`. Calls can be nested:
/// the innermost stream is drawn from, and the outer one goes on where it was.
///
/// The simulator wraps each call into a node with the node's own stream, so that what one node draws does not depend on what
/// others do.
pub fn with_stream<R>(stream: &mut Draws, run: impl FnOnce() -> R) -> R {
    let outer = STREAM.replace(Some(stream.clone()));
    let _lent = Lent { stream, outer };
    run()
}

/// Gives the streams back, after a panic as well.
struct Lent<'a> {
    stream: &'a mut Draws,
    outer: Option<Draws>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(used) = STREAM.replace(self.outer.take()) {
            *self.stream = used;
        }
    }
}

/// Fills `into` from the thread's stream, one draw for every eight bytes or part of them.
///
/// # Errors
/// [`GetRandomFailed`] when the thread has no stream: nothing here ever asks the operating system.
pub fn fill(into: &mut [u8]) -> Result<(), GetRandomFailed> {
    STREAM.with_borrow_mut(|stream| {
        let stream = stream.as_mut().ok_or(GetRandomFailed)?;
        for chunk in into.chunks_mut(8) {
            for (to, from) in chunk.iter_mut().zip(stream.next_u64().to_le_bytes()) {
                *to = from;
            }
        }
        Ok(())
    })
}

/// The thread's stream, as rustls asks for it.
#[derive(Debug)]
pub(super) struct ThreadStream;

impl SecureRandom for ThreadStream {
    fn fill(&self, into: &mut [u8]) -> Result<(), GetRandomFailed> {
        fill(into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use culvert_core::seed::Seed;
    use std::panic::catch_unwind;

    fn draw() -> Option<[u8; 12]> {
        let mut bytes = [0; 12];
        fill(&mut bytes).ok().map(|()| bytes)
    }

    #[test]
    fn there_is_no_randomness_without_a_stream() {
        assert_eq!(draw(), None);
        assert!(with_stream(&mut Seed::new([1; 32]).draws(), draw).is_some());
        assert_eq!(draw(), None);
    }

    #[test]
    fn streams_go_on_and_do_not_mix() {
        let fresh = |n| Seed::new([n; 32]).draws();
        let (mut a, mut b) = (fresh(1), fresh(2));
        let first = with_stream(&mut a, draw);
        let (nested, second) = with_stream(&mut a, || (with_stream(&mut b, draw), draw()));
        assert_ne!(first, second);
        assert_eq!(with_stream(&mut fresh(1), || (draw(), draw())), (first, second));
        assert_eq!(with_stream(&mut fresh(2), draw), nested);
    }

    #[test]
    fn a_panic_gives_the_stream_back() {
        let mut stream = Seed::new([1; 32]).draws();
        let before = stream.clone();
        let caught = catch_unwind(std::panic::AssertUnwindSafe(|| {
            with_stream(&mut stream, || {
                draw();
                std::panic::resume_unwind(Box::new(()));
            })
        }));
        assert!(caught.is_err());
        assert_eq!(draw(), None);
        assert_ne!(stream, before);
    }
}
