//! The words between an engine and its driver: facts in, effects out. Plain data throughout.

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::fault::IoFault;
use crate::hbone::connect::Authority;
use crate::identity::rotation::Demand;
use crate::identity::{Credential, IdentityFault, SpiffeId, Trust};
use crate::mesh::{Changed, Destination, Snapshot};
use crate::slots::{Key, key};
use crate::telemetry::Event;
use crate::time::Time;

key!(
    /// A socket, real or in memory. Minted by the engine, so that a recording replays without a kernel.
    SocketId,
    "sock"
);

impl SocketId {
    /// The slot, small and dense: fit to index a table. It is used again once the socket is closed.
    pub fn slot(self) -> usize {
        self.parts().0 as usize
    }
}

/// A pod that this process serves: one network namespace with its listeners. Chosen by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodId(pub u32);

/// A workload by the names that the platform gives it (node.md row 19).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadRef {
    /// Kubernetes namespace.
    pub namespace: Arc<str>,
    /// Name of the pod.
    pub name: Arc<str>,
    /// Kubernetes service account.
    pub service_account: Arc<str>,
}

impl WorkloadRef {
    /// The workload of these names.
    pub fn new(namespace: &str, name: &str, service_account: &str) -> WorkloadRef {
        WorkloadRef {
            namespace: namespace.into(),
            name: name.into(),
            service_account: service_account.into(),
        }
    }
}

/// Which listener accepted a socket (node.md rows 4 to 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listener {
    /// What applications of the pod dial, redirected (15001).
    Outbound,
    /// Plain connections to the pod, redirected (15006).
    InboundPlaintext,
    /// HBONE tunnels to the pod (15008).
    InboundHbone,
    /// No listener: an application of the pod that lives in this process opened a connection through memory. It goes the
    /// way of what other applications of the pod dial.
    Consumer,
}

/// Where an accepted socket comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The pod in whose namespace the listener stands.
    pub pod: PodId,
    /// The listener.
    pub listener: Listener,
    /// The far end of the accepted socket. A consumer's is an address of its pod, with a port that tells its connections
    /// apart in reports.
    pub peer: SocketAddr,
    /// The near end of the accepted socket; of a consumer's, what it dials.
    pub local: SocketAddr,
    /// Where the connection was headed before the redirect; absent where it was not redirected. A consumer names what it
    /// dials here.
    pub original: Option<SocketAddr>,
}

/// What happened: the driver tells the engine.
#[derive(Clone, Debug)]
pub enum Input {
    /// A pod is served from now on.
    PodAdded {
        /// The driver's name for it.
        pod: PodId,
        /// Which workload runs in it.
        workload: WorkloadRef,
        /// Whether its application is a consumer in this process: what reaches the pod is then delivered
        /// ([`Output::Deliver`]) instead of dialled.
        consumer: bool,
    },
    /// A pod is gone: its connections end.
    PodRemoved {
        /// The driver's name for it.
        pod: PodId,
    },
    /// A dial succeeded, or the consumer took what was delivered.
    Connected {
        /// The dialled or delivered socket.
        socket: SocketId,
        /// Its near end; of a delivered socket, the address that it was delivered for.
        local: SocketAddr,
    },
    /// A dial failed, the consumer does not take what was delivered ([`IoFault::Refused`]), or a socket broke.
    Failed {
        /// The socket.
        socket: SocketId,
        /// What the kernel said.
        fault: IoFault,
    },
    /// Bytes were read into the space that `read_space` lent.
    Read {
        /// The socket.
        socket: SocketId,
        /// How many bytes.
        len: usize,
    },
    /// The peer sent FIN and every byte before it was read (or moved, where the socket is joined).
    ReadEnd {
        /// The socket.
        socket: SocketId,
    },
    /// Bytes of `write_slices` were taken by the kernel.
    Wrote {
        /// The socket.
        socket: SocketId,
        /// How many bytes.
        len: usize,
    },
    /// Bytes were relayed in the kernel between joined sockets.
    Moved {
        /// The socket that they were read from.
        from: SocketId,
        /// The socket that they were written to.
        to: SocketId,
        /// How many bytes.
        len: u64,
    },
    /// The driver cannot keep these sockets joined: relay them through the engine from here on.
    Parted {
        /// One socket of the pair.
        a: SocketId,
        /// The other.
        b: SocketId,
    },
    /// The answer to [`Output::NeedCredential`], or a newer credential.
    Credential {
        /// Whose.
        id: SpiffeId,
        /// The credential, or why there is none.
        outcome: Result<Arc<Credential>, IdentityFault>,
    },
    /// Whom to trust from here on, in place of whom was trusted before; live tunnels are judged by it at once.
    Trust(Trust),
    /// The answer to [`Output::Resolve`]. It may come late or never: nobody waits longer than `wait_for_facts`.
    Resolved {
        /// The name.
        host: Arc<str>,
        /// Its addresses and for how long they may be used, or why there are none.
        outcome: Result<(Vec<IpAddr>, Duration), ResolveFault>,
    },
    /// The answer to [`Output::NeedFacts`]: what there is of a name was applied before, and what becomes of it will be. It may
    /// come late or never: nobody waits longer than `wait_for_facts`.
    Known {
        /// The name.
        name: Destination,
    },
    /// Nobody tells any more what becomes of this name: it is to be asked for again.
    Forgotten {
        /// The name.
        name: Destination,
    },
    /// New facts; they replace the old ones as a whole.
    Apply {
        /// The facts.
        snapshot: Arc<Snapshot>,
        /// What differs from the facts before.
        changed: Arc<Changed>,
    },
    /// Finish what is alive, accept nothing new, abort what is left at `until`.
    Drain {
        /// The deadline.
        until: Time,
    },
    /// Time has passed: a deadline of `next_deadline` was reached.
    Tick,
}

