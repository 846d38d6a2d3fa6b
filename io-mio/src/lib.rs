//! Culvert's engine on bare mio: for each worker one thread, one poll loop and one engine. The smallest adapter, and the reference
//! for authors of others.
//!
//! What workers do is [`culvert_linux::driver`]'s. A loop of this crate is: a turn of the driver, then a wait for events, each of
//! which is noted with its socket and wakes its token.

mod connection;
mod listener;
mod readiness;
mod stream;

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task;
use std::thread::{self, ThreadId};
use std::time::Duration;

pub use connection::{Connection, waker};
use culvert_core::mesh::Snapshot;
use culvert_linux::driver::{Driver, Runtime, Token, Turn};
use culvert_linux::node::{Node, NodeConfig, NodeError};
use listener::MioListener;
use mio::{Events, Poll};
use readiness::Sources;
use stream::MioStream;

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;
/// mio's token of what wakes a worker from another thread; sockets have the others.
const WAKE: mio::Token = mio::Token(usize::MAX - 1);

/// Starts a node whose workers run on mio.
///
/// # Errors
/// A listener or a thread cannot be had; nothing is left running then.
pub fn start(config: NodeConfig, snapshot: Arc<Snapshot>) -> Result<Node, NodeError> {
    Node::start::<Mio>(config, snapshot)
}

/// mio as a driver sees it.
#[derive(Debug)]
pub struct Mio {
    sources: Rc<Sources>,
}

impl Runtime for Mio {
    type Stream = MioStream;
    type Listener = MioListener;

    fn run(start: impl FnOnce(Mio) -> io::Result<Driver<Mio>>) -> io::Result<()> {
        drive(start)
    }

    fn stream(&mut self, socket: OwnedFd, token: &Arc<Token>) -> io::Result<MioStream> {
        MioStream::new(socket, token, &self.sources)
    }

    fn listener(&mut self, listener: TcpListener, token: &Arc<Token>) -> io::Result<MioListener> {
        MioListener::new(listener, token, &self.sources)
    }
}

/// Makes a poll loop on this thread, gives it to `start`, and turns the driver that `start` returns until it has stopped: what
/// [`Runtime::run`] is, for a runtime that wraps this one, to count or to disturb what it does.
///
/// # Errors
/// The kernel has no room for the loop, or breaks it, or `start` fails.
pub fn drive<R: Runtime>(start: impl FnOnce(Mio) -> io::Result<Driver<R>>) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(EVENTS);
    let sources = Rc::new(Sources::new(poll.registry().try_clone()?));
    let alarm = Alarm { thread: thread::current().id(), waker: mio::Waker::new(poll.registry(), WAKE)? };
    let waker = task::Waker::from(Arc::new(alarm));
    let mut driver = start(Mio { sources: sources.clone() })?;
    loop {
        let patience = match driver.turn(&waker) {
            Turn::Stopped => return Ok(()),
            Turn::Again => Some(Duration::ZERO),
            Turn::Wait(at) => at.map(|at| driver.until(at)),
        };
        match poll.poll(&mut events, patience) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        // All of them before the next turn: a socket that a turn closes leaves its place to another.
        for event in &events {
            sources.note(event);
        }
    }
}

/// Interrupts the wait of a worker's loop.
struct Alarm {
    thread: ThreadId,
    waker: mio::Waker,
}

impl task::Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // On its own thread the loop is not waiting, and looks at everything before it does.
        if thread::current().id() != self.thread {
            // It fails only where the loop is gone.
            let _gone = self.waker.wake();
        }
    }
}
