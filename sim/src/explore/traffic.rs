//! Connections over a pool of tunnels: the shipped pool, tunnels of two ends with every frame between them, the decisions that
//! an engine makes of what they tell, and an observer on both sides (D11, H1, C2; S9, S16, S17, L2, L7).
//!
//! A caller is a connection of an application at the client's node. It waits for a tunnel, opens a stream, relays and ends; at
//! the server's node a request dials its application. Callers send no data: that is `tunnel`'s matter.

mod client;
mod rules;
mod server;
mod step;
#[cfg(test)]
mod tests;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use culvert_core::hbone::mux::ResetCause;
use culvert_core::hbone::pool::{Pool, PoolLimits};

use super::canonical::{Id, Mint};
use super::tunnel::{Bounds, Link, StreamNumber};
use super::{Machine, Violation};
pub(super) use step::Step;

/// What happens beside callers that come, frames that arrive and streams that end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Theme {
    /// The server's node drains, and at its deadline all ends; or the client's does.
    Drain,
    /// Tunnels are drained by their server one by one, ended at once, limited, aged and lost.
    GoAway,
    /// Credentials of both ends expire, ours is rotated.
    Rotation,
}

/// The pool's bounds, and those of what is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) theme: Theme,
    pub(super) limits: PoolLimits,
    /// Callers at once.
    pub(super) callers: usize,
    /// Tunnels at once, those included that are over at one end only.
    pub(super) tunnels: usize,
}

impl Scope {
    const fn new(theme: Theme, callers: usize, tunnels: usize) -> Scope {
        let limits = PoolLimits { streams_per_tunnel: 2, tunnels_per_key: 2, waiters_per_key: callers };
        Scope { theme, limits, callers, tunnels }
    }
}

/// Nodes that end.
pub(super) const DRAIN: Scope = Scope::new(Theme::Drain, 3, 3);
/// Tunnels that end.
pub(super) const GOAWAY: Scope = Scope::new(Theme::GoAway, 3, 3);
/// Credentials that end.
pub(super) const ROTATION: Scope = Scope::new(Theme::Rotation, 3, 3);

/// The shipped decisions.
pub(super) fn shipped(scope: Scope) -> Traffic<Shipped> {
    Traffic::new(scope, Shipped)
}

/// Streams that a server permits, and each end's amounts, which nothing here uses.
const BOUNDS: Bounds = Bounds { window: 2, high: 1, low: 0, streams: 2 };

/// Ticks for which a credential is valid.
const LIFETIME: u8 = 2;

/// What an engine decides, as it does, and in tests wrongly.
pub(super) trait Driving: Clone + Hash + Send + Sync {
    /// Whether a stream that ended so is opened once more.
    fn retries(&self, cause: ResetCause, unanswered: bool, retried: bool) -> bool {
        cause == ResetCause::Refused && unanswered && !retried
    }

    /// Whether a tunnel under credentials that are valid for so many more ticks takes no streams.
    fn expired(&self, own: Option<u8>, peer: Option<u8>) -> bool {
        own.is_none() || peer.is_none()
    }

    /// What a tunnel has room for.
    fn room(&self, room: usize) -> usize {
        room
    }

    /// Whether a GOAWAY takes the tunnel out of the pool.
    fn retires_at_goaway(&self) -> bool {
        true
    }

    /// Whether a rotated credential takes the tunnels under the old one out of the pool.
    fn retires_at_rotation(&self) -> bool {
        true
    }

    /// Whether a lost tunnel is told to those whose streams it carried.
    fn tells_of_loss(&self) -> bool {
        true
    }

    /// Whether a server that drains says so before it ends its tunnels.
    fn drains_in_order(&self) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shipped;

impl Driving for Shipped {}

/// How far a caller has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Waiting,
    Opening,
    Relaying,
}

