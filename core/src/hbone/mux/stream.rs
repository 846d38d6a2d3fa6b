//! One stream: h2's handles for it, what waits to be sent, and what of it is held.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Error, Reason, RecvStream, SendStream};

use super::config::MuxConfig;
use super::event::{Events, MuxEvent, PROTOCOL_ERROR, REFUSED_STREAM, ResetCause, StreamId};
use super::wake::{Payload, Ready, Wake};
use crate::hbone::connect::ConnectResponse;

/// Which message head is still to come.
enum Head {
    /// A client's stream waits for the response.
    Awaited(ResponseFuture),
    /// Both are there.
    Known,
    /// A server's stream is to be answered.
    Owed(SendResponse<Payload>),
}

pub(super) struct Stream {
    id: StreamId,
    pub(super) wake: Arc<Wake>,
    waker: Waker,
    head: Head,
    recv: Option<RecvStream>,
    send: Option<SendStream<Payload>>,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// `send` was refused or filled the queue, and `Writable` is owed.
    pub(super) full: bool,
    finish: bool,
    finished: bool,
    /// END_STREAM was told.
    pub(super) ended: bool,
    /// Told and not released.
    pub(super) held: usize,
    /// RST_STREAM to send once the queue is empty.
    pub(super) reset_later: Option<u32>,
    /// Not counted as open any more.
    pub(super) over: bool,
}

impl Stream {
    fn new(number: u32, ready: &Arc<Ready>, head: Head) -> Stream {
        let wake = Wake::new(number, ready);
        Stream {
            id: StreamId(number),
            waker: Waker::from(Arc::clone(&wake)),
            wake,
            head,
            recv: None,
            send: None,
            queue: VecDeque::new(),
            queued: 0,
            full: false,
            finish: false,
            finished: false,
            ended: false,
            held: 0,
            reset_later: None,
            over: false,
        }
    }

    pub(super) fn requested(
        ready: &Arc<Ready>,
        response: ResponseFuture,
        send: SendStream<Payload>,
    ) -> Stream {
        let number = response.stream_id().as_u32();
        Stream { send: Some(send), ..Stream::new(number, ready, Head::Awaited(response)) }
    }

    pub(super) fn accepted(ready: &Arc<Ready>, recv: RecvStream, respond: SendResponse<Payload>) -> Stream {
        let number = respond.stream_id().as_u32();
        Stream { recv: Some(recv), ..Stream::new(number, ready, Head::Owed(respond)) }
    }

    pub(super) fn id(&self) -> StreamId {
        self.id
    }

    /// A server's stream that has no answer yet.
    pub(super) fn is_owed(&self) -> bool {
        matches!(self.head, Head::Owed(_))
    }

    /// Whether received bytes still hold credit in h2.
    pub(super) fn is_attached(&self) -> bool {
        self.recv.is_some()
    }

    /// Bytes accepted and not yet encoded.
    pub(super) fn unsent(&self) -> usize {
        self.queued + self.wake.unsent()
    }

