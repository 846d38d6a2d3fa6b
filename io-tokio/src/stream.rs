//! A connection on tokio.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use culvert_core::engine::pump::Socket;
use culvert_linux::driver::{Stream, Token};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A tokio stream as drivers want it.
///
/// Polled, not tried: after a read or write that the kernel did not do whole, tokio then knows without another system
/// call that the next would block.
#[derive(Debug)]
pub struct TokioStream {
    stream: TcpStream,
    waker: Waker,
}

impl TokioStream {
    pub(crate) fn new(socket: OwnedFd, token: &Arc<Token>) -> io::Result<TokioStream> {
        let stream = TcpStream::from_std(socket.into())?;
        Ok(TokioStream { stream, waker: Waker::from(token.clone()) })
    }
}

impl AsFd for TokioStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Socket for TokioStream {
    fn try_read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut into = ReadBuf::new(space);
        match Pin::new(&mut self.stream).poll_read(&mut Context::from_waker(&self.waker), &mut into) {
            Poll::Ready(outcome) => outcome.map(|()| into.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.waker);
        let stream = Pin::new(&mut self.stream);
        let outcome = match slices {
            [one] => stream.poll_write(&mut cx, one),
            many => stream.poll_write_vectored(&mut cx, many),
        };
        match outcome {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
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
        let _cleared = self.stream.try_io::<()>(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
    }

    fn write_would_block(&mut self) {
        let _cleared = self.stream.try_io::<()>(Interest::WRITABLE, || Err(io::ErrorKind::WouldBlock.into()));
    }

    fn into_socket(self) -> io::Result<OwnedFd> {
        self.stream.into_std().map(OwnedFd::from)
    }
}
