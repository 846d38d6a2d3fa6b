//! Certificates as core's verifier and webpki see them.

use super::*;
use crate::crypto::provider;
use culvert_core::identity::svid::SvidVerifier;
use culvert_core::identity::{IdentityFault, Leaf};
use quickcheck::quickcheck;
use rustls::pki_types::UnixTime;
use std::time::Duration;

const START: WallTime = WallTime::from_unix_secs(1_800_000_000);
const END: WallTime = WallTime::from_unix_secs(1_800_086_400);

fn id(text: &str) -> SpiffeId {
    text.parse().unwrap()
}

fn a() -> SpiffeId {
    id("spiffe://cluster.local/ns/x/sa/a")
}

fn authority(n: u8) -> Authority {
    Authority::new(&Seed::new([n; 32]), "cluster.local").unwrap()
}

/// The leaf of a credential.
fn der(credential: &Credential) -> CertificateDer<'_> {
    CertificateDer::from(credential.chain()[0].as_slice())
}

/// What a peer of `cluster.local` that trusts `bundle` says of `leaf` at `now`, as client and as server.
fn verify(
    bundle: &Arc<TrustBundle>,
    leaf: &CertificateDer<'_>,
    now: WallTime,
) -> Result<Leaf, IdentityFault> {
    let algorithms = provider().signature_verification_algorithms;
    let verifier = SvidVerifier::new("cluster.local", bundle.clone(), algorithms);
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_unix_secs()));
    let by_client = verifier.verify_server(leaf, &[], now);
    let by_server = verifier.verify_client(leaf, &[], now);
    let foreign = matches!(by_server, Err(IdentityFault::OtherTrustDomain { .. }));
    assert!(by_client.is_ok() == by_server.is_ok() || foreign, "{by_client:?} and {by_server:?}");
    by_client
}

#[test]
fn an_issued_credential_is_accepted_within_its_time() {
    let mut authority = authority(1);
    let credential = authority.issue(&a(), START, END).unwrap();
    assert_eq!((credential.id(), credential.generation()), (&a(), 1));
    assert_eq!((credential.not_before(), credential.not_after()), (START, END));
    let at = |secs| verify(authority.bundle(), &der(&credential), WallTime::from_unix_secs(secs));
    assert_eq!(at(START.as_unix_secs()).map(|leaf| leaf.id), Ok(a()));
    assert!(at(END.as_unix_secs()).is_ok());
    assert!(matches!(at(START.as_unix_secs() - 1), Err(IdentityFault::NotYetValid { .. })));
    assert!(matches!(at(END.as_unix_secs() + 1), Err(IdentityFault::Expired { .. })));
}

#[test]
fn a_stranger_of_the_same_name_is_refused() {
    let credential = authority(2).issue(&a(), START, END).unwrap();
    let refused = verify(authority(1).bundle(), &der(&credential), START);
    assert_eq!(refused, Err(IdentityFault::BadSignature));
}

#[test]
fn no_authority_vouches_for_another_trust_domain() {
    let mut own = authority(1);
    let mut other = Authority::new(&Seed::new([1; 32]), "other.org").unwrap();
    let foreign = id("spiffe://other.org/ns/x/sa/a");
    let minted = own.issue(&foreign, START, END).unwrap();
    let honest = other.issue(&foreign, START, END).unwrap();
    let unknown = Err(IdentityFault::UnknownTrustDomain("other.org".into()));
    assert_eq!(verify(own.bundle(), &der(&honest), START), unknown);
    own.federate(&other).unwrap();
    assert_eq!(verify(own.bundle(), &der(&honest), START).map(|leaf| leaf.id), Ok(foreign));
    assert_eq!(verify(own.bundle(), &der(&minted), START), Err(IdentityFault::UnknownIssuer));
}

