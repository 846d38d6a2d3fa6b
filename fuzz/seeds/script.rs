//! Scripts for the targets that drive a state machine. What the bytes mean is in the targets.

use culvert_core::seed::Seed;

/// Flags of a mux: who we are, and what has gone before.
const SERVER: u8 = 0;
const CLIENT: u8 = 1;
const GREETED: u8 = 2;
const SMALL: u8 = 4;
const RAW: u8 = 8;
const STALLED: u8 = 16;
const TWICE: u8 = 32;

/// Steps of a mux, each with the byte that names a stream.
const FRAME: [u8; 2] = [3, 0];
const CONNECT: [u8; 2] = [6, 0];
const FLOOD: [u8; 2] = [8, 0];
const END: [u8; 2] = [9, 0];
const OPEN: [u8; 2] = [10, 0];
const ANSWER: [u8; 5] = [11, 0, 0, 0, 0];
const SEND: [u8; 2] = [12, 0];
const FINISH: [u8; 2] = [13, 0];
const RESET: [u8; 3] = [14, 0, 8];
const RELEASE: [u8; 4] = [15, 0, 255, 255];
const PING: [u8; 2] = [16, 0];
const WINDOW: [u8; 6] = [17, 0, 0, 0, 4, 0];
const STALL: [u8; 2] = [18, 0];
const DRAIN: [u8; 2] = [19, 0];
const ABORT: [u8; 2] = [159, 0];

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING_FRAME: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// A frame as the scripts write it: type, flags, stream, length, payload.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    [&FRAME[..], &[kind, flags, stream, payload.len() as u8], payload].concat()
}

/// One frame, many times.
fn flood(count: u8, kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    [&FLOOD[..], &[count, kind, flags, stream, payload.len() as u8], payload].concat()
}

fn connect(stream: u8) -> Vec<u8> {
    [&CONNECT[..], &[stream]].concat()
}

fn send(count: u16) -> Vec<u8> {
    [&SEND[..], &count.to_be_bytes()].concat()
}

/// A CONNECT with all that we read, some of it broken.
fn headers() -> Vec<u8> {
    let mut block = b"\x02\x07CONNECT\x01\x0b10.0.0.1:80".to_vec();
    for (name, value) in [
        ("baggage", "service.name=a"),
        ("forwarded", "for=\"10.0.0.1:1\""),
        ("traceparent", "00-"),
        ("x-forwarded-network", "west"),
    ] {
        block.extend([0, name.len() as u8]);
        block.extend(name.as_bytes());
        block.push(value.len() as u8);
        block.extend(value.as_bytes());
    }
    block
}

fn script(flags: u8, steps: &[&[u8]]) -> Vec<u8> {
    [&[flags], &steps.concat()[..]].concat()
}

/// The life of a stream, each end of it, and each flood of the catalogue in small.
pub fn mux() -> Vec<(&'static str, Vec<u8>)> {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x0c\x06\0\0\0\0\0";
    let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    let echo =
        [&connect(1)[..], &ANSWER, &frame(DATA, 1, 1, b"hello"), &RELEASE, &send(300), &FINISH].concat();
    let response = [&OPEN[..], &connect(1), &frame(DATA, 0, 1, b"hello"), &send(300), &FINISH].concat();
    let small = SERVER | GREETED | SMALL;
    vec![
        ("raw-server", [&[SERVER | RAW], &preface[..]].concat()),
        ("raw-client", [&[CLIENT | RAW], &preface[24..]].concat()),
        ("greeted", script(SERVER | GREETED, &[])),
        ("echo", script(SERVER | GREETED | TWICE, &[&echo, &frame(SETTINGS, 1, 0, &[]), &END])),
        ("echo-small", script(small | TWICE, &[&echo, &echo, &DRAIN, &END])),
        (
            "client-echo",
            script(CLIENT | GREETED | TWICE, &[&response, &frame(DATA, 1, 1, b"x"), &DRAIN, &END]),
        ),
        ("client-refused", script(CLIENT | GREETED, &[&OPEN, &frame(RST_STREAM, 0, 1, &[0, 0, 0, 7])])),
        (
            "client-goaway",
            script(CLIENT | GREETED, &[&OPEN, &OPEN, &frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])]),
        ),
        ("client-stray", script(CLIENT | GREETED, &[&connect(2), &connect(1), &frame(DATA, 0, 7, b"x")])),
        ("all-headers", script(SERVER | GREETED, &[&frame(HEADERS, 4, 1, &headers()), &ANSWER])),
        (
            "continued",
            script(
                small,
                &[&frame(HEADERS, 0, 1, &headers()[..20]), &frame(CONTINUATION, 4, 1, &headers()[20..])],
            ),
        ),
        (
            "continuation-flood",
            script(small, &[&frame(HEADERS, 0, 1, &[]), &flood(255, CONTINUATION, 0, 1, b"")]),
        ),
        (
            "rapid-reset",
            script(small, &[&connect(1), &reset, &connect(3), &frame(RST_STREAM, 0, 3, &[0, 0, 0, 8])]),
        ),
        ("made-you-reset", script(small, &[&connect(1), &frame(WINDOW_UPDATE, 0, 1, &[0; 4]), &connect(3)])),
        (
            "too-many",
            script(small, &[&connect(1), &connect(3), &connect(5), &connect(7), &connect(9), &connect(11)]),
        ),
        ("tiny-data", script(small, &[&connect(1), &ANSWER, &flood(255, DATA, 0, 1, b"x"), &RELEASE])),
        ("empty-data", script(small, &[&connect(1), &ANSWER, &flood(255, DATA, 0, 1, b"")])),
        (
            "padded-data",
            script(small, &[&connect(1), &ANSWER, &flood(99, DATA, 8, 1, &[9, 0, 0, 0, 0, 0, 0, 0, 0, 0])]),
        ),
        ("ping-flood", script(small | STALLED, &[&flood(255, PING_FRAME, 0, 0, &[0; 8]), &STALL])),
        ("settings-flood", script(small | STALLED, &[&flood(255, SETTINGS, 0, 0, &[]), &STALL])),
        ("priority-flood", script(small, &[&flood(255, PRIORITY, 0, 1, &[0, 0, 0, 3, 1])])),
        ("window-flood", script(small, &[&connect(1), &flood(255, WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])])),
        (
            "window-overflow",
            script(small, &[&connect(1), &frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])]),
        ),
        ("table-size", script(small, &[&frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]), &connect(1), &ANSWER])),
        ("odd-settings", script(small, &[&frame(SETTINGS, 0, 0, &[0, 4, 255, 255, 255, 255])])),
        (
            "indexed-bomb",
            script(
                small,
                &[&frame(HEADERS, 4, 1, &[&b"\x40\x01a\x40"[..], &[b'x'; 64], &[0xbe; 120]].concat())],
            ),
        ),
        (
            "negative-window",
            script(
                small,
                &[&connect(1), &ANSWER, &send(2000), &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]), &send(99)],
            ),
        ),
        (
            "lower-window",
            script(small, &[&connect(1), &ANSWER, &WINDOW, &frame(SETTINGS, 1, 0, &[]), &RELEASE]),
        ),
        (
            "stalled-reader",
            script(small | STALLED, &[&connect(1), &ANSWER, &send(9000), &send(9000), &STALL, &RESET]),
        ),
        ("pings", script(small, &[&PING, &PING, &frame(PING_FRAME, 1, 0, &[0; 8])])),
        ("cut", script(small, &[&connect(1), &[0, 0, 5, 0, 0, 9, 0], &END])),
        ("abort", script(small, &[&connect(1), &ABORT, &connect(3)])),
    ]
}

