//! A peer that writes its frames by hand.

use crate::hbone::connect::{ConnectResponse, RequestFault};
use crate::hbone::mux::{ENHANCE_YOUR_CALM, Mux, MuxConfig, MuxEvent, MuxFault, PROTOCOL_ERROR, ResetCause};
use crate::seed::Seed;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const FLOW_CONTROL_ERROR: u32 = 3;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A header block of literals without indexing (RFC 7541 section 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.extend([0, name.len() as u8]);
        out.extend(name.as_bytes());
        out.push(value.len() as u8);
        out.extend(value.as_bytes());
    }
    out
}

fn headers(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(fields))
}

fn connect(stream: u32) -> Vec<u8> {
    headers(stream, &[(":method", "CONNECT"), (":authority", "10.0.0.1:80")])
}

struct Victim {
    mux: Mux,
    told: Vec<MuxEvent>,
    written: Vec<u8>,
    fed: usize,
}

impl Victim {
    fn server() -> Victim {
        let mut victim = Victim::new(Mux::server(&MuxConfig::default()));
        victim.feed(PREFACE);
        victim.feed(&frame(SETTINGS, 0, 0, &[]));
        victim.feed(&frame(SETTINGS, 1, 0, &[]));
        victim
    }

    fn client() -> Victim {
        let mut victim = Victim::new(Mux::client(&MuxConfig::default()));
        victim.feed(&frame(SETTINGS, 0, 0, &[]));
        victim.feed(&frame(SETTINGS, 1, 0, &[]));
        victim
    }

    fn new(mux: Mux) -> Victim {
        Victim { mux, told: Vec::new(), written: Vec::new(), fed: 0 }
    }

    /// Feeds bytes as room allows, taking output and events.
    fn feed(&mut self, mut bytes: &[u8]) {
        self.fed += bytes.len();
        loop {
            let n = self.mux.receive(bytes);
            bytes = &bytes[n..];
            self.mux.drive();
            while !self.mux.output().is_empty() {
                self.written.extend_from_slice(self.mux.output());
                self.mux.consume_output(self.mux.output().len());
            }
            self.mux.drive();
            self.told.extend(std::iter::from_fn(|| self.mux.poll_event()));
            if bytes.is_empty() {
                return;
            }
        }
    }

    fn fault(&self) -> Option<MuxFault> {
        match self.told.last() {
            Some(MuxEvent::Closed(fault)) => Some(*fault),
            _ => None,
        }
    }

    fn requests(&self) -> usize {
        self.told.iter().filter(|e| matches!(e, MuxEvent::Request { .. })).count()
    }

    /// Frames written of one type.
    fn count(&self, kind: u8) -> usize {
        let (mut at, mut count) = (0, 0);
        while let Some(header) = self.written.get(at..at + 9) {
            count += usize::from(header[3] == kind);
            at += 9 + u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        }
        count
    }
}

#[test]
fn frames_that_break_the_connection_end_it() {
    let goaway_short = frame(GOAWAY, 0, 0, &[0; 4]);
    let overflow = frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]);
    for (name, bytes) in [
        ("data on stream 0", frame(DATA, 0, 0, b"x")),
        ("data on an idle stream", frame(DATA, 0, 7, b"x")),
        ("headers on stream 0", frame(HEADERS, END_HEADERS, 0, &[])),
        ("headers on an even stream", connect(2)),
        ("reset of an idle stream", frame(RST_STREAM, 0, 9, &[0; 4])),
        ("reset on stream 0", frame(RST_STREAM, 0, 0, &[0; 4])),
        ("a short reset", frame(RST_STREAM, 0, 1, &[0; 3])),
        ("settings on a stream", frame(SETTINGS, 0, 1, &[])),
        ("settings of 5 bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        ("settings ack with a payload", frame(SETTINGS, 1, 0, &[0; 6])),
        ("settings ack unasked", frame(SETTINGS, 1, 0, &[])),
        ("a push promise", frame(PUSH_PROMISE, END_HEADERS, 1, &[0; 4])),
        ("a ping of 7 bytes", frame(PING, 0, 0, &[0; 7])),
        ("a window update of 0", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("a window overflow", [overflow.clone(), overflow].concat()),
        ("a short goaway", goaway_short),
        ("a stray continuation", frame(CONTINUATION, END_HEADERS, 1, &[])),
        ("an oversized frame", frame(DATA, 0, 1, &[0; 16_385])),
        ("hpack junk", frame(HEADERS, END_HEADERS, 1, &[0xff; 40])),
        ("an odd window", frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])),
        ("an odd frame size", frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1])),
    ] {
        let mut victim = Victim::server();
        victim.feed(&bytes);
        victim.mux.receive_end(true);
        victim.feed(&[]);
        // Which code is h2's choice: for frames of a wrong length it is another than the RFC's.
        assert!(
            matches!(victim.fault(), Some(MuxFault::Protocol { code: 1.. })),
            "{name}: {:?}",
            victim.told
        );
        assert_eq!(victim.count(GOAWAY), 1, "{name}");
        assert_eq!(victim.requests(), 0, "{name}");
    }
}

