//! The programs against each other, as processes with real sockets, and with credentials as `culvert ca issue` writes them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use culvert::ca::Ca;
use culvert::credentials::Directory;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_embed_blocking");
/// Longer than any call takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Credentials of both workloads, of one authority.
fn credentials(root: &Path, name: &str) {
    let ca = Ca::open_or_init(&root.join(format!("{name}-ca")), "cluster.local").unwrap();
    for workload in ["echo", "caller"] {
        let id = format!("spiffe://cluster.local/ns/default/sa/{workload}").parse().unwrap();
        let issued = ca.issue(&id, SystemTime::now(), Duration::from_secs(3600)).unwrap();
        Directory::new(root.join(name)).store(&id, &issued).unwrap();
    }
}

/// A server that is killed with the test.
struct Server {
    process: Child,
    port: String,
}

impl Server {
    fn start(credentials: &Path) -> Server {
        let mut process = Command::new(PROGRAM)
            .args(["serve".as_ref(), credentials.as_os_str(), "0".as_ref()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Server { process, port: port.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn call(credentials: &Path, port: &str, app_port: &str, input: Vec<u8>) -> Output {
    let mut process = Command::new(PROGRAM)
        .args(["call".as_ref(), credentials.as_os_str(), port.as_ref(), app_port.as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
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
    let root = TempDir::new().unwrap();
    credentials(root.path(), "ours");
    let ours = root.path().join("ours");
    let server = Server::start(&ours);
    // More than all buffers on the way together, so that every writer has to wait.
    let long: Vec<u8> = (0..8_u32 << 20).map(|i| (i % 251) as u8).collect();
    for input in [Vec::new(), b"hello".to_vec(), long] {
        let output = call(&ours, &server.port, "8080", input.clone());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert!(output.stdout == input, "{} bytes of {} came back", output.stdout.len(), input.len());
        assert!(errors.contains("completed"), "{errors}");
    }
}

#[test]
fn a_caller_of_another_authority_gets_nothing() {
    let root = TempDir::new().unwrap();
    credentials(root.path(), "ours");
    credentials(root.path(), "theirs");
    let server = Server::start(&root.path().join("ours"));
    let output = call(&root.path().join("theirs"), &server.port, "8080", b"hello".to_vec());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{errors}");
    assert!(errors.contains("certificate") || errors.contains("identity"), "{errors}");
}

#[test]
fn a_port_of_the_proxy_is_never_reached_through_a_tunnel() {
    let root = TempDir::new().unwrap();
    credentials(root.path(), "ours");
    let ours = root.path().join("ours");
    let server = Server::start(&ours);
    let output = call(&ours, &server.port, "15001", b"hello".to_vec());
    assert!(!output.status.success() && output.stdout.is_empty());
}

#[test]
fn nobody_listens_where_the_server_was() {
    let root = TempDir::new().unwrap();
    credentials(root.path(), "ours");
    let ours = root.path().join("ours");
    let port = Server::start(&ours).port.clone();
    let output = call(&ours, &port, "8080", b"hello".to_vec());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{errors}");
    assert!(errors.contains("refused"), "{errors}");
}
