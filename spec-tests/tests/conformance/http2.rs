//! HTTP/2 as far as tunnels touch it (RFC 9113): what a peer may not send, and how it is told so.

use culvert_core::hbone::connect::ConnectResponse;
use culvert_core::hbone::mux::{Mux, MuxConfig, MuxEvent, MuxFault};

use crate::pair::target;
use crate::wire::{
    ACK, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, Lone, PING, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, connect, frame, headers,
};

const PRIORITY: u8 = 2;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;

/// Error codes (section 7), by the words of the tables below.
const CODES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// What is answered: `goaway CODE` and `reset STREAM CODE`, or nothing.
fn answers(lone: &mut Lone) -> String {
    let code = |number: u32| CODES.get(number as usize).copied().unwrap_or("unknown");
    let told = lone.frames().into_iter().filter_map(|frame| match frame.kind {
        GOAWAY => Some(format!("goaway {}", code(frame.number(4)))),
        RST_STREAM => Some(format!("reset {} {}", frame.stream, code(frame.number(0)))),
        _ => None,
    });
    told.collect::<Vec<_>>().join(", ")
}

/// One byte string for each row, and what it is answered with.
type Row<'a> = (Vec<u8>, &'a str);

/// A server with one stream open, and nothing said yet that a test looks at.
fn server() -> Lone {
    let mut server = Lone::server();
    server.feed(&connect(1));
    server.frames();
    server
}

/// A client with one request on its way.
fn client() -> Lone {
    let mut client = Lone::client();
    client.mux.connect(&target()).unwrap();
    client.feed(&[]);
    client.frames();
    client
}

/// Sends each row to a fresh mux. An error of the connection ends it, and is told; after one of a stream, or none, the
/// connection goes on (section 5.4).
fn check(start: fn() -> Lone, rows: &[Row<'_>]) {
    for (bytes, expected) in rows {
        let mut lone = start();
        lone.feed(bytes);
        assert_eq!(answers(&mut lone), *expected, "{bytes:02x?}");
        let ended =
            lone.told.iter().any(|event| matches!(event, MuxEvent::Closed(MuxFault::Protocol { .. })));
        assert_eq!(ended, expected.starts_with("goaway"), "{bytes:02x?}: {:?}", lone.told);
        assert_eq!(lone.mux.is_closed(), ended, "{bytes:02x?}");
        lone.feed(&frame(PING, 0, 0, b"and then"));
        let answered = lone.frames().iter().any(|frame| (frame.kind, frame.flags) == (PING, ACK));
        assert_eq!(answered, !ended, "{bytes:02x?}");
    }
}

/// The field block of a CONNECT.
fn block() -> Vec<u8> {
    connect(3).split_off(9)
}

const BROKEN: &str = "goaway PROTOCOL_ERROR";
const NOTHING: &str = "";

#[test]
fn frames_of_the_connection_and_of_streams_are_told_apart() {
    check(
        server,
        &[
            (frame(DATA, 0, 0, b"x"), BROKEN),
            (frame(HEADERS, END_HEADERS, 0, &block()), BROKEN),
            (frame(PRIORITY, 0, 0, &[0, 0, 0, 0, 1]), BROKEN),
            (frame(RST_STREAM, 0, 0, &[0; 4]), BROKEN),
            (frame(CONTINUATION, END_HEADERS, 0, &block()), BROKEN),
            (frame(SETTINGS, 0, 1, &[]), BROKEN),
            (frame(PING, 0, 1, &[0; 8]), BROKEN),
            (frame(GOAWAY, 0, 1, &[0; 8]), BROKEN),
        ],
    );
}

#[test]
fn a_frame_of_the_wrong_length_ends_the_connection() {
    check(
        server,
        &[
            (frame(PING, 0, 0, &[0; 7]), BROKEN),
            (frame(PING, 0, 0, &[0; 9]), BROKEN),
            (frame(SETTINGS, 0, 0, &[0; 5]), BROKEN),
            (frame(SETTINGS, ACK, 0, &[0; 6]), BROKEN),
            (frame(RST_STREAM, 0, 1, &[0; 3]), BROKEN),
            (frame(RST_STREAM, 0, 1, &[0; 5]), BROKEN),
            (frame(WINDOW_UPDATE, 0, 0, &[0; 3]), BROKEN),
            (frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1, 0]), BROKEN),
            (frame(GOAWAY, 0, 0, &[0; 7]), BROKEN),
            (frame(PRIORITY, 0, 1, &[0; 4]), BROKEN),
            (frame(DATA, PADDED, 1, &[]), BROKEN),
        ],
    );
}

