//! How a node hears of the mesh from a control plane.
//!
//! The session is [`culvert_core::xds`]; here are its stream, its clock, its thread, and the state that outlives the process.
//! [`Discovery::start`] runs it on a thread with a runtime of its own, so that it serves nodes on any runtime, and tells of
//! facts and events by one callback. What it knows is written to a folder if there is one: a node that begins without a control
//! plane serves by that.

mod identity;
mod link;
mod run;
mod state;

use culvert_channel::Connector;
use culvert_core::mesh::Delta;
use culvert_core::seed::Seed;
use culvert_core::xds::{Event, Status};
pub use identity::NodeIdentity;
pub use state::StateError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// How discovery is to be.
#[derive(Debug)]
pub struct DiscoveryConfig {
    /// How the control plane is reached.
    pub connector: Connector,
    /// Who asks.
    pub identity: NodeIdentity,
    /// Whether workloads and services come only as they are asked for (node.md row 73).
    pub on_demand: bool,
    /// The folder in which what is known is kept, made if it is not there.
    pub state: Option<PathBuf>,
    /// Where jitter comes from.
    pub seed: Seed,
}

/// What discovery has to tell.
#[derive(Debug)]
pub enum News {
    /// Something for an operator.
    Event(Event),
    /// Facts to take in.
    Facts(Delta),
    /// The answer to a demand; if it exists, its facts were told before.
    Known {
        /// The name.
        name: Arc<str>,
        /// Whether there is such a thing.
        exists: bool,
    },
    /// A name of which there was nothing gave way to another: what becomes of it is not told any more.
    Forgotten {
        /// The name.
        name: Arc<str>,
    },
    /// What an earlier process knew was taken over, and told as facts before.
    Restored {
        /// How many workloads and services there are.
        addresses: usize,
        /// How many policies.
        policies: usize,
    },
    /// The folder cannot be read or written; discovery goes on without it.
    State(StateError),
    /// The control plane sent what was not asked for.
    Unexpected(String),
}

enum Command {
    Demand(Arc<str>),
    Stop,
}

/// Discovery at work. Dropping it ends it, and writes what is known.
pub struct Discovery {
    commands: UnboundedSender<Command>,
    status: Arc<Mutex<Status>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Discovery {
    /// Starts it. `news` is called on its thread; while it runs, the control plane waits.
    ///
    /// # Errors
    /// The thread or its runtime cannot be had.
    pub fn start(config: DiscoveryConfig, news: impl FnMut(News) + Send + 'static) -> io::Result<Discovery> {
        let (commands, inbox) = unbounded_channel();
        let driver = run::Driver::new(config, Box::new(news));
        let status = driver.status();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let thread = std::thread::Builder::new()
            .name("culvert-xds".into())
            .spawn(move || runtime.block_on(driver.run(inbox)))?;
        Ok(Discovery { commands, status, thread: Some(thread) })
    }

    /// Asks for a name: `NETWORK/ADDRESS`, `NAMESPACE/HOSTNAME` or a uid. [`News::Known`] is the answer.
    pub fn demand(&self, name: impl Into<Arc<str>>) {
        self.demands()(name.into());
    }

    /// What asks as [`Discovery::demand`] does, for others to keep. It never blocks, and asks nobody once discovery has ended.
    pub fn demands(&self) -> impl Fn(Arc<str>) + Send + Sync + 'static {
        let commands = self.commands.clone();
        move |name| {
            let _ended = commands.send(Command::Demand(name));
        }
    }

    /// How it is.
    pub fn status(&self) -> Status {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        let _ended = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _panicked = thread.join();
        }
    }
}
