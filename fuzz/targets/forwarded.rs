//! `forwarded`: what is read can be written, in one line of ASCII, and read again.
#![no_main]

use culvert_core::hbone::connect::{Authority, Forwarded, MAX_FORWARDED_BYTES};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Forwarded::parse(text) {
        Ok(forwarded) => {
            assert!(text.len() <= MAX_FORWARDED_BYTES);
            let printed = forwarded.to_string();
            assert!(printed.bytes().all(|b| b.is_ascii_graphic()), "{printed:?}");
            assert_eq!(Forwarded::parse(&printed).as_ref(), Ok(&forwarded));
            // A second element changes nothing: only the first, the nearest to the client, counts.
            let longer = format!("{printed}, for=\"192.0.2.9:9\";host=other");
            if !printed.is_empty() && longer.len() <= MAX_FORWARDED_BYTES {
                assert_eq!(Forwarded::parse(&longer).as_ref(), Ok(&forwarded));
            }
            if let Some(host) = &forwarded.host {
                assert!(!host.bytes().any(|b| b.is_ascii_uppercase()));
                // It is a name or an address: what an authority could have.
                assert!(Authority::host(host, 1).is_ok() || looks_numeric(host), "{host}");
            }
        }
        Err(error) => assert!(error.at as usize <= text.len(), "{error} of {} bytes", text.len()),
    }
});

fn looks_numeric(host: &str) -> bool {
    host.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()))
}
