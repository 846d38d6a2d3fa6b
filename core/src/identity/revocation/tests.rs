use super::*;
use crate::identity::svid::SvidVerifier;
use crate::identity::testing::{Ca, Template, WALL, provider};
use crate::identity::{IdentityFault, TrustBundle};
use quickcheck::quickcheck;
use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope,
    KeyIdMethod, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::UnixTime;
use std::sync::Arc;
use std::time::Duration;

const ID: &str = "spiffe://cluster.local/ns/x/sa/a";

fn list(ca: &Ca, serials: &[u8], change: impl FnOnce(&mut CertificateRevocationListParams)) -> Vec<u8> {
    let revoked = |serial: &u8| RevokedCertParams {
        serial_number: SerialNumber::from_slice(&[*serial]),
        revocation_time: rcgen::date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let mut params = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 1, 1),
        next_update: rcgen::date_time_ymd(2030, 1, 1),
        crl_number: SerialNumber::from_slice(&[1]),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    change(&mut params);
    params.signed_by(&ca.0).unwrap().der().to_vec()
}

fn pem(ders: &[Vec<u8>]) -> Vec<u8> {
    let section = |der: &Vec<u8>| {
        let mut text = "-----BEGIN X509 CRL-----\n".to_owned();
        for group in der.chunks(3) {
            let word = group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
            let word = word << (8 * (3 - group.len()));
            for place in 0..4 {
                let digit = (word >> (18 - 6 * place) & 63) as usize;
                let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
                text.push(if place > group.len() { '=' } else { char::from(alphabet[digit]) });
            }
        }
        text + "\n-----END X509 CRL-----\n"
    };
    ders.iter().map(section).collect::<String>().into_bytes()
}

fn leaf(ca: &Ca, serial: u8) -> CertificateDer<'static> {
    let mut template = Template::svid(&[ID]);
    template.params.serial_number = Some(vec![serial].into());
    ca.issue(template).0
}

/// What whoever trusts `root` and knows `lists` finds wrong with a chain, in either role.
fn verdict(root: &Ca, lists: RevocationLists, chain: &[CertificateDer<'_>]) -> Option<IdentityFault> {
    let bundle: Arc<TrustBundle> = root.bundle("cluster.local");
    let verifier = SvidVerifier::new("cluster.local", bundle, provider().signature_verification_algorithms)
        .with_revoked(Arc::new(lists));
    let (leaf, rest) = chain.split_first().unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(WALL.as_unix_secs()));
    let client = verifier.verify_client(leaf, rest, at).err();
    assert_eq!(client, verifier.verify_server(leaf, rest, at).err());
    client
}

fn read(bytes: &[u8]) -> RevocationLists {
    RevocationLists::read(bytes).unwrap()
}

#[test]
fn what_is_on_a_list_is_refused_and_what_is_not_is_taken() {
    let root = Ca::new("root");
    let lists = || read(&list(&root, &[7, 9], |_| ()));
    for (serial, fault) in [(7, Some(IdentityFault::Revoked)), (8, None), (9, Some(IdentityFault::Revoked))] {
        assert_eq!(verdict(&root, lists(), &[leaf(&root, serial)]), fault, "{serial}");
        let name = CertificateName::of(&leaf(&root, serial)).unwrap();
        assert_eq!(lists().name(&name), fault.is_some());
    }
}

#[test]
fn the_whole_chain_is_looked_up() {
    let root = Ca::new("root");
    let middle = root.below("middle", |p| p.serial_number = Some(vec![5].into()));
    let chain = [leaf(&middle, 1), middle.der()];
    assert_eq!(verdict(&root, read(&list(&root, &[4], |_| ())), &chain), None);
    assert_eq!(verdict(&root, read(&list(&root, &[5], |_| ())), &chain), Some(IdentityFault::Revoked));
    // The number of another issuer's list is another certificate's.
    assert_eq!(verdict(&root, read(&list(&middle, &[5], |_| ())), &chain), None);
}

