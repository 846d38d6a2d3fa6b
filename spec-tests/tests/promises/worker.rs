//! A worker that panics ends alone (attack A25): its connections are reset, those of the others go on, and it begins anew with the
//! facts of that moment.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use culvert_core::telemetry::{Connection, Event};
use culvert_spec_tests::testbed::{
    Ending, Mesh, NodeSetup, PATIENCE, Runtime, Server, TestNode, call, converse, echo, hear, pattern, take,
};

use crate::pair::Pair;

/// Connections to make at most until each of two workers has some.
const MOST: usize = 400;
/// Connections that each worker has at least.
const EACH: usize = 3;

/// A connection, and the worker that has it.
struct Call {
    stream: TcpStream,
    worker: usize,
}

/// Sends some bytes and takes them back.
fn echoes(mut stream: &TcpStream) -> bool {
    let bytes = pattern(3, 30_000);
    stream.write_all(&bytes).is_ok() && take(stream, bytes.len()).is_ok_and(|back| back == bytes)
}

/// The worker that reported the opening of the connection that is meant.
fn worker_of(node: &TestNode, meant: impl Fn(&Connection) -> bool) -> usize {
    let opened = |event: &Event| matches!(event, Event::Opened(c) if meant(c));
    node.events.wait_for(1, opened);
    node.events.by_worker().iter().find_map(|(worker, event)| opened(event).then_some(*worker)).unwrap()
}

/// Connects until each worker has a few connections, all of which carry bytes.
fn calls_on_both(node: &TestNode, entry: SocketAddr) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for _ in 0..MOST {
        let stream = converse(entry);
        assert!(echoes(&stream));
        let source = stream.local_addr().unwrap();
        let worker = worker_of(node, |connection| connection.source == source);
        calls.push(Call { stream, worker });
        if (0..2).all(|worker| calls.iter().filter(|call| call.worker == worker).count() >= EACH) {
            return calls;
        }
    }
    panic!("one worker took all of {MOST} connections");
}

#[test]
fn a_worker_that_panics_resets_its_own_connections_and_begins_anew_with_current_facts() {
    std::thread::scope(|scope| {
        for runtime in Runtime::ALL {
            scope.spawn(move || a_worker_panics_on(runtime));
        }
    });
}

fn a_worker_panics_on(runtime: Runtime) {
    let pair = Pair::new();
    let _server = Server::start(pair.server.port(7000), echo);
    let _deadly = Server::start(pair.server.port(7009), echo);
    let _server_node = pair.server_node().start();
    // With the facts that the node is started with nobody reaches the server.
    let mut setup =
        NodeSetup { workers: 2, deadly: Some(pair.server.port(7009)), runtime, ..pair.client_node() };
    let wrong = Mesh::new().workload("client", pair.client.ip);
    setup.mesh = wrong.workload_as("server", "somebody-else", &[pair.server.ip]);
    let node = setup.start();
    assert_eq!(call(pair.entry(7000), |stream| hear(stream, PATIENCE)).ending, Ending::Reset);
    node.node.apply(pair.mesh.snapshot()).wait();

    let calls = calls_on_both(&node, pair.entry(7000));
    assert_eq!(call(pair.entry(7009), |stream| hear(stream, PATIENCE)).ending, Ending::Reset);
    node.events.wait_for(1, |event| matches!(event, Event::WorkerRestarted { .. }));
    let lost = worker_of(&node, |connection| connection.destination == pair.server.port(7009));
    for Call { stream, worker } in &calls {
        if *worker == lost {
            assert_eq!(hear(stream, PATIENCE).ending, Ending::Reset);
        } else {
            assert!(echoes(stream), "a connection of the other worker does not go on");
        }
    }

    // The one that was lost serves again, by the facts of now.
    let later = calls_on_both(&node, pair.entry(7000));
    assert!(later.iter().filter(|call| call.worker == lost).count() >= EACH);
    let restarts = node.events.by_worker().into_iter().filter(|(_, event)| {
        matches!(event, Event::WorkerRestarted { why, restarts: 1 } if why.contains("as the test asked"))
    });
    assert_eq!(restarts.map(|(worker, _)| worker).collect::<Vec<_>>(), [lost]);
    assert_eq!(node.node.restarts(), 1);

    // It drains as any other.
    drop((calls, later));
    node.node.drain(Duration::from_secs(5));
    node.events.wait_for(2, |event| *event == Event::Drained);
    node.node.join();
}
