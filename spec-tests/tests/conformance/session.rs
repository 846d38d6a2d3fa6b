//! TLS sessions with a peer that is rustls with a configuration of its own.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::BytesMut;
use culvert_core::tls::{Session, TlsContext, TlsFault, TlsIdentity, WallCell};
use culvert_spec_tests::testbed::AnyServer;
use rustls::client::{ClientConfig, ClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{Acceptor, ServerConfig, ServerConnection, WebPkiClientVerifier};
use rustls::{AlertDescription, CipherSuite, Connection, Error, RootCertStore};

use crate::fixture::{Authority, CLIENT, SERVER, WALL, provider, svid};

/// Our end: a session and its caller's buffers.
struct Ours {
    session: Session,
    input: Vec<u8>,
    plain: BytesMut,
    out: Vec<u8>,
    fault: Option<TlsFault>,
}

impl Ours {
    fn new(session: Session) -> Ours {
        Ours { session, input: vec![], plain: BytesMut::new(), out: vec![], fault: None }
    }

    fn process(&mut self) {
        match self.session.process(&mut self.input, &mut self.plain, &mut self.out, usize::MAX) {
            Ok(consumed) => drop(self.input.drain(..consumed)),
            Err(fault) => self.fault = Some(fault),
        }
    }
}

/// Carries bytes until nothing moves; returns what ended the peer.
fn meet(ours: &mut Ours, peer: &mut Connection) -> Option<Error> {
    let mut ended = None;
    ours.process();
    loop {
        let mut moved = false;
        let mut there = std::mem::take(&mut ours.out);
        while !there.is_empty() && ended.is_none() {
            moved = true;
            let taken = peer.read_tls(&mut there.as_slice()).unwrap();
            there.drain(..taken);
            ended = peer.process_new_packets().err();
        }
        let mut back = Vec::new();
        while peer.wants_write() {
            peer.write_tls(&mut back).unwrap();
        }
        if !back.is_empty() {
            moved = true;
            ours.input.extend(back);
            ours.process();
        }
        if !moved {
            return ended;
        }
    }
}

fn identity(authority: &Authority, id: &str) -> Arc<TlsIdentity> {
    TlsContext::new(&provider(), WallCell::new(WALL)).for_credential(&authority.credential(id)).unwrap()
}

fn client_config(
    authority: &Authority,
    change: impl FnOnce(&mut rustls::crypto::CryptoProvider),
) -> ClientConfig {
    let (leaf, key) = authority.issue(&svid(&[CLIENT]));
    let mut own = provider();
    change(&mut own);
    let mut config = ClientConfig::builder_with_provider(Arc::new(own))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider().signature_verification_algorithms)))
        .with_client_auth_cert(vec![leaf], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// What a client with this configuration and our server say of each other.
fn accept(
    authority: &Authority,
    config: ClientConfig,
    name: &'static str,
) -> (Ours, Connection, Option<Error>) {
    let mut ours = Ours::new(Session::server(&identity(authority, SERVER)).unwrap());
    let name = ServerName::try_from(name).unwrap();
    let mut peer: Connection = ClientConnection::new(Arc::new(config), name).unwrap().into();
    let ended = meet(&mut ours, &mut peer);
    (ours, peer, ended)
}

#[test]
fn our_hello_offers_the_meshs_suites_and_protocol_and_no_name() {
    let authority = Authority::new("mesh");
    let mut ours = Ours::new(Session::client(&identity(&authority, CLIENT)).unwrap());
    ours.process();
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut ours.out.as_slice()).unwrap();
    let accepted = acceptor.accept().map_err(|(e, _)| e).unwrap().unwrap();
    let hello = accepted.client_hello();
    assert_eq!(hello.server_name(), None);
    assert_eq!(hello.alpn().unwrap().collect::<Vec<_>>(), [b"h2"]);
    assert_eq!(
        hello.cipher_suites(),
        [CipherSuite::TLS13_AES_256_GCM_SHA384, CipherSuite::TLS13_AES_128_GCM_SHA256]
    );
    // Session tickets, early data and pre-shared keys, by the numbers of their extensions (RFC 8446 section 4.2).
    assert_eq!(extensions(&ours.out).iter().filter(|kind| [35, 41, 42].contains(kind)).count(), 0);
}

/// The kinds of the extensions of a ClientHello in one record (RFC 8446 section 4.1.2).
fn extensions(record: &[u8]) -> Vec<u16> {
    let number = |at: usize| usize::from(u16::from_be_bytes([record[at], record[at + 1]]));
    let mut at = 5 + 4 + 2 + 32;
    at += 1 + usize::from(record[at]);
    at += 2 + number(at);
    at += 1 + usize::from(record[at]) + 2;
    let mut kinds = Vec::new();
    while at < record.len() {
        kinds.push(number(at) as u16);
        at += 4 + number(at + 2);
    }
    assert!(kinds.contains(&43), "supported_versions is always there: {kinds:?}");
    kinds
}

