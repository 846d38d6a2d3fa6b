//! The ledger: clauses of specifications, each with the tests that prove it or the reason why there is none.

mod coverage;
mod document;
mod page;
mod source;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use serde::Deserialize;

pub use coverage::Coverage;
pub use document::Document;
pub use page::Page;
pub use source::Tests;

/// How binding a clause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Peers of Istio do so and depend on it; no standard asks for it.
    Istio,
    /// MUST and MUST NOT (RFC 2119).
    Must,
    /// SHOULD, SHOULD NOT and MAY (RFC 2119).
    Should,
}

/// Whether a clause is proved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// By the tests that it names.
    #[default]
    Done,
    /// It is not, for the reason given.
    Exception,
}

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clause {
    /// Its number, which no other clause of any ledger has.
    pub id: String,
    /// Where it comes from: a section of a standard or a row of the node proxy's contract.
    pub source: String,
    /// How binding it is.
    pub level: Level,
    /// What it asks for, in a few words.
    pub says: String,
    /// The names of the tests that fail if it is broken, as [`Tests::find`] takes them.
    #[serde(default)]
    pub tests: Vec<String>,
    /// Whether it is proved.
    #[serde(default)]
    pub status: Status,
    /// Why it is an exception.
    #[serde(default)]
    pub reason: String,
}

/// The clauses of one specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The file's name without its ending.
    pub name: String,
    /// What its clauses are about, as a heading.
    pub title: String,
    /// The clauses, in the order of the file.
    pub clauses: Vec<Clause>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerFile {
    title: String,
    clause: Vec<Clause>,
}

/// Why there is no ledger to look at.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file or directory cannot be read.
    #[error("{path}: {why}")]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        why: io::Error,
    },
    /// A ledger is not in its form.
    #[error("{ledger}: {why}")]
    Form {
        /// Which.
        ledger: String,
        /// Where and how.
        why: String,
    },
}

impl LedgerError {
    fn read(path: &Path, why: io::Error) -> LedgerError {
        LedgerError::Read { path: path.to_owned(), why }
    }
}

/// What is wrong with a ledger. They print as one line each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum LedgerFault {
    /// Two clauses have one number.
    #[error("{0} is there twice")]
    RepeatedId(String),
    /// A clause is neither proved nor an exception.
    #[error("{0} has no test and is no exception")]
    Unproved(String),
    /// A clause does not say what it asks for, or where that comes from.
    #[error("{0} does not say what it asks for or where that comes from")]
    Silent(String),
    /// An exception has no reason, or a proved clause has one.
    #[error("{0} must give a reason if it is an exception, and none otherwise")]
    Reason(String),
    /// A clause names a test that is nowhere in the workspace, or that is ignored.
    #[error("{id} names the test {test}, which is nowhere or ignored")]
    NoSuchTest {
        /// The clause.
        id: String,
        /// The test.
        test: String,
    },
    /// A clause names a test of which there are several, and does not say in which file.
    #[error("{id} names the test {test}, which is in several files")]
    AmbiguousTest {
        /// The clause.
        id: String,
        /// The test.
        test: String,
    },
    /// A clause names a test more than once.
    #[error("{id} names the test {test} twice")]
    RepeatedTest {
        /// The clause.
        id: String,
        /// The test.
        test: String,
    },
    /// A conformance test proves no clause.
    #[error("{path}: the test {test} is named by no clause")]
    Stray {
        /// The file of the test.
        path: String,
        /// The test.
        test: String,
    },
    /// The document has a clause that the ledger has not.
    #[error("{0} is in the document and not in the ledger")]
    NotInLedger(String),
    /// The ledger has a clause that the document has not.
    #[error("{0} is in the ledger and not in the document")]
    NotInDocument(String),
    /// The words of the document are of another level than the ledger's.
    #[error("{id} is {ledger} in the ledger and {document} in the document")]
    OtherLevel {
        /// The clause.
        id: String,
        /// The ledger's level.
        ledger: Level,
        /// The document's level.
        document: Level,
    },
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Istio => "istio",
            Level::Must => "must",
            Level::Should => "should",
        })
    }
}

