//! Real nodes in this process, on loopback addresses, between programs with real sockets.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use culvert_core::capture::Local;
use culvert_core::engine::boundary::WorkloadRef;
use culvert_core::identity::Trust;
use culvert_core::mesh::Snapshot;
use culvert_core::policy::Compat;
use culvert_core::telemetry::{Event, Reporter};
use culvert_linux::node::{
    Forward, Listening, Node, NodeConfig, NodeError, OriginalSource, PodConfig, Ports,
};
use culvert_linux::socket::SocketSettings;
use culvert_sim::world::{Script, Seen};
use culvert_spec_tests::testbed::{Address, Certificates, Events, Mesh, Server, TestNode};
use socket2::{Domain, SockRef, Socket, Type};

use super::Ground;
use crate::case::{Call, Case, End, History, Kind, Served, Side, Step};
use crate::program::{Program, Record, Records, bound_buffers, server_of};
use crate::restless::counter_of;

pub type Start = fn(NodeConfig, Arc<Snapshot>) -> Result<Node, NodeError>;

/// A runtime.
pub struct Kernel {
    pub name: &'static str,
    pub start: Start,
}

impl Ground for Kernel {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&self, case: &Case) -> History {
        self.run_counted(case).0
    }
}

/// What passed through the nodes' memory, where their runtime counts it.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Bytes that the nodes read.
    pub read: u64,
    /// The longest vector of any write.
    pub most_slices: usize,
}

impl Kernel {
    /// Runs a case, and tells what passed through memory. Only runtimes of [`crate::restless`] count.
    pub fn run_counted(&self, case: &Case) -> (History, Traffic) {
        let mut scene = Scene::new(case, self.start);
        for step in &case.steps {
            scene.step(step);
        }
        let counters = [scene.client.ip, scene.server.ip].map(counter_of);
        let history = scene.end();
        let traffic = Traffic {
            read: counters.iter().map(|counter| counter.bytes_read()).sum(),
            most_slices: counters.iter().map(|counter| counter.most_slices()).max().unwrap(),
        };
        (history, traffic)
    }
}

/// What keeps a port from answering: a listener whose queue is full.
struct Full {
    _listener: Socket,
    _first: TcpStream,
}

impl Full {
    fn new(address: SocketAddr) -> Full {
        let listener = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        listener.bind(&address.into()).unwrap();
        listener.listen(0).unwrap();
        Full { _first: TcpStream::connect(address).unwrap(), _listener: listener }
    }
}

/// The two names of every case, from one authority for all of them.
fn certificates() -> &'static Certificates {
    static ISSUED: OnceLock<Certificates> = OnceLock::new();
    ISSUED.get_or_init(|| Certificates::issue(&["client", "server"]))
}

struct Scene<'a> {
    case: &'a Case,
    client: Address,
    server: Address,
    mesh: Mesh,
    near: TestNode,
    far: Option<TestNode>,
    records: Records,
    /// The records of the clients, in the order of the calls.
    calls: Vec<usize>,
    _servers: Vec<Server>,
    _silent: Vec<Full>,
}

