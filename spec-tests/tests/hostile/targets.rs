//! What a peer asks to be connected to, and what it claims besides.

use std::net::{SocketAddr, TcpListener};

use serde_json::Value;

use crate::frame::{END_HEADERS, HEADERS, block, connect, frame};
use crate::scene::Scene;

/// Listeners where nothing may ever arrive.
struct Forbidden(Vec<TcpListener>);

impl Forbidden {
    fn new(scene: &Scene) -> Forbidden {
        let mut places: Vec<SocketAddr> = [15001, 15006, 15080].map(|port| scene.server.port(port)).to_vec();
        places.extend([7001, 80].map(|port| scene.client.port(port)));
        places.push(scene.mallory.port(7001));
        for place in ["127.0.0.1:0", "[::1]:0"] {
            places.push(place.parse().unwrap());
        }
        let listeners = places.iter().filter_map(|place| TcpListener::bind(place).ok());
        let listen = |listener: TcpListener| {
            listener.set_nonblocking(true).unwrap();
            listener
        };
        Forbidden(listeners.map(listen).collect())
    }

    fn authorities(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|listener| listener.local_addr().unwrap().to_string())
    }

    fn assert_untouched(&self) {
        for listener in &self.0 {
            assert!(listener.accept().is_err(), "{:?} was dialled", listener.local_addr());
        }
    }
}

/// Spellings of targets that this node must not dial; `S` is the server's address.
const AUTHORITIES: [&str; 60] = [
    "S:15001",
    "S:15006",
    "S:15008",
    "S:15080",
    "S:0",
    "S",
    "S:",
    "S:65536",
    "S:070001",
    "S:+7001",
    "S:-1",
    "S:7001:7001",
    "S:7001/",
    "S:7001/x",
    "S:7001?x",
    "S:7001#x",
    "user@S:7001",
    "user:pass@S:7001",
    "S:7001,S:7001",
    "S:7001 ",
    " S:7001",
    "S :7001",
    "S%00:7001",
    "S\t:7001",
    "http://S:7001",
    "[S]:7001",
    "S.:7001",
    "0S:7001",
    "S:0x1b59",
    "S:7001\u{e9}",
    "\u{ff11}27.0.0.1:7001",
    "127.0.0.1:22",
    "127.1:7001",
    "127.0.1:7001",
    "2130706433:7001",
    "0x7f000001:7001",
    "017700000001:7001",
    "0177.0.0.1:7001",
    "127.0.0.01:7001",
    "0x7f.0.0.1:7001",
    "0.0.0.0:7001",
    "0:7001",
    "255.255.255.255:7001",
    "169.254.169.254:80",
    "224.0.0.1:7001",
    "[::]:7001",
    "[::1]:7001",
    "[::ffff:127.0.0.1]:7001",
    "[::ffff:169.254.169.254]:80",
    "[::127.0.0.1]:7001",
    "[fe80::1%25lo]:7001",
    "[fe80::1%lo]:7001",
    "[fe80::1]:7001",
    "[fd00:ec2::254]:80",
    "::1:7001",
    "[::1]7001",
    "localhost:7001",
    "metadata.google.internal:80",
    "server:7001",
    "",
];

#[test]
fn no_spelling_of_a_forbidden_target_is_dialled() {
    let scene = Scene::new();
    let forbidden = Forbidden::new(&scene);
    let ip = scene.server.ip.to_string();
    let authorities =
        AUTHORITIES.map(|text| text.replace('S', &ip)).into_iter().chain(forbidden.authorities());
    scene.within("forbidden targets", 4 << 10, |scene| {
        let mut peer = scene.peer();
        let mut stream = 1;
        for authority in authorities {
            let answer = peer.ask(stream, &connect(stream, &authority));
            assert!(answer < 0 || (400..600).contains(&answer), "{authority:?} was answered {answer}");
            stream += 2;
        }
        scene.assert_seen(0);
        // The same tunnel still serves what is permitted.
        assert_eq!(peer.ask(stream, &connect(stream, &scene.target(7001))), 200);
    });
    forbidden.assert_untouched();
    scene.assert_seen(1);
}

