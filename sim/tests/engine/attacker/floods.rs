//! Much of what is right once: streams, resets, header blocks, acknowledgements, bytes that nobody reads.

use culvert_sim::frame::{Frame, flag, kind, setting};
use culvert_sim::world::{AttackerId, Seen};

use super::{Siege, TUNNEL, WINDOW, connect, connect_to_deaf, siege};
use crate::mesh::SECOND;

/// Streams that a peer may have at once.
const STREAMS: usize = 200;

/// Says a flood while another client is served.
fn flood(siege: &mut Siege, attacker: AttackerId, frames: impl IntoIterator<Item = Frame>) {
    let frames: Vec<Frame> = frames.into_iter().collect();
    siege.world.say_frames(attacker, &frames);
    siege.others_go_on(WINDOW + TUNNEL);
}

#[test]
fn streams_that_are_opened_and_reset_dial_little_and_end_in_goaway() {
    let mut siege = siege(1);
    let attacker = siege.tenant();
    let each = |n: u32| [connect(1 + 2 * n), Frame::reset(1 + 2 * n, 8)];
    flood(&mut siege, attacker, (0..10_000).flat_map(each));
    assert_eq!(siege.goaway(attacker), Some(11), "ENHANCE_YOUR_CALM");
    // One of them is the other client's.
    assert!(siege.world.served().len() <= STREAMS + 1, "{}", siege.world.served().len());
    siege.peace(&[attacker]);
}

#[test]
fn streams_that_make_us_reset_them_never_hold_more_than_may_be_open_at_once() {
    let spoil: [fn(u32) -> Vec<Frame>; 5] = [
        |stream| vec![Frame::window_update(stream, 0)],
        |stream| vec![Frame::window_update(stream, (1 << 31) - 1)],
        |stream| vec![Frame::data(stream, true, &[]), Frame::data(stream, false, b"late")],
        |stream| vec![Frame::data(stream, true, &[]), connect(stream)],
        |stream| vec![Frame::new(kind::PRIORITY, 0, stream, &[0; 4])],
    ];
    for (number, spoil) in spoil.into_iter().enumerate() {
        let mut siege = siege(2);
        let attacker = siege.tenant();
        let mut most = 0;
        for round in 0..20_u32 {
            let streams = (0..100).map(|n| 1 + 2 * (100 * round + n));
            let said: Vec<Frame> =
                streams.flat_map(|stream| std::iter::once(connect(stream)).chain(spoil(stream))).collect();
            siege.world.say_frames(attacker, &said);
            for _ in 0..20 {
                siege.world.run(SECOND / 1000);
                most = most.max(siege.world.connections(siege.far));
            }
        }
        assert!(most <= STREAMS, "{number}: {most} at once");
        siege.others_go_on(WINDOW + TUNNEL);
        siege.peace(&[attacker]);
    }
}

#[test]
fn more_streams_than_permitted_are_refused_and_dial_nothing() {
    let mut siege = siege(3);
    let attacker = siege.tenant();
    flood(&mut siege, attacker, (0..400).map(|n| connect(1 + 2 * n)));
    assert!(siege.world.served().len() <= STREAMS + 1, "{}", siege.world.served().len());
    assert!(siege.resets(attacker).iter().all(|code| *code == 7), "REFUSED_STREAM");
    assert_eq!(siege.statuses(attacker).len() + siege.resets(attacker).len(), 400);
    siege.peace(&[attacker]);
}

#[test]
fn a_header_block_without_end_ends_the_tunnel() {
    for piece in [0, 1, 1000] {
        let mut siege = siege(4);
        let attacker = siege.tenant();
        let first = Frame::new(kind::HEADERS, 0, 1, &connect(1).payload);
        let more = Frame::new(kind::CONTINUATION, 0, 1, &vec![0x82; piece]);
        flood(&mut siege, attacker, std::iter::once(first).chain(std::iter::repeat_n(more, 5000)));
        assert!(siege.goaway(attacker).is_some_and(|code| code != 0), "{piece}");
        assert_eq!(siege.world.served().len(), 1, "{piece}: the other client's");
        siege.peace(&[attacker]);
    }
}

