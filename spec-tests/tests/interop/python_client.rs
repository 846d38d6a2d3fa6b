//! hyper-h2 and libcurl as clients of our tunnels: well behaved, and otherwise.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use culvert_core::fault::Fault;
use culvert_core::hbone::mux::MuxFault;
use culvert_core::telemetry::{Event, Reason};
use culvert_spec_tests::peers::{CurlGet, Peers, PythonClient};
use culvert_spec_tests::testbed::{Address, Mesh, NodeSetup, PATIENCE, Server, TestNode, echo, read_line};
use serde_json::Value;

const SENT: u64 = 1_000_000;

/// Our node before a pod with an echo on port 7000.
struct Scene {
    peers: Peers,
    node: TestNode,
    server: Address,
    target: String,
    /// Connections that the echo has had.
    dialled: Arc<AtomicUsize>,
    _echo: Server,
}

impl Scene {
    fn new() -> Option<Scene> {
        Scene::with(|node| node)
    }

    fn with(change: impl FnOnce(NodeSetup) -> NodeSetup) -> Option<Scene> {
        let peers = Peers::find()?;
        let server = Address::take();
        let dialled = Arc::new(AtomicUsize::new(0));
        let count = dialled.clone();
        let serve = move |stream| {
            count.fetch_add(1, Ordering::SeqCst);
            echo(stream);
        };
        let mesh = Mesh::new().workload("server", server.ip);
        Some(Scene {
            node: change(NodeSetup::new(&mesh, "server", server.ip, &peers.certificates)).start(),
            target: server.port(7000).to_string(),
            _echo: Server::start(server.port(7000), serve),
            peers,
            server,
            dialled,
        })
    }

    /// Runs the client with an authority and further arguments.
    fn ask(&self, authority: &str, arguments: &[&str]) -> Value {
        let mut all = vec!["--bytes", "1000000"];
        all.extend(arguments);
        let client = PythonClient { server: self.server.hbone(), authority, arguments: &all };
        self.peers.python_client(&client)
    }

    fn misbehave(&self, how: &str) -> Value {
        self.ask(&self.target, &["--misbehave", how])
    }

    /// Why tunnels ended that broke HTTP/2, in order.
    fn http2_faults(&self) -> Vec<MuxFault> {
        let fault = |event| match event {
            Event::TunnelClosed { fault: Fault::Http2(fault), .. } => Some(fault),
            _ => None,
        };
        self.node.events.all().into_iter().filter_map(fault).collect()
    }

    /// Whether a good client is still served.
    fn lives_on(&self) {
        let seen = self.ask(&self.target, &["--expect", "spiffe://cluster.local/ns/default/sa/server"]);
        assert_well(&seen);
        let misuse = self.node.events.all().into_iter().find(|event| matches!(event, Event::Misuse(_)));
        assert_eq!(misuse, None);
    }
}

fn assert_well(seen: &Value) {
    assert_eq!(seen["error"], Value::Null, "{seen}");
    assert_eq!(seen["status"], 200, "{seen}");
    assert_eq!(seen["received"], SENT, "{seen}");
    assert_eq!(seen["matches"], true, "{seen}");
}

/// Runs several clients at once against one node, then a good one.
fn each(cases: &[&str], test: impl Fn(&Scene, &str) + Sync) {
    let Some(scene) = Scene::new() else { return };
    // Two at a time: these clients are slow, and none is to be late.
    for pair in cases.chunks(2) {
        std::thread::scope(|scope| {
            for case in pair {
                let (scene, test) = (&scene, &test);
                scope.spawn(move || test(scene, case));
            }
        });
    }
    scene.lives_on();
}

#[test]
fn a_good_client_is_served_over_tls_1_3_and_h2_with_our_settings() {
    let Some(scene) = Scene::new() else { return };
    let seen = scene.ask(&scene.target, &["--expect", "spiffe://cluster.local/ns/default/sa/server"]);
    assert_well(&seen);
    assert_eq!(seen["tls"]["version"], "TLSv1.3");
    assert_eq!(seen["tls"]["alpn"], "h2");
    // RFC 9113 section 6.5.2: 3 is MAX_CONCURRENT_STREAMS, 4 INITIAL_WINDOW_SIZE.
    assert_eq!(seen["settings"]["3"], 200, "{seen}");
    assert_eq!(seen["settings"]["4"], 4 << 20, "{seen}");
    assert!(seen["headers"]["baggage"].as_str().is_some_and(|b| b.contains("k8s.namespace.name=default")));
    scene.node.events.wait_for(1, |event| matches!(event, Event::Closed { reason: Reason::Completed, .. }));
}

