//! A worker: one thread, one engine, its sockets, driven by one future on a single-threaded tokio runtime.

mod accept;
mod effects;
mod joined;
mod linger;
mod redial;
mod restart;
mod table;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc as std_mpsc;
use std::task::{Context, Poll};

use culvert_core::engine::boundary::{Input, Listener, PodId, WorkloadRef};
use culvert_core::engine::{Config, Engine};
use culvert_core::identity::{Credential, IdentityFault, SpiffeId};
use culvert_core::mesh::{Changed, Snapshot};
use culvert_core::time::Time;
use culvert_linux::netns::Netns;
use tokio::time::Sleep;

use crate::clock::Clock;
use crate::credentials::Request;
use crate::node::{OnEvent, OriginalSource};
use crate::ready::ReadyQueue;
use accept::ListenerEntry;
use joined::Joints;
use redial::Redials;
use restart::{Beginning, Standing};
use table::SocketTable;

/// What a node tells its workers.
pub(crate) enum Command {
    /// `in_force` is dropped once the engine has taken the facts in.
    Apply {
        snapshot: Arc<Snapshot>,
        changed: Arc<Changed>,
        in_force: std_mpsc::Sender<()>,
    },
    Credential {
        id: SpiffeId,
        outcome: Result<Arc<Credential>, IdentityFault>,
    },
    Drain {
        until: Time,
    },
    Stop,
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
    pub(crate) listeners: Vec<ListenerSpec>,
}

impl PodSockets {
    fn try_clone(&self) -> std::io::Result<PodSockets> {
        Ok(PodSockets {
            id: self.id,
            workload: self.workload.clone(),
            netns: self.netns.as_ref().map(Netns::try_clone).transpose()?,
            listeners: self.listeners.iter().map(ListenerSpec::try_clone).collect::<std::io::Result<_>>()?,
        })
    }
}

/// What a worker is started with.
pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) engine: Config,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) clock: Clock,
    /// Shared by the workers; each has descriptors of its own.
    pub(crate) pods: Arc<[PodSockets]>,
    pub(crate) mark: Option<u32>,
    pub(crate) original_source: OriginalSource,
    pub(crate) requests: std_mpsc::Sender<Request>,
    pub(crate) on_event: OnEvent,
    /// How often workers had to begin anew.
    pub(crate) restarts: Arc<AtomicU64>,
}

/// How many sockets are pumped before the runtime looks for new readiness.
const SOCKETS_PER_TURN: usize = 256;

/// The future that a worker runs.
struct Driver {
    number: usize,
    engine: Engine,
    clock: Clock,
    standing: Standing,
    pods: Vec<PodSockets>,
    mark: Option<u32>,
    original_source: OriginalSource,
    requests: std_mpsc::Sender<Request>,
    on_event: OnEvent,
    ready: Arc<ReadyQueue>,
    table: SocketTable,
    joints: Joints,
    redials: Redials,
    listeners: Vec<ListenerEntry>,
    sleep: Pin<Box<Sleep>>,
    slept_for: Option<Time>,
    stopped: bool,
}

impl Driver {
    fn new(worker: &Worker, engine: Config, beginning: Beginning, standing: Standing) -> Driver {
        let Beginning { snapshot, pods, draining } = beginning;
        let ready = Arc::new(ReadyQueue::default());
        let now = worker.clock.now();
        let mut driver = Driver {
            number: worker.number,
            engine: Engine::new(engine, snapshot, now),
            clock: worker.clock,
            standing,
            pods,
            mark: worker.mark,
            original_source: worker.original_source,
            requests: worker.requests.clone(),
            on_event: worker.on_event.clone(),
            table: SocketTable::new(ready.clone()),
            joints: Joints::default(),
            redials: Redials::default(),
            ready,
            listeners: Vec::new(),
            sleep: Box::pin(tokio::time::sleep(std::time::Duration::from_secs(3600))),
            slept_for: None,
            stopped: false,
        };
        for pod in &driver.pods {
            let added = Input::PodAdded { pod: pod.id, workload: pod.workload.clone(), consumer: false };
            driver.engine.handle_input(now, added);
        }
        if let Some(until) = draining {
            driver.engine.handle_input(now, Input::Drain { until });
        }
        driver.open_listeners();
        driver.perform(now);
        driver
    }

    fn take_commands(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(command) = self.standing.poll_command(cx) {
            let now = self.clock.now();
            match command {
                Some(Command::Apply { snapshot, changed, in_force }) => {
                    self.engine.handle_input(now, Input::Apply { snapshot, changed });
                    drop(in_force);
                }
                Some(Command::Credential { id, outcome }) => {
                    self.engine.handle_input(now, Input::Credential { id, outcome });
                }
                Some(Command::Drain { until }) => {
                    self.listeners.clear();
                    self.engine.handle_input(now, Input::Drain { until });
                }
                Some(Command::Stop) | None => {
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

    /// Lets due deadlines fire and sleeps until the next.
    fn take_deadlines(&mut self, cx: &mut Context<'_>) -> bool {
        let mut fired = false;
        loop {
            let now = self.clock.now();
            let retries = self.next_listener_retry().into_iter().chain(self.redials.next());
            let next =
                self.engine.next_deadline().map(|deadline| deadline.at).into_iter().chain(retries).min();
            let Some(at) = next else {
                self.slept_for = None;
                return fired;
            };
            if at <= now.time {
                fired = true;
                self.engine.handle_input(now, Input::Tick);
                self.retry_listeners(now);
                self.redial(now);
                self.perform(now);
                continue;
            }
            if self.slept_for != Some(at) {
                self.slept_for = Some(at);
                self.sleep.as_mut().reset(self.clock.instant(at).into());
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return fired;
            }
            // The timer counts in milliseconds: it may ring a little early for ours.
            self.slept_for = None;
            if self.clock.now().time < at {
                self.sleep
                    .as_mut()
                    .reset((self.clock.instant(at) + std::time::Duration::from_millis(1)).into());
                self.slept_for = Some(at);
                if self.sleep.as_mut().poll(cx).is_pending() {
                    return fired;
                }
            }
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.ready.set_worker(cx.waker());
        this.take_commands(cx);
        if this.stopped {
            return Poll::Ready(());
        }
        this.take_ready();
        this.take_deadlines(cx);
        if this.stopped {
            return Poll::Ready(());
        }
        if this.ready.len() > 0 {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
