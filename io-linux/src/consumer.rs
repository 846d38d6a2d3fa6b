//! Applications in the process of their node: connections through memory in place of sockets, with the same endings.
//!
//! A pod whose [`PodConfig::consumer`](crate::node::PodConfig) is set gets what reaches it as [`Connection`]s from [`Incoming`]; what
//! it dials begins with [`Node::connect`](crate::node::Node::connect). Adapters put their runtime's traits around them.

mod pipe;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use culvert_core::hbone::connect::Authority;
use culvert_core::identity::SpiffeId;
pub(crate) use pipe::{End, connection};

/// The application's end of a connection.
///
/// Dropped before [`Connection::finish`], it is reset, as is one whose process dies: a part must not be taken for the whole.
#[derive(Debug)]
pub struct Connection {
    end: End,
    peer: Option<SpiffeId>,
    source: Option<SocketAddr>,
    target: Authority,
}

impl Connection {
    /// What a node delivers.
    pub(crate) fn delivered(
        end: End,
        peer: Option<SpiffeId>,
        source: SocketAddr,
        target: Authority,
    ) -> Connection {
        Connection { end, peer, source: Some(source), target }
    }

    /// What an application opens.
    pub(crate) fn opened(end: End, target: SocketAddr) -> Connection {
        Connection { end, peer: None, source: None, target: Authority::Ip(target) }
    }

    /// The verified identity of who dialled; absent where it came in clear, and on what this application dialled.
    pub fn peer(&self) -> Option<&SpiffeId> {
        self.peer.as_ref()
    }

    /// The address of who dialled; absent on what this application dialled. The port means nothing where it came by a tunnel.
    pub fn source(&self) -> Option<SocketAddr> {
        self.source
    }

    /// What was dialled.
    pub fn target(&self) -> &Authority {
        &self.target
    }

    /// Reads; 0 for the other side's FIN. Where nothing is there, `waker` is woken once something is.
    ///
    /// # Errors
    /// `WouldBlock`, or `ConnectionReset`.
    pub fn try_read(&mut self, space: &mut [u8], waker: &Waker) -> io::Result<usize> {
        self.end.read(space, waker)
    }

    /// Writes some of `slices`. Where there is no room, `waker` is woken once there is.
    ///
    /// # Errors
    /// `WouldBlock`, `ConnectionReset`, or `BrokenPipe` where nobody reads any more or FIN was sent.
    pub fn try_write(&mut self, slices: &[IoSlice<'_>], waker: &Waker) -> io::Result<usize> {
        self.end.write(slices, waker)
    }

    /// Sends FIN after what was written; reading goes on.
    pub fn finish(&mut self) {
        self.end.finish();
    }

    /// As [`Connection::try_read`], for futures.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        ready(self.try_read(space, cx.waker()))
    }

    /// As [`Connection::try_write`], for futures.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready(self.try_write(slices, cx.waker()))
    }
}

fn ready(outcome: io::Result<usize>) -> Poll<io::Result<usize>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        outcome => Poll::Ready(outcome),
    }
}

/// Connections that were delivered and not accepted yet, with room for so many; beyond, deliveries are refused.
pub fn backlog(room: usize) -> (Backlog, Incoming) {
    let queue = Arc::new(Mutex::new(Queue {
        waiting: VecDeque::new(),
        room,
        waker: None,
        offered: true,
        taken: true,
    }));
    (Backlog(Arc::new(Offering(queue.clone()))), Incoming(queue))
}

/// Where a node puts what it delivers. Given to it with the pod.
#[derive(Clone, Debug)]
pub struct Backlog(Arc<Offering>);

/// Where an application takes what was delivered to it.
#[derive(Debug)]
pub struct Incoming(Arc<Mutex<Queue>>);

#[derive(Debug)]
struct Offering(Arc<Mutex<Queue>>);

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<Connection>,
    room: usize,
    waker: Option<Waker>,
    /// Whether anybody offers connections still.
    offered: bool,
    /// Whether anybody takes them still.
    taken: bool,
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(mut queue: MutexGuard<'_, Queue>) {
    let waker = queue.waker.take();
    drop(queue);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Backlog {
    /// Offers a connection; false where there is no room or nobody to take it.
    pub(crate) fn offer(&self, connection: Connection) -> bool {
        let mut queue = lock(&self.0.0);
        if !queue.taken || queue.waiting.len() >= queue.room {
            // Not under the lock: it ends the connection.
            drop(queue);
            drop(connection);
            return false;
        }
        queue.waiting.push_back(connection);
        wake(queue);
        true
    }
}

impl Drop for Offering {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        queue.offered = false;
        wake(queue);
    }
}

impl Incoming {
    /// The next connection, `None` once the node has ended. Where there is none yet, `waker` is woken once there is.
    pub fn poll_accept(&mut self, waker: &Waker) -> Poll<Option<Connection>> {
        let mut queue = lock(&self.0);
        match queue.waiting.pop_front() {
            Some(connection) => Poll::Ready(Some(connection)),
            None if !queue.offered => Poll::Ready(None),
            None => {
                queue.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    /// Waits for the next connection; `None` once the node has ended.
    pub async fn accept(&mut self) -> Option<Connection> {
        poll_fn(|cx| self.poll_accept(cx.waker())).await
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        queue.taken = false;
        let refused = std::mem::take(&mut queue.waiting);
        drop(queue);
        drop(refused);
    }
}

#[cfg(test)]
mod tests;
