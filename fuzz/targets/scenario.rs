//! A random world that breaks and heals, of the bytes of an input: every law of the simulator holds.
#![no_main]

use culvert_sim::scenario::{Depth, Scenario};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(scenario) = Scenario::decode(data) else { return };
    // A law that is broken panics, which libFuzzer takes for a crash before the scenario can say so itself.
    let outcome = scenario.run(Depth::Again);
    assert_eq!(outcome.violation, None, "{scenario}");
});
