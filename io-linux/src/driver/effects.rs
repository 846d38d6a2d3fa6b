//! What the engine asks for: dial, interest, finish, close; and the pumping of sockets that follows.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use culvert_core::engine::boundary::{CloseMode, Input, Output, PodId, ResolveFault, SocketId};
use culvert_core::engine::pump::{Budget, pump};
use culvert_core::fault::IoFault;
use culvert_core::telemetry::Event;
use culvert_core::time::Now;

use super::accept::canonical;
use super::{Driver, Runtime, Stream};
use crate::consumer::{self, Connection};
use crate::node::OriginalSource;
use crate::node::credentials::Request;
use crate::node::names::Lookup;
use crate::socket::{DialError, DialOptions, connected, dial, finish_on_close};

/// Bytes that one socket moves before others have their turn.
const BYTES_PER_TURN: usize = 1 << 20;

/// A dial that the engine wants.
#[derive(Clone, Copy)]
pub(super) struct Dial {
    pub(super) socket: SocketId,
    pod: PodId,
    target: SocketAddr,
    source: Option<IpAddr>,
}

impl<R: Runtime> Driver<R> {
    /// Does what the engine decided, until it has nothing more to say.
    pub(super) fn perform(&mut self, now: Now) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Connect { socket, pod, target, source } => {
                    self.connect(now, Dial { socket, pod, target, source }, 0);
                }
                Output::Interest { socket, interest } => {
                    if let Some(entry) = self.table.get(socket) {
                        entry.interest = interest;
                        if interest.read || interest.write {
                            entry.token.push();
                        }
                    }
                }
                Output::Deliver { socket, pod, peer, source, target, address } => {
                    let (ours, theirs) = consumer::connection();
                    let connection = Connection::delivered(theirs, peer, source, target);
                    let backlog = self.pods.iter().find(|p| p.id == pod).and_then(|p| p.consumer.as_ref());
                    if backlog.is_some_and(|backlog| backlog.offer(connection)) {
                        self.table.insert_memory(socket, ours);
                        self.engine.handle_input(now, Input::Connected { socket, local: address });
                    } else {
                        self.engine.handle_input(now, Input::Failed { socket, fault: IoFault::Refused });
                    }
                }
                Output::Join { a, b } => self.join(now, a, b),
                Output::NeedCredential { id, demand } => {
                    let _gone = self.requests.send(Request::Need { id, demand, worker: self.number });
                }
                Output::DropCredential(id) => {
                    let _gone = self.requests.send(Request::Drop { id, worker: self.number });
                }
                Output::Resolve { host } => {
                    let lookup = Lookup { host: host.clone(), worker: self.number };
                    if self.lookups.try_send(lookup).is_err() {
                        let outcome = Err(ResolveFault::Unavailable);
                        self.engine.handle_input(now, Input::Resolved { host, outcome });
                    }
                }
                Output::NeedFacts { name } => (self.on_need_facts)(name),
                Output::Finish { socket } => {
                    if let Some(entry) = self.table.get(socket) {
                        entry.stream.finish();
                    }
                }
                Output::Close { socket, mode } => self.close(socket, mode),
                Output::Report(event) => {
                    (self.on_event)(self.number, &event);
                    if event == Event::Drained {
                        self.drained = true;
                    }
                }
            }
        }
    }

    /// Starts a dial; `tries` were made before.
    pub(super) fn connect(&mut self, now: Now, wanted: Dial, tries: usize) {
        let Dial { socket, pod, target, source } = wanted;
        let outcome = self.dial(pod, target, source).and_then(|fd| {
            let inserted = self.table.insert(&mut self.runtime, socket, fd, true);
            inserted.map_err(|error| IoFault::from_error(&error))
        });
        match outcome {
            Ok(()) => {
                if let Some(entry) = self.table.get(socket) {
                    entry.token.push();
                }
            }
            Err(fault) if self.redials.take(now, wanted, tries, fault) => {}
            Err(fault) => self.engine.handle_input(now, Input::Failed { socket, fault }),
        }
    }

    /// Starts a connect in the pod's namespace. A source that may not be shown is left out (node.md row 14).
    fn dial(&self, pod: PodId, target: SocketAddr, source: Option<IpAddr>) -> Result<OwnedFd, IoFault> {
        let netns = self.pods.iter().find(|p| p.id == pod).and_then(|p| p.netns.as_ref());
        let _entered = match netns {
            Some(netns) => Some(netns.enter_scoped().map_err(|error| IoFault::from_error(&error))?),
            None => None,
        };
        let options = |source: Option<IpAddr>| DialOptions {
            mark: self.sockets.mark,
            keepalive: self.sockets.keepalive,
            user_timeout: self.sockets.user_timeout,
            source,
            transparent: source.is_some_and(|ip| !ip.is_loopback()),
            ..DialOptions::default()
        };
        let fault = |error: DialError| IoFault::from_error(error.io());
        match dial(target, &options(source)) {
            Err(error) if source.is_some() && self.original_source == OriginalSource::BestEffort => {
                match fault(error) {
                    IoFault::NotPermitted | IoFault::AddressUnavailable => {
                        dial(target, &options(None)).map_err(fault)
                    }
                    other => Err(other),
                }
            }
            outcome => outcome.map_err(fault),
        }
    }

    pub(super) fn close(&mut self, socket: SocketId, mode: CloseMode) {
        let Some(entry) = self.table.remove(socket) else { return self.redials.forget(socket) };
        if let Some(other) = entry.joined {
            self.joints.forget(socket, other);
            if let Some(other) = self.table.get(other) {
                other.joined = None;
            }
        }
        match mode {
            CloseMode::Abort => return,
            CloseMode::Discard => {
                let now = self.clock.now().time;
                if let Some(socket) = entry.stream.into_socket() {
                    self.lingering.close(now, socket);
                }
                return;
            }
            CloseMode::Graceful => {}
        }
        if let Some(socket) = entry.stream.descriptor() {
            let _gone = finish_on_close(socket);
        }
    }

    /// A socket may have become readable or writable, or the engine's interest has changed.
    pub(super) fn socket_ready(&mut self, now: Now, slot: usize) {
        let Some(entry) = self.table.at(slot) else { return };
        let id = entry.id;
        if entry.connecting {
            return self.connect_ready(now, id);
        }
        if entry.joined.is_some() {
            return self.joined_ready(now, id);
        }
        loop {
            let Some(entry) = self.table.get(id).filter(|entry| entry.joined.is_none()) else { return };
            let mut budget = Budget::bytes(BYTES_PER_TURN);
            let readiness = pump(&mut self.engine, id, now, &mut entry.stream, &mut budget);
            self.perform(now);
            let Some(entry) = self.table.get(id) else { return };
            if readiness.more {
                return entry.token.push();
            }
            let again = (readiness.read_blocked && entry.stream.poll_readable())
                || (readiness.write_blocked && entry.stream.poll_writable());
            if !again {
                return;
            }
        }
    }

    fn connect_ready(&mut self, now: Now, id: SocketId) {
        let Some(entry) = self.table.get(id) else { return };
        let Some(stream) = entry.stream.kernel() else { return };
        if !stream.poll_writable() {
            return;
        }
        match connected(&*stream) {
            // A runtime may wake too often.
            Ok(None) => {
                stream.write_would_block();
                if stream.poll_writable() {
                    entry.token.push();
                }
            }
            Ok(Some(local)) => {
                entry.connecting = false;
                entry.token.push();
                self.engine.handle_input(now, Input::Connected { socket: id, local: canonical(local) });
            }
            Err(error) => self.broke(now, id, &error),
        }
    }

    /// The kernel says that a socket is of no more use.
    pub(super) fn broke(&mut self, now: Now, socket: SocketId, error: &io::Error) {
        self.engine.handle_input(now, Input::Failed { socket, fault: IoFault::from_error(error) });
    }
}
