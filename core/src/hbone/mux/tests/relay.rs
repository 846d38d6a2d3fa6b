//! Bytes and ends, both ways.

use super::pair::{Pair, payload};
use crate::hbone::connect::{Baggage, ConnectResponse};
use crate::hbone::mux::{Mux, MuxConfig, MuxEvent, MuxRefusal};

const MIB: usize = 1 << 20;

#[test]
fn a_mux_may_move_to_another_thread() {
    fn movable<T: Send>(_: &T) {}
    movable(&Mux::client(&MuxConfig::default()));
}

#[test]
fn a_mebibyte_each_way_in_random_pieces() {
    for seed in 0..3 {
        let mut pair = Pair::default();
        pair.chop(seed);
        let stream = pair.open();
        pair.transfer(stream, true, 0, MIB);
        pair.transfer(stream, false, 0, MIB);
        pair.client.mux.finish(stream).unwrap();
        pair.settle();
        assert!(pair.server.ends.contains(&stream) && !pair.client.ends.contains(&stream));
        pair.transfer(stream, false, MIB, 1000);
        pair.server.mux.finish(stream).unwrap();
        pair.settle();
        assert_eq!((pair.server.received[&stream], pair.client.received[&stream]), (MIB, MIB + 1000));
        assert!(pair.client.ends.contains(&stream));
        pair.assert_quiet();
    }
}

#[test]
fn the_server_may_finish_first() {
    let mut pair = Pair::default();
    let stream = pair.open();
    pair.transfer(stream, false, 0, 10);
    pair.server.mux.finish(stream).unwrap();
    pair.settle();
    assert!(pair.client.ends.contains(&stream));
    assert_eq!(pair.client.mux.open_streams(), 1);
    pair.transfer(stream, true, 0, 300_000);
    pair.client.mux.finish(stream).unwrap();
    pair.settle();
    assert_eq!(pair.server.received[&stream], 300_000);
    assert!(pair.server.ends.contains(&stream) && pair.client.cuts.is_empty() && pair.server.cuts.is_empty());
    pair.assert_quiet();
}

#[test]
fn data_before_the_answer_is_delivered() {
    let mut pair = Pair::default();
    let stream = pair.client.mux.connect(&super::pair::target()).unwrap();
    pair.client.mux.send(stream, payload(stream, true, 0, 100)).unwrap();
    pair.client.mux.finish(stream).unwrap();
    pair.settle();
    assert_eq!(pair.server.received[&stream], 100);
    assert!(pair.server.ends.contains(&stream));
    pair.server.mux.respond(stream, &ConnectResponse::new(200), false).unwrap();
    pair.server.mux.finish(stream).unwrap();
    pair.settle();
    assert!(pair.client.ends.contains(&stream));
    pair.assert_quiet();
}

#[test]
fn two_hundred_streams_share_a_tunnel() {
    let mut pair = Pair::default();
    let streams: Vec<_> = (0..200).map(|_| pair.open()).collect();
    assert_eq!(pair.client.mux.connect(&super::pair::target()), Err(MuxRefusal::Full));
    for (i, stream) in streams.iter().enumerate() {
        pair.client.mux.send(*stream, payload(*stream, true, 0, 7000 + i)).unwrap();
        pair.server.mux.send(*stream, payload(*stream, false, 0, 9000 + i)).unwrap();
        pair.client.mux.finish(*stream).unwrap();
        pair.server.mux.finish(*stream).unwrap();
    }
    pair.settle();
    for (i, stream) in streams.iter().enumerate() {
        assert_eq!((pair.server.received[stream], pair.client.received[stream]), (7000 + i, 9000 + i));
    }
    assert_eq!((pair.client.ends.len(), pair.server.ends.len()), (200, 200));
    pair.assert_quiet();
    pair.open();
}

