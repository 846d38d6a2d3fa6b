//! One stalled reader takes nobody's window (node.md B8): small requests beside readers that do not read are all served, and
//! memory is bounded.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use culvert_core::fault::Fault;
use culvert_core::telemetry::{Event, Reason};
use culvert_spec_tests::testbed::{
    CulvertProcess, Ending, PATIENCE, Server, converse, hear, pattern, read_line, take,
};

use crate::pair::Pair;

/// Connections between the two pods.
const ALL: usize = 100;
/// What is sent to those that do not read.
const BIG: usize = 8 << 20;
/// How much is sent back for a small request.
const SMALL: usize = 200;
const ROUNDS: usize = 20;

/// `big` is answered by a lot, any other line by a little.
fn answer(mut stream: TcpStream) {
    loop {
        let line = read_line(&stream);
        let len = match line.as_str() {
            "" => return,
            "big" => BIG,
            _ => SMALL,
        };
        if stream.write_all(&pattern(1, len)).is_err() {
            return;
        }
    }
}

fn small_requests(address: SocketAddr) -> Duration {
    let mut stream = converse(address);
    let mut longest = Duration::ZERO;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        stream.write_all(b"small\n").unwrap();
        assert!(take(&stream, SMALL).unwrap() == pattern(1, SMALL));
        longest = longest.max(begun.elapsed());
    }
    longest
}

/// Resident memory of a process, in MiB.
fn resident(node: &CulvertProcess) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}

fn stalled_beside_small(stalled: usize) {
    let pair = Pair::new();
    let _server = Server::start(pair.server.port(7000), answer);
    let (server_node, client_node) = (pair.server_node().spawn(), pair.client_node().spawn());
    small_requests(pair.entry(7000));
    let idle = (resident(&client_node), resident(&server_node));
    let mut readers: Vec<TcpStream> = (0..stalled).map(|_| converse(pair.entry(7000))).collect();
    for reader in &mut readers {
        reader.write_all(b"big\n").unwrap();
        // It has begun.
        assert_eq!(take(reader, 1).unwrap().len(), 1);
    }
    let longest = std::thread::scope(|scope| {
        let address = pair.entry(7000);
        let threads: Vec<_> = (stalled..ALL).map(|_| scope.spawn(move || small_requests(address))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).max()
    });
    assert!(longest.is_some_and(|longest| longest < Duration::from_secs(5)), "{longest:?}");
    // At the receiver each stalled stream holds its window of 4 MiB and a queue towards its application, at the sender a
    // queue; the rest is left where it came from.
    let held = (resident(&client_node) - idle.0, resident(&server_node) - idle.1);
    assert!(held.0 <= 32 + stalled * 6, "the client's node holds {} MiB for {stalled}", held.0);
    assert!(held.1 <= 32 + stalled * 2, "the server's node holds {} MiB for {stalled}", held.1);
    // Whoever reads on gets everything.
    let last = readers.pop().unwrap();
    let rest = take(&last, BIG - 1).unwrap();
    assert!(rest == pattern(1, BIG)[1..]);
}

#[test]
fn four_of_a_hundred_do_not_read() {
    stalled_beside_small(4);
}

#[test]
fn sixteen_of_a_hundred_do_not_read() {
    stalled_beside_small(16);
}

#[test]
fn sixty_four_of_a_hundred_do_not_read() {
    stalled_beside_small(64);
}

#[test]
fn all_but_one_of_a_hundred_do_not_read() {
    stalled_beside_small(99);
}

#[test]
fn what_is_held_for_a_reader_is_no_reason_to_be_silent_about_its_end() {
    let pair = Pair::new();
    let _server = Server::start(pair.server.port(7000), answer);
    let (server_node, client_node) = (pair.server_node().start(), pair.client_node().start());
    let mut reader = converse(pair.entry(7000));
    reader.write_all(b"big\n").unwrap();
    assert_eq!(take(&reader, 1).unwrap().len(), 1);
    server_node.node.apply(pair.mesh.clone().deny("no-more", "client").snapshot());
    client_node.events.wait_for(1, |event| {
        matches!(
            event,
            Event::Closed { reason: Reason::DestinationReset | Reason::Failed(Fault::StreamReset(_)), .. }
        )
    });
    assert_eq!(hear(&reader, PATIENCE).ending, Ending::Reset);
}
