//! The worlds that most tests begin with.

use std::time::Duration;

use culvert_core::fault::Fault;
use culvert_core::limit::Limits;
use culvert_core::telemetry::{Event, Path, Reason};
use culvert_sim::world::{Joining, NodeId, Pod, World};

pub const SECOND: Duration = Duration::from_secs(1);

/// A client's pod and a server's, with their nodes.
pub struct Pair {
    pub world: World,
    pub near: NodeId,
    pub far: NodeId,
    pub a: Pod,
    pub b: Pod,
}

/// Two pods on two nodes.
pub fn two_nodes(seed: u64) -> Pair {
    Kind::Tunnel.pair(seed)
}

/// How a client and a server stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On two nodes.
    Tunnel,
    /// On one node, joined in the kernel.
    Joined,
    /// On one node, relayed by the engine.
    Parted,
    /// The server is outside the mesh.
    Outgoing,
    /// The client is outside the mesh.
    Incoming,
    /// On two nodes, each application in the process of its proxy.
    Consumers,
    /// On one node, in the process of its proxy.
    LocalConsumers,
    /// The client is outside the mesh, the server in the process of its proxy.
    IncomingConsumer,
}

pub const KINDS: [Kind; 8] = [
    Kind::Tunnel,
    Kind::Joined,
    Kind::Parted,
    Kind::Outgoing,
    Kind::Incoming,
    Kind::Consumers,
    Kind::LocalConsumers,
    Kind::IncomingConsumer,
];

impl Kind {
    pub fn pair(self, seed: u64) -> Pair {
        self.pair_with(seed, |_| ())
    }

    pub fn pair_with(self, seed: u64, change: impl FnOnce(&mut Limits)) -> Pair {
        let mut world = World::with_limits(seed, change);
        let near = world.node();
        let is_tunnelled = matches!(self, Kind::Tunnel | Kind::Consumers);
        let is_incoming = matches!(self, Kind::Incoming | Kind::IncomingConsumer);
        let far = if is_tunnelled { world.node() } else { near };
        let a = if is_incoming { world.machine() } else { world.pod(near, "a") };
        let b = if self == Kind::Outgoing { world.machine() } else { world.pod(far, "b") };
        match self {
            Kind::Consumers | Kind::LocalConsumers => [a, b].into_iter().for_each(|pod| world.consumer(pod)),
            Kind::IncomingConsumer => world.consumer(b),
            Kind::Tunnel | Kind::Joined | Kind::Parted | Kind::Outgoing | Kind::Incoming => {}
        }
        if self == Kind::Parted {
            world.joining(near, Joining::Parted);
        }
        Pair { world, near, far, a, b }
    }

    pub fn path(self) -> Path {
        match self {
            Kind::Consumers | Kind::Tunnel => Path::Hbone,
            Kind::Joined | Kind::LocalConsumers | Kind::Parted => Path::Local,
            Kind::Incoming | Kind::IncomingConsumer | Kind::Outgoing => Path::Plaintext,
        }
    }
}

/// The paths of a node's connections, in the order of their ends.
pub fn paths(world: &World, node: NodeId) -> Vec<Path> {
    let closed = world.reports(node).iter().filter_map(|(_, event)| match event {
        Event::Closed { connection, .. } => Some(connection.path),
        _ => None,
    });
    closed.collect()
}

/// The faults with which a node's connections ended.
pub fn faults(world: &World, node: NodeId) -> Vec<Fault> {
    let failed = world.reasons(node).into_iter().filter_map(|reason| match reason {
        Reason::Failed(fault) => Some(fault),
        Reason::Completed | Reason::SourceReset | Reason::DestinationReset => None,
    });
    failed.collect()
}

/// Two pods on two nodes whose engines have other limits than the defaults.
pub fn two_nodes_with(seed: u64, change: impl FnOnce(&mut Limits)) -> Pair {
    Kind::Tunnel.pair_with(seed, change)
}
