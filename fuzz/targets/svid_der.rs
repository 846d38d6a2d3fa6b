//! Certificates: who is read off a leaf is who every reader would read off it, and who was verified.
#![no_main]

use std::sync::OnceLock;

use culvert_core::identity::Leaf;
use culvert_core::identity::svid::SvidVerifier;
use culvert_fuzz::peers;
use libfuzzer_sys::fuzz_target;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::time::Duration;

fuzz_target!(|der: &[u8]| {
    let read = Leaf::read(der);
    verified_is_what_was_read(der, read.as_ref().ok());
    let Ok(leaf) = read else { return };

    let id = leaf.id.to_string();
    assert!(der.windows(id.len()).any(|window| window == id.as_bytes()), "{id} is not in the certificate");
    assert!((1..=21).contains(&leaf.serial.as_bytes().len()));
    assert_eq!(leaf.serial.to_string().len(), 2 * leaf.serial.as_bytes().len());
    assert!(leaf.not_after.as_unix_secs() < 253_402_300_800, "the year 10000 has no encoding");

    // Another length is another certificate.
    assert!(Leaf::read(&der[..der.len() - 1]).is_err());
    assert!(Leaf::read(&[der, &[0]].concat()).is_err());

    // Where the library that checks the chain can read it too, it reads the same name, and no other.
    let certificate = CertificateDer::from(der);
    if let Ok(theirs) = webpki::EndEntityCert::try_from(&certificate) {
        let names: Vec<&str> = theirs.valid_uri_names().collect();
        assert_eq!(names, [id.as_str()]);
    }
});

fn verified_is_what_was_read(der: &[u8], read: Option<&Leaf>) {
    static VERIFIER: OnceLock<SvidVerifier> = OnceLock::new();
    let verifier = VERIFIER.get_or_init(peers::verifier);
    let now = peers::NOW;
    let certificate = CertificateDer::from(der);
    let time = UnixTime::since_unix_epoch(Duration::from_secs(now.as_unix_secs()));
    for verified in
        [verifier.verify_client(&certificate, &[], time), verifier.verify_server(&certificate, &[], time)]
    {
        let Ok(leaf) = verified else { continue };
        assert_eq!(Some(&leaf), read);
        assert!(leaf.not_before <= now && now <= leaf.not_after, "not valid now: {leaf:?}");
        assert_eq!(leaf.id.trust_domain(), peers::TRUST_DOMAIN);
    }
}
