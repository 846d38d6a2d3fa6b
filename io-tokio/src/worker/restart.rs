//! A worker that panics ends alone: its sockets are reset, what happened is reported, and it begins anew with the facts, pods and
//! listeners of that moment. The other workers go on.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use culvert_core::mesh::Snapshot;
use culvert_core::telemetry::Event;
use culvert_core::time::Time;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{Command, Driver, PodSockets, Worker};

/// The pause before a worker begins anew that had not lived long; doubled up to the last.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A worker that lived this long begins anew at once.
const LONG: Duration = Duration::from_secs(10);

/// What outlives a driver: the next one begins with it.
#[derive(Clone)]
pub(super) struct Standing(Arc<Mutex<State>>);

struct State {
    inbox: UnboundedReceiver<Command>,
    snapshot: Arc<Snapshot>,
    pods: Arc<[PodSockets]>,
    draining: Option<Time>,
}

/// What a driver begins with.
pub(super) struct Beginning {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) pods: Vec<PodSockets>,
    pub(super) draining: Option<Time>,
}

impl Standing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next command. What it changes for good is remembered before anybody acts on it.
    pub(super) fn poll_command(&self, cx: &mut Context<'_>) -> Poll<Option<Command>> {
        let mut state = self.state();
        let command = state.inbox.poll_recv(cx);
        match &command {
            Poll::Ready(Some(Command::Apply { snapshot, .. })) => state.snapshot = snapshot.clone(),
            Poll::Ready(Some(Command::Drain { until })) => {
                state.draining = Some(*until);
                // The last worker that lets go of the listeners closes them.
                state.pods = Arc::default();
            }
            Poll::Ready(Some(Command::Credential { .. } | Command::Stop) | None) | Poll::Pending => {}
        }
        command
    }

    fn beginning(&self) -> io::Result<Beginning> {
        let state = self.state();
        Ok(Beginning {
            snapshot: state.snapshot.clone(),
            pods: state.pods.iter().map(PodSockets::try_clone).collect::<io::Result<_>>()?,
            draining: state.draining,
        })
    }
}

impl Worker {
    /// Runs until told to stop or drained, however often it has to begin anew.
    pub(crate) fn run(mut self, inbox: UnboundedReceiver<Command>) {
        let standing = Standing(Arc::new(Mutex::new(State {
            inbox,
            snapshot: self.snapshot.clone(),
            pods: std::mem::take(&mut self.pods),
            draining: None,
        })));
        let mut pause = PAUSE_MIN;
        for life in 0.. {
            let begun = Instant::now();
            let why = match catch_unwind(AssertUnwindSafe(|| self.live(life, &standing))) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => format!("cannot begin: {error}"),
                Err(panic) => words(panic.as_ref()),
            };
            let restarts = 1 + self.restarts.fetch_add(1, Ordering::Relaxed);
            let event = Event::WorkerRestarted { why, restarts };
            // What is told of it may be what panics.
            let _told = catch_unwind(AssertUnwindSafe(|| (self.on_event)(self.number, &event)));
            if begun.elapsed() >= LONG {
                pause = PAUSE_MIN;
            } else {
                thread::sleep(pause);
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }

    /// Runs one driver to its end. However it ends, all of its sockets are closed when this returns: those that the engine had
    /// not closed are reset, see `SocketTable::insert`.
    fn live(&self, life: u64, standing: &Standing) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let beginning = standing.beginning()?;
        let mut engine = self.engine.clone();
        if life > 0 {
            // What was drawn before is not drawn again.
            engine.seed = engine.seed.child(&format!("life-{life}"));
        }
        let _in_runtime = runtime.enter();
        let driver = Driver::new(self, engine, beginning, standing.clone());
        // The driver bounds its own turns; tokio's budget would only make readiness lie.
        let driver = tokio::task::unconstrained(driver);
        // A task of its own: what `block_on` polls itself is woken through an eventfd, two system calls for each wake,
        // even on this thread.
        match runtime.block_on(runtime.spawn(driver)).map_err(tokio::task::JoinError::try_into_panic) {
            Err(Ok(panic)) => resume_unwind(panic),
            Ok(()) | Err(Err(_)) => Ok(()),
        }
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}