#[test]
fn a_frame_longer_than_announced_is_a_frame_size_error_whatever_its_type() {
    let over = vec![0; 16_385];
    let long = "goaway FRAME_SIZE_ERROR";
    let rows = [DATA, PING, 40].map(|kind| (frame(kind, 0, 1, &over), long));
    check(server, &rows);
    check(server, &[(frame(DATA, 0, 1, &over[1..]), NOTHING), (frame(40, 0, 1, &over[1..]), NOTHING)]);
}

#[test]
fn a_field_block_that_cannot_be_decoded_ends_the_connection() {
    let index = |bytes: &[u8]| frame(HEADERS, END_HEADERS, 3, bytes);
    let table = [&[0x3f, 0xff, 0xff, 0x7f][..], &block()].concat();
    check(
        server,
        &[
            (index(&[0xff; 6]), BROKEN),
            (index(&[0x80]), BROKEN),
            (index(&[0xfe]), BROKEN),
            (index(&table), BROKEN),
        ],
    );
}

#[test]
fn a_field_block_is_in_one_piece() {
    let block = block();
    let begun = frame(HEADERS, 0, 3, &block[..4]);
    let then = |rest: &[u8]| [&begun[..], rest].concat();
    check(
        server,
        &[
            (then(&frame(PING, 0, 0, &[0; 8])), BROKEN),
            (then(&frame(DATA, 0, 1, b"x")), BROKEN),
            (then(&frame(CONTINUATION, END_HEADERS, 5, &block[4..])), BROKEN),
            (then(&frame(40, 0, 0, &[])), BROKEN),
            (then(&frame(HEADERS, END_HEADERS, 5, &block)), BROKEN),
            (frame(CONTINUATION, END_HEADERS, 1, &block), BROKEN),
            (frame(CONTINUATION, END_HEADERS, 3, &block), BROKEN),
        ],
    );
    let mut server = server();
    server.feed(&then(&frame(CONTINUATION, 0, 3, &block[4..8])));
    assert_eq!(server.requests(), 1);
    server.feed(&frame(CONTINUATION, END_HEADERS, 3, &block[8..]));
    assert_eq!((server.requests(), answers(&mut server).as_str()), (2, NOTHING));
}

#[test]
fn a_stream_that_was_never_opened_takes_priority_alone() {
    check(
        server,
        &[
            (frame(DATA, 0, 3, b"x"), BROKEN),
            (frame(RST_STREAM, 0, 3, &[0, 0, 0, 8]), BROKEN),
            (frame(WINDOW_UPDATE, 0, 3, &[0, 0, 0, 1]), BROKEN),
            (frame(PRIORITY, 0, 7, &[0, 0, 0, 0, 1]), NOTHING),
        ],
    );
    check(
        client,
        &[
            (frame(RST_STREAM, 0, 5, &[0; 4]), BROKEN),
            (headers(3, 0, &[(":status", "200")]), BROKEN),
            (headers(2, 0, &[(":status", "200")]), BROKEN),
        ],
    );
}

#[test]
fn after_its_end_a_stream_takes_no_data_and_no_headers() {
    let after = |rest: &[u8]| [&frame(DATA, END_STREAM, 1, b"x")[..], rest].concat();
    let still = [frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])].concat();
    check(
        server,
        &[
            (after(&frame(DATA, 0, 1, b"y")), BROKEN),
            (after(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &[])), BROKEN),
            (after(&still), NOTHING),
            (after(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])), NOTHING),
        ],
    );
}

#[test]
fn after_its_reset_a_stream_takes_nothing_and_is_not_reset_for_a_reset() {
    let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    let after = |rest: &[u8]| [&reset[..], rest].concat();
    let update = frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    check(
        server,
        &[
            (after(&frame(DATA, 0, 1, b"x")), "reset 1 STREAM_CLOSED"),
            (after(&frame(HEADERS, END_HEADERS, 1, &block())), BROKEN),
            (after(&[&reset[..], &update, &frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])].concat()), NOTHING),
        ],
    );
}

#[test]
fn clients_open_odd_streams_in_rising_order() {
    check(
        server,
        &[
            (connect(2), BROKEN),
            ([connect(5), connect(3)].concat(), BROKEN),
            // Those that were passed over are closed.
            ([connect(5), frame(DATA, 0, 3, b"x")].concat(), "reset 3 STREAM_CLOSED"),
            ([connect(5), connect(4_000_001)].concat(), NOTHING),
        ],
    );
    let mut own = client();
    own.mux.connect(&target()).unwrap();
    own.feed(&[]);
    assert_eq!(own.frames().iter().map(|frame| frame.stream).collect::<Vec<_>>(), [3]);
}

