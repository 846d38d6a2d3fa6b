//! A peer's bytes into the mux, of either role: whatever they are, memory and output stay bounded by them, events keep their
//! order, what is written is HTTP/2, and the same calls give the same bytes.
#![no_main]

use std::collections::BTreeMap;

use bytes::Bytes as Payload;
use culvert_core::hbone::connect::{Authority, ConnectRequest, ConnectResponse};
use culvert_core::hbone::mux::{CANCEL, Mux, MuxConfig, MuxEvent, StreamId};
use culvert_fuzz::input::{self, Bytes};
use culvert_fuzz::memory::Meter;
use libfuzzer_sys::fuzz_target;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const SETTINGS_ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
/// `:method: CONNECT` and an authority, without indexing (RFC 7541 section 6.2.2).
const CONNECT: &[u8] = b"\x02\x07CONNECT\x01\x0b10.0.0.1:80";
/// `:status: 200` (RFC 7541 appendix A).
const OK: &[u8] = &[0x88];
const END_HEADERS: u8 = 4;
/// What commands may write besides payload, in bytes each.
const COMMAND_BYTES: usize = 64;

fuzz_target!(|data: &[u8]| {
    let Some(body) = input::body(data) else { return };
    let first = Run::of(body);
    if body.first().is_some_and(|flags| flags & 0x20 != 0) {
        let second = Run::of(body);
        assert!(first == second, "the same calls gave other bytes");
    }
});

/// A mux, what it was given and what it told.
struct Run {
    mux: Mux,
    config: MuxConfig,
    server: bool,
    written: Vec<u8>,
    fed: usize,
    sent: usize,
    commands: usize,
    /// The widest window that streams had.
    window: usize,
    streams: BTreeMap<StreamId, Told>,
    over: bool,
    stalled: bool,
}

/// What was told of a stream.
#[derive(Debug, Default)]
struct Told {
    bytes: usize,
    released: usize,
    answered: bool,
    ended: bool,
    gone: bool,
}

impl Run {
    /// Runs a script and returns all that was written.
    fn of(body: &[u8]) -> Vec<u8> {
        let meter = Meter::start();
        let mut bytes = Bytes::new(body);
        let flags = bytes.byte();
        let mut run = Run::new(flags);
        if flags & 2 != 0 {
            let preface = if run.server { PREFACE } else { &[] };
            run.feed(&[preface, &SETTINGS, &SETTINGS_ACK].concat());
        }
        if flags & 8 != 0 {
            // Everything as it is, no steps.
            run.feed(bytes.rest());
        }
        while !bytes.is_empty() {
            run.step(&mut bytes);
        }
        run.stalled = false;
        run.take();
        let bound = run.memory_bound();
        assert!(meter.peak() <= bound, "{} bytes were live at once, of at most {bound}", meter.peak());
        run.check_frames();
        run.written
    }

    fn new(flags: u8) -> Run {
        let server = flags & 1 == 0;
        let small = MuxConfig {
            stream_window: 2000,
            connection_window: 4000,
            header_list: 512,
            max_concurrent_streams: 4,
            initial_peer_streams: 4,
            input_max: 4096,
            output_high: 2048,
            stream_queue_high: 4096,
            stream_queue_low: 1024,
            stream_send_buffer: 4096,
            pending_accept_resets: 4,
            premature_resets: 16,
            events_max: 64,
            ..MuxConfig::default()
        };
        let config = if flags & 4 != 0 { small } else { MuxConfig::default() };
        let mux = if server { Mux::server(&config) } else { Mux::client(&config) };
        let window = config.stream_window.max(65_535) as usize;
        let streams = BTreeMap::new();
        let mut run = Run {
            mux,
            config,
            server,
            written: Vec::new(),
            fed: 0,
            sent: 0,
            commands: 0,
            window,
            streams,
            over: false,
            stalled: flags & 16 != 0,
        };
        run.settle();
        run
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let op = bytes.byte();
        let stream = StreamId::from_step(&self.streams, bytes);
        match op % 20 {
            0..=2 => {
                let count = usize::from(bytes.byte());
                self.feed(bytes.take(count));
            }
            3..=5 => self.feed(&frame(bytes)),
            6 | 7 => self.feed(&headers(bytes.byte(), if self.server { CONNECT } else { OK })),
            8 => {
                // A flood: one frame, many times.
                let count = usize::from(bytes.byte());
                let frame = frame(bytes);
                self.feed(&frame.repeat(count));
            }
            9 => self.command(|mux| {
                mux.receive_end(op & 0x80 == 0);
            }),
            10 => self.open(),
            11 => self.answer(stream, bytes),
            12 => self.send(stream, usize::from(bytes.short())),
            13 => self.command(|mux| {
                let _ = stream.map(|stream| mux.finish(stream));
            }),
            14 => self.reset(stream, bytes.byte()),
            15 => self.release(stream, usize::from(bytes.short())),
            16 => self.command(|mux| {
                let _ = mux.ping();
            }),
            17 => {
                let window = bytes.word() % (1 << 20);
                self.window = self.window.max(window as usize);
                self.command(|mux| mux.set_stream_window(window));
            }
            18 => self.stalled = !self.stalled,
            _ if op & 0x80 == 0 => self.command(Mux::graceful_shutdown),
            _ => self.command(|mux| mux.abrupt_shutdown(CANCEL)),
        }
        self.settle();
    }

