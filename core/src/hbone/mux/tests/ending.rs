//! Resets, GOAWAY and the end of the connection.

use super::pair::{Cut, Pair, payload, target};
use crate::hbone::mux::{CANCEL, CONNECT_ERROR, MuxConfig, MuxFault, MuxRefusal, NO_ERROR, ResetCause};

#[test]
fn a_reset_keeps_its_code_and_what_came_before_it() {
    for code in [NO_ERROR, CANCEL, CONNECT_ERROR, 0xdead_beef] {
        let mut pair = Pair::default();
        let (one, two) = (pair.open(), pair.open());
        pair.transfer(one, true, 0, 5000);
        pair.client.mux.reset(one, code);
        pair.server.mux.reset(two, code);
        pair.settle();
        let cut = Cut { cause: ResetCause::Peer { code }, after_end: false };
        assert_eq!((pair.server.cuts[&one], pair.client.cuts[&two]), (cut, cut));
        assert_eq!(pair.server.received[&one], 5000);
        pair.assert_quiet();
    }
}

#[test]
fn a_reset_drops_the_queue_unless_it_waits() {
    let mut pair = Pair::default();
    let (now, later) = (pair.open(), pair.open());
    for stream in [now, later] {
        pair.client.mux.send(stream, payload(stream, true, 0, 200_000)).unwrap();
    }
    pair.client.mux.reset(now, CONNECT_ERROR);
    pair.client.mux.reset_after_queued(later, CONNECT_ERROR).unwrap();
    assert_eq!(pair.client.mux.send(later, payload(later, true, 0, 1)), Err(MuxRefusal::Stream));
    pair.settle();
    assert_eq!(pair.server.received.get(&now), None);
    assert_eq!(pair.server.received[&later], 200_000);
    assert_eq!(pair.server.cuts.len(), 2);
    pair.assert_quiet();
}

#[test]
fn a_reset_after_the_end_cuts_the_sending_half_only() {
    let mut pair = Pair::default();
    let stream = pair.open();
    pair.client.stalled.insert(stream);
    pair.transfer(stream, false, 0, 70_000);
    pair.server.mux.finish(stream).unwrap();
    pair.settle();
    pair.server.mux.reset(stream, NO_ERROR);
    pair.settle();
    let cut = Cut { cause: ResetCause::Peer { code: NO_ERROR }, after_end: true };
    assert_eq!((pair.client.cuts[&stream], pair.client.received[&stream]), (cut, 70_000));
    assert_eq!(pair.client.mux.held_bytes(), 70_000, "whole, and still being delivered");
    assert_eq!(pair.client.mux.send(stream, payload(stream, true, 0, 1)), Err(MuxRefusal::Stream));
    pair.client.unstall(stream);
    pair.assert_quiet();
}

#[test]
fn end_and_reset_in_one_input_keep_their_order() {
    let mut pair = Pair::default();
    let stream = pair.open();
    pair.server.mux.send(stream, payload(stream, false, 0, 40_000)).unwrap();
    pair.server.mux.finish(stream).unwrap();
    pair.server.mux.drive();
    pair.server.mux.reset(stream, CANCEL);
    pair.settle();
    assert_eq!(pair.client.received[&stream], 40_000);
    assert!(pair.client.ends.contains(&stream));
    assert!(pair.client.cuts[&stream].after_end);
}

#[test]
fn resets_that_cross_are_told_to_nobody_twice() {
    let mut pair = Pair::default();
    let stream = pair.open();
    pair.client.mux.reset(stream, CONNECT_ERROR);
    pair.server.mux.reset(stream, CONNECT_ERROR);
    pair.settle();
    assert!(pair.client.cuts.is_empty() && pair.server.cuts.is_empty());
    pair.assert_quiet();
}

/// The types of the frames of a wire.
fn frames(mut wire: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (header, rest) = wire.split_first_chunk::<9>()?;
        wire = &rest[u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize..];
        Some(header[3])
    })
}

