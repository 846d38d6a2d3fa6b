//! More connections at once than a listener takes in one turn: kernels tell of them once.

use std::io::Write;
use std::net::TcpStream;

use culvert_spec_tests::testbed::{
    Address, Certificates, Mesh, NodeSetup, Runtime, Server, converse, echo, pattern, take,
};

/// Connections that wait together.
const MANY: usize = 300;

fn all_are_served(runtime: Runtime) {
    let (client, server) = (Address::take(), Address::take());
    let _server = Server::start(server.port(7000), echo);
    let mesh = Mesh::new().workload("client", client.ip);
    let certificates = Certificates::issue(&["client"]);
    let setup = NodeSetup { runtime, ..NodeSetup::new(&mesh, "client", client.ip, &certificates) };
    let node = setup.forward(client.port(7000), server.port(7000)).spawn();
    node.process.pause();
    // The kernel answers for it.
    let waiting: Vec<TcpStream> = (0..MANY).map(|_| converse(client.port(7000))).collect();
    node.process.signal(libc::SIGCONT);
    for (number, mut stream) in waiting.iter().enumerate() {
        let bytes = pattern(number as u64, 1000);
        stream.write_all(&bytes).unwrap();
        let heard = take(stream, bytes.len());
        assert!(
            heard.is_ok_and(|heard| heard == bytes),
            "{runtime:?}: connection {number} of {MANY} is not served"
        );
    }
}

#[test]
fn connections_that_wait_together_are_all_served() {
    std::thread::scope(|scope| {
        for runtime in Runtime::ALL {
            scope.spawn(move || all_are_served(runtime));
        }
    });
}
