//! Envoy as the server of our tunnels.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};

use culvert_core::fault::Fault;
use culvert_core::telemetry::{Event, Path, Reason};
use culvert_spec_tests::peers::{EnvoyServer, Peers};
use culvert_spec_tests::testbed::{
    Address, Ending, Mesh, NodeSetup, PATIENCE, Process, Server, TestNode, call, converse, echo, exchange,
    hear, pattern, read_line, take,
};

const MIB: usize = 1 << 20;

/// Our client's node, and Envoy before a pod whose ports 7000 and so on are taken by plain programs.
struct Scene {
    node: TestNode,
    envoy: Process,
    client: Address,
    server: Address,
    _programs: Vec<Server>,
}

impl Scene {
    fn new(peers: &Peers, route: &str, allow: &str) -> Scene {
        let (client, server) = (Address::take(), Address::take());
        let programs = vec![
            Server::start(server.port(7000), echo),
            Server::start(server.port(7001), answer_after_the_request),
        ];
        let envoy = peers.envoy_server(&EnvoyServer { bind: server.ip, allow, route });
        let mesh = Mesh::new().workload("client", client.ip).workload("server", server.ip);
        let mut setup = NodeSetup::new(&mesh, "client", client.ip, &peers.certificates);
        for port in [7000, 7001, 7009] {
            setup = setup.forward(client.port(port), server.port(port));
        }
        Scene { node: setup.start(), envoy, client, server, _programs: programs }
    }

    fn echo(&self) -> SocketAddr {
        self.client.port(7000)
    }
}

/// Reads up to FIN, then says how much it was.
fn answer_after_the_request(mut stream: TcpStream) {
    let heard = hear(&stream, PATIENCE);
    if heard.ending == Ending::Eof {
        let _gone = writeln!(stream, "{}", heard.bytes.len());
    }
}

fn tunnels_opened(node: &TestNode) -> usize {
    node.events.all().iter().filter(|event| matches!(event, Event::TunnelOpened { .. })).count()
}

fn both_routes(test: impl Fn(Scene)) {
    let Some(peers) = Peers::find() else { return };
    for route in ["authority", "main_internal"] {
        test(Scene::new(&peers, route, "client"));
    }
}

#[test]
fn a_mebibyte_goes_each_way_unchanged() {
    both_routes(|scene| {
        let data = pattern(1, MIB);
        let heard = call(scene.echo(), |stream| exchange(stream, &data));
        assert_eq!(heard.ending, Ending::Eof);
        assert!(heard.bytes == data, "{heard:?}");
        scene.node.events.wait_for(1, |event| {
            matches!(event, Event::Closed { connection, reason: Reason::Completed, bytes_sent, bytes_received, .. }
                if connection.path == Path::Hbone && *bytes_sent == MIB as u64 && *bytes_received == MIB as u64)
        });
    });
}

#[test]
fn the_client_may_finish_before_the_answer() {
    both_routes(|scene| {
        let mut stream = converse(scene.client.port(7001));
        stream.write_all(&pattern(2, 100_000)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_line(&stream), "100000");
        assert_eq!(hear(&stream, PATIENCE).ending, Ending::Eof);
    });
}

#[test]
fn a_denied_identity_is_a_reset_with_its_status_in_the_log() {
    let Some(peers) = Peers::find() else { return };
    let scene = Scene::new(&peers, "authority", "stranger");
    let heard = call(scene.echo(), |stream| exchange(stream, b"let me in"));
    assert_eq!(heard.ending, Ending::Reset);
    assert!(heard.bytes.is_empty(), "{heard:?}");
    scene.node.events.wait_for(1, |event| {
        matches!(event, Event::Closed { reason: Reason::Failed(Fault::Status(403)), .. })
    });
}

#[test]
fn an_unreachable_target_is_a_reset_and_the_tunnel_goes_on() {
    let Some(peers) = Peers::find() else { return };
    let scene = Scene::new(&peers, "authority", "client");
    let heard = call(scene.client.port(7009), |stream| exchange(stream, b"nobody there"));
    assert_eq!(heard.ending, Ending::Reset);
    scene.node.events.wait_for(1, |event| {
        matches!(event, Event::Closed { reason: Reason::Failed(Fault::Status(503)), .. })
    });
    assert_eq!(call(scene.echo(), |stream| exchange(stream, b"x")).bytes, b"x");
    assert_eq!(tunnels_opened(&scene.node), 1);
}

