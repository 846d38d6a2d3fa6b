//! What a case is, and what comes of it: data only.

use std::fmt;
use std::time::Duration;

use culvert_core::limit::Limits;
use culvert_sim::world::{Script, Seen};

/// How a client and a server stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On two nodes.
    Tunnel,
    /// On one node.
    Local,
    /// The server is outside the mesh.
    Outgoing,
    /// The client is outside the mesh.
    Incoming,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Tunnel, Kind::Local, Kind::Outgoing, Kind::Incoming];
    /// Those on which one node relays two plain sockets.
    pub const PLAIN: [Kind; 3] = [Kind::Local, Kind::Outgoing, Kind::Incoming];

    pub fn has_two_nodes(self) -> bool {
        self == Kind::Tunnel
    }
}

/// What is behind a port of the server's pod.
#[derive(Clone, Debug)]
pub enum Served {
    /// A program that does this with each connection.
    By(Script),
    /// Somebody who never answers a dial.
    Silent,
    /// Nobody: a dial is refused.
    Nobody,
}

/// One of the two nodes; where there is one only, it is the near one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Near,
    Far,
}

/// What happens in a case, one after the other. Calls are numbered in their order.
#[derive(Clone, Debug)]
pub enum Step {
    /// A client calls what is behind a port, and does this.
    Call { served: usize, script: Script },
    /// The client of a call has received so many bytes.
    Until { call: usize, received: u64 },
    /// The connection of a call is over for its client.
    Over { call: usize },
    /// A node takes nothing new from here on, and ends what is left after a while.
    Drain(Side, Duration),
    /// The client's pod gets a newer credential, and has it.
    Rotate,
    /// From here on policy denies the client.
    Deny,
    /// A new dial does not get through.
    TurnedAway { served: usize },
}

/// What one application saw of its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Bytes that it received, all of which were right.
    pub received: u64,
    pub seen: Seen,
}

impl End {
    pub const fn new(received: u64, seen: Seen) -> End {
        End { received, seen }
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.received, self.seen)
    }
}

/// What the two applications of a call saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub client: End,
    /// The server that heard the client, where one did.
    pub server: Option<End>,
}

/// What came of a case, as applications and the reports of nodes tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub calls: Vec<Call>,
    /// The terminal reasons of the near node's connections, sorted.
    pub near: Vec<String>,
    /// Those of the far node's, likewise.
    pub far: Vec<String>,
    /// The tunnels that the near node opened.
    pub tunnels: usize,
    /// The calls in the order in which their connections ended on the near node, where it is asked for.
    pub order: Vec<usize>,
}

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub kind: Kind,
    pub limits: Limits,
    /// Reads and writes of applications, and in the simulator of everybody, move at most so many bytes at once.
    pub chop: Option<usize>,
    pub served: Vec<Served>,
    pub steps: Vec<Step>,
    /// Whether the order of ends is part of the history.
    pub in_order: bool,
    /// How far a sender may ever be ahead of its reader, where that is the question.
    pub ahead: Option<u64>,
    pub expected: History,
}

impl Case {
    /// A case of one call, in the two words of which everything else follows: what both do and what both see.
    pub fn of_one_call(name: &str, kind: Kind, client: Script, server: Script) -> Case {
        Case {
            name: format!("{name} ({kind:?})"),
            kind,
            limits: Limits::default(),
            chop: None,
            served: vec![Served::By(server)],
            steps: vec![Step::Call { served: 0, script: client }],
            in_order: false,
            ahead: None,
            expected: History::default(),
        }
    }

    pub fn served(self, served: Vec<Served>) -> Case {
        Case { served, ..self }
    }

    pub fn steps(self, steps: Vec<Step>) -> Case {
        Case { steps, ..self }
    }

    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Case {
        change(&mut self.limits);
        self
    }

    /// Adds what both applications of the next call see, and how it ends for the nodes.
    pub fn sees(mut self, client: End, server: Option<End>, near: &str, far: &str) -> Case {
        self.expected.calls.push(Call { client, server });
        self.expected.near.push(near.to_owned());
        self.expected.near.sort();
        if self.kind.has_two_nodes() {
            self.expected.tunnels = 1;
            self.expected.far.push(far.to_owned());
            self.expected.far.sort();
        }
        self
    }

    /// The same, where both ends say FIN after the last byte.
    pub fn completes(self, client: u64, server: u64) -> Case {
        let (client, server) = (End::new(client, Seen::Fin), End::new(server, Seen::Fin));
        self.sees(client, Some(server), "completed", "completed")
    }
}
