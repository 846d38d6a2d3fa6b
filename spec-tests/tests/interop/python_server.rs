//! hyper-h2 as the server of our tunnels: well behaved, and in every way that it knows to be otherwise.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use culvert_core::limit::Limits;
use culvert_core::telemetry::Event;
use culvert_spec_tests::peers::{Peers, PythonServer};
use culvert_spec_tests::testbed::{
    Address, Ending, Heard, Mesh, NodeSetup, PATIENCE, Process, Server, TestNode, call, converse, echo,
    exchange, greet, pattern,
};

/// What the application sends before it listens.
const HELLO: usize = 1000;

/// Deadlines that a test can wait for, in the order in which they nest.
fn short() -> Limits {
    Limits {
        connect_response: Duration::from_secs(2),
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_secs(1),
        ..Limits::default()
    }
}

/// Our client's node; one server for each way to behave; and one server of our own, to see that the node lives on.
struct Scene {
    node: TestNode,
    client: Address,
    handlers: Vec<String>,
    _good: (TestNode, Address, Server),
    _servers: Vec<(Process, Address)>,
}

impl Scene {
    fn new(peers: &Peers, handlers: &[&str], limits: &Limits) -> Scene {
        let (client, good) = (Address::take(), Address::take());
        let mut mesh = Mesh::new().workload("client", client.ip).workload_as("good", "server", &[good.ip]);
        let mut servers = Vec::new();
        for handler in handlers {
            let address = Address::take();
            mesh = mesh.workload_as(handler, "server", &[address.ip]);
            let process = peers.spawn_python_server(&PythonServer { bind: address.ip, handler });
            servers.push((process, address));
        }
        let mut server = NodeSetup::new(&mesh, "good", good.ip, &peers.certificates);
        server.workload.1 = "server".to_owned();
        let mut setup =
            NodeSetup::new(&mesh, "client", client.ip, &peers.certificates).limits(limits.clone());
        setup = setup.forward(client.port(9000), good.port(7000));
        for ((_, address), port) in servers.iter().zip(9001..) {
            setup = setup.forward(client.port(port), address.port(7000));
        }
        let scene = Scene {
            node: setup.start(),
            client,
            handlers: handlers.iter().map(|&handler| handler.to_owned()).collect(),
            _good: (server.start(), Address::take(), Server::start(good.port(7000), echo)),
            _servers: servers,
        };
        for (process, _) in &scene._servers {
            process.wait_for_line(PATIENCE, |line| line.starts_with("READY "));
        }
        scene
    }

    /// Where applications reach the server that behaves as `handler`.
    fn entry(&self, handler: &str) -> SocketAddr {
        let index = self.handlers.iter().position(|known| known == handler).unwrap();
        self.client.port(9001 + u16::try_from(index).unwrap())
    }

    /// Connects through that server.
    fn dial(&self, handler: &str) -> TcpStream {
        converse(self.entry(handler))
    }

    /// Says hello and listens for at most `patience`.
    fn hello(&self, handler: &str, patience: Duration) -> Heard {
        let heard = call(self.entry(handler), |stream| greet(stream, &pattern(1, HELLO), patience));
        assert!(pattern(1, HELLO).starts_with(&heard.bytes), "{handler}: other bytes than those sent");
        heard
    }

    /// Whether the node still carries a connection to somebody else, and every promise between it and its driver holds.
    fn lives_on(&self) {
        let data = pattern(7, 100_000);
        let heard = call(self.client.port(9000), |stream| exchange(stream, &data));
        assert!(heard.ending == Ending::Eof && heard.bytes == data, "{heard:?}");
        let misuse = self.node.events.all().into_iter().find(|event| matches!(event, Event::Misuse(_)));
        assert_eq!(misuse, None);
    }
}

/// Every handler at once, each in a thread; then a connection to somebody else.
fn each(handlers: &[&str], limits: &Limits, patience: Duration, judge: impl Fn(&str, Heard) + Sync) {
    let Some(peers) = Peers::find() else { return };
    let scene = Scene::new(&peers, handlers, limits);
    std::thread::scope(|scope| {
        for handler in handlers {
            let (scene, judge) = (&scene, &judge);
            scope.spawn(move || judge(handler, scene.hello(handler, patience)));
        }
    });
    scene.lives_on();
}

#[test]
fn echo_and_dial_carry_a_mebibyte_each_way() {
    let Some(peers) = Peers::find() else { return };
    let scene = Scene::new(&peers, &["echo", "dial"], &Limits::default());
    let _target = Server::start(scene._servers[1].1.port(7000), echo);
    for handler in ["echo", "dial"] {
        let data = pattern(2, 1 << 20);
        let heard = call(scene.entry(handler), |stream| exchange(stream, &data));
        assert!(heard.ending == Ending::Eof && heard.bytes == data, "{handler}: {heard:?}");
    }
    scene.lives_on();
}

