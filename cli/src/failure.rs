//! What the command line says when something went wrong: one line `error: …`, and where it helps one line `hint: …`.

use std::error::Error;
use std::fmt;

/// Exit status of a command that failed.
pub const STATUS_FAILED: u8 = 1;
/// Exit status of a command line that could not be understood.
pub const STATUS_USAGE: u8 = 2;

/// Why a command ended without success, ready to be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    message: String,
    hint: Option<String>,
    status: u8,
}

impl Failure {
    /// A failure while doing what was asked (exit status 1).
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { message: one_line(&message.into()), hint: None, status: STATUS_FAILED }
    }

    /// A command line that makes no sense (exit status 2).
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { status: STATUS_USAGE, ..Failure::new(message) }
    }

    /// A failure from an error and its causes, joined by colons.
    pub fn from_error(error: &dyn Error) -> Failure {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(source) = cause {
            let text = source.to_string();
            // Some errors print their cause as a part of themselves; once is enough.
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = source.source();
        }
        Failure::new(message)
    }

    /// The same failure with a line that says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(one_line(&hint.into()));
        self
    }

    /// The same failure, told of something: `context: message`.
    #[must_use]
    pub fn context(mut self, context: &str) -> Failure {
        self.message = one_line(&format!("{context}: {}", self.message));
        self
    }

    /// The exit status to end with.
    pub fn status(&self) -> u8 {
        self.status
    }

    /// What went wrong, one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, one line.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => writeln!(f, "hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Joins the lines of `text`: a log collector takes each line for a message of its own.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_one_line_each() {
        let failure = Failure::new("cannot\n  read it").hint("look\nagain");
        assert_eq!(failure.to_string(), "error: cannot read it\nhint: look again\n");
        assert_eq!(Failure::usage("x").status(), STATUS_USAGE);
    }

    #[test]
    fn names_every_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open it")]
        struct Outer(#[source] std::io::Error);
        let failure = Failure::from_error(&Outer(std::io::Error::other("disk on fire")));
        assert_eq!(failure.message(), "cannot open it: disk on fire");
    }
}
