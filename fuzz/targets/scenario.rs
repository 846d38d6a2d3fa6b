//! A random world that breaks and heals, of the bytes of an input: every law of the simulator holds.
#![no_main]

use culvert_fuzz::input;
use culvert_sim::scenario::{DecodeError, Depth, Scenario};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let scenario = match Scenario::decode(data) {
        Ok(scenario) => scenario,
        Err(DecodeError::Empty) => return,
        Err(error @ DecodeError::Version(_)) => {
            assert!(!input::is_replay(), "{error}: write the seeds anew");
            return;
        }
    };
    // A law that is broken panics, which libFuzzer takes for a crash before the scenario can say so itself.
    let outcome = scenario.run(Depth::QUICK);
    assert_eq!(outcome.violation, None, "{scenario}");
});
