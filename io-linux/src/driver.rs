//! A worker: one thread, one engine, its sockets. What is the same on every runtime stands here once; a [`Runtime`] adds
//! readiness and a timer.
//!
//! A driver makes no decision: it reads the clock, moves bytes with [`culvert_core::engine::pump`], and does what the engine's
//! outputs say.

mod accept;
mod carrier;
mod effects;
mod joined;
mod linger;
mod ready;
mod redial;
mod restart;
mod runtime;
mod table;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc as std_mpsc;
use std::task::Waker;
use std::time::Duration;

use culvert_core::engine::boundary::{Input, Listener, PodId, ResolveFault, WorkloadRef};
use culvert_core::engine::{Config, Engine};
use culvert_core::identity::{Credential, IdentityFault, SpiffeId, Trust};
use culvert_core::mesh::{Changed, Destination, Snapshot};
use culvert_core::time::Time;

use crate::clock::Clock;
use crate::consumer::{Backlog, End};
use crate::netns::Netns;
use crate::node::credentials::Request;
use crate::node::names::Lookup;
use crate::node::{OnEvent, OnNeedFacts, OriginalSource};
use crate::socket::SocketSettings;
use accept::ListenerEntry;
use joined::Joints;
use linger::Lingering;
use ready::ReadyQueue;
pub(crate) use ready::Sleeper;
pub use ready::Token;
use redial::Redials;
pub(crate) use restart::words;
use restart::{Beginning, Standing};
pub use runtime::{Listen, Runtime, Stream};
use table::SocketTable;

/// What a node tells its workers.
pub(crate) enum Command {
    /// `in_force` is dropped once the engine has taken the facts in; so below, where somebody waits.
    Apply {
        snapshot: Arc<Snapshot>,
        changed: Arc<Changed>,
        in_force: std_mpsc::Sender<()>,
    },
    Credential {
        id: SpiffeId,
        outcome: Result<Arc<Credential>, IdentityFault>,
        in_force: Vec<std_mpsc::Sender<()>>,
    },
    Trust {
        trust: Trust,
        in_force: std_mpsc::Sender<()>,
    },
    Resolved {
        host: Arc<str>,
        outcome: Result<(Vec<IpAddr>, Duration), ResolveFault>,
    },
    Known {
        name: Destination,
    },
    Forgotten {
        name: Destination,
    },
    Drain {
        until: Time,
    },
    /// An application in this process dials.
    Open {
        pod: PodId,
        target: SocketAddr,
        end: End,
    },
    Stop,
}

/// Where a node's commands for one worker go.
#[derive(Clone)]
pub(crate) struct Commands {
    queue: std_mpsc::Sender<Command>,
    sleeper: Arc<Sleeper>,
}

/// Where a worker finds its commands.
pub(crate) struct Inbox {
    queue: std_mpsc::Receiver<Command>,
    sleeper: Arc<Sleeper>,
}

/// A way for commands from a node to a worker.
pub(crate) fn commands() -> (Commands, Inbox) {
    let (sender, receiver) = std_mpsc::channel();
    let sleeper = Arc::<Sleeper>::default();
    (Commands { queue: sender, sleeper: sleeper.clone() }, Inbox { queue: receiver, sleeper })
}

#[cfg(test)]
impl Inbox {
    pub(crate) fn wait(&self) -> Command {
        self.queue.recv().unwrap_or(Command::Stop)
    }
}

impl Commands {
    /// Sends a command; it is dropped where the worker has ended.
    pub(crate) fn send(&self, command: Command) {
        if self.queue.send(command).is_ok() {
            self.sleeper.call();
        }
    }
}

/// A listening socket, shared by the workers.
#[derive(Debug)]
pub(crate) struct ListenerSpec {
    pub(crate) kind: Listener,
    pub(crate) target: Option<std::net::SocketAddr>,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) socket: std::net::TcpListener,
}

impl ListenerSpec {
    pub(crate) fn try_clone(&self) -> std::io::Result<ListenerSpec> {
        Ok(ListenerSpec {
            kind: self.kind,
            target: self.target,
            address: self.address,
            socket: self.socket.try_clone()?,
        })
    }
}

