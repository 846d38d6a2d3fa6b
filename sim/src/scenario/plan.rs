//! What a scenario's bytes say: a world, and rounds of calls and faults. Plain data; nothing has happened yet.
//!
//! Decoding knows what the rounds before have done: it resumes only nodes that are stopped, removes only policies that are
//! there, and lets only calls leave that were made. It never fails: bytes that are missing read as zeros.

mod change;
mod choices;
mod host;
mod hostile;
mod network;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::world::{Act, Delivery, Issuing, Joining, Reading, Script};
pub(super) use change::{Change, Endpoints, Name};
pub(super) use choices::{Choices, Digit, Vector};
pub(super) use host::{HostFault, Scarcity};
pub(super) use hostile::{Attack, Tale};
pub(super) use network::{NetworkFault, Ways};

/// Rounds of chaos at most.
pub(super) const ROUNDS: usize = 7;
/// Calls of one round at most.
const CALLS: usize = 2;

/// What listens at a port of every pod and of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Port {
    /// Sends back what it gets.
    Echo,
    /// The same, reading slowly.
    Slow,
    /// Takes some, answers a little, and resets.
    Rude,
    /// Speaks and sends FIN before anybody else does.
    First,
    /// Does not answer a dial.
    Silent,
    /// Speaks after the other side's FIN.
    Late,
    /// Refuses: nothing listens.
    Closed,
}

/// Bytes that a server at [`Port::Late`] sends after the client's FIN.
pub(super) const LATE: u64 = 12_000;

impl Port {
    pub(super) const ALL: [Port; 7] =
        [Port::Echo, Port::Slow, Port::Rude, Port::First, Port::Silent, Port::Late, Port::Closed];

    pub(super) fn number(self) -> u16 {
        match self {
            Port::Echo => 8080,
            Port::Slow => 81,
            Port::Rude => 82,
            Port::First => 83,
            Port::Silent => 84,
            Port::Late => 85,
            Port::Closed => 86,
        }
    }
}

/// The world before anything happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Options {
    /// The seed of everything that the world itself draws: keys, chopping.
    pub(super) seed: u64,
    pub(super) nodes: usize,
    /// Pods, spread over the nodes in turn; one machine outside the mesh comes after them.
    pub(super) pods: usize,
    pub(super) small: Option<Small>,
    /// Reads and writes move at most so many bytes.
    pub(super) chop: Option<usize>,
    /// Two pods of one node meet in the proxy, not in a tunnel.
    pub(super) same_node: bool,
    /// Bytes that TCP holds in one direction.
    pub(super) capacity: usize,
    #[serde(with = "crate::scenario::seconds")]
    pub(super) latency: Duration,
    /// Interval of PINGs, and how long one may be without its answer.
    #[serde(with = "crate::scenario::seconds")]
    pub(super) pings: Duration,
    /// How nodes hear of facts, to begin with.
    pub(super) delivery: Delivery,
    /// Seconds that certificates live, until all is healed; else they outlive every scenario.
    pub(super) lifetime: Option<u64>,
    pub(super) ways: Ways,
    pub(super) scarcity: Option<Scarcity>,
    /// The last pod is on a node of its own, which lies.
    pub(super) tale: Option<Tale>,
    /// The pod whose applications live in the process of its proxy. Drawn from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) consumer: Option<usize>,
    /// Nodes ask for what they do not know. Drawn from the seed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) on_demand: bool,
    /// What stands before the service. Drawn from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<Before>,
}

/// What stands before the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Before {
    /// One of its endpoints is in another network, behind a gateway: what comes to that is the second pod's.
    Gateway,
    /// A pod is its waypoint.
    Waypoint(usize),
}

/// Limits far below the usual ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Small {
    pub(super) streams_per_tunnel: u32,
    pub(super) tunnels_per_key: usize,
    pub(super) window_kib: u32,
    pub(super) queue_kib: usize,
}

/// One round: calls, perhaps a fault, and then time passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Round {
    pub(super) calls: Vec<Call>,
    pub(super) fault: Option<Fault>,
    #[serde(with = "crate::scenario::seconds")]
    pub(super) time: Duration,
}

/// One application dials another; by number, the machine comes after the pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) port: Port,
    pub(super) script: Script,
    /// So many at once.
    pub(super) times: usize,
}

