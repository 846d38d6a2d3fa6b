//! Scenarios: random worlds as bytes. Faults first, while only the laws must hold; then all is healed, and everything must
//! work again.
//!
//! A scenario is decoded from bytes, of whatever origin: a seed that is expanded to bytes, a fuzzer, a file. Whatever they
//! say makes a scenario, and bytes that end early make a short one, so that bytes can be cut away to make it smaller.
//!
//! 1. [`Scenario::decode`] or [`Scenario::of_seed`] say what is going to happen.
//! 2. [`Scenario::run`] does it, [`Scenario::run_twice`] compares two runs, and both say what was seen and which law was
//!    broken, if one was.

mod enumeration;
mod golden;
mod plan;
pub(crate) mod seconds;
mod shrink;
mod stage;
mod story;
mod vocabulary;

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use culvert_core::seed::Seed;
use serde::{Deserialize, Serialize};

use crate::cryptography::Cryptography;
pub use enumeration::Enumeration;
pub use golden::{Golden, TextError};
use plan::{Choices, Options, Round};
pub use shrink::{Shrunk, shrink, shrink_with};
use stage::Stage;
pub use story::Line;
pub use vocabulary::VOCABULARY;

/// The first byte of every scenario: what the bytes after it mean. It changes whenever that does.
pub const VERSION: u8 = 2;
/// Bytes that a seed is expanded to: more than the longest scenario takes.
const EXPANDED: usize = 1024;
/// Of so many scenarios, one is replayed in a campaign.
const REPLAYED: u64 = 16;
/// Lines of the story that a violation keeps.
const LAST: usize = 20;

/// A world and what happens in it. As text it is what serde makes of it, in YAML, by the names that are used here; that lasts
/// where the meaning of bytes does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    options: Options,
    rounds: Vec<Round>,
}

/// Why bytes are not a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There are none.
    #[error("a scenario has at least the byte that says its version")]
    Empty,
    /// They were written for another meaning of the bytes.
    #[error("the scenario is of version {0}, and this is version {VERSION}")]
    Version(u8),
}

/// How much of a run is checked and kept, beyond what every run is checked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Engines are recorded, and what was recorded replayed (E1): most of the time of a run that does so.
    pub replays: bool,
    /// The story is told.
    pub story: bool,
}

impl Depth {
    /// All of it.
    pub const WHOLE: Depth = Depth { replays: true, story: true };
    /// Nothing of it: for the many worlds of a campaign.
    pub const QUICK: Depth = Depth { replays: false, story: false };
}

/// What came of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// A number for all that came out of every engine and reached every application, with the times.
    pub hash: u64,
    /// Nodes of the world.
    pub nodes: usize,
    /// Connections that applications dialled, probes included.
    pub connections: usize,
    /// Faults that were brought about.
    pub faults: usize,
    /// Inputs that engines took.
    pub events: usize,
    /// How long chaos, healing and the calls after it took in the world.
    pub simulated: Duration,
    /// Which of [`VOCABULARY`] occurred.
    pub seen: BTreeSet<&'static str>,
    /// The law that was broken.
    pub violation: Option<Violation>,
    /// What happened, in order; nothing where it was not to be told.
    pub story: Vec<Line>,
}

/// A broken law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its id and what was found instead.
    pub message: String,
    /// When it was noticed.
    pub at: Duration,
}

impl Violation {
    /// The id of the law: what the message begins with, or S22 for a panic of another kind.
    pub fn law(&self) -> &str {
        let word = self.message.split(':').next().unwrap_or_default();
        let mut bytes = word.bytes();
        let is_id = bytes.next().is_some_and(|byte| byte.is_ascii_uppercase())
            && bytes.all(|byte| byte.is_ascii_digit());
        if is_id { word } else { "S22" }
    }
}

impl Scenario {
    /// The bytes that a seed stands for.
    pub fn bytes_of(seed: u64) -> Vec<u8> {
        let mut root = [7; 32];
        for (to, from) in root.iter_mut().zip(seed.to_le_bytes()) {
            *to = from;
        }
        let mut draws = Seed::new(root).child("scenario").draws();
        let mut bytes = Vec::with_capacity(EXPANDED + 8);
        bytes.push(VERSION);
        while bytes.len() < EXPANDED {
            bytes.extend(draws.next_u64().to_le_bytes());
        }
        bytes
    }

