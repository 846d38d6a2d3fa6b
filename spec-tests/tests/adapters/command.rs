//! What a node is told takes effect whoever tells it, and whatever state its workers are in.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use culvert_core::engine::boundary::WorkloadRef;
use culvert_core::engine::pump::Socket;
use culvert_core::identity::SpiffeId;
use culvert_core::telemetry::Event;
use culvert_linux::consumer::backlog;
use culvert_linux::driver::{self, Driver, Listen, Stream, Token};
use culvert_linux::node::{
    CredentialSource, Forward, Listening, Material, Node, NodeConfig, NodeError, PodConfig,
};
use culvert_linux::socket::AcceptError;
use culvert_spec_tests::testbed::{Address, Certificates, Mesh, PATIENCE, Runtime, hear};

/// Calls before a command: by then nothing that the start of a node brings wakes its worker.
const CALLS: usize = 30;

/// A node for one workload, of which port 7000 leads to where nobody listens.
fn config(address: &Address, mesh: &Mesh, credentials: impl CredentialSource) -> NodeConfig {
    let (consumer, incoming) = backlog(1);
    drop(incoming);
    let workload = WorkloadRef::new("default", "client", "client");
    let mut pod = PodConfig::in_process(&mesh.snapshot(), workload, consumer).unwrap();
    pod.forwards.push(Forward {
        listen: address.port(7000),
        target: address.port(7001),
        as_if: Listening::Outbound,
    });
    NodeConfig::new(vec![pod], rustls::crypto::aws_lc_rs::default_provider(), credentials)
}

fn is_told_on_its_own_thread(runtime: Runtime) {
    let address = Address::take();
    let mesh = Mesh::new().workload("client", address.ip);
    let mut config = config(&address, &mesh, Certificates::issue(&["client"]));
    let own = Arc::<OnceLock<Weak<Node>>>::default();
    let (tell, told) = channel();
    let (node, closed) = (own.clone(), AtomicUsize::new(0));
    config.on_event = Arc::new(move |_, event| match event {
        Event::Closed { .. } => {
            if closed.fetch_add(1, Ordering::Relaxed) + 1 < CALLS {
                return;
            }
            if let Some(node) = node.get().and_then(Weak::upgrade) {
                node.drain(Duration::ZERO);
            }
        }
        Event::Drained => tell.send(()).unwrap(),
        _ => {}
    });
    let node = Arc::new(runtime.start(config, mesh.snapshot()).unwrap());
    own.set(Arc::downgrade(&node)).unwrap();
    for _ in 0..CALLS {
        // It is reset, maybe before this side knows that it was taken.
        if let Ok(refused) = TcpStream::connect(address.port(7000)) {
            hear(&refused, PATIENCE);
        }
    }
    assert!(
        told.recv_timeout(PATIENCE).is_ok(),
        "{runtime:?}: the worker forgets what it was told on its own thread"
    );
}

#[test]
fn a_command_from_the_worker_itself_is_not_forgotten() {
    for runtime in Runtime::ALL {
        is_told_on_its_own_thread(runtime);
    }
}

/// A runtime that cannot be had, or only once and for no time.
struct Nothing<const ONCE: bool>;

enum Never {}

impl<const ONCE: bool> driver::Runtime for Nothing<ONCE> {
    type Stream = Never;
    type Listener = Deaf;

    fn run(start: impl FnOnce(Self) -> io::Result<Driver<Self>>) -> io::Result<()> {
        if ONCE && LIVES.fetch_add(1, Ordering::Relaxed) == 0 {
            drop(start(Nothing)?);
        }
        Err(io::ErrorKind::OutOfMemory.into())
    }

    fn stream(&mut self, _: OwnedFd, _: &Arc<Token>) -> io::Result<Never> {
        Err(io::ErrorKind::OutOfMemory.into())
    }

    fn listener(&mut self, listener: TcpListener, _: &Arc<Token>) -> io::Result<Deaf> {
        Ok(Deaf(listener))
    }
}

/// A listener from which nobody takes anything.
struct Deaf(#[expect(dead_code, reason = "it is open, that is all")] TcpListener);

impl Listen for Deaf {
    fn poll_accept(&mut self) -> Result<Option<(OwnedFd, SocketAddr)>, AcceptError> {
        Ok(None)
    }
}

impl Socket for Never {
    fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }

    fn try_write(&mut self, _: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match *self {}
    }
}

