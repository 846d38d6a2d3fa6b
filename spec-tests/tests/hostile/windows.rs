//! Windows and sizes: of what a peer may say about them, and of what it may do with them (RFC 9113 sections 4.2, 5.2, 6.5, 6.9).

use crate::frame::{
    DATA, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PING, connect, frame, settings, window_update,
};
use crate::peer::Sent;
use crate::scene::Scene;

/// As for floods: one tunnel in use, in KiB.
const TUNNEL: u64 = 4 << 10;

#[test]
fn a_window_beyond_its_limit_ends_what_it_is_of() {
    let scene = Scene::new();
    scene.within("window overflow", TUNNEL, |scene| {
        let mut peer = scene.peer();
        peer.send(&window_update(0, (1 << 31) - 1));
        peer.drain();
        assert_eq!(peer.goaway, Some(FLOW_CONTROL_ERROR));
        // SETTINGS that lift the window of an open stream beyond it.
        let mut peer = scene.peer();
        assert_eq!(peer.ask(1, &connect(1, &scene.target(7001))), 200);
        peer.send(&[window_update(1, 1 << 20), settings(&[(4, (1 << 31) - 1)])].concat());
        peer.drain();
        assert_eq!(peer.goaway, Some(FLOW_CONTROL_ERROR));
    });
    scene.seen.endings(1);
}

#[test]
fn windows_that_come_and_go_keep_their_sums() {
    let scene = Scene::new();
    scene.within("windows that come and go", TUNNEL + 512, |scene| {
        let mut peer = scene.peer();
        assert_eq!(peer.ask(1, &connect(1, &scene.target(7003))), 200);
        // The stream has used its window of 65,535: zero makes it negative, one byte more leaves it so.
        for _ in 0..5000 {
            let sent =
                peer.send(&[settings(&[(4, 0)]), settings(&[(4, 1)]), settings(&[(4, 65_535)])].concat());
            assert_eq!(sent, Sent::All, "{:?}", peer.goaway);
        }
        assert!(peer.settle());
        let (_, received) = peer.bytes;
        assert!(
            received < 65_535 + (5000 * 3 * 9) + 4096,
            "{received} bytes came through a window of 65,535"
        );
    });
}

#[test]
fn stalled_streams_take_no_more_memory_than_their_windows() {
    // An application that does not read leaves what the node took with the node: each stream may have a window of it, and
    // what goes beyond `memory-low` makes windows small.
    let scene = Scene::with_limits(&["memory-low=8MiB", "memory-max=16MiB"]);
    let ids: Vec<u32> = (0..20).map(|n| 2 * n + 1).collect();
    let bound = TUNNEL + (16 << 10) + 20 * 2 * 256;
    scene.within("stalled streams", bound, |scene| {
        let mut peer = scene.peer();
        let target = scene.target(7002);
        peer.send(&ids.iter().flat_map(|id| connect(*id, &target)).collect::<Vec<u8>>());
        assert!(peer.wait(|peer| peer.statuses.len() == ids.len()));
        // Every byte that the windows allow, until they allow none.
        let mut most = 0;
        while most == 0 || peer.settle() {
            let mut sent = 0;
            for id in &ids {
                sent += peer.spend(*id, 64 << 10);
            }
            most += sent;
            if sent == 0 {
                break;
            }
        }
        println!("stalled streams: {most} bytes in {} streams, GOAWAY {:?}", ids.len(), peer.goaway);
        assert!(most > 16 << 20, "the attack was none");
    });
}

#[test]
fn frames_longer_than_announced_end_the_tunnel_unread() {
    let scene = Scene::new();
    for len in [(16 << 10) + 1, (1 << 24) - 1] {
        scene.within(&format!("frame of {len} bytes"), TUNNEL, |scene| {
            let mut peer = scene.peer();
            assert_eq!(peer.ask(1, &connect(1, &scene.target(7001))), 200);
            peer.send(&frame(DATA, 0, 1, &vec![0; len]));
            peer.wait(|peer| peer.goaway.is_some());
            assert_eq!(peer.goaway, Some(FRAME_SIZE_ERROR));
        });
    }
    assert!(scene.seen.endings(2).iter().all(|(_, len)| *len == 0), "an application got some of it");
}

#[test]
fn settings_of_any_number_and_size_are_survived() {
    let scene = Scene::new();
    let unknown: Vec<(u16, u32)> = (0..2730).map(|n| (0x1000 + n, u32::MAX)).collect();
    scene.within("unknown settings", TUNNEL, |scene| {
        let mut peer = scene.peer();
        for _ in 0..500 {
            assert_eq!(peer.send(&settings(&unknown)), Sent::All);
        }
        assert!(peer.settle(), "{:?}", peer.goaway);
    });
    scene.within("table sizes", TUNNEL, |scene| {
        let mut peer = scene.peer();
        let thrash: Vec<(u16, u32)> = (0..1000).map(|n| (1, if n % 2 == 0 { 0 } else { u32::MAX })).collect();
        for n in 0..50 {
            assert_eq!(peer.send(&settings(&thrash)), Sent::All);
            assert_eq!(peer.ask(2 * n + 1, &connect(2 * n + 1, &scene.target(7001))), 200);
        }
        // Frames of the largest size are permitted to the node; it need not use that.
        peer.send(&settings(&[(5, (1 << 24) - 1), (6, u32::MAX), (3, u32::MAX)]));
        assert!(peer.settle(), "{:?}", peer.goaway);
    });
    for (id, value) in [(2, 2), (4, 1 << 31), (5, 100), (5, 1 << 24)] {
        let mut peer = scene.peer();
        peer.send(&settings(&[(id, value)]));
        peer.drain();
        assert!(peer.goaway.is_some(), "setting {id} of {value}");
    }
    let mut peer = scene.peer();
    peer.send(&frame(PING, 0, 0, &[0; 7]));
    peer.drain();
    assert!(peer.goaway.is_some(), "a PING of seven bytes");
    scene.assert_seen(50);
}
