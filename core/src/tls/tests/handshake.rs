//! Who gets through the handshake, and what each side learns when somebody does not.

use super::*;
use crate::identity::{IdentityFault, TrustBundle};
use crate::time::WallTime;
use rcgen::{BasicConstraints, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use rustls::{CipherSuite, NamedGroup};

#[test]
fn both_sides_learn_who_the_other_is() {
    let ca = Ca::new("mesh");
    let (a, b) = (ca.credential(A), ca.credential(B));
    let (mut client, mut server) = pair(&identity(&a), &identity(&b));
    assert!(client.session.is_handshaking() && server.session.is_handshaking());
    assert_eq!(client.session.encrypt(b"x", &mut client.out), Err(TlsFault::Handshaking));
    pump(&mut client, &mut server);
    assert_eq!((&client.result, &server.result), (&Ok(()), &Ok(())));
    assert!(!client.session.is_handshaking() && !server.session.is_handshaking());
    assert_eq!(client.session.peer().map(|p| (&p.id, p.not_after)), Some((b.id(), b.not_after())));
    assert_eq!(server.session.peer().map(|p| (&p.id, p.not_after)), Some((a.id(), a.not_after())));
    let serial = crate::identity::Leaf::read(&a.chain()[0]).unwrap().serial;
    assert_eq!(server.session.peer().map(|p| &p.serial), Some(&serial));
}

#[test]
fn one_byte_at_a_time_is_enough() {
    let ca = Ca::new("mesh");
    let (mut client, mut server) = pair(&identity(&ca.credential(A)), &identity(&ca.credential(B)));
    client.process();
    while !client.out.is_empty() || !server.out.is_empty() {
        for byte in std::mem::take(&mut client.out) {
            server.receive(&[byte]);
        }
        for byte in std::mem::take(&mut server.out) {
            client.receive(&[byte]);
        }
    }
    assert_eq!((client.peer().as_deref(), server.peer().as_deref()), (Some(B), Some(A)));
}

/// What the server says of a client, and the client of the server's refusal.
fn refused_client(client: &TlsIdentity, server: &TlsIdentity) -> (TlsFault, TlsFault) {
    let (mut client, mut server) = pair(client, server);
    pump(&mut client, &mut server);
    assert_eq!(server.peer(), None);
    (server.result.unwrap_err(), client.result.unwrap_err())
}

/// What the client says of a server, and the server of the client's refusal.
fn refused_server(client: &TlsIdentity, server: &TlsIdentity) -> (TlsFault, TlsFault) {
    let (mut client, mut server) = pair(client, server);
    pump(&mut client, &mut server);
    assert_eq!((client.peer(), server.peer()), (None, None));
    (client.result.unwrap_err(), server.result.unwrap_err())
}

/// What both roles say of one certificate of `ca`; they must agree.
fn refused(ca: &Ca, change: impl Fn(&mut Template)) -> (IdentityFault, u8) {
    let template = || {
        let mut template = Template::svid(&[A]);
        change(&mut template);
        template
    };
    let good = identity(&ca.credential(B));
    let bad = forged(ca, template(), ca);
    let client = refused_client(&bad, &good);
    let server = refused_server(&good, &bad);
    let (TlsFault::Identity(by_server), TlsFault::CredentialRefused(alert)) = client else {
        panic!("{client:?}")
    };
    let (TlsFault::Identity(by_client), TlsFault::CredentialRefused(_)) = server else {
        panic!("{server:?}")
    };
    assert_eq!(by_server, by_client);
    (by_server, alert.0)
}

#[test]
fn a_certificate_that_is_no_svid_is_refused_by_both_roles() {
    let ca = Ca::new("mesh");
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    assert_eq!(refused(&ca, |t| t.params.subject_alt_names.push(uri(B))), (IdentityFault::ManyUris(2), 46));
    assert_eq!(refused(&ca, |t| t.params.subject_alt_names.clear()), (IdentityFault::NoSubjectAltName, 46));
    assert_eq!(
        refused(&ca, |t| {
            t.params.subject_alt_names.clear();
            t.params.distinguished_name.push(DnType::CommonName, A);
        }),
        (IdentityFault::NoSubjectAltName, 46)
    );
    let dns = || vec![SanType::DnsName("a.x.svc".try_into().unwrap())];
    assert_eq!(
        refused(&ca, |t| t.params.subject_alt_names = dns()),
        (IdentityFault::NoUri { others: 1 }, 46)
    );
    let (bad_id, _) =
        refused(&ca, |t| t.params.subject_alt_names = vec![uri("spiffe://cluster.local/ns/x/sa/a/")]);
    assert_eq!(bad_id.label(), "bad_spiffe_id");
    assert_eq!(
        refused(&ca, |t| t.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        (IdentityFault::LeafIsAuthority, 46)
    );
    assert_eq!(
        refused(&ca, |t| t.params.key_usages.push(KeyUsagePurpose::KeyCertSign)),
        (IdentityFault::SigningLeaf, 46)
    );
    assert_eq!(
        refused(&ca, |t| t.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]),
        (IdentityFault::WrongUsage, 43)
    );
}

#[test]
fn a_certificate_for_one_role_is_refused_in_the_other() {
    let ca = Ca::new("mesh");
    let good = identity(&ca.credential(B));
    let only = |usage: ExtendedKeyUsagePurpose| {
        let mut template = Template::svid(&[A]);
        template.params.extended_key_usages = vec![usage];
        forged(&ca, template, &ca)
    };
    let (fault, _) = refused_client(&only(ExtendedKeyUsagePurpose::ServerAuth), &good);
    assert_eq!(fault, TlsFault::Identity(IdentityFault::WrongUsage));
    let (fault, _) = refused_server(&good, &only(ExtendedKeyUsagePurpose::ClientAuth));
    assert_eq!(fault, TlsFault::Identity(IdentityFault::WrongUsage));
}

#[test]
fn another_authority_is_refused_and_told_so() {
    let (ours, theirs) = (Ca::new("ours"), Ca::new("theirs"));
    let stranger = forged(&theirs, Template::svid(&[A]), &ours);
    let good = identity(&ours.credential(B));
    let expected = (TlsFault::Identity(IdentityFault::UnknownIssuer), TlsFault::CredentialRefused(Alert(48)));
    assert_eq!(refused_client(&stranger, &good), expected);
    assert_eq!(refused_server(&good, &stranger), expected);
    let namesake = forged(&Ca::new("ours"), Template::svid(&[A]), &ours);
    let (fault, _) = refused_client(&namesake, &good);
    assert_eq!(fault, TlsFault::Identity(IdentityFault::BadSignature));
}

#[test]
fn a_federated_server_is_accepted_and_a_federated_client_is_not() {
    let (ours, theirs) = (Ca::new("ours"), Ca::new("theirs"));
    let both = TrustBundle::empty()
        .with_roots("cluster.local", &[ours.der()])
        .and_then(|t| t.with_roots("other.org", &[theirs.der()]))
        .unwrap();
    let credential = |ca: &Ca, id: &str| {
        let (leaf, key) = ca.issue(Template::svid(&[id]));
        let bundle = Arc::new(both.clone());
        let issued = Issued { id: id.parse().unwrap(), chain: vec![leaf.to_vec()], bundle, generation: 1 };
        identity(&Arc::new(Credential::from_der(issued, key, &provider(), WALL).unwrap()))
    };
    let foreign = "spiffe://other.org/ns/x/sa/a";
    let (fault, _) = refused_client(&credential(&theirs, foreign), &credential(&ours, B));
    let other = IdentityFault::OtherTrustDomain { peer: "other.org".into(), own: "cluster.local".into() };
    assert_eq!(fault, TlsFault::Identity(other));
    let (mut client, mut server) = pair(&credential(&ours, A), &credential(&theirs, foreign));
    client.process();
    server.receive(&std::mem::take(&mut client.out));
    client.receive(&std::mem::take(&mut server.out));
    assert_eq!(client.peer().as_deref(), Some(foreign));
}

#[test]
fn validity_is_judged_at_the_contexts_time() {
    let ca = Ca::new("mesh");
    let context = context();
    let own = context.for_credential(&ca.credential(B)).unwrap();
    let begin = WallTime::from_unix_secs(WALL.as_unix_secs() / 86_400 * 86_400);
    let mut template = Template::svid(&[A]);
    let date = |day: u8| rcgen::date_time_ymd(2027, 1, day);
    (template.params.not_before, template.params.not_after) = (date(15), date(16));
    let peer = forged(&ca, template, &ca);
    let at = |secs: u64| {
        context.wall().set(WallTime::from_unix_secs(secs));
        let (mut client, mut server) = pair(&peer, &own);
        pump(&mut client, &mut server);
        server.result.map(|()| server.session.peer().is_some())
    };
    let (first, last) = (begin.as_unix_secs(), begin.as_unix_secs() + 86_400);
    assert_eq!(at(first), Ok(true));
    assert_eq!(at(last), Ok(true));
    let wall = WallTime::from_unix_secs;
    assert_eq!(
        at(last + 1),
        Err(TlsFault::Identity(IdentityFault::Expired { not_after: wall(last), now: wall(last + 1) }))
    );
    assert_eq!(
        at(first - 1),
        Err(TlsFault::Identity(IdentityFault::NotYetValid { not_before: begin, now: wall(first - 1) }))
    );
}

#[test]
fn what_has_not_begun_is_judged_by_when_it_will() {
    let (ours, theirs) = (Ca::new("mesh"), Ca::new("mesh"));
    let between = ours.below("between", |params| params.not_before = rcgen::date_time_ymd(2027, 1, 20));
    let context = context();
    let judged = |issuer: &Ca, chain: &[&Ca], last: u8| {
        let mut template = Template::svid(&[A]);
        template.params.not_before = rcgen::date_time_ymd(2027, 1, 16);
        template.params.not_after = rcgen::date_time_ymd(2027, 1, last);
        let (leaf, key) = issuer.issue(template);
        let chain = std::iter::once(leaf.to_vec()).chain(chain.iter().map(|ca| ca.der().to_vec())).collect();
        let issued =
            Issued { id: A.parse().unwrap(), chain, bundle: ours.bundle("cluster.local"), generation: 1 };
        let credential = Credential::from_der(issued, key, &provider(), WALL).unwrap();
        let early = context.vouch(&credential, WALL);
        assert!(matches!(early, Err(IdentityFault::NotYetValid { .. })), "{early:?}");
        context.vouch_once_begun(&credential, WALL)
    };
    assert_eq!(judged(&ours, &[], 17), Ok(()));
    assert!(matches!(
        judged(&theirs, &[], 17),
        Err(IdentityFault::BadSignature | IdentityFault::UnknownIssuer)
    ));
    assert_eq!(judged(&between, &[&between], 21), Ok(()));
    assert_eq!(judged(&between, &[], 21), Err(IdentityFault::UnknownIssuer));
    // It is over before what it hangs on begins.
    assert!(matches!(judged(&between, &[&between], 19), Err(IdentityFault::Expired { .. })));
}

#[test]
fn the_cipher_suites_are_the_meshs() {
    let mut chacha = (*provider()).clone();
    chacha.cipher_suites.retain(|s| s.suite() == CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
    let context = TlsContext::new(&chacha, WallCell::new(WALL));
    assert_eq!(context.for_credential(&Ca::new("mesh").credential(A)).err(), Some(TlsFault::NoCipherSuite));
}

#[test]
fn key_exchange_withstands_quantum_computers_where_both_can() {
    let ca = Ca::new("mesh");
    let with_groups = |keep: fn(NamedGroup) -> bool| {
        let mut provider = (*provider()).clone();
        provider.kx_groups.retain(|group| keep(group.name()));
        TlsContext::new(&provider, WallCell::new(WALL))
    };
    let agreed = |client: &TlsContext, server: &TlsContext| {
        let of = |context: &TlsContext, id| context.for_credential(&ca.credential(id)).unwrap();
        let (mut client, mut server) = pair(&of(client, A), &of(server, B));
        pump(&mut client, &mut server);
        (client.session.key_exchange_group(), server.session.key_exchange_group())
    };
    let all = with_groups(|_| true);
    let classic = with_groups(|group| group != NamedGroup::X25519MLKEM768);
    let (hybrid, x25519) = (Some(NamedGroup::X25519MLKEM768), Some(NamedGroup::X25519));
    assert_eq!(agreed(&all, &all), (hybrid, hybrid));
    assert_eq!(agreed(&all, &classic), (x25519, x25519));
    assert_eq!(agreed(&classic, &all), (x25519, x25519));
}

#[test]
fn a_retried_hello_works() {
    // The client's first key share is for a group that the server lacks.
    let ca = Ca::new("mesh");
    let mut p256 = (*provider()).clone();
    p256.kx_groups.retain(|g| g.name() == NamedGroup::secp256r1);
    let strict = TlsContext::new(&p256, WallCell::new(WALL)).for_credential(&ca.credential(B)).unwrap();
    let (mut client, mut server) = pair(&identity(&ca.credential(A)), &strict);
    pump(&mut client, &mut server);
    assert_eq!((client.peer().as_deref(), server.peer().as_deref()), (Some(B), Some(A)));
}

#[test]
fn what_was_revoked_is_refused_by_either_side_and_told_so() {
    let ca = Ca::new("mesh");
    let credential = |id: &str, serial: u8| {
        let mut template = Template::svid(&[id]);
        template.params.serial_number = Some(vec![serial].into());
        let (leaf, key) = ca.issue(template);
        let issued = crate::identity::Issued {
            id: id.parse().unwrap(),
            chain: vec![leaf.to_vec()],
            bundle: ca.bundle("cluster.local"),
            generation: 1,
        };
        Arc::new(crate::identity::Credential::from_der(issued, key, &provider(), WALL).unwrap())
    };
    let revoked = rcgen::RevokedCertParams {
        serial_number: rcgen::SerialNumber::from_slice(&[66]),
        revocation_time: rcgen::date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 1, 1),
        next_update: rcgen::date_time_ymd(2030, 1, 1),
        crl_number: rcgen::SerialNumber::from_slice(&[1]),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let lists = crate::identity::RevocationLists::read(list.signed_by(&ca.0).unwrap().der()).unwrap();
    let mut knowing = context();
    knowing.set_trust(crate::identity::Trust { bundle: None, revoked: Arc::new(lists) });
    let (good, bad) = (credential(A, 65), credential(A, 66));
    let own = knowing.for_credential(&credential(B, 64)).unwrap();
    let alert = TlsFault::CredentialRefused(Alert(44));
    let expected = (TlsFault::Identity(IdentityFault::Revoked), alert);
    assert_eq!(refused_client(&identity(&bad), &own), expected);
    assert_eq!(refused_server(&own, &identity(&bad)), expected);
    assert_eq!(knowing.vouch(&bad, WALL), Err(IdentityFault::Revoked));
    let (mut client, mut server) = pair(&identity(&good), &own);
    pump(&mut client, &mut server);
    assert_eq!(server.peer().as_deref(), Some(A));
}

#[test]
fn trust_of_the_node_takes_the_place_of_the_credentials_and_domains_vouch_for_their_own() {
    let (ours, theirs) = (Ca::new("ours"), Ca::new("theirs"));
    let own = ours.credential(B);
    let roots = |of: &Ca, domain: &str| (domain.to_owned(), vec![of.der()]);
    let trusting = |domains: &[(String, Vec<_>)]| {
        let bundle = domains
            .iter()
            .fold(TrustBundle::empty(), |bundle, (domain, roots)| bundle.with_roots(domain, roots).unwrap());
        let mut context = context();
        context.set_trust(crate::identity::Trust { bundle: Some(Arc::new(bundle)), ..Default::default() });
        context.for_credential(&own).unwrap()
    };
    let federated = trusting(&[roots(&ours, "cluster.local"), roots(&theirs, "other.org")]);
    let foreign = theirs.credential("spiffe://other.org/ns/x/sa/a");
    let (mut client, mut server) = pair(&federated, &identity(&foreign));
    pump(&mut client, &mut server);
    // The server, whose bundle has its own domain only, is taken by the client before it refuses the client.
    assert!(matches!(client.result, Err(TlsFault::CredentialRefused(_))), "{:?}", client.result);
    // Each domain with the other's ids.
    for (ca, id) in [(&theirs, A), (&ours, "spiffe://other.org/ns/x/sa/a")] {
        let minted = ca.credential(id);
        let (fault, _) = refused_server(&federated, &identity(&minted));
        assert_eq!(fault, TlsFault::Identity(IdentityFault::UnknownIssuer), "{id}");
    }
    let stranger = trusting(&[roots(&theirs, "other.org")]);
    let (fault, _) = refused_server(&stranger, &identity(&ours.credential(A)));
    assert_eq!(fault, TlsFault::Identity(IdentityFault::UnknownTrustDomain("cluster.local".into())));
}