#[test]
fn padding_is_within_its_frame_and_no_content() {
    let padded =
        |pad: &[u8], rest: &[u8]| frame(HEADERS, PADDED | END_HEADERS, 3, &[pad, &block(), rest].concat());
    check(
        server,
        &[
            (frame(DATA, PADDED, 1, &[1]), BROKEN),
            (frame(DATA, PADDED, 1, &[5, b'x', 0, 0]), BROKEN),
            (padded(&[200], &[]), BROKEN),
            (padded(&[3], &[0; 3]), NOTHING),
        ],
    );
    let mut server = server();
    server.feed(&frame(DATA, PADDED, 1, &[2, b'x', 0, 0]));
    assert!(
        matches!(server.told.last(), Some(MuxEvent::Data { bytes, .. }) if bytes == "x"),
        "{:?}",
        server.told
    );
}

#[test]
fn priorities_are_read_and_mean_nothing() {
    let with = |dependency: u8| {
        let flags = WITH_PRIORITY | END_HEADERS;
        frame(HEADERS, flags, 3, &[&[0, 0, 0, dependency, 9][..], &block()].concat())
    };
    check(server, &[(with(0), NOTHING), (with(1), NOTHING), (with(3), "reset 3 PROTOCOL_ERROR")]);
    let mut server = server();
    server.feed(&with(1));
    assert_eq!(server.requests(), 2);
}

#[test]
fn settings_keep_to_their_values() {
    let setting =
        |kind: u8, value: u32| frame(SETTINGS, 0, 0, &[&[0, kind][..], &value.to_be_bytes()].concat());
    check(
        server,
        &[
            (setting(2, 2), BROKEN),
            (setting(4, 1 << 31), BROKEN),
            (setting(5, 16_383), BROKEN),
            (setting(5, 1 << 24), BROKEN),
            (setting(4, i32::MAX as u32), NOTHING),
            (setting(5, 16_384), NOTHING),
            (setting(5, (1 << 24) - 1), NOTHING),
            (setting(3, 0), NOTHING),
            (setting(99, 1 << 24), NOTHING),
        ],
    );
}

#[test]
fn settings_are_acknowledged_once_each_and_in_order() {
    let mut server = server();
    let (ping, settings) = (frame(PING, 0, 0, b"12345678"), frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]));
    server.feed(&[&settings[..], &settings, &ping].concat());
    let said: Vec<_> =
        server.frames().iter().map(|frame| (frame.kind, frame.flags, frame.payload.len())).collect();
    let acknowledgements = said.iter().filter(|said| **said == (SETTINGS, ACK, 0)).count();
    assert_eq!(acknowledgements, 2, "{said:?}");
    assert!(said.contains(&(PING, ACK, 8)), "{said:?}");
}

#[test]
fn an_acknowledged_ping_is_not_answered() {
    check(server, &[(frame(PING, ACK, 0, &[1; 8]), NOTHING)]);
    let mut server = server();
    server.feed(&frame(PING, ACK, 0, &[1; 8]));
    assert_eq!(server.frames(), []);
}

#[test]
fn nobody_pushes() {
    let push = frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &block()].concat());
    check(server, &[(push.clone(), BROKEN)]);
    check(client, &[(push, BROKEN)]);
}

#[test]
fn windows_grow_by_something_and_to_their_limit() {
    let update = |stream: u32, by: u32| frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    let widest = frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    check(
        server,
        &[
            (update(0, 0), BROKEN),
            // A stream's error, treated as the connection's (section 5.4).
            (update(1, 0), BROKEN),
            (update(0, i32::MAX as u32), "goaway FLOW_CONTROL_ERROR"),
            (update(1, i32::MAX as u32), "reset 1 FLOW_CONTROL_ERROR"),
            ([update(1, 1 << 16), widest].concat(), "goaway FLOW_CONTROL_ERROR"),
            (update(1, i32::MAX as u32 - 65_535), NOTHING),
            (update(0, i32::MAX as u32 - 65_535), NOTHING),
        ],
    );
}

