//! Scripts for an engine: each path a connection can take, and what can happen on it.

/// Flags: outputs are taken late, the driver lies, no local path, everything twice, sources are kept, no joins, no pods.
const PLAIN: u8 = 0;
const LATE: u8 = 1;
const LIES: u8 = 2;
const TUNNELS: u8 = 4;
const TWICE: u8 = 8;
const SOURCES: u8 = 16;
const UNJOINED: u8 = 32;
const NO_PODS: u8 = 64;

/// Facts: what each bit changes is in `world`.
const ALL: u8 = 0;
const NO_B: u8 = 1;
const ANOTHER: u8 = 4;
const RESTARTED: u8 = 8;
const NAMED: u8 = 16;
const NAMED_THERE: u8 = 32;
const DENIES: u8 = 64;
const ODD: u8 = 128;

/// The newest socket is 0, the one before it 1.
const CONNECTED: [u8; 2] = [4, 0];
const FAILED: [u8; 3] = [5, 0, 0];
const HELLO: [u8; 9] = [6, 0, 5, 0, b'h', b'e', b'l', b'l', b'o'];
const HELLO_BEFORE: [u8; 9] = [6, 1, 5, 0, b'h', b'e', b'l', b'l', b'o'];
const MUCH_BEFORE: [u8; 9] = [6, 1, 5, 255, b'h', b'e', b'l', b'l', b'o'];
const END: [u8; 2] = [7, 0];
const END_BEFORE: [u8; 2] = [7, 1];
const WRITE: [u8; 4] = [8, 0, 255, 255];
const WRITE_BEFORE: [u8; 4] = [8, 1, 255, 255];
const CARRY: [u8; 2] = [9, 0];
const CARRY_BEFORE: [u8; 2] = [9, 1];
const MOVED: [u8; 3] = [11, 0, 200];
const PARTED: [u8; 3] = [11, 0, 255];
const REMOVED: [u8; 3] = [12, 0, 1];
const ROTATED: [u8; 3] = [12, 0, 6];
const REFUSED: [u8; 3] = [12, 0, 14];
const DRAIN: [u8; 3] = [15, 255, 4];

const fn outbound(target: u8) -> [u8; 3] {
    [0, 6, target]
}

const fn time(span: u8) -> [u8; 3] {
    [14, span, 0]
}

const fn apply(facts: u8) -> [u8; 2] {
    [13, facts]
}

/// The far end of the socket before the newest, or of the newest, does something.
const fn far(socket: u8, what: u8, which: u8) -> [u8; 4] {
    [10, socket, what, which]
}

/// A connection through a tunnel, from an application of ours, answered.
fn through() -> Vec<u8> {
    let answered = [&far(0, 2, 0)[..], &[0]].concat();
    [&outbound(1)[..], &CONNECTED, &CARRY, &CARRY, &CARRY, &answered, &CARRY, &HELLO_BEFORE, &CARRY].concat()
}

/// A connection that comes in a tunnel, and reaches its application.
fn arriving() -> Vec<u8> {
    [&[3, 0, 0][..], &CARRY, &CARRY, &CARRY, &far(0, 0, 0), &CARRY, &CONNECTED, &CARRY_BEFORE].concat()
}

/// A connection to the other pod of the node, joined.
fn joined() -> Vec<u8> {
    [&outbound(0)[..], &CONNECTED, &HELLO, &WRITE_BEFORE, &MOVED].concat()
}

/// The far end sends some bytes.
fn sends(socket: u8) -> Vec<u8> {
    [&far(socket, 3, 0)[..], &[4, 0]].concat()
}