#[test]
fn junk_for_a_preface_ends_the_connection() {
    for junk in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[0x16, 3, 1, 2, 0], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"]
    {
        let mut victim = Victim::new(Mux::server(&MuxConfig::default()));
        victim.feed(junk);
        victim.mux.receive_end(true);
        victim.feed(&[]);
        assert!(victim.fault().is_some(), "{junk:?}: {:?}", victim.told);
        assert!(victim.mux.is_closed());
    }
}

#[test]
fn malformed_requests_are_reset_and_never_told() {
    let (method, authority, path) = ((":method", "CONNECT"), (":authority", "a:1"), (":path", "/"));
    let scheme = (":scheme", "https");
    for fields in [
        &[method, authority, path][..],
        &[method, authority, scheme],
        &[method, authority, scheme, path],
        &[method, authority, scheme, path, (":protocol", "websocket")],
        &[method, authority, authority],
        &[method, authority, ("connection", "close")],
        &[method, authority, (":status", "200")],
        &[method, (":authority", "a b:1")],
        &[authority],
    ] {
        let mut victim = Victim::server();
        victim.feed(&headers(1, fields));
        assert_eq!((victim.requests(), victim.count(RST_STREAM)), (0, 1), "{fields:?}");
        victim.feed(&connect(3));
        assert_eq!(victim.requests(), 1, "the connection goes on");
    }
}

#[test]
fn requests_at_fault_are_told_and_answered() {
    let get = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "a:1")];
    let connect = |authority| [(":method", "CONNECT"), (":authority", authority)];
    for (fields, fault) in [
        (&get[..], RequestFault::NotConnect),
        (
            &connect("a")[..],
            RequestFault::Authority(crate::hbone::connect::WireError { at: 1, what: "no port" }),
        ),
        (&get[..1].iter().map(|_| (":method", "CONNECT")).collect::<Vec<_>>()[..], RequestFault::NoAuthority),
    ] {
        let mut victim = Victim::server();
        victim.feed(&headers(1, fields));
        let stream = match victim.told.last() {
            Some(MuxEvent::Request { stream, request: Err(f), .. }) if *f == fault => *stream,
            other => panic!("{other:?}"),
        };
        victim.mux.respond(stream, &ConnectResponse::new(fault.status()), true).unwrap();
        victim.feed(&[]);
        assert_eq!((victim.count(HEADERS), victim.count(RST_STREAM), victim.mux.open_streams()), (1, 1, 0));
    }
}

#[test]
fn rapid_resets_are_ended() {
    for per_feed in [1, 7, 1000] {
        let mut victim = Victim::server();
        let mut stream = 1;
        while victim.fault().is_none() {
            assert!(stream < 10_000, "{per_feed} at a time");
            let mut bytes = Vec::new();
            for _ in 0..per_feed {
                bytes.extend(connect(stream));
                bytes.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
                stream += 2;
            }
            victim.feed(&bytes);
            assert_eq!((victim.mux.open_streams(), victim.mux.held_bytes()), (0, 0));
        }
        let expected =
            [MuxFault::Local { code: ENHANCE_YOUR_CALM }, MuxFault::Protocol { code: ENHANCE_YOUR_CALM }];
        assert!(expected.contains(&victim.fault().unwrap()), "{:?}", victim.fault());
        assert_eq!(victim.requests(), 0, "never told, so nothing was dialled");
    }
}

