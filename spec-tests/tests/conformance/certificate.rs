//! X.509-SVIDs: which certificates give an identity, in which role.

use std::time::Duration;

use culvert_core::identity::IdentityFault;
use culvert_core::identity::svid::SvidVerifier;
use culvert_core::time::WallTime;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::fixture::{Authority, CLIENT, SERVER, WALL, bundle, provider, svid, uri};

fn verifier(roots: &[(&str, &Authority)]) -> SvidVerifier {
    SvidVerifier::new("cluster.local", bundle(roots), provider().signature_verification_algorithms)
}

/// What a server says of a client with this chain, and a client of a server: the identity, or the fault's name.
fn verdicts(verifier: &SvidVerifier, chain: &[CertificateDer<'_>], at: WallTime) -> [String; 2] {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(at.as_unix_secs()));
    let (leaf, rest) = chain.split_first().unwrap();
    [verifier.verify_client(leaf, rest, now), verifier.verify_server(leaf, rest, now)]
        .map(|said| said.map_or_else(|fault| fault.label().to_owned(), |leaf| leaf.id.to_string()))
}

fn both(said: &str) -> [String; 2] {
    [said.to_owned(), said.to_owned()]
}

type Change = fn(&mut CertificateParams);

/// Each leaf differs from a correct one in one thing.
fn check(cases: &[(&str, Change, &str)]) {
    let root = Authority::new("root");
    let verifier = verifier(&[("cluster.local", &root)]);
    for (name, change, said) in cases {
        let mut params = svid(&[CLIENT]);
        change(&mut params);
        let (leaf, _) = root.issue(&params);
        assert_eq!(verdicts(&verifier, &[leaf], WALL), both(said), "{name}");
    }
}

fn names(params: &mut CertificateParams, uris: &[&str]) {
    params.subject_alt_names = uris.iter().map(|text| uri(text)).collect();
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

#[test]
fn a_leaf_has_exactly_one_uri() {
    check(&[
        ("one", |_| (), CLIENT),
        ("none", |p| p.subject_alt_names.clear(), "no_subject_alt_name"),
        ("the same twice", |p| names(p, &[CLIENT, CLIENT]), "many_uri_names"),
        ("two", |p| names(p, &[CLIENT, SERVER]), "many_uri_names"),
        ("a SPIFFE id and another URI", |p| names(p, &[CLIENT, "https://a/"]), "many_uri_names"),
        ("another URI and a SPIFFE id", |p| names(p, &["https://a/", CLIENT]), "many_uri_names"),
        ("an empty URI and a SPIFFE id", |p| names(p, &["", CLIENT]), "many_uri_names"),
        ("five", |p| names(p, &[CLIENT; 5]), "many_uri_names"),
        ("a DNS name alone", |p| p.subject_alt_names = vec![dns("a.b")], "no_uri_name"),
        ("an id as DNS name's start", |p| p.subject_alt_names = vec![dns("spiffe.local")], "no_uri_name"),
        (
            "an address alone",
            |p| p.subject_alt_names = vec![SanType::IpAddress([10, 0, 0, 1].into())],
            "no_uri_name",
        ),
        (
            "a mail address alone",
            |p| p.subject_alt_names = vec![SanType::Rfc822Name("a@b.c".try_into().unwrap())],
            "no_uri_name",
        ),
        (
            "an id as common name alone",
            |p| {
                p.subject_alt_names.clear();
                p.distinguished_name.push(DnType::CommonName, CLIENT);
            },
            "no_subject_alt_name",
        ),
    ]);
}

#[test]
fn other_names_neither_help_nor_hurt() {
    check(&[
        ("a DNS name beside", |p| p.subject_alt_names.push(dns("a.b")), CLIENT),
        ("a DNS name before", |p| p.subject_alt_names.insert(0, dns("a.b")), CLIENT),
        ("an address", |p| p.subject_alt_names.push(SanType::IpAddress([0, 0, 0, 0].into())), CLIENT),
        ("another id as common name", |p| p.distinguished_name.push(DnType::CommonName, SERVER), CLIENT),
    ]);
}

#[test]
fn the_uri_is_a_spiffe_id_of_a_workload() {
    check(&[
        ("https", |p| names(p, &["https://cluster.local/ns/x/sa/client"]), "bad_spiffe_id"),
        ("upper-case scheme", |p| names(p, &["SPIFFE://cluster.local/ns/x/sa/client"]), "bad_spiffe_id"),
        ("upper-case domain", |p| names(p, &["spiffe://Cluster.local/ns/x/sa/client"]), "bad_spiffe_id"),
        ("a port", |p| names(p, &["spiffe://cluster.local:80/ns/x/sa/client"]), "bad_spiffe_id"),
        ("a user", |p| names(p, &["spiffe://u@cluster.local/ns/x/sa/client"]), "bad_spiffe_id"),
        ("a percent sign", |p| names(p, &["spiffe://cluster.local/ns/x/sa/%63lient"]), "bad_spiffe_id"),
        ("a query", |p| names(p, &["spiffe://cluster.local/ns/x/sa/client?a"]), "bad_spiffe_id"),
        ("a fragment", |p| names(p, &["spiffe://cluster.local/ns/x/sa/client#a"]), "bad_spiffe_id"),
        ("a slash at the end", |p| names(p, &["spiffe://cluster.local/ns/x/sa/client/"]), "bad_spiffe_id"),
        ("dots", |p| names(p, &["spiffe://cluster.local/ns/../sa/client"]), "bad_spiffe_id"),
        ("an empty part", |p| names(p, &["spiffe://cluster.local/ns//sa/client"]), "bad_spiffe_id"),
        ("no path", |p| names(p, &["spiffe://cluster.local"]), "bad_spiffe_id"),
        ("another path", |p| names(p, &["spiffe://cluster.local/workload/a"]), "bad_spiffe_id"),
        ("NUL", |p| names(p, &["spiffe://cluster.local/ns/x/sa/client\0"]), "bad_spiffe_id"),
        ("a line break", |p| names(p, &["spiffe://cluster.local/ns/x/sa/client\n"]), "bad_spiffe_id"),
        (
            "too long",
            |p| names(p, &[&format!("spiffe://cluster.local/ns/x/sa/{}", "s".repeat(2048))]),
            "bad_spiffe_id",
        ),
    ]);
}

#[test]
fn a_leaf_signs_handshakes_and_nothing_else() {
    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyAgreement, KeyCertSign, KeyEncipherment};
    check(&[
        ("an authority", |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), "leaf_is_authority"),
        (
            "an authority of length 0",
            |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
            "leaf_is_authority",
        ),
        ("explicitly none", |p| p.is_ca = IsCa::ExplicitNoCa, CLIENT),
        ("no usage", |p| p.key_usages = vec![], "no_digital_signature"),
        ("only encipherment", |p| p.key_usages = vec![KeyEncipherment], "no_digital_signature"),
        ("further usages", |p| p.key_usages = vec![DigitalSignature, KeyEncipherment, KeyAgreement], CLIENT),
        ("certificates", |p| p.key_usages = vec![DigitalSignature, KeyCertSign], "signing_leaf"),
        ("revocation lists", |p| p.key_usages = vec![DigitalSignature, CrlSign], "signing_leaf"),
    ]);
}

