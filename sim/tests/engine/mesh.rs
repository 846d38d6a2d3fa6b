//! The worlds that most tests begin with.

use std::time::Duration;

use culvert_core::telemetry::{Event, Path};
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
}

pub const KINDS: [Kind; 5] = [Kind::Tunnel, Kind::Joined, Kind::Parted, Kind::Outgoing, Kind::Incoming];

impl Kind {
    pub fn pair(self, seed: u64) -> Pair {
        let mut world = World::new(seed);
        let near = world.node();
        let far = if self == Kind::Tunnel { world.node() } else { near };
        let a = if self == Kind::Incoming { world.machine() } else { world.pod(near, "a") };
        let b = if self == Kind::Outgoing { world.machine() } else { world.pod(far, "b") };
        if self == Kind::Parted {
            world.joining(near, Joining::Parted);
        }
        Pair { world, near, far, a, b }
    }

    pub fn path(self) -> Path {
        match self {
            Kind::Tunnel => Path::Hbone,
            Kind::Joined | Kind::Parted => Path::Local,
            Kind::Outgoing | Kind::Incoming => Path::Plaintext,
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