#[test]
fn a_refusal_is_an_answer_and_ends_the_stream() {
    let mut pair = Pair::default();
    let stream = pair.client.mux.connect(&super::pair::target()).unwrap();
    pair.settle();
    let mut response = ConnectResponse::new(503);
    let mut baggage = Baggage::default();
    assert!(baggage.push("service.name", "a b"));
    response.baggage = Some(baggage);
    pair.server.mux.respond(stream, &response, true).unwrap();
    assert_eq!(pair.server.mux.respond(stream, &response, true), Err(MuxRefusal::Stream));
    pair.server.mux.drive();
    let wire = pair.server.take_output(usize::MAX);
    pair.client.mux.receive(&wire);
    pair.client.mux.drive();
    let told: Vec<_> = std::iter::from_fn(|| pair.client.mux.poll_event()).collect();
    assert_eq!(told[0], MuxEvent::Response { stream, response, ignored: 0 });
    assert_eq!(told[1], MuxEvent::End { stream });
    assert!(matches!(told[2], MuxEvent::Reset { after_end: true, .. }), "{told:?}");
    pair.settle();
    pair.assert_quiet();
}

#[test]
fn a_full_frame_is_one_record() {
    let mut pair = Pair::default();
    let stream = pair.open();
    pair.client.records.clear();
    pair.transfer(stream, true, 0, 16 * 16_375);
    let full = pair.client.records.iter().filter(|size| **size == 16_384).count();
    assert!(full >= 7, "{:?}", pair.client.records);
    assert!(pair.client.records.iter().all(|size| *size <= 16_384));
}

#[test]
fn a_queue_fills_and_empties() {
    let mut pair = Pair::default();
    let stream = pair.open();
    let config = MuxConfig::default();
    let mut sent = 0;
    while pair.client.mux.send(stream, payload(stream, true, sent, 10_000)).is_ok() {
        sent += 10_000;
        assert!(sent <= config.stream_queue_high + 10_000);
    }
    assert!(pair.client.mux.queued(stream) == sent && sent >= config.stream_queue_high);
    assert!(pair.client.writable.is_empty());
    pair.client.mux.drive();
    assert!(pair.client.mux.queued(stream) + config.output_high + 2 * 16_384 >= sent, "output is bounded");
    pair.settle();
    assert!(pair.client.writable.contains(&stream));
    assert_eq!((pair.client.mux.queued(stream), pair.server.received[&stream]), (0, sent));
}

#[test]
fn small_pieces_come_joined() {
    let mut pair = Pair::default();
    let stream = pair.open();
    for i in 0..100 {
        pair.client.mux.send(stream, payload(stream, true, i * 10, 10)).unwrap();
    }
    pair.client.mux.drive();
    let wire = pair.client.take_output(usize::MAX);
    pair.server.mux.receive(&wire);
    pair.server.mux.drive();
    let told: Vec<_> = std::iter::from_fn(|| pair.server.mux.poll_event()).collect();
    assert_eq!(told, [MuxEvent::Data { stream, bytes: payload(stream, true, 0, 1000) }]);
}

#[test]
fn ping_is_answered_and_one_at_a_time() {
    let mut pair = Pair::default();
    for _ in 0..3 {
        for side in [&mut pair.client, &mut pair.server] {
            assert_eq!(side.mux.ping(), Ok(()));
            assert_eq!(side.mux.ping(), Err(MuxRefusal::Full));
        }
        pair.settle();
    }
    assert_eq!((pair.client.pongs, pair.server.pongs), (3, 3));
    assert_eq!(Mux::server(&MuxConfig::default()).ping(), Err(MuxRefusal::Closing));
}

#[test]
fn nothing_is_sent_on_a_side_that_is_finished() {
    let mut pair = Pair::default();
    let stream = pair.open();
    pair.client.mux.finish(stream).unwrap();
    assert_eq!(pair.client.mux.finish(stream), Err(MuxRefusal::Stream));
    assert_eq!(pair.client.mux.send(stream, payload(stream, true, 0, 1)), Err(MuxRefusal::Stream));
    assert_eq!(pair.server.mux.respond(stream, &ConnectResponse::new(200), false), Err(MuxRefusal::Stream));
    assert!(matches!(
        pair.server.mux.respond(stream, &ConnectResponse::new(100), false),
        Err(MuxRefusal::Malformed(_))
    ));
}
