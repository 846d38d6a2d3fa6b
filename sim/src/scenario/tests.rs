use std::collections::BTreeSet;

use quickcheck::quickcheck;

use super::*;

#[test]
fn the_version_is_the_first_byte() {
    assert_eq!(Scenario::decode(&[]), Err(DecodeError::Empty));
    assert_eq!(Scenario::decode(&[VERSION + 1, 0]), Err(DecodeError::Version(VERSION + 1)));
    assert_eq!(Scenario::decode(&Scenario::bytes_of(3)), Ok(Scenario::of_seed(3)));
    assert_ne!(Scenario::of_seed(3), Scenario::of_seed(4));
}

#[test]
fn the_expanded_bytes_last_for_every_round() {
    for seed in 0..200 {
        let bytes = Scenario::bytes_of(seed);
        let mut longer = bytes.clone();
        longer.extend([77; 300]);
        assert_eq!(Scenario::decode(&bytes), Scenario::decode(&longer), "seed {seed}");
    }
}

#[test]
fn bytes_that_are_missing_make_a_short_scenario_that_runs() {
    let scenario = Scenario::decode(&[VERSION]).unwrap();
    assert_eq!(scenario.rounds.len(), 0);
    let outcome = scenario.run(Depth::WHOLE);
    assert_eq!(outcome.violation, None);
    assert!(outcome.events > 50, "{}", outcome.events);
    assert!(outcome.seen.contains("completed"), "{:?}", outcome.seen);
}

#[test]
fn a_broken_law_is_caught_and_told_with_what_led_to_it() {
    let mut scenario = Scenario::decode(&[VERSION]).unwrap();
    // TCP that holds nothing carries nothing: no probe is answered.
    scenario.options.capacity = 0;
    let outcome = scenario.run_twice();
    let violation = outcome.violation.clone().unwrap();
    assert_eq!(violation.law(), "L3", "{}", violation.message);
    assert!(violation.message.contains("p0 does not reach p1"), "{}", violation.message);
    let last: Vec<String> = outcome.last().iter().map(ToString::to_string).collect();
    assert!(last.len() > 5 && last.len() <= LAST, "{last:?}");
    assert!(last.iter().any(|line| line.contains("timed out: ")), "{last:?}");
    assert!(last.last().is_some_and(|line| line.contains("VIOLATION L3")), "{last:?}");
}

#[test]
fn every_engine_and_application_counts_in_the_hash() {
    let scenario = Scenario::of_seed(2);
    let outcome = scenario.run(Depth::QUICK);
    assert_eq!(scenario.run(Depth::QUICK).hash, outcome.hash);
    let mut other = scenario.clone();
    other.options.latency += Duration::from_nanos(1);
    assert_ne!(other.run(Depth::QUICK).hash, outcome.hash);
}

#[test]
fn the_law_is_what_a_message_begins_with() {
    let law = |message: &str| {
        let violation = Violation { message: message.to_owned(), at: Duration::ZERO };
        violation.law().to_owned()
    };
    assert_eq!(law("S3: FIN arrived"), "S3");
    assert_eq!(law("E10: and so on"), "E10");
    assert_eq!(law("index out of bounds: the len is 3"), "S22");
    assert_eq!(law("Sorry: no"), "S22");
}

#[test]
fn a_law_is_found_behind_an_assertion() {
    let text = "assertion `left == right` failed: E4: sockets are left\n  left: 1\n right: 0";
    assert_eq!(one_line(text), "E4: sockets are left left: 1 right: 0");
}

#[test]
fn nothing_is_named_twice() {
    let names: BTreeSet<&str> = VOCABULARY.iter().copied().collect();
    assert_eq!(names.len(), VOCABULARY.len());
}

quickcheck! {
    fn whatever_bytes_say_is_within_the_world(bytes: Vec<u8>) -> bool {
        let mut all = vec![VERSION];
        all.extend(bytes);
        let scenario = Scenario::decode(&all).unwrap();
        let pods = scenario.options.pods;
        scenario.rounds.len() <= plan::ROUNDS
            && (2..=3).contains(&scenario.options.nodes)
            && (2..=6).contains(&pods)
            && scenario.rounds.iter().flat_map(|round| &round.calls).all(|call| call.from != call.to && call.to <= pods + 1)
    }

    fn a_prefix_begins_alike(seed: u64, length: usize) -> bool {
        let bytes = Scenario::bytes_of(seed);
        let short = Scenario::decode(&bytes[..1 + length % 300]).unwrap();
        let whole = Scenario::of_seed(seed);
        let same = short.rounds.iter().zip(&whole.rounds).take_while(|(a, b)| a == b).count();
        same + 1 >= short.rounds.len()
    }
}
