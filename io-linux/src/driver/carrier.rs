//! What carries a connection's bytes: a socket of the kernel, or memory that an application in this process shares.

use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::task::Waker;

use culvert_core::engine::pump::Socket;

use super::Stream;
use crate::consumer::End;
use crate::socket::shutdown_write;

#[derive(Debug)]
pub(super) enum Carrier<S> {
    Kernel(S),
    Memory(End, Waker),
}

impl<S: Stream> Carrier<S> {
    /// Sends FIN after the last byte.
    pub(super) fn finish(&self) {
        match self {
            Carrier::Kernel(stream) => {
                let _gone = shutdown_write(stream);
            }
            Carrier::Memory(end, _) => end.finish(),
        }
    }

    pub(super) fn poll_readable(&mut self) -> bool {
        match self {
            Carrier::Kernel(stream) => stream.poll_readable(),
            Carrier::Memory(end, waker) => end.poll_readable(waker),
        }
    }

    pub(super) fn poll_writable(&mut self) -> bool {
        match self {
            Carrier::Kernel(stream) => stream.poll_writable(),
            Carrier::Memory(end, waker) => end.poll_writable(waker),
        }
    }

    /// The kernel's stream, if it is one.
    pub(super) fn kernel(&mut self) -> Option<&mut S> {
        match self {
            Carrier::Kernel(stream) => Some(stream),
            Carrier::Memory(..) => None,
        }
    }

    /// Its descriptor, if it has one.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Carrier::Kernel(stream) => Some(stream.as_fd()),
            Carrier::Memory(..) => None,
        }
    }

    /// Takes the socket from the runtime. Memory needs no socket's care: what was written stays until it is read.
    pub(super) fn into_socket(self) -> Option<OwnedFd> {
        match self {
            Carrier::Kernel(stream) => stream.into_socket().ok(),
            Carrier::Memory(..) => None,
        }
    }
}

impl<S: Stream> Socket for Carrier<S> {
    fn try_read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Carrier::Kernel(stream) => stream.try_read(space),
            Carrier::Memory(end, waker) => end.read(space, waker),
        }
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Carrier::Kernel(stream) => stream.try_write(slices),
            Carrier::Memory(end, waker) => end.write(slices, waker),
        }
    }
}
