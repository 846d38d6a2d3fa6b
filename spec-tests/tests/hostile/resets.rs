//! Streams that are begun and abandoned: by the peer, or by us for what the peer did (CVE-2023-44487, CVE-2025-8671).

use std::sync::atomic::Ordering;

use culvert_core::hbone::mux::MuxConfig;
use culvert_core::limit::Limits;

use crate::frame::{
    DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PRIORITY, connect, connect_block, frame,
    reset, window_update,
};
use crate::peer::Sent;
use crate::scene::Scene;

/// Streams of one attack.
const STREAMS: u32 = 100_000;

/// The connections that an application may see at once from one tunnel: its streams, and as many again whose end it has
/// not noticed.
fn live_bound() -> usize {
    2 * usize::try_from(Limits::default().peer_streams_per_tunnel).unwrap()
}

fn id(n: u32) -> u32 {
    2 * n + 1
}

#[test]
fn a_flood_of_streams_opened_and_reset_is_ended_calmly() {
    let scene = Scene::new();
    let target = scene.target(7001);
    let bound = usize::try_from(MuxConfig::default().premature_resets).unwrap() + live_bound();
    scene.within("open and reset", 8 << 10, |scene| {
        let mut peer = scene.peer();
        let mut opened = 0;
        for n in 0..STREAMS {
            opened = n + 1;
            if peer.send(&[connect(id(n), &target), reset(id(n))].concat()) == Sent::Ended {
                break;
            }
        }
        assert!(opened < STREAMS, "the tunnel was not ended");
        peer.drain();
        assert_eq!(peer.goaway, Some(ENHANCE_YOUR_CALM), "{:?}", peer.ended);
    });
    let all = scene.seen.all.load(Ordering::SeqCst);
    assert!(all <= bound, "{all} connections to the application, of {bound}");
    assert!(scene.seen.most.load(Ordering::SeqCst) <= live_bound());
}

#[test]
fn streams_reset_after_their_answer_leave_no_connection_behind() {
    let scene = Scene::new();
    let target = scene.target(7001);
    scene.within("answered and reset", 8 << 10, |scene| {
        let mut peer = scene.peer();
        for batch in 0..40 {
            let ids: Vec<u32> = (batch * 50..batch * 50 + 50).map(id).collect();
            peer.send(&ids.iter().flat_map(|id| connect(*id, &target)).collect::<Vec<u8>>());
            assert!(peer.wait(|peer| ids.iter().all(|id| peer.statuses.get(id) == Some(&200))));
            peer.send(&ids.iter().flat_map(|id| reset(*id)).collect::<Vec<u8>>());
        }
        assert!(peer.settle(), "who resets what was answered may go on: {:?}", peer.goaway);
        assert_eq!(scene.seen.endings(2000).len(), 2000);
    });
    assert!(scene.seen.most.load(Ordering::SeqCst) <= live_bound());
}

/// Opens streams and breaks each with `breaks` until the node has had enough; returns how many there were.
fn provoke(name: &str, breaks: impl Fn(u32, &str) -> Vec<u8>) -> u32 {
    let scene = Scene::new();
    let target = scene.target(7001);
    let opened = scene.within(name, 12 << 10, |scene| {
        let mut peer = scene.peer();
        let mut opened = 0;
        for batch in 0..200 {
            let streams = batch * 50..batch * 50 + 50;
            let bytes: Vec<u8> = streams.flat_map(|n| breaks(id(n), &target)).collect();
            opened += 50;
            if peer.send(&bytes) != Sent::All || !peer.settle() {
                break;
            }
        }
        println!("{name}: {opened} streams, {} resets, GOAWAY {:?}", peer.resets.len(), peer.goaway);
        opened
    });
    let most = scene.seen.most.load(Ordering::SeqCst);
    assert!(most <= live_bound(), "{name}: {most} connections to the application at once");
    opened
}

#[test]
fn resets_that_a_peer_provokes_leave_no_work_behind() {
    provoke("window update of zero", |id, target| [connect(id, target), window_update(id, 0)].concat());
    provoke("window update beyond the limit", |id, target| {
        [connect(id, target), window_update(id, (1 << 31) - 1)].concat()
    });
    provoke("data after the end", |id, target| {
        let data = frame(DATA, 0, id, b"late");
        [frame(HEADERS, END_HEADERS | END_STREAM, id, &connect_block(target)), data].concat()
    });
    provoke("headers after the end", |id, target| {
        let request = frame(HEADERS, END_HEADERS | END_STREAM, id, &connect_block(target));
        [request.clone(), request].concat()
    });
    provoke("priority of a wrong length", |id, target| {
        [connect(id, target), frame(PRIORITY, 0, id, &[0; 4])].concat()
    });
    provoke("dependency on itself", |id, target| {
        let priority = [&id.to_be_bytes()[..], &[16]].concat();
        [connect(id, target), frame(PRIORITY, 0, id, &priority)].concat()
    });
}

#[test]
fn answered_streams_that_a_peer_has_us_reset_are_bounded() {
    let scene = Scene::new();
    let target = scene.target(7001);
    let mut reset_by_us = 0;
    // Each leaves some 600 bytes for as long as its tunnel lives, so their number has a bound too.
    scene.within("answered, then broken", 16 << 10, |scene| {
        let mut peer = scene.peer();
        for batch in 0..240 {
            let ids: Vec<u32> = (batch * 50..batch * 50 + 50).map(id).collect();
            peer.send(&ids.iter().flat_map(|id| connect(*id, &target)).collect::<Vec<u8>>());
            if !peer.wait(|peer| peer.goaway.is_some() || ids.iter().all(|id| peer.statuses.contains_key(id)))
            {
                break;
            }
            peer.send(&ids.iter().flat_map(|id| window_update(*id, (1 << 31) - 1)).collect::<Vec<u8>>());
            if !peer.settle() {
                break;
            }
        }
        reset_by_us = peer.resets.len();
        println!("answered, then broken: {reset_by_us} resets, GOAWAY {:?}, {:?}", peer.goaway, peer.ended);
        assert!(reset_by_us > 100, "the attack was none");
    });
    assert!(scene.seen.most.load(Ordering::SeqCst) <= live_bound());
    scene.seen.endings(reset_by_us);
}

#[test]
fn tunnels_that_are_broken_one_after_another_leave_nothing() {
    let scene = Scene::new();
    let target = scene.target(7001);
    let base = scene.descriptors();
    scene.within("broken tunnels", 8 << 10, |scene| {
        for _ in 0..200 {
            let mut peer = scene.peer();
            let streams: Vec<u8> =
                (0..100).flat_map(|n| [connect(id(n), &target), reset(id(n))].concat()).collect();
            peer.send(&streams);
            peer.send(&frame(DATA, 0, 0, b"on no stream"));
            peer.drain();
            assert!(peer.goaway.is_some(), "{:?}", peer.ended);
        }
    });
    scene.settle_descriptors(base + 8);
}
