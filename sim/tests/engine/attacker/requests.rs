//! Requests and frames that are wrong: refused, and nothing is dialled.

use culvert_sim::frame::{Frame, flag, kind, setting};
use culvert_sim::world::Seen;

use super::{TUNNEL, WINDOW, connect, siege};
use crate::mesh::SECOND;

const METHOD: (&str, &str) = (":method", "CONNECT");
const RIGHT: (&str, &str) = (":authority", "10.0.2.2:8080");

#[test]
fn a_request_that_is_no_connect_to_one_target_is_refused_and_dials_nothing() {
    let cases: [&[(&str, &str)]; 22] = [
        &[METHOD],
        &[METHOD, (":authority", "")],
        &[METHOD, (":authority", "10.0.2.2")],
        &[METHOD, (":authority", "10.0.2.2:")],
        &[METHOD, (":authority", "10.0.2.2:0")],
        &[METHOD, (":authority", "10.0.2.2:65536")],
        &[METHOD, (":authority", "10.0.2.2:8080:8080")],
        &[METHOD, (":authority", "user@10.0.2.2:8080")],
        &[METHOD, (":authority", "10.0.2.2:8080,10.0.2.3:8080")],
        &[METHOD, (":authority", "10.0.2.2:8080 10.0.2.3:8080")],
        &[METHOD, (":authority", "10.0.2.2:8080/path")],
        &[METHOD, (":authority", "0xa.0.2.2:8080")],
        &[METHOD, (":authority", "167772674:8080")],
        &[METHOD, (":authority", "[fe80::1%eth0]:8080")],
        &[METHOD, RIGHT, ("host", "10.0.2.3:8080")],
        &[METHOD, RIGHT, RIGHT],
        &[METHOD, RIGHT, (":path", "/")],
        &[METHOD, RIGHT, (":scheme", "https")],
        &[METHOD, RIGHT, (":scheme", "https"), (":path", "/"), (":protocol", "websocket")],
        &[METHOD, RIGHT, ("x-a", "1"), (":authority", "10.0.2.3:8080")],
        &[METHOD, RIGHT, ("transfer-encoding", "chunked")],
        &[(":method", "GET"), (":scheme", "https"), RIGHT, (":path", "/")],
    ];
    for fields in cases {
        let mut siege = siege(1);
        let attacker = siege.tenant();
        let words = siege.world.signature(attacker, 1000);
        siege.world.say_frames(attacker, &[Frame::headers(1, fields), Frame::data(1, true, &words)]);
        siege.world.run(SECOND);
        assert!(siege.world.served().is_empty(), "{fields:?}");
        let refused = matches!(siege.statuses(attacker)[..], [400..=499])
            || !siege.resets(attacker).is_empty()
            || siege.goaway(attacker).is_some();
        assert!(refused, "{fields:?}: {:?}", siege.world.heard(attacker));
        siege.peace(&[attacker]);
    }
}

