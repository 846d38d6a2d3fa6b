//! Envoy as the waypoint between two of our nodes, and as a sidecar that goes past one.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use culvert_core::fault::Fault;
use culvert_core::policy::Denial;
use culvert_core::telemetry::{Event, Path, Reason};
use culvert_spec_tests::peers::{EnvoyClient, EnvoyWaypoint, Peers};
use culvert_spec_tests::testbed::{
    Address, Ending, Mesh, NodeSetup, PATIENCE, Process, Server, TestNode, call, converse, echo, exchange,
    hear, pattern,
};

/// A client's node, Envoy as the waypoint of a service and of its only pod, and that pod's node.
struct Scene {
    near: TestNode,
    far: TestNode,
    client: Address,
    server: Address,
    waypoint: Address,
    _service: Address,
    _envoy: Process,
    _programs: Vec<Server>,
}

impl Scene {
    fn new(peers: &Peers, require_waypoint: bool) -> Scene {
        let [client, server, waypoint, service] = [(); 4].map(|()| Address::take());
        let programs = vec![Server::start(server.port(7000), echo), Server::start(server.port(8080), greet)];
        let envoy = peers.envoy_waypoint(&EnvoyWaypoint {
            bind: waypoint.ip,
            allow: "client",
            service: service.port(80),
            endpoint: server.port(8080),
        });
        let before = format!("waypoint: {{destination: /{}}}", waypoint.ip);
        let pod = |name: &str, ips: &str| {
            format!(
                "uid: test//Pod/default/{name}, name: {name}, namespace: default, serviceAccount: {name}, \
                 workloadIps: [{ips}], protocol: HBONE, node: here"
            )
        };
        let mesh = Mesh::new()
            .workload("client", client.ip)
            // What Envoy dials it dials from the host's own address.
            .workload_of(&pod("waypoint", &format!("{}, 127.0.0.1", waypoint.ip)))
            .workload_of(&format!(
                "{}, services: {{default/shop: {{}}}}, {before}",
                pod("server", &server.ip.to_string())
            ))
            .service_of(&format!(
                "name: shop, namespace: default, hostname: shop, vips: [/{}], ports: {{80: 8080}}, {before}",
                service.ip
            ));
        let near = NodeSetup::new(&mesh, "client", client.ip, &peers.certificates)
            .forward(client.port(80), service.port(80))
            .forward(client.port(7000), server.port(7000))
            .start();
        let mut far = NodeSetup::new(&mesh, "server", server.ip, &peers.certificates);
        far.require_waypoint = require_waypoint;
        let far = far.start();
        Scene { near, far, client, server, waypoint, _service: service, _envoy: envoy, _programs: programs }
    }
}

/// An HTTP server that answers one request.
fn greet(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n")
        && std::io::Read::read(&mut stream, &mut byte).is_ok_and(|len| len == 1)
    {
        head.extend(byte);
    }
    let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello");
}

fn get(address: SocketAddr) -> String {
    let mut stream = converse(address);
    stream.write_all(b"GET /api/x HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n").unwrap();
    String::from_utf8(hear(&stream, PATIENCE).bytes).unwrap()
}

#[test]
fn a_service_is_reached_through_envoy_and_so_is_its_pod() {
    let Some(peers) = Peers::find() else { return };
    // The pod requires it: nothing but the waypoint could have reached it.
    let scene = Scene::new(&peers, true);
    let answer = get(scene.client.port(80));
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    assert!(answer.contains("x-upstream-cluster: service-v1"), "Envoy routed it: {answer}");
    let data = pattern(1, 1 << 20);
    let heard = call(scene.client.port(7000), |stream| exchange(stream, &data));
    assert!(heard.ending == Ending::Eof && heard.bytes == data, "{heard:?}");
    let through = |event: &Event| {
        matches!(event, Event::Closed { connection, reason: Reason::Completed, .. }
            if connection.path == Path::Hbone
                && connection.destination_identity.as_ref().is_some_and(|id| id.service_account() == "waypoint"))
    };
    scene.near.events.wait_for(1, through);
    scene.far.events.wait_for(2, |event| {
        matches!(event, Event::Opened(connection)
            if connection.source_identity.as_ref().is_some_and(|id| id.service_account() == "waypoint"))
    });
}

#[test]
fn a_sidecar_goes_past_the_waypoint_where_that_is_not_forbidden() {
    let Some(peers) = Peers::find() else { return };
    for require in [false, true] {
        let scene = Scene::new(&peers, require);
        let sidecar = EnvoyClient {
            peer: scene.server.hbone(),
            expect: "server",
            authority: Some(scene.server.port(7000)),
            arguments: &[],
        };
        let (_envoy, outbound, _) = peers.envoy_client(&sidecar);
        let data = pattern(2, 10_000);
        let heard = call(outbound, |stream| exchange(stream, &data));
        assert_eq!(heard.bytes == data, !require, "{heard:?}");
        if require {
            scene.far.events.wait_for(1, |event| {
                matches!(
                    event,
                    Event::Closed { reason: Reason::Failed(Fault::Denied(Denial::PastWaypoint)), .. }
                )
            });
        }
    }
}

#[test]
fn nothing_goes_past_a_waypoint_that_is_not_there() {
    let Some(peers) = Peers::find() else { return };
    let mut scene = Scene::new(&peers, false);
    scene._envoy.kill();
    let heard = call(scene.client.port(7000), |stream| exchange(stream, b"anybody there"));
    assert!(heard.ending == Ending::Reset && heard.bytes.is_empty(), "{heard:?}");
    scene.near.events.wait_for(1, |event| {
        matches!(event, Event::Closed { connection, reason: Reason::Failed(Fault::Io(_)), .. }
            if connection.hbone == Some(scene.waypoint.hbone()))
    });
    assert!(!scene.far.events.all().iter().any(|event| matches!(event, Event::Opened(_))));
}

/// A sidecar that does not say that it takes HBONE gets plain TCP at its own address, where its inbound listener is.
#[test]
fn a_sidecar_that_takes_no_tunnels_is_reached_in_clear() {
    let Some(peers) = Peers::find() else { return };
    let [client, legacy] = [(); 2].map(|()| Address::take());
    let _program = Server::start(legacy.port(7000), echo);
    let mesh = Mesh::new().workload("client", client.ip).workload_of(&format!(
        "uid: legacy, name: legacy, namespace: default, workloadIps: [{}], protocol: TCP",
        legacy.ip
    ));
    let node = NodeSetup::new(&mesh, "client", client.ip, &peers.certificates)
        .forward(client.port(7000), legacy.port(7000))
        .start();
    let data = pattern(3, 10_000);
    let heard = call(client.port(7000), |stream| exchange(stream, &data));
    assert!(heard.ending == Ending::Eof && heard.bytes == data, "{heard:?}");
    node.events.wait_for(1, |event| {
        matches!(event, Event::Closed { connection, reason: Reason::Completed, .. } if connection.path == Path::Plaintext)
    });
}
