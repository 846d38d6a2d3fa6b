//! A control plane for tests: delta xDS over real sockets, behaving as Istio's does towards node proxies (control-plane.md 3.4),
//! or worse: it can split, repeat, shuffle and delay what it says, say what makes no sense, and die.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod authority;
mod facts;
mod serve;
mod stream;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use culvert_core::mesh::Snapshot;
use culvert_core::xds::{Fact, ResourceType};
use culvert_proto::discovery::{DeltaDiscoveryRequest, Node};
use tokio::sync::{oneshot, watch};

pub use authority::Authority;
use facts::Facts;

use crate::testbed::PATIENCE;

/// How what is said is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Each resource in a response of its own.
    pub split: bool,
    /// Each response twice.
    pub repeat: bool,
    /// The resources of a response in an order that this number says.
    pub shuffle: Option<u64>,
    /// Nothing is said about these, until it is said after all.
    pub withhold: Option<ResourceType>,
    /// How long each response waits before it is sent.
    pub delay: Duration,
    /// After so many responses a stream ends, as when a control plane recycles its streams.
    pub recycle_after: Option<usize>,
}

/// A request that was received, and what came with it.
#[derive(Clone, Debug)]
pub struct Received {
    /// The stream's number, from 0.
    pub stream: usize,
    /// What was said.
    pub request: DeltaDiscoveryRequest,
}

impl Received {
    /// The reason of a NACK.
    pub fn error(&self) -> Option<&str> {
        self.request.error_detail.as_ref().map(|status| status.message.as_str())
    }
}

/// A stream that was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The value of `authorization`.
    pub authorization: String,
    /// The value of `clusterid`.
    pub cluster_id: String,
}

/// What the streams share, and what outlives a restart.
#[derive(Debug, Default)]
struct Shared {
    facts: Mutex<Facts>,
    manner: Mutex<Manner>,
    received: Mutex<Vec<Received>>,
    opened: Mutex<Vec<Opened>>,
}

/// A control plane. It serves from [`ControlPlane::start`] to [`ControlPlane::kill`], as often as a test likes, at one address.
#[derive(Debug)]
pub struct ControlPlane {
    address: SocketAddr,
    authority: Option<Arc<Authority>>,
    shared: Arc<Shared>,
    /// Counts changes, for the streams to see that there are some.
    changes: watch::Sender<u64>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl ControlPlane {
    /// One that does not serve yet, at `address`; over TLS if `authority` issues it a certificate.
    pub fn new(address: SocketAddr, authority: Option<Arc<Authority>>) -> ControlPlane {
        ControlPlane {
            address,
            authority,
            shared: Arc::default(),
            changes: watch::Sender::new(0),
            running: None,
        }
    }

    /// One that serves.
    ///
    /// # Panics
    /// The address is in use.
    pub fn serving(address: SocketAddr, authority: Option<Arc<Authority>>) -> ControlPlane {
        let mut control_plane = ControlPlane::new(address, authority);
        control_plane.start();
        control_plane
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Begins to serve.
    ///
    /// # Panics
    /// It serves already, or the address is in use.
    pub fn start(&mut self) {
        assert!(self.running.is_none(), "it serves already");
        let (stop, stopped) = oneshot::channel();
        let listener = std::net::TcpListener::bind(self.address).expect("the address is free");
        let acceptor = self.authority.as_ref().map(|authority| authority.acceptor());
        let (shared, changes) = (self.shared.clone(), self.changes.subscribe());
        let thread = std::thread::spawn(move || serve::run(listener, acceptor, shared, changes, stopped));
        self.running = Some(Running { stop, thread });
    }

    /// Ends all connections without a word, and with them what it knew of its streams. The facts stay.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            let _stopped = running.stop.send(());
            running.thread.join().expect("it has not panicked");
        }
    }

    /// How it says what it says from here on.
    pub fn set_manner(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
        self.changes.send_modify(|count| *count += 1);
    }

    /// Something is so from here on.
    pub fn publish(&self, facts: impl IntoIterator<Item = Fact>) {
        self.shared.facts.lock().unwrap().publish(facts);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Things come and go at once.
    pub fn change(&self, facts: impl IntoIterator<Item = Fact>, gone: &[(ResourceType, String)]) {
        let mut known = self.shared.facts.lock().unwrap();
        known.publish(facts);
        gone.iter().for_each(|(of, name)| known.withdraw(*of, name));
        drop(known);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Something is not so any more.
    pub fn withdraw(&self, of: ResourceType, name: &str) {
        self.change([], &[(of, name.to_owned())]);
    }

    /// It says something that makes no sense: a resource of these bytes.
    pub fn publish_bytes(&self, of: ResourceType, name: &str, bytes: Vec<u8>) {
        self.shared.facts.lock().unwrap().publish_bytes(of, name, bytes);
        self.changes.send_modify(|count| *count += 1);
    }

    /// What a node comes to that hears of everything, what makes no sense left out.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.facts.lock().unwrap().snapshot()
    }

    /// What it was asked so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// The streams so far.
    pub fn opened(&self) -> Vec<Opened> {
        self.shared.opened.lock().unwrap().clone()
    }

    /// Who asked in the first request of the first stream.
    pub fn first_node(&self) -> Option<Node> {
        self.received().into_iter().find_map(|received| received.request.node)
    }

    /// Waits until a request is a wanted one, and returns it.
    ///
    /// # Panics
    /// It does not come.
    pub fn wait_for(&self, wanted: impl Fn(&Received) -> bool) -> Received {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.received().into_iter().find(&wanted) {
                return found;
            }
            assert!(Instant::now() < deadline, "not asked: {:#?}", self.received());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.kill();
    }
}
