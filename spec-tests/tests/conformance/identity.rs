//! The grammar of SPIFFE ids.

use culvert_core::identity::SpiffeId;

fn reads(text: &str) -> bool {
    text.parse::<SpiffeId>().is_ok()
}

#[test]
fn ids_of_the_form_are_read_and_printed_alike() {
    for text in [
        "spiffe://cluster.local/ns/default/sa/default",
        "spiffe://a/ns/b/sa/c",
        "spiffe://x-y_z.0/ns/n/sa/s",
        "spiffe://td/ns/kube-system/sa/node.proxy_1",
        "spiffe://td/ns/ns/sa/sa",
        "spiffe://td/ns/A/sa/B",
        "spiffe://td/ns/.../sa/.x",
    ] {
        assert_eq!(text.parse::<SpiffeId>().map(|id| id.to_string()), Ok(text.to_owned()));
    }
}

#[test]
fn another_scheme_is_no_id() {
    for text in [
        "",
        "cluster.local/ns/n/sa/s",
        "//cluster.local/ns/n/sa/s",
        "SPIFFE://cluster.local/ns/n/sa/s",
        "sPiffe://cluster.local/ns/n/sa/s",
        "spiffe:cluster.local/ns/n/sa/s",
        "spiffe:/cluster.local/ns/n/sa/s",
        "spiffes://cluster.local/ns/n/sa/s",
        "https://cluster.local/ns/n/sa/s",
        "urn:spiffe://cluster.local/ns/n/sa/s",
        " spiffe://cluster.local/ns/n/sa/s",
    ] {
        assert!(!reads(text), "{text:?}");
    }
}

#[test]
fn a_trust_domain_has_few_characters() {
    for domain in [
        "",
        "A",
        "Cluster.local",
        "a:1",
        "u@a",
        "u:p@a",
        "a b",
        "a%41",
        "a+b",
        "a~b",
        "a!b",
        "[::1]",
        "ä",
        "a\0",
        "a\\",
        "a,b",
        "a?x",
        "a#x",
    ] {
        assert!(!reads(&format!("spiffe://{domain}/ns/n/sa/s")), "{domain:?}");
    }
    assert!(reads(&format!("spiffe://{}/ns/n/sa/s", "d".repeat(255))));
    assert!(!reads(&format!("spiffe://{}/ns/n/sa/s", "d".repeat(256))));
}

#[test]
fn a_part_of_the_path_has_few_characters() {
    for part in [
        "",
        ".",
        "..",
        "a b",
        "a%20b",
        "%61",
        "%2e%2e",
        "a:b",
        "a@b",
        "a;b",
        "a,b",
        "a=b",
        "a+b",
        "a~b",
        "a*b",
        "a'b",
        "a\0b",
        "a\nb",
        "a\u{200d}b",
        "ä",
        "а",
        "a\\b",
        "a|b",
    ] {
        assert!(!reads(&format!("spiffe://td/ns/{part}/sa/s")), "{part:?}");
        assert!(!reads(&format!("spiffe://td/ns/n/sa/{part}")), "{part:?}");
    }
}

#[test]
fn the_path_is_namespace_and_service_account_and_no_more() {
    for path in [
        "",
        "/",
        "/ns",
        "/ns/n",
        "/ns/n/",
        "/ns/n/sa",
        "/ns/n/sa/",
        "/ns/n/sa/s/",
        "/ns/n/sa/s/x",
        "//ns/n/sa/s",
        "/ns//n/sa/s",
        "/ns/n//sa/s",
        "/NS/n/sa/s",
        "/ns/n/SA/s",
        "/sa/s/ns/n",
        "/ns/n/x/s",
        "/x/ns/n/sa/s",
        "/./ns/n/sa/s",
        "/ns/n/sa/s?q",
        "/ns/n/sa/s#f",
        "?/ns/n/sa/s",
        "/workload",
        "/ns/n/sa/s/../t",
    ] {
        assert!(!reads(&format!("spiffe://td{path}")), "{path:?}");
    }
}

#[test]
fn an_id_has_2048_bytes_at_most() {
    let of_length = |bytes: usize| {
        let start = "spiffe://td/ns/n/sa/";
        start.to_owned() + &"s".repeat(bytes - start.len())
    };
    assert!(reads(&of_length(2048)));
    assert!(!reads(&of_length(2049)));
    assert!(!reads(&of_length(1 << 20)));
}

#[test]
fn ids_are_equal_only_byte_for_byte() {
    let id = |text: &str| text.parse::<SpiffeId>().unwrap();
    let one = id("spiffe://td/ns/n/sa/s");
    assert_eq!(one, SpiffeId::new("td", "n", "s").unwrap());
    for other in [
        "spiffe://td/ns/n/sa/S",
        "spiffe://td/ns/N/sa/s",
        "spiffe://td/ns/n/sa/s.",
        "spiffe://td/ns/n/sa/ss",
        "spiffe://td./ns/n/sa/s",
        "spiffe://td/ns/s/sa/n",
    ] {
        assert_ne!(one, id(other));
    }
}