impl Scene<'_> {
    fn new(case: &Case, start: Start) -> Scene<'_> {
        let (client, server) = (Address::take(), Address::take());
        let mut mesh = Mesh::new();
        if case.kind != Kind::Incoming {
            mesh = mesh.workload("client", client.ip);
        }
        if case.kind != Kind::Outgoing {
            mesh = mesh.workload("server", server.ip);
        }
        let (out, within) = (pod_of_client(case, &client, &server), pod_of_server(case, &server));
        let node = |pods| run(start, case, pods, mesh.snapshot());
        let (near, far) = match case.kind {
            Kind::Tunnel => (node(vec![out]), Some(node(vec![within]))),
            Kind::Local => (node(vec![out, within]), None),
            Kind::Outgoing => (node(vec![out]), None),
            Kind::Incoming => (node(vec![within]), None),
        };
        if case.ahead.is_some() {
            bound_listeners([client.ip, server.ip]);
        }
        let records = Records::default();
        let (mut servers, mut silent) = (Vec::new(), Vec::new());
        for (port, served) in (7000..).zip(&case.served) {
            match served {
                Served::By(script) => servers.push(serve(server.port(port), script, case, &records)),
                Served::Silent => silent.push(Full::new(server.port(port))),
                Served::Nobody => {}
            }
        }
        Scene {
            case,
            client,
            server,
            mesh,
            near,
            far,
            records,
            calls: Vec::new(),
            _servers: servers,
            _silent: silent,
        }
    }

    /// Where a client reaches what is served.
    fn entry(&self, served: usize) -> SocketAddr {
        let number = u16::try_from(served).unwrap();
        match self.case.kind {
            Kind::Incoming => self.server.port(8000 + number),
            Kind::Local | Kind::Outgoing | Kind::Tunnel => self.client.port(7000 + number),
        }
    }

    /// Dials from the client's address.
    fn dial(&self, served: usize) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(self.client.port(0)), Type::STREAM, None)?;
        socket.bind(&self.client.port(0).into())?;
        socket.connect(&self.entry(served).into())?;
        Ok(socket.into())
    }

    fn node(&self, side: Side) -> &TestNode {
        match (side, &self.far) {
            (Side::Far, Some(far)) => far,
            (Side::Far | Side::Near, _) => &self.near,
        }
    }

    fn call(&mut self, served: usize, script: &Script) {
        let outcome = self.dial(served);
        let stream = match outcome {
            Ok(stream) => stream,
            Err(error) => {
                // A reset may come before the connect has returned.
                let seen = match error.kind() {
                    io::ErrorKind::ConnectionRefused => Seen::Refused,
                    io::ErrorKind::ConnectionReset => Seen::Reset,
                    _ => panic!("{}: a dial fails: {error}", self.case.name),
                };
                self.calls.push(self.records.add(true, self.client.port(0), seen));
                return;
            }
        };
        if self.case.ahead.is_some() {
            bound_buffers(&stream);
        }
        let number = self.records.add(true, stream.local_addr().unwrap(), Seen::Open);
        self.calls.push(number);
        let program = Program::new(&self.records, number, stream, script, self.case.chop);
        std::thread::spawn(move || program.run());
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Call { served, script } => self.call(*served, script),
            Step::Until { call, received } => {
                let number = self.calls[*call];
                self.wait("bytes come", |all| all[number].received >= *received || all[number].over);
                let record = self.records.all()[number].clone();
                assert!(record.received >= *received, "{}: it is over too early: {record:?}", self.case.name);
            }
            Step::Over { call } => {
                let number = self.calls[*call];
                self.wait("it is over", |all| all[number].over);
            }
            Step::Drain(side, within) => {
                let node = &self.node(*side).node;
                node.drain(*within);
                // Workers do what they are told in its order: whoever has taken this in, or has ended, is draining.
                node.apply(self.mesh.snapshot()).wait();
            }
            Step::Rotate => self.near.node.renew_credentials().wait(),
            Step::Deny => {
                self.mesh = self.mesh.clone().deny("no-more", "client");
                for node in [Some(&self.near), self.far.as_ref()].into_iter().flatten() {
                    node.node.apply(self.mesh.snapshot()).wait();
                }
            }
            Step::TurnedAway { served } => {
                let outcome = self.dial(*served);
                let refused = outcome.map_err(|error| error.kind()).err();
                assert_eq!(refused, Some(io::ErrorKind::ConnectionRefused), "{}", self.case.name);
            }
        }
    }

    fn wait(&self, what: &str, done: impl Fn(&[Record]) -> bool) {
        self.records.wait(&format!("{}: {what}", self.case.name), done);
    }

    fn end(self) -> History {
        self.wait("every application is done", |all| all.iter().all(|record| record.over));
        let nodes = [Some(self.near), self.far];
        for node in nodes.iter().flatten() {
            node.node.drain(Duration::from_secs(5));
        }
        let mut events = Vec::new();
        for TestNode { node, events: reported } in nodes.into_iter().flatten() {
            reported.wait_for(1, |event| *event == Event::Drained);
            node.join();
            events.push(reported.all());
        }
        let all = self.records.all();
        if let Some(wrong) = all.iter().find(|record| record.wrong.is_some()) {
            panic!("{}: {wrong:#?}", self.case.name);
        }
        let ahead = all.iter().filter(|record| record.is_client).map(|record| record.ahead).max();
        if let (Some(ahead), Some(most)) = (ahead, self.case.ahead) {
            assert!(ahead <= most, "{}: a sender is {ahead} bytes ahead", self.case.name);
        }
        let mut history = History {
            calls: self.calls.iter().map(|number| call(&all, *number)).collect(),
            near: reasons(&events[0]),
            far: events.get(1).map_or(Vec::new(), |events| reasons(events)),
            ..History::default()
        };
        for event in &events[0] {
            match event {
                Event::TunnelOpened { side: Reporter::Source, .. } => history.tunnels += 1,
                Event::Closed { connection, .. } if self.case.in_order => {
                    let from = |number: &usize| all[*number].local == connection.source;
                    history.order.extend(self.calls.iter().position(from));
                }
                Event::Misuse(what) => panic!("{}: the driver is wrong: {what}", self.case.name),
                Event::WorkerRestarted { why, .. } => panic!("{}: {why}", self.case.name),
                _ => {}
            }
        }
        history
    }
}

