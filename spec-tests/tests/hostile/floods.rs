//! Frames without end, each of them allowed.

use std::sync::atomic::Ordering;

use crate::frame::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, block, connect, connect_block,
    frame, settings, window_update,
};
use crate::peer::{Peer, Sent};
use crate::scene::Scene;

/// Frames of one attack.
const FRAMES: usize = 100_000;

/// What the queues of one tunnel in use may hold, with room for the allocator: its input, its output on both sides of
/// TLS, and its events.
const TUNNEL: u64 = 4 << 10;

/// Sends `piece` until `frames` frames are sent or the node does not take them.
fn flood(peer: &mut Peer, piece: &[u8], frames: usize) -> (usize, Sent) {
    let batch = ((16 << 10) / piece.len()).clamp(1, frames);
    let bytes = piece.repeat(batch);
    let mut sent = 0;
    while sent < frames {
        let outcome = peer.send(&bytes);
        if outcome != Sent::All {
            return (sent, outcome);
        }
        sent += batch;
    }
    (sent, Sent::All)
}

/// Floods, then reads, and waits until the node has decoded everything or has ended the connection.
fn flood_to_the_end(name: &str, peer: &mut Peer, piece: &[u8], frames: usize) -> Sent {
    let (sent, outcome) = flood(peer, piece, frames);
    peer.listens = true;
    let goes_on = if outcome == Sent::Stalled { peer.flush() == Sent::All } else { peer.settle() };
    println!("{name}: {sent} frames, {outcome:?}, goes on: {goes_on}, GOAWAY {:?}", peer.goaway);
    outcome
}

#[test]
fn continuations_without_end_are_ended_after_a_few() {
    let scene = Scene::new();
    for (name, len) in [("empty", 0), ("of one byte", 1), ("full", 16 << 10)] {
        scene.within(&format!("continuations {name}"), TUNNEL, |scene| {
            let mut peer = scene.peer();
            peer.send(&frame(HEADERS, 0, 1, &connect_block(&scene.target(7001))));
            // An indexed field of the static table, again and again.
            let piece = frame(CONTINUATION, 0, 1, &vec![0x82; len]);
            let (sent, _) = flood(&mut peer, &piece, FRAMES);
            // Had the node taken them all, it would wait for more, and this would fail.
            peer.drain();
            println!("continuations {name}: {sent} frames, GOAWAY {:?}, {:?}", peer.goaway, peer.ended);
            assert!(peer.goaway.is_some(), "{:?}", peer.ended);
        });
    }
    scene.assert_seen(0);
}

#[test]
fn references_that_expand_cost_no_more_than_the_announced_size() {
    let scene = Scene::new();
    let target = scene.target(7001);
    scene.within("header bomb", TUNNEL, |scene| {
        let mut peer = scene.peer();
        // A stream window of zero would pin whatever is kept for a stream.
        peer.send(&settings(&[(4, 0)]));
        for n in 0..200 {
            // An entry of nearly the whole table, and a byte for each time it comes again.
            let mut bomb = connect_block(&target);
            bomb.push(0x40);
            bomb.extend(&block(&[(b"a", &[b'a'; 3900])])[1..]);
            bomb.extend([0xbe; 12_000]);
            if peer.send(&frame(HEADERS, END_HEADERS, 2 * n + 1, &bomb)) != Sent::All {
                break;
            }
        }
        let alive = peer.settle();
        println!(
            "header bomb: alive {alive}, statuses {:?}, GOAWAY {:?}",
            peer.statuses.values().next(),
            peer.goaway
        );
        assert!(peer.statuses.values().all(|status| *status != 200));
    });
    scene.assert_seen(0);
}

#[test]
fn empty_and_tiny_data_cost_no_more_than_a_window() {
    let scene = Scene::new();
    // 100,000 bytes that the application does not read are within the stream's window; each may be held once, not as
    // a frame.
    for (name, data, port) in
        [("empty", &b""[..], 7002), ("empty to a reader", b"", 7001), ("tiny", b"x", 7002)]
    {
        scene.within(&format!("data {name}"), TUNNEL, |scene| {
            let mut peer = scene.peer();
            assert_eq!(peer.ask(1, &connect(1, &scene.target(port))), 200);
            flood_to_the_end(&format!("data {name}"), &mut peer, &frame(DATA, 0, 1, data), FRAMES);
        });
    }
}

