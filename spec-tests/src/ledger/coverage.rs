//! What the ledgers cover, as a text.

use std::fmt;
use std::slice;

use super::{Clause, Ledger, Level, Status, Tests, cited};

/// The coverage of some ledgers; prints as a table of numbers and the list of exceptions.
#[derive(Clone, Copy, Debug)]
pub struct Coverage<'a> {
    ledgers: &'a [Ledger],
    tests: &'a Tests,
}

impl<'a> Coverage<'a> {
    /// The coverage of `ledgers`, of all the `tests` there are.
    pub fn new(ledgers: &'a [Ledger], tests: &'a Tests) -> Coverage<'a> {
        Coverage { ledgers, tests }
    }
}

fn of_level(clauses: &[Clause], level: Level) -> String {
    let all = clauses.iter().filter(|clause| clause.level == level);
    let proved = all.clone().filter(|clause| clause.status == Status::Done).count();
    format!("{proved}/{}", all.count())
}

impl fmt::Display for Coverage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<13} {:>7} {:>9} {:>9} {:>9} {:>6}",
            "proved of", "all", "must", "should", "istio", "tests"
        )?;
        for ledger in self.ledgers {
            let clauses = &ledger.clauses;
            let proved = clauses.iter().filter(|clause| clause.status == Status::Done).count();
            let [must, should, istio] =
                [Level::Must, Level::Should, Level::Istio].map(|level| of_level(clauses, level));
            let all = format!("{proved}/{}", clauses.len());
            let tests = cited(slice::from_ref(ledger), self.tests).len();
            writeln!(f, "{:<13} {all:>7} {must:>9} {should:>9} {istio:>9} {tests:>6}", ledger.name)?;
        }
        let every = || self.ledgers.iter().flat_map(|ledger| &ledger.clauses);
        writeln!(
            f,
            "{} of the workspace's {} tests prove a clause",
            cited(self.ledgers, self.tests).len(),
            self.tests.count()
        )?;
        for clause in every().filter(|clause| clause.status == Status::Exception) {
            writeln!(f, "exception {}: {} ({})", clause.id, clause.says, clause.reason)?;
        }
        Ok(())
    }
}
