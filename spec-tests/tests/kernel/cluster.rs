//! Two nodes: `client` and `neighbour` on the first, `server` on the second; and an outsider.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use culvert_core::telemetry::{Connection, Event, Path};
use culvert_linux::lab::{Host, Lab, LabConfig};
use culvert_linux::redirect::{self, RedirectConfig};
use culvert_spec_tests::testbed::{Certificates, Mesh, NodeSetup, Runtime, Server, TestNode, converse};

pub struct Cluster {
    lab: Lab,
    pub mesh: Mesh,
    pub first: TestNode,
    pub second: TestNode,
}

const PODS: [&str; 3] = ["client", "neighbour", "server"];

impl Cluster {
    /// Its nodes run on this runtime.
    pub fn on(runtime: Runtime) -> Cluster {
        let config = LabConfig::new()
            .node("first", ["client", "neighbour"])
            .node("second", ["server"])
            .outsider("outsider");
        let lab = Lab::new(&config).unwrap();
        let certificates = Certificates::issue(&PODS);
        let mut mesh = Mesh::new();
        for name in PODS {
            let host = lab.host(name).unwrap();
            mesh = mesh.workload_as(name, name, &host.addresses());
            redirect::apply_in(&host.netns, &RedirectConfig::default()).unwrap();
        }
        let [client, neighbour, server] = PODS.map(|name| (name, &lab.host(name).unwrap().netns));
        let setup = NodeSetup::new(&mesh, "", Ipv6Addr::UNSPECIFIED.into(), &certificates);
        let setup = NodeSetup { runtime, ..setup };
        let (first, second) = (setup.start_for(&[client, neighbour]), setup.start_for(&[server]));
        Cluster { lab, mesh, first, second }
    }

    pub fn host(&self, name: &str) -> &Host {
        self.lab.host(name).unwrap()
    }

    /// A host's addresses, of each family.
    pub fn addresses(&self, name: &str) -> [IpAddr; 2] {
        self.host(name).addresses()
    }

    /// Dials from a host.
    pub fn dial(&self, from: &str, to: SocketAddr) -> TcpStream {
        self.host(from).run(|| converse(to)).unwrap()
    }

    /// Serves a port of a host on all of its addresses.
    pub fn serve(&self, name: &str, port: u16, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
        let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
        let listener = self.host(name).run(|| TcpListener::bind(any)).unwrap().unwrap();
        Server::with(listener, serve)
    }
}

/// Waits until a node has reported that a connection to `destination` was opened by `path`, and returns what it knows.
pub fn opened(node: &TestNode, destination: SocketAddr, path: Path) -> Connection {
    let wanted =
        |event: &Event| matches!(event, Event::Opened(c) if c.destination == destination && c.path == path);
    node.events.wait_for(1, wanted);
    let found = node.events.all().into_iter().find_map(|event| match event {
        Event::Opened(connection) if connection.destination == destination => Some(connection),
        _ => None,
    });
    found.unwrap().as_ref().clone()
}
