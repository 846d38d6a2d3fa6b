//! One end of a tunnel: what it is told to do. What it receives is in [`answer`](super::answer).

use std::hash::{Hash, Hasher};

use culvert_core::hbone::mux::{MuxFault, MuxRefusal, ResetCause};

use super::stream::{Head, Stream, Streams};
use super::{ANY, Effects, Event, Frame, Names, Role, StreamNumber, bit};

/// The numbers of both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::explore) struct Bounds {
    /// A stream's window.
    pub(in crate::explore) window: u8,
    /// Unsent amount at which `send` refuses.
    pub(in crate::explore) high: u8,
    /// Unsent amount at which a stream is writable again.
    pub(in crate::explore) low: u8,
    /// Streams that the server permits.
    pub(in crate::explore) streams: u8,
}

/// One end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::explore) struct End {
    pub(super) role: Role,
    pub(super) bounds: Bounds,
    pub(super) streams: Streams,
    /// The stream opened last (client), or the last one that was processed (server).
    pub(super) newest: StreamNumber,
    /// Streams that the peer permits (client).
    pub(super) peer_max: u8,
    /// The peer's GOAWAY and its code.
    pub(super) goaway: Option<u8>,
    pub(super) draining: bool,
    /// The last stream that our GOAWAY named (server).
    pub(super) last: Option<StreamNumber>,
    /// Streams refused before they were processed; DATA of theirs is answered once more (server).
    pub(super) refused: Vec<StreamNumber>,
    pub(super) over: bool,
}

impl End {
    pub(super) fn new(role: Role, bounds: Bounds) -> End {
        End {
            role,
            bounds,
            streams: Streams::default(),
            newest: 0,
            peer_max: bounds.streams,
            goaway: None,
            draining: false,
            last: None,
            refused: Vec::new(),
            over: false,
        }
    }

    pub(in crate::explore) fn is_over(&self) -> bool {
        self.over
    }

    pub(in crate::explore) fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether the peer has sent GOAWAY.
    pub(in crate::explore) fn was_told_to_go(&self) -> bool {
        self.goaway.is_some()
    }

    /// Whether the peer permits fewer streams than at first.
    pub(in crate::explore) fn is_limited(&self) -> bool {
        self.peer_max != self.bounds.streams
    }

    /// Every stream that is open, whether it is owed an answer, and whether it can send.
    pub(in crate::explore) fn served(&self) -> impl Iterator<Item = (StreamNumber, bool, bool)> {
        let open = self.streams.iter().filter(|(_, stream)| !stream.over);
        open.map(|(number, stream)| (number, stream.head == Head::Owed, stream.can_send()))
    }

    /// Streams that are open.
    pub(in crate::explore) fn open_streams(&self) -> u8 {
        self.streams.iter().filter(|(_, stream)| !stream.over).count() as u8
    }

    /// What was told and not released.
    pub(in crate::explore) fn held(&self) -> u8 {
        self.streams.iter().map(|(_, stream)| stream.held).sum()
    }

    /// How many more streams the peer takes (client).
    pub(in crate::explore) fn room(&self) -> u8 {
        if self.over || self.draining || self.goaway.is_some() {
            return 0;
        }
        self.peer_max.saturating_sub(self.open_streams())
    }

    /// Opens a stream (client).
    pub(in crate::explore) fn connect(&mut self, effects: &mut Effects) -> Result<StreamNumber, MuxRefusal> {
        if self.over || self.draining || self.goaway.is_some() {
            return Err(MuxRefusal::Closing);
        }
        if self.room() == 0 {
            return Err(MuxRefusal::Full);
        }
        self.newest += 1;
        self.streams.push(self.newest, Stream::new(Head::Awaited, self.bounds.window));
        effects.frames.push(Frame::Connect { stream: self.newest });
        Ok(self.newest)
    }

    /// Answers a request, and with `end` says no more (server).
    pub(in crate::explore) fn respond(
        &mut self,
        number: StreamNumber,
        end: bool,
        effects: &mut Effects,
    ) -> Result<(), MuxRefusal> {
        let stream = self.streams.get_mut(number).ok_or(MuxRefusal::Stream)?;
        if stream.head != Head::Owed {
            return Err(MuxRefusal::Stream);
        }
        stream.head = Head::Known;
        effects.frames.push(Frame::Response { stream: number, end });
        if !end {
            self.serve(number, effects);
            return Ok(());
        }
        if !stream.ended {
            effects.frames.push(Frame::Reset { stream: number, code: 0 });
        }
        self.streams.remove(number);
        Ok(())
    }

    /// Queues data.
    pub(in crate::explore) fn send(
        &mut self,
        number: StreamNumber,
        amount: u8,
        effects: &mut Effects,
    ) -> Result<(), MuxRefusal> {
        let high = self.bounds.high;
        let stream = self.streams.get_mut(number).ok_or(MuxRefusal::Stream)?;
        if !stream.can_send() {
            return Err(MuxRefusal::Stream);
        }
        if stream.unsent() >= high {
            stream.full = true;
            return Err(MuxRefusal::Full);
        }
        if amount > 0 {
            stream.queue.push(amount);
            stream.full |= stream.unsent() >= high;
            self.serve(number, effects);
        }
        Ok(())
    }

    /// Ends our side once what is queued is sent.
    pub(in crate::explore) fn finish(
        &mut self,
        number: StreamNumber,
        effects: &mut Effects,
    ) -> Result<(), MuxRefusal> {
        let stream = self.streams.get_mut(number).ok_or(MuxRefusal::Stream)?;
        if !stream.can_send() {
            return Err(MuxRefusal::Stream);
        }
        stream.finish = true;
        self.serve(number, effects);
        Ok(())
    }