#[test]
fn frames_that_want_an_answer_cost_no_more_than_they_bring() {
    let scene = Scene::new();
    let kinds: [(&str, Vec<u8>); 6] = [
        ("ping", frame(PING, 0, 0, b"answerme")),
        ("ping acknowledged", frame(PING, ACK, 0, b"answerme")),
        ("settings", settings(&[(1, 4096), (3, 100)])),
        ("empty settings", settings(&[])),
        ("priority", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 16])),
        ("unknown frames", frame(0xbe, 0xff, 0, b"what is this")),
    ];
    for (name, piece) in &kinds {
        scene.within(name, TUNNEL, |scene| {
            let mut peer = scene.peer();
            let (before_in, before_out) = peer.bytes;
            flood_to_the_end(name, &mut peer, piece, FRAMES);
            let (sent, received) = (peer.bytes.0 - before_in, peer.bytes.1 - before_out);
            assert!(received <= sent + (1 << 10), "{name}: {received} bytes for {sent}");
        });
    }
}

#[test]
fn answers_that_nobody_reads_stop_the_node_from_reading() {
    let scene = Scene::new();
    for (name, piece) in [("ping", frame(PING, 0, 0, b"answerme")), ("empty settings", settings(&[]))] {
        scene.within(&format!("{name}, not read"), TUNNEL, |scene| {
            let mut peer = scene.peer();
            peer.listens = false;
            // Far more than the sockets between the two hold.
            let outcome = flood_to_the_end(name, &mut peer, &piece, 40 * FRAMES);
            assert_eq!(outcome, Sent::Stalled, "everything was taken");
        });
    }
}

#[test]
fn window_updates_and_requests_without_names_are_bounded() {
    let scene = Scene::new();
    scene.within("window updates", TUNNEL, |scene| {
        let mut peer = scene.peer();
        assert_eq!(peer.ask(1, &connect(1, &scene.target(7001))), 200);
        let pair = [window_update(0, 1), window_update(1, 1)].concat();
        flood_to_the_end("window updates", &mut peer, &pair, FRAMES);
    });
    scene.within("headers without names", TUNNEL, |scene| {
        let mut peer = scene.peer();
        let fields: Vec<(&[u8], &[u8])> = vec![(b"", b""); 4000];
        for n in 0..200 {
            let request = [connect_block(&scene.target(7001)), block(&fields)].concat();
            if peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &request)) != Sent::All {
                break;
            }
        }
        assert!(!peer.settle(), "the tunnel goes on");
        println!("headers without names: GOAWAY {:?}", peer.goaway);
        assert!(peer.statuses.values().all(|status| *status != 200));
    });
}

#[test]
fn what_a_peer_permits_but_does_not_read_is_not_piled_up() {
    let scene = Scene::new();
    // Streams that may each send for ever, on a socket that nobody reads: what each holds is `relay_queue` towards the
    // tunnel and what the mux takes of it.
    let streams = 20;
    scene.within("windows without reading", TUNNEL + streams * (2 * 256), |scene| {
        let mut peer = scene.peer();
        let most = (1 << 31) - 1 - 65_535;
        peer.send(&[settings(&[(4, (1 << 31) - 1)]), window_update(0, most)].concat());
        peer.listens = false;
        let ids = (0..u32::try_from(streams).unwrap()).map(|n| 2 * n + 1);
        peer.send(&ids.flat_map(|id| connect(id, &scene.target(7003))).collect::<Vec<u8>>());
        let all = usize::try_from(streams).unwrap();
        while scene.seen.all.load(Ordering::SeqCst) < all {
            std::thread::yield_now();
        }
        // The applications stop once everything on the way is full, long after this many turns of the good connection.
        flood(&mut peer, &frame(PING, 0, 0, b"answerme"), FRAMES);
    });
}
