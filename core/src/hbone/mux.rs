//! Many streams over one byte stream: HTTP/2 with CONNECT only, as a state machine.
//!
//! **Internal**: for the simulator, the fuzz targets and the tests of this workspace; no part of the interface, and may change
//! with any version.
//!
//! A [`Mux`] is given decrypted bytes and commands, is [driven](Mux::drive), and answers with [events](MuxEvent) and
//! with bytes to encrypt:
//!
//! 1. [`receive`](Mux::receive) what TLS decrypted, no more than [`receive_room`](Mux::receive_room);
//!    [`receive_end`](Mux::receive_end) when there will be no more.
//! 2. Give commands ([`connect`](Mux::connect), [`send`](Mux::send), ...).
//! 3. [`drive`](Mux::drive).
//! 4. Take every [event](Mux::poll_event) and every piece of [`output`](Mux::output), each one TLS record; then drive
//!    again if output was taken, since there is room for more.
//!
//! Inside is the `h2` crate, polled by hand over memory. It needs no runtime: of `tokio` it uses the traits for I/O.
//! With the settings of [`MuxConfig`] no clock decides anything: h2 reads one when it forgets streams it has reset,
//! and is told never to. The same calls give the same bytes, in every process.
//!
//! What is bounded: input by `input_max`, output by `output_high` and one frame, a stream's queue by
//! `stream_queue_high` and one call, received bytes by each stream's window, events by `events_max` and what one
//! input decodes to. What is not bounded here is time: preface, SETTINGS, answers and draining need deadlines.

mod command;
mod config;
mod drive;
mod event;
mod pipe;
mod session;
mod stream;
mod wake;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Waker};

pub use config::MuxConfig;
pub use event::{
    CANCEL, CONNECT_ERROR, ENHANCE_YOUR_CALM, INTERNAL_ERROR, MuxEvent, MuxFault, MuxRefusal, NO_ERROR,
    PROTOCOL_ERROR, REFUSED_STREAM, ResetCause, StreamId,
};

use bytes::BytesMut;
use event::Events;
use h2::PingPong;
use pipe::{Ending, Pipe, Records};
use session::Session;
use stream::Stream;
use wake::{Ready, Wake};

/// The connection's own number in the queue of those woken, as in HTTP/2.
const CONNECTION: u32 = 0;
/// GOAWAY with last stream 0 and error code 0 (RFC 9113 section 6.8).
const GOAWAY_BYTES: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// What all streams come to.
#[derive(Debug, Default)]
struct Books {
    /// Streams that count as open.
    live: usize,
    /// Streams over since output was last written out: the peer may not know yet, and a new one must not overtake.
    closing: usize,
    /// Received bytes told and not released.
    held: usize,
    /// Those of them that hold the connection's window.
    credit: usize,
    /// Streams h2 remembers for good.
    cancels: u32,
    /// Streams reset before their answer, less streams answered.
    premature: u32,
}

impl Books {
    fn over(&mut self, stream: &mut Stream) {
        if !std::mem::replace(&mut stream.over, true) {
            self.live -= 1;
            self.closing += 1;
        }
    }

    fn detach(&mut self, stream: &mut Stream) {
        if stream.is_attached() {
            self.credit -= stream.held;
        }
        stream.detach();
    }

    fn forget(&mut self, stream: &mut Stream) {
        self.held -= std::mem::take(&mut stream.held);
    }
}

/// One HTTP/2 connection, of either role. See the [module](self).
pub struct Mux {
    config: MuxConfig,
    // Before the streams: h2 closes them all when its connection is dropped.
    session: Session,
    streams: BTreeMap<u32, Stream>,
    pings: Option<PingPong>,
    pipe: Pipe,
    ready: Arc<Ready>,
    wake: Arc<Wake>,
    waker: Waker,
    events: Events,
    output: Records,
    books: Books,
    /// What of `books.credit` the connection's window was last set for.
    applied: usize,
    /// A stream window that is to be sent.
    stream_window: Option<u32>,
    /// Something was commanded since the last drive.
    touched: bool,
    /// h2 has something to do of which it does not wake its connection: bytes have come, or there is room for more.
    due: bool,
    settings_seen: bool,
    peer_max: Option<u32>,
    goaway: bool,
    draining: bool,
    ending: Option<Ending>,
    fault: Option<MuxFault>,
}

impl Mux {
    /// The side that opens streams. Its preface is in the output after the first [`drive`](Mux::drive).
    pub fn client(config: &MuxConfig) -> Mux {
        let mut mux = Mux::new(config, false);
        mux.session = Session::client(config, mux.pipe.clone(), &mut Context::from_waker(&mux.waker));
        mux.pings = mux.session.take_pings();
        mux
    }