#[test]
fn resets_after_an_answer_are_no_attack() {
    let mut victim = Victim::server();
    for i in 0..3000 {
        let stream = 2 * i + 1;
        victim.feed(&connect(stream));
        let Some(MuxEvent::Request { stream: id, .. }) = victim.told.pop() else { panic!("no request") };
        victim.mux.respond(id, &ConnectResponse::new(200), false).unwrap();
        victim.feed(&frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
    }
    assert_eq!(victim.fault(), None);
    assert!(victim.mux.streams.is_empty());
}

#[test]
fn resets_of_told_requests_are_counted() {
    let mut victim = Victim::server();
    let mut stream = 1;
    while victim.fault().is_none() {
        assert!(stream < 10_000);
        victim.feed(&connect(stream));
        victim.feed(&frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
        stream += 2;
    }
    assert_eq!(victim.fault(), Some(MuxFault::Local { code: ENHANCE_YOUR_CALM }));
}

#[test]
fn as_many_answers_as_resets_are_no_attack() {
    let mut victim = Victim::server();
    for i in 0..1500 {
        victim.feed(&connect(4 * i + 1));
        victim.feed(&frame(RST_STREAM, 0, 4 * i + 1, &8u32.to_be_bytes()));
        victim.feed(&connect(4 * i + 3));
        let Some(MuxEvent::Request { stream, .. }) = victim.told.pop() else { panic!("no request") };
        victim.mux.respond(stream, &ConnectResponse::new(503), true).unwrap();
    }
    victim.feed(&[]);
    assert_eq!(victim.fault(), None);
}

/// Each of these makes the server reset the stream, so that it leaves the count of open streams (CVE-2025-8671).
#[test]
fn resets_provoked_from_us_are_bounded() {
    let provocations: [fn(u32) -> Vec<u8>; 4] = [
        |stream| frame(WINDOW_UPDATE, 0, stream, &[0; 4]),
        |stream| frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]),
        |stream| headers(stream, &[("x", "trailers without END_STREAM")]),
        |stream| frame(PRIORITY, 0, stream, &[0; 4]),
    ];
    for provoke in provocations {
        let mut victim = Victim::server();
        let mut stream = 1;
        while victim.fault().is_none() && stream < 10_001 {
            victim.feed(&[connect(stream), provoke(stream)].concat());
            assert!(victim.mux.open_streams() <= 200);
            stream += 2;
        }
        assert!(victim.fault().is_some());
    }
}

#[test]
fn a_continuation_flood_is_ended() {
    let mut victim = Victim::server();
    victim.feed(&frame(HEADERS, 0, 1, &block(&[(":method", "CONNECT")])));
    for _ in 0..1000 {
        victim.feed(&frame(CONTINUATION, 0, 1, &block(&[("x", &"y".repeat(100))])));
        if victim.fault().is_some() {
            break;
        }
    }
    assert!(victim.fault().is_some() && victim.fed < 100 << 10, "after {} bytes", victim.fed);
    assert_eq!(victim.requests(), 0);
}

#[test]
fn an_oversized_header_list_is_no_request() {
    let mut victim = Victim::server();
    let mut fields = vec![(":method", "CONNECT"), (":authority", "a:1")];
    let value = "v".repeat(120);
    fields.extend(std::iter::repeat_n(("x-header", value.as_str()), 110));
    let whole = block(&fields);
    victim.feed(&frame(HEADERS, END_HEADERS, 1, &whole));
    assert!(whole.len() < 16_384, "one frame");
    assert_eq!((victim.requests(), victim.mux.open_streams()), (0, 0));
    victim.feed(&connect(3));
    assert_eq!(victim.requests(), 1);
}

/// One entry of the dynamic table, referred to again and again: a byte on the wire is 4 KiB of headers (CVE-2026-49975).
#[test]
fn a_header_bomb_is_no_request() {
    let mut victim = Victim::server();
    let mut bomb = block(&[(":method", "CONNECT"), (":authority", "a:1")]);
    bomb.extend([0x40, 1, b'x', 0x7f, 0x81, 0x1e]);
    bomb.extend([b'y'; 4000]);
    bomb.extend([0xbe; 12_000]);
    victim.feed(&frame(HEADERS, END_HEADERS, 1, &bomb));
    assert_eq!((victim.requests(), victim.mux.open_streams()), (0, 0));
}