#[test]
fn an_extension_that_is_there_twice_is_refused() {
    let second = [&[0x30, 34, 0x86, 32][..], b"spiffe://cluster.local/ns/x/sa/b"].concat();
    let root = Authority::new("root");
    let mut params = svid(&[CLIENT]);
    params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 17], second));
    let (leaf, _) = root.issue(&params);
    let verifier = verifier(&[("cluster.local", &root)]);
    assert_eq!(verdicts(&verifier, std::slice::from_ref(&leaf), WALL), both("certificate_malformed"));
    let cut = CertificateDer::from(leaf[..leaf.len() - 1].to_vec());
    assert_eq!(verdicts(&verifier, &[cut], WALL), both("certificate_malformed"));
    assert_eq!(verdicts(&verifier, &[CertificateDer::from(vec![])], WALL), both("certificate_malformed"));
}

#[test]
fn the_extended_usage_allows_the_role() {
    use ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};
    let root = Authority::new("root");
    let verifier = verifier(&[("cluster.local", &root)]);
    let refused = "wrong_usage";
    for (usages, as_client, as_server) in [
        (vec![], CLIENT, CLIENT),
        (vec![ClientAuth, ServerAuth], CLIENT, CLIENT),
        (vec![ClientAuth], CLIENT, refused),
        (vec![ServerAuth], refused, CLIENT),
        (vec![CodeSigning], refused, refused),
        (vec![CodeSigning, ClientAuth], CLIENT, refused),
    ] {
        let mut params = svid(&[CLIENT]);
        params.extended_key_usages = usages.clone();
        let (leaf, _) = root.issue(&params);
        assert_eq!(verdicts(&verifier, &[leaf], WALL), [as_client, as_server], "{usages:?}");
    }
}

