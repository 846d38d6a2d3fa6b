//! Aborts, the loss of a tunnel, and drain.

use bytes::Bytes;
use culvert_core::hbone::connect::ConnectResponse;
use culvert_core::hbone::mux::{CONNECT_ERROR, MuxEvent, MuxFault, MuxRefusal, ResetCause};

use crate::pair::{Pair, pattern, target};
use crate::wire::{DATA, GOAWAY, Lone, RST_STREAM, connect, frame, frames, headers};

const CODES: [u32; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xffff_ffff];

#[test]
fn a_reset_before_the_end_is_an_abort_whatever_its_code() {
    for code in CODES {
        for by_client in [true, false] {
            let mut pair = Pair::new();
            let stream = pair.open();
            pair.send(by_client, stream, b"some bytes");
            pair.sides(by_client).0.mux.reset(stream, code);
            pair.settle();
            let other = pair.sides(by_client).1;
            assert_eq!(other.reset(stream), Some((ResetCause::Peer { code }, false)), "{code}");
            assert!(!other.ended(stream) && other.bytes(stream) == b"some bytes");
        }
    }
}

#[test]
fn an_abort_is_written_as_connect_error() {
    let mut pair = Pair::new();
    let stream = pair.open();
    let before = pair.client.wire.len();
    pair.client.mux.send(stream, Bytes::from_static(b"the last bytes")).unwrap();
    pair.client.mux.reset_after_queued(stream, CONNECT_ERROR).unwrap();
    pair.settle();
    let sent = frames(&pair.client.wire[before..]);
    let kinds: Vec<_> = sent.iter().filter(|f| f.stream == 1).map(|f| (f.kind, f.flags)).collect();
    assert_eq!(kinds, [(DATA, 0), (RST_STREAM, 0)]);
    assert_eq!(sent.last().map(|f| f.number(0)), Some(0xa));
    assert_eq!(pair.server.bytes(stream), b"the last bytes");
}

#[test]
fn a_reset_after_the_end_takes_nothing_back() {
    for code in CODES {
        for by_client in [true, false] {
            let mut pair = Pair::new();
            let stream = pair.open();
            pair.sides(by_client).1.reads = false;
            pair.send(by_client, stream, &pattern(1, 90_000));
            let side = pair.sides(by_client).0;
            side.mux.finish(stream).unwrap();
            side.mux.drive();
            side.mux.reset(stream, code);
            pair.settle();
            let other = pair.sides(by_client).1;
            assert_eq!(other.bytes(stream), pattern(1, 90_000));
            assert!(other.ended(stream), "{code}");
            assert_eq!(other.reset(stream), Some((ResetCause::Peer { code }, true)), "{code}");
            let late = other.mux.send(stream, Bytes::from_static(b"late"));
            assert_eq!(late, Err(MuxRefusal::Stream));
            assert_eq!(other.mux.held_bytes(), 90_000, "still to be delivered");
            other.mux.release(stream, 90_000);
            assert_eq!(other.mux.held_bytes(), 0);
        }
    }
}

#[test]
fn a_lost_tunnel_aborts_each_stream_that_has_not_ended_once() {
    for clean in [true, false] {
        let mut pair = Pair::new();
        let (open, half, asked) = (pair.open(), pair.open(), pair.ask());
        pair.send(false, open, b"so far");
        pair.server.mux.finish(half).unwrap();
        pair.settle();
        pair.client.mux.receive_end(clean);
        pair.settle();
        for stream in [open, asked] {
            assert_eq!(pair.client.reset(stream), Some((ResetCause::Tunnel, false)), "{stream:?}");
            assert!(!pair.client.ended(stream));
        }
        assert_eq!(pair.client.bytes(open), b"so far");
        assert!(pair.client.ended(half));
        assert_eq!(pair.client.reset(half), Some((ResetCause::Tunnel, true)));
        let fault = if clean { MuxFault::Eof } else { MuxFault::Truncated };
        assert_eq!(pair.client.over(), Some(Err(fault)));
        assert_eq!(pair.client.mux.connect(&target()), Err(MuxRefusal::Closing));
    }
}

