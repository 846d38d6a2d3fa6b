//! What the engine asks for: dial, interest, finish, close; and the pumping of sockets that follows.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use culvert_core::engine::boundary::{CloseMode, Input, Output, PodId, SocketId};
use culvert_core::engine::pump::{Budget, pump};
use culvert_core::fault::IoFault;
use culvert_core::telemetry::Event;
use culvert_core::time::Now;
use culvert_linux::socket::{DialError, DialOptions, dial, finish_on_close, shutdown_write, take_error};
use tokio::net::TcpStream;

use super::accept::canonical;
use super::{Driver, linger};
use crate::credentials::Request;
use crate::node::OriginalSource;

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

impl Driver {
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
                // No pod of this driver says that its application is in the process.
                Output::Deliver { socket, .. } => {
                    self.engine.handle_input(now, Input::Failed { socket, fault: IoFault::Refused });
                }
                Output::Join { a, b } => self.join(now, a, b),
                Output::NeedCredential(id) => {
                    let _gone = self.requests.send(Request::Need { id, worker: self.number });
                }
                Output::Finish { socket } => {
                    if let Some(entry) = self.table.get(socket) {
                        let _gone = shutdown_write(&entry.stream.0);
                    }
                }
                Output::Close { socket, mode } => self.close(socket, mode),
                Output::Report(event) => {
                    (self.on_event)(self.number, &event);
                    if event == Event::Drained {
                        self.stopped = true;
                    }
                }
            }
        }
    }

    /// Starts a dial; `tries` were made before.
    pub(super) fn connect(&mut self, now: Now, wanted: Dial, tries: usize) {
        let Dial { socket, pod, target, source } = wanted;
        let outcome = self.dial(pod, target, source).and_then(|fd| {
            let stream = std::net::TcpStream::from(fd);
            TcpStream::from_std(stream).map_err(|error| IoFault::from_error(&error))
        });
        match outcome {
            Ok(stream) => {
                self.table.insert(socket, stream, true);
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
            mark: self.mark,
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
            CloseMode::Discard => return linger::close(entry.stream.0),
            CloseMode::Graceful => {}
        }
        let _gone = finish_on_close(&entry.stream.0);
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
            let mut cx = Context::from_waker(&entry.waker);
            let stream = &entry.stream.0;
            let again = (readiness.read_blocked && stream.poll_read_ready(&mut cx).is_ready())
                || (readiness.write_blocked && stream.poll_write_ready(&mut cx).is_ready());
            if !again {
                return;
            }
        }
    }

    fn connect_ready(&mut self, now: Now, id: SocketId) {
        let Some(entry) = self.table.get(id) else { return };
        let mut cx = Context::from_waker(&entry.waker);
        match entry.stream.0.poll_write_ready(&mut cx) {
            Poll::Pending => return,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return self.dial_failed(now, id, IoFault::from_error(&error)),
        }
        match take_error(&entry.stream.0) {
            Ok(None) => match entry.stream.0.peer_addr().and_then(|_| entry.stream.0.local_addr()) {
                Ok(local) => {
                    entry.connecting = false;
                    entry.token.push();
                    self.engine.handle_input(now, Input::Connected { socket: id, local: canonical(local) });
                }
                Err(error) => self.dial_failed(now, id, IoFault::from_error(&error)),
            },
            Ok(Some(error)) | Err(error) => self.dial_failed(now, id, IoFault::from_error(&error)),
        }
    }

    fn dial_failed(&mut self, now: Now, id: SocketId, fault: IoFault) {
        self.engine.handle_input(now, Input::Failed { socket: id, fault });
    }
}
