//! No byte can be changed on the way without somebody noticing, but for those that TLS 1.3 ignores.

use super::*;

const HEADER_BYTES: usize = 5;
const CHANGE_CIPHER_SPEC: u8 = 20;
const APPLICATION_DATA: u8 = 23;

/// Which bytes of a flight rustls ignores, whatever the provider: the second byte of the version in a record's header (RFC 8446
/// section 5.1), the outer type of a protected record, which it takes for granted when it computes the tag (section 5.2), and
/// records of change_cipher_spec, which exist for the sake of middleboxes (appendix D.4).
fn ignored(flight: &[u8]) -> Vec<bool> {
    let mut out = vec![false; flight.len()];
    let mut start = 0;
    while let Some(&[kind, _, _, high, low]) = flight.get(start..start + HEADER_BYTES) {
        let end = start + HEADER_BYTES + usize::from(u16::from_be_bytes([high, low]));
        out[start + 2] = true;
        out[start] = kind == APPLICATION_DATA;
        if kind == CHANGE_CIPHER_SPEC {
            out[start..end].fill(true);
        }
        start = end;
    }
    out
}

/// Whether both sides have a session and data gets across both ways.
fn works(a: &mut Side, b: &mut Side) -> bool {
    if a.peer().is_none() || b.peer().is_none() {
        return false;
    }
    a.send(b"ping");
    b.send(b"pong");
    pump(a, b, |_, _| ());
    a.plain == "pong" && b.plain == "ping"
}

#[test]
fn every_changed_byte_of_a_handshake_is_noticed() {
    let mut authority = authority();
    let [a, b] = [A, B].map(|id| identity(&provider(), &credential(&mut authority, id)));
    for changed in [Direction::ToServer, Direction::ToClient] {
        let mut honest = Vec::new();
        let (mut client, mut server) = sides(1, &a, &b);
        pump(&mut client, &mut server, |direction, flight| {
            if direction == changed {
                honest.extend_from_slice(flight);
            }
        });
        assert!(works(&mut client, &mut server) && honest.len() > 500);
        for (at, ignored) in ignored(&honest).into_iter().enumerate() {
            let (mut client, mut server) = sides(1, &a, &b);
            let mut sent = 0;
            pump(&mut client, &mut server, |direction, flight| {
                if direction == changed {
                    if let Some(byte) = at.checked_sub(sent).and_then(|at| flight.get_mut(at)) {
                        *byte ^= 0x01;
                    }
                    sent += flight.len();
                }
            });
            assert!(ignored || !works(&mut client, &mut server), "byte {at} {changed:?}");
        }
    }
}

#[test]
fn every_changed_byte_of_data_is_noticed() {
    let (mut a, mut b) = pair(1);
    connect(&mut a, &mut b);
    a.send(&[7; 600]);
    let honest = a.out;
    for (at, ignored) in ignored(&honest).into_iter().enumerate() {
        let (mut a, mut b) = pair(1);
        connect(&mut a, &mut b);
        let mut flight = honest.clone();
        flight[at] ^= 0x80;
        b.receive(&flight);
        assert!(ignored || b.plain.is_empty(), "byte {at}");
    }
    b.receive(&honest[..honest.len() - 1]);
    assert!(b.plain.is_empty());
    b.receive(&honest[honest.len() - 1..]);
    assert_eq!(b.plain, [7; 600][..]);
}
