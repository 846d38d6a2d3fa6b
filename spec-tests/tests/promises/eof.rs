//! EOF means EOF (node.md B6): what is cut off anywhere on the way ends in a reset, never in FIN.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use culvert_core::fault::Fault;
use culvert_core::telemetry::{Event, Reason};
use culvert_spec_tests::testbed::{
    Ending, PATIENCE, Process, Server, Stream, abort, converse, echo, exchange, hear, pattern, take,
};

use crate::pair::Pair;

/// How many connections are cut at once.
const CONNECTIONS: usize = 100;
/// What every one of them has carried before.
const BEFORE: usize = 20_000;

/// Sends without end what [`pattern`] says, once something has come that it leaves unread: with that the kernel resets the
/// connections of a program that is killed.
fn pour(mut stream: TcpStream) {
    let _gone = stream.peek(&mut [0]);
    let data = pattern(1, 1 << 20);
    while stream.write_all(&data).is_ok() {}
}

/// Connections on which bytes are flowing and more are to come; the client has sent some that nobody reads.
fn flowing(address: SocketAddr) -> Vec<TcpStream> {
    let streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| converse(address)).collect();
    for mut stream in &streams {
        stream.write_all(b"more").unwrap();
        assert!(take(stream, BEFORE).unwrap() == pattern(1, BEFORE));
    }
    streams
}

/// All of them end in a reset.
fn all_reset(streams: &[TcpStream]) {
    let endings: Vec<Ending> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            streams.iter().map(|stream| scope.spawn(|| hear(stream, PATIENCE).ending)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let count = |wanted| endings.iter().filter(|ending| **ending == wanted).count();
    let seen = (count(Ending::Reset), count(Ending::Eof), count(Ending::Silence));
    assert_eq!(seen, (streams.len(), 0, 0), "resets, clean ends and silences");
}

#[test]
fn a_server_that_resets_is_a_reset() {
    let pair = Pair::new();
    let number = AtomicU64::new(0);
    let _server = Server::start(pair.server.port(7000), move |mut stream| {
        let nth = number.fetch_add(1, Ordering::SeqCst);
        let data = pattern(1, 1000 + 7919 * usize::try_from(nth).unwrap());
        stream.write_all(&data).unwrap();
        abort(stream);
    });
    let (_server_node, client_node) = (pair.server_node().start(), pair.client_node().start());
    let streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| converse(pair.entry(7000))).collect();
    all_reset(&streams);
    client_node.events.wait_for(CONNECTIONS, |event| matches!(event, Event::Closed { .. }));
    assert!(!client_node.events.reasons().contains(&Reason::Completed));
}

#[test]
fn a_client_that_resets_is_a_reset() {
    let pair = Pair::new();
    let (ends, ended) = std::sync::mpsc::channel();
    let _server = Server::start(pair.server.port(7000), move |stream| {
        let _receiver = ends.send(hear(&stream, PATIENCE));
    });
    let (_server_node, _client_node) = (pair.server_node().start(), pair.client_node().start());
    for nth in 0..CONNECTIONS {
        let mut stream = converse(pair.entry(7000));
        stream.write_all(&pattern(1, 1000 + 7919 * nth)).unwrap();
        abort(stream);
    }
    for _ in 0..CONNECTIONS {
        // A connection that is aborted before it got through has never been.
        let Ok(heard) = ended.recv_timeout(PATIENCE / 10) else { break };
        assert_eq!(heard.ending, Ending::Reset);
    }
}

#[test]
#[ignore = "the program that `a_server_that_is_killed_is_a_reset` kills, not a test of its own"]
fn program_that_pours() {
    let address = std::env::var("CULVERT_TEST_POUR").unwrap();
    let listener = TcpListener::bind(address.parse::<SocketAddr>().unwrap()).unwrap();
    println!("\nlistening");
    for stream in listener.incoming() {
        std::thread::spawn(|| pour(stream.unwrap()));
    }
}