/// RFC 5280 section 4.2.1.6.
#[test]
fn the_alternative_name_is_critical_where_it_stands_for_the_subject() {
    let count = |der: &[u8], bytes: &[u8]| der.windows(bytes.len()).filter(|w| *w == bytes).count();
    let mut authority = authority(1);
    let (root, leaf) =
        (authority.root().clone(), authority.issue(&a(), START, END).unwrap().chain()[0].clone());
    let name = b"simulated authority of cluster.local";
    assert_eq!((count(&root, name), count(&leaf, name)), (2, 1), "issuer and subject, or issuer only");
    let critical = [SUBJECT_ALT_NAME, &[0x01, 0x01, 0xff]].concat();
    assert_eq!((count(&root, SUBJECT_ALT_NAME), count(&root, &critical)), (1, 0));
    assert_eq!((count(&leaf, SUBJECT_ALT_NAME), count(&leaf, &critical)), (1, 1));
}

#[test]
fn templates_make_the_faults_that_they_name() {
    let authority = authority(1);
    let fault = |change: fn(&mut Template)| {
        let mut template = Template::svid(&a(), START, END);
        change(&mut template);
        let key = PrivateKey::from_seed(&Seed::new([9; 32]));
        verify(authority.bundle(), &authority.certify(&template, &key), START).err()
    };
    assert_eq!(fault(|_| ()), None);
    assert_eq!(fault(|t| t.uris.clear()), Some(IdentityFault::NoSubjectAltName));
    assert_eq!(fault(|t| t.uris.push("spiffe://b".into())), Some(IdentityFault::ManyUris(2)));
    assert_eq!(fault(|t| t.authority = true), Some(IdentityFault::LeafIsAuthority));
    assert_eq!(fault(|t| t.key_usage = 0), Some(IdentityFault::NoDigitalSignature));
    assert_eq!(fault(|t| t.key_usage |= KEY_CERT_SIGN), Some(IdentityFault::SigningLeaf));
}

#[test]
fn every_changed_byte_of_a_certificate_is_refused() {
    let mut authority = authority(1);
    let credential = authority.issue(&a(), START, END).unwrap();
    let honest = &credential.chain()[0];
    for at in 0..honest.len() {
        let mut changed = honest.to_vec();
        changed[at] ^= 0x01;
        let refused = verify(authority.bundle(), &CertificateDer::from(changed), START);
        assert!(refused.is_err(), "byte {at}");
    }
}

#[test]
fn certificates_depend_on_the_seed_and_on_what_was_asked_for() {
    let b = id("spiffe://cluster.local/ns/x/sa/b");
    let chain = |authority: &mut Authority, id: &SpiffeId| {
        authority.issue(id, START, END).unwrap().chain()[0].clone()
    };
    let (mut one, mut same, mut other) = (authority(1), authority(1), authority(2));
    let first = chain(&mut one, &a());
    let of_b = chain(&mut same, &b);
    assert_eq!(chain(&mut same, &a()), first, "what others were issued makes a difference");
    let second = one.issue(&a(), START, END).unwrap();
    assert_eq!(second.generation(), 2);
    assert_ne!(second.chain()[0], first);
    let of_other = chain(&mut other, &a());
    assert_ne!(of_other, first);
    assert_eq!([&of_b, &of_other, &second.chain()[0]].map(|c| c.len()), [first.len(); 3]);
}

#[test]
fn a_credential_that_ends_before_it_begins_is_not_issued() {
    let refused = authority(1).issue(&a(), END, START).err();
    assert_eq!(refused, Some(CredentialFault::Expired(START)));
    assert!(Authority::new(&Seed::new([1; 32]), "No Domain").is_err());
}

quickcheck! {
    fn times_are_read_as_they_were_written(not_before: u64, not_after: u64) -> bool {
        let [not_before, not_after] = [not_before, not_after].map(|t| WallTime::from_unix_secs(t % 253_402_300_800));
        let template = Template::svid(&a(), not_before, not_after);
        let key = PrivateKey::from_seed(&Seed::new([9; 32]));
        let leaf = Leaf::read(&authority(1).certify(&template, &key)).unwrap();
        (leaf.not_before, leaf.not_after) == (not_before, not_after)
    }
}
