//! Turning bytes into events: polls h2 and the streams it woke until nothing more comes of it.

use std::task::{Context, Poll};

use h2::server::SendResponse;
use h2::{Error, RecvStream};
use http::Request;

use super::event::{ENHANCE_YOUR_CALM, MuxEvent, MuxFault, NO_ERROR, REFUSED_STREAM, ResetCause};
use super::pipe::Ending;
use super::session::{Progress, Session};
use super::stream::Stream;
use super::wake::Payload;
use super::{CONNECTION, Mux};
use crate::hbone::connect::ConnectRequest;

/// Rounds of one drive: each needs a wake that came of the last, and input and output are bounded, so this many are
/// never needed; what would be left waits for the next drive.
const ROUNDS: usize = 1 << 16;

impl Mux {
    /// Does all that input, commands and room for output allow. To be called after any of them.
    pub fn drive(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        if !std::mem::take(&mut self.touched) && !due && self.ready.is_empty() {
            return;
        }
        // What did not fit in is tried again, since there may be more room by now.
        due |= self.pipe.is_blocked();
        self.pipe.open(self.config.output_high.saturating_sub(self.output.len()));
        for _ in 0..ROUNDS {
            if std::mem::take(&mut due) {
                self.poll_session();
            }
            // What is done to a stream wakes the connection where h2 has anything to do with it.
            while let Some(number) = self.ready.pop() {
                if number == CONNECTION {
                    self.wake.taken();
                    due = true;
                } else {
                    self.serve(number);
                }
            }
            due |= self.set_windows();
            if !due {
                break;
            }
        }
        if !self.pipe.is_blocked() {
            self.books.closing = 0;
        }
        self.pipe.take_output(&mut self.output);
    }

    fn poll_session(&mut self) {
        loop {
            match self.session.poll(&mut Context::from_waker(&self.waker)) {
                Progress::Accepted(request, respond) => self.accept(request, respond),
                Progress::Ended(result) => {
                    self.look();
                    return self.end(&result);
                }
                Progress::Established => {
                    self.pings = self.session.take_pings();
                    if self.draining {
                        self.session.drain();
                    }
                }
                Progress::Pending => break,
            }
        }
        self.look();
        if let Some(pings) = &mut self.pings
            && let Poll::Ready(Ok(_)) = pings.poll_pong(&mut Context::from_waker(&self.waker))
        {
            self.events.push(MuxEvent::Pong);
        }
    }

    /// Tells what was seen in passing: SETTINGS and GOAWAY.
    fn look(&mut self) {
        let seen = self.pipe.seen();
        planted!(LoweredWindowStalls, seen = super::watch::Seen { acknowledged: false, ..seen });
        self.settings_seen |= seen.settings;
        if seen.acknowledged {
            // A lower window may leave the peer with nothing to send and all that it sent released before, so that no
            // later release would give it more: h2 looks at a stream's window only then. This makes it look.
            self.streams.values_mut().for_each(|stream| stream.credit(0));
        }
        if let Some((last, code)) = seen.goaway {
            self.goaway = true;
            self.events.push(MuxEvent::GoAway { last, code });
        }
        if self.settings_seen && !self.session.is_over() {
            let now = u32::try_from(self.session.peer_max_streams()).unwrap_or(u32::MAX);
            if self.peer_max != Some(now) {
                self.peer_max = Some(now);
                self.events.push(MuxEvent::PeerSettings { max_concurrent_streams: now });
            }
        }
    }

    fn accept(&mut self, request: Request<RecvStream>, respond: SendResponse<Payload>) {
        let (head, recv) = request.into_parts();
        let mut stream = Stream::accepted(&self.ready, recv, respond);
        if stream.is_reset_already() {
            return self.count_premature();
        }
        // Finished streams whose bytes are still being delivered are no longer in the peer's count, but hold memory.
        if self.streams.len() >= 2 * self.config.max_concurrent_streams as usize {
            stream.reset(REFUSED_STREAM);
            self.books.cancels += 1;
            return;
        }
        let (request, ignored) = ConnectRequest::from_http(&Request::from_parts(head, ()));
        self.events.push(MuxEvent::Request { stream: stream.id(), request, ignored });
        stream.wake.mark();
        self.books.live += 1;
        self.streams.insert(stream.id().as_u32(), stream);
    }