/// Makes the kernel's buffers small of all that the nodes at these addresses will accept: of itself it takes as much as the machine
/// permits, which may be more than a case sends.
fn bound_listeners(addresses: [IpAddr; 2]) {
    let names = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
    for number in names.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok()) {
        // SAFETY: the descriptor is looked at only; where it was closed meanwhile, duplicating it fails.
        let Ok(copy) = unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned() else { continue };
        let socket = SockRef::from(&copy);
        let local = socket.local_addr().ok().and_then(|address| address.as_socket());
        if local.is_some_and(|local| addresses.contains(&local.ip())) && socket.is_listener().unwrap_or(false)
        {
            bound_buffers(&copy);
        }
    }
}

/// A pod that the client's application calls out of.
fn pod_of_client(case: &Case, client: &Address, server: &Address) -> PodConfig {
    let forwards = (7000..).zip(&case.served).map(|(port, _)| Forward {
        listen: client.port(port),
        target: server.port(port),
        as_if: Listening::Outbound,
    });
    pod("client", client, forwards.collect())
}

/// A pod that the server runs in.
fn pod_of_server(case: &Case, server: &Address) -> PodConfig {
    let forwards = (0..).zip(&case.served).map(|(number, _)| Forward {
        listen: server.port(8000 + number),
        target: server.port(7000 + number),
        as_if: Listening::Inbound,
    });
    pod("server", server, forwards.collect())
}

fn pod(name: &str, address: &Address, forwards: Vec<Forward>) -> PodConfig {
    PodConfig {
        workload: WorkloadRef {
            namespace: "default".into(),
            name: name.into(),
            service_account: name.into(),
        },
        netns: None,
        address: Some(address.ip),
        ports: Ports { outbound: None, inbound: None, ..Ports::default() },
        forwards,
        consumer: None,
    }
}

fn run(start: Start, case: &Case, pods: Vec<PodConfig>, facts: Arc<Snapshot>) -> TestNode {
    let events = Events::default();
    let record = events.clone();
    let config = NodeConfig {
        pods,
        workers: 1,
        limits: case.limits.clone(),
        local: Local::default(),
        compat: Compat::Culvert,
        original_source: OriginalSource::Required,
        bind_pod_address: true,
        join: true,
        response_baggage: true,
        sockets: SocketSettings::default(),
        crypto: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        credentials: Box::new(certificates().clone()),
        trust: Trust::default(),
        on_event: Arc::new(move |worker, event| record.push(worker, event.clone())),
        on_need_facts: Arc::new(|name| panic!("{name} is asked for, which nobody answers")),
        on_credential_fault: Arc::new(|id, why| panic!("no credential for {id}: {why}")),
    };
    TestNode { node: start(config, facts).unwrap(), events }
}

/// A server whose every connection is a program.
fn serve(address: SocketAddr, script: &Script, case: &Case, records: &Records) -> Server {
    let (script, chop, records) = (script.clone(), case.chop, records.clone());
    let listener = TcpListener::bind(address).unwrap();
    if case.ahead.is_some() {
        bound_buffers(&listener);
    }
    Server::with(listener, move |stream| {
        let number = records.add(false, address, Seen::Open);
        Program::new(&records, number, stream, &script, chop).run();
    })
}

/// What the two ends of a call have seen, who hear each other and nobody else.
fn call(all: &[Record], client: usize) -> Call {
    let end = |record: &Record| End::new(record.received, record.seen);
    let server = server_of(all, client);
    let heard = all[client].hears.and_then(|stream| usize::try_from(stream).ok()?.checked_sub(1));
    assert!(heard.is_none() || heard == Some(client) || heard == server, "a client hears another's server");
    Call { client: end(&all[client]), server: server.map(|server| end(&all[server])) }
}

fn reasons(events: &[Event]) -> Vec<String> {
    let reason = |event: &Event| match event {
        Event::Closed { reason, .. } => Some(reason.to_string()),
        _ => None,
    };
    let mut reasons: Vec<String> = events.iter().filter_map(reason).collect();
    reasons.sort();
    reasons
}
