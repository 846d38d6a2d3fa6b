//! Certificates that cost too much to judge, or say too much.

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::frame::connect;
use crate::peer::{Peer, tls_config};
use crate::scene::Scene;

type Authority = Issuer<'static, KeyPair>;

fn root(scene: &Scene) -> Authority {
    let read = |name: &str| fs::read_to_string(scene.certificates.dir.join(name)).unwrap();
    let key = KeyPair::from_pem(&read("ca.key")).unwrap();
    Issuer::from_ca_cert_pem(&read("ca.crt"), key).unwrap()
}

fn intermediate(name: &str, above: &Authority) -> (CertificateDer<'static>, Authority) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, above).unwrap();
    (certificate.der().clone(), Issuer::new(params, key))
}

fn leaf(names: Vec<SanType>, above: &Authority) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, above).unwrap();
    (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

const MALLORY: &str = "spiffe://cluster.local/ns/default/sa/mallory";

/// Shows a chain, and whether it got a tunnel.
fn gets_in(scene: &Scene, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> bool {
    let mut peer = Peer::new(scene.dial(), tls_config(Some((chain, key)), &[b"h2"]));
    peer.send(&[crate::frame::PREFACE, &crate::frame::settings(&[(1, 0)])].concat());
    peer.send(&connect(1, &scene.target(7001)));
    peer.wait(|peer| peer.statuses.contains_key(&1)) && peer.statuses[&1] == 200
}

#[test]
fn a_bomb_of_certificates_is_refused_before_it_costs_anything() {
    let scene = Scene::new();
    let root = root(&scene);
    // Forty authorities of one name, each signed by another of that name, make paths without number; fifty in a row make
    // a long one.
    let (mut chain, mut above) = (Vec::new(), Vec::new());
    for n in 0..40 {
        let by = above.last().unwrap_or(&root);
        let (certificate, authority) = intermediate(if n % 2 == 0 { "loop" } else { "pool" }, by);
        chain.push(certificate);
        above.push(authority);
    }
    let (certificate, key) = leaf(vec![uri(MALLORY)], above.last().unwrap());
    chain.push(certificate);
    chain.reverse();
    let before = scene.cost().ticks;
    scene.within("chain bombs", 4 << 10, |scene| {
        for _ in 0..50 {
            assert!(!gets_in(scene, chain.clone(), key.clone_key()));
        }
        scene.log(|line| line.contains("tunnel closed") && line.contains("intermediate"));
    });
    let spent = scene.cost().ticks - before;
    assert!(spent < 1000, "50 handshakes cost {spent} ticks of the processor");
    // As long a chain as is allowed.
    let (mut chain, mut last) = (Vec::new(), root);
    for n in 0..5 {
        let (certificate, authority) = intermediate(&format!("level {n}"), &last);
        chain.push(certificate);
        last = authority;
    }
    let (certificate, key) = leaf(vec![uri(MALLORY)], &last);
    chain.push(certificate);
    chain.reverse();
    assert!(gets_in(&scene, chain, key));
    scene.assert_seen(1);
}

#[test]
fn a_certificate_that_names_none_or_two_or_nobody_is_refused() {
    let scene = Scene::new();
    let root = root(&scene);
    let long = format!("spiffe://cluster.local/ns/default/sa/{}", "a".repeat(2048));
    let ids = [
        "spiffe://cluster.local/ns/default/sa/",
        "spiffe://cluster.local/ns//sa/mallory",
        "spiffe://cluster.local",
        "spiffe://cluster.local/ns/default/sa/mallory/",
        "spiffe://cluster.local/ns/default/sa/..",
        "spiffe://cluster.local/ns/default/sa/a%2fb",
        "spiffe://cluster.local/ns/default/sa/a?b",
        "spiffe://cluster.local/ns/default/sa/a#b",
        "spiffe://cluster.local:1/ns/default/sa/a",
        "spiffe://u@cluster.local/ns/default/sa/a",
        "spiffe://cluster.locaI/ns/default/sa/a",
        "spiffe://CLUSTER.LOCAL/ns/default/sa/a",
        "SPIFFE://cluster.local/ns/default/sa/a ",
        "https://cluster.local/ns/default/sa/a",
        "spiffe://cluster.local.evil/ns/default/sa/a",
        "spiffe://",
        "",
        &long,
    ];
    let mut cases: Vec<Vec<SanType>> = ids.iter().map(|id| vec![uri(id)]).collect();
    cases.extend([
        vec![],
        vec![SanType::DnsName("mallory.default".try_into().unwrap())],
        vec![uri(MALLORY), uri(MALLORY)],
        vec![uri(MALLORY), uri("spiffe://cluster.local/ns/default/sa/client")],
        vec![uri("https://example.org/"), uri(MALLORY)],
    ]);
    scene.within("names of nobody", 4 << 10, |scene| {
        for names in cases {
            let told = format!("{names:?}");
            let (certificate, key) = leaf(names, &root);
            assert!(!gets_in(scene, vec![certificate], key), "{told}");
        }
        let (certificate, key) = leaf(vec![uri(MALLORY)], &root);
        assert!(gets_in(scene, vec![certificate], key));
    });
    scene.assert_seen(1);
}