/// The names for both roles, flags, steps.
type Case<'a> = ([&'static str; 2], u8, Vec<&'a [u8]>);

/// A handshake of either role, undisturbed and disturbed, with a peer and with a stranger.
pub fn tls() -> Vec<(&'static str, Vec<u8>)> {
    const ALL: [u8; 4] = [3; 4];
    const BYTEWISE: [u8; 8] = [2, 255, 2, 255, 2, 255, 2, 255];
    const SAYS: [u8; 4] = [8, 0, 200, 0];
    const CLOSES: [u8; 4] = [8, 0, 9, 128];
    const WE_SAY: [u8; 4] = [9, 1, 0, 0];
    const WE_CLOSE: [u8; 4] = [9, 0, 1, 128];
    const FLIP: [u8; 4] = [6, 0, 80, 1];
    const DROP: [u8; 2] = [7, 3];
    let alert = [5, 1, 2, 2, 40];
    let close = [5, 1, 2, 1, 0];
    let ccs = [5, 0, 1, 1];
    let hello = [5, 2, 8, 1, 0, 0, 4, 3, 3, 0, 0];
    let cases: [Case<'_>; 14] = [
        (["serve", "connect"], 0, vec![&ALL, &SAYS, &ALL, &CLOSES, &ALL]),
        (["serve-stranger", "connect-stranger"], 2, vec![&ALL, &SAYS, &ALL]),
        (["serve-bytewise", "connect-bytewise"], 4, vec![&BYTEWISE, &BYTEWISE, &BYTEWISE, &SAYS, &BYTEWISE]),
        (["serve-flipped", "connect-flipped"], 0, vec![&FLIP, &ALL]),
        (["serve-dropped", "connect-dropped"], 0, vec![&ALL[..1], &DROP, &ALL]),
        (["serve-flipped-data", "connect-flipped-data"], 8, vec![&SAYS, &FLIP, &ALL]),
        (["serve-repeated", "connect-repeated"], 12, vec![&SAYS, &SAYS, &CLOSES, &ALL, &SAYS]),
        (["serve-alert", "connect-alert"], 0, vec![&alert, &ALL]),
        (["serve-late-alert", "connect-late-alert"], 8, vec![&alert, &ALL]),
        (["serve-early-close", "connect-early-close"], 0, vec![&close, &ALL]),
        (["serve-ccs", "connect-ccs"], 0, vec![&ALL[..1], &ccs, &ALL]),
        (["serve-hello", "connect-hello"], 0, vec![&hello, &ALL]),
        (["serve-talk", "connect-talk"], 8, vec![&WE_SAY, &ALL, &SAYS, &WE_CLOSE, &ALL, &CLOSES, &ALL]),
        (["serve-early-talk", "connect-early-talk"], 0, vec![&WE_SAY, &ALL, &WE_CLOSE, &ALL]),
    ];
    let both = |(names, flags, steps): Case<'_>| {
        [0, 1].map(|role| (names[usize::from(role)], script(role | flags, &steps)))
    };
    cases.into_iter().flat_map(both).collect()
}

/// Bytes without a plan, for targets that make facts of them.
pub fn noise(target: &str, nth: u8) -> Vec<u8> {
    let mut draws = Seed::new([nth; 32]).child(target).draws();
    (0..60 + 8 * usize::from(nth)).flat_map(|_| draws.next_u64().to_le_bytes()).collect()
}