/// Something goes wrong, or changes, or is well again. Pods, nodes and calls by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Fault {
    /// Somebody on the machine attacks a pod.
    Attack { pod: usize, attack: Attack },
    /// A pod refers to a policy that does not arrive.
    AwaitPolicy { pod: usize },
    /// Something about facts, or about who hears of them when.
    Change(Change),
    /// A policy denies whatever comes from a pod; it replaces the one before.
    Deny { pod: usize },
    /// A node finishes what it has, and takes nothing more.
    Drain {
        node: usize,
        #[serde(with = "crate::scenario::seconds")]
        within: Duration,
    },
    /// The facts of a pod are gone.
    Forget { pod: usize },
    /// The certificate authority treats a node so.
    Issue { node: usize, issuing: Issuing },
    /// Something happens to a host.
    Host(HostFault),
    /// A node's driver takes joins so.
    Join { node: usize, joining: Joining },
    /// The process of a node is killed.
    Kill { node: usize },
    /// A node's driver is late.
    Lag {
        node: usize,
        #[serde(with = "crate::scenario::seconds")]
        lag: Duration,
    },
    /// An application leaves with RST.
    Leave { call: usize },
    /// The ways between hosts fail, or are well again.
    Network(NetworkFault),
    /// A pod is another of the same name.
    Replace { pod: usize, number: usize },
    /// A node's process goes on.
    Resume { node: usize },
    /// A pod's credential is issued anew.
    Rotate { pod: usize },
    /// A node's process does nothing.
    Stop { node: usize },
    /// Whatever comes without an identity is denied.
    Strict,
    /// The policy of [`Fault::Deny`] is removed.
    Undeny,
    /// The policy of [`Fault::Strict`] is removed.
    Unstrict,
}

impl Choices<'_> {
    pub(super) fn options(&mut self) -> Options {
        let seed = self.seed();
        let small = self.one_in(2).then(|| Small {
            streams_per_tunnel: 1 + self.below(5) as u32,
            tunnels_per_key: 1 + self.below(4),
            window_kib: 1 << self.below(8),
            queue_kib: 1 << self.below(8),
        });
        let nodes = 2 + usize::from(self.one_in(3));
        let tale = self.tale();
        Options {
            seed,
            nodes,
            pods: nodes + self.below(3) + usize::from(tale.is_some()),
            small,
            chop: self.one_in(3).then(|| 500 + self.below(5000)),
            same_node: !self.one_in(4),
            capacity: 1 << (12 + self.below(6)),
            latency: Duration::from_micros(1 + self.digit(Digit::Latency, 50_000) as u64),
            pings: Duration::from_secs(if self.one_in(3) { 5 } else { 30 }),
            delivery: if self.one_in(3) { self.delivery() } else { Delivery::Prompt },
            lifetime: self.one_in(4).then(|| 5 + self.below(40) as u64),
            ways: self.ways(),
            scarcity: self.scarcity(),
            tale,
            before: match (seed >> 24) % 4 {
                1 => Some(Before::Waypoint((seed >> 32) as usize % nodes)),
                2 => Some(Before::Gateway),
                _ => None,
            },
            on_demand: (seed >> 40).is_multiple_of(4),
            consumer: (seed >> 8).is_multiple_of(4).then_some((seed >> 16) as usize % nodes),
        }
    }

    /// As many rounds as the bytes say, while they last.
    pub(super) fn rounds(&mut self, options: &Options) -> Vec<Round> {
        let mut known = Known::new(options);
        let mut rounds = Vec::new();
        let count = 2 + self.below(ROUNDS - 1);
        while rounds.len() < count && !self.is_over() {
            let calls: Vec<Call> = (0..=self.below(CALLS)).map(|_| self.call(options.pods)).collect();
            known.calls += calls.iter().map(|call| call.times).sum::<usize>();
            let fault = (!self.one_in(4)).then(|| self.fault(&mut known));
            let time =
                Duration::from_millis(self.digit_of(Digit::Time, [1, 10, 10, 100, 100, 1000, 8000, 25_000]));
            rounds.push(Round { calls, fault, time });
        }
        rounds
    }

    fn call(&mut self, pods: usize) -> Call {
        let from = self.below(pods + 1);
        // Anybody but the one who calls; after the machine comes the service.
        let to = (from + 1 + self.below(pods + 1)) % (pods + 2);
        Call {
            from,
            to,
            port: self.of(Port::ALL),
            script: self.script(),
            times: if self.one_in(16) { 4 } else { 1 },
        }
    }

    fn script(&mut self) -> Script {
        let bytes = self.digit_of(Digit::Bytes, [8, 100, 100, 1000, 1000, 4000, 4000, 20_000]);
        let kind = self.digit(Digit::Script, 7);
        let pause = Act::Pause(self.millis(3000));
        let script = match kind {
            0 | 1 => Script::send(bytes),
            2 => Script::keep(bytes),
            3 => Script::acts(&[Act::Send(bytes), pause, Act::Reset]),
            4 => Script::acts(&[Act::Send(bytes), pause, Act::Send(bytes), Act::Fin, Act::AwaitEnd]),
            5 => Script::acts(&[Act::Send(bytes), Act::Fin, pause, Act::Reset]),
            _ => Script::acts(&[pause, Act::Fin, Act::AwaitEnd]),
        };
        match self.digit(Digit::Reading, 8) {
            0 => script.reading(Reading::Never),
            1 => script.reading(Reading::Slow(1000, Duration::from_millis(5))),
            _ => script,
        }
    }

    fn fault(&mut self, known: &mut Known) -> Fault {
        if self.digit(Digit::Class, 3) == 2 {
            return Fault::Change(self.change(known));
        }
        let (pod, node) = (self.digit(Digit::Place, known.pods), self.digit(Digit::Place, known.nodes));
        let mut menu = vec![
            Fault::AwaitPolicy { pod },
            Fault::Deny { pod },
            Fault::Forget { pod },
            Fault::Issue { node, issuing: Issuing::Refusing(Duration::from_secs(1)) },
            Fault::Issue { node, issuing: Issuing::After(Duration::from_millis(5)) },
            Fault::Join { node, joining: Joining::Parted },
            Fault::Join { node, joining: Joining::Kernel },
            Fault::Lag { node, lag: Duration::from_millis(200) },
            Fault::Replace { pod, number: known.replaced },
            Fault::Rotate { pod },
            Fault::Stop { node },
            Fault::Stop { node },
            Fault::Strict,
        ];
        menu.extend(known.calls.checked_sub(1).map(|call| Fault::Leave { call }));
        menu.extend(self.network_faults(known, pod).map(Fault::Network));
        menu.extend(self.host_faults(known, pod, node).into_iter().map(Fault::Host));
        menu.extend((0..3).map(|_| Fault::Attack { pod, attack: self.attack(known.scarcity) }));
        menu.extend(known.denied.then_some(Fault::Undeny));
        menu.extend(known.strict.then_some(Fault::Unstrict));
        // One node at a time may go; what is left must still work.
        if known.gone.is_none() {
            menu.extend([Fault::Kill { node }, Fault::Drain { node, within: Duration::from_secs(5) }]);
        }
        if let Some(node) = known.stopped.first().copied() {
            menu.extend((0..5).map(|_| Fault::Resume { node }));
        }
        let number = self.among(&menu);
        let fault = menu.swap_remove(number);
        if let Fault::Leave { call } = fault {
            return Fault::Leave { call: call - self.below(call.min(15) + 1) };
        }
        if let Fault::Network(NetworkFault::Lose { call }) = fault {
            return Fault::Network(NetworkFault::Lose { call: call - self.below(call.min(15) + 1) });
        }
        known.learn(&fault);
        fault
    }
}

