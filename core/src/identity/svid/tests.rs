use super::*;
use crate::identity::testing::{Ca, Template, WALL, provider};
use crate::time::WallTime;
use rcgen::{ExtendedKeyUsagePurpose, GeneralSubtree, NameConstraints};
use std::time::Duration;

const ID: &str = "spiffe://cluster.local/ns/x/sa/a";

fn verifier(bundle: Arc<TrustBundle>) -> SvidVerifier {
    SvidVerifier::new("cluster.local", bundle, provider().signature_verification_algorithms)
}

fn at(wall: WallTime) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(wall.as_unix_secs()))
}

/// What both roles say of one chain; they must agree unless the test is about roles.
fn verdict(
    verifier: &SvidVerifier,
    chain: &[CertificateDer<'_>],
    now: WallTime,
) -> Result<String, IdentityFault> {
    let (leaf, rest) = chain.split_first().unwrap();
    let client = verifier.verify_client(leaf, rest, at(now)).map(|l| l.id.to_string());
    let server = verifier.verify_server(leaf, rest, at(now)).map(|l| l.id.to_string());
    assert_eq!(client, server);
    client
}

#[test]
fn a_chain_through_intermediates_is_accepted() {
    let root = Ca::new("root");
    let middle = root.below("middle", |_| ());
    let low = middle.below("low", |_| ());
    let (leaf, _) = low.issue(Template::svid(&[ID]));
    let verifier = verifier(root.bundle("cluster.local"));
    assert_eq!(verdict(&verifier, &[leaf.clone(), low.der(), middle.der()], WALL), Ok(ID.to_owned()));
    assert_eq!(verdict(&verifier, &[leaf.clone(), middle.der(), low.der()], WALL), Ok(ID.to_owned()));
    assert_eq!(verdict(&verifier, &[leaf, low.der()], WALL), Err(IdentityFault::UnknownIssuer));
}

#[test]
fn another_authority_is_refused_whatever_its_name() {
    let verifier = verifier(Ca::new("root").bundle("cluster.local"));
    let (leaf, _) = Ca::new("other").issue(Template::svid(&[ID]));
    assert_eq!(verdict(&verifier, &[leaf], WALL), Err(IdentityFault::UnknownIssuer));
    let (leaf, _) = Ca::new("root").issue(Template::svid(&[ID]));
    assert_eq!(verdict(&verifier, &[leaf], WALL), Err(IdentityFault::BadSignature));
}

#[test]
fn the_claimed_trust_domain_chooses_the_anchors() {
    let (ours, theirs) = (Ca::new("ours"), Ca::new("theirs"));
    let bundle = TrustBundle::empty()
        .with_roots("cluster.local", &[ours.der()])
        .and_then(|t| t.with_roots("evil.org", &[theirs.der()]))
        .unwrap();
    let verifier = verifier(Arc::new(bundle));
    let server = |ca: &Ca, id: &str| {
        verifier.verify_server(&ca.issue(Template::svid(&[id])).0, &[], at(WALL)).map(|l| l.id.to_string())
    };
    let foreign = "spiffe://evil.org/ns/x/sa/a";
    assert_eq!(server(&ours, ID), Ok(ID.to_owned()));
    assert_eq!(server(&theirs, foreign), Ok(foreign.to_owned()));
    assert_eq!(server(&theirs, ID), Err(IdentityFault::UnknownIssuer));
    assert_eq!(server(&ours, foreign), Err(IdentityFault::UnknownIssuer));
    let nobody = "spiffe://nobody.org/ns/x/sa/a";
    assert_eq!(server(&ours, nobody), Err(IdentityFault::UnknownTrustDomain("nobody.org".into())));
}

#[test]
fn a_client_of_another_trust_domain_is_refused_even_if_trusted() {
    let theirs = Ca::new("theirs");
    let verifier = verifier(theirs.bundle("evil.org"));
    let (leaf, _) = theirs.issue(Template::svid(&["spiffe://evil.org/ns/x/sa/a"]));
    assert_eq!(
        verifier.verify_client(&leaf, &[], at(WALL)),
        Err(IdentityFault::OtherTrustDomain { peer: "evil.org".into(), own: "cluster.local".into() })
    );
}

#[test]
fn validity_is_judged_at_the_time_given() {
    let root = Ca::new("root");
    let mut template = Template::svid(&[ID]);
    template.params.not_before = rcgen::date_time_ymd(2027, 1, 1);
    template.params.not_after = rcgen::date_time_ymd(2027, 1, 2);
    let (leaf, _) = root.issue(template);
    let verifier = verifier(root.bundle("cluster.local"));
    let (begin, end) = (WallTime::from_unix_secs(1_798_761_600), WallTime::from_unix_secs(1_798_848_000));
    let judge = |secs| verdict(&verifier, std::slice::from_ref(&leaf), WallTime::from_unix_secs(secs));
    assert!(judge(begin.as_unix_secs()).is_ok() && judge(end.as_unix_secs()).is_ok());
    let early = WallTime::from_unix_secs(begin.as_unix_secs() - 1);
    assert_eq!(
        judge(early.as_unix_secs()),
        Err(IdentityFault::NotYetValid { not_before: begin, now: early })
    );
    let late = WallTime::from_unix_secs(end.as_unix_secs() + 1);
    assert_eq!(judge(late.as_unix_secs()), Err(IdentityFault::Expired { not_after: end, now: late }));
}

#[test]
fn an_expired_intermediate_is_refused() {
    let root = Ca::new("root");
    let middle = root.below("middle", |p| p.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let (leaf, _) = middle.issue(Template::svid(&[ID]));
    let refused = verdict(&verifier(root.bundle("cluster.local")), &[leaf, middle.der()], WALL);
    assert!(matches!(refused, Err(IdentityFault::Expired { .. })), "{refused:?}");
}

#[test]
fn usage_must_allow_the_role() {
    let root = Ca::new("root");
    let verifier = verifier(root.bundle("cluster.local"));
    let issue = |usages: Vec<ExtendedKeyUsagePurpose>| {
        let mut template = Template::svid(&[ID]);
        template.params.extended_key_usages = usages;
        let (leaf, _) = root.issue(template);
        (
            verifier.verify_client(&leaf, &[], at(WALL)).map(|_| ()),
            verifier.verify_server(&leaf, &[], at(WALL)).map(|_| ()),
        )
    };
    assert_eq!(issue(vec![]), (Ok(()), Ok(())));
    assert_eq!(issue(vec![ExtendedKeyUsagePurpose::ClientAuth]), (Ok(()), Err(IdentityFault::WrongUsage)));
    assert_eq!(issue(vec![ExtendedKeyUsagePurpose::ServerAuth]), (Err(IdentityFault::WrongUsage), Ok(())));
    let neither = issue(vec![ExtendedKeyUsagePurpose::CodeSigning]);
    assert_eq!(neither, (Err(IdentityFault::WrongUsage), Err(IdentityFault::WrongUsage)));
}

#[test]
fn a_leaf_may_not_issue() {
    let root = Ca::new("root");
    // A leaf whose holder signs a second certificate with its key.
    let leaf = root.below("leaf", |p| {
        let svid = Template::svid(&[ID]).params;
        (p.is_ca, p.key_usages, p.subject_alt_names) = (svid.is_ca, svid.key_usages, svid.subject_alt_names);
    });
    let (minted, _) = leaf.issue(Template::svid(&["spiffe://cluster.local/ns/kube-system/sa/root"]));
    let verifier = verifier(root.bundle("cluster.local"));
    assert_eq!(verdict(&verifier, &[leaf.der()], WALL), Ok(ID.to_owned()));
    assert!(verdict(&verifier, &[minted, leaf.der()], WALL).is_err());
}

#[test]
fn chains_that_cost_too_much_are_refused() {
    let root = Ca::new("root");
    let mut chain = vec![];
    let mut issuer = root.below("i0", |_| ());
    for i in 1..=MAX_INTERMEDIATES {
        chain.insert(0, issuer.der());
        issuer = issuer.below(&format!("i{i}"), |_| ());
    }
    let verifier = verifier(root.bundle("cluster.local"));
    let (leaf, _) = issuer.issue(Template::svid(&[ID]));
    let with = |rest: &[CertificateDer<'static>]| [&[leaf.clone(), issuer.der()][..], rest].concat();
    assert_eq!(
        verdict(&verifier, &with(&chain), WALL),
        Err(IdentityFault::TooManyIntermediates(MAX_INTERMEDIATES + 1))
    );
    // Authorities of one name that vouch for one another: many paths, none to an anchor.
    let stray = Ca::new("loop");
    let loops: Vec<_> = (0..MAX_INTERMEDIATES).map(|_| stray.below("loop", |_| ()).der()).collect();
    let (leaf, _) = stray.issue(Template::svid(&[ID]));
    let refused = verdict(&verifier, &[&[leaf][..], &loops].concat(), WALL);
    assert!(
        matches!(refused, Err(IdentityFault::UnknownIssuer | IdentityFault::ChainTooComplex)),
        "{refused:?}"
    );
}

#[test]
fn uri_name_constraints_are_refused_both_ways() {
    // rcgen has no URI subtrees; a DNS constraint shows that constraints reach the verdict, and a hand-made URI one that a
    // kind which cannot be judged is refused rather than ignored.
    let root = Ca::new("root");
    let constrained = root.below("c", |p| {
        p.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("a.example".into())],
            excluded_subtrees: vec![],
        });
    });
    let verifier = verifier(root.bundle("cluster.local"));
    let mut template = Template::svid(&[ID]);
    template.params.subject_alt_names.push(rcgen::SanType::DnsName("b.example".try_into().unwrap()));
    let (leaf, _) = constrained.issue(template);
    assert_eq!(verdict(&verifier, &[leaf, constrained.der()], WALL), Err(IdentityFault::NameConstraint));

    for subtrees in [0xa0, 0xa1] {
        let host = b"cluster.local";
        let uri = [&[0x86, host.len() as u8][..], host].concat();
        let subtree = [&[0x30, uri.len() as u8][..], &uri].concat();
        let list = [&[subtrees, subtree.len() as u8][..], &subtree].concat();
        let value = [&[0x30, list.len() as u8][..], &list].concat();
        let mut extension = rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 30], value);
        extension.set_criticality(true);
        let constrained = root.below("u", |p| p.custom_extensions = vec![extension]);
        let (leaf, _) = constrained.issue(Template::svid(&[ID]));
        let refused = verdict(&verifier, &[leaf, constrained.der()], WALL);
        assert_eq!(refused, Err(IdentityFault::NameConstraint), "{subtrees:x}");
    }
}
