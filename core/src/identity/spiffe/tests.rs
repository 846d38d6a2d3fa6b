use super::*;
use quickcheck::{Arbitrary, Gen, quickcheck};

fn parse(text: &str) -> Result<SpiffeId, SpiffeIdError> {
    text.parse()
}

#[test]
fn good_ids_have_their_parts() {
    let table = [
        ("spiffe://cluster.local/ns/default/sa/default", ["cluster.local", "default", "default"]),
        ("spiffe://cluster.local/ns/x/sa/a", ["cluster.local", "x", "a"]),
        ("spiffe://td/ns/n/sa/s", ["td", "n", "s"]),
        ("spiffe://a.b-c_d.0/ns/n/sa/s", ["a.b-c_d.0", "n", "s"]),
        ("spiffe://0/ns/0/sa/0", ["0", "0", "0"]),
        ("spiffe://-/ns/-/sa/-", ["-", "-", "-"]),
        ("spiffe://_/ns/_/sa/_", ["_", "_", "_"]),
        ("spiffe://./ns/n/sa/s", [".", "n", "s"]),
        ("spiffe://10.0.0.1/ns/n/sa/s", ["10.0.0.1", "n", "s"]),
        ("spiffe://td/ns/Upper/sa/Case", ["td", "Upper", "Case"]),
        ("spiffe://td/ns/ns/sa/sa", ["td", "ns", "sa"]),
        ("spiffe://td/ns/sa/sa/ns", ["td", "sa", "ns"]),
        ("spiffe://td/ns/.../sa/...", ["td", "...", "..."]),
        ("spiffe://td/ns/.n/sa/s.", ["td", ".n", "s."]),
        ("spiffe://td/ns/..n/sa/s..", ["td", "..n", "s.."]),
        ("spiffe://td/ns/a.b/sa/c-d_e", ["td", "a.b", "c-d_e"]),
        ("spiffe://spiffe/ns/spiffe/sa/spiffe", ["spiffe", "spiffe", "spiffe"]),
    ];
    for (text, parts) in table {
        let id = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!([id.trust_domain(), id.namespace(), id.service_account()], parts, "{text}");
        assert_eq!((id.to_string(), format!("{id:?}")), (text.to_owned(), text.to_owned()));
    }
}

#[test]
fn bad_ids_are_refused_with_their_reason() {
    use SpiffeIdError::{Path, Scheme, Segment, TrustDomain};
    let table = [
        ("", Scheme),
        ("s", Scheme),
        ("spiffe:", Scheme),
        ("spiffe:/", Scheme),
        ("spiffe:/td/ns/n/sa/s", Scheme),
        ("td/ns/n/sa/s", Scheme),
        ("/ns/n/sa/s", Scheme),
        (" spiffe://td/ns/n/sa/s", Scheme),
        ("\0spiffe://td/ns/n/sa/s", Scheme),
        ("\u{feff}spiffe://td/ns/n/sa/s", Scheme),
        ("SPIFFE://td/ns/n/sa/s", Scheme),
        ("Spiffe://td/ns/n/sa/s", Scheme),
        ("spiffé://td/ns/n/sa/s", Scheme),
        ("https://td/ns/n/sa/s", Scheme),
        ("spiffe%3a//td/ns/n/sa/s", Scheme),
        ("spiffe://", Path),
        ("spiffe://td", Path),
        ("spiffe:///", TrustDomain),
        ("spiffe:///ns/n/sa/s", TrustDomain),
        ("spiffe:////ns/n/sa/s", TrustDomain),
        ("spiffe://Td/ns/n/sa/s", TrustDomain),
        ("spiffe://td:8080/ns/n/sa/s", TrustDomain),
        ("spiffe://user@td/ns/n/sa/s", TrustDomain),
        ("spiffe://td?q/ns/n/sa/s", TrustDomain),
        ("spiffe://td#f/ns/n/sa/s", TrustDomain),
        ("spiffe://t d/ns/n/sa/s", TrustDomain),
        ("spiffe://t%64/ns/n/sa/s", TrustDomain),
        ("spiffe://tд/ns/n/sa/s", TrustDomain),
        ("spiffe://[::1]/ns/n/sa/s", TrustDomain),
        ("spiffe://td\0/ns/n/sa/s", TrustDomain),
        ("spiffe://td\n/ns/n/sa/s", TrustDomain),
        ("spiffe://td\\ns/ns/n/sa/s", TrustDomain),
        ("spiffe://td/", Path),
        ("spiffe://td//", Path),
        ("spiffe://td/ns", Path),
        ("spiffe://td/ns/", Path),
        ("spiffe://td/ns/n", Path),
        ("spiffe://td/ns/n/", Path),
        ("spiffe://td/ns/n/sa", Path),
        ("spiffe://td/ns/n/sa/s/", Path),
        ("spiffe://td/ns/n/sa/s/x", Path),
        ("spiffe://td/ns/n/sa/s//", Path),
        ("spiffe://td//ns/n/sa/s", Path),
        ("spiffe://td/./ns/n/sa/s", Path),
        ("spiffe://td/sa/s/ns/n", Path),
        ("spiffe://td/NS/n/sa/s", Path),
        ("spiffe://td/ns/n/SA/s", Path),
        ("spiffe://td/ns/n/s/s", Path),
        ("spiffe://td/ns/n/sa/s/ns/n/sa/s", Path),
        ("spiffe://td/ns/../ns/n/sa/s", Path),
        ("spiffe://td/%6es/n/sa/s", Path),
        ("spiffe://td/workload", Path),
        ("spiffe://td/ns//sa/s", Segment),
        ("spiffe://td/ns/n/sa/", Segment),
        ("spiffe://td/ns/./sa/s", Segment),
        ("spiffe://td/ns/../sa/s", Segment),
        ("spiffe://td/ns/n/sa/.", Segment),
        ("spiffe://td/ns/n/sa/..", Segment),
        ("spiffe://td/ns/n%2fx/sa/s", Segment),
        ("spiffe://td/ns/n/sa/s%00", Segment),
        ("spiffe://td/ns/n/sa/s\0", Segment),
        ("spiffe://td/ns/n/sa/s ", Segment),
        ("spiffe://td/ns/n/sa/s\n", Segment),
        ("spiffe://td/ns/n/sa/s?q=1", Segment),
        ("spiffe://td/ns/n/sa/s#f", Segment),
        ("spiffe://td/ns/n/sa/s;x", Segment),
        ("spiffe://td/ns/n/sa/*", Segment),
        ("spiffe://td/ns/n:x/sa/s", Segment),
        ("spiffe://td/ns/n/sa/ѕ", Segment),
        ("spiffe://td/ns/n\u{200b}/sa/s", Segment),
        ("spiffe://td/ns/n/sa/s@x", Segment),
        ("spiffe://td/ns/n\\x/sa/s", Segment),
    ];
    for (text, why) in table {
        assert_eq!(parse(text), Err(why), "{text:?}");
    }
}