impl Ledger {
    /// Reads a ledger from its text.
    ///
    /// # Errors
    /// [`LedgerError::Form`] if it is no TOML of clauses, or a clause has a field that is missing or unknown.
    pub fn parse(name: &str, text: &str) -> Result<Ledger, LedgerError> {
        let file: LedgerFile = toml::from_str(text)
            .map_err(|e| LedgerError::Form { ledger: name.to_owned(), why: e.to_string() })?;
        Ok(Ledger { name: name.to_owned(), title: file.title, clauses: file.clause })
    }

    /// Reads every `*.toml` of a directory, by name.
    ///
    /// # Errors
    /// As [`Ledger::parse`], and [`LedgerError::Read`] if a file cannot be read.
    pub fn load_all(directory: &Path) -> Result<Vec<Ledger>, LedgerError> {
        let mut ledgers = Vec::new();
        for path in source::files(directory, "toml")? {
            let text = fs::read_to_string(&path).map_err(|e| LedgerError::read(&path, e))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            ledgers.push(Ledger::parse(&name, &text)?);
        }
        Ok(ledgers)
    }
}

/// What is wrong with ledgers, given the tests that there are; nothing if all is well.
pub fn check(ledgers: &[Ledger], tests: &Tests) -> Vec<LedgerFault> {
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    for clause in ledgers.iter().flat_map(|ledger| &ledger.clauses) {
        if !ids.insert(&clause.id) {
            faults.push(LedgerFault::RepeatedId(clause.id.clone()));
        }
        check_clause(clause, tests, &mut faults);
    }
    let cited = cited(ledgers, tests);
    let strays = tests.conformance().filter(|test| !cited.contains(test));
    faults.extend(
        strays.map(|(test, path)| LedgerFault::Stray { path: path.to_owned(), test: test.to_owned() }),
    );
    faults
}

/// The tests that prove clauses: the name and the file of each.
fn cited<'a>(ledgers: &'a [Ledger], tests: &'a Tests) -> BTreeSet<(&'a str, &'a str)> {
    let citations = ledgers.iter().flat_map(|ledger| &ledger.clauses).flat_map(|clause| &clause.tests);
    let name = |citation: &'a str| citation.rsplit_once("::").map_or(citation, |(_, name)| name);
    citations
        .flat_map(|citation| tests.find(citation).into_iter().map(move |path| (name(citation), path)))
        .collect()
}

fn check_clause(clause: &Clause, tests: &Tests, faults: &mut Vec<LedgerFault>) {
    let id = || clause.id.clone();
    let is_exception = clause.status == Status::Exception;
    if clause.tests.is_empty() && !is_exception {
        faults.push(LedgerFault::Unproved(id()));
    }
    if clause.says.trim().is_empty() || clause.source.trim().is_empty() {
        faults.push(LedgerFault::Silent(id()));
    }
    if clause.reason.trim().is_empty() == is_exception {
        faults.push(LedgerFault::Reason(id()));
    }
    let mut seen = BTreeSet::new();
    for test in &clause.tests {
        if !seen.insert(test) {
            faults.push(LedgerFault::RepeatedTest { id: id(), test: test.clone() });
        }
        match tests.find(test).len() {
            0 => faults.push(LedgerFault::NoSuchTest { id: id(), test: test.clone() }),
            1 => {}
            _ => faults.push(LedgerFault::AmbiguousTest { id: id(), test: test.clone() }),
        }
    }
}

/// What differs between the ledgers of a document and the document: clauses that one side lacks, and levels.
pub fn compare(ledgers: &[&Ledger], document: &Document) -> Vec<LedgerFault> {
    let levels: BTreeMap<&str, Level> =
        ledgers.iter().flat_map(|ledger| &ledger.clauses).map(|c| (c.id.as_str(), c.level)).collect();
    let mut faults = Vec::new();
    for (id, level) in document.clauses() {
        match levels.get(id) {
            None => faults.push(LedgerFault::NotInLedger(id.to_owned())),
            Some(Level::Istio) => {}
            Some(own) if *own == level => {}
            Some(own) => {
                faults.push(LedgerFault::OtherLevel { id: id.to_owned(), ledger: *own, document: level });
            }
        }
    }
    let known: BTreeSet<&str> = document.clauses().map(|(id, _)| id).collect();
    let lost = levels.keys().filter(|id| !known.contains(*id));
    faults.extend(lost.map(|id| LedgerFault::NotInDocument((*id).to_owned())));
    faults.extend(document.repeated().map(|id| LedgerFault::RepeatedId(id.to_owned())));
    faults
}
