//! The programs against each other, as processes with real sockets, and with credentials as `culvert ca issue` writes them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use culvert::ca::Ca;
use culvert::credentials::{CredentialDirectory, store};
use tempfile::TempDir;

/// Longer than any call takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A mesh of a client and a server, on loopback addresses of their own.
struct Mesh {
    root: TempDir,
    file: PathBuf,
    server: String,
}

impl Mesh {
    fn new(number: u8) -> Mesh {
        let root = TempDir::new().unwrap();
        let pid = std::process::id().to_be_bytes();
        let address = |host| format!("127.{}.{}.{}", 64 + (pid[2] & 63), pid[3], 2 * number + host);
        let workload = |name: &str, address: String| {
            format!(
                "- {{uid: test//Pod/default/{name}, name: {name}, namespace: default, serviceAccount: {name}, \
                 trustDomain: cluster.local, workloadIps: [{address}], protocol: HBONE, node: {name}}}\n"
            )
        };
        let file = root.path().join("mesh.yaml");
        let (client, server) = (workload("client", address(0)), workload("server", address(1)));
        fs::write(&file, format!("workloads:\n{client}{server}")).unwrap();
        Mesh { root, file, server: address(1) }
    }

    /// Credentials of both workloads, of one authority.
    fn credentials(&self, name: &str) -> PathBuf {
        let ca = Ca::open_or_init(&self.root.path().join(format!("{name}-ca")), "cluster.local").unwrap();
        let directory = self.root.path().join(name);
        for workload in ["client", "server"] {
            let id = format!("spiffe://cluster.local/ns/default/sa/{workload}").parse().unwrap();
            let issued = ca.issue(&id, SystemTime::now(), Duration::from_secs(3600)).unwrap();
            store(&CredentialDirectory::new(&directory), &id, &issued).unwrap();
        }
        directory
    }

    fn program(&self, what: &str, credentials: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_embed_blocking"));
        command.arg(what).arg(&self.file).arg(credentials);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A server that listens already.
    fn serve(&self, credentials: &Path) -> Server {
        let mut process = self.program("serve", credentials).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let server = Server(process);
        assert_eq!(lines.next().unwrap().unwrap(), format!("listening on {}:15008", self.server));
        // Whatever else it says is taken, so that it is not held up.
        std::thread::spawn(move || lines.count());
        server
    }

    fn call(&self, credentials: &Path, port: u16, input: Vec<u8>) -> Output {
        let target = format!("{}:{port}", self.server);
        wait(self.program("call", credentials).arg(target).spawn().unwrap(), input)
    }
}

/// A server that is killed with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn wait(mut process: Child, input: Vec<u8>) -> Output {
    let mut stdin = process.stdin.take().unwrap();
    // A process that has failed early does not read it.
    std::thread::spawn(move || stdin.write_all(&input));
    let (stdout, stderr) = (collect(process.stdout.take().unwrap()), collect(process.stderr.take().unwrap()));
    let Ok(stdout) = stdout.recv_timeout(PATIENCE) else {
        process.kill().unwrap();
        panic!("the call does not end: {}", String::from_utf8_lossy(&stderr.recv().unwrap()));
    };
    Output { status: process.wait().unwrap(), stdout, stderr: stderr.recv().unwrap() }
}

/// All that a pipe has, once it ends.
fn collect(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        from.read_to_end(&mut all).unwrap();
        sender.send(all)
    });
    receiver
}

#[test]
fn what_is_called_comes_back_whole_and_the_exchange_ends_in_order() {
    let mesh = Mesh::new(0);
    let ours = mesh.credentials("ours");
    let _server = mesh.serve(&ours);
    // More than all buffers on the way together, so that every writer has to wait.
    let long: Vec<u8> = (0..8_u32 << 20).map(|i| (i % 251) as u8).collect();
    for input in [Vec::new(), b"hello".to_vec(), long] {
        let output = mesh.call(&ours, 8080, input.clone());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert!(output.stdout == input, "{} bytes of {} came back", output.stdout.len(), input.len());
        assert!(errors.contains("completed"), "{errors}");
    }
}

#[test]
fn a_caller_of_another_authority_gets_nothing() {
    let mesh = Mesh::new(1);
    let _server = mesh.serve(&mesh.credentials("ours"));
    let output = mesh.call(&mesh.credentials("theirs"), 8080, b"hello".to_vec());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{errors}");
    assert!(errors.contains("certificate") || errors.contains("identity"), "{errors}");
}

#[test]
fn a_port_of_the_proxy_is_never_reached_through_a_tunnel() {
    let mesh = Mesh::new(2);
    let ours = mesh.credentials("ours");
    let _server = mesh.serve(&ours);
    let output = mesh.call(&ours, 15001, b"hello".to_vec());
    assert!(!output.status.success() && output.stdout.is_empty());
}

#[test]
fn nobody_listens_where_the_server_was() {
    let mesh = Mesh::new(3);
    let output = mesh.call(&mesh.credentials("ours"), 8080, b"hello".to_vec());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("refused"), "{errors}");
}
