//! A connection of an application in this process, non-blocking.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::task;

use culvert_linux::consumer;

/// A [`consumer::Connection`] to read from and write to without waiting. Where that would block, the application's loop is woken
/// once it would not. Dropped before [`Connection::finish`], it is reset.
#[derive(Debug)]
pub struct Connection {
    inner: consumer::Connection,
    waker: task::Waker,
}

/// The waker that interrupts an application's loop, for [`Connection::new`] and
/// [`Incoming::poll_accept`](consumer::Incoming::poll_accept).
pub fn waker(waker: mio::Waker) -> task::Waker {
    struct Interrupt(mio::Waker);
    impl task::Wake for Interrupt {
        fn wake(self: Arc<Self>) {
            // It fails only where the loop is gone.
            let _gone = self.0.wake();
        }
    }
    task::Waker::from(Arc::new(Interrupt(waker)))
}

impl Connection {
    /// A connection whose application is woken by `waker`.
    pub fn new(inner: consumer::Connection, waker: &task::Waker) -> Connection {
        Connection { inner, waker: waker.clone() }
    }

    /// Who dialled, and what.
    pub fn get_ref(&self) -> &consumer::Connection {
        &self.inner
    }

    /// Sends FIN after what was written; reading goes on.
    pub fn finish(&mut self) {
        self.inner.finish();
    }
}

impl Read for Connection {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.inner.try_read(space, &self.waker)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.try_write(&[IoSlice::new(bytes)], &self.waker)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.inner.try_write(slices, &self.waker)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
