//! Two pods on two nodes.

use std::net::SocketAddr;

use culvert_spec_tests::testbed::{Address, Certificates, Mesh, NodeSetup};

/// The addresses, the facts and the nodes of a client and a server that are each on a node of their own.
pub struct Pair {
    pub client: Address,
    pub server: Address,
    pub mesh: Mesh,
    pub certificates: Certificates,
}

impl Pair {
    /// A pair with an authority of its own.
    pub fn new() -> Pair {
        let (client, server) = (Address::take(), Address::take());
        let mesh = Mesh::new().workload("client", client.ip).workload("server", server.ip);
        Pair { client, server, mesh, certificates: Certificates::issue(&["client", "server"]) }
    }

    /// The client's node: what connects to a port of the client from 7000 to 7009 goes to the same port of the server.
    pub fn client_node(&self) -> NodeSetup {
        let setup = NodeSetup::new(&self.mesh, "client", self.client.ip, &self.certificates);
        (7000..7010).fold(setup, |setup, port| setup.forward(self.client.port(port), self.server.port(port)))
    }

    /// The server's node. It has a forward because a node without one waits for a redirect.
    pub fn server_node(&self) -> NodeSetup {
        NodeSetup::new(&self.mesh, "server", self.server.ip, &self.certificates)
            .forward(self.server.port(9999), self.client.port(9999))
    }

    /// Where the client's applications reach the server.
    pub fn entry(&self, port: u16) -> SocketAddr {
        self.client.port(port)
    }
}
