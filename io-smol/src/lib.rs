//! Culvert's engine on smol: one engine on each worker's thread, sockets and timer of async-io around it.
//!
//! What workers do is [`culvert_linux::driver`]'s; here are the sockets, the timer and the loop of smol. All workers of a process
//! share async-io's one reactor; whichever of them waits looks for the readiness of all.

mod connection;
mod listener;
mod stream;

use std::future::{Future, poll_fn};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

pub use connection::Connection;
use culvert_core::mesh::Snapshot;
use culvert_core::time::Time;
use culvert_linux::driver::{Driver, Runtime, Token, Turn};
use culvert_linux::node::{Node, NodeConfig, NodeError};
use listener::SmolListener;
use smol::Timer;
use stream::SmolStream;

/// Starts a node whose workers run on smol.
///
/// # Errors
/// A listener or a thread cannot be had; nothing is left running then.
pub fn start(config: NodeConfig, snapshot: Arc<Snapshot>) -> Result<Node, NodeError> {
    Node::start::<Smol>(config, snapshot)
}

/// smol as a driver sees it: the driver is the one future that its thread blocks on.
#[derive(Debug)]
pub struct Smol(());

impl Runtime for Smol {
    type Stream = SmolStream;
    type Listener = SmolListener;

    fn run(start: impl FnOnce(Smol) -> io::Result<Driver<Smol>>) -> io::Result<()> {
        drive(start)
    }

    fn stream(&mut self, socket: OwnedFd, token: &Arc<Token>) -> io::Result<SmolStream> {
        SmolStream::new(socket, token)
    }

    fn listener(&mut self, listener: TcpListener, token: &Arc<Token>) -> io::Result<SmolListener> {
        SmolListener::new(listener, token)
    }
}

/// Gives smol to `start` and turns the driver that `start` returns until it has stopped: what [`Runtime::run`] is, for a runtime
/// that wraps this one, to count or to disturb what it does.
///
/// # Errors
/// `start` fails.
pub fn drive<R: Runtime>(start: impl FnOnce(Smol) -> io::Result<Driver<R>>) -> io::Result<()> {
    let driver = start(Smol(()))?;
    let mut turning = Turning { driver, timer: Timer::never(), rings_at: None };
    smol::block_on(poll_fn(|cx| turning.poll(cx)));
    Ok(())
}

/// A driver and when it wants to be woken.
struct Turning<R: Runtime> {
    driver: Driver<R>,
    timer: Timer,
    rings_at: Option<Time>,
}

impl<R: Runtime> Turning<R> {
    /// Whether the time has come; if not, the task is woken once it has, or a little earlier: setting the timer anew interrupts the
    /// reactor, so a deadline that has moved away leaves it as it is.
    fn has_come(&mut self, cx: &mut Context<'_>, at: Time) -> bool {
        loop {
            if self.rings_at.is_none_or(|rings_at| at < rings_at) {
                self.timer.set_after(self.driver.until(at));
                self.rings_at = Some(at);
            }
            if Pin::new(&mut self.timer).poll(cx).is_pending() {
                return false;
            }
            self.rings_at = None;
            if self.driver.until(at).is_zero() {
                return true;
            }
        }
    }

    /// Turns the driver until it has nothing to do, or has stopped.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.driver.turn(cx.waker()) {
                Turn::Stopped => return Poll::Ready(()),
                Turn::Again => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Turn::Wait(None) => return Poll::Pending,
                Turn::Wait(Some(at)) if self.has_come(cx, at) => {}
                Turn::Wait(Some(_)) => return Poll::Pending,
            }
        }
    }
}
