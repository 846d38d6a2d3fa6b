//! `baggage`: what is read can be written, in one line of ASCII, and read again.
#![no_main]

use culvert_core::hbone::connect::{Baggage, MAX_BAGGAGE_BYTES, MAX_BAGGAGE_MEMBERS};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Baggage::parse(text) {
        Ok(baggage) => check(text, &baggage),
        Err(error) => assert!(error.at as usize <= text.len(), "{error} of {} bytes", text.len()),
    }
    build(text);
});

fn check(text: &str, baggage: &Baggage) {
    assert!(text.len() <= MAX_BAGGAGE_BYTES);
    assert!(baggage.iter().count() <= MAX_BAGGAGE_MEMBERS);
    for (key, value) in baggage.iter() {
        assert!(
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic() && !b"=,;\"".contains(&b)),
            "{key:?}"
        );
        assert!(!value.chars().any(char::is_control), "{value:?}");
        assert_eq!(baggage.get(key), baggage.iter().find(|(k, _)| *k == key).map(|(_, value)| value));
    }
    let printed = baggage.to_string();
    assert!(printed.bytes().all(|b| b.is_ascii_graphic()), "{printed:?}");
    // Escaped it is up to three times as long, and then too long to be read.
    if printed.len() <= MAX_BAGGAGE_BYTES {
        assert_eq!(Baggage::parse(&printed).as_ref(), Ok(baggage));
    }
}

/// Pairs of lines are pushed as keys and values; what was taken must read back.
fn build(text: &str) {
    let mut baggage = Baggage::default();
    let mut lines = text.split('\n');
    while let (Some(key), Some(value)) = (lines.next(), lines.next()) {
        let before = baggage.clone();
        if !baggage.push(key, value) {
            assert_eq!(baggage, before);
        }
    }
    assert_eq!(Baggage::parse(&baggage.to_string()), Ok(baggage));
}
