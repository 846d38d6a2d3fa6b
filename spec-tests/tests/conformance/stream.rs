//! The connection's settings, answers, data and its ends.

use culvert_core::hbone::connect::{Baggage, ConnectResponse};
use culvert_core::hbone::mux::{Mux, MuxConfig, MuxEvent, MuxRefusal, ResetCause};

use crate::pair::{Pair, pattern, target};
use crate::wire::{
    ACK, DATA, END_STREAM, GOAWAY, Lone, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, connect, frame, frames,
    headers,
};

const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;
const DEFAULT_WINDOW: u32 = 65_535;

#[test]
fn each_side_announces_its_settings() {
    let mut client = Lone::new(Mux::client(&MuxConfig::default()));
    client.feed(&[]);
    let mut server = Lone::server();
    for (sent, is_client) in [(client.frames(), true), (server.frames(), false)] {
        assert_eq!((sent[0].kind, sent[0].flags), (SETTINGS, 0));
        let settings = sent[0].settings();
        let value = |of: u16| settings.iter().find(|(name, _)| *name == of).map(|(_, value)| *value);
        assert_eq!(value(INITIAL_WINDOW_SIZE), Some(4 << 20));
        assert_eq!(value(MAX_FRAME_SIZE).unwrap_or(16_384), 16_384);
        assert_eq!(value(MAX_HEADER_LIST_SIZE), Some(16 << 10));
        assert_eq!(value(ENABLE_PUSH), is_client.then_some(0));
        assert_eq!(value(MAX_CONCURRENT_STREAMS), (!is_client).then_some(200));
        assert_eq!(value(ENABLE_CONNECT_PROTOCOL).unwrap_or(0), 0);
        let window: u32 =
            sent.iter().filter(|f| f.kind == WINDOW_UPDATE && f.stream == 0).map(|f| f.number(0)).sum();
        assert_eq!(DEFAULT_WINDOW + window, 16 << 20);
    }
}

#[test]
fn streams_beyond_the_limit_are_refused_and_the_others_go_on() {
    let mut server = Lone::server();
    for i in 0..205 {
        server.feed(&connect(2 * i + 1));
    }
    let resets: Vec<_> = server.frames().into_iter().filter(|f| f.kind == RST_STREAM).collect();
    assert_eq!(
        resets.iter().map(|f| (f.stream, f.number(0))).collect::<Vec<_>>(),
        [(401, 7), (403, 7), (405, 7), (407, 7), (409, 7)]
    );
    assert_eq!((server.requests(), server.mux.open_streams()), (200, 200));
    server.feed(&frame(DATA, 0, 399, b"x"));
    assert!(matches!(server.told.last(), Some(MuxEvent::Data { .. })));
}

#[test]
fn a_client_keeps_to_the_limit_as_it_is_now() {
    let mut client = Lone::client();
    let limit = |of: u32| frame(SETTINGS, 0, 0, &[&[0, 3][..], &of.to_be_bytes()].concat());
    client.feed(&limit(2));
    let streams = [client.mux.connect(&target()).unwrap(), client.mux.connect(&target()).unwrap()];
    client.feed(&[]);
    assert_eq!(client.mux.connect(&target()), Err(MuxRefusal::Full));
    client.feed(&limit(3));
    assert!(client.mux.connect(&target()).is_ok());
    client.feed(&limit(1));
    assert_eq!(client.mux.connect(&target()), Err(MuxRefusal::Full));
    // Both directions must end before there is room.
    for stream in streams {
        client.mux.finish(stream).unwrap();
        client.feed(&headers(stream.as_u32(), 0, &[(":status", "200")]));
        assert!(!client.mux.can_open());
        client.feed(&frame(DATA, END_STREAM, stream.as_u32(), b""));
    }
    assert!(!client.mux.can_open(), "one is left, and one is the limit");
}

#[test]
fn ping_is_answered_with_its_own_bytes() {
    for mut side in [Lone::server(), Lone::client()] {
        side.frames();
        side.feed(&frame(PING, 0, 0, b"12345678"));
        let pongs: Vec<_> = side.frames().into_iter().filter(|f| f.kind == PING).collect();
        assert_eq!(pongs.len(), 1);
        assert_eq!((pongs[0].flags, pongs[0].payload.as_slice()), (ACK, &b"12345678"[..]));
    }
}

