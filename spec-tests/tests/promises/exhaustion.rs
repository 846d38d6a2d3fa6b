//! Descriptors run out, and what is alive goes on (node.md B9).

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use culvert_spec_tests::testbed::{
    Ending, NodeSetup, PATIENCE, Runtime, Server, call, converse, culvert, echo, exchange, hear, take,
};

use crate::pair::Pair;

/// More than the node has descriptors for.
const MANY: usize = 120;

/// A shell's command that lowers its own limit of descriptors for good, and becomes the program that follows.
fn with_few_descriptors() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64 && exec \"$@\"", "sh"]).arg(culvert());
    command
}

fn still_echoes(mut stream: &TcpStream) {
    stream.write_all(b"alive").unwrap();
    assert_eq!(take(stream, 5).unwrap(), b"alive");
}

/// The time that a process has had of any processor.
fn processor_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // After the name, which may have anything in it: the state is field 3, user and system time are fields 14 and 15, in ticks.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// On all runtimes at once.
fn survives(of_the_client: bool) {
    std::thread::scope(|scope| {
        for runtime in Runtime::ALL {
            scope.spawn(move || survives_on(runtime, of_the_client));
        }
    });
}

fn survives_on(runtime: Runtime, of_the_client: bool) {
    let pair = Pair::new();
    let _server = Server::start(pair.server.port(7000), echo);
    let (client, server) =
        (NodeSetup { runtime, ..pair.client_node() }, NodeSetup { runtime, ..pair.server_node() });
    let mut plain = Command::new(culvert());
    let (first, second) = if of_the_client {
        (client.spawn_by(&mut with_few_descriptors()), server.spawn_by(&mut plain))
    } else {
        (client.spawn_by(&mut plain), server.spawn_by(&mut with_few_descriptors()))
    };
    let alive = converse(pair.entry(7000));
    still_echoes(&alive);
    let others: Vec<TcpStream> = (0..MANY).map(|_| converse(pair.entry(7000))).collect();
    // Some are served, which takes what descriptors there are.
    still_echoes(&others[0]);
    for _ in 0..50 {
        still_echoes(&alive);
    }
    // While nothing happens the node does not ask for descriptors without a pause.
    let starved = if of_the_client { &first } else { &second };
    let before = processor_time(starved.process.id());
    assert_eq!(hear(&alive, Duration::from_secs(1)).ending, Ending::Silence);
    let spent = processor_time(starved.process.id()) - before;
    assert!(spent < Duration::from_millis(60), "{runtime:?}: {spent:?} of a second without descriptors");
    alive.set_read_timeout(Some(PATIENCE)).unwrap();
    drop(others);
    // Soon there is room again: new connections are served, with the one from before beside them.
    let deadline = Instant::now() + PATIENCE;
    while call(pair.entry(7000), |stream| exchange(stream, b"new")).ending != Ending::Eof {
        assert!(Instant::now() < deadline, "the node does not recover");
    }
    for _ in 0..10 {
        let heard = call(pair.entry(7000), |stream| exchange(stream, b"new"));
        assert_eq!((heard.bytes.as_slice(), heard.ending), (&b"new"[..], Ending::Eof));
    }
    still_echoes(&alive);
    for mut node in [first, second] {
        assert!(node.process.is_alive());
    }
}

#[test]
fn a_client_s_node_without_descriptors_goes_on() {
    survives(true);
}

#[test]
fn a_server_s_node_without_descriptors_goes_on() {
    survives(false);
}
