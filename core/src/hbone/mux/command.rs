//! What a mux is told to do. Commands take effect in the next [`drive`](Mux::drive).

use std::task::{Context, Poll};

use bytes::Bytes;
use h2::Ping;
use http::Request;

use super::event::{MuxFault, MuxRefusal, StreamId};
use super::session::Session;
use super::stream::Stream;
use super::{GOAWAY_BYTES, Mux};
use crate::hbone::connect::{ConnectRequest, ConnectResponse};

impl Mux {
    /// Opens a stream (client).
    ///
    /// # Errors
    /// `Closing` if no stream can be opened any more, `Full` while the peer's limit is reached, `Malformed` if the
    /// request has no text.
    pub fn connect(&mut self, request: &ConnectRequest) -> Result<StreamId, MuxRefusal> {
        self.touched = true;
        self.open(request.to_http().map_err(MuxRefusal::Malformed)?)
    }

    /// As [`connect`](Mux::connect), with a request in the terms of HTTP.
    pub(crate) fn open(&mut self, request: Request<()>) -> Result<StreamId, MuxRefusal> {
        self.touched = true;
        if !self.takes_streams() {
            return Err(MuxRefusal::Closing);
        }
        if !self.can_open() {
            return Err(MuxRefusal::Full);
        }
        let Session::Client { requests: Some(requests), .. } = &mut self.session else {
            return Err(MuxRefusal::Closing);
        };
        match requests.poll_ready(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(Ok(())) => (),
            Poll::Ready(Err(_)) => return Err(MuxRefusal::Closing),
            Poll::Pending => return Err(MuxRefusal::Full),
        }
        let (response, send) = requests.send_request(request, false).map_err(|_| MuxRefusal::Closing)?;
        let stream = Stream::requested(&self.ready, response, send);
        let id = stream.id();
        stream.wake.mark();
        self.books.live += 1;
        self.streams.insert(id.as_u32(), stream);
        Ok(id)
    }

    /// Answers a request (server). With `end` the answer is all: END_STREAM, and if the client has not finished,
    /// RST_STREAM with NO_ERROR (RFC 9113 section 8.1); the stream is unknown from here on.
    ///
    /// # Errors
    /// `Stream` if it is not there or was answered, `Malformed` if the response has no text.
    pub fn respond(
        &mut self,
        stream: StreamId,
        response: &ConnectResponse,
        end: bool,
    ) -> Result<(), MuxRefusal> {
        self.touched = true;
        let http = response.to_http().map_err(MuxRefusal::Malformed)?;
        let entry = self.streams.get_mut(&stream.as_u32()).ok_or(MuxRefusal::Stream)?;
        if !entry.respond(http, end) {
            return Err(MuxRefusal::Stream);
        }
        self.books.premature = self.books.premature.saturating_sub(1);
        entry.wake.mark();
        if end {
            // Letting go of the handles is how h2 is told that nobody reads the rest.
            self.books.cancels += u32::from(!entry.ended);
            self.books.over(entry);
            self.books.detach(entry);
            self.books.forget(entry);
            self.streams.remove(&stream.as_u32());
        }
        Ok(())
    }

    /// Queues bytes. The queue may exceed its high mark by one call's bytes.
    ///
    /// # Errors
    /// `Full` if the queue is at its high mark (`Writable` will be told), `Stream` if that side is finished.
    pub fn send(&mut self, stream: StreamId, bytes: Bytes) -> Result<(), MuxRefusal> {
        self.touched = true;
        let high = self.config.stream_queue_high;
        let entry = self.streams.get_mut(&stream.as_u32()).ok_or(MuxRefusal::Stream)?;
        if !entry.can_send() {
            return Err(MuxRefusal::Stream);
        }
        if entry.unsent() >= high {
            entry.full = true;
            return Err(MuxRefusal::Full);
        }
        if !bytes.is_empty() {
            entry.push(bytes);
            entry.full |= entry.unsent() >= high;
            entry.wake.mark();
        }
        Ok(())
    }

    /// Bytes of a stream that were taken by [`send`](Mux::send) and not yet put into output.
    pub fn queued(&self, stream: StreamId) -> usize {
        self.streams.get(&stream.as_u32()).map_or(0, Stream::unsent)
    }

