//! A model of a tunnel: both ends of HTTP/2 as [`Mux`](culvert_core::hbone::mux::Mux) has it, and the frames under way between
//! them. It can be cloned and hashed, which h2 cannot, so that machines over it are explored; [`script`] holds it to the real
//! one, frame for frame and event for event.
//!
//! It has commands, answers and events of the mux, with data as amounts. Out of it are bytes, header texts, TLS, user pings,
//! changes of windows by SETTINGS, output that nobody takes, and the connection's window, which the mux keeps above what its
//! streams hold. Every command is driven at once, and frames arrive one at a time.

mod answer;
mod end;
pub(super) mod script;
mod stream;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use culvert_core::hbone::mux::{MuxFault, ResetCause};

pub(super) use end::{Bounds, End};

/// A stream, by the order in which they were opened, from 1: in HTTP/2 it is number 2n-1.
pub(super) type StreamNumber = u8;

/// The last stream of a GOAWAY that does not name one yet.
pub(super) const ANY: StreamNumber = StreamNumber::MAX;

/// What goes over the wire, as far as it decides anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Frame {
    /// A client's HEADERS.
    Connect { stream: StreamNumber },
    /// WINDOW_UPDATE of a stream.
    Credit { stream: StreamNumber, amount: u8 },
    /// DATA.
    Data { stream: StreamNumber, amount: u8, end: bool },
    /// close_notify, the end of the byte stream.
    Eof,
    /// GOAWAY.
    GoAway { last: StreamNumber, code: u8 },
    /// SETTINGS with MAX_CONCURRENT_STREAMS.
    Limit { streams: u8 },
    /// The PING between the two GOAWAYs of a server that drains.
    Ping,
    /// Its acknowledgement.
    Pong,
    /// RST_STREAM.
    Reset { stream: StreamNumber, code: u8 },
    /// A server's HEADERS.
    Response { stream: StreamNumber, end: bool },
}

/// What an end tells, as [`MuxEvent`](culvert_core::hbone::mux::MuxEvent).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Closed(MuxFault),
    Data { stream: StreamNumber, amount: u8 },
    Drained,
    End { stream: StreamNumber },
    GoAway { last: StreamNumber, code: u8 },
    PeerSettings { streams: u8 },
    Request { stream: StreamNumber },
    Reset { stream: StreamNumber, cause: ResetCause, after_end: bool },
    Response { stream: StreamNumber, end: bool },
    Writable { stream: StreamNumber },
}

impl Event {
    /// Whose event it is; nothing for the connection's own.
    pub(super) fn stream(&self) -> Option<StreamNumber> {
        match *self {
            Event::Closed(_) | Event::Drained | Event::GoAway { .. } | Event::PeerSettings { .. } => None,
            Event::Data { stream, .. }
            | Event::End { stream }
            | Event::Request { stream }
            | Event::Reset { stream, .. }
            | Event::Response { stream, .. }
            | Event::Writable { stream } => Some(stream),
        }
    }
}

/// What comes of one command or frame.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) frames: Vec<Frame>,
    pub(super) events: Vec<Event>,
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    Client,
    Server,
}

impl Role {
    pub(super) fn other(self) -> Role {
        match self {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        }
    }
}

/// Both ends, and what is under way to each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) client: End,
    pub(super) server: End,
    to_client: VecDeque<Frame>,
    to_server: VecDeque<Frame>,
}

impl Link {
    /// Both have the other's SETTINGS.
    pub(super) fn new(bounds: Bounds) -> Link {
        Link {
            client: End::new(Role::Client, bounds),
            server: End::new(Role::Server, bounds),
            to_client: VecDeque::new(),
            to_server: VecDeque::new(),
        }
    }

    /// What is under way to an end.
    pub(super) fn under_way(&self, to: Role) -> &VecDeque<Frame> {
        match to {
            Role::Client => &self.to_client,
            Role::Server => &self.to_server,
        }
    }

    fn under_way_mut(&mut self, to: Role) -> &mut VecDeque<Frame> {
        match to {
            Role::Client => &mut self.to_client,
            Role::Server => &mut self.to_server,
        }
    }

