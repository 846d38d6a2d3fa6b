//! The two ends of memory that h2 takes for a connection: bytes decrypted by TLS on one side, bytes for TLS to encrypt
//! on the other.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::wake::lock;
use super::watch::{Seen, Watch};

/// How the peer's bytes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// TLS said so (close_notify).
    Clean,
    /// The transport just stopped.
    Truncated,
}

/// Output cut into TLS records: a frame with a full payload is one record of its own, small frames share one.
#[derive(Debug, Default)]
pub(super) struct Records {
    queue: VecDeque<Vec<u8>>,
    offset: usize,
    len: usize,
}

impl Records {
    /// Appends one write of h2: whole frames.
    /// How many bytes it took: all of them.
    fn push<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]> + Clone, record_max: usize) -> usize {
        let total: usize = slices.clone().map(<[u8]>::len).sum();
        self.len += total;
        let fits = self.queue.back().is_some_and(|last| last.len() + total <= record_max);
        // A write longer than a record is small frames and then one with a full payload: cut between them.
        let mut room = match (fits, total % record_max) {
            (true, _) => total,
            (false, 0) => 0,
            (false, head) => {
                self.queue.push_back(Vec::with_capacity(head));
                head
            }
        };
        for slice in slices {
            let mut slice = slice;
            while !slice.is_empty() {
                if room == 0 {
                    self.queue.push_back(Vec::with_capacity(record_max));
                    room = record_max;
                }
                let (part, rest) = slice.split_at(room.min(slice.len()));
                if let Some(last) = self.queue.back_mut() {
                    last.extend_from_slice(part);
                }
                room -= part.len();
                slice = rest;
            }
        }
        total
    }

    pub(super) fn push_frame(&mut self, frame: &[u8], record_max: usize) {
        self.push(std::iter::once(frame), record_max);
    }

    /// The next record, or what is left of it.
    pub(super) fn front(&self) -> &[u8] {
        self.queue.front().and_then(|record| record.get(self.offset..)).unwrap_or_default()
    }

    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.front().len());
        self.offset += count;
        self.len -= count;
        if self.front().is_empty() {
            self.queue.pop_front();
            self.offset = 0;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn append(&mut self, other: &mut Records) {
        self.queue.append(&mut other.queue);
        self.len += std::mem::take(&mut other.len);
    }
}

#[derive(Debug)]
struct Wires {
    inbound: BytesMut,
    ending: Option<Ending>,
    watch: Watch,
    outbound: Records,
    room: usize,
    blocked: bool,
}

/// One end for h2, one for the mux.
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    wires: Arc<Mutex<Wires>>,
    record_max: usize,
}

impl Pipe {
    pub(super) fn new(server: bool, record_max: usize) -> Pipe {
        let wires = Wires {
            inbound: BytesMut::new(),
            ending: None,
            watch: Watch::new(server),
            outbound: Records::default(),
            room: usize::MAX,
            blocked: false,
        };
        Pipe { wires: Arc::new(Mutex::new(wires)), record_max: record_max.max(1) }
    }

    pub(super) fn receive(&self, plain: &[u8]) {
        lock(&self.wires).inbound.extend_from_slice(plain);
    }

    /// Takes all of `plain` if that leaves no more than `most` and one record waiting; says whether it did.
    pub(super) fn receive_all(&self, plain: &mut BytesMut, most: usize) -> bool {
        let inbound = &mut lock(&self.wires).inbound;
        if !inbound.is_empty() || plain.len() > most.saturating_add(self.record_max) {
            return false;
        }
        std::mem::swap(inbound, plain);
        plain.clear();
        true
    }

    pub(super) fn inbound_len(&self) -> usize {
        lock(&self.wires).inbound.len()
    }

    pub(super) fn end(&self, ending: Ending) {
        lock(&self.wires).ending.get_or_insert(ending);
    }

    /// Says how many bytes may be written from here on.
    pub(super) fn open(&self, room: usize) {
        let mut wires = lock(&self.wires);
        wires.room = room;
        wires.blocked = false;
    }

    /// Whether a write had to wait since `open`.
    pub(super) fn is_blocked(&self) -> bool {
        lock(&self.wires).blocked
    }

    pub(super) fn take_output(&self, into: &mut Records) {
        let mut wires = lock(&self.wires);
        into.append(&mut wires.outbound);
        wires.room = 0;
    }

    /// What was seen in the peer's frames since the last call.
    pub(super) fn seen(&self) -> Seen {
        std::mem::take(&mut lock(&self.wires).watch.seen)
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut guard = lock(&self.wires);
        let wires = &mut *guard;
        let count = wires.inbound.len().min(into.remaining());
        if count > 0 {
            let bytes = wires.inbound.get(..count).unwrap_or_default();
            into.put_slice(bytes);
            wires.watch.see(bytes);
            wires.inbound.advance(count);
            return Poll::Ready(Ok(()));
        }
        // h2 takes the end of a file for a polite close, and this error for a lost peer.
        match wires.ending {
            None => Poll::Pending,
            Some(Ending::Clean) => Poll::Ready(Ok(())),
            Some(Ending::Truncated) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut guard = lock(&self.wires);
        let wires = &mut *guard;
        // A write is whole frames; taken whole they stay in one piece, and the excess is one frame at most.
        if wires.outbound.len() >= wires.room {
            wires.blocked = true;
            return Poll::Pending;
        }
        Poll::Ready(Ok(wires.outbound.push(slices.iter().map(|slice| &**slice), self.record_max)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(records: &mut Records, slices: &[&[u8]], record_max: usize) {
        let taken = records.push(slices.iter().copied(), record_max);
        assert_eq!(taken, slices.concat().len());
    }

    fn sizes(records: &Records) -> Vec<usize> {
        records.queue.iter().map(Vec::len).collect()
    }

    #[test]
    fn a_full_frame_is_one_record_and_small_ones_share() {
        let mut records = Records::default();
        let full = vec![1; 16_384];
        push(&mut records, &[&[0; 13]], 16_384);
        push(&mut records, &[&[0; 17]], 16_384);
        push(&mut records, &[&full], 16_384);
        push(&mut records, &[&[2; 13], &full], 16_384);
        push(&mut records, &[&[3; 9]], 16_384);
        assert_eq!(sizes(&records), [30, 16_384, 13, 16_384, 9]);
        assert_eq!(records.len(), 30 + 2 * 16_384 + 22);
    }

    #[test]
    fn records_are_consumed_in_any_steps() {
        let mut records = Records::default();
        let wire: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for part in wire.chunks(37) {
            push(&mut records, &part.chunks(5).collect::<Vec<_>>(), 100);
        }
        let mut out = Vec::new();
        for step in (1..40).cycle() {
            let front = records.front();
            if front.is_empty() {
                break;
            }
            let count = step.min(front.len());
            out.extend_from_slice(&front[..count]);
            records.consume(count);
        }
        assert_eq!((out, records.len()), (wire, 0));
    }
}