    /// The scenario of a seed.
    pub fn of_seed(seed: u64) -> Scenario {
        Scenario::after_version(Scenario::bytes_of(seed).get(1..).unwrap_or_default())
    }

    /// The scenario that bytes stand for: any bytes after the one that says the version.
    ///
    /// # Errors
    ///
    /// The version is missing or another.
    pub fn decode(bytes: &[u8]) -> Result<Scenario, DecodeError> {
        match bytes.split_first() {
            None => Err(DecodeError::Empty),
            Some((&VERSION, rest)) => Ok(Scenario::after_version(rest)),
            Some((&version, _)) => Err(DecodeError::Version(version)),
        }
    }

    /// How many faults it brings about.
    fn faults(&self) -> usize {
        self.rounds.iter().filter(|round| round.fault.is_some()).count()
    }

    fn after_version(bytes: &[u8]) -> Scenario {
        Scenario::chosen(Choices::of_bytes(bytes))
    }

    fn chosen(mut choices: Choices<'_>) -> Scenario {
        let options = choices.options();
        let rounds = choices.rounds(&options);
        Scenario { options, rounds }
    }

    /// Lets it happen. A broken law is caught and told; nothing is printed here, but the process's panic hook is called.
    pub fn run(&self, depth: Depth) -> Outcome {
        self.run_with(&Cryptography::fake(), depth)
    }

    /// As [`Scenario::run`], with another cryptography than the fake.
    pub fn run_with(&self, cryptography: &Cryptography, depth: Depth) -> Outcome {
        let mut stage = Stage::new(&self.options, cryptography, depth);
        let result = catch_unwind(AssertUnwindSafe(|| stage.perform(&self.rounds)));
        let violation = result.err().map(|payload| {
            let text = payload
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "a panic without words".to_owned());
            Violation { message: one_line(&text), at: stage.elapsed() }
        });
        Outcome { faults: self.faults(), ..stage.leave(violation) }
    }

    /// Runs it twice, which must come to the same (M1). One of sixteen is replayed as well. What breaks a law is run once
    /// more, so that its story can be told.
    pub fn run_twice(&self) -> Outcome {
        self.run_twice_with(&Cryptography::fake())
    }

    /// As [`Scenario::run_twice`], with another cryptography than the fake.
    pub fn run_twice_with(&self, cryptography: &Cryptography) -> Outcome {
        let replays = self.options.seed.is_multiple_of(REPLAYED);
        let first = self.run_with(cryptography, Depth { replays, story: false });
        let second = self.run_with(cryptography, Depth::QUICK);
        if first.violation.is_none() && second.violation.is_none() && first.hash == second.hash {
            return first;
        }
        self.tell_with(cryptography)
    }

    /// Runs it with all that is checked, and once more for M1, and tells its story.
    pub fn tell(&self) -> Outcome {
        self.tell_with(&Cryptography::fake())
    }

    /// As [`Scenario::tell`], with another cryptography than the fake.
    pub fn tell_with(&self, cryptography: &Cryptography) -> Outcome {
        let first = self.run_with(cryptography, Depth::WHOLE);
        if first.violation.is_some() {
            return first;
        }
        let second = self.run_with(cryptography, Depth::QUICK);
        let differs = || Violation {
            message: format!("M1: one run has the hash {:016x}, the next {:016x}", first.hash, second.hash),
            at: first.simulated,
        };
        let violation = second.violation.clone().or_else(|| (first.hash != second.hash).then(differs));
        Outcome { violation, ..first }
    }
}

/// A panic's words without what the assertion put before them.
fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.strip_prefix("assertion `left == right` failed: ") {
        Some(rest) => rest.to_owned(),
        None => words,
    }
}

/// The expanded options, on one line.
impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {} rounds", self.options, self.rounds.len())
    }
}

impl Outcome {
    /// The last lines of the story.
    pub fn last(&self) -> &[Line] {
        self.story.get(self.story.len().saturating_sub(LAST)..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