#[test]
fn a_node_that_keeps_it_to_itself_does_not_say_what_the_workload_is() {
    let Some(scene) = Scene::with(|node| NodeSetup { response_baggage: false, ..node }) else { return };
    let seen = scene.ask(&scene.target, &[]);
    assert_well(&seen);
    assert_eq!(seen["headers"]["baggage"], Value::Null, "{seen}");
}

#[test]
fn a_window_of_a_few_bytes_is_served() {
    let Some(scene) = Scene::new() else { return };
    let seen = scene.ask(&scene.target, &["--window", "100", "--bytes", "20000"]);
    assert_eq!((&seen["received"], &seen["matches"]), (&20_000.into(), &true.into()), "{seen}");
    let seen = scene.ask(&scene.target, &["--window", "1", "--bytes", "300"]);
    assert_eq!((&seen["received"], &seen["matches"]), (&300.into(), &true.into()), "{seen}");
}

#[test]
fn a_client_that_pauses_gets_everything_later() {
    each(&["never-read", "deaf"], |scene, how| assert_well(&scene.misbehave(how)));
}

#[test]
fn frames_that_are_to_be_ignored_change_nothing() {
    each(&["unknown-frame", "unknown-setting"], |scene, how| assert_well(&scene.misbehave(how)));
}

#[test]
fn a_client_that_gives_up_resets_the_application() {
    let Some(peers) = Peers::find() else { return };
    let server = Address::take();
    let mesh = Mesh::new().workload("server", server.ip);
    let node = NodeSetup::new(&mesh, "server", server.ip, &peers.certificates).start();
    let (ends, ended) = std::sync::mpsc::channel();
    let _echo = Server::start(server.port(7000), move |mut stream: TcpStream| {
        let _receiver = ends.send(std::io::copy(&mut stream.try_clone().unwrap(), &mut stream).err());
    });
    for how in ["reset", "abort"] {
        let target = server.port(7000).to_string();
        let arguments = ["--misbehave", how];
        let client = PythonClient { server: server.hbone(), authority: &target, arguments: &arguments };
        peers.python_client(&client);
        let end = ended.recv_timeout(PATIENCE).unwrap();
        let kind = end.map(|error| error.kind());
        let reset = [std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::BrokenPipe];
        assert!(kind.is_some_and(|kind| reset.contains(&kind)), "{how}: the application saw {kind:?}");
    }
    assert!(!node.events.reasons().contains(&Reason::Completed));
}

#[test]
fn a_storm_of_resets_reaches_few_applications() {
    each(&["rst-storm"], |scene, how| {
        let seen = scene.misbehave(how);
        assert_ne!(seen["error"], Value::Null, "{seen}");
        let calm = [MuxFault::Local { code: 11 }];
        assert_eq!(scene.http2_faults(), calm, "{seen}");
        let dialled = scene.dialled.load(Ordering::SeqCst);
        assert!(dialled <= 1000, "{dialled} dials for 2000 streams that were reset at once");
    });
}

#[test]
fn what_breaks_http2_ends_the_connection_with_its_code() {
    // RFC 9113 section 7: 1 PROTOCOL_ERROR, 3 FLOW_CONTROL_ERROR, 6 FRAME_SIZE_ERROR. The general code serves for
    // frames that cannot be decoded, too.
    let codes = [
        ("data-on-stream-0", 1),
        ("data-on-idle-stream", 1),
        ("headers-on-even-stream", 1),
        ("naked-continuation", 1),
        ("push-promise", 1),
        ("rst-idle-stream", 1),
        ("settings-ack-with-payload", 1),
        ("settings-window-too-big", 1),
        ("window-update-0", 1),
        ("window-overflow", 3),
        ("ping-short", 1),
        ("hpack-garbage", 1),
        ("oversized-frame", 6),
        ("not-http2", 6),
    ];
    let Some(scene) = Scene::new() else { return };
    for (how, code) in codes {
        let before = scene.http2_faults().len();
        let seen = scene.misbehave(how);
        assert_ne!(seen["error"], Value::Null, "{how}: {seen}");
        // GOAWAY says it, too, where the client reads it before it finds that it can no longer write.
        assert!(seen["goaway"].is_null() || seen["goaway"]["code"] == code, "{how}: {seen}");
        assert_eq!(scene.http2_faults().split_off(before), [MuxFault::Protocol { code }], "{how}");
    }
    scene.lives_on();
}

