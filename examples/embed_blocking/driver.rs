//! A driver of one engine: non-blocking sockets of `std`, `poll(2)`, one thread.
//!
//! Level-triggered and without tables of readiness, it is the shortest driver that is right, and a reference for others. What
//! a node proxy does beyond it: redirected listeners in the pods' namespaces, relays in the kernel, several workers.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use culvert_core::engine::boundary::{
    CloseMode, Input, Interest, Listener, Origin, Output, PodId, ResolveFault, SocketId, WorkloadRef,
};
use culvert_core::engine::pump::{Budget, Socket, pump};
use culvert_core::engine::{Config, Engine};
use culvert_core::fault::IoFault;
use culvert_core::identity::{Credential, IdentityFault, Issued, SpiffeId, TrustBundle};
use culvert_core::mesh::Snapshot;
use culvert_core::telemetry::{Event, Reason};
use culvert_core::time::{Now, Time, WallTime};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// The one pod of this process. Its number is the driver's choice.
const POD: PodId = PodId(1);
/// Bytes that a socket moves before others have their turn.
const TURN: usize = 1 << 20;
/// Bytes that wait for the engine in an application's memory at most.
const ECHO: usize = 64 << 10;

/// The application: the other end of a socket that no kernel has. Its methods are seen from the engine: what it reads is what the
/// application sends.
pub struct Application {
    echoes: bool,
    /// What it sends, and whether that is all.
    sends: VecDeque<u8>,
    ended: bool,
}

impl Application {
    /// Sends back what it receives, and ends when its peer does.
    pub fn echo() -> Application {
        Application { echoes: true, sends: VecDeque::new(), ended: false }
    }

    /// Sends this and ends; what it receives goes to standard output.
    pub fn caller(input: Vec<u8>) -> Application {
        Application { echoes: false, sends: input.into(), ended: true }
    }

    /// Whether a pump would move anything: memory has nothing that `poll` could tell of.
    fn is_ready(&self, interest: Interest) -> bool {
        let has = !self.sends.is_empty() || self.ended;
        let room = !self.echoes || self.sends.len() < ECHO;
        (interest.read && has) || (interest.write && room)
    }
}

impl Socket for Application {
    fn try_read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if self.sends.is_empty() && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.sends.read(space) // 0 is FIN: nothing is left, and it has ended.
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.echoes {
            return io::stdout().write_vectored(slices);
        }
        // What it does not take, the engine keeps, and holds back the peer that sends it: memory stays bounded.
        let room = ECHO.saturating_sub(self.sends.len());
        let taken: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(room).collect();
        if taken.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.sends.extend(&taken);
        Ok(taken.len())
    }
}

/// What a `SocketId` stands for.
enum Transport {
    Memory(Application),
    Kernel { stream: TcpStream, connecting: bool },
}

struct Entry {
    transport: Transport,
    interest: Interest,
}

/// `std`'s sockets need an adapter of their own: the trait is core's.
struct Stream<'a>(&'a TcpStream);

impl Socket for Stream<'_> {
    fn try_read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.0.read(space)
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(slices)
    }
}

/// An engine with its sockets and clocks.
pub struct Driver {
    engine: Engine,
    sockets: BTreeMap<SocketId, Entry>,
    listener: Option<TcpListener>,
    config: Config,
    credentials: PathBuf,
    start: Instant,
    /// Set where there is one connection to wait for; how it ended, once it has.
    call: Option<Option<Reason>>,
    drained: bool,
}

impl Driver {
    pub fn new(config: Config, facts: Snapshot, credentials: PathBuf, workload: WorkloadRef) -> Driver {
        let start = Instant::now();
        let mut engine = Engine::new(config.clone(), Arc::new(facts), now(start));
        engine.handle_input(now(start), Input::PodAdded { pod: POD, workload, consumer: true });
        let sockets = BTreeMap::new();
        Driver { engine, sockets, listener: None, config, credentials, start, call: None, drained: false }
    }

    /// Tunnels to the pod arrive here.
    pub fn listen(&mut self, listener: TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        self.listener = Some(listener);
        Ok(())
    }

    /// The application opens a connection; [`Driver::run`] returns once it has ended.
    pub fn dial(&mut self, peer: SocketAddr, target: SocketAddr, application: Application) {
        let origin =
            Origin { pod: POD, listener: Listener::Consumer, peer, local: target, original: Some(target) };
        let socket = self.engine.accept(now(self.start), origin);
        self.insert(socket, Transport::Memory(application));
        self.call = Some(None);
    }