#[test]
fn a_connect_that_is_not_answered_by_200_is_a_reset() {
    let handlers =
        ["status-403", "status-500", "status-204", "status-100", "reset-at-once", "data-before-headers"];
    each(&handlers, &Limits::default(), PATIENCE, |handler, heard| {
        assert_eq!((heard.bytes.len(), heard.ending), (0, Ending::Reset), "{handler}");
    });
}

#[test]
fn a_connect_without_an_answer_is_a_reset_at_the_deadline() {
    each(&["no-answer"], &short(), PATIENCE, |handler, heard| {
        assert_eq!((heard.bytes.len(), heard.ending), (0, Ending::Reset), "{handler}");
    });
}

#[test]
fn an_end_that_the_peer_declares_is_an_end() {
    each(&["end-with-headers", "truncate"], &Limits::default(), PATIENCE, |handler, heard| {
        let echoed = if handler == "truncate" { HELLO } else { 0 };
        assert_eq!((heard.bytes.len(), heard.ending), (echoed, Ending::Eof), "{handler}");
    });
}

#[test]
fn anything_else_that_ends_a_stream_is_a_reset() {
    let handlers = ["rst", "goaway-drop", "abort"];
    each(&handlers, &Limits::default(), PATIENCE, |handler, heard| {
        assert_eq!(heard.ending, Ending::Reset, "{handler}");
    });
}

#[test]
fn a_peer_that_stops_reading_is_dead_once_its_ping_is_overdue() {
    each(&["deaf"], &short(), PATIENCE, |handler, heard| {
        assert_eq!((heard.bytes.len(), heard.ending), (HELLO, Ending::Reset), "{handler}");
    });
}

#[test]
fn a_stream_that_goaway_spares_runs_to_its_end() {
    let Some(peers) = Peers::find() else { return };
    let scene = Scene::new(&peers, &["goaway"], &Limits::default());
    for _ in 0..3 {
        let data = pattern(3, 300_000);
        let heard = call(scene.entry("goaway"), |stream| exchange(stream, &data));
        assert!(
            heard.ending == Ending::Eof && heard.bytes == data,
            "{heard:?} {:?}",
            scene.node.events.reasons()
        );
    }
    scene.lives_on();
}

#[test]
fn a_stream_that_nobody_reads_holds_back_its_application_and_nobody_else() {
    let Some(peers) = Peers::find() else { return };
    let scene = Scene::new(&peers, &["never-read"], &Limits::default());
    let mut stream = scene.dial("never-read");
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let piece = vec![0; 64 << 10];
    let taken = (0..4096).find(|_| stream.write_all(&piece).is_err());
    // The peer's window of 4 MiB, our queues, and the kernel's buffers on both ends.
    assert!(taken.is_some_and(|pieces| pieces < 512), "{taken:?} pieces of 64 KiB were taken");
    scene.lives_on();
    stream.shutdown(Shutdown::Both).unwrap();
}

#[test]
fn frames_that_are_to_be_ignored_change_nothing() {
    let handlers = ["unknown-frame", "unknown-setting"];
    each(&handlers, &Limits::default(), Duration::from_secs(2), |handler, heard| {
        assert_eq!((heard.bytes.len(), heard.ending), (HELLO, Ending::Silence), "{handler}");
    });
}

#[test]
fn a_broken_http2_connection_is_a_reset_of_its_streams() {
    let handlers = [
        "data-on-stream-0",
        "data-on-idle-stream",
        "headers-on-even-stream",
        "naked-continuation",
        "push-promise",
        "rst-idle-stream",
        "settings-ack-with-payload",
        "settings-window-too-big",
        "window-update-0",
        "window-overflow",
        "ping-short",
        "hpack-garbage",
        "oversized-frame",
        "not-http2",
    ];
    each(&handlers, &Limits::default(), PATIENCE, |handler, heard| {
        assert_eq!(heard.ending, Ending::Reset, "{handler}");
    });
}

#[test]
fn a_flood_is_survived_and_harms_its_own_tunnel_only() {
    let handlers = ["ping-flood", "settings-flood", "priority-flood", "empty-data-flood"];
    each(&handlers, &short(), Duration::from_secs(3), |handler, heard| {
        let expected = if handler == "empty-data-flood" { Ending::Reset } else { Ending::Silence };
        assert_eq!(heard.ending, expected, "{handler}");
    });
}