    /// Ends our side: END_STREAM follows the queued bytes.
    ///
    /// # Errors
    /// `Stream` if that side is finished.
    pub fn finish(&mut self, stream: StreamId) -> Result<(), MuxRefusal> {
        self.touched = true;
        let entry = self.streams.get_mut(&stream.as_u32()).ok_or(MuxRefusal::Stream)?;
        if !entry.can_send() {
            return Err(MuxRefusal::Stream);
        }
        entry.finish();
        entry.wake.mark();
        Ok(())
    }

    /// Ends the stream at once with RST_STREAM. What is queued, END_STREAM included, is dropped; what is held is no
    /// longer counted; no event tells of it. Unknown streams are ignored.
    pub fn reset(&mut self, stream: StreamId, code: u32) {
        self.reset_now(stream.as_u32(), code);
    }

    /// Ends the stream with RST_STREAM once the queued bytes are in the output; nothing more can be sent, what is
    /// received is still told.
    ///
    /// # Errors
    /// `Stream` if that side is finished.
    pub fn reset_after_queued(&mut self, stream: StreamId, code: u32) -> Result<(), MuxRefusal> {
        self.touched = true;
        let entry = self.streams.get_mut(&stream.as_u32()).ok_or(MuxRefusal::Stream)?;
        if !entry.can_send() {
            return Err(MuxRefusal::Stream);
        }
        entry.reset_later = Some(code);
        entry.wake.mark();
        Ok(())
    }

    pub(super) fn reset_now(&mut self, number: u32, code: u32) {
        self.touched = true;
        let Some(mut stream) = self.streams.remove(&number) else { return };
        if !stream.over {
            stream.reset(code);
            self.books.cancels += 1;
        }
        planted!(StreamSlotLeaks => self.books.live += 1);
        self.books.over(&mut stream);
        self.books.detach(&mut stream);
        self.books.forget(&mut stream);
        self.wake.mark();
    }

    /// Says that bytes of `Data` were passed on: the peer may send as many more. Until then they hold the stream's
    /// window, which is all the backpressure there is.
    pub fn release(&mut self, stream: StreamId, count: usize) {
        self.touched = true;
        let Some(entry) = self.streams.get_mut(&stream.as_u32()) else { return };
        let count = count.min(entry.held);
        entry.credit(count);
        if entry.is_attached() {
            self.books.credit -= count;
        }
        entry.held -= count;
        self.books.held -= count;
        self.retire(stream.as_u32());
    }

    /// Changes the window of every stream, present and future, by SETTINGS: lowered, streams stall until they are
    /// below it. Values above 2^31-1 mean that.
    pub fn set_stream_window(&mut self, window: u32) {
        self.touched = true;
        self.stream_window = Some(window);
    }

    /// Sends PING; `Pong` tells of the answer.
    ///
    /// # Errors
    /// `Full` if one is under way, `Closing` if the connection is not established or over.
    pub fn ping(&mut self) -> Result<(), MuxRefusal> {
        self.touched = true;
        let pings = self.pings.as_mut().ok_or(MuxRefusal::Closing)?;
        pings.send_ping(Ping::opaque()).map_err(|_| MuxRefusal::Full)
    }

    /// Takes no new streams and ends when those open have: a server says GOAWAY with 2^31-1 and, a round trip later,
    /// with its last stream; a client opens no more. `Drained` tells of the end. Nothing bounds the time: set a
    /// deadline, then [`abrupt_shutdown`](Mux::abrupt_shutdown).
    pub fn graceful_shutdown(&mut self) {
        self.touched = true;
        if !self.draining {
            self.draining = true;
            self.session.drain();
            self.wake.mark();
        }
    }

    /// Sends GOAWAY and ends the connection; `Closed` tells of it when the output is taken.
    pub fn abrupt_shutdown(&mut self, code: u32) {
        self.touched = true;
        if self.session.is_over() || self.fault.is_some() {
            return;
        }
        let fault = MuxFault::Local { code };
        self.fault = Some(fault);
        if self.session.abort(code) {
            return self.wake.mark();
        }
        // h2's client has no such call. The peer opens no streams here, so that 0 is the last one.
        self.pipe.take_output(&mut self.output);
        let mut frame = GOAWAY_BYTES;
        if let Some(at) = frame.last_chunk_mut::<4>() {
            *at = code.to_be_bytes();
        }
        self.output.push_frame(&frame, self.config.record_max);
        self.close(Some(fault));
    }
}
