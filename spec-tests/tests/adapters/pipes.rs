//! Joined sockets of a node that has no descriptor for another pipe: whoever has none is relayed through memory from there on, and
//! whoever waits for its own other way gets its turn.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use culvert_spec_tests::testbed::{
    Address, Certificates, CulvertProcess, Ending, Mesh, NodeSetup, PATIENCE, Runtime, Server, converse,
    echo, exchange, hear, pattern, take,
};

/// Enough that some of it stays in the node's pipe while nobody reads it.
const MUCH: usize = 32 << 20;
/// What the stalled server says while it does not read; kernels take so much without anybody's help.
const ANSWER: usize = 50_000;

/// Lowers the limit of descriptors of a node so that it gets no more.
fn without_descriptors(node: &CulvertProcess) {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 20_000 };
    let process = libc::pid_t::try_from(node.process.id()).unwrap();
    // SAFETY: the struct lives as long as the call, which writes nothing.
    let outcome = unsafe { libc::prlimit(process, libc::RLIMIT_NOFILE, &none, std::ptr::null_mut()) };
    assert_eq!(outcome, 0, "{}", std::io::Error::last_os_error());
}

/// Sends until nothing more is taken for a while; the number of bytes that were.
fn fill(mut stream: &TcpStream, data: &[u8]) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut sent = 0;
    while let Ok(len) = stream.write(&data[sent..]) {
        sent += len;
        assert!(sent < data.len(), "nothing holds the sender back");
    }
    sent
}

/// A server that reads one byte, says so, and reads nothing more. When it is told it says something, and when it is told again it reads on.
fn stalls(address: SocketAddr) -> (Server, Sender<()>) {
    let (go_on, told) = channel();
    let told = Mutex::new(told);
    let server = Server::start(address, move |mut stream| {
        take(&stream, 1).unwrap();
        stream.write_all(&[1]).unwrap();
        let told = told.lock().unwrap();
        told.recv().unwrap();
        stream.write_all(&pattern(2, ANSWER)).unwrap();
        told.recv().unwrap();
        let heard = hear(&stream, PATIENCE);
        let len = u32::try_from(heard.bytes.len()).unwrap();
        let right = heard.ending == Ending::Eof && heard.bytes == pattern(1, MUCH)[1..=heard.bytes.len()];
        stream.write_all(&if right { len } else { 0 }.to_be_bytes()).unwrap();
    });
    (server, go_on)
}

/// A node between a client and two ports of a server outside the mesh.
struct Scene {
    client: Address,
    server: Address,
    node: CulvertProcess,
}

impl Scene {
    fn new(runtime: Runtime) -> Scene {
        let (client, server) = (Address::take(), Address::take());
        let mesh = Mesh::new().workload("client", client.ip);
        let certificates = Certificates::issue(&["client"]);
        let setup = NodeSetup { runtime, ..NodeSetup::new(&mesh, "client", client.ip, &certificates) };
        let setup = setup.forward(client.port(7000), server.port(7000));
        let node = setup.forward(client.port(7001), server.port(7001)).spawn();
        Scene { client, server, node }
    }
}

fn goes_on(runtime: Runtime) {
    let Scene { client, server, node } = Scene::new(runtime);
    let (_stalled_server, go_on) = stalls(server.port(7000));
    let _echo = Server::start(server.port(7001), echo);

    let other = converse(client.port(7001));
    assert!(take_back(&other, 1));
    let mut stalled = converse(client.port(7000));
    let data = pattern(1, MUCH);
    stalled.write_all(&data[..1]).unwrap();
    assert_eq!(take(&stalled, 1).unwrap(), [1], "{runtime:?}");
    // So far each way had the pipe in its turn. Now one keeps it, and there will be no other.
    without_descriptors(&node);
    let sent = fill(&stalled, &data[1..]);

    let deadline = Instant::now() + PATIENCE;
    let passed = (2..12).all(|number| take_back(&other, number));
    assert!(passed && Instant::now() < deadline, "{runtime:?}: a connection without a pipe stands still");
    let heard = exchange(&other, &pattern(12, 3 << 20));
    assert!(heard.ending == Ending::Eof && heard.bytes == pattern(12, 3 << 20), "{runtime:?}: {heard:?}");

    // The answer finds no pipe while the bytes before it wait in the only one.
    go_on.send(()).unwrap();
    assert_eq!(hear(&stalled, Duration::from_millis(300)).bytes.len(), 0, "{runtime:?}: it has another pipe");
    stalled.set_read_timeout(Some(PATIENCE)).unwrap();
    go_on.send(()).unwrap();
    assert!(
        take(&stalled, ANSWER).is_ok_and(|answer| answer == pattern(2, ANSWER)),
        "{runtime:?}: no answer"
    );
    stalled.shutdown(std::net::Shutdown::Write).unwrap();
    let counted = take(&stalled, 4).unwrap();
    assert_eq!(counted, u32::try_from(sent).unwrap().to_be_bytes(), "{runtime:?}: not every byte arrived");
}

/// As [`goes_on`], where it is the client that does not read, and that speaks meanwhile.
fn goes_on_the_other_way(runtime: Runtime) {
    let Scene { client, server, node } = Scene::new(runtime);
    let (pour, told) = channel();
    let (tell, heard) = channel();
    let told = Mutex::new(told);
    let _server = Server::start(server.port(7000), move |mut stream| {
        take(&stream, 1).unwrap();
        stream.write_all(&[1]).unwrap();
        told.lock().unwrap().recv().unwrap();
        tell.send(fill(&stream, &pattern(1, MUCH))).unwrap();
        let answer = take(&stream, ANSWER);
        tell.send(usize::from(answer.is_ok_and(|answer| answer == pattern(2, ANSWER)))).unwrap();
    });
    let mut stalled = converse(client.port(7000));
    stalled.write_all(&[1]).unwrap();
    assert_eq!(take(&stalled, 1).unwrap(), [1], "{runtime:?}");
    without_descriptors(&node);
    pour.send(()).unwrap();
    let sent = heard.recv_timeout(PATIENCE).unwrap();
    stalled.write_all(&pattern(2, ANSWER)).unwrap();
    let early = heard.recv_timeout(Duration::from_millis(300));
    assert!(early.is_err(), "{runtime:?}: it has another pipe");
    // Once its bytes are read the other way has the pipe.
    let poured = hear(&stalled, PATIENCE);
    assert!(
        poured.ending == Ending::Eof && poured.bytes == pattern(1, sent),
        "{runtime:?}: {poured:?} of {sent}"
    );
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(1), "{runtime:?}: the answer is another");
}

/// Sends some bytes and takes them back.
fn take_back(mut stream: &TcpStream, number: u64) -> bool {
    let bytes = pattern(number, 50_000);
    stream.write_all(&bytes).is_ok() && take(stream, bytes.len()).is_ok_and(|heard| heard == bytes)
}

#[test]
fn joined_connections_go_on_where_no_pipe_can_be_had() {
    std::thread::scope(|scope| {
        for runtime in Runtime::ALL {
            scope.spawn(move || goes_on(runtime));
            scope.spawn(move || goes_on_the_other_way(runtime));
        }
    });
}