#[test]
fn acknowledgements_that_nobody_reads_are_not_queued_without_end() {
    for said in [
        Frame::ping(*b"floooood"),
        Frame::settings(&[]),
        Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 0), (setting::MAX_FRAME_SIZE, 16_384)]),
    ] {
        let mut siege = siege(5);
        let attacker = siege.tenant();
        siege.world.deafen(attacker);
        flood(&mut siege, attacker, std::iter::repeat_n(said.clone(), 100_000));
        assert!(siege.world.unsaid(attacker) > 0, "{said:?}: it is not read while it does not read");
        // The unanswered PING ends it.
        siege.world.run(40 * SECOND);
        assert_eq!(siege.world.connections(siege.far), 0);
        siege.peace(&[attacker]);
    }
}

#[test]
fn what_means_nothing_costs_nothing() {
    for said in [
        Frame::ping(*b"floooood"),
        Frame::new(kind::PING, flag::ACK, 0, b"floooood"),
        Frame::settings(&[]),
        Frame::settings(&[(setting::MAX_CONCURRENT_STREAMS, 0)]),
        Frame::window_update(0, 1),
        Frame::new(kind::PRIORITY, 0, 3, &[0, 0, 0, 0, 1]),
        Frame::new(200, 255, 77, b"unknown"),
        Frame::goaway(0, 0),
    ] {
        let mut siege = siege(6);
        let attacker = siege.tenant();
        flood(&mut siege, attacker, std::iter::repeat_n(said.clone(), 20_000));
        assert_eq!(siege.world.served().len(), 1, "{said:?}: the other client's");
        siege.peace(&[attacker]);
    }
}

#[test]
fn bytes_that_no_application_reads_stay_within_their_windows() {
    for (size, end) in [(16_000, false), (1, false), (0, false), (16_000, true)] {
        let mut siege = siege(7);
        let attacker = siege.tenant();
        siege.world.pardon(attacker);
        siege.world.say_frames(attacker, &[connect_to_deaf(1)]);
        siege.world.run(SECOND);
        let words = siege.world.signature(attacker, 4 << 20);
        let mut data: Vec<Frame> = match size {
            0 => vec![Frame::data(1, false, &[]); 100_000],
            size => words.chunks(size).take(300_000).map(|part| Frame::data(1, false, part)).collect(),
        };
        if end {
            data.truncate(8);
            data.extend(std::iter::repeat_n(Frame::data(1, true, &[]), 1000));
        }
        flood(&mut siege, attacker, data);
        if size > 0 && !end {
            assert_eq!(siege.world.connections(siege.far), 0, "{size}: more than the window is an error");
            let overrun = siege.goaway(attacker) == Some(3) || siege.resets(attacker).contains(&3);
            assert!(overrun, "{size}: FLOW_CONTROL_ERROR: {:?}", siege.goaway(attacker));
        }
        siege.peace(&[attacker]);
    }
}

#[test]
fn a_window_that_an_attacker_closes_holds_back_its_own_bytes_only() {
    let mut siege = siege(8);
    let attacker = siege.tenant();
    siege.world.pardon(attacker);
    let words = siege.world.signature(attacker, 100_000);
    let mut said = vec![Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]), connect(1)];
    said.extend(words.chunks(16_000).map(|part| Frame::data(1, false, part)));
    siege.world.say_frames(attacker, &said);
    siege.world.run(SECOND);
    let data = |siege: &Siege| -> usize {
        let frames = siege.world.heard(attacker).iter().filter(|frame| frame.kind == kind::DATA);
        frames.map(|frame| frame.payload.len()).sum()
    };
    assert_eq!(data(&siege), 0);
    for (credit, total) in [(1, 1), (10, 11), (1000, 1011)] {
        siege.world.say_frames(attacker, &[Frame::window_update(1, credit)]);
        siege.world.run(SECOND);
        assert_eq!(data(&siege), total);
    }
    // Below zero: what follows makes up for it first.
    siege.world.say_frames(attacker, &[Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 5000)])]);
    siege.world.run(SECOND);
    assert_eq!(data(&siege), 6011);
    siege.world.say_frames(
        attacker,
        &[Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]), Frame::window_update(1, 5000)],
    );
    siege.world.run(SECOND);
    assert_eq!(data(&siege), 6011);
    siege.world.say_frames(attacker, &[Frame::window_update(1, 9)]);
    siege.world.run(SECOND);
    assert_eq!(data(&siege), 6020);
    assert_eq!(siege.world.standing(attacker), Seen::Open);
    siege.others_go_on(WINDOW + TUNNEL);
    siege.peace(&[attacker]);
}