    /// Lets one end do something; what it sends is under way.
    pub(super) fn act<R>(
        &mut self,
        role: Role,
        what: impl FnOnce(&mut End, &mut Effects) -> R,
    ) -> (R, Vec<Event>) {
        let end = match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        };
        let was_over = end.is_over();
        let mut effects = Effects::default();
        let result = what(end, &mut effects);
        end.settle(&mut effects);
        if end.is_over() && !was_over {
            effects.frames.push(Frame::Eof);
        }
        self.under_way_mut(role.other()).extend(effects.frames);
        (result, effects.events)
    }

    /// The next frame that is under way to an end arrives.
    pub(super) fn deliver(&mut self, to: Role) -> Vec<Event> {
        let Some(frame) = self.under_way_mut(to).pop_front() else { return Vec::new() };
        self.act(to, |end, effects| end.receive(frame, effects)).1
    }

    /// The server's limit of streams changes. It still enforces the one that it began with.
    pub(super) fn limit(&mut self, streams: u8) {
        self.to_client.push_back(Frame::Limit { streams });
    }

    /// The byte stream breaks, and what is under way is lost: what the client and what the server is told.
    pub(super) fn lose(&mut self) -> (Vec<Event>, Vec<Event>) {
        let told = [Role::Client, Role::Server].map(|role| self.act(role, End::truncated).1);
        self.to_client.clear();
        self.to_server.clear();
        let [client, server] = told;
        (client, server)
    }

    /// Whether there are frames that nobody will take.
    pub(super) fn has_unheard(&self) -> bool {
        self.client.is_over() && !self.to_client.is_empty()
            || self.server.is_over() && !self.to_server.is_empty()
    }

    /// They are gone.
    pub(super) fn drop_unheard(&mut self) {
        if self.client.is_over() {
            self.to_client.clear();
        }
        if self.server.is_over() {
            self.to_server.clear();
        }
    }

    /// Whether the server has changed its limit.
    pub(super) fn is_limited(&self) -> bool {
        self.client.is_limited() || self.to_client.iter().any(|frame| matches!(frame, Frame::Limit { .. }))
    }

    /// Every stream that is named anywhere.
    fn named(&self) -> u128 {
        let frames =
            self.to_client.iter().chain(&self.to_server).fold(0, |named, frame| named | frame.names());
        frames | self.client.names() | self.server.names()
    }
}

/// A set of stream numbers as bits; what cannot be in it is left out.
fn bit(stream: StreamNumber) -> u128 {
    1u128.checked_shl(u32::from(stream)).unwrap_or(0)
}

/// New names, in the order of the old ones and without gaps, so that states that differ in names alone hash alike.
#[derive(Clone, Copy)]
pub(super) struct Names(u128);

impl Names {
    pub(super) fn of(self, stream: StreamNumber) -> u8 {
        let below = bit(stream).wrapping_sub(1);
        if stream == ANY { ANY } else { (self.0 & below).count_ones() as u8 }
    }
}

impl Link {
    /// Hashes under new names of streams, which are returned.
    pub(super) fn hash_renamed<H: Hasher>(&self, state: &mut H) -> Names {
        let names = Names(self.named());
        self.client.hash_named(names, state);
        self.server.hash_named(names, state);
        for frames in [&self.to_client, &self.to_server] {
            frames.len().hash(state);
            frames.iter().for_each(|frame| frame.renamed(names).hash(state));
        }
        names
    }
}

impl Frame {
    fn stream(&self) -> Option<StreamNumber> {
        match *self {
            Frame::Connect { stream }
            | Frame::Credit { stream, .. }
            | Frame::Data { stream, .. }
            | Frame::GoAway { last: stream, .. }
            | Frame::Reset { stream, .. }
            | Frame::Response { stream, .. } => Some(stream),
            Frame::Eof | Frame::Limit { .. } | Frame::Ping | Frame::Pong => None,
        }
    }

    fn names(&self) -> u128 {
        self.stream().map_or(0, bit)
    }

    fn renamed(self, names: Names) -> Frame {
        let mut frame = self;
        match &mut frame {
            Frame::Connect { stream }
            | Frame::Credit { stream, .. }
            | Frame::Data { stream, .. }
            | Frame::GoAway { last: stream, .. }
            | Frame::Reset { stream, .. }
            | Frame::Response { stream, .. } => *stream = names.of(*stream),
            Frame::Eof | Frame::Limit { .. } | Frame::Ping | Frame::Pong => {}
        }
        frame
    }
}