#[test]
fn floods_that_want_an_answer_get_no_more_than_they_send() {
    let window = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
    for (name, flood) in [
        ("ping", frame(PING, 0, 0, &[0; 8])),
        ("ping ack", frame(PING, 1, 0, &[0; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("settings of windows", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])),
        ("priority", frame(PRIORITY, 0, 1, &[0; 5])),
        ("unknown", frame(0xf0, 0xff, 1, &[0; 20])),
        ("window update", window),
    ] {
        let mut victim = Victim::server();
        let before = victim.written.len();
        victim.feed(&flood.repeat(20_000));
        assert!(victim.written.len() - before <= 20_000 * flood.len(), "{name}");
        // Nobody takes the output: the mux stops reading.
        let mut taken = 0;
        for _ in 0..20_000 {
            taken += victim.mux.receive(&flood);
            victim.mux.drive();
        }
        let output = victim.mux.output.len();
        assert!(output <= MuxConfig::default().output_high + 2 * 16_384, "{name}: {output}");
        assert!(output == 0 || taken <= (64 << 10) * 4, "{name} took {taken}");
        victim.feed(&[]);
        assert_eq!(victim.fault(), None, "{name}");
    }
}

#[test]
fn small_and_empty_data_floods_are_bounded() {
    let mut victim = Victim::server();
    victim.feed(&connect(1));
    victim.feed(&frame(DATA, 0, 1, b"x").repeat(100_000));
    assert_eq!(victim.fault(), None, "small frames are legal");
    assert_eq!(victim.mux.held_bytes(), 100_000);
    let data = victim.told.iter().filter(|e| matches!(e, MuxEvent::Data { .. })).count();
    assert!(data < 1000, "{data} pieces");
    victim.feed(&frame(DATA, 0, 1, b"").repeat(100_000));
    assert_eq!(victim.fault(), Some(MuxFault::Protocol { code: ENHANCE_YOUR_CALM }));
}

#[test]
fn data_beyond_the_window_is_refused() {
    let mut victim = Victim::server();
    victim.feed(&connect(1));
    let chunk = frame(DATA, 0, 1, &[0; 16_384]);
    victim.feed(&chunk.repeat(256));
    assert_eq!(victim.mux.held_bytes(), 4 << 20);
    victim.feed(&chunk);
    let cause = ResetCause::Protocol { code: FLOW_CONTROL_ERROR };
    assert!(
        matches!(victim.told.last(), Some(MuxEvent::Reset { cause: c, after_end: false, .. }) if *c == cause)
    );
    assert_eq!(victim.mux.held_bytes(), 0);
}

#[test]
fn data_after_the_end_ends_the_connection_or_the_stream() {
    let mut victim = Victim::server();
    victim.feed(&connect(1));
    victim.feed(&frame(DATA, END_STREAM, 1, b"last"));
    assert!(matches!(victim.told.last(), Some(MuxEvent::End { .. })));
    victim.feed(&frame(DATA, 0, 1, b"more"));
    assert!(victim.fault().is_some() || victim.count(RST_STREAM) == 1);
    let more = victim.told.iter().filter(|e| matches!(e, MuxEvent::Data { .. })).count();
    assert_eq!(more, 1);
}

#[test]
fn more_streams_than_allowed_are_refused() {
    let mut victim = Victim::server();
    for i in 0..300 {
        victim.feed(&connect(2 * i + 1));
    }
    assert_eq!((victim.requests(), victim.count(RST_STREAM), victim.mux.open_streams()), (200, 100, 200));
}

#[test]
fn events_not_taken_stop_the_input() {
    let config = MuxConfig { events_max: 10, ..MuxConfig::default() };
    let mut mux = Mux::server(&config);
    mux.receive(PREFACE);
    mux.receive(&frame(SETTINGS, 0, 0, &[]));
    for i in 0..50 {
        mux.receive(&connect(2 * i + 1));
        mux.drive();
    }
    assert_eq!((mux.events.len(), mux.receive_room()), (10, 0));
    mux.poll_event();
    assert!(mux.receive_room() > 0);
}

#[test]
fn a_server_that_misbehaves_is_told_apart() {
    let target = super::pair::target();
    for (name, bytes, cause) in [
        ("no status", headers(1, &[("x", "y")]), ResetCause::Protocol { code: PROTOCOL_ERROR }),
        ("refused", frame(RST_STREAM, 0, 1, &7u32.to_be_bytes()), ResetCause::Refused),
        ("cancelled", frame(RST_STREAM, 0, 1, &8u32.to_be_bytes()), ResetCause::Peer { code: 8 }),
        ("goaway", frame(GOAWAY, 0, 0, &[0; 8]), ResetCause::Refused),
        ("goaway with an error", frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11]), ResetCause::Refused),
        ("data first", frame(DATA, 0, 1, b"x"), ResetCause::Tunnel),
        ("a push", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), ResetCause::Tunnel),
    ] {
        let mut victim = Victim::client();
        let stream = victim.mux.connect(&target).unwrap();
        victim.feed(&[]);
        victim.feed(&bytes);
        let reset = MuxEvent::Reset { stream, cause, after_end: false };
        assert!(victim.told.contains(&reset), "{name}: {:?}", victim.told);
        assert_eq!(victim.mux.open_streams(), 0);
    }
}