    /// The side that accepts streams.
    pub fn server(config: &MuxConfig) -> Mux {
        let mut mux = Mux::new(config, true);
        mux.session = Session::server(config, mux.pipe.clone());
        mux
    }

    fn new(config: &MuxConfig, server: bool) -> Mux {
        let ready = Arc::new(Ready::default());
        let wake = Wake::new(CONNECTION, &ready);
        Mux {
            config: config.clone(),
            session: Session::Over,
            streams: BTreeMap::new(),
            pings: None,
            pipe: Pipe::new(server, config.record_max),
            waker: Waker::from(Arc::clone(&wake)),
            ready,
            wake,
            events: Events::default(),
            output: Records::default(),
            books: Books::default(),
            applied: 0,
            stream_window: None,
            touched: true,
            due: true,
            settings_seen: false,
            peer_max: None,
            goaway: false,
            draining: false,
            ending: None,
            fault: None,
        }
    }

    /// Takes decrypted bytes, at most [`receive_room`](Mux::receive_room) of them; says how many it took. Once closed
    /// it takes and drops them all.
    pub fn receive(&mut self, plain: &[u8]) -> usize {
        if self.session.is_over() {
            return plain.len();
        }
        let taken = plain.get(..plain.len().min(self.receive_room())).unwrap_or_default();
        if self.ending.is_none() {
            self.pipe.receive(taken);
            self.due = true;
        }
        taken.len()
    }

    /// Takes all of `plain` and leaves it empty, without a copy where nothing waits before it; false where there is no room
    /// for all, or nothing was given.
    pub fn receive_all(&mut self, plain: &mut BytesMut) -> bool {
        if plain.is_empty() || self.session.is_over() || self.ending.is_some() || self.receive_room() == 0 {
            return false;
        }
        let taken = self.pipe.receive_all(plain, self.config.input_max);
        self.due |= taken;
        taken
    }

    /// How many bytes [`receive`](Mux::receive) takes now, in bytes. 0 while the peer does not read its output or
    /// events are not taken.
    pub fn receive_room(&self) -> usize {
        if self.events.len() >= self.config.events_max {
            return 0;
        }
        self.config.input_max.saturating_sub(self.pipe.inbound_len())
    }

    /// Says that no more bytes come: `clean` if TLS said so (close_notify), otherwise the connection was truncated.
    pub fn receive_end(&mut self, clean: bool) {
        planted!(TruncationAsEnd, clean = true);
        let ending = if clean { Ending::Clean } else { Ending::Truncated };
        self.ending.get_or_insert(ending);
        self.pipe.end(ending);
        self.due = true;
    }

    /// The next bytes to encrypt, at most one record's worth; empty if there are none.
    pub fn output(&self) -> &[u8] {
        self.output.front()
    }

    /// Says that bytes of [`output`](Mux::output) were taken.
    pub fn consume_output(&mut self, count: usize) {
        self.output.consume(count);
        // Only what had to wait for room has anything to do with it.
        self.due |= self.pipe.is_blocked();
    }

    /// Bytes of output that were not taken yet.
    pub fn output_len(&self) -> usize {
        self.output.len()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<MuxEvent> {
        self.events.pop()
    }

    /// Whether streams can be opened or accepted at all.
    fn takes_streams(&self) -> bool {
        !self.session.is_over()
            && !self.draining
            && !self.goaway
            && self.fault.is_none()
            && self.ending.is_none()
    }

    /// How many more streams the peer takes now (client).
    pub fn room(&self) -> usize {
        if !self.takes_streams() {
            return 0;
        }
        planted!(ClosingNotCounted => return self.session.peer_max_streams().saturating_sub(self.books.live));
        self.session.peer_max_streams().saturating_sub(self.books.live + self.books.closing)
    }

    /// Whether the peer takes one more stream now (client).
    pub fn can_open(&self) -> bool {
        self.room() > 0
    }

    /// Streams that are open: at least one side is not finished.
    pub fn open_streams(&self) -> usize {
        self.books.live
    }

    /// Received bytes that were told and not released, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.books.held
    }

    /// Bytes of all streams that were taken by [`send`](Mux::send) and not yet put into output.
    pub fn queued_bytes(&self) -> usize {
        self.ready.unsent()
    }

    /// Whether so many streams were cancelled that the tunnel should be replaced by a fresh one.
    pub fn should_retire(&self) -> bool {
        self.books.cancels >= self.config.retire_after_cancels
    }

    /// Whether the connection is over; output may be left.
    pub fn is_closed(&self) -> bool {
        self.session.is_over()
    }
}

impl fmt::Debug for Mux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mux { books, peer_max, draining, ending, fault, .. } = self;
        f.debug_struct("Mux")
            .field("books", books)
            .field("peer_max", peer_max)
            .field("draining", draining)
            .field("ending", ending)
            .field("fault", fault)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
