//! Scenarios that are kept: readable text with one sentence each, which outlives any change of what bytes mean.

use serde::{Deserialize, Serialize};

use super::{Outcome, Scenario, Violation};
use crate::cryptography::Cryptography;

/// A scenario that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// What happens in it, in one sentence.
    pub says: String,
    /// What of the vocabulary it shows, at least.
    pub shows: Vec<String>,
    /// The world, and what happens in it.
    pub scenario: Scenario,
}

/// Why text is not a scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no scenario in YAML: {0}")]
pub struct TextError(String);

impl Golden {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// The text is no YAML, or says something that scenarios do not.
    pub fn read(text: &str) -> Result<Golden, TextError> {
        serde_saphyr::from_str(text).map_err(|error| TextError(error.to_string()))
    }

    /// Runs it with all that is checked. What it no longer shows is a broken law: M3.
    pub fn tell(&self) -> Outcome {
        self.tell_with(&Cryptography::fake())
    }

    /// As [`Golden::tell`], with another cryptography than the fake.
    pub fn tell_with(&self, cryptography: &Cryptography) -> Outcome {
        let outcome = self.scenario.tell_with(cryptography);
        let missing: Vec<&str> =
            self.shows.iter().map(String::as_str).filter(|id| !outcome.seen.contains(id)).collect();
        if outcome.violation.is_some() || missing.is_empty() {
            return outcome;
        }
        let message = format!("M3: it does not show {} any more", missing.join(", "));
        Outcome { violation: Some(Violation { message, at: outcome.simulated }), ..outcome }
    }
}