impl AsFd for Never {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}

impl Stream for Never {
    fn poll_readable(&mut self) -> bool {
        match *self {}
    }

    fn poll_writable(&mut self) -> bool {
        match *self {}
    }

    fn read_would_block(&mut self) {}

    fn write_would_block(&mut self) {}

    fn into_socket(self) -> io::Result<OwnedFd> {
        match self {}
    }
}

/// Ends a node whose workers do not begin again.
fn ends(end: impl FnOnce(Node) + Send + 'static) {
    let address = Address::take();
    let mesh = Mesh::new().workload("client", address.ip);
    let config = config(&address, &mesh, Certificates::issue(&["client"]));
    LIVES.store(0, Ordering::Relaxed);
    let node = Node::start::<Nothing<true>>(config, mesh.snapshot()).unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        end(node);
        tell.send(()).unwrap();
    });
    assert!(told.recv_timeout(PATIENCE).is_ok(), "it does not end");
    assert!(TcpStream::connect(address.port(7000)).is_err(), "a listener is left");
}

/// Lives of the workers of the node of a test; one test at a time has one.
static LIVES: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_node_whose_workers_cannot_begin_does_not_start() {
    let address = Address::take();
    let mesh = Mesh::new().workload("client", address.ip);
    let config = config(&address, &mesh, Certificates::issue(&["client"]));
    let refused = Node::start::<Nothing<false>>(config, mesh.snapshot());
    assert!(matches!(refused, Err(NodeError::Worker(_))));
    assert!(TcpStream::connect(address.port(7000)).is_err(), "a listener is left");
}

#[test]
fn a_node_whose_workers_cannot_begin_again_can_be_ended() {
    ends(drop);
    ends(|node| {
        node.drain(Duration::ZERO);
        node.join();
    });
}

/// A source with a defect.
struct Defective;

impl CredentialSource for Defective {
    fn fetch(&self, _: &SpiffeId) -> Result<Material, String> {
        panic!("a defect of the source")
    }
}

#[test]
fn a_source_of_credentials_that_panics_is_asked_again() {
    let address = Address::take();
    let mesh = Mesh::new().workload("client", address.ip);
    let mut config = config(&address, &mesh, Defective);
    let (tell, told) = channel();
    config.on_credential_fault = Arc::new(move |_, why| tell.send(why.to_owned()).unwrap_or_default());
    let _node = Runtime::Mio.start(config, mesh.snapshot()).unwrap();
    for _ in 0..2 {
        assert_eq!(told.recv_timeout(PATIENCE).as_deref(), Ok("a defect of the source"));
    }
}

/// A source that hangs for one identity until it is let go, and tells of whom it was asked for.
struct Hanging {
    certificates: Certificates,
    asked: Mutex<Sender<SpiffeId>>,
    until: Mutex<Receiver<()>>,
}

impl CredentialSource for Hanging {
    fn fetch(&self, id: &SpiffeId) -> Result<Material, String> {
        self.asked.lock().unwrap().send(id.clone()).unwrap_or_default();
        if id.service_account() == "client" {
            let _released = self.until.lock().unwrap().recv();
        }
        self.certificates.fetch(id)
    }
}

#[test]
fn a_source_of_credentials_that_hangs_for_one_identity_delays_no_other() {
    let address = Address::take();
    let mesh = Mesh::new().workload("client", address.ip).workload("server", address.ip);
    let (tell, asked) = channel();
    let (release, until) = channel();
    let source = Hanging {
        certificates: Certificates::issue(&["client", "server"]),
        asked: Mutex::new(tell),
        until: Mutex::new(until),
    };
    let mut config = config(&address, &mesh, source);
    let (consumer, _incoming) = backlog(1);
    let workload = WorkloadRef::new("default", "server", "server");
    let mut pod = PodConfig::in_process(&mesh.snapshot(), workload, consumer).unwrap();
    pod.ports.hbone = 15_009;
    config.pods.push(pod);
    let node = Runtime::Mio.start(config, mesh.snapshot()).unwrap();
    let mut names = [(); 2].map(|()| asked.recv_timeout(PATIENCE).unwrap().service_account().to_owned());
    names.sort_unstable();
    assert_eq!(names, ["client", "server"]);
    // Only what was served can be renewed, and the one that hangs is not waited for.
    node.renew_credentials().wait();
    drop(node);
    drop(release);
}