    fn insert(&mut self, socket: SocketId, transport: Transport) {
        self.sockets.insert(socket, Entry { transport, interest: Interest::default() });
    }

    /// The loop: do what the engine wants, wait, tell it what happened.
    pub fn run(&mut self) -> Result<(), Box<dyn Error>> {
        loop {
            self.perform();
            if self.drained {
                return match self.call.take().flatten() {
                    Some(Reason::Completed) | None => Ok(()),
                    Some(reason) => Err(reason.to_string().into()),
                };
            }
            for socket in self.wait()? {
                self.pump(socket);
            }
            self.accept()?;
            // Sent at every turn instead of only when a deadline has come: it costs little, and nothing can be forgotten.
            self.engine.handle_input(now(self.start), Input::Tick);
        }
    }

    /// Takes every output and does it. Inputs that answer one make more of them, which the loop takes too.
    fn perform(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            let now = now(self.start);
            match output {
                Output::Connect { socket, target, source, .. } => match connect(target, source) {
                    Ok(stream) => self.insert(socket, Transport::Kernel { stream, connecting: true }),
                    Err(error) => {
                        let fault = IoFault::from_error(&error);
                        self.engine.handle_input(now, Input::Failed { socket, fault });
                    }
                },
                // Permitted already. An application that has no room now would answer with `Failed` and `IoFault::Refused`.
                Output::Deliver { socket, peer, address, .. } => {
                    println!("{peer:?} dials {address}");
                    self.insert(socket, Transport::Memory(Application::echo()));
                    self.engine.handle_input(now, Input::Connected { socket, local: address });
                }
                Output::Interest { socket, interest } => {
                    if let Some(entry) = self.sockets.get_mut(&socket) {
                        entry.interest = interest;
                    }
                }
                Output::Finish { socket } => match self.sockets.get_mut(&socket).map(|e| &mut e.transport) {
                    Some(Transport::Kernel { stream, .. }) => drop(stream.shutdown(Shutdown::Write)),
                    Some(Transport::Memory(application)) => application.ended = true,
                    None => {}
                },
                Output::Close { socket, mode } => {
                    // A socket that is dropped sends FIN. What must be seen as a reset needs SO_LINGER of zero; `Discard` is
                    // for applications' sockets of the kernel, of which this driver has none.
                    if let Some(Entry { transport: Transport::Kernel { stream, .. }, .. }) =
                        self.sockets.remove(&socket)
                        && mode == CloseMode::Abort
                    {
                        let _best_effort = sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
                    }
                }
                // All facts are here from the beginning.
                Output::NeedFacts { name } => {
                    self.engine.handle_input(now, Input::Known { name });
                }
                // No workload of this mesh is known by a name alone.
                Output::Resolve { host } => {
                    let outcome = Err(ResolveFault::Unavailable);
                    self.engine.handle_input(now, Input::Resolved { host, outcome });
                }
                // Files are read when they are asked for; nothing is kept, so nothing is dropped.
                Output::DropCredential(_) => {}
                Output::NeedCredential { id, .. } => {
                    let outcome = self.read_credential(&id, now.wall);
                    let outcome =
                        outcome.map_err(|error| IdentityFault::Unavailable(error.to_string().into()));
                    self.engine.handle_input(now, Input::Credential { id, outcome });
                }
                // `Config::join` is false. A driver that cannot relay says so.
                Output::Join { a, b } => self.engine.handle_input(now, Input::Parted { a, b }),
                Output::Report(event) => self.report(now, &event),
            }
        }
    }

    fn report(&mut self, now: Now, event: &Event) {
        match event {
            Event::Closed { connection, reason, bytes_sent, bytes_received, .. } => {
                let (source, target) = (connection.source, connection.destination);
                eprintln!("{source} to {target}: {bytes_sent} sent, {bytes_received} received, {reason}");
                if let Some(ended) = &mut self.call {
                    *ended = Some(reason.clone());
                    // Nothing more to do: tunnels end in order, with GOAWAY and close_notify, within a second.
                    self.engine
                        .handle_input(now, Input::Drain { until: now.time.after(Duration::from_secs(1)) });
                }
            }
            Event::TunnelClosed { fault, .. } => eprintln!("a tunnel closed: {fault}"),
            Event::Drained => self.drained = true,
            event if event.is_error() => eprintln!("a defect: {event:?}"),
            _ => {}
        }
    }

    /// Waits until a socket is ready for what the engine can use, or a deadline has come. Says which sockets to pump.
    fn wait(&self) -> Result<Vec<SocketId>, Box<dyn Error>> {
        let mut ready = Vec::new();
        let (mut ids, mut fds) = (Vec::new(), Vec::new());
        for (id, Entry { transport, interest }) in &self.sockets {
            match transport {
                Transport::Memory(application) if application.is_ready(*interest) => ready.push(*id),
                Transport::Memory(_) => {}
                Transport::Kernel { stream, connecting } => {
                    let mut flags = PollFlags::empty();
                    flags.set(PollFlags::IN, interest.read);
                    flags.set(PollFlags::OUT, interest.write || *connecting);
                    // One of which nothing is wanted is left out: poll would go on telling that it hung up.
                    if !flags.is_empty() {
                        ids.push(*id);
                        fds.push(PollFd::new(stream, flags));
                    }
                }
            }
        }
        fds.extend(self.listener.as_ref().map(|listener| PollFd::new(listener, PollFlags::IN)));
        let left = |at: Time| at.since(now(self.start).time);
        let timeout = if ready.is_empty() {
            self.engine.next_deadline().map(|d| left(d.at))
        } else {
            Some(Duration::ZERO)
        };
        let timeout = timeout.map(Timespec::try_from).transpose()?;
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // The listener's, if there is one, is the last and has no id.
        let hot = ids.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|(id, _)| *id);
        ready.extend(hot);
        Ok(ready)
    }

    /// Moves bytes both ways until the socket blocks, the engine has enough, or the turn is over.
    fn pump(&mut self, socket: SocketId) {
        let now = now(self.start);
        // Closed since `wait` saw it: normal.
        let Some(entry) = self.sockets.get_mut(&socket) else { return };
        let mut budget = Budget::bytes(TURN);
        match &mut entry.transport {
            Transport::Memory(application) => {
                pump(&mut self.engine, socket, now, application, &mut budget);
            }
            Transport::Kernel { stream, connecting: false } => {
                pump(&mut self.engine, socket, now, &mut Stream(stream), &mut budget);
            }
            Transport::Kernel { stream, connecting } => {
                let outcome = stream.take_error().and_then(|error| error.map_or(Ok(()), Err));
                match outcome.and_then(|()| stream.local_addr()) {
                    Ok(local) => {
                        *connecting = false;
                        self.engine.handle_input(now, Input::Connected { socket, local });
                    }
                    Err(error) => {
                        let fault = IoFault::from_error(&error);
                        self.engine.handle_input(now, Input::Failed { socket, fault });
                    }
                }
            }
        }
    }

    /// Takes the tunnels that peers opened.
    fn accept(&mut self) -> io::Result<()> {
        while let Some(listener) = &self.listener {
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The peer has gone already. Out of descriptors, a driver in production pauses instead of giving up.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let local = stream.local_addr()?;
            let origin = Origin { pod: POD, listener: Listener::InboundHbone, peer, local, original: None };
            let socket = self.engine.accept(now(self.start), origin);
            self.insert(socket, Transport::Kernel { stream, connecting: false });
        }
        Ok(())
    }

    /// Reads a credential of the directory that `culvert ca issue` writes. Renewing one is the same input again, with a higher
    /// generation.
    fn read_credential(&self, id: &SpiffeId, wall: WallTime) -> Result<Arc<Credential>, Box<dyn Error>> {
        let file = |name: &str| std::fs::read(self.credentials.join(name));
        let name = format!("{}/{}", id.namespace(), id.service_account());
        let bundle = TrustBundle::empty().with_roots_pem(id.trust_domain(), &file("bundle.pem")?)?;
        let issued = Issued { id: id.clone(), chain: Vec::new(), bundle: Arc::new(bundle), generation: 1 };
        let (chain, key) = (file(&format!("{name}.crt"))?, file(&format!("{name}.key"))?);
        Ok(Arc::new(Credential::from_pem(issued, &chain, &key, &self.config.crypto, wall)?))
    }
}

/// Both clocks, read once for each call of the engine: one that never runs backwards, and one for certificates.
fn now(start: Instant) -> Now {
    let time = Time::from_nanos(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Now { time, wall: WallTime::from_unix_secs(wall.as_secs()) }
}

/// Begins a dial that does not block, from this source where one is named.
fn connect(target: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    if let Some(source) = source {
        rustix::net::bind(&socket, &SocketAddr::new(source, 0))?;
    }
    match rustix::net::connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}
