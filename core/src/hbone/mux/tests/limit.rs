//! Windows, limits and what they bound.

use super::pair::{Pair, payload, target};
use crate::hbone::connect::ConnectResponse;
use crate::hbone::mux::{MuxConfig, MuxRefusal, NO_ERROR};

const MIB: usize = 1 << 20;

fn small_windows(stream: u32, connection: u32) -> MuxConfig {
    MuxConfig { stream_window: stream, connection_window: connection, ..MuxConfig::default() }
}

#[test]
fn ninety_nine_stalled_streams_do_not_stop_the_last() {
    // A quarter of a stream's window for each of them is more than the connection's window.
    let server = small_windows(256 << 10, 1 << 20);
    let mut pair = Pair::new(&MuxConfig::default(), &server);
    let streams: Vec<_> = (0..100).map(|_| pair.open()).collect();
    let (last, stalled) = streams.split_last().unwrap();
    for stream in stalled {
        pair.server.stalled.insert(*stream);
        pair.transfer(*stream, true, 0, 400 << 10);
        assert_eq!(pair.server.received[stream], 256 << 10, "a window's worth");
    }
    assert_eq!(pair.server.mux.held_bytes(), 99 * (256 << 10));
    pair.transfer(*last, true, 0, 8 * MIB);
    assert_eq!(pair.server.received[last], 8 * MIB);
    for stream in stalled {
        pair.server.unstall(*stream);
    }
    pair.settle();
    for stream in &streams {
        pair.client.mux.finish(*stream).unwrap();
        pair.server.mux.finish(*stream).unwrap();
    }
    pair.settle();
    assert!(stalled.iter().all(|stream| pair.server.received[stream] == 400 << 10));
    pair.assert_quiet();
}

#[test]
fn tiny_windows_only_slow_things_down() {
    for window in [1, 2, 100] {
        let tiny = small_windows(window, 65_535);
        let mut pair = Pair::new(&tiny, &tiny);
        pair.chop(3);
        let stream = pair.open();
        pair.transfer(stream, true, 0, 500);
        pair.transfer(stream, false, 0, 500);
        assert_eq!((pair.server.received[&stream], pair.client.received[&stream]), (500, 500));
    }
}

/// However small its queue, a stream that was full is called writable when it is not full any more, and not before.
#[test]
fn a_short_queue_becomes_writable_again() {
    for high in [1, 2, 1000, 64 << 10] {
        let short = MuxConfig { stream_queue_high: high, ..MuxConfig::default() };
        let mut pair = Pair::new(&short, &small_windows(100, 65_535));
        let stream = pair.open();
        pair.server.stalled.insert(stream);
        let mut sent = 0;
        while pair.client.mux.send(stream, payload(stream, true, sent, 400)).is_ok() {
            sent += 400;
        }
        pair.settle();
        assert!(pair.client.mux.queued(stream) >= high.min(sent - 100));
        assert!(!pair.client.writable.contains(&stream), "{high}: of a queue that is full");
        pair.server.unstall(stream);
        pair.settle();
        assert!(pair.client.writable.contains(&stream), "{high}: of one that is empty");
        assert_eq!(pair.client.mux.queued(stream), 0);
    }
}

#[test]
fn a_stalled_reader_holds_its_window_and_no_more() {
    let mut pair = Pair::default();
    let stream = pair.open();
    pair.client.stalled.insert(stream);
    pair.transfer(stream, false, 0, 4 * MIB + 5000);
    assert_eq!(pair.client.mux.held_bytes(), 4 * MIB);
    assert_eq!(pair.server.mux.queued(stream), 5000);
    pair.client.mux.release(stream, 3 * MIB);
    pair.settle();
    assert_eq!(pair.client.received[&stream], 4 * MIB + 5000);
    pair.client.mux.release(stream, usize::MAX);
    assert_eq!(pair.client.mux.held_bytes(), 0);
}

#[test]
fn the_stream_window_follows_memory() {
    let mut pair = Pair::default();
    let stream = pair.open();
    pair.server.mux.set_stream_window(10_000);
    pair.server.mux.set_stream_window(100_000);
    pair.settle();
    let later = pair.open();
    for stream in [stream, later] {
        pair.server.stalled.insert(stream);
        pair.transfer(stream, true, 0, 150_000);
        assert_eq!(pair.server.received[&stream], 100_000);
    }
    pair.server.mux.set_stream_window(1 << 20);
    pair.settle();
    assert_eq!((pair.server.received[&stream], pair.server.received[&later]), (150_000, 150_000));
}