/// Scripts by name.
pub fn scripts() -> Vec<(&'static str, Vec<u8>)> {
    let script = |flags: u8, facts: u8, steps: &[&[u8]]| [&[flags, facts], &steps.concat()[..]].concat();
    let (through, arriving, joined) = (through(), arriving(), joined());
    let ends: [&[u8]; 6] = [&END_BEFORE, &CARRY, &far(0, 4, 0), &CARRY, &WRITE_BEFORE, &time(6)];
    let came: [&[u8]; 6] = [&sends(1), &CARRY_BEFORE, &WRITE, &HELLO, &CARRY_BEFORE, &END];
    vec![
        ("tunnel", script(TWICE, ALL, &[&[&through[..]], &ends[..]].concat())),
        ("tunnel-sends", script(PLAIN, ALL, &[&through, &sends(0), &CARRY, &WRITE_BEFORE, &DRAIN, &CARRY])),
        ("tunnel-much", script(LATE, ALL, &[&through, &MUCH_BEFORE, &MUCH_BEFORE, &MUCH_BEFORE, &CARRY])),
        ("tunnel-reset", script(PLAIN, ALL, &[&through, &far(0, 5, 0), &[10], &CARRY, &time(4)])),
        ("tunnel-goaway", script(PLAIN, ALL, &[&through, &far(0, 7, 0), &CARRY, &outbound(1), &CONNECTED])),
        ("tunnel-lost", script(PLAIN, ALL, &[&through, &FAILED, &outbound(1), &time(5)])),
        ("tunnel-cut", script(PLAIN, ALL, &[&through, &END, &WRITE_BEFORE, &time(4)])),
        ("tunnel-silent", script(PLAIN, ALL, &[&outbound(1), &CONNECTED, &time(4), &time(4)])),
        ("tunnel-refused", script(PLAIN, ALL, &[&outbound(1), &outbound(1), &outbound(1), &FAILED, &FAILED])),
        ("tunnel-other", script(PLAIN, ANOTHER, &[&through, &apply(ALL), &through])),
        ("tunnel-gone", script(PLAIN, ALL, &[&through, &apply(2), &CARRY, &apply(RESTARTED)])),
        ("tunnel-rotated", script(PLAIN, ALL, &[&through, &ROTATED, &outbound(1), &time(5), &[14, 6, 100]])),
        ("tunnel-pings", script(PLAIN, ALL, &[&through, &time(5), &CARRY, &time(5), &time(7)])),
        ("tunnel-to-b", script(TUNNELS, ALL, &[&outbound(0), &CONNECTED, &CARRY, &CARRY, &CARRY])),
        ("arrives", script(TWICE | SOURCES, ALL, &[&[&arriving[..]], &came[..]].concat())),
        ("arrives-refused", script(PLAIN, ALL, &[&arriving[..arriving.len() - 4], &FAILED, &CARRY_BEFORE])),
        ("arrives-denied", script(PLAIN, DENIES, &[&arriving, &CARRY, &apply(ALL), &far(0, 0, 3), &CARRY])),
        (
            "arrives-cut-off",
            script(PLAIN, ALL, &[&arriving, &sends(1), &CARRY_BEFORE, &apply(DENIES), &WRITE]),
        ),
        ("arrives-odd", script(LATE, ALL, &[&arriving, &apply(ODD), &CARRY_BEFORE, &HELLO])),
        ("arrives-elsewhere", script(PLAIN, ALL, &[&arriving, &far(1, 0, 4), &far(1, 0, 6), &CARRY_BEFORE])),
        ("arrives-reset", script(PLAIN, ALL, &[&arriving, &HELLO, &FAILED, &CARRY_BEFORE, &far(1, 5, 0)])),
        (
            "arrives-drained",
            script(PLAIN, ALL, &[&arriving, &DRAIN, &sends(1), &CARRY_BEFORE, &HELLO, &time(4)]),
        ),
        ("arrives-raw", script(PLAIN, ALL, &[&[3, 48, 0], &HELLO, &HELLO, &WRITE, &time(4)])),
        ("arrives-stranger", script(PLAIN, ALL, &[&[3, 33, 0], &CARRY, &CARRY, &CARRY, &WRITE, &END])),
        ("arrives-many", script(PLAIN, ALL, &[&[3, 0, 0].repeat(6), &CARRY, &CARRY_BEFORE, &time(4)])),
        (
            "held",
            script(PLAIN, NAMED, &[&[3, 1, 0], &CARRY, &CARRY, &far(0, 0, 1), &CARRY, &time(2), &time(3)]),
        ),
        (
            "held-then-named",
            script(PLAIN, NAMED, &[&outbound(0), &HELLO, &apply(NAMED | NAMED_THERE), &CONNECTED]),
        ),
        ("joined", script(TWICE, ALL, &[&joined, &END, &MOVED, &END_BEFORE, &time(6)])),
        ("joined-parted", script(PLAIN, ALL, &[&joined, &PARTED, &HELLO, &WRITE_BEFORE, &END, &END_BEFORE])),
        ("joined-paused", script(PLAIN, ALL, &[&joined, &apply(NAMED), &time(2), &apply(ALL), &MOVED])),
        ("joined-cut-off", script(PLAIN, ALL, &[&joined, &apply(DENIES | ODD), &MOVED, &time(3)])),
        ("joined-removed", script(PLAIN, ALL, &[&joined, &REMOVED, &MOVED, &[12, 0, 0], &outbound(0)])),
        ("relayed", script(UNJOINED, ALL, &[&outbound(0), &CONNECTED, &HELLO, &HELLO_BEFORE, &WRITE, &END])),
        ("plain", script(PLAIN, ALL, &[&outbound(2), &HELLO, &CONNECTED, &WRITE, &END_BEFORE, &FAILED])),
        ("away", script(UNJOINED, ALL, &[&outbound(4), &CONNECTED, &MUCH_BEFORE, &WRITE, &END, &END_BEFORE])),
        (
            "service",
            script(PLAIN, NO_B, &[&outbound(3), &CONNECTED, &CARRY, &CARRY, &outbound(3), &CARRY_BEFORE]),
        ),
        (
            "plaintext-in",
            script(SOURCES, ALL, &[&[2, 0, 8], &CONNECTED, &HELLO, &WRITE_BEFORE, &END, &END_BEFORE]),
        ),
        (
            "own-ports",
            script(PLAIN, ALL, &[&outbound(5), &outbound(6), &outbound(7), &[2, 0, 5], &[0, 14, 0]]),
        ),
        (
            "nobody",
            script(NO_PODS, ALL, &[&outbound(1), &[2, 2, 0], &[12, 0, 0], &REFUSED, &time(4), &[12, 0, 2]]),
        ),
        ("too-many", script(PLAIN, ALL, &[&outbound(4).repeat(14), &time(5)])),
        (
            "lies",
            script(
                LIES,
                ALL,
                &[&joined, &[15, 0, 1, 1, 0, 1], &[15, 1, 2, 9, 9, 0], &[15, 0, 3, 0, 0, 1], &END],
            ),
        ),
        (
            "lies-in-tunnel",
            script(LIES, ALL, &[&through, &[15, 0, 0, 99, 9, 1], &CARRY, &[15, 1, 4, 0, 0, 0], &CARRY]),
        ),
    ]
}
