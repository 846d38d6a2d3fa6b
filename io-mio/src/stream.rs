//! A connection on mio.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use culvert_core::engine::pump::Socket;
use culvert_linux::driver::{Stream, Token};
use mio::Interest;
use mio::net::TcpStream;

use crate::readiness::{Place, Side, Sources};

/// Urgent data is not passed on as such, but must be known of.
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);

/// A mio stream as drivers want it.
#[derive(Debug)]
pub struct MioStream {
    stream: TcpStream,
    place: Place,
}

impl MioStream {
    pub(crate) fn new(socket: OwnedFd, token: &Arc<Token>, sources: &Rc<Sources>) -> io::Result<MioStream> {
        let mut stream = TcpStream::from_std(socket.into());
        let place = sources.add(&mut stream, INTEREST, token)?;
        Ok(MioStream { stream, place })
    }
}

/// Does a system call that `wanted` bytes are asked of, unless it is known to block.
///
/// One that did less than was asked found the end of what there is: the kernel tells when there is more.
fn attempt(side: &Side, wanted: usize, call: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
    if !side.poll() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let outcome = call();
    match &outcome {
        Ok(len) if *len >= wanted => {}
        Ok(_) => side.fell_short(),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => side.block(),
        Err(_) => {}
    }
    outcome
}

impl AsFd for MioStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Socket for MioStream {
    fn try_read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let stream = &mut self.stream;
        attempt(&self.place.readiness().read, space.len(), || stream.read(space))
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        let stream = &mut self.stream;
        attempt(&self.place.readiness().write, wanted, || match slices {
            [one] => stream.write(one),
            many => stream.write_vectored(many),
        })
    }
}

impl Stream for MioStream {
    fn poll_readable(&mut self) -> bool {
        self.place.readiness().read.poll()
    }

    fn poll_writable(&mut self) -> bool {
        self.place.readiness().write.poll()
    }

    fn read_would_block(&mut self) {
        self.place.readiness().read.block();
    }

    fn write_would_block(&mut self) {
        self.place.readiness().write.block();
    }

    fn into_socket(mut self) -> io::Result<OwnedFd> {
        self.place.deregister(&mut self.stream)?;
        Ok(std::net::TcpStream::from(self.stream).into())
    }
}
