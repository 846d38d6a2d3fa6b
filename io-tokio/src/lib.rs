//! Culvert's engine on tokio: a single-threaded runtime for each worker, one engine in each, real sockets around it.
//!
//! What workers do is [`culvert_linux::driver`]'s; here are the sockets, the timer and the loop of tokio.

mod connection;
mod listener;
mod stream;

use std::future::{Future, poll_fn};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub use connection::Connection;
use culvert_core::mesh::Snapshot;
use culvert_core::time::Time;
use culvert_linux::driver::{Driver, Runtime, Token, Turn};
use culvert_linux::node::{Node, NodeConfig, NodeError};
use listener::TokioListener;
use stream::TokioStream;
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep};

/// Starts a node whose workers run on tokio.
///
/// # Errors
/// A listener or a thread cannot be had; nothing is left running then.
pub fn start(config: NodeConfig, snapshot: Arc<Snapshot>) -> Result<Node, NodeError> {
    Node::start::<Tokio>(config, snapshot)
}

/// tokio as a driver sees it: a single-threaded runtime with nothing else on it.
#[derive(Debug)]
pub struct Tokio(());

impl Runtime for Tokio {
    type Stream = TokioStream;
    type Listener = TokioListener;

    fn run(start: impl FnOnce(Tokio) -> io::Result<Driver<Tokio>>) -> io::Result<()> {
        drive(start)
    }

    fn stream(&mut self, socket: OwnedFd, token: &Arc<Token>) -> io::Result<TokioStream> {
        TokioStream::new(socket, token)
    }

    fn listener(&mut self, listener: TcpListener, token: &Arc<Token>) -> io::Result<TokioListener> {
        TokioListener::new(listener, token)
    }
}

/// Makes a runtime on this thread, gives it to `start`, and turns the driver that `start` returns until it has stopped: what
/// [`Runtime::run`] is, for a runtime that wraps this one, to count or to disturb what it does.
///
/// # Errors
/// The runtime cannot be made, or `start` fails.
pub fn drive<R>(start: impl FnOnce(Tokio) -> io::Result<Driver<R>>) -> io::Result<()>
where
    R: Runtime + Send,
    R::Stream: Send,
    R::Listener: Send,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let _in_runtime = runtime.enter();
    let driver = start(Tokio(()))?;
    let mut turning =
        Turning { driver, sleep: Box::pin(sleep(Duration::from_secs(3600))), sleeps_until: None };
    // The driver bounds its own turns; tokio's budget would only make readiness lie.
    let turning = tokio::task::unconstrained(poll_fn(move |cx| turning.poll(cx)));
    // A task of its own: what `block_on` polls itself is woken through an eventfd, two system calls for each wake,
    // even on this thread.
    match runtime.block_on(runtime.spawn(turning)).map_err(tokio::task::JoinError::try_into_panic) {
        Err(Ok(panic)) => resume_unwind(panic),
        Ok(()) | Err(Err(_)) => Ok(()),
    }
}

/// A driver and when it wants to be woken.
struct Turning<R: Runtime> {
    driver: Driver<R>,
    sleep: Pin<Box<Sleep>>,
    sleeps_until: Option<Time>,
}

impl<R: Runtime> Turning<R> {
    /// Whether the time has come; if not, the task is woken once it has.
    fn has_come(&mut self, cx: &mut Context<'_>, at: Time) -> bool {
        if self.sleeps_until != Some(at) {
            self.sleeps_until = Some(at);
            self.sleep.as_mut().reset(Instant::now() + self.driver.until(at));
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            let left = self.driver.until(at);
            if left.is_zero() {
                self.sleeps_until = None;
                return true;
            }
            // tokio counts in milliseconds: it may ring a little early for ours.
            self.sleep.as_mut().reset(Instant::now() + left + Duration::from_millis(1));
        }
        false
    }

    /// Turns the driver until it has nothing to do, or has stopped.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.driver.turn(cx.waker()) {
                Turn::Stopped => return Poll::Ready(()),
                Turn::Again => return again(cx),
                Turn::Wait(None) => return Poll::Pending,
                Turn::Wait(Some(at)) if self.has_come(cx, at) => {}
                Turn::Wait(Some(_)) => return Poll::Pending,
            }
        }
    }
}

/// Has the task polled again after a look for readiness. A task that wakes itself would be polled some sixty times before tokio
/// looks.
fn again(cx: &mut Context<'_>) -> Poll<()> {
    let _pending = pin!(yield_now()).poll(cx);
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use tokio::io::unix::AsyncFd;

    use super::*;

    #[test]
    fn readiness_is_looked_for_between_two_turns() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _in_runtime = runtime.enter();
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        // SAFETY: the stream owns its descriptor, tells the same one each time and closes it with itself.
        let near = unsafe { AsyncFd::register(near) }.unwrap();
        let mut turns = 0;
        let turning = poll_fn(move |cx| {
            turns += 1;
            if near.poll_read_ready(cx).is_ready() {
                return Poll::Ready(turns);
            }
            far.write_all(b"now").unwrap();
            again(cx).map(|()| 0)
        });
        assert_eq!(runtime.block_on(runtime.spawn(turning)).unwrap(), 2);
    }
}
