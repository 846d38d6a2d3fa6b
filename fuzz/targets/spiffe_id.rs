//! SPIFFE ids: taken exactly when the grammar says so, and never normalised.
#![no_main]

use culvert_core::identity::{MAX_ID_BYTES, MAX_TRUST_DOMAIN_BYTES, SpiffeId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parsed = text.parse::<SpiffeId>();
    assert_eq!(parsed.is_ok(), is_valid(text), "{parsed:?}");
    let Ok(id) = parsed else { return };
    assert_eq!(id.to_string(), text);
    let made = SpiffeId::new(id.trust_domain(), id.namespace(), id.service_account());
    assert_eq!(made.as_ref(), Ok(&id));
    // Compared by parts as by text: no two texts are one id.
    if let Some(other) = lookalike(text) {
        assert_ne!(other.parse::<SpiffeId>().as_ref(), Ok(&id));
    }
});

/// The grammar of SPIFFE-ID section 2 with the path of Kubernetes, by splitting.
fn is_valid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let ["spiffe:", "", domain, "ns", namespace, "sa", account] = parts[..] else { return false };
    let segment = |s: &str| {
        !matches!(s, "" | "." | "..") && s.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
    };
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
    text.len() <= MAX_ID_BYTES
        && (1..=MAX_TRUST_DOMAIN_BYTES).contains(&domain.len())
        && domain.chars().all(lower)
        && segment(namespace)
        && segment(account)
}

/// The text with the case of its last letter changed.
fn lookalike(text: &str) -> Option<String> {
    let last = text.chars().next_back()?;
    let swapped =
        if last.is_ascii_lowercase() { last.to_ascii_uppercase() } else { last.to_ascii_lowercase() };
    (swapped != last).then(|| format!("{}{swapped}", &text[..text.len() - 1]))
}
