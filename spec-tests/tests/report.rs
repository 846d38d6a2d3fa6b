//! Fails where clauses, tests and the page about them do not match, and prints what is covered.
#![expect(clippy::unwrap_used, reason = "without the ledgers there is nothing to report")]

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use culvert_spec_tests::ledger::{Coverage, Document, Ledger, LedgerFault, Page, Tests, check, compare};

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

#[test]
fn the_page_is_current() {
    let path = root().join("docs/conformance.md");
    let ledgers = ledgers();
    let page = Page::new(&ledgers).to_string();
    if std::env::var_os("CULVERT_WRITE_DOCS").is_some_and(|write| write == "1") {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differs = written.lines().zip(page.lines()).position(|(written, now)| written != now);
    assert!(
        written == page,
        "docs/conformance.md is not what the ledgers say, from line {:?} on: run this test with CULVERT_WRITE_DOCS=1",
        differs.unwrap_or_else(|| written.lines().count()) + 1
    );
}

/// The rows of the node proxy's contract that have to be met by what is built so far.
const ROWS: [RangeInclusive<u32>; 3] = [4..=6, 12..=18, 22..=82];
/// The promises beyond it, likewise.
const PROMISES: [RangeInclusive<u32>; 1] = [1..=14];

/// The rows and promises of the contract that a source names, as in `node.md rows 14 and 45, B3`.
fn places(source: &str) -> Vec<String> {
    let mut places = Vec::new();
    let mut are_rows = false;
    for word in source.split_whitespace().map(|word| word.trim_end_matches(',')) {
        let number = word.strip_prefix('B').unwrap_or(word);
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        if is_number && (are_rows || word.starts_with('B')) {
            places.push(word.to_owned());
        }
        are_rows = word.starts_with("row") || (are_rows && (is_number || word == "and"));
    }
    places
}

#[test]
fn every_row_and_promise_of_what_is_built_has_a_clause() {
    let ledgers = ledgers();
    let sources = ledgers.iter().flat_map(|ledger| &ledger.clauses).map(|clause| clause.source.as_str());
    let known: BTreeSet<String> =
        sources.filter(|source| source.starts_with("node.md")).flat_map(places).collect();
    let rows = ROWS.into_iter().flatten().map(|row| row.to_string());
    let promises = PROMISES.into_iter().flatten().map(|promise| format!("B{promise}"));
    let lost: Vec<_> = rows.chain(promises).filter(|place| !known.contains(place)).collect();
    assert!(lost.is_empty(), "no clause has its source in node.md {}", lost.join(", "));
}

/// The attacks that what is built so far can meet, by their numbers.
const ATTACKS: [RangeInclusive<u32>; 5] = [1..=12, 15..=16, 21..=25, 28..=29, 31..=32];

#[test]
fn every_attack_on_what_is_built_has_a_clause() {
    let ledgers = ledgers();
    let hostile = ledgers.iter().find(|ledger| ledger.name == "hostile").unwrap();
    let group = |id: &str| id.split('.').next().unwrap_or_default().to_owned();
    let known: BTreeSet<String> = hostile.clauses.iter().map(|clause| group(&clause.id)).collect();
    let attacks = ATTACKS.into_iter().flatten().map(|attack| format!("A{attack}"));
    let lost: Vec<_> = attacks.filter(|attack| !known.contains(attack)).collect();
    assert!(lost.is_empty(), "no clause is about {}", lost.join(", "));
}

#[test]
fn a_source_names_rows_and_promises() {
    assert_eq!(places("node.md rows 14 and 45, B3"), ["14", "45", "B3"]);
    assert_eq!(places("node.md row 26, RFC 9113 section 3"), ["26"]);
    assert_eq!(places("node.md 1.6, step 1"), [""; 0]);
}