/// A connection of an application.
#[derive(Clone, Debug, Hash)]
struct Caller {
    id: Id,
    stage: Stage,
    retried: bool,
    /// Streams that were opened for it.
    tries: u8,
    /// Applications that servers dialled for it.
    dialled: u8,
    /// It has sent FIN, and received it.
    finished: bool,
    ended: bool,
}

/// How far a tunnel has come at the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Dialling,
    Open,
    Over,
}

/// A tunnel. States share what one event leaves as it was.
#[derive(Clone, Debug)]
struct Carrier {
    id: Id,
    phase: Phase,
    link: Arc<Link>,
    /// Whose streams it carries.
    users: Vec<(StreamNumber, Id)>,
    retired: bool,
    /// What the pool was told.
    room: usize,
    /// For how many more ticks our credential and the peer's are valid.
    own: Option<u8>,
    peer: Option<u8>,
    /// Our credential was rotated since it was dialled.
    outdated: bool,
}

impl Hash for Carrier {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Carrier { id, phase, link, users, retired, room, own, peer, outdated } = self;
        (id, phase, retired, room, own, peer, outdated).hash(state);
        let names = link.hash_renamed(state);
        users.len().hash(state);
        for (stream, caller) in users {
            names.of(*stream).hash(state);
            caller.hash(state);
        }
    }
}

/// Whether the nodes are about to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Life {
    Serving,
    Draining,
    Over,
}

/// A client's node, its pool, and the servers' ends of its tunnels.
#[derive(Clone, Debug, Hash)]
pub(super) struct Traffic<D> {
    scope: Scope,
    driving: D,
    callers: Vec<Caller>,
    carriers: Vec<Carrier>,
    pool: Arc<Pool<(), Id, Id>>,
    client: Life,
    server: Life,
    /// For how many more ticks our credential is valid.
    own: Option<u8>,
    caller_ids: Mint,
    carrier_ids: Mint,
}

fn broken<T>(rule: &str) -> Result<T, Violation> {
    Err(Violation(rule.to_owned()))
}

impl<D: Driving> Traffic<D> {
    pub(super) fn new(scope: Scope, driving: D) -> Self {
        Traffic {
            scope,
            driving,
            callers: Vec::new(),
            carriers: Vec::new(),
            pool: Arc::new(Pool::new(scope.limits)),
            client: Life::Serving,
            server: Life::Serving,
            own: Some(LIFETIME),
            caller_ids: Mint::default(),
            carrier_ids: Mint::default(),
        }
    }

    fn pool(&mut self) -> &mut Pool<(), Id, Id> {
        Arc::make_mut(&mut self.pool)
    }

    fn carrier(&mut self, id: Id) -> Option<&mut Carrier> {
        self.carriers.iter_mut().find(|carrier| carrier.id == id)
    }

    fn caller(&mut self, id: Id) -> Option<&mut Caller> {
        self.callers.iter_mut().find(|caller| caller.id == id)
    }

    /// The tunnel and the stream that carry a caller.
    fn stream_of(&self, caller: Id) -> Option<(Id, StreamNumber)> {
        self.carriers.iter().find_map(|carrier| {
            let user = carrier.users.iter().find(|(_, user)| *user == caller)?;
            Some((carrier.id, user.0))
        })
    }

    /// Forgets tunnels that are over at both ends, and frames that nobody will take.
    fn tidy(&mut self) {
        self.carriers.retain_mut(|carrier| {
            if carrier.link.has_unheard() {
                Arc::make_mut(&mut carrier.link).drop_unheard();
            }
            carrier.phase != Phase::Over || !carrier.link.server.is_over()
        });
    }
}

impl<D: Driving> Machine for Traffic<D> {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        self.possible()
    }

    fn apply(&mut self, step: &Step) -> Result<(), Violation> {
        self.happens(step)?;
        self.tidy();
        Ok(())
    }

    fn in_scope(&self) -> bool {
        self.callers.len() <= self.scope.callers && self.carriers.len() <= self.scope.tunnels
    }

    fn check(&self) -> Result<(), Violation> {
        self.check_now()?;
        self.check_settled()
    }
}