    fn command(&mut self, command: impl FnOnce(&mut Mux)) {
        self.commands += 1;
        command(&mut self.mux);
    }

    fn open(&mut self) {
        let authority = Authority::host("x.example", 80).expect("a name");
        let opened = self.mux.connect(&ConnectRequest::new(authority));
        self.commands += 1;
        if let Ok(stream) = opened {
            assert!(!self.server, "a server opened {stream:?}");
            assert!(self.streams.insert(stream, Told::default()).is_none(), "{stream:?} is used again");
        }
    }

    fn answer(&mut self, stream: Option<StreamId>, bytes: &mut Bytes<'_>) {
        let (status, end) = (200 + bytes.short() % 400, bytes.byte() & 1 != 0);
        let Some(stream) = stream else { return };
        self.commands += 1;
        if self.mux.respond(stream, &ConnectResponse::new(status), end).is_ok() {
            let told = self.streams.entry(stream).or_default();
            assert!(self.server && !told.answered, "{stream:?} was answered twice");
            told.answered = true;
            // What waits to be taken may tell of it still.
            told.gone |= end && !self.stalled;
        }
    }

    fn send(&mut self, stream: Option<StreamId>, count: usize) {
        let Some(stream) = stream else { return };
        self.commands += 1;
        let before = self.mux.queued(stream);
        if self.mux.send(stream, Payload::from(vec![0; count])).is_ok() {
            self.sent += count;
            assert!(before < self.config.stream_queue_high);
            assert_eq!(self.mux.queued(stream), before + count);
        }
    }

    fn reset(&mut self, stream: Option<StreamId>, code: u8) {
        let Some(stream) = stream else { return };
        self.commands += 1;
        if code & 0x80 != 0 {
            let _ = self.mux.reset_after_queued(stream, u32::from(code));
            return;
        }
        self.mux.reset(stream, u32::from(code));
        self.streams.entry(stream).or_default().gone |= !self.stalled;
    }

    fn release(&mut self, stream: Option<StreamId>, count: usize) {
        let Some((stream, told)) = stream.and_then(|id| self.streams.get_mut(&id).map(|told| (id, told)))
        else {
            return;
        };
        let count = count.min(told.bytes - told.released);
        told.released += count;
        self.commands += 1;
        self.mux.release(stream, count);
    }