    fn serve(&mut self, number: u32) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        stream.wake.taken();
        let held = stream.held;
        let read = stream.read(&mut self.events);
        self.books.held += stream.held - held;
        if stream.is_attached() {
            self.books.credit += stream.held - held;
        }
        let outcome = read.and_then(|()| {
            stream.write(&self.config);
            stream.check()
        });
        if let Err(cause) = outcome {
            return self.cut(number, cause);
        }
        planted!(WritableNotTold => stream.full = false);
        if stream.full && stream.unsent() <= self.config.writable_at() {
            stream.full = false;
            self.events.push(MuxEvent::Writable { stream: stream.id() });
        }
        if let Some(code) = stream.reset_later.filter(|_| stream.unsent() == 0) {
            return self.reset_now(number, code);
        }
        self.retire(number);
    }

    /// Forgets a stream of which nothing more can come.
    pub(super) fn retire(&mut self, number: u32) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if !stream.over && stream.is_done() {
            self.books.over(stream);
        }
        if stream.over && stream.held == 0 {
            self.streams.remove(&number);
        }
    }

    /// Tells that a stream ended early. Whole bytes before END_STREAM stay counted until released.
    fn cut(&mut self, number: u32, cause: ResetCause) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let (id, after_end, owed) = (stream.id(), stream.ended, stream.is_owed());
        self.books.over(stream);
        self.books.detach(stream);
        if !after_end || stream.held == 0 {
            self.books.forget(stream);
            self.streams.remove(&number);
        }
        self.events.push(MuxEvent::Reset { stream: id, cause, after_end });
        match cause {
            ResetCause::Protocol { .. } => self.books.cancels += 1,
            ResetCause::Peer { .. } | ResetCause::Refused if owed => self.count_premature(),
            ResetCause::Peer { .. } | ResetCause::Refused | ResetCause::Tunnel => (),
        }
    }

    fn count_premature(&mut self) {
        self.books.premature += 1;
        if self.books.premature > self.config.premature_resets && self.fault.is_none() {
            self.abrupt_shutdown(ENHANCE_YOUR_CALM);
        }
    }

    /// Keeps the connection's window at its base above what streams hold, so that no number of stalled streams stops
    /// the others; true if h2 has something to do.
    fn set_windows(&mut self) -> bool {
        let (credit, base) = (self.books.credit, self.config.connection_window as usize);
        planted!(ConnectionWindowFixed, credit = 0);
        let moved = credit.abs_diff(self.applied);
        // An eighth of the base is not worth a frame of its own.
        let due = moved > 0 && (credit == 0 || moved >= base / 8);
        if due {
            self.applied = credit;
            self.session.set_connection_window(u32::try_from(base + credit).unwrap_or(u32::MAX));
        }
        if let Some(window) = self.stream_window
            && self.session.set_stream_window(window)
        {
            self.stream_window = None;
            return true;
        }
        due
    }

    /// The connection is over: tells what every stream still had, then why.
    fn end(&mut self, result: &Result<(), Error>) {
        let open = self.books.live > 0;
        let fault = self.fault.or_else(|| match (self.ending, result) {
            (Some(Ending::Truncated), _) => Some(MuxFault::Truncated),
            (_, Err(error)) => Some(fault_of(error)),
            (Some(Ending::Clean), Ok(())) if open => Some(MuxFault::Eof),
            (_, Ok(())) => None,
        });
        self.close(fault);
    }

    pub(super) fn close(&mut self, fault: Option<MuxFault>) {
        // Streams that h2 holds bytes for are read before its connection goes away, in their order.
        let numbers: Vec<u32> = self.streams.keys().copied().collect();
        for number in &numbers {
            self.serve(*number);
        }
        self.session = Session::Over;
        for number in numbers {
            if self.streams.get(&number).is_some_and(|stream| !stream.over) {
                self.cut(number, ResetCause::Tunnel);
            } else if let Some(stream) = self.streams.get_mut(&number) {
                self.books.detach(stream);
            }
        }
        self.pings = None;
        self.events.push(fault.map_or(MuxEvent::Drained, MuxEvent::Closed));
    }
}

fn fault_of(error: &Error) -> MuxFault {
    match error.reason().map(u32::from) {
        Some(code) if error.is_remote() && code != NO_ERROR => MuxFault::Peer { code },
        Some(code) => MuxFault::Protocol { code },
        None => MuxFault::Truncated,
    }
}