/// A pod's share of a worker.
#[derive(Debug)]
pub(crate) struct PodSockets {
    pub(crate) id: PodId,
    pub(crate) workload: WorkloadRef,
    pub(crate) netns: Option<Netns>,
    pub(crate) address: Option<IpAddr>,
    /// Where its application takes connections, if that lives in this process.
    pub(crate) consumer: Option<Backlog>,
    pub(crate) listeners: Vec<ListenerSpec>,
}

impl PodSockets {
    fn try_clone(&self) -> std::io::Result<PodSockets> {
        Ok(PodSockets {
            id: self.id,
            workload: self.workload.clone(),
            netns: self.netns.as_ref().map(Netns::try_clone).transpose()?,
            address: self.address,
            consumer: self.consumer.clone(),
            listeners: self.listeners.iter().map(ListenerSpec::try_clone).collect::<std::io::Result<_>>()?,
        })
    }
}

/// What a worker is started with.
pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) engine: Config,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) trust: Trust,
    pub(crate) clock: Clock,
    /// Shared by the workers; each has descriptors of its own.
    pub(crate) pods: Arc<[PodSockets]>,
    pub(crate) sockets: SocketSettings,
    pub(crate) original_source: OriginalSource,
    pub(crate) requests: std_mpsc::Sender<Request>,
    /// Where names are looked up.
    pub(crate) lookups: std_mpsc::SyncSender<Lookup>,
    pub(crate) on_event: OnEvent,
    pub(crate) on_need_facts: OnNeedFacts,
    /// How often workers had to begin anew.
    pub(crate) restarts: Arc<AtomicU64>,
    /// Told once how the first beginning went.
    pub(crate) begun: std_mpsc::Sender<io::Result<()>>,
}

/// How many sockets are pumped before the runtime looks for new readiness.
const SOCKETS_PER_TURN: usize = 256;

/// What a driver wants after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Look for new readiness without waiting, then another turn.
    Again,
    /// Another turn when the worker's waker is woken, or at this time of [`Driver::until`] at the latest.
    Wait(Option<Time>),
    /// The worker has drained or was told to stop: no further turn.
    Stopped,
}

/// One engine and its sockets, to be turned by a [`Runtime`].
pub struct Driver<R: Runtime> {
    runtime: R,
    number: usize,
    engine: Engine,
    clock: Clock,
    standing: Standing,
    sleeper: Arc<Sleeper>,
    pods: Vec<PodSockets>,
    sockets: SocketSettings,
    original_source: OriginalSource,
    requests: std_mpsc::Sender<Request>,
    lookups: std_mpsc::SyncSender<Lookup>,
    on_event: OnEvent,
    on_need_facts: OnNeedFacts,
    ready: Arc<ReadyQueue>,
    table: SocketTable<R>,
    joints: Joints,
    redials: Redials,
    lingering: Lingering,
    listeners: Vec<ListenerEntry<R>>,
    stopped: bool,
    /// Until when a drain lasts at most.
    until: Option<Time>,
    /// The engine has nothing left.
    drained: bool,
}

impl<R: Runtime> Driver<R> {
    fn new(
        worker: &Worker,
        runtime: R,
        engine: Config,
        beginning: Beginning,
        standing: Standing,
    ) -> io::Result<Self> {
        let Beginning { snapshot, trust, pods, draining } = beginning;
        let sleeper = standing.sleeper();
        let ready = Arc::new(ReadyQueue::new(sleeper.clone()));
        let now = worker.clock.now();
        let mut driver = Driver {
            runtime,
            number: worker.number,
            engine: Engine::new(engine, snapshot, now),
            clock: worker.clock,
            standing,
            sleeper,
            pods,
            sockets: worker.sockets,
            original_source: worker.original_source,
            requests: worker.requests.clone(),
            lookups: worker.lookups.clone(),
            on_event: worker.on_event.clone(),
            on_need_facts: worker.on_need_facts.clone(),
            table: SocketTable::new(ready.clone()),
            joints: Joints::default(),
            redials: Redials::default(),
            lingering: Lingering::default(),
            ready,
            listeners: Vec::new(),
            stopped: false,
            until: draining,
            drained: false,
        };
        // Before anybody is talked to.
        driver.engine.handle_input(now, Input::Trust(trust));
        for pod in &driver.pods {
            let (workload, consumer) = (pod.workload.clone(), pod.consumer.is_some());
            let added = Input::PodAdded { pod: pod.id, workload, consumer };
            driver.engine.handle_input(now, added);
        }
        if let Some(until) = draining {
            driver.engine.handle_input(now, Input::Drain { until });
        }
        driver.open_listeners()?;
        driver.perform(now);
        Ok(driver)
    }