/// What the rounds so far have made of the world.
struct Known {
    nodes: usize,
    pods: usize,
    calls: usize,
    replaced: usize,
    reused: usize,
    /// A way is cut or clogged.
    cut: bool,
    denied: bool,
    strict: bool,
    gone: Option<usize>,
    scarcity: Option<Scarcity>,
    vanished: BTreeSet<usize>,
    stopped: BTreeSet<usize>,
}

impl Known {
    fn new(options: &Options) -> Known {
        Known {
            nodes: options.nodes,
            pods: options.pods,
            calls: 0,
            replaced: 0,
            reused: 0,
            cut: false,
            denied: false,
            strict: false,
            gone: None,
            scarcity: options.scarcity,
            vanished: BTreeSet::new(),
            stopped: BTreeSet::new(),
        }
    }

    fn learn(&mut self, fault: &Fault) {
        match fault {
            Fault::Network(fault) => self.cut = *fault != NetworkFault::Heal,
            Fault::Deny { .. } => self.denied = true,
            Fault::Undeny => self.denied = false,
            Fault::Strict => self.strict = true,
            Fault::Unstrict => self.strict = false,
            Fault::Kill { node } | Fault::Drain { node, .. } => self.gone = Some(*node),
            Fault::Host(HostFault::Restart { .. }) => self.gone = None,
            Fault::Host(HostFault::Vanish { pod }) => {
                self.vanished.insert(*pod);
            }
            Fault::Host(HostFault::Appear { pod }) => {
                self.vanished.remove(pod);
            }
            Fault::Replace { .. } => self.replaced += 1,
            Fault::Stop { node } => {
                self.stopped.insert(*node);
            }
            Fault::Resume { node } => {
                self.stopped.remove(node);
            }
            Fault::Attack { .. }
            | Fault::AwaitPolicy { .. }
            | Fault::Change(_)
            | Fault::Forget { .. }
            | Fault::Host(_)
            | Fault::Issue { .. }
            | Fault::Join { .. }
            | Fault::Lag { .. }
            | Fault::Leave { .. }
            | Fault::Rotate { .. } => {}
        }
    }
}
