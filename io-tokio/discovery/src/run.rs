//! The session's driver: its clock, its stream, its outputs.

use crate::link::{Happened, Link};
use crate::state::Store;
use crate::{Command, DiscoveryConfig, News};
use culvert_channel::Connector;
use culvert_core::time::Time;
use culvert_core::xds::{Config, Input, Output, Session, Status};
use culvert_proto::delta;
use culvert_proto::discovery::Node;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep_until;

/// A day: nothing is due.
const NOTHING_DUE: Duration = Duration::from_secs(86_400);

pub(crate) struct Driver {
    session: Session,
    connector: Connector,
    node: Node,
    /// Sent in the first request of a stream.
    introduce: bool,
    link: Option<Link>,
    store: Option<Store>,
    news: Box<dyn FnMut(News) + Send>,
    status: Arc<Mutex<Status>>,
    start: Instant,
}

impl Driver {
    pub(crate) fn new(config: DiscoveryConfig, news: Box<dyn FnMut(News) + Send>) -> Driver {
        let session = Session::new(Config { on_demand: config.on_demand, seed: config.seed }, Time::START);
        Driver {
            status: Arc::new(Mutex::new(session.status())),
            session,
            connector: config.connector,
            node: config.identity.message(),
            introduce: true,
            link: None,
            store: config.state.map(Store::new),
            news,
            start: Instant::now(),
        }
    }

    pub(crate) fn status(&self) -> Arc<Mutex<Status>> {
        self.status.clone()
    }

    pub(crate) async fn run(mut self, mut commands: UnboundedReceiver<Command>) {
        self.restore();
        loop {
            self.turn();
            let session_due =
                self.session.next_deadline().map(|at| self.start + Duration::from_nanos(at.as_nanos()));
            let save_due = self.store.as_ref().and_then(Store::due);
            let due = [session_due, save_due].into_iter().flatten().min();
            let due = due.unwrap_or_else(|| Instant::now() + NOTHING_DUE).into();
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Demand(name)) => self.hear(Input::Demand(name)),
                    Some(Command::Stop) | None => break,
                },
                happened = next(&mut self.link) => match happened {
                    Happened::Closed(why) => {
                        self.link = None;
                        self.hear(Input::Closed(why));
                    }
                    Happened::Connected => {
                        self.introduce = true;
                        self.hear(Input::Connected);
                    }
                    Happened::Response(response) => self.hear(Input::Response(response)),
                    Happened::Unexpected(what) => (self.news)(News::Unexpected(what)),
                },
                () = sleep_until(due) => {
                    self.hear(Input::Tick);
                    if save_due.is_some_and(|due| due <= Instant::now()) {
                        self.save();
                    }
                }
            }
        }
        if self.store.as_ref().is_some_and(|store| store.due().is_some()) {
            self.save();
        }
    }

    fn hear(&mut self, input: Input) {
        let elapsed = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.session.handle_input(Time::from_nanos(elapsed), input);
    }

    /// Does all that the session asks for.
    fn turn(&mut self) {
        while let Some(output) = self.session.poll_output() {
            // Whoever is told of something may ask how things are.
            *self.status.lock().unwrap_or_else(PoisonError::into_inner) = self.session.status();
            match output {
                Output::Apply(delta) => {
                    if let Some(store) = &mut self.store {
                        store.apply(delta.clone());
                    }
                    (self.news)(News::Facts(delta));
                }
                Output::Connect => self.link = Some(Link::open(self.connector.clone())),
                Output::Known { name, exists } => (self.news)(News::Known { name, exists }),
                Output::Forgotten { name } => (self.news)(News::Forgotten { name }),
                Output::Report(event) => (self.news)(News::Event(event)),
                Output::Send(request) => {
                    let node = std::mem::take(&mut self.introduce).then(|| self.node.clone());
                    if let Some(link) = &self.link {
                        // A stream that has ended says so by itself.
                        let _ended = link.requests.send(delta::request(request, node));
                    }
                }
            }
        }
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = self.session.status();
    }

    fn restore(&mut self) {
        let Some(store) = &self.store else { return };
        match store.read() {
            Ok(Some(earlier)) => {
                for response in &earlier {
                    self.session.restore(response);
                }
                // What was just read need not be written.
                self.turn();
                if let Some(store) = &mut self.store {
                    store.saved(Duration::ZERO);
                }
                let status = self.session.status();
                (self.news)(News::Restored { addresses: status.addresses, policies: status.policies });
            }
            Ok(None) => {}
            Err(error) => (self.news)(News::State(error)),
        }
    }

    fn save(&mut self) {
        let Some(store) = &mut self.store else { return };
        let began = Instant::now();
        let written = store.write(&self.session);
        store.saved(began.elapsed());
        if let Err(error) = written {
            (self.news)(News::State(error));
        }
    }
}

async fn next(link: &mut Option<Link>) -> Happened {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}