    /// Both sides are finished and all is encoded.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.finished && self.unsent() == 0
    }

    pub(super) fn can_send(&self) -> bool {
        !self.finish && self.reset_later.is_none() && !self.over
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        self.queued += bytes.len();
        self.wake.waiting(bytes.len());
        self.queue.push_back(bytes);
    }

    pub(super) fn finish(&mut self) {
        self.finish = true;
    }

    /// Reads all h2 has: what is left there counts against its budget for small frames.
    ///
    /// # Errors
    /// The stream ended early.
    pub(super) fn read(&mut self, events: &mut Events) -> Result<(), ResetCause> {
        let mut cx = Context::from_waker(&self.waker);
        if let Head::Awaited(response) = &mut self.head {
            match Pin::new(response).poll(&mut cx) {
                Poll::Ready(Ok(response)) => {
                    let (head, recv) = response.into_parts();
                    let (response, ignored) = ConnectResponse::from_http(head.status, &head.headers);
                    events.push(MuxEvent::Response { stream: self.id, response, ignored });
                    self.recv = Some(recv);
                    self.head = Head::Known;
                }
                Poll::Ready(Err(error)) => return Err(cause_of(&error, true)),
                Poll::Pending => return Ok(()),
            }
        }
        while let Some(recv) = self.recv.as_mut().filter(|_| !self.ended) {
            match recv.poll_data(&mut cx) {
                Poll::Ready(Some(Ok(bytes))) if bytes.is_empty() => (),
                Poll::Ready(Some(Ok(bytes))) => {
                    self.held += bytes.len();
                    events.push_data(self.id, bytes);
                }
                Poll::Ready(Some(Err(error))) => return Err(cause_of(&error, self.is_owed())),
                Poll::Ready(None) => {
                    self.ended = true;
                    events.push(MuxEvent::End { stream: self.id });
                }
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Hands h2 as much as it has capacity for: beyond that it would queue without bound.
    pub(super) fn write(&mut self, config: &MuxConfig) {
        let mut cx = Context::from_waker(&self.waker);
        let Some(send) = self.send.as_mut().filter(|_| !self.finished) else { return };
        while let Some(front) = self.queue.front_mut() {
            // Reserved capacity is taken from the whole connection: only what can be sent next is asked for.
            send.reserve_capacity(self.queued.min(config.stream_send_buffer));
            let capacity = send.capacity();
            if capacity == 0 {
                match send.poll_capacity(&mut cx) {
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(Some(Err(_)) | None) | Poll::Pending => return,
                }
            }
            let piece = front.split_to(front.len().min(capacity).min(config.payload_max.max(1)));
            self.queued -= piece.len();
            self.wake.waits_no_more(piece.len());
            if front.is_empty() {
                self.queue.pop_front();
            }
            let last = self.finish && self.queue.is_empty();
            // h2 refuses only where the stream was reset, which is told by `cut`.
            if send.send_data(Payload::new(piece, &self.wake), last).is_err() {
                return;
            }
            self.finished |= last;
        }
        send.reserve_capacity(0);
        if self.finish
            && !self.finished
            && send.send_data(Payload::new(Bytes::new(), &self.wake), true).is_ok()
        {
            self.finished = true;
        }
    }

    /// Asks for RST_STREAM where reading does not tell of it: after END_STREAM.
    ///
    /// # Errors
    /// The sending half was cut.
    pub(super) fn check(&mut self) -> Result<(), ResetCause> {
        if !self.ended {
            return Ok(());
        }
        let mut cx = Context::from_waker(&self.waker);
        let poll = match (&mut self.send, &mut self.head) {
            (Some(send), _) => send.poll_reset(&mut cx),
            (None, Head::Owed(respond)) => respond.poll_reset(&mut cx),
            (None, Head::Awaited(_) | Head::Known) => Poll::Pending,
        };
        match poll {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(reason)) => Err(self.cause_after_end(reason.into())),
            Poll::Ready(Err(error)) => Err(cause_of(&error, false)),
        }
    }

    /// h2 gives the code of a GOAWAY that ended the stream as that of an RST_STREAM: which it was, reading tells.
    fn cause_after_end(&mut self, code: u32) -> ResetCause {
        match self.recv.as_mut().map(|recv| recv.poll_data(&mut Context::from_waker(&self.waker))) {
            Some(Poll::Ready(Some(Err(error)))) => cause_of(&error, false),
            Some(_) | None => ResetCause::Peer { code },
        }
    }

    /// Whether the peer reset it before anything of it was told.
    pub(super) fn is_reset_already(&mut self) -> bool {
        let mut cx = Context::from_waker(&self.waker);
        match &mut self.head {
            Head::Owed(respond) => respond.poll_reset(&mut cx).is_ready(),
            Head::Awaited(_) | Head::Known => false,
        }
    }

    /// Sends the response head; true if it was still owed.
    pub(super) fn respond(&mut self, response: http::Response<()>, end: bool) -> bool {
        let Head::Owed(respond) = &mut self.head else { return false };
        // h2 refuses only where the stream was reset, which is told by `read` or `check`.
        self.send = respond.send_response(response, end).ok();
        self.head = Head::Known;
        true
    }

    /// Sends RST_STREAM; what is queued is dropped.
    pub(super) fn reset(&mut self, code: u32) {
        let reason = Reason::from(code);
        match (&mut self.send, &mut self.head) {
            (Some(send), _) => send.send_reset(reason),
            (None, Head::Owed(respond)) => respond.send_reset(reason),
            (None, Head::Awaited(_) | Head::Known) => (),
        }
    }

    /// Gives credit back to the peer.
    pub(super) fn credit(&mut self, count: usize) {
        if let Some(recv) = &mut self.recv {
            // h2 refuses more than it counts as held, which is never less than counted here.
            let _ = recv.flow_control().release_capacity(count);
        }
    }

    /// Lets go of h2's handles; credit goes back to the connection. What is held stays counted.
    pub(super) fn detach(&mut self) {
        self.recv = None;
        self.send = None;
        self.head = Head::Known;
        self.queue.clear();
        self.wake.waits_no_more(std::mem::take(&mut self.queued));
        self.finished = true;
        self.full = false;
        self.reset_later = None;
    }
}

/// What h2's error for a stream means. `unanswered`: no answer was seen or given, so REFUSED_STREAM may be believed.
fn cause_of(error: &Error, unanswered: bool) -> ResetCause {
    let code = error.reason().map_or(PROTOCOL_ERROR, u32::from);
    match (error.is_reset(), error.is_remote()) {
        (true, true) if code == REFUSED_STREAM && unanswered => ResetCause::Refused,
        (true, true) => ResetCause::Peer { code },
        (true, false) => ResetCause::Protocol { code },
        // GOAWAY of the peer ends only streams above its last one, in this way.
        (false, true) if error.is_go_away() => ResetCause::Refused,
        (false, _) => ResetCause::Tunnel,
    }
}