#[test]
fn late_data_of_a_cancelled_stream_is_silent_and_keeps_its_credit() {
    let mut pair = Pair::default();
    for _ in 0..80 {
        let stream = pair.open();
        pair.server.mux.send(stream, payload(stream, false, 0, 60_000)).unwrap();
        pair.server.mux.drive();
        pair.client.mux.reset(stream, CANCEL);
        pair.settle();
    }
    pair.assert_quiet();
    let resets = frames(&pair.client.wire["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()..])
        .filter(|kind| *kind == 3)
        .count();
    assert_eq!(resets, 80, "one for each cancel, none for the frames that came after it");
    let stream = pair.open();
    pair.transfer(stream, false, 0, 20 << 20);
    assert_eq!(pair.client.received[&stream], 20 << 20);
}

#[test]
fn a_server_drains_after_its_streams() {
    let mut pair = Pair::default();
    let stream = pair.open();
    pair.server.mux.graceful_shutdown();
    pair.settle();
    assert_eq!(pair.client.goaways, [(u32::MAX >> 1, NO_ERROR), (stream.as_u32(), NO_ERROR)]);
    assert_eq!(pair.client.mux.connect(&target()), Err(MuxRefusal::Closing));
    assert!(!pair.client.mux.can_open());
    pair.transfer(stream, true, 0, 100_000);
    pair.transfer(stream, false, 0, 100_000);
    assert_eq!((pair.server.over, pair.client.over), (None, None));
    pair.client.mux.finish(stream).unwrap();
    pair.server.mux.finish(stream).unwrap();
    pair.settle();
    assert_eq!((pair.server.over, pair.client.over), (Some(Ok(())), Some(Ok(()))));
    assert_eq!((pair.server.received[&stream], pair.client.received[&stream]), (100_000, 100_000));
    assert!(pair.client.cuts.is_empty());
}

#[test]
fn a_stream_that_crosses_the_first_goaway_is_served() {
    let mut pair = Pair::default();
    pair.server.mux.graceful_shutdown();
    pair.server.mux.drive();
    let stream = pair.open();
    pair.transfer(stream, true, 0, 1000);
    assert_eq!(pair.client.goaways.len(), 2);
    assert_eq!(pair.server.received[&stream], 1000);
}

#[test]
fn a_client_drains_after_its_streams() {
    let mut pair = Pair::default();
    let stream = pair.open();
    pair.client.mux.graceful_shutdown();
    assert_eq!(pair.client.mux.connect(&target()), Err(MuxRefusal::Closing));
    pair.transfer(stream, true, 0, 1000);
    assert_eq!(pair.client.over, None);
    pair.client.mux.finish(stream).unwrap();
    pair.server.mux.finish(stream).unwrap();
    pair.settle();
    assert_eq!(pair.client.over, Some(Ok(())));
    pair.server.mux.receive_end(true);
    pair.settle();
    assert_eq!(pair.server.over, Some(Ok(())));
}

#[test]
fn an_abrupt_end_is_told_to_every_stream_once() {
    for by_client in [true, false] {
        let mut pair = Pair::default();
        let streams = [pair.open(), pair.open(), pair.open()];
        pair.transfer(streams[0], true, 0, 100);
        let side = if by_client { &mut pair.client } else { &mut pair.server };
        side.mux.abrupt_shutdown(2);
        pair.settle();
        let (own, other) =
            if by_client { (&pair.client, &pair.server) } else { (&pair.server, &pair.client) };
        assert_eq!(own.over, Some(Err(MuxFault::Local { code: 2 })));
        assert_eq!(other.goaways.last().map(|(_, code)| *code), Some(2));
        assert!(streams.iter().all(|s| own.cuts[s].cause == ResetCause::Tunnel));
        let side = if by_client { &mut pair.server } else { &mut pair.client };
        side.mux.receive_end(true);
        pair.settle();
        let other = if by_client { &pair.server } else { &pair.client };
        assert!(matches!(other.over, Some(Err(_))), "{:?}", other.over);
        assert_eq!(other.cuts.len(), 3);
    }
}

#[test]
fn a_stream_whose_peer_has_ended_it_is_lost_with_the_connection_and_was_not_reset() {
    let mut pair = Pair::default();
    let stream = pair.open();
    pair.client.mux.finish(stream).unwrap();
    pair.settle();
    pair.server.mux.abrupt_shutdown(2);
    pair.settle();
    assert_eq!(pair.server.cuts[&stream], Cut { cause: ResetCause::Tunnel, after_end: true });
}

#[test]
fn truncation_is_no_end() {
    for clean in [true, false] {
        let mut pair = Pair::default();
        let (open, ended) = (pair.open(), pair.open());
        pair.server.mux.finish(ended).unwrap();
        pair.transfer(open, true, 0, 1000);
        pair.server.mux.send(open, payload(open, false, 0, 3000)).unwrap();
        pair.server.mux.drive();
        let wire = pair.server.take_output(usize::MAX);
        pair.client.mux.receive(&wire);
        for side in [&mut pair.client, &mut pair.server] {
            side.mux.receive_end(clean);
        }
        pair.settle();
        let fault = if clean { MuxFault::Eof } else { MuxFault::Truncated };
        assert_eq!((pair.client.over, pair.server.over), (Some(Err(fault)), Some(Err(fault))));
        assert_eq!(pair.client.received[&open], 3000, "what came before the end is told");
        assert_eq!(pair.client.cuts[&open], Cut { cause: ResetCause::Tunnel, after_end: false });
        assert_eq!(pair.client.cuts[&ended], Cut { cause: ResetCause::Tunnel, after_end: true });
        assert_eq!((pair.client.cuts.len(), pair.server.cuts.len()), (2, 2));
    }
}

#[test]
fn a_quiet_connection_that_closes_in_order_is_drained() {
    for client in [true, false] {
        let mut pair = Pair::default();
        let side = if client { &mut pair.client } else { &mut pair.server };
        side.mux.receive_end(true);
        pair.settle();
        let side = if client { &pair.client } else { &pair.server };
        assert_eq!(side.over, Some(Ok(())));
        assert!(side.mux.is_closed());
    }
}

#[test]
fn nothing_happens_after_the_end() {
    let mut pair = Pair::default();
    let stream = pair.open();
    pair.client.mux.receive_end(false);
    pair.settle();
    let mux = &mut pair.client.mux;
    assert_eq!(mux.receive(b"junk"), 4);
    assert_eq!(mux.connect(&target()), Err(MuxRefusal::Closing));
    assert_eq!(mux.send(stream, payload(stream, true, 0, 1)), Err(MuxRefusal::Stream));
    assert_eq!(mux.ping(), Err(MuxRefusal::Closing));
    mux.release(stream, 1);
    mux.reset(stream, 1);
    mux.graceful_shutdown();
    mux.abrupt_shutdown(1);
    mux.drive();
    assert_eq!(mux.poll_event(), None);
}

#[test]
fn a_server_that_drains_before_the_preface_drains_after_it() {
    let mut pair = Pair::unsettled(&MuxConfig::default(), &MuxConfig::default());
    pair.server.mux.graceful_shutdown();
    pair.settle();
    assert_eq!(pair.server.over, Some(Ok(())));
    assert_eq!(pair.client.goaways.first(), Some(&(u32::MAX >> 1, NO_ERROR)));
}