#[test]
fn a_refused_dial_behind_an_internal_listener_is_a_reset() {
    let Some(peers) = Peers::find() else { return };
    let scene = Scene::new(&peers, "main_internal", "client");
    assert_eq!(
        call(scene.client.port(7009), |stream| exchange(stream, b"nobody there")).ending,
        Ending::Reset
    );
    assert_eq!(call(scene.echo(), |stream| exchange(stream, b"x")).bytes, b"x");
}

#[test]
fn fifty_connections_share_one_tunnel() {
    both_routes(|scene| {
        let all: Vec<TcpStream> = (0..50).map(|_| converse(scene.echo())).collect();
        std::thread::scope(|scope| {
            for (number, stream) in all.iter().enumerate() {
                scope.spawn(move || {
                    let data = pattern(number as u64, 20_000 + number);
                    let heard = exchange(stream, &data);
                    assert!(heard.ending == Ending::Eof && heard.bytes == data, "{number}: {heard:?}");
                });
            }
        });
        assert_eq!(tunnels_opened(&scene.node), 1);
    });
}

/// Envoy ends a stream whose target has finished with END_STREAM and RST_STREAM NO_ERROR, though the client still sends.
#[test]
fn bytes_and_fin_arrive_before_the_reset_that_follows_them() {
    let Some(peers) = Peers::find() else { return };
    let scene = Scene::new(&peers, "authority", "client");
    let data = pattern(3, MIB);
    let sent = data.clone();
    let speaker = Server::start(scene.server.port(7009), move |mut stream| {
        let _gone = stream.write_all(&sent).and_then(|()| stream.shutdown(Shutdown::Write));
        hear(&stream, PATIENCE);
    });
    for _ in 0..10 {
        let mut stream = converse(scene.client.port(7009));
        stream.write_all(b"I am not done").unwrap();
        let heard = hear(&stream, PATIENCE);
        assert_eq!(heard.ending, Ending::Eof);
        assert!(heard.bytes == data, "{heard:?}");
        // Nobody reads what is written from here on, and the writer learns it.
        let refused = (0..100_000).find(|_| stream.write_all(&[0; 64]).is_err());
        assert!(refused.is_some(), "the client could write on and on");
    }
    drop(speaker);
}

/// The client writes when the node is done with the connection, but the client has not read what was sent to it.
#[test]
fn what_is_written_after_the_end_takes_nothing_back() {
    let Some(peers) = Peers::find() else { return };
    let scene = Scene::new(&peers, "authority", "client");
    let data = pattern(4, 500_000);
    let sent = data.clone();
    let _speaker = Server::start(scene.server.port(7009), move |mut stream| {
        let _gone = stream.write_all(&sent).and_then(|()| stream.shutdown(Shutdown::Write));
        hear(&stream, PATIENCE);
    });
    for round in 1..=10 {
        let mut stream = converse(scene.client.port(7009));
        scene.node.events.wait_for(round, |event| matches!(event, Event::Closed { .. }));
        stream.write_all(b"too late").unwrap();
        let heard = hear(&stream, PATIENCE);
        assert!(heard.ending == Ending::Eof && heard.bytes == data, "{heard:?}");
    }
}

#[test]
fn a_server_that_is_killed_in_mid_transfer_is_a_reset() {
    let Some(peers) = Peers::find() else { return };
    let mut scene = Scene::new(&peers, "authority", "client");
    let streams: Vec<TcpStream> = (0..10).map(|_| converse(scene.echo())).collect();
    for (number, mut stream) in streams.iter().enumerate() {
        let data = pattern(number as u64, 1000);
        stream.write_all(&data).unwrap();
        assert!(take(stream, data.len()).unwrap() == data);
    }
    // The script is killed with SIGKILL, and Envoy with it.
    scene.envoy.kill();
    for stream in &streams {
        assert_eq!(hear(stream, PATIENCE).ending, Ending::Reset);
    }
}
