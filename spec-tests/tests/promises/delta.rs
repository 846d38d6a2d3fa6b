//! Facts told as what changed: they are in force as whole snapshots are.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use culvert_core::mesh::Snapshot;
use culvert_spec_tests::testbed::{
    Ending, NodeSetup, PATIENCE, Server, call, converse, echo, hear, pattern, take,
};

use crate::pair::Pair;

fn echoes(mut stream: &TcpStream) -> bool {
    let bytes = pattern(2, 1_000);
    stream.write_all(&bytes).is_ok() && take(stream, bytes.len()).is_ok_and(|back| back == bytes)
}

#[test]
fn a_delta_ends_what_it_forbids_and_lets_in_what_it_permits() {
    let pair = Pair::new();
    let _server = Server::start(pair.server.port(7000), echo);
    let setup = NodeSetup { workers: 2, ..pair.server_node() };
    let (server_node, _client_node) = (setup.start(), pair.client_node().start());
    let open = pair.mesh.snapshot();
    let closed = pair.mesh.clone().deny("no-more", "client").snapshot();

    let live: Vec<TcpStream> = (0..8).map(|_| converse(pair.entry(7000))).collect();
    assert!(live.iter().all(echoes));
    server_node.node.apply_delta(open.delta_to(&closed)).wait();
    for stream in &live {
        assert_eq!(hear(stream, PATIENCE).ending, Ending::Reset);
    }
    assert_eq!(call(pair.entry(7000), |stream| hear(stream, PATIENCE)).ending, Ending::Reset);

    server_node.node.apply_delta(closed.delta_to(&open)).wait();
    assert!(echoes(&converse(pair.entry(7000))));
    // What was told piece by piece is what is known now, and a snapshot may follow it.
    let known = server_node.node.snapshot();
    assert!(known.same_facts(&open) && known.epoch() > open.epoch());
    server_node.node.apply(Arc::new(Snapshot::clone(&closed))).wait();
    assert_eq!(call(pair.entry(7000), |stream| hear(stream, PATIENCE)).ending, Ending::Reset);
}