    /// Does all that there is to do now. `waker` is woken, from any thread, when there is more.
    pub fn turn(&mut self, waker: &Waker) -> Turn {
        // Before the queues are looked at: what comes after that look must wake somebody.
        self.sleeper.set(waker);
        self.take_commands();
        if self.stopped {
            return Turn::Stopped;
        }
        self.take_ready();
        let next = self.take_deadlines();
        if self.stopped || self.is_done() {
            Turn::Stopped
        } else if self.ready.is_empty() && !self.sleeper.is_called() {
            Turn::Wait(next)
        } else {
            Turn::Again
        }
    }

    /// How long it is until `time`; zero where it has come.
    pub fn until(&self, time: Time) -> std::time::Duration {
        self.clock.until(time)
    }

    /// Whether the engine has drained, and the last bytes have arrived wherever there was time for that.
    fn is_done(&self) -> bool {
        let time_is_up = || self.until.is_none_or(|until| until <= self.clock.now().time);
        self.drained && (self.lingering.is_empty() || time_is_up())
    }

    fn take_commands(&mut self) {
        self.sleeper.answer();
        while let Some(command) = self.standing.next_command() {
            let now = self.clock.now();
            match command {
                Command::Apply { snapshot, changed, in_force } => {
                    self.engine.handle_input(now, Input::Apply { snapshot, changed });
                    drop(in_force);
                }
                Command::Credential { id, outcome, in_force } => {
                    self.engine.handle_input(now, Input::Credential { id, outcome });
                    drop(in_force);
                }
                Command::Trust { trust, in_force } => {
                    self.engine.handle_input(now, Input::Trust(trust));
                    drop(in_force);
                }
                Command::Resolved { host, outcome } => {
                    self.engine.handle_input(now, Input::Resolved { host, outcome });
                }
                Command::Known { name } => self.engine.handle_input(now, Input::Known { name }),
                Command::Forgotten { name } => self.engine.handle_input(now, Input::Forgotten { name }),
                Command::Drain { until } => {
                    self.listeners.clear();
                    self.until = Some(until);
                    self.engine.handle_input(now, Input::Drain { until });
                }
                Command::Open { pod, target, end } => self.open(now, pod, target, end),
                Command::Stop => {
                    self.stopped = true;
                    return;
                }
            }
            self.perform(now);
        }
    }

    fn take_ready(&mut self) {
        // One reading of the clocks for the turn: deadlines, which are finer, take their own.
        let now = self.clock.now();
        for _ in 0..SOCKETS_PER_TURN {
            let Some(token) = self.ready.pop() else { return };
            if token.index >= accept::FIRST_TOKEN {
                self.accept_ready(now, token.index - accept::FIRST_TOKEN);
            } else {
                self.socket_ready(now, token.index);
            }
            self.perform(now);
        }
    }

    /// Lets due deadlines fire and tells the next.
    fn take_deadlines(&mut self) -> Option<Time> {
        loop {
            let next = [
                self.engine.next_deadline().map(|deadline| deadline.at),
                self.next_listener_retry(),
                self.redials.next(),
                self.lingering.next(),
            ];
            let at = next.into_iter().flatten().min()?;
            let now = self.clock.now();
            if at > now.time {
                return Some(at);
            }
            self.engine.handle_input(now, Input::Tick);
            self.retry_listeners(now);
            self.redial(now);
            self.lingering.look(now.time);
            self.perform(now);
        }
    }
}
