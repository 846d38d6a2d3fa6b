//! Watches the frames of an interface and looks for byte strings in them.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::{self, JoinHandle};

use socket2::{Domain, Socket, Type};

use super::LabError;
use crate::netns::Netns;
use crate::sys;

/// A frame that was not cut into segments yet may be this large.
const FRAME_BYTES: usize = 256 * 1024;
const RECEIVE_BUFFER: usize = 64 * 1024 * 1024;

/// Counts frames, and frames with given byte strings, on a thread of its own until it is stopped.
///
/// A string is found only if one frame holds all of it, so send canaries in one write, and short.
#[derive(Debug)]
pub struct Sniffer {
    stop: OwnedFd,
    worker: JoinHandle<io::Result<Capture>>,
}

/// What a sniffer has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// All frames, both directions.
    pub frames: u64,
    /// Bytes of all frames.
    pub bytes: u64,
    /// Frames that held each canary, in the order they were given.
    pub hits: Vec<u64>,
    /// Frames that came faster than they could be looked at. Not to have seen a canary proves nothing unless this
    /// is zero.
    pub dropped: u64,
}

impl Sniffer {
    /// Starts watching `interface` of `netns`; what is sent after this returns is seen.
    ///
    /// # Errors
    /// No such interface, no privilege (`CAP_NET_RAW`), no thread.
    pub fn start(netns: &Netns, interface: &str, canaries: &[&[u8]]) -> Result<Self, LabError> {
        let name = CString::new(interface).map_err(io::Error::from)?;
        let socket = netns.run(|| open(&name))??;
        let (wake, stop) = sys::pipe::pipe()?;
        let canaries: Vec<Vec<u8>> = canaries.iter().map(|canary| canary.to_vec()).collect();
        let worker = thread::Builder::new()
            .name("sniffer".to_owned())
            .spawn(move || watch(&socket, &wake, &canaries))?;
        Ok(Self { stop, worker })
    }

    /// Looks at the frames that have arrived so far, and ends.
    ///
    /// # Errors
    /// The interface went away.
    pub fn stop(self) -> Result<Capture, LabError> {
        drop(self.stop);
        let outcome = self.worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(outcome?)
    }
}

/// A packet socket without a protocol receives nothing until it is bound, so no frame of another interface slips in.
fn open(interface: &CString) -> io::Result<Socket> {
    let index = sys::packet::interface_index(interface)?;
    let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking(), None)?;
    // More than an ordinary user may ask for; what the kernel grants has to do.
    let forced = sys::set_option(
        socket.as_fd(),
        libc::SOL_SOCKET,
        libc::SO_RCVBUFFORCE,
        i32::try_from(RECEIVE_BUFFER).unwrap_or(i32::MAX),
    );
    if forced.is_err() {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    sys::packet::bind_packet(socket.as_fd(), index)?;
    Ok(socket)
}

fn watch(socket: &Socket, wake: &OwnedFd, canaries: &[Vec<u8>]) -> io::Result<Capture> {
    let mut capture = Capture { hits: vec![0; canaries.len()], ..Capture::default() };
    let mut buffer = vec![0; FRAME_BYTES];
    loop {
        let stopped = sys::packet::wait_readable(socket.as_fd(), wake.as_fd())?;
        while let Some(length) = receive(socket, &mut buffer)? {
            capture.count(buffer.get(..length).unwrap_or_default(), canaries);
        }
        if stopped {
            capture.dropped = sys::packet::dropped_frames(socket.as_fd())?;
            return Ok(capture);
        }
    }
}

fn receive(mut socket: &Socket, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match socket.read(buffer) {
        Ok(length) => Ok(Some(length)),
        Err(none) if none.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

impl Capture {
    fn count(&mut self, frame: &[u8], canaries: &[Vec<u8>]) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
        for (hits, canary) in self.hits.iter_mut().zip(canaries) {
            *hits += u64::from(contains(frame, canary));
        }
    }
}

fn contains(frame: &[u8], canary: &[u8]) -> bool {
    let Some((first, rest)) = canary.split_first() else { return true };
    let mut left = frame;
    while let Some(at) = left.iter().position(|byte| byte == first) {
        left = left.get(at + 1..).unwrap_or_default();
        if left.starts_with(rest) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    quickcheck! {
        fn contains_agrees_with_a_naive_search(frame: Vec<u8>, at: usize, length: usize, other: Vec<u8>) -> bool {
            let start = at.min(frame.len());
            let piece = &frame[start..(start + length % 8).min(frame.len())];
            let naive = |canary: &[u8]| canary.is_empty() || frame.windows(canary.len()).any(|w| w == canary);
            contains(&frame, piece) && contains(&frame, &other) == naive(&other)
        }
    }

    #[test]
    fn frames_with_a_canary_are_counted_once_each() {
        let canaries = [b"aab".to_vec(), b"zz".to_vec()];
        let mut capture = Capture { hits: vec![0; 2], ..Capture::default() };
        capture.count(b"..aaab..aab", &canaries);
        capture.count(b"nothing", &canaries);
        assert_eq!((capture.frames, capture.bytes, capture.hits), (2, 18, vec![1, 0]));
    }
}
