//! What comes of a frame.

use culvert_core::hbone::mux::{MuxFault, REFUSED_STREAM, ResetCause};

use super::stream::{Head, Stream};
use super::{Effects, End, Event, Frame, Role, StreamNumber};

/// REFUSED_STREAM.
const REFUSED: u8 = REFUSED_STREAM as u8;
/// STREAM_CLOSED (RFC 9113 section 7).
const STREAM_CLOSED: u8 = 5;

impl End {
    /// A frame arrives.
    pub(super) fn receive(&mut self, frame: Frame, effects: &mut Effects) {
        if self.over {
            return;
        }
        match frame {
            Frame::Connect { stream } => self.requested(stream, effects),
            Frame::Credit { stream, amount } => {
                if let Some(stream) = self.streams.get_mut(stream) {
                    stream.window += amount;
                }
                self.serve(stream, effects);
            }
            Frame::Data { stream, amount, end } => self.received(stream, amount, end, effects),
            Frame::Eof => self.ended(effects),
            Frame::GoAway { last, code } => self.told_to_go(last, code, effects),
            Frame::Limit { streams } => {
                if self.peer_max != streams {
                    self.peer_max = streams;
                    effects.events.push(Event::PeerSettings { streams });
                }
            }
            Frame::Ping => effects.frames.push(Frame::Pong),
            Frame::Pong => {
                self.last = Some(self.newest);
                self.refused.retain(|stream| *stream <= self.newest);
                effects.frames.push(Frame::GoAway { last: self.newest, code: 0 });
            }
            Frame::Reset { stream, code } => self.was_reset(stream, code, effects),
            Frame::Response { stream, end } => self.answered(stream, end, effects),
        }
    }

    fn requested(&mut self, number: StreamNumber, effects: &mut Effects) {
        if self.last.is_some_and(|last| number > last) {
            return;
        }
        if self.open_streams() >= self.bounds.streams {
            self.refused.push(number);
            effects.frames.push(Frame::Reset { stream: number, code: REFUSED });
            return;
        }
        self.newest = number;
        // Finished streams whose data is still held count too.
        if self.streams.len() >= 2 * usize::from(self.bounds.streams) {
            effects.frames.push(Frame::Reset { stream: number, code: REFUSED });
            return;
        }
        self.streams.push(number, Stream::new(Head::Owed, self.bounds.window));
        effects.events.push(Event::Request { stream: number });
    }

    fn answered(&mut self, number: StreamNumber, end: bool, effects: &mut Effects) {
        let Some(stream) = self.streams.get_mut(number) else { return };
        stream.head = Head::Known;
        effects.events.push(Event::Response { stream: number, end });
        if end {
            stream.ended = true;
            effects.events.push(Event::End { stream: number });
        }
        self.serve(number, effects);
    }

    fn received(&mut self, number: StreamNumber, amount: u8, end: bool, effects: &mut Effects) {
        if let Some(at) = self.refused.iter().position(|refused| *refused == number) {
            self.refused.remove(at);
            effects.frames.push(Frame::Reset { stream: number, code: STREAM_CLOSED });
            return;
        }
        let Some(stream) = self.streams.get_mut(number) else { return };
        if amount > 0 {
            stream.permitted = stream.permitted.saturating_sub(amount);
            stream.held += amount;
            effects.events.push(Event::Data { stream: number, amount });
        }
        if end {
            stream.ended = true;
            effects.events.push(Event::End { stream: number });
        }
        self.serve(number, effects);
    }

    fn was_reset(&mut self, number: StreamNumber, code: u8, effects: &mut Effects) {
        self.refused.retain(|refused| *refused != number);
        let Some(stream) = self.streams.get(number).filter(|stream| !stream.over) else { return };
        let unanswered = stream.head != Head::Known && !stream.ended;
        let cause = match u32::from(code) {
            REFUSED_STREAM if unanswered => ResetCause::Refused,
            code => ResetCause::Peer { code },
        };
        self.cut(number, cause, effects);
    }

    fn told_to_go(&mut self, last: StreamNumber, code: u8, effects: &mut Effects) {
        self.goaway = Some(code);
        effects.events.push(Event::GoAway { last, code });
        if self.role == Role::Server {
            return;
        }
        for number in self.streams.numbers().into_iter().filter(|number| *number > last) {
            if self.streams.get(number).is_some_and(|stream| !stream.over) {
                self.cut(number, ResetCause::Refused, effects);
            }
        }
    }

    fn ended(&mut self, effects: &mut Effects) {
        let last_word = match self.goaway {
            Some(code) if code != 0 => Event::Closed(MuxFault::Peer { code: u32::from(code) }),
            _ if self.open_streams() > 0 => Event::Closed(MuxFault::Eof),
            Some(_) | None => Event::Drained,
        };
        self.close(last_word, effects);
    }
}