#[test]
fn a_client_in_order_is_accepted_under_any_server_name() {
    let authority = Authority::new("mesh");
    for name in ["10.0.0.1", "a.example", "cluster.local"] {
        let (ours, peer, ended) = accept(&authority, client_config(&authority, |_| ()), name);
        assert_eq!((ended, ours.fault), (None, None), "{name}");
        assert_eq!(ours.session.peer().map(|p| p.id.to_string()).as_deref(), Some(CLIENT));
        assert_eq!(peer.alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(peer.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    }
}

#[test]
fn our_server_takes_the_meshs_suites_and_no_other() {
    let authority = Authority::new("mesh");
    let [first, second] = [CipherSuite::TLS13_AES_256_GCM_SHA384, CipherSuite::TLS13_AES_128_GCM_SHA256];
    for (offer, chosen) in [(vec![first, second], first), (vec![second], second), (vec![first], first)] {
        let config = client_config(&authority, |p| {
            let all = p.cipher_suites.clone();
            let find = |wanted: &CipherSuite| all.iter().find(|suite| suite.suite() == *wanted).copied();
            p.cipher_suites = offer.iter().filter_map(find).collect();
        });
        let (_, peer, ended) = accept(&authority, config, "a.example");
        assert_eq!(ended, None);
        assert_eq!(peer.negotiated_cipher_suite().map(|suite| suite.suite()), Some(chosen), "{offer:?}");
    }
    let chacha = client_config(&authority, |p| {
        p.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
    });
    let (ours, _, ended) = accept(&authority, chacha, "a.example");
    assert_eq!(ours.fault, Some(TlsFault::NoCipherSuite));
    assert_eq!(ended, Some(Error::AlertReceived(AlertDescription::HandshakeFailure)));
}

#[test]
fn another_protocol_than_h2_is_refused_by_alert() {
    let authority = Authority::new("mesh");
    for offer in [&[][..], &[&b"http/1.1"[..]], &[b"h3", b"H2"], &[b"h2c"]] {
        let mut config = client_config(&authority, |_| ());
        config.alpn_protocols = offer.iter().map(|p| p.to_vec()).collect();
        let (ours, _, ended) = accept(&authority, config, "a.example");
        assert_eq!(ours.fault, Some(TlsFault::NoAlpn), "{offer:?}");
        assert!(ours.session.peer().is_none());
        let alert = Error::AlertReceived(AlertDescription::NoApplicationProtocol);
        assert!(ended.is_none() || ended == Some(alert), "{offer:?}: {ended:?}");
    }
    let mut config = client_config(&authority, |_| ());
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    assert_eq!(accept(&authority, config, "a.example").1.alpn_protocol(), Some(&b"h2"[..]));
}

#[test]
fn a_client_without_a_good_certificate_is_told_by_alert_and_its_data_is_lost() {
    let authority = Authority::new("mesh");
    let plain = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider().signature_verification_algorithms)))
        .with_no_client_auth();
    let stranger = client_config(&Authority::new("stranger"), |_| ());
    for (mut config, alert) in
        [(plain, AlertDescription::CertificateRequired), (stranger, AlertDescription::UnknownCA)]
    {
        config.alpn_protocols = vec![b"h2".to_vec()];
        let mut ours = Ours::new(Session::server(&identity(&authority, SERVER)).unwrap());
        let name = ServerName::try_from("a.example").unwrap();
        let mut peer: Connection = ClientConnection::new(Arc::new(config), name).unwrap().into();
        peer.writer().write_all(b"before anybody knows me").unwrap();
        let ended = meet(&mut ours, &mut peer);
        assert_eq!(ended, Some(Error::AlertReceived(alert)));
        assert!(matches!(ours.fault, Some(TlsFault::Identity(_))), "{:?}", ours.fault);
        assert!(ours.plain.is_empty() && ours.session.peer().is_none());
    }
}

#[test]
fn our_client_takes_a_late_refusal_as_its_own() {
    let (authority, other) = (Authority::new("mesh"), Authority::new("other"));
    let mut roots = RootCertStore::empty();
    roots.add(other.der()).unwrap();
    let own = Arc::new(provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), own.clone()).build().unwrap();
    let (leaf, key) = authority.issue(&svid(&[SERVER]));
    let mut config = ServerConfig::builder_with_provider(own)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![leaf], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut ours = Ours::new(Session::client(&identity(&authority, CLIENT)).unwrap());
    let mut peer: Connection = ServerConnection::new(Arc::new(config)).unwrap().into();
    let ended = meet(&mut ours, &mut peer);
    assert!(matches!(ended, Some(Error::InvalidCertificate(_))), "{ended:?}");
    assert!(matches!(ours.fault, Some(TlsFault::CredentialRefused(_))), "{:?}", ours.fault);
    assert!(ours.session.peer().is_none());
}

#[test]
fn close_notify_comes_before_the_end_in_both_directions() {
    let authority = Authority::new("mesh");
    let (mut ours, mut peer, _) = accept(&authority, client_config(&authority, |_| ()), "a.example");
    ours.session.encrypt(b"last words", &mut ours.out).unwrap();
    ours.session.close_notify(&mut ours.out).unwrap();
    assert_eq!(meet(&mut ours, &mut peer), None);
    let mut heard = Vec::new();
    // rustls reports an end without close_notify as an error.
    peer.reader().read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"last words");
    assert!(!ours.session.peer_closed());
    peer.send_close_notify();
    meet(&mut ours, &mut peer);
    assert!(ours.session.peer_closed());
}
