//! Before and around the handshake: peers that say nothing, something else, or show what is no identity.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use culvert_spec_tests::testbed::{Ending, PATIENCE, abort};
use rustls::HandshakeKind;

use crate::frame::{self, DATA, PREFACE, connect, frame};
use crate::peer::{Peer, Sent, dial, shown, tls_config};
use crate::scene::Scene;

/// Reads until the node ends a connection; what it said.
fn last_words(tcp: &TcpStream) -> Vec<u8> {
    tcp.set_nonblocking(false).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = Vec::new();
    let mut reader = tcp;
    let mut space = [0; 4096];
    loop {
        match reader.read(&mut space) {
            Ok(0) => return said,
            Ok(len) => said.extend(&space[..len]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return said,
            Err(error) => panic!("the node does not end the connection: {error}"),
        }
    }
}

/// The first flight of a client.
fn client_hello(scene: &Scene) -> Vec<u8> {
    let mut peer = scene.tls_peer();
    let mut hello = Vec::new();
    peer.tls.write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn peers_that_never_finish_their_handshake_are_bounded_and_given_up() {
    let limits = ["half-open-tunnels=64", "tls-handshake=1s", "http2-preface=1s"];
    let scene = Scene::with_limits(&limits);
    let base = scene.descriptors();
    let hello = client_hello(&scene);
    scene.within("half open", 16 << 10, |scene| {
        let mut silent = Vec::new();
        let mut most = 0;
        for n in 0..600 {
            // The node resets what comes while 64 are half open.
            let Ok(mut tcp) = dial(scene.mallory.ip, scene.server.hbone()) else { continue };
            // Nothing, a byte, half of the first flight, all of it.
            let len = [0, 1, hello.len() / 2, hello.len()][n % 4];
            let _ended = tcp.write_all(&hello[..len]);
            silent.push(tcp);
            most = most.max(scene.descriptors());
        }
        println!("half open: {} descriptors at most beyond {base}", most - base);
        assert!(most <= base + 64 + 16, "{most} descriptors, {base} before");
        // All are given up while their sockets are still there on this side.
        scene.settle_descriptors(base + 4);
        assert!(silent.len() >= 64);
        // One that finished its handshake and then says nothing, or half a preface, is as half open as those.
        for hello in [&b""[..], &PREFACE[..10], PREFACE] {
            let mut peer = scene.tls_peer();
            peer.send(hello);
            peer.drain();
        }
    });
    scene.settle_descriptors(base + 4);
    // Attackers gone, an honest newcomer gets in.
    assert_eq!(scene.peer().ask(1, &connect(1, &scene.target(7001))), 200);
}

#[test]
fn a_tunnel_cut_at_any_byte_is_a_reset_for_the_application() {
    let scene = Scene::new();
    let mut expected = 0;
    scene.within("truncation", 8 << 10, |scene| {
        for cut in [0, 1, 4, 5, 6, 20, 100, 1000] {
            for how in 0..3 {
                let mut peer = scene.peer();
                assert_eq!(peer.ask(1, &connect(1, &scene.target(7001))), 200);
                peer.send(&frame(DATA, 0, 1, b"half of a sentence"));
                assert!(peer.settle());
                // A record of DATA with END_STREAM that gets cut before its end, so that its end never counts.
                let mut record = Vec::new();
                peer.tls.writer().write_all(&frame(DATA, 1, 1, &[b'x'; 2000])).unwrap();
                peer.tls.write_tls(&mut record).unwrap();
                peer.tcp.write_all(&record[..cut]).unwrap();
                match how {
                    0 => peer.tcp.shutdown(Shutdown::Write).unwrap(),
                    1 => abort(peer.tcp),
                    _ => drop(peer),
                }
                expected += 1;
            }
        }
        // An end of TLS in due form is an end of the tunnel, and still none of its streams.
        let mut peer = scene.peer();
        assert_eq!(peer.ask(1, &connect(1, &scene.target(7001))), 200);
        peer.send(&frame(DATA, 0, 1, b"half of a sentence"));
        peer.tls.send_close_notify();
        peer.flush();
        peer.drain();
        expected += 1;
        let endings = scene.seen.endings(expected);
        assert!(endings.iter().all(|(ending, _)| *ending == Ending::Reset), "{endings:?}");
    });
}

#[test]
fn a_handshake_in_the_smallest_records_is_one_or_is_refused() {
    let scene = Scene::new();
    scene.within("split records", 4 << 10, |scene| {
        let hello = client_hello(scene);
        let (header, message) = hello.split_at(5);
        for size in [1, 2, 7, 100] {
            let split = |piece: &[u8]| {
                let len = u16::try_from(piece.len()).unwrap().to_be_bytes();
                [&header[..3], &len, piece].concat()
            };
            let mut tcp = scene.dial();
            let records: Vec<u8> = message.chunks(size).flat_map(split).collect();
            let _ended = tcp.write_all(&records);
            // Either the server's first flight, a handshake record, or an alert.
            let mut first = [0];
            tcp.set_read_timeout(Some(PATIENCE)).unwrap();
            tcp.read_exact(&mut first).unwrap();
            assert!(matches!(first[0], 21 | 22), "{first:?}");
        }
    });
}

#[test]
fn alerts_at_each_step_end_the_connection_and_nothing_else() {
    let scene = Scene::new();
    scene.within("alerts", 4 << 10, |scene| {
        let hello = client_hello(scene);
        // close_notify and others, as a warning and as fatal, after each part of the first flight.
        for alert in [[1, 0], [2, 0], [2, 40], [1, 90], [0, 0], [255, 255]] {
            for cut in [0, 5, 6, hello.len() / 2, hello.len() - 1, hello.len()] {
                let mut tcp = scene.dial();
                tcp.write_all(&hello[..cut]).unwrap();
                let _ended = tcp.write_all(&[&[21, 3, 3, 0, 2][..], &alert].concat());
                let _ended = tcp.shutdown(Shutdown::Write);
                last_words(&tcp);
            }
        }
        // In the tunnel: plain alerts where encrypted ones belong, and a second close_notify after the first.
        for bytes in
            [&[21, 3, 3, 0, 2, 1, 0][..], &[23, 3, 3, 0, 0], &[20, 3, 3, 0, 1, 1], &[23, 3, 3, 255, 255]]
        {
            let mut peer = scene.peer();
            peer.tls.send_close_notify();
            peer.flush();
            let _ended = (&peer.tcp).write_all(bytes);
            let mut peer = scene.peer();
            let _ended = (&peer.tcp).write_all(bytes);
            let _ended = peer.tcp.shutdown(Shutdown::Write);
            peer.drain();
        }
    });
}

/// A ClientHello of TLS 1.2: no supported_versions, and one suite of that version.
fn tls12_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    // supported_groups: secp256r1; signature_algorithms: ecdsa_secp256r1_sha256.
    let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3];
    body.extend([0, u8::try_from(extensions.len()).unwrap()]);
    body.extend(extensions);
    let len = u8::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, len + 4, 1, 0, 0, len];
    record.extend(body);
    record
}