#[test]
fn an_end_without_bytes_needs_no_window() {
    let mut server = Lone::new(Mux::server(&MuxConfig::default()));
    server.feed(&[PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat());
    server.feed(&connect(1));
    let requested = |event: &MuxEvent| match event {
        MuxEvent::Request { stream, .. } => Some(*stream),
        _ => None,
    };
    let stream = server.told.iter().find_map(requested).unwrap();
    server.mux.respond(stream, &ConnectResponse::new(200), false).unwrap();
    server.mux.finish(stream).unwrap();
    server.feed(&[]);
    let ends = |frame: &Frame| frame.kind == DATA && frame.flags == END_STREAM && frame.payload.is_empty();
    assert!(server.frames().iter().any(ends));
}

#[test]
fn unknown_flags_reserved_bits_types_and_codes_mean_nothing() {
    check(
        server,
        &[
            (frame(DATA, 0xf6, 1, b"x"), NOTHING),
            (frame(PING, 0xfe, 0, &[1; 8]), NOTHING),
            (frame(DATA, 0, 0x8000_0001, b"x"), NOTHING),
            (frame(WINDOW_UPDATE, 0, 1, &[0x80, 0, 0, 1]), NOTHING),
            (frame(40, 0xff, 1, b"anything"), NOTHING),
            (frame(RST_STREAM, 0, 1, &[0xff, 0, 0, 1]), NOTHING),
        ],
    );
    // GOAWAY of an unknown code is one of an error, with what it says of streams and text behind it.
    let mut server = server();
    server.feed(&frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0xff, 0, 0, 1, b'x']));
    assert!(server.told.iter().any(|event| matches!(event, MuxEvent::GoAway { code: 0xff00_0001, .. })));
}

#[test]
fn on_a_connected_stream_headers_are_an_end_or_an_error() {
    check(
        server,
        &[
            (headers(1, 0, &[("x", "y")]), "reset 1 PROTOCOL_ERROR"),
            (headers(1, END_STREAM, &[("x", "y")]), NOTHING),
        ],
    );
    let open = headers(1, 0, &[(":status", "200")]);
    check(
        client,
        &[
            ([&open[..], &open].concat(), "reset 1 PROTOCOL_ERROR"),
            ([&open[..], &headers(1, END_STREAM, &[("x", "y")])].concat(), NOTHING),
        ],
    );
}

#[test]
fn an_answer_begins_with_its_status() {
    check(
        client,
        &[
            (frame(DATA, 0, 1, b"before"), BROKEN),
            (headers(1, 0, &[(":status", "99")]), BROKEN),
            (headers(1, 0, &[("x", "y")]), "reset 1 PROTOCOL_ERROR"),
            (headers(1, 0, &[(":status", "200")]), NOTHING),
        ],
    );
}

#[test]
fn a_connection_error_names_the_last_stream_and_its_code() {
    let mut server = Lone::server();
    server.feed(&[connect(1), connect(7)].concat());
    server.frames();
    server.feed(&frame(WINDOW_UPDATE, 0, 0, &i32::MAX.to_be_bytes()));
    let said = server.frames();
    let goaway: Vec<_> = said.iter().filter(|frame| frame.kind == GOAWAY).collect();
    let [goaway] = goaway.as_slice() else { panic!("{said:?}") };
    assert_eq!((goaway.stream, goaway.number(0), goaway.number(4)), (0, 7, 3));
    assert_eq!(said.last().map(|frame| frame.kind), Some(GOAWAY), "nothing comes after it");
}

#[test]
fn a_server_that_gives_its_answer_a_length_loses_that_stream_alone() {
    let answer = |length| headers(1, 0, &[(":status", "200"), ("content-length", length)]);
    check(
        client,
        &[
            ([answer("3"), frame(DATA, 0, 1, b"hello")].concat(), "reset 1 PROTOCOL_ERROR"),
            ([answer("5"), frame(DATA, END_STREAM, 1, b"hello")].concat(), NOTHING),
        ],
    );
}

#[test]
fn our_answer_to_connect_has_no_content_length_and_no_transfer_coding() {
    let mut server = server();
    let Some(MuxEvent::Request { stream, .. }) = server.told.pop() else { panic!("no request") };
    server.mux.respond(stream, &ConnectResponse::new(200), false).unwrap();
    server.feed(&[]);
    let said = server.frames();
    // `:status` 200 is entry 8 of the static table (RFC 7541 appendix A), and there is nothing else.
    assert!(
        said.iter().any(|f| (f.kind, f.flags, &f.payload[..]) == (HEADERS, END_HEADERS, &[0x88])),
        "{said:?}"
    );
}

#[test]
fn a_preface_may_come_in_pieces_and_with_what_follows() {
    let whole = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &connect(1)].concat();
    for size in [1, 7, 24, 25, whole.len()] {
        let mut server = Lone::new(Mux::server(&MuxConfig::default()));
        whole.chunks(size).for_each(|piece| server.feed(piece));
        assert_eq!((server.requests(), server.mux.is_closed()), (1, false), "{size}");
    }
    for at in 0..PREFACE.len() {
        let mut broken = whole.clone();
        broken[at] ^= 0x20;
        let mut server = Lone::new(Mux::server(&MuxConfig::default()));
        server.feed(&broken);
        assert_eq!((server.requests(), server.mux.is_closed()), (0, true), "byte {at}");
    }
}