#[test]
fn lists_are_read_in_both_forms_and_nothing_is_no_list() {
    let (a, b) = (Ca::new("a"), Ca::new("b"));
    let both = [list(&a, &[1], |_| ()), list(&b, &[2], |_| ())];
    let text = pem(&both);
    assert_eq!(read(&text).len(), 2);
    assert_eq!(verdict(&a, read(&text), &[leaf(&a, 1)]), Some(IdentityFault::Revoked));
    assert_eq!(verdict(&b, read(&text), &[leaf(&b, 2)]), Some(IdentityFault::Revoked));
    assert_eq!(verdict(&b, read(&text), &[leaf(&b, 1)]), None);
    assert!(read(b"").is_empty() && read(b" \n").is_empty());
    for bad in [&b"junk"[..], &text[..text.len() - 40], b"\x30\x03abc", a.0.pem().as_bytes()] {
        assert!(RevocationLists::read(bad).is_err(), "{bad:?}");
    }
    let [first, second] = both;
    let second = [&first[..], &second].concat();
    assert!(matches!(RevocationLists::read(&second), Err(RevocationError::List { index: 0, .. })));
}

#[test]
fn of_several_lists_of_one_issuer_each_counts() {
    let root = Ca::new("root");
    let text = pem(&[list(&root, &[1], |_| ()), list(&root, &[2], |_| ()), list(&root, &[3], |_| ())]);
    for serial in 1..=3 {
        assert_eq!(verdict(&root, read(&text), &[leaf(&root, serial)]), Some(IdentityFault::Revoked));
    }
    assert_eq!(verdict(&root, read(&text), &[leaf(&root, 4)]), None);
}

#[test]
fn unknown_issuers_and_old_lists_are_taken_unless_one_is_strict() {
    let (root, other) = (Ca::new("root"), Ca::new("other"));
    let elsewhere = list(&other, &[1], |_| ());
    assert_eq!(verdict(&root, read(&elsewhere), &[leaf(&root, 1)]), None);
    assert!(verdict(&root, read(&elsewhere).strict(), &[leaf(&root, 1)]).is_some());
    let old = list(&root, &[1], |p| {
        p.this_update = rcgen::date_time_ymd(2020, 1, 1);
        p.next_update = rcgen::date_time_ymd(2021, 1, 1);
    });
    assert_eq!(verdict(&root, read(&old), &[leaf(&root, 2)]), None);
    assert_eq!(verdict(&root, read(&old), &[leaf(&root, 1)]), Some(IdentityFault::Revoked));
    assert!(verdict(&root, read(&old).strict(), &[leaf(&root, 2)]).is_some());
}

#[test]
fn a_list_that_its_issuer_did_not_sign_refuses_whom_it_is_about() {
    let (root, namesake) = (Ca::new("root"), Ca::new("root"));
    let forged = list(&namesake, &[1], |_| ());
    for serial in [1, 2] {
        let fault = verdict(&root, read(&forged), &[leaf(&root, serial)]);
        assert!(matches!(fault, Some(IdentityFault::Chain(_))), "{fault:?}");
    }
}

#[test]
fn a_list_of_one_distribution_point_says_nothing_of_another() {
    let root = Ca::new("root");
    let at = |uri: &str| CrlDistributionPoint { uris: vec![uri.to_owned()] };
    let of = |uri: &str| {
        list(&root, &[1], |p| {
            p.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
                distribution_point: at(uri),
                scope: Some(CrlScope::UserCertsOnly),
            });
        })
    };
    let mut template = Template::svid(&[ID]);
    template.params.serial_number = Some(vec![1].into());
    template.params.crl_distribution_points = vec![at("http://a/"), at("http://b/")];
    let leaf = root.issue(template).0;
    for (uri, fault) in [
        ("http://a/", Some(IdentityFault::Revoked)),
        ("http://b/", Some(IdentityFault::Revoked)),
        ("http://c/", None),
    ] {
        assert_eq!(verdict(&root, read(&of(uri)), std::slice::from_ref(&leaf)), fault, "{uri}");
    }
}

quickcheck! {
    fn any_change_or_cut_of_a_list_gives_an_answer(at: usize, with: u8, cut: bool) -> bool {
        thread_local!(static DER: Vec<u8> = list(&Ca::new("root"), &[1, 2], |_| ()));
        let mut der = DER.with(Clone::clone);
        let at = at % der.len();
        if cut {
            der.truncate(at);
            return RevocationLists::read(&der).map_or(true, |lists| lists.is_empty() && at == 0);
        }
        der[at] = with;
        RevocationLists::read(&der).map_or(true, |lists| lists.len() == 1)
    }
}