#[test]
fn a_window_lowered_below_what_is_held_stalls_until_released() {
    let mut pair = Pair::default();
    let stream = pair.open();
    pair.server.stalled.insert(stream);
    pair.transfer(stream, true, 0, 200_000);
    pair.server.mux.set_stream_window(50_000);
    pair.settle();
    pair.transfer(stream, true, 200_000, 50_000);
    assert_eq!(pair.server.received[&stream], 200_000);
    pair.server.unstall(stream);
    pair.settle();
    assert_eq!(pair.server.received[&stream], 250_000);
}

/// The sender is left with a negative window, the receiver with nothing more to release.
#[test]
fn a_window_lowered_after_all_is_released_does_not_stall() {
    let mut pair = Pair::new(&MuxConfig::default(), &small_windows(200_000, 1 << 20));
    let stream = pair.open();
    pair.transfer(stream, true, 0, 60_000);
    pair.server.mux.set_stream_window(50_000);
    pair.settle();
    pair.transfer(stream, true, 60_000, 100_000);
    assert_eq!(pair.server.received[&stream], 160_000);
}

#[test]
fn the_peers_limit_is_kept_and_told() {
    let server = MuxConfig { max_concurrent_streams: 3, ..MuxConfig::default() };
    let mut pair = Pair::new(&MuxConfig::default(), &server);
    assert_eq!(pair.client.limits, [3]);
    let streams: Vec<_> = (0..3).map(|_| pair.open()).collect();
    assert!(!pair.client.mux.can_open());
    assert_eq!(pair.client.mux.connect(&target()), Err(MuxRefusal::Full));
    pair.client.mux.reset(streams[0], 10);
    assert_eq!(pair.client.mux.connect(&target()), Err(MuxRefusal::Full), "RST_STREAM goes first");
    pair.settle();
    pair.open();
    pair.client.mux.finish(streams[1]).unwrap();
    pair.settle();
    assert_eq!(pair.client.mux.connect(&target()), Err(MuxRefusal::Full), "half closed is open");
    pair.server.mux.finish(streams[1]).unwrap();
    pair.settle();
    pair.open();
    assert!(pair.client.cuts.is_empty());
}

#[test]
fn before_settings_a_client_opens_its_own_guess() {
    let config = MuxConfig { initial_peer_streams: 2, ..MuxConfig::default() };
    let mut client = crate::hbone::mux::Mux::client(&config);
    assert!(client.connect(&target()).is_ok());
    client.drive();
    assert!(client.connect(&target()).is_ok());
    assert_eq!(client.connect(&target()), Err(MuxRefusal::Full));
}

#[test]
fn streams_over_the_servers_limit_are_refused_and_may_be_retried() {
    let client = MuxConfig { initial_peer_streams: 10, ..MuxConfig::default() };
    let server = MuxConfig { max_concurrent_streams: 2, ..MuxConfig::default() };
    let mut pair = Pair::unsettled(&client, &server);
    let streams: Vec<_> = (0..5).map(|_| pair.client.mux.connect(&target()).unwrap()).collect();
    pair.settle();
    assert_eq!(pair.server.requests, streams[..2]);
    let refused: Vec<_> = pair.client.cuts.iter().map(|(stream, cut)| (*stream, cut.cause)).collect();
    assert_eq!(
        refused,
        streams[2..].iter().map(|s| (*s, crate::hbone::mux::ResetCause::Refused)).collect::<Vec<_>>()
    );
    assert_eq!(pair.client.mux.open_streams(), 2);
}

#[test]
fn finished_streams_that_hold_bytes_are_limited() {
    let server = MuxConfig { max_concurrent_streams: 4, ..MuxConfig::default() };
    let mut pair = Pair::new(&MuxConfig::default(), &server);
    let mut refused = 0;
    for _ in 0..12 {
        let stream = pair.client.mux.connect(&target()).unwrap();
        pair.server.stalled.insert(stream);
        pair.transfer(stream, true, 0, 1000);
        pair.client.mux.finish(stream).ok();
        if pair.server.mux.respond(stream, &ConnectResponse::new(200), false).is_err() {
            refused += 1;
        } else {
            pair.server.mux.finish(stream).unwrap();
        }
        pair.settle();
    }
    assert_eq!((refused, pair.server.mux.held_bytes(), pair.server.mux.open_streams()), (4, 8000, 0));
    let held: Vec<_> = pair.server.stalled.iter().copied().collect();
    for stream in held {
        pair.server.unstall(stream);
    }
    pair.assert_quiet();
    pair.open();
}

#[test]
fn many_cancels_ask_for_a_new_tunnel() {
    let config = MuxConfig { retire_after_cancels: 3, ..MuxConfig::default() };
    let mut pair = Pair::new(&config, &MuxConfig::default());
    for _ in 0..3 {
        assert!(!pair.client.mux.should_retire());
        let stream = pair.open();
        pair.client.mux.reset(stream, NO_ERROR);
        pair.settle();
    }
    assert!(pair.client.mux.should_retire());
}
