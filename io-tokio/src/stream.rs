//! A connection on tokio.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use culvert_core::engine::pump::Socket;
use culvert_linux::driver::{Stream, Token};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Urgent data is not passed on as such, but must be known of.
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);

/// A stream on tokio as drivers want it.
///
/// After a read or write that the kernel did not do whole the next would block, so none is tried. tokio's own stream knows that, too,
/// but not that a read also stops at urgent data, where there may be more.
#[derive(Debug)]
pub struct TokioStream {
    stream: AsyncFd<TcpStream>,
    waker: Waker,
}

impl TokioStream {
    pub(crate) fn new(socket: OwnedFd, token: &Arc<Token>) -> io::Result<TokioStream> {
        // SAFETY: the standard library's stream owns its descriptor, tells the same one each time and closes it with itself.
        let stream = unsafe { AsyncFd::register_with_interest(socket.into(), INTEREST) }?;
        Ok(TokioStream { stream, waker: Waker::from(token.clone()) })
    }
}

impl AsFd for TokioStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.get_ref().as_fd()
    }
}

fn would_block(outcome: &io::Result<usize>) -> bool {
    matches!(outcome, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

impl Socket for TokioStream {
    fn try_read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.waker);
        loop {
            let Poll::Ready(ready) = self.stream.poll_read_ready(&mut cx) else {
                return Err(io::ErrorKind::WouldBlock.into());
            };
            let mut ready = ready?;
            let outcome = ready.get_inner().read(space);
            if would_block(&outcome) {
                ready.clear_ready();
                continue;
            }
            // It is known without a system call whether anything urgent came.
            let short = matches!(&outcome, Ok(len @ 1..) if *len < space.len());
            if short && self.stream.try_io(Interest::PRIORITY, |_| Ok(())).is_err() {
                ready.clear_ready();
            }
            return outcome;
        }
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.waker);
        let all: usize = slices.iter().map(|slice| slice.len()).sum();
        loop {
            let Poll::Ready(ready) = self.stream.poll_write_ready(&mut cx) else {
                return Err(io::ErrorKind::WouldBlock.into());
            };
            let mut ready = ready?;
            let outcome = match slices {
                [one] => ready.get_inner().write(one),
                many => ready.get_inner().write_vectored(many),
            };
            if would_block(&outcome) {
                ready.clear_ready();
                continue;
            }
            if matches!(&outcome, Ok(len) if *len < all) {
                ready.clear_ready();
            }
            return outcome;
        }
    }
}

impl Stream for TokioStream {
    fn poll_readable(&mut self) -> bool {
        self.stream.poll_read_ready(&mut Context::from_waker(&self.waker)).is_ready()
    }

    fn poll_writable(&mut self) -> bool {
        self.stream.poll_write_ready(&mut Context::from_waker(&self.waker)).is_ready()
    }

    fn read_would_block(&mut self) {
        let _cleared =
            self.stream.try_io::<()>(Interest::READABLE, |_| Err(io::ErrorKind::WouldBlock.into()));
    }

    fn write_would_block(&mut self) {
        let _cleared =
            self.stream.try_io::<()>(Interest::WRITABLE, |_| Err(io::ErrorKind::WouldBlock.into()));
    }

    fn into_socket(self) -> io::Result<OwnedFd> {
        Ok(self.stream.into_inner().into())
    }
}
