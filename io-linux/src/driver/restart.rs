//! A worker that panics ends alone: its sockets are reset, what happened is reported, and it begins anew with the facts, pods and
//! listeners of that moment. The other workers go on.

use std::any::Any;
use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use culvert_core::identity::Trust;
use culvert_core::mesh::Snapshot;
use culvert_core::telemetry::Event;
use culvert_core::time::Time;

use super::{Command, Driver, Inbox, PodSockets, Runtime, Sleeper, Worker};

/// The pause before a worker begins anew that had not lived long; doubled up to the last.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A worker that lived this long begins anew at once.
const LONG: Duration = Duration::from_secs(10);

/// What outlives a driver: the next one begins with it.
#[derive(Clone)]
pub(super) struct Standing(Arc<Mutex<State>>);

struct State {
    inbox: Inbox,
    snapshot: Arc<Snapshot>,
    trust: Trust,
    pods: Arc<[PodSockets]>,
    draining: Option<Time>,
    /// The driver of now has looked for commands.
    looked: bool,
}

/// What a driver begins with.
pub(super) struct Beginning {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) trust: Trust,
    pub(super) pods: Vec<PodSockets>,
    pub(super) draining: Option<Time>,
}

impl Standing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sleeper(&self) -> Arc<Sleeper> {
        self.state().inbox.sleeper.clone()
    }

    /// The next command, if there is one. What it changes for good is remembered before anybody acts on it.
    pub(super) fn next_command(&self) -> Option<Command> {
        let mut state = self.state();
        state.looked = true;
        let command = match state.inbox.queue.try_recv() {
            Ok(command) => command,
            Err(TryRecvError::Empty) => return None,
            // Nobody can tell this worker anything any more.
            Err(TryRecvError::Disconnected) => return Some(Command::Stop),
        };
        match &command {
            Command::Apply { snapshot, .. } => state.snapshot = snapshot.clone(),
            Command::Trust { trust, .. } => state.trust = trust.clone(),
            Command::Drain { until } => {
                state.draining = Some(*until);
                // The last worker that lets go of the listeners closes them.
                state.pods = Arc::default();
            }
            // What the next driver lacks it asks for itself.
            Command::Credential { .. }
            | Command::Resolved { .. }
            | Command::Known { .. }
            | Command::Forgotten { .. }
            | Command::Open { .. }
            | Command::Stop => {}
        }
        Some(command)
    }

    /// Whether a worker that was lost has no reason to begin anew: it was told to stop, or drains and has nothing left. One that was
    /// lost before it took commands may be lost so again for ever, so what it was told is taken here: connections that
    /// applications opened are reset.
    fn is_over(&self) -> bool {
        let looked = self.state().looked;
        while !looked && let Some(command) = self.next_command() {
            if matches!(command, Command::Stop) {
                return true;
            }
        }
        self.is_draining()
    }

    fn is_draining(&self) -> bool {
        self.state().draining.is_some()
    }

    fn beginning(&self) -> io::Result<Beginning> {
        let mut state = self.state();
        state.looked = false;
        Ok(Beginning {
            snapshot: state.snapshot.clone(),
            trust: state.trust.clone(),
            pods: state.pods.iter().map(PodSockets::try_clone).collect::<io::Result<_>>()?,
            draining: state.draining,
        })
    }
}

impl Worker {
    /// Runs until told to stop or drained, however often it has to begin anew.
    pub(crate) fn run<R: Runtime>(mut self, inbox: Inbox) {
        let standing = Standing(Arc::new(Mutex::new(State {
            inbox,
            snapshot: self.snapshot.clone(),
            trust: self.trust.clone(),
            pods: std::mem::take(&mut self.pods),
            draining: None,
            looked: false,
        })));
        let mut pause = PAUSE_MIN;
        let served = Cell::new(false);
        for life in 0.. {
            let begun = Instant::now();
            let why = match catch_unwind(AssertUnwindSafe(|| self.live::<R>(life, &standing, &served))) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => format!("cannot begin: {error}"),
                Err(panic) => words(panic.as_ref()),
            };
            if !served.get() {
                // A node of which a worker never served does not start.
                let _gone = self.begun.send(Err(io::Error::other(why)));
                return;
            }
            let restarts = 1 + self.restarts.fetch_add(1, Ordering::Relaxed);
            let event = Event::WorkerRestarted { why, restarts };
            self.tell(&event);
            if standing.is_over() {
                if standing.is_draining() {
                    self.tell(&Event::Drained);
                }
                return;
            }
            if begun.elapsed() >= LONG {
                pause = PAUSE_MIN;
            } else {
                thread::sleep(pause);
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }

    /// Tells of what happens between two drivers. That may be what panics.
    fn tell(&self, event: &Event) {
        let _told = catch_unwind(AssertUnwindSafe(|| (self.on_event)(self.number, event)));
    }

    /// Runs one driver to its end. However it ends, all of its sockets are closed when this returns: those that the engine had
    /// not closed are reset, see `SocketTable::insert`.
    fn live<R: Runtime>(&self, life: u64, standing: &Standing, served: &Cell<bool>) -> io::Result<()> {
        let beginning = standing.beginning()?;
        let mut engine = self.engine.clone();
        if life > 0 {
            // What was drawn before is not drawn again.
            engine.seed = engine.seed.child(&format!("life-{life}"));
        }
        R::run(|runtime| {
            let driver = Driver::new(self, runtime, engine, beginning, standing.clone())?;
            if !served.replace(true) {
                let _gone = self.begun.send(Ok(()));
            }
            Ok(driver)
        })
    }
}

/// What a panic said.
pub(crate) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}
