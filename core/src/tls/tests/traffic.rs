//! Data, its limits, and the end of a session.

use super::*;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 / 7) as u8).collect()
}

#[test]
fn a_mebibyte_each_way() {
    let (mut client, mut server) = connected();
    let data = pattern(1 << 20);
    client.session.encrypt(&data, &mut client.out).unwrap();
    server.session.encrypt(&data, &mut server.out).unwrap();
    pump(&mut client, &mut server);
    assert!(client.plain == data && server.plain == data);
    assert_eq!((client.input.len(), server.input.len()), (0, 0));
}

#[test]
fn a_full_piece_is_exactly_one_record() {
    let (mut client, _) = connected();
    for (plain, records) in [(1, 1), (16_383, 1), (MAX_PLAINTEXT_BYTES, 1), (MAX_PLAINTEXT_BYTES + 1, 2)] {
        let mut out = vec![];
        client.session.encrypt(&pattern(plain), &mut out).unwrap();
        assert_eq!(out.len(), plain + records * RECORD_OVERHEAD_BYTES);
        let first = usize::from(u16::from_be_bytes([out[3], out[4]])) + 5;
        assert_eq!(first, plain.min(MAX_PLAINTEXT_BYTES) + RECORD_OVERHEAD_BYTES);
        assert!(first <= MAX_RECORD_BYTES);
    }
    let mut out = vec![9];
    client.session.encrypt(b"", &mut out).unwrap();
    client.session.encrypt(b"x", &mut out).unwrap();
    assert_eq!((out[0], out.len()), (9, 1 + 1 + RECORD_OVERHEAD_BYTES));
}

#[test]
fn a_buffer_of_the_least_size_always_makes_progress() {
    let ca = Ca::new("mesh");
    let (mut client, mut server) = pair(&identity(&ca.credential(A)), &identity(&ca.credential(B)));
    pump(&mut client, &mut server);
    let data = pattern(300_000);
    client.session.encrypt(&data, &mut client.out).unwrap();
    let mut wire = std::mem::take(&mut client.out);
    let mut buffer: Vec<u8> = vec![];
    while !wire.is_empty() || !buffer.is_empty() {
        let room = (INPUT_BYTES - buffer.len()).min(wire.len());
        buffer.extend(wire.drain(..room));
        let consumed =
            server.session.process(&mut buffer, &mut server.plain, &mut server.out, usize::MAX).unwrap();
        assert!(consumed > 0, "{} bytes in the buffer", buffer.len());
        buffer.drain(..consumed);
    }
    assert!(server.plain == data);
}

#[test]
fn the_plaintext_limit_holds_back_records() {
    let (mut client, mut server) = connected();
    let data = pattern(10 * MAX_PLAINTEXT_BYTES);
    client.session.encrypt(&data, &mut client.out).unwrap();
    client.session.close_notify(&mut client.out).unwrap();
    server.input = std::mem::take(&mut client.out);
    let mut got = vec![];
    let limit = 20_000;
    for _ in 0..5 {
        let consumed =
            server.session.process(&mut server.input, &mut server.plain, &mut server.out, limit).unwrap();
        assert_eq!(server.plain.len(), 2 * MAX_PLAINTEXT_BYTES);
        assert_eq!(consumed, 2 * (MAX_PLAINTEXT_BYTES + RECORD_OVERHEAD_BYTES));
        server.input.drain(..consumed);
        let full = server.session.process(&mut server.input, &mut server.plain, &mut server.out, limit);
        assert_eq!((full, server.plain.len()), (Ok(0), 2 * MAX_PLAINTEXT_BYTES));
        // Sending goes on while complete records wait.
        server.session.encrypt(b"x", &mut server.out).unwrap();
        got.extend_from_slice(&server.plain.split());
    }
    assert!(got == data && !server.session.peer_closed());
    server.process();
    assert!(server.session.peer_closed() && server.plain.is_empty());
    pump(&mut client, &mut server);
    assert_eq!(&client.plain[..], b"xxxxx");
}

#[test]
fn close_notify_tells_an_end_from_a_truncation() {
    let (mut client, mut server) = connected();
    client.session.encrypt(b"all", &mut client.out).unwrap();
    pump(&mut client, &mut server);
    assert!(!server.session.peer_closed(), "an end of file here is a truncation");
    client.session.close_notify(&mut client.out).unwrap();
    let once = client.out.len();
    client.session.close_notify(&mut client.out).unwrap();
    assert_eq!(client.out.len(), once);
    assert_eq!(client.session.encrypt(b"more", &mut client.out), Err(TlsFault::Closed));
    pump(&mut client, &mut server);
    assert_eq!((&server.plain[..], server.session.peer_closed()), (&b"all"[..], true));
    // The other direction stays open.
    server.session.encrypt(b"answer", &mut server.out).unwrap();
    server.session.close_notify(&mut server.out).unwrap();
    pump(&mut client, &mut server);
    assert_eq!((&client.plain[..], client.session.peer_closed()), (&b"answer"[..], true));
    assert_eq!((&client.result, &server.result), (&Ok(()), &Ok(())));
    server.receive(b"whatever follows is ignored");
    assert_eq!((server.input.len(), &server.result), (0, &Ok(())));
}

#[test]
fn nothing_is_sent_by_a_close_during_the_handshake() {
    let ca = Ca::new("mesh");
    let (mut client, mut server) = pair(&identity(&ca.credential(A)), &identity(&ca.credential(B)));
    client.process();
    let hello = client.out.clone();
    client.session.close_notify(&mut client.out).unwrap();
    assert_eq!(client.out, hello);
    pump(&mut client, &mut server);
    assert_eq!(server.peer().as_deref(), Some(A));
}

#[test]
fn broken_data_after_our_close_is_a_fault_like_any_other() {
    let (mut client, mut server) = connected();
    server.session.encrypt(b"late", &mut server.out).unwrap();
    client.session.close_notify(&mut client.out).unwrap();
    let last = server.out.len() - 1;
    server.out[last] ^= 1;
    client.receive(&std::mem::take(&mut server.out));
    assert!(matches!(client.result, Err(TlsFault::Peer(_))), "{:?}", client.result);
}
