//! The program `culvert node` with a control plane.

use std::fs;
use std::net::IpAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::telemetry::{Event, Path};
use culvert_core::xds::Fact;
use culvert_spec_tests::control_plane::{Authority, ControlPlane, Manner, Received};
use culvert_spec_tests::testbed::{
    Address, Certificates, Ending, Mesh, NodeSetup, PATIENCE, Process, Runtime, Server, Stream, call,
    culvert, echo, exchange,
};
use tempfile::TempDir;

/// A server with a node in this process, and what a client's node that is a process is started with.
struct Scene {
    client: Address,
    server: Address,
    authority: Arc<Authority>,
    control_plane: ControlPlane,
    certificates: Certificates,
    files: TempDir,
    mesh: Mesh,
}

impl Scene {
    fn new() -> Scene {
        let (client, server, place) = (Address::take(), Address::take(), Address::take());
        let authority = Arc::new(Authority::new("istiod.istio-system.svc"));
        let control_plane = ControlPlane::serving(place.port(15_012), Some(authority.clone()));
        let own = format!(
            "uid: test//Pod/default/client, name: client, namespace: default, serviceAccount: client, \
             workloadIps: [{}], protocol: HBONE, node: k1",
            client.ip
        );
        let mesh = Mesh::new().workload_of(&own).workload("server", server.ip);
        control_plane.publish(mesh.snapshot().workloads().cloned().map(Fact::Workload));
        let certificates = Certificates::issue(&["client", "server"]);
        let files = TempDir::new().unwrap();
        fs::write(files.path().join("root.pem"), authority.pem()).unwrap();
        fs::write(files.path().join("token"), "projected").unwrap();
        certificates.write_for_node(&["client"], &files.path().join("credentials")).unwrap();
        Scene { client, server, authority, control_plane, certificates, files, mesh }
    }

    fn node(&self, runtime: Runtime, besides: &[&str]) -> Process {
        let mut command = Command::new(culvert());
        let file = |name: &str| self.files.path().join(name);
        command.args([
            "node",
            "--workload",
            "default/client/client",
            "--workers",
            "1",
            "--runtime",
            runtime.name(),
        ]);
        command.args(["--xds", &self.control_plane.url(), "--xds-hostname", self.authority.name()]);
        command.arg("--xds-root-ca").arg(file("root.pem")).arg("--xds-token").arg(file("token"));
        command.arg("--state").arg(file("state")).arg("--credentials").arg(file("credentials"));
        command.args(["--node-name", "k1", "--cluster-id", "east", "--xds-header", "x-team=mesh"]);
        command.args(["--forward", &format!("{}={}", self.client.port(9000), self.server.port(7000))]);
        command.args(besides);
        Process::spawn(&mut command, Stream::Errors)
    }

    fn traffic_flows(&self) {
        let heard = call(self.client.port(9000), |stream| exchange(stream, b"hello"));
        assert_eq!((heard.bytes.as_slice(), heard.ending), (&b"hello"[..], Ending::Eof));
    }
}

fn ip(address: &Address) -> IpAddr {
    address.ip
}

#[test]
fn a_node_says_ready_when_both_kinds_were_acknowledged_and_serves_without_its_control_plane() {
    let mut scene = Scene::new();
    let _server = NodeSetup::new(&scene.mesh, "server", ip(&scene.server), &scene.certificates).start();
    let _echo = Server::start(scene.server.port(7000), echo);
    scene.control_plane.set_manner(Manner { delay: Duration::from_millis(100), ..Manner::default() });
    let node = scene.node(Runtime::of_tests(), &[]);
    node.wait_for_line(PATIENCE, |line| line.contains("\"ready\""));
    for kind in [culvert_proto::ADDRESS, culvert_proto::AUTHORIZATION] {
        let is_ack = |received: &Received| {
            received.request.type_url == kind && !received.request.response_nonce.is_empty()
        };
        scene.control_plane.wait_for(is_ack);
    }
    assert_eq!(scene.control_plane.opened()[0].authorization, "Bearer projected");
    scene.traffic_flows();
    scene.control_plane.kill();
    node.wait_for_line(PATIENCE, |line| line.contains("control plane lost"));
    scene.traffic_flows();
    // What it knew is kept: another process serves by it, and is not ready.
    node.signal(libc::SIGTERM);
    node.wait_for_line(PATIENCE, |line| line.contains("\"drained\""));
    drop(node);
    let node = scene.node(Runtime::of_tests(), &[]);
    node.wait_for_line(PATIENCE, |line| line.contains("state restored"));
    node.wait_for_line(PATIENCE, |line| line.contains("\"listening\""));
    scene.traffic_flows();
    scene.control_plane.start();
    node.wait_for_line(PATIENCE, |line| line.contains("\"ready\""));
    scene.traffic_flows();
}

#[test]
fn a_node_on_demand_hears_what_there_is_before_it_connects() {
    let mut scene = Scene::new();
    let server = NodeSetup::new(&scene.mesh, "server", ip(&scene.server), &scene.certificates).start();
    let (outside, unheard) = (Address::take(), Address::take());
    let _echoes = [&scene.server, &outside, &unheard].map(|address| Server::start(address.port(7000), echo));
    let forward = |port: u16, to: &Address| format!("{}={}", scene.client.port(port), to.port(7000));
    let (plain, silent) = (forward(9001, &outside), forward(9002, &unheard));
    let besides =
        ["--xds-on-demand", "--limit", "wait-for-facts=1s", "--forward", &plain, "--forward", &silent];
    let node = scene.node(Runtime::of_tests(), &besides);
    node.wait_for_line(PATIENCE, |line| line.contains("\"ready\""));
    let asked = |address: &Address| {
        let name = format!("/{}", address.ip);
        move |received: &Received| received.request.resource_names_subscribe.contains(&name)
    };
    assert!(!scene.control_plane.received().iter().any(asked(&scene.server)));
    // What is in the mesh is reached by its tunnel, what is not in clear, and both were asked for.
    scene.traffic_flows();
    server.events.wait_for(1, |event| matches!(event, Event::Opened(c) if c.path == Path::Hbone));
    scene.control_plane.wait_for(asked(&scene.server));
    let heard = call(scene.client.port(9001), |stream| exchange(stream, b"hello"));
    assert_eq!((heard.bytes.as_slice(), heard.ending), (&b"hello"[..], Ending::Eof));
    scene.control_plane.wait_for(asked(&outside));
    // What nobody can tell of is not reached at all, while what was told of is.
    scene.control_plane.kill();
    let heard = call(scene.client.port(9002), |stream| exchange(stream, b"hello"));
    assert_eq!((heard.bytes.as_slice(), heard.ending), (&b""[..], Ending::Reset));
    node.wait_for_line(PATIENCE, |line| line.contains("facts"));
    scene.traffic_flows();
    // It is once there is somebody to ask.
    scene.control_plane.start();
    scene.control_plane.wait_for(asked(&unheard));
    let heard = call(scene.client.port(9002), |stream| exchange(stream, b"hello"));
    assert_eq!((heard.bytes.as_slice(), heard.ending), (&b"hello"[..], Ending::Eof));
}
