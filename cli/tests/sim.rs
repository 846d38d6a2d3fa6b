//! `culvert sim` as a user runs it.
#![expect(clippy::unwrap_used, reason = "a test panics to fail, in its helpers too")]

use std::path::Path;
use std::process::{Command, Output};

use culvert_sim::scenario::VERSION;

fn sim(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_culvert")).current_dir(dir).arg("sim").args(arguments).output().unwrap()
}

#[test]
fn a_campaign_that_is_too_short_fails_and_says_what_it_never_saw() {
    let dir = tempfile::tempdir().unwrap();
    let output = sim(dir.path(), &["run", "--seeds", "1", "--from", "2", "--jobs", "1", "--json"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.starts_with("error: never seen: "), "{errors}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["seeds"], &summary["violations"]), (&1.into(), &0.into()));
    assert!(summary["scenarios_per_second"].as_f64().unwrap() > 0.0, "{summary}");
    let never_seen = summary["never_seen"].as_array().unwrap();
    assert!(!never_seen.is_empty() && !never_seen.contains(&"completed".into()), "{summary}");
}

#[test]
fn a_replay_of_bytes_tells_who_dialled_whom() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("short.bin"), [VERSION]).unwrap();
    let told = || sim(dir.path(), &["replay", "short.bin", "--trace"]);
    let output = told();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    for part in ["Options {", "world   heal", "tunnel to 10.0.2.2:15008 opened", "completed", "hash "] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert_eq!(told().stdout, output.stdout, "two processes");
}

#[test]
fn a_scenario_that_is_named_by_its_bytes_is_that_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bytes.bin"), [VERSION, 1, 0, 0, 7, 9]).unwrap();
    let told = |name: &str| {
        let output = sim(dir.path(), &["replay", name]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    assert_eq!(told(&format!("hex:{VERSION:02x}0100000709")), told("bytes.bin"));
}

#[test]
fn small_scenarios_are_counted_apart_from_states() {
    let dir = tempfile::tempdir().unwrap();
    let explored = |enough: &str| {
        sim(dir.path(), &["explore", "--machine", "scenarios", "--depth", "3", "--at-least", enough])
    };
    let output = explored("0");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("scenarios: 75 scenarios, "), "{text}");
    let errors = String::from_utf8(explored("1").stderr).unwrap();
    assert!(errors.starts_with("error: 0 states, and 1 were asked for"), "{errors}");
}

#[test]
fn with_the_cryptography_of_production_a_world_is_the_same_in_two_processes() {
    let dir = tempfile::tempdir().unwrap();
    let told = |provider: &str| {
        let output = sim(dir.path(), &["replay", "17", "--trace", "--provider", provider]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let real = told("real");
    assert_eq!(told("real"), real);
    assert!(real.contains("completed"), "{real}");
    let hash = |text: &str| text.lines().next_back().map(|line| line.get(..21).unwrap().to_owned());
    assert_ne!(hash(&told("fake")), hash(&real));
}

#[test]
fn worlds_with_the_cryptography_of_production_keep_the_laws() {
    let dir = tempfile::tempdir().unwrap();
    let output = sim(dir.path(), &["run", "--provider", "real", "--seeds", "20", "--json"]);
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["seeds"], &summary["violations"]), (&20.into(), &0.into()), "{summary}");
}

#[test]
fn a_file_that_is_no_scenario_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("other.bin"), [VERSION + 1, 2, 3]).unwrap();
    for (file, word) in [("other.bin", "version"), ("absent.bin", "cannot read")] {
        let output = sim(dir.path(), &["replay", file]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(errors.contains(file) && errors.contains(word), "{errors}");
    }
}
