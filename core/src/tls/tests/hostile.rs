//! Peers that are old, foreign or hostile. They are raw rustls connections with configurations of their own.

use super::*;
use crate::identity::IdentityFault;
use crate::tls::step::{self, Role};
use quickcheck::quickcheck;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, ServerConfig};

fn raw_client(identity: &TlsIdentity, change: impl FnOnce(&mut ClientConfig)) -> UnbufferedClientConnection {
    let mut config = (**identity.client_config()).clone();
    change(&mut config);
    UnbufferedClientConnection::new(Arc::new(config), ServerName::try_from("10.0.0.1").unwrap()).unwrap()
}

fn raw_server(identity: &TlsIdentity, change: impl FnOnce(&mut ServerConfig)) -> UnbufferedServerConnection {
    let mut config = (**identity.server_config()).clone();
    change(&mut config);
    UnbufferedServerConnection::new(Arc::new(config)).unwrap()
}

/// Lets a raw connection take `input` and returns what it sends.
fn turn<R: Role>(role: &mut R, input: &mut Vec<u8>, plain: &mut BytesMut) -> Vec<u8> {
    let mut out = vec![];
    while let Ok((discard, next)) = step::advance(role, input, plain, &mut out) {
        input.drain(..discard);
        if matches!(next, step::Next::NeedInput | step::Next::PeerClosed) {
            return out;
        }
    }
    step::flush(role, &mut out);
    out
}

/// Connects a session with a raw peer until nothing moves any more; returns what the peer received.
fn meet<R: Role>(side: &mut Side, role: &mut R) -> BytesMut {
    let (mut input, mut plain) = (vec![], BytesMut::new());
    side.process();
    loop {
        input.append(&mut side.out);
        let out = turn(role, &mut input, &mut plain);
        if out.is_empty() && side.out.is_empty() {
            return plain;
        }
        side.receive(&out);
    }
}

fn server_side(ca: &Ca) -> Side {
    Side::new(Session::server(&identity(&ca.credential(B))).unwrap())
}

fn client_side(ca: &Ca) -> Side {
    Side::new(Session::client(&identity(&ca.credential(A))).unwrap())
}

#[test]
fn a_peer_without_our_protocol_is_refused() {
    let ca = Ca::new("mesh");
    let a = identity(&ca.credential(A));
    for (alpn, closes) in [(vec![], true), (vec![b"http/1.1".to_vec()], false)] {
        let mut server = server_side(&ca);
        let mut client = raw_client(&a, |c| c.alpn_protocols = alpn.clone());
        meet(&mut server, &mut client);
        assert_eq!((server.result.clone(), server.peer()), (Err(TlsFault::NoAlpn), None));
        assert_eq!(client.is_handshaking(), !closes);

        let mut client = client_side(&ca);
        meet(&mut client, &mut raw_server(&identity(&ca.credential(B)), |c| c.alpn_protocols = alpn));
        assert!(client.result.is_err() && client.peer().is_none(), "{:?}", client.result);
    }
}

#[test]
fn a_client_without_certificate_is_refused() {
    let ca = Ca::new("mesh");
    let mut server = server_side(&ca);
    let mut client =
        raw_client(&identity(&ca.credential(A)), |c| c.client_auth_cert_resolver = Arc::new(NoCert));
    meet(&mut server, &mut client);
    assert_eq!(server.result, Err(TlsFault::Identity(IdentityFault::NoCertificate)));
}

#[derive(Debug)]
struct NoCert;

impl rustls::client::ResolvesClientCert for NoCert {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// A ClientHello of a client of TLS 1.2, by hand: no supported_versions extension.
fn hello_of_tls12() -> Vec<u8> {
    let mut body = vec![0x03, 0x03];
    body.extend([7; 32]);
    body.push(0);
    body.extend([0, 2, 0xc0, 0x2b, 1, 0]);
    let extensions =
        [&[0, 10, 0, 4, 0, 2, 0, 23][..], &[0, 11, 0, 2, 1, 0], &[0, 13, 0, 4, 0, 2, 4, 3], &[0, 23, 0, 0]]
            .concat();
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let message = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 1, 0, message.len() as u8][..], &message].concat()
}

