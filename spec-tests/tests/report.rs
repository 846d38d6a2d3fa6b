//! Fails where clauses and tests do not match, and prints what is covered. It runs after the conformance tests.
#![expect(clippy::unwrap_used, reason = "without the ledgers there is nothing to report")]

use std::fs;
use std::path::{Path, PathBuf};

use culvert_spec_tests::ledger::{Coverage, Document, Ledger, LedgerFault, Tests, check, compare};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn ledgers() -> Vec<Ledger> {
    Ledger::load_all(&root().join("spec-tests/spec")).unwrap()
}

#[test]
fn clauses_and_tests_match() {
    let (ledgers, tests) = (ledgers(), Tests::scan(&root()).unwrap());
    let mut faults = check(&ledgers, &tests);
    let text = fs::read_to_string(root().join("docs/hbone.md")).unwrap();
    let hbone: Vec<_> = ledgers.iter().filter(|ledger| ledger.name.starts_with("hbone")).collect();
    faults.extend(compare(&hbone, &Document::parse(&text)));
    println!("{}", Coverage::new(&ledgers, &tests));
    let told: Vec<_> = faults.iter().map(LedgerFault::to_string).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}
