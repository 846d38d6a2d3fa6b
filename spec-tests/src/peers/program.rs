//! Each peer as a program, with what its tests vary.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::Peers;
use crate::testbed::Process;

/// The prefix of the identities in the shared PKI.
pub const IDENTITY: &str = "spiffe://cluster.local/ns/default/sa/";

/// Envoy as an HBONE server, on port 15008 of `bind`.
#[derive(Clone, Debug)]
pub struct EnvoyServer<'a> {
    /// The address.
    pub bind: IpAddr,
    /// The only service account it lets in.
    pub allow: &'a str,
    /// How it finds the target: `authority` or `main_internal`.
    pub route: &'a str,
}

/// Envoy as a waypoint, on port 15008 of `bind`: HTTP for its service, plain TCP for everything else.
#[derive(Clone, Debug)]
pub struct EnvoyWaypoint<'a> {
    /// The address.
    pub bind: IpAddr,
    /// The only service account it lets in.
    pub allow: &'a str,
    /// The service that it serves.
    pub service: SocketAddr,
    /// The pod behind the service, which takes HBONE on port 15008.
    pub endpoint: SocketAddr,
}

/// Envoy as an HBONE client: plain TCP in, one tunnel for each connection.
#[derive(Clone, Debug)]
pub struct EnvoyClient<'a> {
    /// The HBONE server.
    pub peer: SocketAddr,
    /// The only service account it takes for the server's.
    pub expect: &'a str,
    /// The target of every tunnel; `None` takes it from a PROXY protocol header.
    pub authority: Option<SocketAddr>,
    /// Further arguments.
    pub arguments: &'a [&'a str],
}

/// hyper-h2 as an HBONE server, on port 15008 of `bind`.
#[derive(Clone, Debug)]
pub struct PythonServer<'a> {
    /// The address.
    pub bind: IpAddr,
    /// What it does with each CONNECT.
    pub handler: &'a str,
}

/// hyper-h2 as an HBONE client that sends bytes through an echo.
#[derive(Clone, Debug)]
pub struct PythonClient<'a> {
    /// The HBONE server.
    pub server: SocketAddr,
    /// Any text.
    pub authority: &'a str,
    /// Further arguments.
    pub arguments: &'a [&'a str],
}

/// libcurl through an HBONE server.
#[derive(Clone, Debug)]
pub struct CurlGet<'a> {
    /// The HBONE server.
    pub server: SocketAddr,
    /// What to get.
    pub url: &'a str,
}

impl Peers {
    /// Starts it and waits until it listens.
    pub fn envoy_server(&self, server: &EnvoyServer<'_>) -> Process {
        let mut command = self.script("peer.py");
        command.args(["hbone-server", "--port", "15008", "--route", server.route]);
        command.args(["--set", &format!("bind={}", server.bind), "--allow", &identity(server.allow)]);
        command.arg("--certs").arg(&self.certificates.dir);
        self.start(command).0
    }

    /// Starts it and waits until it listens.
    pub fn envoy_waypoint(&self, waypoint: &EnvoyWaypoint<'_>) -> Process {
        let mut command = self.script("peer.py");
        command.args(["waypoint", "--port", "15008", "--allow", &identity(waypoint.allow)]);
        for (name, value) in [
            ("bind", waypoint.bind.to_string()),
            ("vip", waypoint.service.ip().to_string()),
            ("vip_port", waypoint.service.port().to_string()),
            ("endpoint_v1", waypoint.endpoint.to_string()),
            ("endpoint_v2", waypoint.endpoint.to_string()),
            ("dest_hbone_port", "15008".to_owned()),
        ] {
            command.args(["--set", &format!("{name}={value}")]);
        }
        command.arg("--certs").arg(&self.certificates.dir);
        self.start(command).0
    }

    /// Starts it and returns it with the address for plain TCP and that of its statistics.
    pub fn envoy_client(&self, client: &EnvoyClient<'_>) -> (Process, SocketAddr, String) {
        let mut command = self.script("peer.py");
        command.args([
            "hbone-client",
            "--peer",
            &client.peer.to_string(),
            "--allow",
            &identity(client.expect),
        ]);
        match client.authority {
            Some(target) => command.args(["--authority", &target.to_string()]),
            None => command.arg("--proxy-protocol"),
        };
        command.args(client.arguments).arg("--certs").arg(&self.certificates.dir);
        let (process, ready) = self.start(command);
        let ready: Value = serde_json::from_str(&ready).unwrap_or_else(|error| panic!("{ready}: {error}"));
        let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        let address = text("address").parse();
        (process, address.unwrap_or_else(|error| panic!("{ready}: {error}")), text("admin"))
    }

    /// Starts it; `Peers::wait_python_server` waits until it listens.
    pub fn spawn_python_server(&self, server: &PythonServer<'_>) -> Process {
        let mut command = self.script("hbone_py.py");
        command.args(["server", "--host", &server.bind.to_string(), "--port", "15008"]);
        command.args(["--handler", server.handler]).arg("--certs").arg(&self.certificates.dir);
        Process::spawn(&mut command, crate::testbed::Stream::Output)
    }

    /// Starts it and waits until it listens.
    pub fn python_server(&self, server: &PythonServer<'_>) -> Process {
        let process = self.spawn_python_server(server);
        process.wait_for_line(crate::testbed::PATIENCE, |line| line.starts_with("READY "));
        process
    }

    /// Runs it to its end: what it saw.
    pub fn python_client(&self, client: &PythonClient<'_>) -> Value {
        let mut command = self.script("hbone_py.py");
        command.args(["client", "--host", &client.server.ip().to_string()]);
        command.args(["--port", &client.server.port().to_string()]);
        command.args(["--authority", client.authority]).args(client.arguments);
        command.arg("--certs").arg(&self.certificates.dir);
        self.report(command)
    }

    /// Runs it to its end: what it saw.
    pub fn curl(&self, get: &CurlGet<'_>) -> Value {
        let mut command = self.script("hbone_curl.py");
        command.args([&get.server.to_string(), get.url]).arg(&self.certificates.dir);
        self.report(command)
    }
}

fn identity(service_account: &str) -> String {
    format!("{IDENTITY}{service_account}")
}