#[test]
fn late_frames_of_a_reset_stream_are_silent_and_give_their_credit_back() {
    let mut server = Lone::server();
    server.told.clear();
    for i in 0..40 {
        let number = 2 * i + 1;
        server.feed(&connect(number));
        let Some(MuxEvent::Request { stream, .. }) = server.told.pop() else { panic!("no request") };
        server.mux.respond(stream, &ConnectResponse::new(200), false).unwrap();
        server.mux.reset(stream, CONNECT_ERROR);
        server.feed(&[]);
        // 40 MiB in all: more than twice the connection's window.
        server.feed(&frame(DATA, 0, number, &[0; 16_384]).repeat(64));
        assert!(server.told.is_empty(), "{:?}", server.told);
    }
    let sent = server.frames();
    assert!(sent.iter().all(|f| f.kind != GOAWAY));
    let credit: u64 =
        sent.iter().filter(|f| f.kind == 8 && f.stream == 0).map(|f| u64::from(f.number(0))).sum();
    assert!(credit > 24 << 20, "{credit}");
    assert_eq!((server.mux.held_bytes(), server.mux.open_streams()), (0, 0));
}

#[test]
fn a_server_drains_in_two_steps_and_serves_what_crossed() {
    let mut pair = Pair::new();
    let first = pair.open();
    pair.server.mux.graceful_shutdown();
    pair.server.mux.drive();
    let crossed = pair.client.mux.connect(&target()).unwrap();
    pair.settle();
    assert_eq!(pair.client.goaways(), [(0x7fff_ffff, 0), (crossed.as_u32(), 0)]);
    assert_eq!(pair.client.mux.connect(&target()), Err(MuxRefusal::Closing));
    pair.server.mux.respond(crossed, &ConnectResponse::new(200), false).unwrap();
    for stream in [first, crossed] {
        pair.send(true, stream, &pattern(2, 100_000));
        pair.send(false, stream, &pattern(3, 100_000));
        assert_eq!(pair.server.bytes(stream), pattern(2, 100_000));
        assert_eq!(pair.client.bytes(stream), pattern(3, 100_000));
        assert_eq!((pair.client.over(), pair.server.over()), (None, None));
        pair.client.mux.finish(stream).unwrap();
        pair.server.mux.finish(stream).unwrap();
        pair.settle();
    }
    assert_eq!((pair.client.over(), pair.server.over()), (Some(Ok(())), Some(Ok(()))));
}

#[test]
fn a_goaway_spares_the_streams_up_to_its_last() {
    let mut client = Lone::client();
    let streams: Vec<_> = (0..3).map(|_| client.mux.connect(&target()).unwrap()).collect();
    client.feed(&[]);
    client.feed(&frame(GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0]));
    let reset = |stream| {
        client.told.iter().any(
            |e| matches!(e, MuxEvent::Reset { stream: s, cause: ResetCause::Refused, .. } if *s == stream),
        )
    };
    assert_eq!([reset(streams[0]), reset(streams[1]), reset(streams[2])], [false, false, true]);
    client.feed(&headers(3, 0, &[(":status", "200")]));
    client.feed(&frame(DATA, 0, 3, b"served"));
    assert!(matches!(client.told.last(), Some(MuxEvent::Data { .. })));
}

#[test]
fn a_goaway_of_an_error_aborts_what_is_open() {
    let mut client = Lone::client();
    let stream = client.mux.connect(&target()).unwrap();
    client.feed(&[]);
    client.feed(&headers(1, 0, &[(":status", "200")]));
    client.feed(&frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 2]));
    client.mux.receive_end(true);
    client.feed(&[]);
    let abort = MuxEvent::Reset { stream, cause: ResetCause::Tunnel, after_end: false };
    assert!(client.told.contains(&abort), "{:?}", client.told);
    assert!(!client.told.contains(&MuxEvent::End { stream }));
    assert!(matches!(client.told.last(), Some(MuxEvent::Closed(_))));
}

#[test]
fn a_client_drains_after_its_last_stream() {
    let mut pair = Pair::new();
    let stream = pair.open();
    pair.client.mux.graceful_shutdown();
    assert_eq!(pair.client.mux.connect(&target()), Err(MuxRefusal::Closing));
    pair.send(true, stream, b"still");
    assert_eq!((pair.server.bytes(stream), pair.client.over()), (b"still".to_vec(), None));
    pair.client.mux.finish(stream).unwrap();
    pair.server.mux.finish(stream).unwrap();
    pair.settle();
    assert_eq!(pair.client.over(), Some(Ok(())));
}

#[test]
fn open_and_reset_is_ended_with_enhance_your_calm() {
    let mut server = Lone::server();
    let mut number = 1;
    while !server.mux.is_closed() {
        assert!(number < 20_000, "never ended");
        server.feed(&[connect(number), frame(RST_STREAM, 0, number, &[0, 0, 0, 8])].concat());
        assert_eq!((server.mux.open_streams(), server.mux.held_bytes()), (0, 0));
        number += 2;
    }
    let goaway = server.frames().into_iter().find(|f| f.kind == GOAWAY).map(|f| f.number(4));
    assert_eq!(goaway, Some(0xb));
}
