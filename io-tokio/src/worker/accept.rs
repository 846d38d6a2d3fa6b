//! Listeners: accept until the kernel has no more, with back-off where it has nothing to give (node.md B9).

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use culvert_core::engine::boundary::{Listener, Origin, PodId};
use culvert_core::time::{Now, Time};
use culvert_linux::socket::{
    AcceptError, Keepalive, Original, original_destination, set_keepalive, set_nodelay,
};
use tokio::net::{TcpListener, TcpStream};

use super::Driver;
use crate::ready::Token;

/// Tokens from here on are listeners'.
pub(super) const FIRST_TOKEN: usize = 1 << 48;
/// The first pause of a listener after EMFILE and its like; doubled up to the last.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Connections taken from one listener before others have their turn.
const ACCEPTS_PER_TURN: usize = 64;

pub(super) struct ListenerEntry {
    pod: PodId,
    kind: Listener,
    target: Option<SocketAddr>,
    address: SocketAddr,
    socket: TcpListener,
    token: Arc<Token>,
    waker: Waker,
    pause: Duration,
    retry: Option<Time>,
}

impl Driver {
    pub(super) fn open_listeners(&mut self) {
        for pod in &mut self.pods {
            for spec in pod.listeners.drain(..) {
                let Ok(socket) = TcpListener::from_std(spec.socket) else { continue };
                let token = self.ready.token(FIRST_TOKEN + self.listeners.len());
                self.listeners.push(ListenerEntry {
                    pod: pod.id,
                    kind: spec.kind,
                    target: spec.target,
                    address: spec.address,
                    socket,
                    waker: Waker::from(token.clone()),
                    token,
                    pause: PAUSE_MIN,
                    retry: None,
                });
            }
        }
        for listener in &self.listeners {
            listener.token.push();
        }
    }

    pub(super) fn accept_ready(&mut self, now: Now, index: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = self.listeners.get_mut(index) else { return };
            let mut cx = Context::from_waker(&listener.waker);
            match listener.socket.poll_accept(&mut cx) {
                Poll::Pending => return,
                Poll::Ready(Ok((stream, peer))) => {
                    listener.pause = PAUSE_MIN;
                    self.accepted(now, index, stream, peer);
                }
                Poll::Ready(Err(error)) => match AcceptError::from(error) {
                    AcceptError::Transient(_) => {}
                    AcceptError::Exhausted(_) | AcceptError::Fatal(_) => {
                        // What is alive goes on; a little later there may be room again.
                        listener.retry = Some(now.time.after(listener.pause));
                        listener.pause = (listener.pause * 2).min(PAUSE_MAX);
                        return;
                    }
                },
            }
        }
        if let Some(listener) = self.listeners.get(index) {
            listener.token.push();
        }
    }

    fn accepted(&mut self, now: Now, index: usize, stream: TcpStream, peer: SocketAddr) {
        let Some(listener) = self.listeners.get(index) else { return };
        // The peer may be gone between accept and these calls: that concerns this connection only.
        let Ok(local) = stream.local_addr() else { return };
        let _best_effort = set_nodelay(&stream, true);
        if listener.kind != Listener::InboundHbone {
            let _best_effort = set_keepalive(&stream, &Keepalive::default());
        }
        let original = match (listener.target, listener.kind) {
            (Some(target), _) => Some(target),
            (None, Listener::Consumer | Listener::InboundHbone) => None,
            (None, Listener::Outbound | Listener::InboundPlaintext) => {
                redirected_from(&stream, listener.address)
            }
        };
        let origin = Origin {
            pod: listener.pod,
            listener: listener.kind,
            peer: canonical(peer),
            local: canonical(local),
            original,
        };
        let id = self.engine.accept(now, origin);
        self.table.insert(id, stream, false);
        self.perform(now);
    }

    pub(super) fn next_listener_retry(&self) -> Option<Time> {
        self.listeners.iter().filter_map(|listener| listener.retry).min()
    }

    pub(super) fn retry_listeners(&mut self, now: Now) {
        for listener in &mut self.listeners {
            if listener.retry.is_some_and(|at| at <= now.time) {
                listener.retry = None;
                listener.token.push();
            }
        }
    }
}

/// Where a redirected connection was headed. One that came to the listener itself was not redirected: the kernel answers
/// the question for it, too, with the listener's own address.
fn redirected_from(stream: &TcpStream, listener: SocketAddr) -> Option<SocketAddr> {
    let address = canonical(match original_destination(stream).ok()? {
        Original::Redirected(address) | Original::Local(address) => address,
    });
    (address.port() != listener.port()).then_some(address)
}

pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
