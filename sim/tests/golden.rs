//! Scenarios that are kept as text: each still means what its sentence says.
#![expect(clippy::unwrap_used, reason = "a test panics to fail, in its helpers too")]

use std::fs;
use std::path::Path;

use culvert_sim::scenario::{Golden, VOCABULARY};

fn all() -> Vec<(String, Golden)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &Path| Golden::read(&fs::read_to_string(path).unwrap());
    files
        .iter()
        .map(|path| {
            (
                path.display().to_string(),
                read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            )
        })
        .collect()
}

#[test]
fn every_one_keeps_the_laws_and_shows_what_it_is_kept_for() {
    let all = all();
    assert!(all.len() > 20, "{}", all.len());
    for (file, golden) in all {
        assert!(golden.says.ends_with('.') && !golden.shows.is_empty(), "{file}");
        for id in &golden.shows {
            assert!(VOCABULARY.contains(&id.as_str()), "{file}: {id}");
        }
        let outcome = golden.tell();
        assert_eq!(outcome.violation, None, "{file}: {}", golden.says);
    }
}

#[test]
fn one_that_shows_less_than_it_did_is_noticed() {
    let (file, golden) = all().remove(0);
    let changed = Golden { shows: vec!["D99".to_owned()], ..golden };
    let violation = changed.tell().violation.unwrap();
    assert_eq!(violation.law(), "M3", "{file}");
    assert!(violation.message.contains("D99"), "{}", violation.message);
}

#[test]
fn what_no_scenario_says_is_refused() {
    for text in ["", "says: x", "says: x\nshows: []\nscenario: {options: {}, rounds: []}"] {
        assert!(Golden::read(text).is_err(), "{text}");
    }
}
