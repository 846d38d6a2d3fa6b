//! Sending and receiving payload over a socket, with everything that a report needs to know.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use super::{Ended, Report};
use crate::demo::canary::{Canary, Checksum, Payload};

const CHUNK_BYTES: usize = 64 * 1024;

/// Why a transfer stopped before its end, and how the report is to call it.
pub(super) struct Stopped(pub(super) Ended);

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Stopped {
        Stopped(match error.kind() {
            // A timeout of the socket is EAGAIN, one of the kernel ETIMEDOUT.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Ended::Timeout,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero => Ended::Eof,
            _ => Ended::Reset,
        })
    }
}

/// One side of a connection and what has gone over it so far.
pub(super) struct Transfer {
    stream: TcpStream,
    started: Instant,
    pub(super) sent: u64,
    pub(super) received: u64,
    latency_us: Option<u64>,
    space: Vec<u8>,
}

impl Transfer {
    pub(super) fn new(stream: TcpStream, started: Instant) -> Transfer {
        Transfer { stream, started, sent: 0, received: 0, latency_us: None, space: vec![0; CHUNK_BYTES] }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends the first `bytes` bytes of the canary's payload and returns their checksum.
    pub(super) fn send_payload(&mut self, canary: &Canary, bytes: u64) -> Result<String, Stopped> {
        let mut payload = Payload::new(canary);
        let mut checksum = Checksum::new();
        let mut left = bytes;
        while left > 0 {
            let (chunk, _) = self.space.split_at_mut(at_most(left, CHUNK_BYTES));
            payload.fill(chunk);
            checksum.update(chunk);
            self.stream.write_all(chunk)?;
            self.sent += chunk.len() as u64;
            left -= chunk.len() as u64;
        }
        Ok(checksum.finish())
    }

    /// Sends a short text.
    pub(super) fn send(&mut self, text: &[u8]) -> Result<(), Stopped> {
        self.stream.write_all(text)?;
        self.sent += text.len() as u64;
        Ok(())
    }

    /// Closes the sending half.
    pub(super) fn finish(&self) -> Result<(), Stopped> {
        Ok(self.stream.shutdown(Shutdown::Write)?)
    }

    /// Reads some bytes; none means that the peer has closed its half.
    pub(super) fn receive(&mut self) -> io::Result<&[u8]> {
        self.receive_at_most(CHUNK_BYTES)
    }

    fn receive_at_most(&mut self, limit: usize) -> io::Result<&[u8]> {
        let (space, _) = self.space.split_at_mut(limit.min(CHUNK_BYTES));
        let count = loop {
            match self.stream.read(space) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if count > 0 && self.latency_us.is_none() {
            self.latency_us = Some(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        self.received += count as u64;
        Ok(space.get(..count).unwrap_or_default())
    }

    /// Reads exactly `bytes` bytes and returns their checksum.
    pub(super) fn receive_exactly(&mut self, bytes: u64) -> Result<String, Stopped> {
        let mut checksum = Checksum::new();
        let mut left = bytes;
        while left > 0 {
            let chunk = self.receive_at_most(at_most(left, CHUNK_BYTES))?;
            if chunk.is_empty() {
                return Err(Stopped(Ended::Eof));
            }
            checksum.update(chunk);
            left -= chunk.len() as u64;
        }
        Ok(checksum.finish())
    }

    /// Reads until the peer closes its half and returns the checksum.
    pub(super) fn receive_to_end(&mut self) -> Result<String, Stopped> {
        let mut checksum = Checksum::new();
        loop {
            let chunk = self.receive()?;
            if chunk.is_empty() {
                return Ok(checksum.finish());
            }
            checksum.update(chunk);
        }
    }

    /// Reads a short text until the peer closes its half.
    pub(super) fn receive_text(&mut self) -> Result<Vec<u8>, Stopped> {
        let mut text = Vec::new();
        loop {
            let chunk = self.receive()?;
            if chunk.is_empty() {
                return Ok(text);
            }
            text.extend_from_slice(chunk);
        }
    }

    /// What is to be reported; `outcome` says whether the bytes were right, or why there were not enough.
    pub(super) fn report(&self, outcome: Result<bool, Stopped>) -> Report {
        let (ended, matches) = match outcome {
            Ok(matches) => (Ended::Eof, matches),
            Err(Stopped(ended)) => (ended, false),
        };
        Report {
            bytes_sent: self.sent,
            bytes_received: self.received,
            ended,
            latency_us: self.latency_us,
            matches,
        }
    }
}

fn at_most(left: u64, limit: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(limit)
}