#[test]
fn tls12_is_refused_in_both_roles() {
    let ca = Ca::new("mesh");
    let mut server = server_side(&ca);
    server.receive(&hello_of_tls12());
    assert_eq!(server.result, Err(TlsFault::NoTls13));
    assert_eq!(server.out, [21, 3, 3, 0, 2, 2, 70], "protocol_version, fatal");

    let mut client = client_side(&ca);
    client.process();
    // A ServerHello that chooses TLS 1.2, with the session id that the client sent.
    let session_id = client.out[43..44 + usize::from(client.out[43])].to_vec();
    let mut body = [&[3, 3][..], &[9; 32], &session_id, &[0xc0, 0x2b, 0]].concat();
    body.extend([0, 0]);
    let message = [&[2, 0, 0, body.len() as u8][..], &body].concat();
    client.out.clear();
    client.receive(&[&[22, 3, 3, 0, message.len() as u8][..], &message].concat());
    assert!(matches!(client.result, Err(TlsFault::NoTls13)), "{:?}", client.result);
    assert!(!client.out.is_empty(), "an alert is sent");
}

#[test]
fn plain_http_is_refused_at_once() {
    let mut server = server_side(&Ca::new("mesh"));
    server.receive(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(matches!(server.result, Err(TlsFault::Peer(_))), "{:?}", server.result);
}

#[test]
fn a_close_during_the_handshake_is_no_orderly_end() {
    let close = [21, 3, 3, 0, 2, 1, 0];
    let ca = Ca::new("mesh");
    let (mut client, mut server) = (client_side(&ca), server_side(&ca));
    client.process();
    server.receive(&std::mem::take(&mut client.out));
    // The client gets as far as the ServerHello.
    let hello = 5 + usize::from(u16::from_be_bytes([server.out[3], server.out[4]]));
    client.receive(&server.out[..hello]);
    assert_eq!(client.result, Ok(()));
    client.receive(&close);
    assert_eq!((client.result.clone(), client.session.peer_closed()), (Err(TlsFault::ClosedEarly), false));

    let mut server = server_side(&ca);
    for _ in 0..9 {
        server.receive(&close);
    }
    assert!(server.result.is_err() && !server.session.peer_closed(), "alerts without end are not borne");
}

#[test]
fn data_of_a_refused_peer_is_not_delivered() {
    let ca = Ca::new("mesh");
    let mut server = server_side(&ca);
    let mut client = raw_client(&identity(&ca.credential(A)), |c| c.alpn_protocols.clear());
    let (mut input, mut plain) = (vec![], BytesMut::new());
    server.receive(&turn(&mut client, &mut input, &mut plain));
    input.append(&mut server.out);
    let mut wire = turn(&mut client, &mut input, &mut plain);
    step::seal(&mut client, &mut [], Some(b"too early"), &mut wire).unwrap();
    server.receive(&wire);
    assert_eq!((server.result, server.plain.len()), (Err(TlsFault::NoAlpn), 0));
}

#[test]
fn nothing_links_one_session_to_the_next() {
    let ca = Ca::new("mesh");
    let identity = identity(&ca.credential(A));
    let (client, server) = (identity.client_config(), identity.server_config());
    assert!(!client.enable_sni && !client.enable_early_data && client.send_ticket_request.is_none());
    assert!(!server.session_storage.can_cache() && !server.ticketer.enabled());
    assert_eq!(
        (server.send_tls13_tickets, server.max_early_data_size, server.send_half_rtt_data),
        (0, 0, false)
    );
    assert!(
        !client.key_log.will_log("CLIENT_TRAFFIC_SECRET_0") && !server.key_log.will_log("EXPORTER_SECRET")
    );

    let (mut client, mut server) = (client_side(&ca), server_side(&ca));
    client.process();
    server.receive(&std::mem::take(&mut client.out));
    client.receive(&std::mem::take(&mut server.out));
    server.receive(&std::mem::take(&mut client.out));
    assert_eq!((server.peer().as_deref(), server.out.len()), (Some(A), 0), "no ticket follows the handshake");
}

#[test]
fn after_a_fault_every_call_says_the_same_and_sends_nothing() {
    let mut server = server_side(&Ca::new("mesh"));
    server.receive(&hello_of_tls12());
    let fault = server.result.clone().unwrap_err();
    server.out.clear();
    let (plain, out) = (&mut BytesMut::new(), &mut vec![]);
    for input in [&mut [][..], &mut [0; 3], &mut hello_of_tls12()] {
        assert_eq!(server.session.process(input, plain, out, usize::MAX), Err(fault.clone()));
    }
    assert_eq!(server.session.encrypt(b"x", out), Err(fault.clone()));
    assert_eq!(server.session.close_notify(out), Err(fault.clone()));
    assert_eq!(
        (out.len(), server.session.fault(), server.session.is_handshaking()),
        (0, Some(&fault), false)
    );
}

#[test]
fn an_oversized_handshake_message_is_refused_in_bounded_memory() {
    let mut server = server_side(&Ca::new("mesh"));
    // A ClientHello that claims 60 kB, in records of 1 kB.
    let mut wire = vec![22, 3, 1, 4, 0, 1, 0, 0xea, 0x60];
    wire.extend([0; 1020]);
    for _ in 0..59 {
        wire.extend([22, 3, 1, 4, 0]);
        wire.extend([0; 1024]);
    }
    let mut most = 0;
    for piece in wire.chunks(700) {
        server.receive(piece);
        most = most.max(server.input.len());
        if server.result.is_err() {
            break;
        }
    }
    assert_eq!(server.result, Err(TlsFault::HandshakeTooLong));
    assert!(most < INPUT_BYTES + 700);
}

#[test]
fn fragments_after_the_handshake_do_not_disturb_sending() {
    // The server sends tickets in many small records; the client writes while one is only half there.
    let ca = Ca::new("mesh");
    let b = identity(&ca.credential(B));
    let mut server = raw_server(&b, |c| {
        c.session_storage = rustls::server::ServerSessionMemoryCache::new(16);
        c.send_tls13_tickets = 2;
        c.max_fragment_size = Some(32);
    });
    let mut client = client_side(&ca);
    let (mut input, mut plain) = (vec![], BytesMut::new());
    client.process();
    let mut sent = 0;
    for _ in 0..4 {
        input.append(&mut client.out);
        for byte in turn(&mut server, &mut input, &mut plain) {
            client.receive(&[byte]);
            assert_eq!(client.result, Ok(()));
            let nothing = client.session.process(&mut [], &mut client.plain, &mut client.out, usize::MAX);
            assert_eq!(nothing, Ok(0));
            if client.peer().is_some() {
                client.session.encrypt(b"x", &mut client.out).unwrap();
                sent += 1;
            }
        }
    }
    turn(&mut server, &mut { client.out.clone() }, &mut plain);
    assert_eq!(client.peer().as_deref(), Some(B));
    assert!(sent > 100 && plain.len() == sent, "{sent} {}", plain.len());
    assert!(client.input.is_empty());
}

#[test]
fn key_updates_are_followed_and_answered() {
    let ca = Ca::new("mesh");
    let mut server = raw_server(&identity(&ca.credential(B)), |_| ());
    let mut client = client_side(&ca);
    meet(&mut client, &mut server);
    for round in 0..3 {
        let mut wire = vec![];
        if let Ok(rustls::unbuffered::ConnectionState::WriteTraffic(w)) = server.records(&mut []).state {
            w.refresh_traffic_keys().unwrap();
        }
        step::seal(&mut server, &mut [], Some(b"new"), &mut wire).unwrap();
        client.receive(&wire);
        assert_eq!((&client.plain[..], &client.result), (&b"new"[..], &Ok(())), "round {round}");
        client.plain.clear();
        client.session.encrypt(b"back", &mut client.out).unwrap();
        let answer = client.out.len() - (4 + RECORD_OVERHEAD_BYTES);
        assert!(answer > 0, "a key update of our own goes first");
        assert_eq!(&meet(&mut client, &mut server)[..], b"back");
    }
}

/// Whether a byte carries no meaning in TLS 1.3, so that a change may go unseen: the version of a plaintext record, type and
/// version of an encrypted one, a whole change_cipher_spec.
fn is_unprotected(flight: &[u8], at: usize) -> bool {
    let mut start = 0;
    loop {
        let end = start + 5 + usize::from(u16::from_be_bytes([flight[start + 3], flight[start + 4]]));
        if at < end {
            return match flight[start] {
                20 => true,
                22 => (1..=2).contains(&(at - start)),
                23 => at - start <= 2,
                _ => false,
            };
        }
        start = end;
    }
}

thread_local! {
    static PAIR: (Arc<TlsIdentity>, Arc<TlsIdentity>) = {
        let ca = Ca::new("mesh");
        (identity(&ca.credential(A)), identity(&ca.credential(B)))
    };
}

quickcheck! {
    fn a_changed_handshake_gives_no_identity(which: u8, at: usize, flip: u8, piece: u8) -> bool {
        let (a, b) = PAIR.with(Clone::clone);
        let (mut client, mut server) = pair(&a, &b);
        let which = which % 3;
        let mut spared = false;
        client.process();
        for round in 0..3 {
            let (from, to) = if round == 1 { (&mut server, &mut client) } else { (&mut client, &mut server) };
            let mut flight = std::mem::take(&mut from.out);
            if round == which {
                let at = at % flight.len();
                spared = is_unprotected(&flight, at);
                flight[at] ^= flip.max(1);
            }
            for bytes in flight.chunks(usize::from(piece.max(1))) {
                to.receive(bytes);
            }
        }
        // The second flight is the server's: whoever receives the change, or depends on it, must not believe.
        let (believer, truth) = if which == 1 { (client, B) } else { (server, A) };
        believer.peer().is_none_or(|peer| spared && peer == truth)
    }

    fn changed_data_is_never_delivered(at: usize, flip: u8, length: u16) -> bool {
        let (a, b) = PAIR.with(Clone::clone);
        let (mut client, mut server) = pair(&a, &b);
        pump(&mut client, &mut server);
        let data = vec![7; usize::from(length) + 1];
        client.session.encrypt(&data, &mut client.out).unwrap();
        let at = at % client.out.len();
        client.out[at] ^= flip.max(1);
        server.receive(&std::mem::take(&mut client.out));
        // Records before the changed one are good. The library does not look at the type and version in a header, which say
        // nothing; a changed length waits for more, or breaks the record.
        let in_header = at % (MAX_PLAINTEXT_BYTES + RECORD_OVERHEAD_BYTES) < 3;
        data.starts_with(&server.plain) && (in_header || server.plain.len() <= at)
    }

    fn any_bytes_are_answered(server: bool, bytes: Vec<Vec<u8>>) -> bool {
        let (a, b) = PAIR.with(Clone::clone);
        let (client_side, server_side) = pair(&a, &b);
        let mut side = if server { server_side } else { client_side };
        for piece in bytes {
            side.receive(&piece);
        }
        side.peer().is_none() && side.plain.is_empty()
    }

    fn any_bytes_after_the_handshake_are_answered(bytes: Vec<Vec<u8>>) -> bool {
        let (a, b) = PAIR.with(Clone::clone);
        let (mut client, mut server) = pair(&a, &b);
        pump(&mut client, &mut server);
        for piece in bytes {
            server.receive(&piece);
            let sends = server.session.encrypt(b"x", &mut server.out);
            if sends.is_ok() != server.result.is_ok() {
                return false;
            }
        }
        server.plain.is_empty()
    }
}