#[test]
fn validity_includes_its_first_and_last_second() {
    let root = Authority::new("root");
    let verifier = verifier(&[("cluster.local", &root)]);
    let mut params = svid(&[CLIENT]);
    params.not_before = rcgen::date_time_ymd(2027, 1, 15);
    params.not_after = rcgen::date_time_ymd(2027, 1, 16);
    let (leaf, _) = root.issue(&params);
    let first = 1_799_971_200;
    for (seconds, said) in [
        (0, "certificate_not_yet_valid"),
        (first - 1, "certificate_not_yet_valid"),
        (first, CLIENT),
        (first + 86_400, CLIENT),
        (first + 86_401, "certificate_expired"),
        (1 << 40, "certificate_expired"),
    ] {
        let at = WallTime::from_unix_secs(seconds);
        assert_eq!(verdicts(&verifier, std::slice::from_ref(&leaf), at), both(said), "{seconds}");
    }
}

#[test]
fn a_chain_leads_to_an_anchor_of_the_claimed_domain() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let verifier = verifier(&[("cluster.local", &ours), ("other.org", &theirs)]);
    let foreign = "spiffe://other.org/ns/x/sa/a";
    let [other, unknown] = ["other_trust_domain", "unknown_issuer"];
    for (name, issuer, id, as_client, as_server) in [
        ("our authority, our domain", &ours, CLIENT, CLIENT, CLIENT),
        ("their authority, our domain", &theirs, CLIENT, unknown, unknown),
        ("our authority, their domain", &ours, foreign, other, unknown),
        ("their authority, their domain", &theirs, foreign, other, foreign),
        ("a domain of nobody", &ours, "spiffe://n/ns/x/sa/a", other, "unknown_trust_domain"),
        ("a longer name", &ours, "spiffe://cluster.local.x/ns/x/sa/a", other, "unknown_trust_domain"),
        ("a subdomain", &ours, "spiffe://a.cluster.local/ns/x/sa/a", other, "unknown_trust_domain"),
    ] {
        let (leaf, _) = issuer.issue(&svid(&[id]));
        assert_eq!(verdicts(&verifier, &[leaf], WALL), [as_client, as_server], "{name}");
    }
    let (namesake, _) = Authority::new("ours").issue(&svid(&[CLIENT]));
    assert_eq!(verdicts(&verifier, &[namesake], WALL), both("bad_signature"));
}

#[test]
fn a_chain_has_five_intermediates_at_most() {
    let root = Authority::new("root");
    let verifier = verifier(&[("cluster.local", &root)]);
    let mut issuer = root.below("1");
    let mut chain = vec![issuer.der()];
    for length in 1..=6 {
        let (leaf, _) = issuer.issue(&svid(&[CLIENT]));
        let whole = [&[leaf][..], &chain].concat();
        let said = if length <= 5 { CLIENT } else { "too_many_intermediates" };
        assert_eq!(verdicts(&verifier, &whole, WALL), both(said), "{length}");
        let reversed: Vec<_> = whole[..1].iter().chain(whole[1..].iter().rev()).cloned().collect();
        assert_eq!(verdicts(&verifier, &reversed, WALL), both(said), "{length}, reversed");
        issuer = issuer.below(&format!("{}", length + 1));
        chain.insert(0, issuer.der());
    }
}

#[test]
fn a_leaf_vouches_for_nobody() {
    let root = Authority::new("root");
    let holder = root.below("holder");
    let (minted, _) = holder.issue(&svid(&[SERVER]));
    let with_authority = verifier(&[("cluster.local", &root)]);
    assert_eq!(verdicts(&with_authority, &[minted.clone(), holder.der()], WALL), both(SERVER));
    assert_eq!(verdicts(&with_authority, &[minted], WALL), both("unknown_issuer"));
    // An authority's own certificate is no identity.
    assert_eq!(verdicts(&with_authority, &[holder.der()], WALL), both("no_subject_alt_name"));
    assert_eq!(IdentityFault::LeafIsAuthority.label(), "leaf_is_authority");
}