#[test]
fn what_is_unknown_is_ignored_and_what_is_broken_ends_the_connection() {
    let settings = [0x12, 0x34, 0, 0, 0, 1];
    for (name, bytes, is_broken) in [
        ("an unknown frame", frame(0xbe, 0xff, 1, b"x"), false),
        ("an unknown setting", frame(SETTINGS, 0, 0, &settings), false),
        ("priority", frame(2, 0, 1, &[0, 0, 0, 0, 9]), false),
        ("data on stream 0", frame(DATA, 0, 0, b"x"), true),
        ("a short ping", frame(PING, 0, 0, b"1234567"), true),
        ("a window of more than 31 bits", frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]), true),
        ("a frame over the limit", frame(DATA, 0, 1, &[0; 16_385]), true),
        ("a push promise", frame(5, 4, 1, &[0, 0, 0, 2]), true),
    ] {
        let mut server = Lone::server();
        server.feed(&connect(1));
        server.frames();
        server.feed(&bytes);
        let goaway = server.frames().into_iter().find(|f| f.kind == GOAWAY).map(|f| f.number(4));
        // Which code is the HTTP/2 library's choice.
        assert_eq!(goaway.is_some_and(|code| code != 0), is_broken, "{name}");
        if !is_broken {
            server.feed(&connect(3));
            assert_eq!(server.requests(), 2, "{name}");
        }
    }
    let mut client = Lone::client();
    client.mux.connect(&target()).unwrap();
    client.feed(&[]);
    client.feed(&frame(5, 4, 1, &[0, 0, 0, 2, 0x88]));
    let goaway = client.frames().into_iter().find(|f| f.kind == GOAWAY).map(|f| f.number(4));
    assert_eq!(goaway, Some(1), "a push promise");
}

#[test]
fn a_refusal_ends_the_stream_and_keeps_its_status() {
    for status in [400, 401, 403, 404, 500, 503, 504, 599] {
        for has_finished in [false, true] {
            let mut pair = Pair::new();
            let stream = pair.ask();
            if has_finished {
                pair.client.mux.finish(stream).unwrap();
                pair.settle();
            }
            pair.server.mux.respond(stream, &ConnectResponse::new(status), true).unwrap();
            let before = pair.server.wire.len();
            pair.settle();
            assert_eq!(pair.client.response(stream).map(|r| r.status), Some(status));
            assert!(pair.client.ended(stream));
            let sent = frames(&pair.server.wire[before..]);
            let resets: Vec<_> = sent.iter().filter(|f| f.kind == RST_STREAM).map(|f| f.number(0)).collect();
            let expected: &[u32] = if has_finished { &[] } else { &[0] };
            assert_eq!(resets, expected, "{status}");
            assert_eq!((pair.client.mux.open_streams(), pair.server.mux.open_streams()), (0, 0));
        }
    }
}

#[test]
fn interim_answers_are_never_sent_and_are_skipped() {
    let mut pair = Pair::new();
    let stream = pair.ask();
    for status in [100, 101, 103, 199, 0, 600] {
        let refused = pair.server.mux.respond(stream, &ConnectResponse::new(status), false);
        assert!(matches!(refused, Err(MuxRefusal::Malformed(_))), "{status}");
    }
    let mut client = Lone::client();
    let stream = client.mux.connect(&target()).unwrap();
    client.feed(&[]);
    client.feed(&headers(1, 0, &[(":status", "100")]));
    client.feed(&headers(1, 0, &[(":status", "103"), ("link", "x")]));
    assert!(client.told.iter().all(|event| !matches!(event, MuxEvent::Response { .. })));
    client.feed(&headers(1, 0, &[(":status", "200")]));
    let response = ConnectResponse::new(200);
    assert!(client.told.contains(&MuxEvent::Response { stream, response, ignored: 0 }));
}

