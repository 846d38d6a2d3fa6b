//! Envoy as the client of our tunnels.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use culvert_core::fault::Fault;
use culvert_core::telemetry::{Event, Reason};
use culvert_spec_tests::peers::{EnvoyClient, Peers};
use culvert_spec_tests::testbed::{
    Address, Ending, Heard, Mesh, NodeSetup, PATIENCE, Process, Server, TestNode, call, converse, echo,
    exchange, greet, hear, pattern, read_line, take,
};

const MIB: usize = 1 << 20;

/// Our node before a pod with an echo on port 7000, and Envoy as somebody's way to it.
struct Scene {
    node: Option<TestNode>,
    server: Address,
    _envoy: Process,
    /// Where Envoy tells its statistics.
    admin: String,
    /// Where Envoy takes plain TCP.
    outbound: SocketAddr,
    _programs: Vec<Server>,
}

impl Scene {
    fn new(peers: &Peers, arguments: &[&str]) -> Scene {
        let server = Address::take();
        let target = Some(server.port(7000));
        Scene::with(peers, server, target, "server", arguments, |mesh| mesh)
    }

    fn with(
        peers: &Peers,
        server: Address,
        authority: Option<SocketAddr>,
        expect: &str,
        arguments: &[&str],
        facts: impl Fn(Mesh) -> Mesh,
    ) -> Scene {
        let programs = vec![
            Server::start(server.port(7000), echo),
            Server::start(server.port(7001), |mut stream| {
                let heard = hear(&stream, PATIENCE);
                if heard.ending == Ending::Eof {
                    let _gone = writeln!(stream, "{}", heard.bytes.len());
                }
            }),
        ];
        let mesh = facts(Mesh::new().workload("server", server.ip));
        let node = NodeSetup::new(&mesh, "server", server.ip, &peers.certificates).start();
        let client = EnvoyClient { peer: server.hbone(), expect, authority, arguments };
        let (envoy, outbound, admin) = peers.envoy_client(&client);
        Scene { node: Some(node), server, _envoy: envoy, admin, outbound, _programs: programs }
    }

    fn node(&self) -> &TestNode {
        self.node.as_ref().unwrap()
    }