    /// Feeds bytes as there is room; what finds none is dropped, as by a peer that gives up.
    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.mux.receive(bytes);
            self.fed += taken;
            bytes = &bytes[taken..];
            self.settle();
            if taken == 0 {
                return;
            }
        }
    }

    fn settle(&mut self) {
        self.mux.drive();
        self.take();
        self.check_bounds();
    }

    /// Takes output and events, unless stalled; then what waits is checked once it is taken.
    fn take(&mut self) {
        if self.stalled {
            return;
        }
        loop {
            let pending = self.take_output();
            let most = self.config.output_high + 2 * (9 + self.config.max_frame as usize);
            assert!(pending <= most, "{pending} bytes waited to be taken, of at most {most}");
            let mut events = 0;
            while let Some(event) = self.mux.poll_event() {
                events += 1;
                self.told(event);
            }
            let most = self.config.events_max + self.config.input_max + 4 * self.live_max() + 8;
            assert!(events <= most, "{events} events waited, of at most {most}");
            if pending == 0 {
                return;
            }
            self.mux.drive();
        }
    }

    fn take_output(&mut self) -> usize {
        let before = self.written.len();
        loop {
            let record = self.mux.output();
            let count = record.len();
            assert!(count <= self.config.record_max);
            if count == 0 {
                return self.written.len() - before;
            }
            self.written.extend_from_slice(record);
            self.mux.consume_output(count);
        }
    }

    fn told(&mut self, event: MuxEvent) {
        assert!(!self.over, "{event:?} after the last event");
        match event {
            MuxEvent::Closed(_) | MuxEvent::Drained => {
                assert!(self.mux.is_closed());
                self.over = true;
            }
            MuxEvent::Request { stream, .. } => {
                assert!(self.server && stream.as_u32() % 2 == 1);
                assert!(self.streams.insert(stream, Told::default()).is_none(), "{stream:?} is used again");
            }
            MuxEvent::Response { stream, .. } => {
                let told = self.known(stream);
                assert!(!std::mem::replace(&mut told.answered, true) && !told.ended);
                assert!(!self.server);
            }
            MuxEvent::Data { stream, bytes } => {
                let server = self.server;
                let window = self.window;
                let told = self.known(stream);
                assert!(!bytes.is_empty() && !told.ended && (server || told.answered));
                told.bytes += bytes.len();
                let held = told.bytes - told.released;
                assert!(held <= window, "{stream:?} holds {held} bytes in a window of {window}");
            }
            MuxEvent::End { stream } => {
                let told = self.known(stream);
                assert!(!std::mem::replace(&mut told.ended, true));
            }
            MuxEvent::Reset { stream, after_end, .. } => {
                let told = self.known(stream);
                assert_eq!(after_end, told.ended);
                told.gone = true;
            }
            MuxEvent::Writable { stream } => {
                self.known(stream);
            }
            MuxEvent::GoAway { .. } | MuxEvent::PeerSettings { .. } | MuxEvent::Pong => {}
        }
    }

    /// A stream of which something may be told.
    fn known(&mut self, stream: StreamId) -> &mut Told {
        let told = self.streams.get_mut(&stream).expect("only of streams that were told or opened");
        assert!(!told.gone, "{stream:?} is told of after its end");
        told
    }

    fn live_max(&self) -> usize {
        if self.server { self.config.max_concurrent_streams as usize } else { self.commands }
    }

    fn check_bounds(&self) {
        if self.server {
            assert!(self.mux.open_streams() <= self.live_max(), "{} streams", self.mux.open_streams());
        }
        let taken: usize = self.streams.values().map(|told| told.bytes - told.released).sum();
        if !self.stalled {
            assert!(self.mux.held_bytes() <= taken, "{} held, {taken} told", self.mux.held_bytes());
        }
        assert!(self.mux.queued_bytes() <= self.sent);
        // 9 bytes can make a RST_STREAM of 13 and a window update of 13; the rest is preface, SETTINGS and GOAWAY.
        let most = 3 * self.fed + 2 * self.sent + COMMAND_BYTES * self.commands + 512;
        assert!(self.written.len() <= most, "{} bytes written, {most} at most", self.written.len());
    }

    /// Fixed parts, what every byte may cost, and what each stream that the peer opened may hold.
    fn memory_bound(&self) -> usize {
        let config = &self.config;
        let fixed = (256 << 10) + 2 * (config.input_max + config.output_high);
        let streams = 2 * self.live_max() + config.pending_accept_resets;
        fixed
            + 64 * self.fed
            + 4 * self.sent
            + 4 * self.written.len()
            + streams * (2 * config.header_list as usize + 4096)
    }

    /// What was written is the preface of a client, then whole frames of known types, none longer than peers must take.
    fn check_frames(&self) {
        let mut rest = match self.server {
            true => &self.written[..],
            false => self.written.strip_prefix(PREFACE).expect("a client begins with the preface"),
        };
        let mut at = 0;
        while !rest.is_empty() {
            let (header, after) = rest.split_first_chunk::<9>().expect("a whole frame header");
            let [a, b, c, kind, flags, s0, s1, s2, s3] = *header;
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            let stream = u32::from_be_bytes([s0, s1, s2, s3]);
            assert!(length <= 16_384 && length <= after.len(), "a frame of {length} bytes");
            assert!(matches!(kind, 0 | 1 | 3 | 4 | 6..=9), "a frame of type {kind}");
            assert!(at > 0 || (kind == 4 && flags == 0), "SETTINGS come first");
            assert_eq!(stream == 0, matches!(kind, 4 | 6 | 7) || (kind == 8 && stream == 0), "type {kind}");
            // A peer that uses a stream it may not have is told so on that stream.
            assert!(stream % 2 == 1 || stream == 0 || kind == 3, "a frame of type {kind} on stream {stream}");
            rest = &after[length..];
            at += 1;
        }
    }
}

/// How a script names a stream.
trait FromStep: Sized {
    fn from_step(streams: &BTreeMap<StreamId, Told>, bytes: &mut Bytes<'_>) -> Option<Self>;
}

impl FromStep for StreamId {
    fn from_step(streams: &BTreeMap<StreamId, Told>, bytes: &mut Bytes<'_>) -> Option<StreamId> {
        let nth = usize::from(bytes.byte()) % streams.len().max(1);
        streams.keys().nth(nth).copied()
    }
}

/// A frame of any type and flags, its length right.
fn frame(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let (kind, flags, stream, count) = (bytes.byte() % 12, bytes.byte(), bytes.byte(), bytes.byte());
    encoded(kind, flags, stream, bytes.take(usize::from(count)))
}

fn headers(stream: u8, block: &[u8]) -> Vec<u8> {
    encoded(1, END_HEADERS, stream, block)
}

fn encoded(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}