#[test]
fn an_answer_may_describe_the_destination() {
    let mut pair = Pair::new();
    let stream = pair.ask();
    let mut response = ConnectResponse::new(200);
    let mut baggage = Baggage::default();
    assert!(baggage.push("service.name", "web"));
    response.baggage = Some(baggage);
    pair.server.mux.respond(stream, &response, false).unwrap();
    pair.settle();
    assert_eq!(pair.client.response(stream), Some(&response));
}

#[test]
fn refused_is_believed_only_before_an_answer() {
    for (bytes, cause) in [
        (frame(RST_STREAM, 0, 1, &[0, 0, 0, 7]), ResetCause::Refused),
        (frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), ResetCause::Peer { code: 8 }),
        (frame(GOAWAY, 0, 0, &[0; 8]), ResetCause::Refused),
        (
            [headers(1, 0, &[(":status", "200")]), frame(RST_STREAM, 0, 1, &[0, 0, 0, 7])].concat(),
            ResetCause::Peer { code: 7 },
        ),
    ] {
        let mut client = Lone::client();
        let stream = client.mux.connect(&target()).unwrap();
        client.feed(&[]);
        client.feed(&bytes);
        let reset = MuxEvent::Reset { stream, cause, after_end: false };
        assert!(client.told.contains(&reset), "{cause:?}: {:?}", client.told);
    }
}

#[test]
fn each_direction_ends_on_its_own() {
    for client_first in [true, false] {
        let mut pair = Pair::new();
        let stream = pair.open();
        pair.send(client_first, stream, &pattern(1, 70_000));
        pair.sides(client_first).0.mux.finish(stream).unwrap();
        pair.settle();
        let other = pair.sides(client_first).1;
        assert!(other.ended(stream) && other.bytes(stream) == pattern(1, 70_000));
        assert_eq!((pair.client.mux.open_streams(), pair.server.mux.open_streams()), (1, 1));
        // Much follows in the other direction.
        pair.send(!client_first, stream, &pattern(2, 6 << 20));
        assert!(!pair.sides(client_first).0.ended(stream));
        pair.sides(!client_first).0.mux.finish(stream).unwrap();
        pair.settle();
        let first = pair.sides(client_first).0;
        assert!(first.ended(stream) && first.bytes(stream) == pattern(2, 6 << 20));
        assert_eq!((pair.client.mux.open_streams(), pair.server.mux.open_streams()), (0, 0));
        assert_eq!((pair.client.reset(stream), pair.server.reset(stream)), (None, None));
    }
}

#[test]
fn an_end_without_a_byte_is_an_end() {
    let mut pair = Pair::new();
    let stream = pair.open();
    pair.client.mux.finish(stream).unwrap();
    pair.server.mux.finish(stream).unwrap();
    pair.settle();
    assert!(pair.client.ended(stream) && pair.server.ended(stream));
    // A stream that ends with its request is one whose application closed at once.
    let mut server = Lone::server();
    server.feed(&headers(1, END_STREAM, &[(":method", "CONNECT"), (":authority", "10.0.0.1:80")]));
    assert!(matches!(server.told.last(), Some(MuxEvent::End { .. })));
    // Trailers are an end as well, and nothing else.
    let mut server = Lone::server();
    server.feed(&[connect(1), frame(DATA, 0, 1, b"x"), headers(1, END_STREAM, &[("a", "b")])].concat());
    assert!(matches!(server.told[server.told.len() - 2..], [MuxEvent::Data { .. }, MuxEvent::End { .. }]));
}

#[test]
fn data_before_the_answer_waits_in_order() {
    let mut pair = Pair::new();
    let stream = pair.ask();
    pair.send(true, stream, b"early ");
    pair.server.mux.respond(stream, &ConnectResponse::new(200), false).unwrap();
    pair.send(true, stream, b"and late");
    assert_eq!(pair.server.bytes(stream), b"early and late");
}

