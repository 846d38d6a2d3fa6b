//! `traceparent`: taken exactly when the grammar says so, and printed as it was read.
#![no_main]

use culvert_core::hbone::connect::TraceParent;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parsed = TraceParent::parse(text);
    assert_eq!(parsed.is_ok(), is_valid(text), "{parsed:?}");
    match parsed {
        Ok(trace) => {
            let printed = trace.to_string();
            assert_eq!(printed.get(2..), text.get(2..55));
            assert_eq!(printed.get(..3), Some("00-"));
            assert_eq!(TraceParent::parse(&printed), Ok(trace));
        }
        Err(error) => assert!(error.at as usize <= text.len().max(55), "{error}"),
    }
});

/// The grammar of W3C Trace Context section 3.2, by splitting.
fn is_valid(text: &str) -> bool {
    let fields: Vec<&str> = text.splitn(5, '-').collect();
    let [version, trace, parent, flags, more @ ..] = &fields[..] else { return false };
    let hex = |field: &str, length: usize| {
        field.len() == length && field.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |field: &str| field.bytes().all(|b| b == b'0');
    hex(version, 2)
        && *version != "ff"
        && (*version != "00" || more.is_empty())
        && hex(trace, 32)
        && !zero(trace)
        && hex(parent, 16)
        && !zero(parent)
        && hex(flags, 2)
}
