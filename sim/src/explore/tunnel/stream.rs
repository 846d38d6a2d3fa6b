//! One stream of one end.

use super::{Effects, Event, Frame, StreamNumber};

/// Which message head is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Head {
    /// The server's answer, at the client.
    Awaited,
    Known,
    /// Our answer, at the server.
    Owed,
}

/// What an end knows of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::explore) struct Stream {
    pub(super) head: Head,
    /// What waits to be sent, one entry for each `send`.
    pub(super) queue: Vec<u8>,
    /// What the peer lets us send.
    pub(super) window: u8,
    /// `Writable` is owed.
    pub(super) full: bool,
    pub(super) finish: bool,
    pub(super) finished: bool,
    pub(super) reset_later: Option<u8>,
    pub(super) ended: bool,
    /// Told and not released.
    pub(super) held: u8,
    /// Released, and the peer not told yet.
    pub(super) owed: u8,
    /// What the peer may still send, as it knows.
    pub(super) permitted: u8,
    /// No longer counted as open.
    pub(super) over: bool,
    /// Nothing of it holds a window.
    pub(super) detached: bool,
}

impl Stream {
    pub(super) fn new(head: Head, window: u8) -> Stream {
        Stream {
            head,
            queue: Vec::new(),
            window,
            full: false,
            finish: false,
            finished: false,
            reset_later: None,
            ended: false,
            held: 0,
            owed: 0,
            permitted: window,
            over: false,
            detached: false,
        }
    }

    pub(super) fn unsent(&self) -> u8 {
        self.queue.iter().sum()
    }

    pub(super) fn can_send(&self) -> bool {
        !self.finish && self.reset_later.is_none() && !self.over
    }

    /// Sends what the window permits.
    pub(super) fn write(&mut self, number: StreamNumber, effects: &mut Effects) {
        if self.head == Head::Owed || self.finished || self.over {
            return;
        }
        while let Some(front) = self.queue.first_mut().filter(|_| self.window > 0) {
            let amount = (*front).min(self.window);
            self.window -= amount;
            *front -= amount;
            if *front == 0 {
                self.queue.remove(0);
            }
            self.finished = self.finish && self.queue.is_empty();
            effects.frames.push(Frame::Data { stream: number, amount, end: self.finished });
        }
        if self.finish && !self.finished && self.queue.is_empty() {
            self.finished = true;
            effects.frames.push(Frame::Data { stream: number, amount: 0, end: true });
        }
    }

    pub(super) fn tell_writable(&mut self, number: StreamNumber, low: u8, effects: &mut Effects) {
        if self.full && self.unsent() <= low {
            self.full = false;
            effects.events.push(Event::Writable { stream: number });
        }
    }

    /// Gives credit back; the peer learns of it when it is worth a frame: half of what it still may send.
    pub(super) fn release(&mut self, number: StreamNumber, amount: u8, effects: &mut Effects) {
        let amount = amount.min(self.held);
        self.held -= amount;
        if self.detached {
            return;
        }
        self.owed += amount;
        if self.owed > 0 && !self.ended && 2 * self.owed >= self.permitted {
            self.permitted += self.owed;
            let amount = std::mem::take(&mut self.owed);
            effects.frames.push(Frame::Credit { stream: number, amount });
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.ended && self.finished && self.queue.is_empty()
    }

    /// Nothing is sent or credited any more.
    pub(super) fn detach(&mut self) {
        self.detached = true;
        self.over = true;
        self.head = Head::Known;
        self.queue.clear();
        self.finished = true;
        self.full = false;
        self.reset_later = None;
    }
}

/// The streams of an end, by number: a few, so that they lie side by side and a copy of all is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::explore) struct Streams(Vec<(StreamNumber, Stream)>);

impl Streams {
    pub(super) fn get(&self, number: StreamNumber) -> Option<&Stream> {
        self.0.iter().find(|(other, _)| *other == number).map(|(_, stream)| stream)
    }

    pub(super) fn get_mut(&mut self, number: StreamNumber) -> Option<&mut Stream> {
        self.0.iter_mut().find(|(other, _)| *other == number).map(|(_, stream)| stream)
    }

    /// Adds the newest.
    pub(super) fn push(&mut self, number: StreamNumber, stream: Stream) {
        self.0.push((number, stream));
    }

    pub(super) fn remove(&mut self, number: StreamNumber) -> Option<Stream> {
        let at = self.0.iter().position(|(other, _)| *other == number)?;
        Some(self.0.remove(at).1)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (StreamNumber, &Stream)> {
        self.0.iter().map(|(number, stream)| (*number, stream))
    }

    pub(super) fn numbers(&self) -> Vec<StreamNumber> {
        self.0.iter().map(|(number, _)| *number).collect()
    }
}
