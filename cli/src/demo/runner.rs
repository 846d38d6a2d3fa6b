//! Carries out the scenarios in a [`World`] and compares what happened with what must.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::canary::Canary;
use super::mesh::{self, MeshState};
use super::place::Place;
use super::process::{self, NoLine, Process};
use super::programs::{Client, Conversation, Line, Program, Report, Server};
use super::report::{FlowPath, FlowResult, Printer, Summary};
use super::scenario::{Action, Scenario};
use super::world::{FlowRecord, World, WorldError};

mod http;
mod judge;

use judge::{Merged, Seen};

/// The port of the first scenario's server; the others follow, so that each flow has an address of its own.
pub(super) const FIRST_PORT: u16 = 7100;
/// How long a program may take for any one thing. 64 MiB through a debug build on a busy machine fit in it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nodes may take to record a flow that has ended.
const RECORD_PATIENCE: Duration = Duration::from_secs(5);
/// How long one wait for a record lasts, between looks at the interrupt.
const RECORD_WAIT: Duration = Duration::from_millis(100);

/// Set from a signal; the demo looks at it wherever it waits.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Not set.
    pub fn new() -> Interrupt {
        Interrupt::default()
    }

    /// Asks the demo to end.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the demo is to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a demo came to no result.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The machine did not do what the demo needs.
    #[error(transparent)]
    World(#[from] WorldError),
    /// Somebody ended it.
    #[error("interrupted")]
    Interrupted,
    /// A program of the demo did not start.
    #[error("the {what} in {} did not start", place.label())]
    Program {
        /// Which program.
        what: &'static str,
        /// Where.
        place: Place,
    },
    /// Results cannot be written.
    #[error("cannot write the results")]
    Output(#[source] io::Error),
    /// A file or a process of the demo's own failed.
    #[error("cannot prepare a program")]
    Prepare(#[source] io::Error),
}

/// Runs scenarios.
#[derive(Clone, Debug)]
pub struct Runner {
    executable: PathBuf,
    interrupt: Interrupt,
    run: u64,
    patience: Duration,
}

impl Runner {
    /// A runner whose programs are `executable`'s hidden command, usually `/proc/self/exe`; `run` differs from run to
    /// run and makes the canaries unique.
    pub fn new(executable: impl Into<PathBuf>, interrupt: Interrupt, run: u64) -> Runner {
        Runner { executable: executable.into(), interrupt, run, patience: PATIENCE }
    }

    /// The same runner, with another limit for how long a program may take for any one thing.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Runner {
        Runner { patience, ..self }
    }

    /// Plays `scenarios` one after another in `world` and prints each.
    ///
    /// # Errors
    ///
    /// Where the world fails or the demo is interrupted; flows that are not as they must be are results.
    pub fn run<W: Write>(
        &self,
        world: &mut dyn World,
        scenarios: &[Scenario],
        printer: &mut Printer<W>,
    ) -> Result<Summary, DemoError> {
        self.apply(world, MeshState::Open)?;
        let mut summary = Summary::default();
        for (scenario, port) in scenarios.iter().zip(FIRST_PORT..) {
            if scenario.action == Action::Http && !http::available() {
                continue;
            }
            let result = self.play(world, scenario, port)?;
            summary.flows += 1;
            summary.ok += u64::from(result.ok);
            printer.flow(&result).map_err(DemoError::Output)?;
        }
        summary.canary_leaks = world.seen_on_wire(&Canary::mesh(self.run))?;
        summary.canary_seen_plain = world.seen_on_wire(&Canary::passthrough(self.run))?;
        printer.summary(&summary).map_err(DemoError::Output)?;
        Ok(summary)
    }

    fn play(&self, world: &mut dyn World, scenario: &Scenario, port: u16) -> Result<FlowResult, DemoError> {
        let target = SocketAddr::new(world.address(scenario.destination), port);
        let seen = match &scenario.action {
            Action::Cut => self.cut(world, scenario, target)?,
            Action::Http => http::fetch(self, world, scenario, target)?,
            Action::Talk(conversation) => self.talk(world, scenario, target, conversation)?,
        };
        let merged = self.records(world, scenario, target, &seen)?;
        Ok(judge::result(scenario, &seen, &merged))
    }

    fn talk(
        &self,
        world: &mut dyn World,
        scenario: &Scenario,
        target: SocketAddr,
        conversation: &Conversation,
    ) -> Result<Seen, DemoError> {
        let server = self.server(world, scenario, target, conversation)?;
        let client = self.client(world, scenario, target, conversation)?;
        let client_report = self.report(&client, self.patience)?;
        Ok(Seen { client: client_report, server: self.server_report(&server, scenario)? })
    }

    /// Holds a connection, forbids it, and sees how both ends learn of that.
    fn cut(&self, world: &mut dyn World, scenario: &Scenario, target: SocketAddr) -> Result<Seen, DemoError> {
        let server = self.server(world, scenario, target, &Conversation::Hold)?;
        let client = self.client(world, scenario, target, &Conversation::Hold)?;
        match self.line(&client, self.patience)? {
            Some(Line::Held { .. }) => {}
            // It ended before it could be cut: the report says how.
            Some(Line::Report(report)) => return Ok(Seen { client: Some(report), server: None }),
            Some(Line::Listening { .. }) | None => return Ok(Seen { client: None, server: None }),
        }
        self.apply(world, MeshState::Frozen)?;
        let client_report = self.report(&client, self.patience)?;
        let server_report = self.report(&server, RECORD_PATIENCE)?;
        self.apply(world, MeshState::Open)?;
        Ok(Seen { client: client_report, server: server_report })
    }

    fn apply(&self, world: &mut dyn World, state: MeshState) -> Result<(), DemoError> {
        let yaml = mesh::yaml(state, |place| world.address(place));
        Ok(world.apply_mesh(&yaml)?)
    }

    fn server(
        &self,
        world: &mut dyn World,
        scenario: &Scenario,
        listen: SocketAddr,
        conversation: &Conversation,
    ) -> Result<Process, DemoError> {
        let canary = self.canary(scenario.expected.path, scenario.source);
        let program = Program::Server(Server { listen, conversation: conversation.clone(), canary });
        let server = self.start(world, scenario.destination, &program)?;
        match self.line(&server, self.patience)? {
            Some(Line::Listening { .. }) => Ok(server),
            _ => Err(DemoError::Program { what: "server", place: scenario.destination }),
        }
    }

    fn client(
        &self,
        world: &mut dyn World,
        scenario: &Scenario,
        target: SocketAddr,
        conversation: &Conversation,
    ) -> Result<Process, DemoError> {
        let program = Program::Client(Client {
            target: world.dial(scenario.source, target)?,
            conversation: conversation.clone(),
            canary: self.canary(scenario.expected.path, scenario.source),
            // Less than the demo's own, so that the program can still say that it gave up.
            patience_ms: u64::try_from((self.patience / 2).as_millis()).unwrap_or(u64::MAX),
        });
        self.start(world, scenario.source, &program)
    }

    fn start(&self, world: &mut dyn World, place: Place, program: &Program) -> Result<Process, DemoError> {
        let mut command = process::command(&self.executable, program).map_err(DemoError::Prepare)?;
        process::prepare(&mut command);
        Process::new(world.spawn(place, command)?).map_err(DemoError::Prepare)
    }

    fn server_report(&self, server: &Process, scenario: &Scenario) -> Result<Option<Report>, DemoError> {
        // A flow that is refused must never reach the application, so there is nothing to wait for.
        let time = if scenario.expected.path == FlowPath::Refused { Duration::ZERO } else { RECORD_PATIENCE };
        self.report(server, time)
    }

    fn report(&self, process: &Process, time: Duration) -> Result<Option<Report>, DemoError> {
        Ok(match self.line(process, time)? {
            Some(Line::Report(report)) => Some(report),
            _ => None,
        })
    }

    fn line(&self, process: &Process, time: Duration) -> Result<Option<Line>, DemoError> {
        match process.line(time, &self.interrupt) {
            Ok(text) => Ok(serde_json::from_str(&text).ok()),
            Err(NoLine::Interrupted) => Err(DemoError::Interrupted),
            Err(NoLine::Ended | NoLine::Late) => Ok(None),
        }
    }

    /// Takes the nodes' records of the flow until they say what they must, or for as long as they may take.
    fn records(
        &self,
        world: &mut dyn World,
        scenario: &Scenario,
        target: SocketAddr,
        seen: &Seen,
    ) -> Result<Merged, DemoError> {
        let until = Instant::now() + RECORD_PATIENCE;
        let mut records: Vec<FlowRecord> = Vec::new();
        loop {
            let merged = Merged::new(&records, seen);
            if merged.complete(&scenario.expected) || Instant::now() >= until {
                return Ok(merged);
            }
            if self.interrupt.is_set() {
                return Err(DemoError::Interrupted);
            }
            // Records of other flows are late ones of scenarios that are over.
            records.extend(world.next_record(RECORD_WAIT)?.filter(|record| record.target == target));
        }
    }

    /// The canary of a flow: those of the mesh share one, which must not be seen; plaintext flows have others.
    fn canary(&self, path: FlowPath, source: Place) -> Canary {
        match (path, source) {
            (_, Place::Outsider) => Canary::outsider(self.run),
            (FlowPath::Plaintext, _) => Canary::passthrough(self.run),
            _ => Canary::mesh(self.run),
        }
    }
}