#[test]
fn frames_carry_bytes_and_nothing_else() {
    let mut pair = Pair::new();
    let stream = pair.open();
    let before = pair.client.wire.len();
    pair.send(true, stream, &pattern(3, 300_000));
    let sent = frames(&pair.client.wire[before..]);
    let data: Vec<_> = sent.iter().filter(|f| f.kind == DATA).collect();
    assert!(data.iter().all(|f| f.payload.len() <= 16_375 && f.flags == 0));
    assert_eq!(data.iter().flat_map(|f| f.payload.clone()).collect::<Vec<_>>(), pattern(3, 300_000));
    // A peer may cut as it likes, with padding and empty frames.
    let mut server = Lone::server();
    let padded = frame(DATA, 8, 1, b"\x03bc\0\0\0");
    server.feed(&[connect(1), frame(DATA, 0, 1, b"a"), frame(DATA, 0, 1, b""), padded].concat());
    let heard: Vec<u8> = server
        .told
        .iter()
        .flat_map(|event| match event {
            MuxEvent::Data { bytes, .. } => bytes.to_vec(),
            _ => Vec::new(),
        })
        .collect();
    assert_eq!(heard, b"abc");
}

#[test]
fn credit_returns_only_for_bytes_passed_on() {
    let mut server = Lone::server();
    server.feed(&connect(1));
    server.frames();
    server.feed(&frame(DATA, 0, 1, &[0; 16_384]).repeat(256));
    let updates = |sent: Vec<crate::wire::Frame>| {
        let of = |stream| {
            sent.iter()
                .filter(|f| f.kind == WINDOW_UPDATE && f.stream == stream)
                .map(|f| f.number(0))
                .sum::<u32>()
        };
        of(1)
    };
    assert_eq!((updates(server.frames()), server.mux.held_bytes()), (0, 4 << 20));
    let Some(MuxEvent::Request { stream, .. }) =
        server.told.iter().find(|e| matches!(e, MuxEvent::Request { .. }))
    else {
        panic!("no request")
    };
    server.mux.release(*stream, 4 << 20);
    server.feed(&[]);
    assert_eq!((updates(server.frames()), server.mux.held_bytes()), (4 << 20, 0));
    // One byte more than the window is an error of that stream.
    server.feed(&frame(DATA, 0, 1, &[0; 16_384]).repeat(256));
    server.feed(&frame(DATA, 0, 1, &[0]));
    let resets: Vec<_> = server.frames().into_iter().filter(|f| f.kind == RST_STREAM).collect();
    assert_eq!(resets.iter().map(|f| f.number(0)).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_sender_stays_inside_the_windows() {
    for window in [0, 1, 10_000] {
        let mut client = Lone::client();
        let settings = [&[0, 4][..], &u32::to_be_bytes(window)].concat();
        client.feed(&frame(SETTINGS, 0, 0, &settings));
        let stream = client.mux.connect(&target()).unwrap();
        client.mux.send(stream, pattern(4, 100_000).into()).unwrap();
        client.frames();
        let sent = |client: &mut Lone| {
            client.feed(&[]);
            client.frames().iter().filter(|f| f.kind == DATA).map(|f| f.payload.len()).sum::<usize>()
        };
        assert_eq!(sent(&mut client), window as usize);
        // Lowered below what is under way, then raised by less than that: nothing may follow.
        client.feed(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
        client.feed(&frame(WINDOW_UPDATE, 0, 1, &u32::to_be_bytes(window.max(1))));
        let credit = usize::from(window == 0);
        assert_eq!(sent(&mut client), credit, "{window}");
        client.feed(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 5]));
        assert_eq!(sent(&mut client), 5, "{window}");
    }
}

#[test]
fn stalled_streams_leave_the_others_alone() {
    let mut pair = Pair::new();
    pair.server.reads = false;
    let stalled: Vec<_> = (0..8).map(|_| pair.open()).collect();
    for stream in &stalled {
        pair.send(true, *stream, &pattern(5, 4 << 20));
    }
    assert_eq!(pair.server.mux.held_bytes(), 32 << 20, "twice the connection's window");
    pair.server.reads = true;
    let stream = pair.open();
    pair.send(true, stream, &pattern(6, 8 << 20));
    assert_eq!(pair.server.bytes(stream).len(), 8 << 20);
}