/// Why a name has no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ResolveFault {
    /// There is no such name, or it has no address (NXDOMAIN, NODATA).
    #[error("there is no such name")]
    NoSuchName,
    /// Nobody could say.
    #[error("the name could not be looked up")]
    Unavailable,
}

/// What to do: the engine tells the driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Dial.
    Connect {
        /// The name of the new socket.
        socket: SocketId,
        /// In whose network namespace.
        pod: PodId,
        /// Where to.
        target: SocketAddr,
        /// The source address to show: the client's own, kept towards the application where permitted
        /// (node.md row 14). `None` leaves the choice to the kernel.
        source: Option<IpAddr>,
    },
    /// What to wait for on a socket; sent on change only.
    Interest {
        /// The socket.
        socket: SocketId,
        /// What the engine can use now.
        interest: Interest,
    },
    /// Relay between these two plain sockets in the kernel; both write queues are empty. Bytes are taken from a joined socket
    /// only while its interest is to read: that is how a hold pauses it (node.md B5).
    Join {
        /// One socket.
        a: SocketId,
        /// The other.
        b: SocketId,
    },
    /// Hand a connection to the consumer in this process that is the application of `pod`: permitted by policy already, as
    /// every dial of an application is. Answered as a dial is, by [`Input::Connected`] or [`Input::Failed`], within the same
    /// deadline; a peer's CONNECT is answered 200 only then (node.md row 36). From there on it is a socket as any other, but
    /// never joined: the driver moves bytes between the engine and memory that it shares with the consumer.
    Deliver {
        /// The name of the new socket.
        socket: SocketId,
        /// The pod whose consumer is meant.
        pod: PodId,
        /// The verified identity of the source; absent where it came in clear.
        peer: Option<SpiffeId>,
        /// The client's address; where it came by a tunnel, the port is the tunnel's.
        source: SocketAddr,
        /// What the peer's CONNECT asked for; an address where there was none.
        target: Authority,
        /// The address and port of the pod that this means: what would be dialled if the application were not here.
        address: SocketAddr,
    },
    /// Fetch a credential; answered by [`Input::Credential`], and again with every newer one. Asked again where it became
    /// more urgent.
    NeedCredential {
        /// Whose.
        id: SpiffeId,
        /// Whether a connection waits for it, or may soon.
        demand: Demand,
    },
    /// The last workload of this identity is gone: its keys are dropped (node.md row 80).
    DropCredential(SpiffeId),
    /// Look a name up; answered by [`Input::Resolved`].
    Resolve {
        /// The name.
        host: Arc<str>,
    },
    /// Ask for what there is of a name; answered by [`Input::Known`]. Only where [`Local::answered`] says that facts come when
    /// they are asked for.
    ///
    /// [`Local::answered`]: crate::capture::Local::answered
    NeedFacts {
        /// The name.
        name: Destination,
    },
    /// Send FIN: every byte before it was written (or moved).
    Finish {
        /// The socket.
        socket: SocketId,
    },
    /// Close the socket; its id is stale from here on.
    Close {
        /// The socket.
        socket: SocketId,
        /// How.
        mode: CloseMode,
    },
    /// Something to log, count or export.
    Report(Event),
}

/// Which readiness of a socket the engine can use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interest {
    /// There is space to read into.
    pub read: bool,
    /// There are bytes to write.
    pub write: bool,
}

/// How a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseMode {
    /// Close after an orderly end.
    Graceful,
    /// Close after FIN was sent, though the peer may go on sending: read and drop what it sends until it has everything that
    /// was written, so that the close does not destroy what is on its way. What the peer sends later meets RST.
    Discard,
    /// The peer must see RST (node.md B6).
    Abort,
}

/// When to call `handle_input` with [`Input::Tick`] at the latest, and why, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The time.
    pub at: Time,
    /// What is due.
    pub why: &'static str,
}

/// How many slices one vectored write takes at most.
pub const MAX_SLICES: usize = 16;

/// A fixed array of slices to write, filled by the engine.
#[derive(Debug)]
pub struct Slices<'a> {
    slices: [IoSlice<'a>; MAX_SLICES],
    len: usize,
}

impl<'a> Slices<'a> {
    /// An empty array.
    pub fn new() -> Slices<'a> {
        Slices { slices: [IoSlice::new(&[]); MAX_SLICES], len: 0 }
    }

    /// Adds a slice; false where the array is full.
    pub fn push(&mut self, bytes: &'a [u8]) -> bool {
        match self.slices.get_mut(self.len) {
            Some(place) => {
                *place = IoSlice::new(bytes);
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// The slices.
    pub fn as_slice(&self) -> &[IoSlice<'a>] {
        self.slices.get(..self.len).unwrap_or(&[])
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Default for Slices<'_> {
    fn default() -> Self {
        Slices::new()
    }
}