    /// One of Envoy's counters.
    fn counter(&self, name: &str) -> u64 {
        let mut stream = converse(self.admin.parse().unwrap());
        write!(stream, "GET /stats?filter={name} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let text = String::from_utf8(hear(&stream, PATIENCE).bytes).unwrap();
        let line = text.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn tunnels_opened(&self) -> usize {
        self.node().events.all().iter().filter(|event| matches!(event, Event::TunnelOpened { .. })).count()
    }

    /// Sends `len` bytes through the echo, and FIN both ways.
    fn echoes(&self, len: usize) {
        let data = pattern(len as u64, len);
        let heard = call(self.outbound, |stream| exchange(stream, &data));
        assert!(heard.ending == Ending::Eof && heard.bytes == data, "{heard:?} of {len}");
    }
}

#[test]
fn a_mebibyte_goes_each_way_unchanged() {
    let Some(peers) = Peers::find() else { return };
    let scene = Scene::new(&peers, &[]);
    scene.echoes(MIB);
    scene.node().events.wait_for(1, |event| {
        matches!(event, Event::Closed { connection, reason: Reason::Completed, bytes_sent, .. }
            if connection.source_identity.as_ref().is_some_and(|id| id.service_account() == "client")
                && *bytes_sent == MIB as u64)
    });
}

fn proxy_header(target: SocketAddr) -> String {
    format!("PROXY TCP4 127.0.0.1 {} 40000 {}\r\n", target.ip(), target.port())
}

/// Envoy ends its application's connection by FIN or RST, as it happens, where CONNECT is refused.
fn assert_refused(heard: &Heard) {
    assert!(heard.bytes.is_empty() && heard.ending != Ending::Silence, "{heard:?}");
}

#[test]
fn the_original_destination_is_where_it_goes() {
    let Some(peers) = Peers::find() else { return };
    let scene = Scene::with(&peers, Address::take(), None, "server", &[], |mesh| mesh);
    for (opened, port, answer) in [(1, 7000, "three"), (2, 7001, "6")] {
        let mut stream = converse(scene.outbound);
        let target = scene.server.port(port);
        stream.write_all(&[proxy_header(target).as_bytes(), b"three\n"].concat()).unwrap();
        // A FIN that comes before the tunnel makes Envoy give up.
        scene.node().events.wait_for(opened, |event| matches!(event, Event::Opened(_)));
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_line(&stream), answer, "{target}");
    }
}

#[test]
fn a_denied_identity_gets_401() {
    let Some(peers) = Peers::find() else { return };
    let server = Address::take();
    let target = Some(server.port(7000));
    let scene = Scene::with(&peers, server, target, "server", &[], |mesh| mesh.deny("no", "client"));
    assert_refused(&call(scene.outbound, |stream| exchange(stream, b"let me in")));
    scene
        .node()
        .events
        .wait_for(1, |event| matches!(event, Event::Closed { reason: Reason::Failed(Fault::Denied(_)), .. }));
}

#[test]
fn a_client_that_expects_somebody_else_sends_nothing() {
    let Some(peers) = Peers::find() else { return };
    let server = Address::take();
    let target = Some(server.port(7000));
    let scene = Scene::with(&peers, server, target, "somebody-else", &[], |mesh| mesh);
    assert_refused(&call(scene.outbound, |stream| exchange(stream, b"secret")));
    scene.node().events.wait_for(1, |event| matches!(event, Event::TunnelClosed { .. }));
    assert!(scene.node().events.reasons().is_empty(), "a CONNECT arrived");
}

#[test]
fn an_unreachable_target_gets_503_and_the_tunnel_goes_on() {
    let Some(peers) = Peers::find() else { return };
    let scene = Scene::with(&peers, Address::take(), None, "server", &[], |mesh| mesh);
    let one_byte = |port| [proxy_header(scene.server.port(port)).as_bytes(), b"x"].concat();
    for port in [7009, 15008] {
        assert_refused(&call(scene.outbound, |stream| greet(stream, &one_byte(port), PATIENCE)));
    }
    let mut stream = converse(scene.outbound);
    stream.write_all(&one_byte(7000)).unwrap();
    assert_eq!(take(&stream, 1).unwrap(), b"x");
    assert_eq!(scene.tunnels_opened(), 1);
    let reasons = scene.node().events.reasons();
    assert!(matches!(reasons[0], Reason::Failed(Fault::Io(_))), "{reasons:?}");
    assert!(matches!(reasons[1], Reason::Failed(Fault::Target(_))), "{reasons:?}");
}

#[test]
fn fifty_connections_share_one_tunnel() {
    let Some(peers) = Peers::find() else { return };
    let scene = Scene::new(&peers, &[]);
    scene.echoes(1);
    let all: Vec<TcpStream> = (0..50).map(|_| converse(scene.outbound)).collect();
    std::thread::scope(|scope| {
        for (number, stream) in all.iter().enumerate() {
            scope.spawn(move || {
                let data = pattern(number as u64, 20_000 + number);
                let heard = exchange(stream, &data);
                assert!(heard.ending == Ending::Eof && heard.bytes == data, "{number}: {heard:?}");
            });
        }
    });
    assert_eq!(scene.tunnels_opened(), 1);
}

#[test]
fn the_smallest_windows_that_envoy_knows_carry_everything() {
    let Some(peers) = Peers::find() else { return };
    let windows = r#"http2={"initial_stream_window_size": 65535, "initial_connection_window_size": 65535}"#;
    let scene = Scene::new(&peers, &["--set", windows]);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let scene = &scene;
            scope.spawn(move || scene.echoes(MIB + number));
        }
    });
}

#[test]
fn one_tunnel_for_each_connection() {
    let Some(peers) = Peers::find() else { return };
    let one = r#"http_common={"max_requests_per_connection": 1}"#;
    let scene = Scene::new(&peers, &["--set", one]);
    for len in [1, 1000, 100_000] {
        scene.echoes(len);
    }
    assert_eq!(scene.tunnels_opened(), 3);
}

#[test]
fn a_stream_runs_to_its_end_while_our_node_drains() {
    let Some(peers) = Peers::find() else { return };
    let mut scene = Scene::new(&peers, &[]);
    let mut stream = converse(scene.outbound);
    stream.write_all(b"before").unwrap();
    assert_eq!(take(&stream, 6).unwrap(), b"before");
    scene.node().node.drain(PATIENCE);
    let data = pattern(9, MIB);
    let heard = exchange(&stream, &data);
    assert!(heard.ending == Ending::Eof && heard.bytes == data, "{heard:?}");
    // With its last stream the node has drained: well before the grace is over.
    let node = scene.node.take().unwrap();
    let events = node.events.clone();
    node.node.join();
    assert_eq!(events.reasons(), [Reason::Completed]);
    assert!(events.all().contains(&Event::Drained));
}

#[test]
fn a_stream_that_outlives_the_drain_is_reset() {
    let Some(peers) = Peers::find() else { return };
    let mut scene = Scene::new(&peers, &[]);
    let mut stream = converse(scene.outbound);
    stream.write_all(b"before").unwrap();
    assert_eq!(take(&stream, 6).unwrap(), b"before");
    let node = scene.node.take().unwrap();
    let events = node.events.clone();
    node.node.drain(Duration::from_millis(300));
    node.node.join();
    assert_eq!(events.reasons(), [Reason::Failed(Fault::Drain)]);
    // Envoy is told that it is no end but an abort, though its application sees FIN either way.
    assert_ne!(hear(&stream, PATIENCE).ending, Ending::Silence);
    assert_eq!(scene.counter("cluster.hbone.http2.rx_reset"), 1);
}