#[test]
fn a_request_that_is_none_is_refused_and_dials_nothing() {
    let scene = Scene::new();
    let target = scene.target(7001);
    let authority: (&[u8], &[u8]) = (b":authority", target.as_bytes());
    let method: (&[u8], &[u8]) = (b":method", b"CONNECT");
    let requests: Vec<Vec<(&[u8], &[u8])>> = vec![
        vec![method],
        vec![authority],
        vec![],
        vec![method, authority, authority],
        vec![method, method, authority],
        vec![method, authority, (b":path", b"/")],
        vec![method, authority, (b":scheme", b"https")],
        vec![method, authority, (b":scheme", b"https"), (b":path", b"/")],
        vec![method, authority, (b":protocol", b"connect-tcp"), (b":scheme", b"https"), (b":path", b"/")],
        vec![method, (b"host", target.as_bytes())],
        vec![method, authority, (b"host", b"127.0.0.1:22")],
        vec![method, (b"x", b"y"), authority],
        vec![method, authority, (b"connection", b"close")],
        vec![method, authority, (b"transfer-encoding", b"chunked")],
        vec![method, authority, (b"upgrade", b"h2c")],
        vec![method, authority, (b":status", b"200")],
        vec![method, authority, (b":nonsense", b"1")],
        vec![method, authority, (b"X-Upper", b"1")],
        vec![method, authority, (b"x", b"a\r\nhost: evil")],
        vec![method, authority, (b"x", b"a\0b")],
        vec![(b":method", b"connect"), authority],
        vec![(b":method", b"GET"), authority, (b":scheme", b"http"), (b":path", b"/")],
        vec![(b":method", b"OPTIONS"), (b":scheme", b"http"), (b":path", b"*")],
        vec![(b":method", b"PRI"), authority, (b":scheme", b"http"), (b":path", b"*")],
    ];
    scene.within("requests that are none", 8 << 10, |scene| {
        for request in &requests {
            let mut peer = scene.peer();
            peer.send(&frame(HEADERS, END_HEADERS, 1, &block(request)));
            let answered = peer.wait(|peer| {
                peer.goaway.is_some() || peer.statuses.contains_key(&1) || peer.resets.contains_key(&1)
            });
            let status = peer.statuses.get(&1).copied();
            assert!(answered || peer.ended.is_some());
            assert!(
                status.is_none_or(|status| (400..600).contains(&status)),
                "{request:?} was answered {status:?}"
            );
        }
    });
    scene.assert_seen(0);
}

/// Headers that a node reads or might trust.
const CLAIMS: [&str; 8] = [
    "forwarded",
    "baggage",
    "traceparent",
    "x-forwarded-network",
    "x-forwarded-for",
    "x-forwarded-client-cert",
    "tracestate",
    "x-envoy-original-dst-host",
];

/// Values that lie, or that a log might take for lines and colours of its own.
const LIES: [&[u8]; 10] = [
    b"",
    b"for=\"C:1\";host=server",
    b"for=C, for=\"[::1]:22\"",
    b"k8s.namespace.name=kube-system,service.name=client",
    b"service.name=%0a%7b%22event%22:%22forged%22%7d",
    b"service.name=%1b%5b31mred",
    b"\"}\\n{\"event\":\"forged\"}",
    b"\xff\xfe\x80",
    b"00-11111111111111111111111111111111-2222222222222222-01",
    b"spiffe://cluster.local/ns/default/sa/client",
];

#[test]
fn no_header_changes_a_decision_and_none_breaks_a_line_of_the_log() {
    let scene = Scene::build(&[], |mesh| mesh.deny("no-mallory", "mallory"));
    let (target, client) = (scene.target(7001), scene.client.ip.to_string());
    scene.within("claims of a denied peer", 8 << 10, |scene| {
        let mut peer = scene.peer();
        let mut stream = 1;
        let mut ask = |name: &str, value: &[u8]| {
            let fields: [(&[u8], &[u8]); 3] =
                [(b":method", b"CONNECT"), (b":authority", target.as_bytes()), (name.as_bytes(), value)];
            let answer = peer.ask(stream, &frame(HEADERS, END_HEADERS, stream, &block(&fields)));
            assert!(answer < 0 || (400..600).contains(&answer), "{name}: {value:?} was answered {answer}");
            stream += 2;
        };
        for name in CLAIMS {
            for lie in LIES {
                let lie = String::from_utf8_lossy(lie).replace('C', &client).into_bytes();
                ask(name, &lie);
            }
            for len in [1, 54, 55, 56, 63, 64, 8191, 8192, 8193, 16_000] {
                ask(name, &vec![b'a'; len]);
                ask(name, &[b"a=".as_slice(), &vec![0xc3; len]].concat());
                ask(name, &vec![b','; len]);
            }
        }
    });
    scene.assert_seen(0);
    // Each line that the node wrote is one object without control characters, and none was made by the peer.
    let mut lines = 0;
    scene.peer().send(b"not a frame at all, which ends this tunnel");
    scene.node.process.signal(libc::SIGTERM);
    scene.log(|line| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        assert!(!line.bytes().any(|byte| byte < 0x20 || byte == 0x7f), "{line:?}");
        assert_ne!(value["event"], "forged");
        lines += usize::from(value["error"].as_str().is_some_and(|error| error.contains("denied")));
        lines == 8 * 40
    });
}