#[test]
fn lengths_are_limited() {
    let longest = "d".repeat(MAX_TRUST_DOMAIN_BYTES);
    assert!(parse(&format!("spiffe://{longest}/ns/n/sa/s")).is_ok());
    assert_eq!(parse(&format!("spiffe://{longest}d/ns/n/sa/s")), Err(SpiffeIdError::TooLong));
    let frame = "spiffe://td/ns/n/sa/".len();
    let account = "s".repeat(MAX_ID_BYTES - frame);
    assert!(parse(&format!("spiffe://td/ns/n/sa/{account}")).is_ok());
    assert_eq!(parse(&format!("spiffe://td/ns/n/sa/{account}s")), Err(SpiffeIdError::TooLong));
    assert!(SpiffeId::new("td", "n", &account).is_ok());
    assert_eq!(SpiffeId::new("td", "n", &format!("{account}s")), Err(SpiffeIdError::TooLong));
}

#[test]
fn ids_are_compared_as_parts() {
    assert_ne!(parse("spiffe://td/ns/a.b/sa/c"), parse("spiffe://td/ns/a/sa/b.c"));
    assert_ne!(parse("spiffe://td/ns/N/sa/s"), parse("spiffe://td/ns/n/sa/s"));
    assert_eq!(parse("spiffe://td/ns/n/sa/s"), SpiffeId::new("td", "n", "s"));
}

#[derive(Clone, Debug)]
struct Part(String);

impl Arbitrary for Part {
    fn arbitrary(g: &mut Gen) -> Part {
        let length = usize::arbitrary(g) % 12 + 1;
        let alphabet: Vec<char> = "abyz0189.-_".chars().collect();
        Part((0..length).map(|_| *g.choose(&alphabet).unwrap()).collect())
    }
}

quickcheck! {
    fn parse_undoes_print(trust_domain: Part, namespace: Part, account: Part) -> bool {
        match SpiffeId::new(&trust_domain.0, &namespace.0, &account.0) {
            Ok(id) => parse(&id.to_string()) == Ok(id),
            Err(_) => [".", ".."].iter().any(|dots| *dots == namespace.0 || *dots == account.0),
        }
    }

    fn print_undoes_parse(text: String, tail: bool) -> bool {
        let text = if tail { format!("spiffe://td/ns/n/sa/{text}") } else { text };
        parse(&text).map_or(true, |id| id.to_string() == text)
    }

    fn no_part_reaches_beyond_its_place(trust_domain: String, namespace: String, account: String) -> bool {
        SpiffeId::new(&trust_domain, &namespace, &account).map_or(true, |id| {
            [id.trust_domain(), id.namespace(), id.service_account()] == [trust_domain, namespace, account]
                && id.to_string().matches('/').count() == 6
        })
    }
}