    /// Ends a stream at once.
    pub(in crate::explore) fn reset(&mut self, number: StreamNumber, code: u8, effects: &mut Effects) {
        let Some(stream) = self.streams.remove(number) else { return };
        if !stream.over {
            effects.frames.push(Frame::Reset { stream: number, code });
        }
    }

    /// Ends a stream once what is queued is sent.
    pub(in crate::explore) fn reset_after_queued(
        &mut self,
        number: StreamNumber,
        code: u8,
        effects: &mut Effects,
    ) -> Result<(), MuxRefusal> {
        let stream = self.streams.get_mut(number).ok_or(MuxRefusal::Stream)?;
        if !stream.can_send() {
            return Err(MuxRefusal::Stream);
        }
        stream.reset_later = Some(code);
        self.serve(number, effects);
        Ok(())
    }

    /// Says that data was passed on.
    pub(in crate::explore) fn release(&mut self, number: StreamNumber, amount: u8, effects: &mut Effects) {
        if let Some(stream) = self.streams.get_mut(number) {
            stream.release(number, amount, effects);
            self.retire(number);
        }
    }

    /// Takes no new streams and ends with those that are open.
    pub(in crate::explore) fn graceful_shutdown(&mut self, effects: &mut Effects) {
        if std::mem::replace(&mut self.draining, true) || self.over || self.role == Role::Client {
            return;
        }
        self.last = Some(ANY);
        effects.frames.extend([Frame::GoAway { last: ANY, code: 0 }, Frame::Ping]);
    }

    /// Ends at once.
    pub(in crate::explore) fn abrupt_shutdown(&mut self, code: u8, effects: &mut Effects) {
        if self.over {
            return;
        }
        let last = if self.role == Role::Client { 0 } else { self.newest };
        // It is not said twice.
        if (self.last, code) != (Some(last), 0) {
            effects.frames.push(Frame::GoAway { last, code });
        }
        self.close(Event::Closed(MuxFault::Local { code: u32::from(code) }), effects);
    }

    /// The byte stream broke.
    pub(super) fn truncated(&mut self, effects: &mut Effects) {
        self.close(Event::Closed(MuxFault::Truncated), effects);
    }

    /// Moves what can be moved of a stream.
    pub(super) fn serve(&mut self, number: StreamNumber, effects: &mut Effects) {
        let Some(stream) = self.streams.get_mut(number) else { return };
        stream.write(number, effects);
        stream.tell_writable(number, self.bounds.low, effects);
        if let Some(code) = stream.reset_later.filter(|_| stream.queue.is_empty()) {
            return self.reset(number, code, effects);
        }
        self.retire(number);
    }

    fn retire(&mut self, number: StreamNumber) {
        let Some(stream) = self.streams.get_mut(number) else { return };
        stream.over |= stream.is_done();
        if stream.over && stream.held == 0 {
            self.streams.remove(number);
        }
    }

    /// A stream ended early.
    pub(super) fn cut(&mut self, number: StreamNumber, cause: ResetCause, effects: &mut Effects) {
        let Some(stream) = self.streams.get_mut(number) else { return };
        let after_end = stream.ended;
        stream.detach();
        if !after_end || stream.held == 0 {
            self.streams.remove(number);
        }
        effects.events.push(Event::Reset { stream: number, cause, after_end });
    }

    /// The connection is over.
    pub(super) fn close(&mut self, last_word: Event, effects: &mut Effects) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        for number in self.streams.numbers() {
            match self.streams.get_mut(number) {
                Some(stream) if stream.over => stream.detach(),
                Some(_) | None => self.cut(number, ResetCause::Tunnel, effects),
            }
        }
        effects.events.push(last_word);
    }

    /// Ends the connection where it was to end with its last stream.
    pub(super) fn settle(&mut self, effects: &mut Effects) {
        if self.over {
            return;
        }
        let idle = self.open_streams() == 0;
        let named = self.last.is_some_and(|last| last != ANY);
        // A client that drains waits for those too that are over and have yet to hand on what has arrived.
        let let_go = self.streams.iter().all(|(_, stream)| stream.detached);
        let drained = self.role == Role::Client && self.draining && let_go;
        if !(drained || idle && (named || self.goaway.is_some())) {
            return;
        }
        let last = if self.role == Role::Client { 0 } else { self.newest };
        if self.last != Some(last) {
            effects.frames.push(Frame::GoAway { last, code: 0 });
        }
        let last_word = match self.goaway.filter(|code| *code != 0) {
            Some(code) => Event::Closed(MuxFault::Peer { code: u32::from(code) }),
            None => Event::Drained,
        };
        self.close(last_word, effects);
    }

    /// Every stream that it names.
    pub(super) fn names(&self) -> u128 {
        let others = self.refused.iter().chain(&self.last).chain([&self.newest]).copied();
        let streams = self.streams.iter().map(|(number, _)| number);
        streams.chain(others).fold(0, |names, stream| names | bit(stream))
    }

    pub(super) fn hash_named<H: Hasher>(&self, names: Names, state: &mut H) {
        let End { role: _, bounds: _, streams, newest, peer_max, goaway, draining, last, refused, over } =
            self;
        (names.of(*newest), peer_max, goaway, draining, last.map(|last| names.of(last)), over).hash(state);
        refused.len().hash(state);
        refused.iter().for_each(|stream| names.of(*stream).hash(state));
        streams.len().hash(state);
        for (number, stream) in streams.iter() {
            names.of(number).hash(state);
            stream.hash(state);
        }
    }
}
