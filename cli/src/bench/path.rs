//! What is measured: processes between a client and the server, each with a near and a far way to go.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path as FilePath, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use culvert_core::identity::{SpiffeId, SpiffeIdError};

use super::figure::PathName;
use super::server;
use crate::args::DEFAULT_TRUST_DOMAIN;
use crate::ca::{Ca, CaError};
use crate::credentials::{CredentialDirectory, CredentialError, store};
use crate::runtime::Runtime;
use crate::signal;

/// Half of the round trip of the far way.
const DELAY: Duration = Duration::from_millis(25);
/// The port on which workloads take HBONE.
const HBONE: u16 = 15008;
/// How long the certificates of a run are valid.
const VALIDITY: Duration = Duration::from_secs(3600);

/// Why a path does not come up.
#[derive(Debug, thiserror::Error)]
pub(super) enum PathError {
    /// The system refused a file, a socket, a thread or a process.
    #[error("cannot {0}")]
    System(&'static str, #[source] io::Error),
    /// The certificates cannot be made.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The certificates cannot be written.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A name of the benchmark's own is no identity.
    #[error(transparent)]
    Identity(#[from] SpiffeIdError),
    /// Envoy did not start.
    #[error("envoy did not start as {role}: {said}")]
    Envoy {
        /// Its part in the path.
        role: &'static str,
        /// What it printed last.
        said: String,
    },
}

/// Processes between client and server.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) name: PathName,
    /// Where the client connects.
    pub(super) near: SocketAddr,
    /// The same, with a link of 50 ms round trip on the way.
    pub(super) far: SocketAddr,
    /// The proxies, all of them.
    pub(super) proxies: Vec<u32>,
    pub(super) children: Vec<Child>,
}

impl Drop for Path {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Both fail only for a process that is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The place of a run: the server, loopback addresses of its own, and a directory that goes with it.
#[derive(Debug)]
pub(super) struct Ground {
    dir: PathBuf,
    /// The server's port, on every loopback address.
    port: u16,
    /// The second and third octet of this run's addresses.
    net: [u8; 2],
}

impl Drop for Ground {
    fn drop(&mut self) {
        // What cannot be removed lies in the directory for temporary files.
        let _left = fs::remove_dir_all(&self.dir);
    }
}

impl Ground {
    /// Starts the server and issues the certificates.
    pub(super) fn prepare() -> Result<Ground, PathError> {
        let pid = std::process::id();
        let dir = std::env::temp_dir().join(format!("culvert-bench-{pid}"));
        fs::create_dir_all(&dir).map_err(|error| PathError::System("make a directory", error))?;
        let [.., high, low] = pid.to_be_bytes();
        let mut ground = Ground { dir, port: 0, net: [64 + high % 64, low] };
        ground.port = server::start().map_err(|error| PathError::System("start the server", error))?.port();
        let ca = Ca::open_or_init(&ground.dir.join("ca"), DEFAULT_TRUST_DOMAIN)?;
        for name in ["client", "server"] {
            let id = SpiffeId::new(DEFAULT_TRUST_DOMAIN, "bench", name)?;
            let issued = ca.issue(&id, SystemTime::now(), VALIDITY)?;
            store(&CredentialDirectory::new(ground.credentials()), &id, &issued)?;
        }
        Ok(ground)
    }

    fn credentials(&self) -> PathBuf {
        self.dir.join("credentials")
    }

    /// Certificates of the same CA as files `NAME.crt`, `NAME.key` and `ca.crt`.
    pub(super) fn plain_certificates(&self) -> Result<PathBuf, PathError> {
        let dir = self.credentials();
        fs::copy(dir.join("bundle.pem"), dir.join("bench").join("ca.crt"))
            .map_err(|error| PathError::System("write the root certificate", error))?;
        Ok(dir.join("bench"))
    }

    /// Address number `host` of this run.
    pub(super) fn address(&self, host: u8) -> IpAddr {
        Ipv4Addr::new(127, self.net[0], self.net[1], host).into()
    }