#[test]
fn nothing_older_than_tls_13_and_nothing_in_clear_gets_in() {
    let scene = Scene::new();
    scene.within("downgrades", 4 << 10, |scene| {
        let mut tcp = scene.dial();
        tcp.write_all(&tls12_hello()).unwrap();
        assert_eq!(last_words(&tcp), [21, 3, 3, 0, 2, 2, 70], "protocol_version");
        scene.log(|line| line.contains("tunnel closed") && line.contains("tls"));
        let plain = [PREFACE, &frame::settings(&[]), &connect(1, &scene.target(7001))].concat();
        for bytes in
            [&plain[..], b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", &[0; 64]]
        {
            let mut tcp = scene.dial();
            tcp.write_all(bytes).unwrap();
            let said = last_words(&tcp);
            assert!(said.is_empty() || said[0] == 21, "{said:?}");
            scene.log(|line| line.contains("tunnel closed") && line.contains("tls"));
        }
        let mallory = || shown(&scene.certificates, "mallory");
        let configs = [
            ("without ALPN", tls_config(mallory(), &[])),
            ("with another ALPN", tls_config(mallory(), &[b"http/1.1"])),
            ("without a certificate", tls_config(None, &[b"h2"])),
        ];
        for (name, config) in configs {
            let mut peer = Peer::new(scene.dial(), config);
            peer.send(&plain);
            peer.drain();
            assert!(peer.frames.is_empty(), "{name}: {:?}", peer.frames);
            scene.log(|line| line.contains("tunnel closed"));
        }
    });
    scene.assert_seen(0);
}

#[test]
fn no_session_is_resumed_and_no_data_comes_early() {
    let scene = Scene::new();
    let mut config = tls_config(shown(&scene.certificates, "mallory"), &[b"h2"]);
    config.enable_early_data = true;
    for _ in 0..3 {
        // One store of sessions for all of them: what the node would have given out would be used.
        let mut peer = Peer::new(scene.dial(), config.clone());
        assert!(peer.tls.early_data().is_none());
        assert_eq!(peer.flush(), Sent::All);
        let mut peer = peer.greet();
        assert_eq!(peer.ask(1, &connect(1, &scene.target(7001))), 200);
        assert_eq!(peer.tls.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(peer.tls.tls13_tickets_received(), 0);
    }
}

#[test]
fn tunnels_beyond_their_limit_are_turned_away_and_their_places_come_back() {
    let scene = Scene::with_limits(&["accepted-tunnels=20"]);
    let base = scene.descriptors();
    scene.within("tunnels", 20 << 10, |scene| {
        // The good client has one of them.
        let mut tunnels: Vec<Peer> = (0..19).map(|_| scene.peer()).collect();
        for _ in 0..40 {
            let Ok(tcp) = dial(scene.mallory.ip, scene.server.hbone()) else { continue };
            let mut peer = Peer::new(tcp, tls_config(shown(&scene.certificates, "mallory"), &[b"h2"]));
            peer.send(&[PREFACE, &frame::settings(&[])].concat());
            peer.drain();
            assert!(peer.frames.is_empty(), "one more was let in");
        }
        for peer in &mut tunnels {
            assert!(peer.settle());
        }
        assert!(scene.descriptors() <= base + 20 + 2);
    });
    scene.settle_descriptors(base + 2);
    assert_eq!(scene.peer().ask(1, &connect(1, &scene.target(7001))), 200);
}

#[test]
fn keys_that_change_without_end_cost_no_more_than_records() {
    let scene = Scene::new();
    for listens in [true, false] {
        scene.within(if listens { "key updates" } else { "key updates, not read" }, 4 << 10, |scene| {
            let mut peer = scene.peer();
            peer.listens = listens;
            let mut sent = 0;
            while sent < 20_000 && peer.tls.refresh_traffic_keys().is_ok() && peer.flush() == Sent::All {
                sent += 1;
            }
            peer.listens = true;
            assert!(!peer.settle(), "the tunnel goes on after {sent} changes");
            println!("key updates: {sent}, then {:?}", peer.ended);
        });
    }
}
