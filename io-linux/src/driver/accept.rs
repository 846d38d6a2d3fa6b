//! Listeners: accept until the kernel has no more, with back-off where it has nothing to give (node.md B9).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use culvert_core::engine::boundary::{Listener, Origin, PodId};
use culvert_core::time::{Now, Time};

use super::{Driver, Listen, Runtime, Token};
use crate::consumer::End;
use crate::socket::{AcceptError, Original, local_address, original_destination, set_keepalive, set_nodelay};

/// Tokens from here on are listeners'.
pub(super) const FIRST_TOKEN: usize = 1 << 48;
/// The first pause of a listener after EMFILE and its like; doubled up to the last.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Connections taken from one listener before others have their turn.
const ACCEPTS_PER_TURN: usize = 64;

pub(super) struct ListenerEntry<R: Runtime> {
    pod: PodId,
    kind: Listener,
    target: Option<SocketAddr>,
    address: SocketAddr,
    socket: R::Listener,
    token: Arc<Token>,
    pause: Duration,
    retry: Option<Time>,
}

impl<R: Runtime> Driver<R> {
    pub(super) fn open_listeners(&mut self) -> io::Result<()> {
        for pod in &mut self.pods {
            for spec in pod.listeners.drain(..) {
                let token = self.ready.token(FIRST_TOKEN + self.listeners.len());
                let socket = self.runtime.listener(spec.socket, &token)?;
                self.listeners.push(ListenerEntry {
                    pod: pod.id,
                    kind: spec.kind,
                    target: spec.target,
                    address: spec.address,
                    socket,
                    token,
                    pause: PAUSE_MIN,
                    retry: None,
                });
            }
        }
        for listener in &self.listeners {
            listener.token.push();
        }
        Ok(())
    }

    pub(super) fn accept_ready(&mut self, now: Now, index: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = self.listeners.get_mut(index) else { return };
            match listener.socket.poll_accept() {
                Ok(None) => return,
                Ok(Some((socket, peer))) => {
                    listener.pause = PAUSE_MIN;
                    self.accepted(now, index, socket, peer);
                }
                Err(AcceptError::Transient(_)) => {}
                Err(AcceptError::Exhausted(_) | AcceptError::Fatal(_)) => {
                    // What is alive goes on; a little later there may be room again.
                    listener.retry = Some(now.time.after(listener.pause));
                    listener.pause = (listener.pause * 2).min(PAUSE_MAX);
                    return;
                }
            }
        }
        if let Some(listener) = self.listeners.get(index) {
            listener.token.push();
        }
    }

    fn accepted(&mut self, now: Now, index: usize, socket: OwnedFd, peer: SocketAddr) {
        let Some(listener) = self.listeners.get(index) else { return };
        // The peer may be gone between accept and these calls: that concerns this connection only.
        let Ok(local) = local_address(&socket) else { return };
        let _best_effort = set_nodelay(&socket, true);
        if listener.kind != Listener::InboundHbone
            && let Some(keepalive) = &self.sockets.keepalive
        {
            let _best_effort = set_keepalive(&socket, keepalive);
        }
        let original = match (listener.target, listener.kind) {
            (Some(target), _) => Some(target),
            (None, Listener::Consumer | Listener::InboundHbone) => None,
            (None, Listener::Outbound | Listener::InboundPlaintext) => {
                redirected_from(&socket, listener.address)
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
        if let Err(error) = self.table.insert(&mut self.runtime, id, socket, false) {
            self.broke(now, id, &error);
        }
        self.perform(now);
    }

    /// An application in this process dials: what another of its pod would reach through the redirect.
    pub(super) fn open(&mut self, now: Now, pod: PodId, target: SocketAddr, end: End) {
        let address = self.pods.iter().find(|p| p.id == pod).and_then(|p| p.address);
        let any = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let peer = SocketAddr::new(address.unwrap_or(any), 0);
        let origin =
            Origin { pod, listener: Listener::Consumer, peer, local: target, original: Some(target) };
        let id = self.engine.accept(now, origin);
        self.table.insert_memory(id, end);
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
fn redirected_from(socket: impl AsFd, listener: SocketAddr) -> Option<SocketAddr> {
    let address = canonical(match original_destination(socket).ok()? {
        Original::Redirected(address) | Original::Local(address) => address,
    });
    (address.port() != listener.port()).then_some(address)
}

pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