    /// The server, as seen at address number `host`.
    pub(super) fn server(&self, host: u8) -> SocketAddr {
        SocketAddr::new(self.address(host), self.port)
    }

    /// A link of 50 ms round trip from `listen` to `target`.
    pub(super) fn link(&self, listen: SocketAddr, target: SocketAddr) -> Result<SocketAddr, PathError> {
        server::start_link(listen, target, DELAY).map_err(|error| PathError::System("start a link", error))
    }

    /// Client to server, nothing between.
    pub(super) fn direct(&self) -> Result<Path, PathError> {
        let near = self.server(5);
        let far = self.link(SocketAddr::new(self.address(5), 0), near)?;
        Ok(Path { name: PathName::Direct, near, far, proxies: Vec::new(), children: Vec::new() })
    }

    /// Two nodes, each with one worker, and a third that is a server behind a link: the link has its address and the
    /// usual port.
    pub(super) fn culvert(&self, executable: &FilePath, runtime: Runtime) -> Result<Path, PathError> {
        let [client, server, server_far] = hosts(runtime);
        let [unused, near, far] = [0, 1, 2].map(|port| SocketAddr::new(self.address(client), 9000 + port));
        let behind = SocketAddr::new(self.address(server_far), HBONE + 10);
        self.link(SocketAddr::new(self.address(server_far), HBONE), behind)?;
        let mesh = self.mesh_file(runtime)?;
        // A forward makes a node listen at its workload's own address only; the servers' own forwards serve nobody.
        let [unused_near, unused_far] =
            [server, server_far].map(|host| (SocketAddr::new(self.address(host), 9000), unused));
        let nodes = [
            ("bench/client/client", HBONE, vec![(near, self.server(server)), (far, self.server(server_far))]),
            ("bench/server/server", HBONE, vec![unused_near]),
            ("bench/server-far/server", behind.port(), vec![unused_far]),
        ];
        let mut path =
            Path { name: PathName::Culvert(runtime), near, far, proxies: Vec::new(), children: Vec::new() };
        for (workload, port, forwards) in nodes {
            let mut command = Command::new(executable);
            command.arg("node").arg("--mesh").arg(&mesh).args(["--workload", workload, "--workers", "1"]);
            command.arg("--credentials").arg(self.credentials()).args(["--runtime", runtime.name()]);
            command.args(["--hbone-port", &port.to_string()]);
            for (listen, target) in forwards {
                command.arg("--forward").arg(format!("{listen}={target}"));
            }
            // The access log is written, as Envoy's is, to where it costs least.
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let child = signal::unblocked(&mut command)
                .spawn()
                .map_err(|error| PathError::System("start a node", error))?;
            path.proxies.push(child.id());
            path.children.push(child);
        }
        Ok(path)
    }

    /// The mesh: name, service account, address.
    fn mesh_file(&self, runtime: Runtime) -> Result<PathBuf, PathError> {
        let [client, server, server_far] = hosts(runtime);
        let mut text = "policies: []\nworkloads:\n".to_owned();
        for (name, account, host) in
            [("client", "client", client), ("server", "server", server), ("server-far", "server", server_far)]
        {
            text.push_str(&format!(
                "- uid: bench//Pod/bench/{name}\n  name: {name}\n  namespace: bench\n  serviceAccount: {account}\n  \
                 trustDomain: {DEFAULT_TRUST_DOMAIN}\n  workloadIps: [\"{}\"]\n  protocol: HBONE\n  node: {name}\n",
                self.address(host)
            ));
        }
        let path = self.dir.join(format!("mesh-{}.yaml", runtime.name()));
        fs::write(&path, text).map_err(|error| PathError::System("write the mesh", error))?;
        Ok(path)
    }
}

/// The last octets of the addresses of the client, the server and the server behind a link.
fn hosts(runtime: Runtime) -> [u8; 3] {
    match runtime {
        Runtime::Tokio => [11, 12, 13],
        Runtime::Smol => [21, 22, 23],
        Runtime::Mio => [31, 32, 33],
    }
}