#[test]
fn a_server_that_is_killed_is_a_reset() {
    let pair = Pair::new();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "eof::program_that_pours", "--ignored", "--nocapture"]);
    command.env("CULVERT_TEST_POUR", pair.server.port(7000).to_string());
    let mut server = Process::spawn(&mut command, Stream::Output);
    server.wait_for_line(PATIENCE, |line| line == "listening");
    let (_server_node, _client_node) = (pair.server_node().start(), pair.client_node().start());
    let streams = flowing(pair.entry(7000));
    server.kill();
    all_reset(&streams);
}

#[test]
fn a_killed_proxy_of_the_server_is_a_reset() {
    let pair = Pair::new();
    let _server = Server::start(pair.server.port(7000), pour);
    let mut server_node = pair.server_node().spawn();
    let client_node = pair.client_node().start();
    let streams = flowing(pair.entry(7000));
    server_node.process.kill();
    all_reset(&streams);
    client_node.events.wait_for(CONNECTIONS, |event| {
        matches!(event, Event::Closed { reason: Reason::Failed(Fault::TunnelLost(_)), .. })
    });
}

/// The applications of both ends, of which none has said FIN.
fn a_killed_proxy(client_side: bool) {
    let pair = Pair::new();
    let (ends, ended) = std::sync::mpsc::channel();
    // Sends little, so that nothing is left unread when its proxy dies: that would be a reset in any case.
    let _server = Server::start(pair.server.port(7000), move |mut stream| {
        stream.write_all(&pattern(1, BEFORE)).unwrap();
        let _receiver = ends.send(hear(&stream, PATIENCE).ending);
    });
    let (mut server_node, mut client_node) = (pair.server_node().spawn(), pair.client_node().spawn());
    let streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| converse(pair.entry(7000))).collect();
    for stream in &streams {
        assert!(take(stream, BEFORE).unwrap() == pattern(1, BEFORE));
    }
    if client_side {
        client_node.process.kill()
    } else {
        server_node.process.kill()
    }
    all_reset(&streams);
    let endings: Vec<Ending> = (0..CONNECTIONS).map(|_| ended.recv_timeout(PATIENCE).unwrap()).collect();
    assert!(endings.iter().all(|ending| *ending == Ending::Reset), "the servers saw {endings:?}");
}

#[test]
fn a_killed_proxy_of_the_client_is_a_reset_for_both_applications() {
    a_killed_proxy(true);
}

#[test]
fn a_killed_proxy_of_the_server_is_a_reset_for_both_applications() {
    a_killed_proxy(false);
}

#[test]
fn a_policy_that_cuts_is_a_reset() {
    let pair = Pair::new();
    let _server = Server::start(pair.server.port(7000), pour);
    let (server_node, _client_node) = (pair.server_node().start(), pair.client_node().start());
    let streams = flowing(pair.entry(7000));
    server_node.node.apply(pair.mesh.clone().deny("no-more", "client").snapshot());
    all_reset(&streams);
    server_node.events.wait_for(CONNECTIONS, |event| {
        matches!(event, Event::Closed { reason: Reason::Failed(Fault::Revoked(_)), .. })
    });
}

#[test]
fn a_node_that_drains_delivers_what_it_has_taken() {
    let pair = Pair::new();
    let _server = Server::start(pair.server.port(7000), echo);
    let (server_node, client_node) = (pair.server_node().start(), pair.client_node().start());
    let streams: Vec<TcpStream> = (0..50).map(|_| converse(pair.entry(7000))).collect();
    for mut stream in &streams {
        stream.write_all(b"x").unwrap();
        assert_eq!(take(stream, 1).unwrap(), b"x");
    }
    server_node.node.drain(PATIENCE);
    client_node.node.drain(PATIENCE);
    let data = Arc::new(pattern(2, 1 << 20));
    std::thread::scope(|scope| {
        for stream in &streams {
            let data = data.clone();
            scope.spawn(move || {
                let heard = exchange(stream, &data);
                assert!(heard.ending == Ending::Eof && heard.bytes == *data, "{heard:?}");
            });
        }
    });
    for node in [server_node, client_node] {
        let events = node.events.clone();
        node.node.join();
        assert!(events.reasons().iter().all(|reason| *reason == Reason::Completed), "{:?}", events.reasons());
    }
}
