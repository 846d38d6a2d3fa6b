//! Whether planted bugs are noticed: each is hunted in a process of its own, by what is said to find it.
//!
//! Only in builds with `--cfg culvert_bugs`; see `culvert_core::planted` for the bugs. A law that no bug breaks checks
//! nothing, and a bug that nothing notices says which law is missing.
#![cfg(culvert_bugs)]

mod child;
mod table;
mod tests_of;

use std::io;
use std::num::ParseIntError;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use culvert_core::planted::{BUGS, Hunter, Planted};

pub use child::{visit, walk};
pub use table::{document, median};
use tests_of::Tests;

/// Scenarios that are run without a bug; campaigns of the simulator run many more.
const QUIET: u64 = 300;

/// What to hunt, and how long.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// Only the bug of this name.
    pub only: Option<String>,
    /// One bug of so many.
    pub every: usize,
    /// Which of those.
    pub offset: usize,
    /// Scenarios at most for one bug.
    pub seeds: u64,
    /// Processes at once.
    pub jobs: usize,
}

/// How a bug was noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The law that was broken.
    pub law: String,
    /// What noticed it.
    pub by: String,
    /// How many scenarios that took.
    pub seeds: Option<u64>,
    /// What was found instead of what should be.
    pub message: String,
}

/// A bug and whether it was noticed.
#[derive(Clone, Debug)]
pub struct Hunted {
    /// The bug.
    pub planted: &'static Planted,
    /// How; nothing noticed it if absent.
    pub finding: Option<Finding>,
}

/// Why a hunt came to no answer.
#[derive(Debug, thiserror::Error)]
pub enum HuntError {
    /// A process could not be run.
    #[error("cannot run {program}: {error}")]
    Run {
        /// Which.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// The tests could not be built.
    #[error("cannot build the tests of {package}: {why}")]
    Build {
        /// Their package.
        package: &'static str,
        /// What cargo said.
        why: String,
    },
    /// A test that is said to find a bug is not there.
    #[error("{hunter} has no test: it finds nothing")]
    NoTest {
        /// Its name.
        hunter: String,
    },
    /// A hunter found something although nothing is planted.
    #[error("{by} notices a bug where none is planted: {message}")]
    Unplanted {
        /// The hunter.
        by: String,
        /// What it found.
        message: String,
    },
    /// No bug has this name.
    #[error("no planted bug is named {0:?}")]
    Unknown(String),
    /// A child said something else than agreed.
    #[error("a child process cannot be understood: {0}")]
    Child(#[from] ParseIntError),
}

impl Hunt {
    /// The bugs that are hunted.
    ///
    /// # Errors
    ///
    /// None has the name asked for.
    pub fn chosen(&self) -> Result<Vec<&'static Planted>, HuntError> {
        if let Some(name) = &self.only {
            let found = BUGS.iter().find(|planted| planted.name == name);
            return found.map(|planted| vec![planted]).ok_or_else(|| HuntError::Unknown(name.clone()));
        }
        let every = self.every.max(1);
        let numbered = BUGS.iter().enumerate();
        Ok(numbered.filter(|(n, _)| n % every == self.offset % every).map(|(_, planted)| planted).collect())
    }

    /// Hunts them, after it has made sure that those who hunt find nothing where nothing is planted. `tell` is called with
    /// each bug when its hunt is over.
    ///
    /// # Errors
    ///
    /// A hunter cannot be run, or finds something where nothing is.
    pub fn run(&self, tell: impl Fn(&Hunted) + Sync) -> Result<Vec<Hunted>, HuntError> {
        let chosen = self.chosen()?;
        let mut hunters: Vec<Hunter> = Vec::new();
        for hunter in chosen.iter().map(|planted| planted.hunter) {
            if !hunters.contains(&hunter) {
                hunters.push(hunter);
            }
        }
        let ground = Ground::new(&hunters)?;
        let quiet = |hunter: &Hunter| match ground.seek(None, *hunter, self.seeds.min(QUIET))? {
            None => Ok(()),
            Some(Finding { by, message, .. }) => Err(HuntError::Unplanted { by, message }),
        };
        in_parallel(self.jobs, &hunters, quiet)?;
        in_parallel(self.jobs, &chosen, |planted| {
            let finding = ground.seek(Some(planted), planted.hunter, self.seeds)?;
            let hunted = Hunted { planted, finding };
            tell(&hunted);
            Ok(hunted)
        })
    }
}

/// What hunters need: this program, and the tests that were built.
struct Ground {
    program: PathBuf,
    core: Option<Tests>,
    worlds: Option<Tests>,
}

impl Ground {
    fn new(hunters: &[Hunter]) -> Result<Ground, HuntError> {
        let program = std::env::current_exe()
            .map_err(|error| HuntError::Run { program: "culvert-bugs".to_owned(), error })?;
        let wants = |test: fn(&Hunter) -> bool| hunters.iter().any(test);
        let core = wants(|hunter| matches!(hunter, Hunter::CoreTest(_)));
        let worlds = wants(|hunter| matches!(hunter, Hunter::WorldTest(_)));
        Ok(Ground {
            program,
            core: core.then(|| Tests::build("culvert-core", &["--lib"])).transpose()?,
            worlds: worlds.then(|| Tests::build("culvert-sim", &["--test", "engine"])).transpose()?,
        })
    }

    fn seek(
        &self,
        planted: Option<&Planted>,
        hunter: Hunter,
        seeds: u64,
    ) -> Result<Option<Finding>, HuntError> {
        let bug = planted.map(|planted| planted.name);
        let law = planted.map_or("M3", |planted| planted.law);
        match hunter {
            Hunter::Scenarios => child::scenarios(&self.program, bug, seeds),
            Hunter::Machine(machine, depth) => child::machine(&self.program, bug, law, machine, depth),
            Hunter::CoreTest(path) => tests_of::run(self.core.as_ref(), bug, law, path),
            Hunter::WorldTest(path) => tests_of::run(self.worlds.as_ref(), bug, law, path),
        }
    }
}

/// Does the work of each item, so many at once; the results are in the order of the items.
fn in_parallel<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, HuntError> + Sync,
) -> Result<Vec<R>, HuntError> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Result<R, HuntError>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else { return };
                    let result = work(item);
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}