#[test]
fn refused_after_an_answer_is_not_believed() {
    let mut victim = Victim::client();
    let stream = victim.mux.connect(&super::pair::target()).unwrap();
    victim.feed(&[]);
    victim.feed(&headers(1, &[(":status", "200")]));
    victim.feed(&frame(RST_STREAM, 0, 1, &7u32.to_be_bytes()));
    let cause = ResetCause::Peer { code: 7 };
    assert_eq!(victim.told.last(), Some(&MuxEvent::Reset { stream, cause, after_end: false }));
}

#[test]
fn a_goaway_keeps_streams_up_to_its_last() {
    let mut victim = Victim::client();
    let first = victim.mux.connect(&super::pair::target()).unwrap();
    let second = victim.mux.connect(&super::pair::target()).unwrap();
    victim.feed(&[]);
    victim.feed(&frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]));
    assert!(victim.told.contains(&MuxEvent::Reset {
        stream: second,
        cause: ResetCause::Refused,
        after_end: false
    }));
    assert!(victim.told.contains(&MuxEvent::GoAway { last: 1, code: 0 }));
    victim.feed(&headers(1, &[(":status", "200")]));
    victim.feed(&frame(DATA, END_STREAM, 1, b"hello"));
    assert!(victim.told.contains(&MuxEvent::End { stream: first }));
    victim.mux.finish(first).unwrap();
    victim.mux.release(first, 5);
    victim.feed(&[]);
    assert_eq!(victim.told.last(), Some(&MuxEvent::Drained));
}

#[test]
fn interim_responses_and_trailers_are_skipped() {
    let mut victim = Victim::client();
    let stream = victim.mux.connect(&super::pair::target()).unwrap();
    victim.feed(&[]);
    victim.told.clear();
    victim.feed(&headers(1, &[(":status", "103")]));
    victim.feed(&headers(1, &[(":status", "200"), ("baggage", "bad")]));
    victim.feed(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("grpc-status", "0")])));
    let response = ConnectResponse::new(200);
    assert_eq!(victim.told, [MuxEvent::Response { stream, response, ignored: 1 }, MuxEvent::End { stream }]);
}

#[test]
fn random_frames_never_panic() {
    for seed in 0..60 {
        let mut draws = Seed::new([seed; 32]).child("frames").draws();
        for mut victim in [Victim::server(), Victim::client()] {
            let _ = victim.mux.connect(&super::pair::target());
            victim.feed(&[]);
            for _ in 0..60 {
                let draw = draws.next_u64();
                let length = if draw & 64 == 0 { (draw >> 8) % 9 } else { (draw >> 8) % 60 };
                let payload: Vec<u8> =
                    (0..length).map(|_| (draws.next_u64() & draws.next_u64()) as u8).collect();
                let stream = (draw >> 32) as u32 % 6;
                let bytes = match draw % 14 {
                    kind @ 0..=9 => frame(kind as u8, (draw >> 16) as u8 & 0x2d, stream, &payload),
                    10 => connect(stream | 1),
                    11 => headers(1, &[(":status", "200")]),
                    12 => frame(DATA, 0, stream, &payload),
                    _ => payload,
                };
                victim.feed(&bytes);
                if draw & 0x1000 == 0 {
                    victim.mux.receive_end(draw & 1 == 0);
                }
            }
            victim.mux.receive_end(false);
            victim.feed(&[]);
            let last = victim.told.last();
            assert!(matches!(last, Some(MuxEvent::Closed(_) | MuxEvent::Drained)), "seed {seed}: {last:?}");
            assert_eq!(victim.mux.open_streams(), 0);
        }
    }
}
