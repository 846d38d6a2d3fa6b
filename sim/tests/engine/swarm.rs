//! Random worlds: faults first, while only the laws must hold; then all is healed, and everything must work again.

use culvert_sim::scenario::{Depth, Scenario};

fn run(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let scenario = Scenario::of_seed(seed);
        let outcome = scenario.run(Depth::WHOLE);
        if let Some(violation) = &outcome.violation {
            let story: Vec<String> = outcome.last().iter().map(ToString::to_string).collect();
            panic!("seed {seed}: {}\n{scenario}\n{}", violation.message, story.join("\n"));
        }
    }
}

#[test]
fn random_worlds_keep_the_laws_and_recover() {
    run(0..5);
}

#[test]
fn more_random_worlds_keep_the_laws_and_recover() {
    run(100..105);
}

/// A longer campaign, by hand.
#[test]
#[ignore = "takes minutes"]
fn many_random_worlds_keep_the_laws_and_recover() {
    run(1000..1200);
}
