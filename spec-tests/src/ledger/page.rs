//! The ledgers as a document to read.

use std::fmt;

use super::{Clause, Ledger, Status};

/// Some ledgers; prints as a Markdown document with a table for each.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    ledgers: &'a [Ledger],
}

/// What stands above the tables.
const PREFACE: &str = "\
# Conformance

What Culvert does, clause by clause, and which tests fail where it does not. This document is generated from the ledgers
in `spec-tests/spec/`; do not edit it. `cargo test -p culvert-spec-tests --test report` checks that the ledgers name tests
that exist and that this document says the same as they do; with `CULVERT_WRITE_DOCS=1` in its environment it writes it.

Levels: *must* and *should* are those of RFC 2119; *istio* is what peers of Istio do and depend on, though no standard asks
for it. An exception is a clause that is not proved, or proved only in part; it says why. `node.md` is the contract of the
node proxy: *row* is a fact of Istio's proxy, *B* a promise beyond it. A test is named by its function, with the end of its
file's path before it where several files have a test of that name.
";

impl<'a> Page<'a> {
    /// The page of these ledgers, in their order.
    pub fn new(ledgers: &'a [Ledger]) -> Page<'a> {
        Page { ledgers }
    }
}

/// A text as a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// What proves a clause, or why nothing does.
fn proof(clause: &Clause) -> String {
    let tests: Vec<_> = clause.tests.iter().map(|test| format!("`{test}`")).collect();
    let tests = tests.join(", ");
    match clause.status {
        Status::Done => tests,
        Status::Exception => {
            let between = if tests.is_empty() { "" } else { "; " };
            format!("**exception:** {}{between}{tests}", cell(&clause.reason))
        }
    }
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{PREFACE}")?;
        writeln!(f, "| about | proved |\n|---|---|")?;
        for ledger in self.ledgers {
            let proved = ledger.clauses.iter().filter(|clause| clause.status == Status::Done).count();
            writeln!(f, "| {} | {proved} of {} |", cell(&ledger.title), ledger.clauses.len())?;
        }
        for ledger in self.ledgers {
            writeln!(f, "\n## {}\n", ledger.title)?;
            writeln!(f, "| clause | source | level | says | proved by |\n|---|---|---|---|---|")?;
            for clause in &ledger.clauses {
                let Clause { id, source, level, says, .. } = clause;
                let (source, says, proof) = (cell(source), cell(says), proof(clause));
                writeln!(f, "| {id} | {source} | {level} | {says} | {proof} |")?;
            }
        }
        Ok(())
    }
}
