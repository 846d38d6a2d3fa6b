use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Barrier};
use std::time::UNIX_EPOCH;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::*;
use crate::credentials::certificates;

const DAY: Duration = Duration::from_secs(86_400);

fn frontend() -> SpiffeId {
    SpiffeId::new("cluster.local", "shop", "frontend").unwrap()
}

fn der(pem: &str) -> Vec<u8> {
    certificates(pem.as_bytes()).unwrap().remove(0)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_leaf_has_the_shape_of_a_svid() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::open_or_init(&dir.path().join("ca"), "cluster.local").unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let issued = ca.issue(&frontend(), now, DAY).unwrap();
    let der = der(&issued.chain_pem);
    let (_, leaf) = X509Certificate::from_der(&der).unwrap();

    assert_eq!(leaf.subject().iter().count(), 0);
    let san = leaf.subject_alternative_name().unwrap().unwrap();
    assert!(san.critical);
    let [GeneralName::URI(uri)] = san.value.general_names.as_slice() else { panic!("{san:?}") };
    assert_eq!(*uri, "spiffe://cluster.local/ns/shop/sa/frontend");
    assert!(!leaf.basic_constraints().unwrap().unwrap().value.ca);
    let usage = leaf.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
    let extended = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && extended.client_auth);
    assert_eq!(leaf.validity().not_before.timestamp(), 1_800_000_000 - BACKDATE.as_secs() as i64);
    assert_eq!(leaf.validity().not_after.timestamp(), 1_800_000_000 + 86_400);
    assert!(issued.key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
}

#[test]
fn the_root_is_a_ca_and_signs_what_it_issues() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::open_or_init(dir.path(), "cluster.local").unwrap();
    let root = der(ca.bundle_pem());
    let (_, parsed) = X509Certificate::from_der(&root).unwrap();
    assert!(parsed.basic_constraints().unwrap().unwrap().value.ca);
    assert!(parsed.key_usage().unwrap().unwrap().value.key_cert_sign());
    assert_eq!(parsed.subject(), parsed.issuer());

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(root)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let now = SystemTime::now();
    let leaf = CertificateDer::from(der(&ca.issue(&frontend(), now, DAY).unwrap().chain_pem));
    let at = |time: SystemTime| UnixTime::since_unix_epoch(time.duration_since(UNIX_EPOCH).unwrap());
    verifier.verify_client_cert(&leaf, &[], at(now)).unwrap();
    assert!(verifier.verify_client_cert(&leaf, &[], at(now + 2 * DAY)).is_err());

    let other = tempfile::tempdir().unwrap();
    let stranger = Ca::open_or_init(other.path(), "cluster.local").unwrap();
    let leaf = CertificateDer::from(der(&stranger.issue(&frontend(), now, DAY).unwrap().chain_pem));
    assert!(verifier.verify_client_cert(&leaf, &[], at(now)).is_err());
}

#[test]
fn private_files_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/ca");
    Ca::open_or_init(&path, "cluster.local").unwrap();
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("ca.key")), 0o600);
}

#[test]
fn opening_again_gives_the_same_ca() {
    let dir = tempfile::tempdir().unwrap();
    let first = Ca::open_or_init(dir.path(), "cluster.local").unwrap();
    let again = Ca::open(dir.path()).unwrap();
    assert_eq!(first.bundle_pem(), again.bundle_pem());
    assert_eq!(again.trust_domain(), "cluster.local");
}

#[test]
fn those_who_start_at_once_get_one_ca() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca");
    let barrier = Barrier::new(8);
    let bundles: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    Ca::open_or_init(&path, "cluster.local").unwrap().bundle_pem().to_owned()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(bundles.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn an_interrupted_init_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    Ca::open_or_init(path, "cluster.local").unwrap();
    fs::remove_file(path.join("ca.crt")).unwrap();
    assert!(matches!(Ca::open(path), Err(CaError::Absent(_))));
    Ca::open_or_init(path, "cluster.local").unwrap();
    Ca::open(path).unwrap();
}

#[test]
fn refuses_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    assert!(matches!(Ca::open(path), Err(CaError::Absent(_))));
    assert!(matches!(Ca::open_or_init(path, "Not A Domain"), Err(CaError::Name { .. })));
    let ca = Ca::open_or_init(path, "cluster.local").unwrap();
    assert!(matches!(Ca::open_or_init(path, "other.example"), Err(CaError::TrustDomain { .. })));
    let foreign = SpiffeId::new("other.example", "shop", "frontend").unwrap();
    let now = SystemTime::now();
    assert!(matches!(ca.issue(&foreign, now, DAY), Err(CaError::TrustDomain { .. })));
    assert!(matches!(ca.issue(&frontend(), now, Duration::MAX), Err(CaError::Validity(_))));

    let key = path.join("ca.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Ca::open(path), Err(CaError::Exposed { mode: 0o640, .. })));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();

    let other = tempfile::tempdir().unwrap();
    Ca::open_or_init(other.path(), "cluster.local").unwrap();
    fs::copy(other.path().join("ca.crt"), path.join("ca.crt")).unwrap();
    assert!(matches!(Ca::open(path), Err(CaError::Damaged { .. })));
    fs::write(&key, "junk").unwrap();
    assert!(matches!(Ca::open(path), Err(CaError::Damaged { .. })));
}