#[test]
fn a_frame_that_breaks_the_protocol_ends_its_stream_or_its_tunnel_and_nothing_else() {
    let oversized = [&[0, 0x40, 1, kind::DATA, 0, 0, 0, 0, 1][..], &[0; 0x4001]].concat();
    let cases: [(&str, Vec<u8>); 21] = [
        ("SETTINGS of 5 bytes", Frame::new(kind::SETTINGS, 0, 0, &[0; 5]).bytes()),
        ("SETTINGS on a stream", Frame::new(kind::SETTINGS, 0, 1, &[]).bytes()),
        ("an acknowledgement with a payload", Frame::new(kind::SETTINGS, flag::ACK, 0, &[0; 6]).bytes()),
        ("an acknowledgement of nothing", Frame::settings_ack().bytes()),
        ("a window of 2^31", Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 31)]).bytes()),
        ("frames of 100 bytes", Frame::settings(&[(setting::MAX_FRAME_SIZE, 100)]).bytes()),
        ("PING of 7 bytes", Frame::new(kind::PING, 0, 0, &[0; 7]).bytes()),
        ("PING on a stream", Frame::new(kind::PING, 0, 1, &[0; 8]).bytes()),
        ("RST_STREAM of 3 bytes", Frame::new(kind::RST_STREAM, 0, 1, &[0; 3]).bytes()),
        ("RST_STREAM on no stream", Frame::reset(0, 8).bytes()),
        ("RST_STREAM on an idle stream", Frame::reset(99, 8).bytes()),
        ("WINDOW_UPDATE of 3 bytes", Frame::new(kind::WINDOW_UPDATE, 0, 0, &[0; 3]).bytes()),
        ("no credit at all", Frame::window_update(0, 0).bytes()),
        ("too much credit", Frame::window_update(0, (1 << 31) - 1).bytes()),
        ("too much credit for a stream", Frame::window_update(1, (1 << 31) - 1).bytes()),
        ("DATA on no stream", Frame::data(0, false, b"lost").bytes()),
        ("DATA on an idle stream", Frame::data(99, false, b"lost").bytes()),
        ("a stream of the server's", connect(2).bytes()),
        ("CONTINUATION of nothing", Frame::new(kind::CONTINUATION, flag::END_HEADERS, 1, &[]).bytes()),
        ("a push", Frame::new(5, flag::END_HEADERS, 1, &[0, 0, 0, 2]).bytes()),
        ("a frame that is too long", oversized),
    ];
    for (what, bytes) in cases {
        let mut siege = siege(2);
        let attacker = siege.tenant();
        siege.world.say_frames(attacker, &[connect(1)]);
        siege.world.run(SECOND);
        siege.world.say(attacker, &bytes);
        siege.world.run(SECOND);
        let told = siege.goaway(attacker).is_some_and(|code| code != 0) || !siege.resets(attacker).is_empty();
        assert!(told, "{what}: {:?}", siege.world.heard(attacker));
        assert_eq!(siege.world.connections(siege.far), 0, "{what}");
        siege.others_go_on(WINDOW + TUNNEL);
        siege.peace(&[attacker]);
    }
}

#[test]
fn after_its_end_nothing_of_a_stream_arrives() {
    for (what, late) in [
        ("DATA", Frame::data(1, false, b"more and more")),
        ("HEADERS", connect(1)),
        ("an end", Frame::data(1, true, &[])),
    ] {
        let mut siege = siege(3);
        let attacker = siege.tenant();
        siege.world.pardon(attacker);
        let words = siege.world.signature(attacker, 1000);
        siege.world.say_frames(attacker, &[connect(1), Frame::data(1, true, &words), late]);
        siege.world.run(SECOND);
        // A stream that breaks the rules is cut, even before its application is dialled.
        for server in siege.world.served() {
            assert!(siege.world.received(server) <= 1000, "{what}");
            assert_ne!(siege.world.seen(server), Seen::Open, "{what}");
        }
        assert!(siege.world.served().len() <= 1, "{what}: dialled once");
        siege.peace(&[attacker]);
    }
}

#[test]
fn streams_after_our_goaway_and_after_theirs_lead_nowhere() {
    let mut siege = siege(4);
    let attacker = siege.tenant();
    siege.world.say_frames(attacker, &[connect(1)]);
    siege.world.run(SECOND);
    let b = siege.b;
    siege.world.rotate(b);
    siege.world.run(SECOND);
    assert_eq!(siege.goaway(attacker), Some(0));
    // PING asks whether it has heard of it; an attacker does not answer, and goes on opening streams.
    let pong = siege.world.heard(attacker).iter().filter(|frame| frame.kind == kind::PING);
    let pong: Vec<Frame> = pong.map(|ping| Frame::new(kind::PING, flag::ACK, 0, &ping.payload)).collect();
    siege.world.say_frames(attacker, &pong);
    siege.world.run(SECOND);
    let more: Vec<Frame> = (0..50).map(|n| connect(3 + 2 * n)).collect();
    siege.world.say_frames(attacker, &more);
    siege.world.run(SECOND);
    assert_eq!((siege.world.connections(siege.far), siege.world.served().len()), (1, 1));
    siege.world.withdraw(attacker);

    let attacker = siege.tenant();
    siege.world.say_frames(attacker, &vec![Frame::goaway(0, 0); 1000]);
    siege.world.say_frames(attacker, &[Frame::goaway(0, 11), Frame::goaway((1 << 31) - 1, 0)]);
    siege.others_go_on(WINDOW + TUNNEL);
    siege.peace(&[attacker]);
}