#[test]
fn a_flood_is_survived() {
    each(&["ping-flood", "settings-flood", "priority-flood", "empty-data-flood"], |scene, how| {
        let seen = scene.misbehave(how);
        if how == "empty-data-flood" {
            assert_ne!(seen["error"], Value::Null, "{how}: {seen}");
        } else {
            assert_well(&seen);
        }
    });
}

#[test]
fn a_certificate_that_is_not_good_gets_no_stream() {
    each(&["other-td", "no-uri", "two-uris", "expired", "rogue"], |scene, name| {
        let seen = scene.ask(&scene.target, &["--cert", name]);
        assert_ne!(seen["error"], Value::Null, "{name}: {seen}");
        assert_eq!(seen["status"], Value::Null, "{name}: {seen}");
    });
}

#[test]
fn refused_certificates_leave_their_reasons_and_no_connection() {
    let Some(scene) = Scene::new() else { return };
    for (count, name) in ["other-td", "expired", "rogue"].into_iter().enumerate() {
        scene.ask(&scene.target, &["--cert", name]);
        let refused = |event: &Event| matches!(event, Event::TunnelClosed { fault: Fault::Identity(_), .. });
        scene.node.events.wait_for(count + 1, refused);
    }
    assert_eq!(scene.node.events.reasons(), []);
    assert_eq!(scene.dialled.load(Ordering::SeqCst), 0);
}

#[test]
fn an_authority_that_is_not_the_workload_is_refused_with_its_status() {
    let Some(scene) = Scene::new() else { return };
    let ip = scene.server.ip;
    let cases = [
        (scene.target.clone(), 200),
        (format!("[::ffff:{ip}]:7000"), 200),
        ("10.1.2.3:7000".to_owned(), 400),
        ("127.0.0.1:7000".to_owned(), 400),
        ("[::1]:7000".to_owned(), 400),
        ("[::ffff:127.0.0.1]:7000".to_owned(), 400),
        ("0.0.0.0:7000".to_owned(), 400),
        ("169.254.169.254:80".to_owned(), 400),
        (format!("{ip}:15008"), 503),
        (format!("{ip}:15001"), 503),
        (format!("{ip}:15006"), 503),
        (format!("{ip}:7001"), 503),
        ("nobody.example:7000".to_owned(), 503),
        (format!("{ip}"), 400),
        (format!("{ip}:"), 400),
        (format!("{ip}:0"), 400),
        (format!("{ip}:65536"), 400),
        (format!("{ip}:07000"), 400),
        (format!("user@{ip}:7000"), 400),
        (format!("{ip}:7000/"), 0),
        (format!("http://{ip}:7000"), 0),
        (String::new(), 0),
    ];
    for pair in cases.chunks(3) {
        std::thread::scope(|scope| {
            for (authority, status) in pair {
                let scene = &scene;
                scope.spawn(move || {
                    let seen = scene.ask(authority, &["--bytes", "10"]);
                    if *status == 0 {
                        // No authority at all: the request is malformed (RFC 9113 section 8.1.1), PROTOCOL_ERROR.
                        assert_eq!(seen["error"], "Reset: RST_STREAM 1", "{authority:?}: {seen}");
                    } else {
                        assert_eq!(seen["status"], *status, "{authority:?}: {seen}");
                    }
                });
            }
        });
    }
    scene.lives_on();
}

/// One HTTP/1.1 request, answered with its own first line.
fn http(mut stream: TcpStream) {
    let request = read_line(&stream);
    while read_line(&stream).trim() != "" {}
    let length = request.trim().len();
    let _gone = write!(
        stream,
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{}",
        request.trim()
    );
    let _eof = stream.read(&mut [0; 16]);
}

#[test]
fn curl_gets_a_page_through_our_node() {
    let Some(scene) = Scene::new() else { return };
    let _web = Server::start(scene.server.port(8080), http);
    let url = format!("http://{}/some/page", scene.server.port(8080));
    let seen = scene.peers.curl(&CurlGet { server: scene.server.hbone(), url: &url });
    assert_eq!((&seen["connect"], &seen["status"]), (&200.into(), &200.into()), "{seen}");
    assert_eq!(seen["body"], "GET /some/page HTTP/1.1", "{seen}");
    let nowhere = format!("http://{}/", scene.server.port(8081));
    let seen = scene.peers.curl(&CurlGet { server: scene.server.hbone(), url: &nowhere });
    assert_eq!(seen["connect"], 503, "{seen}");
}
