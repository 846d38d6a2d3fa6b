//! A connection on async-io.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Waker};

use culvert_core::engine::pump::Socket;
use culvert_linux::driver::{Stream, Token};
use smol::Async;

/// A stream of async-io as drivers want it.
///
/// async-io tells of each readiness once and only when asked, at the price of a system call. So what is known is kept here: the
/// kernel is asked again only after it did less than it could have done.
#[derive(Debug)]
pub struct SmolStream {
    stream: Async<TcpStream>,
    waker: Waker,
    readable: bool,
    writable: bool,
}

impl SmolStream {
    pub(crate) fn new(socket: OwnedFd, token: &Arc<Token>) -> io::Result<SmolStream> {
        let stream = Async::new_nonblocking(TcpStream::from(socket))?;
        // Whoever connects mostly has something to say: a read that finds it there saves the question.
        Ok(SmolStream { stream, waker: Waker::from(token.clone()), readable: true, writable: false })
    }
}

impl AsFd for SmolStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Socket for SmolStream {
    fn try_read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if !self.poll_readable() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let outcome = self.stream.get_ref().read(space);
        // Readiness is of the level, not of the edge: a FIN behind the bytes is told of once it is asked for.
        self.readable = !matches!(&outcome, Ok(len) if *len < space.len()) && !would_block(&outcome);
        outcome
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // Sockets mostly take what they are given: it is tried before anybody is asked.
        let all: usize = slices.iter().map(|slice| slice.len()).sum();
        let outcome = match slices {
            [one] => self.stream.get_ref().write(one),
            many => self.stream.get_ref().write_vectored(many),
        };
        self.writable = !matches!(&outcome, Ok(len) if *len < all) && !would_block(&outcome);
        outcome
    }
}

impl Stream for SmolStream {
    fn poll_readable(&mut self) -> bool {
        if !self.readable {
            // An error of the reactor is found by the read that follows.
            self.readable = self.stream.poll_readable(&mut Context::from_waker(&self.waker)).is_ready();
        }
        self.readable
    }

    fn poll_writable(&mut self) -> bool {
        if !self.writable {
            self.writable = self.stream.poll_writable(&mut Context::from_waker(&self.waker)).is_ready();
        }
        self.writable
    }

    fn read_would_block(&mut self) {
        self.readable = false;
    }

    fn write_would_block(&mut self) {
        self.writable = false;
    }

    fn into_socket(self) -> io::Result<OwnedFd> {
        self.stream.into_inner().map(OwnedFd::from)
    }
}

fn would_block(outcome: &io::Result<usize>) -> bool {
    matches!(outcome, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
