use std::net::{IpAddr, SocketAddr};

use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;
use crate::mesh::sample;

fn tcp(source: &str, destination: &str) -> Endpoints {
    Endpoints::Tcp { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn plain(endpoints: Endpoints) -> Header {
    Header { endpoints, identity: None }
}

fn from(id: &str) -> Header {
    let endpoints = tcp("10.1.2.3:4567", "10.96.0.1:80");
    Header { endpoints, identity: Some(id.parse().unwrap()) }
}

/// A header of any command, family and body.
fn raw(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, body].concat()
}

fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

/// A header of TCP over IPv4 with fields.
fn with_fields(fields: &[u8]) -> Vec<u8> {
    raw(0x21, 0x11, &[&[10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2][..], fields].concat())
}

fn read(bytes: &[u8]) -> Result<Header, ProxyFault> {
    let (header, length) = Header::parse(bytes)?.expect("a whole header");
    assert_eq!(length, bytes.len());
    Ok(header)
}

#[test]
fn a_header_has_the_bytes_of_the_specification() {
    let bytes = from("spiffe://td/ns/n/sa/a").to_bytes();
    let wanted = [
        b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x24".as_slice(),
        &[10, 1, 2, 3, 10, 96, 0, 1, 0x11, 0xd7, 0, 80],
        b"\xd0\x00\x15spiffe://td/ns/n/sa/a",
    ];
    assert_eq!(bytes, wanted.concat());

    let bytes = plain(tcp("[2001:db8::1]:1", "[2001:db8::2]:2")).to_bytes();
    let addresses = bytes.get(16..).unwrap();
    assert_eq!(bytes.get(12..16), Some(&[0x21, 0x21, 0, 36][..]));
    assert_eq!(addresses.get(..4), Some(&[0x20, 0x01, 0x0d, 0xb8][..]));
    assert_eq!(addresses.get(31..), Some(&[2, 0, 1, 0, 2][..]));

    assert_eq!(plain(Endpoints::Local).to_bytes(), raw(0x20, 0, &[]));
    assert_eq!(plain(Endpoints::Unspecified).to_bytes(), raw(0x21, 0, &[]));
}

#[test]
fn an_own_connection_is_nobodys() {
    let header = Header { endpoints: Endpoints::Local, ..from("spiffe://td/ns/n/sa/a") };
    assert_eq!(header.to_bytes(), raw(0x20, 0, &[]));
    // Whatever else it says is not looked at (section 2.2).
    for family in [0, 0x11, 0x32, 0xff] {
        assert_eq!(read(&raw(0x20, family, b"anything")), Ok(plain(Endpoints::Local)));
    }
}

#[test]
fn addresses_of_two_families_go_as_ipv6_and_come_back_as_they_were() {
    let mixed = plain(tcp("10.0.0.1:1", "[2001:db8::2]:2"));
    let bytes = mixed.to_bytes();
    assert_eq!(bytes.get(13), Some(&0x21));
    assert_eq!(read(&bytes), Ok(mixed));
    let mapped = plain(tcp("[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.2]:2")).to_bytes();
    assert_eq!(mapped, plain(tcp("10.0.0.1:1", "10.0.0.2:2")).to_bytes());
}

#[test]
fn what_is_no_header_is_refused_with_its_reason() {
    let id = field(IDENTITY_FIELD, b"spiffe://td/ns/n/sa/a");
    let rows = [
        (b"GET / HTTP/1.1\r\n".to_vec(), ProxyFault::Signature),
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), ProxyFault::Signature),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec(), ProxyFault::Text),
        (b"PROXY ".to_vec(), ProxyFault::Text),
        (b"PROXIED".to_vec(), ProxyFault::Signature),
        (raw(0x11, 0x11, &[0; 12]), ProxyFault::Version(1)),
        (raw(0x31, 0x11, &[0; 12]), ProxyFault::Version(3)),
        (raw(0x22, 0x11, &[0; 12]), ProxyFault::Command(2)),
        (raw(0x21, 0x13, &[0; 12]), ProxyFault::Family(0x13)),
        (raw(0x21, 0x10, &[0; 12]), ProxyFault::Family(0x10)),
        (raw(0x21, 0x12, &[0; 12]), ProxyFault::NoTcp(0x12)),
        (raw(0x21, 0x31, &[0; 216]), ProxyFault::NoTcp(0x31)),
        (raw(0x21, 0x11, &[0; 11]), ProxyFault::Truncated),
        (raw(0x21, 0x21, &[0; 35]), ProxyFault::Truncated),
        (with_fields(&[4, 0]), ProxyFault::Truncated),
        (with_fields(&[4, 0, 1]), ProxyFault::Truncated),
        (raw(0x21, 0x11, &[0; 4081]), ProxyFault::Truncated),
        (raw(0x21, 0x11, &[0; 4097]), ProxyFault::Length(4113)),
        (with_fields(&[&id[..], &id[..]].concat()), ProxyFault::Repeated(IDENTITY_FIELD)),
        (with_fields(&field(IDENTITY_FIELD, b"spiffe://td/n")), ProxyFault::Identity(SpiffeIdError::Path)),
        (with_fields(&field(IDENTITY_FIELD, b"\xff")), ProxyFault::IdentityText),
        (with_fields(&field(CHECKSUM_FIELD, &[0; 4])), ProxyFault::Checksum),
        (with_fields(&field(CHECKSUM_FIELD, &[0; 3])), ProxyFault::Truncated),
    ];
    for (bytes, fault) in rows {
        assert_eq!(Header::parse(&bytes), Err(fault), "{bytes:02x?}");
    }
    // A length is refused before what it announces has come.
    assert_eq!(Header::parse(&raw(0x21, 0, &[0; 5000])[..16]), Err(ProxyFault::Length(5016)));
}

#[test]
fn the_longest_header_is_taken() {
    let padding = field(4, &vec![0; 4096 - 12 - 3]);
    let bytes = with_fields(&padding);
    assert_eq!(bytes.len(), MAX_HEADER_BYTES);
    assert_eq!(read(&bytes), Ok(plain(tcp("10.0.0.1:1", "10.0.0.2:2"))));
}

#[test]
fn a_checksum_is_verified_wherever_it_stands() {
    let id = field(IDENTITY_FIELD, b"spiffe://td/ns/n/sa/a");
    for (before, behind) in [(&id[..], &[][..]), (&[], &id), (&[], &[])] {
        let mut bytes = with_fields(&[before, &field(CHECKSUM_FIELD, &[0; 4]), behind].concat());
        let at = 16 + 12 + before.len() + 3;
        let sum = checksum::crc32c(&bytes).to_be_bytes();
        bytes[at..at + 4].copy_from_slice(&sum);
        assert!(read(&bytes).is_ok());
        // All but the type of its own field, which then is another's.
        for changed in (0..bytes.len()).filter(|changed| *changed != at - 3) {
            let mut other = bytes.clone();
            other[changed] ^= 1;
            assert_ne!(Header::parse(&other), Header::parse(&bytes), "byte {changed}");
        }
        bytes.extend(b"GET /");
        assert!(matches!(Header::parse(&bytes), Ok(Some((_, length))) if length == bytes.len() - 5));
    }
    let twice = field(CHECKSUM_FIELD, &[0; 4]).repeat(2);
    let mut bytes = with_fields(&twice);
    let sum = checksum::crc32c(&bytes).to_be_bytes();
    bytes[16 + 12 + 3..16 + 12 + 7].copy_from_slice(&sum);
    assert_eq!(Header::parse(&bytes), Err(ProxyFault::Repeated(CHECKSUM_FIELD)));
    // A sum of five bytes that begins with the right four is none.
    let mut bytes = with_fields(&field(CHECKSUM_FIELD, &[0; 5]));
    let sum = checksum::crc32c(&bytes).to_be_bytes();
    bytes[16 + 12 + 3..16 + 12 + 7].copy_from_slice(&sum);
    assert_eq!(Header::parse(&bytes), Err(ProxyFault::Checksum));
}

#[test]
fn fields_of_others_change_nothing() {
    let id = field(IDENTITY_FIELD, b"spiffe://td/ns/n/sa/a");
    let others =
        [field(4, &[]), field(1, b"h2"), field(0xD1, b"spiffe://td/ns/n/sa/b"), field(0xff, &[0; 300])];
    let bytes = with_fields(&[others.concat(), id, others.concat()].concat());
    let identity = "spiffe://td/ns/n/sa/a".parse().ok();
    assert_eq!(read(&bytes), Ok(Header { endpoints: tcp("10.0.0.1:1", "10.0.0.2:2"), identity }));
    // They also stand behind no addresses at all.
    let id = field(IDENTITY_FIELD, b"spiffe://td/ns/n/sa/a");
    let unspecified = Header { endpoints: Endpoints::Unspecified, ..from("spiffe://td/ns/n/sa/a") };
    assert_eq!(read(&raw(0x21, 0, &id)), Ok(unspecified));
}

impl Arbitrary for Header {
    fn arbitrary(g: &mut Gen) -> Header {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let endpoints = match u8::arbitrary(g) % 4 {
            0 => Endpoints::Local,
            1 => Endpoints::Unspecified,
            _ => Endpoints::Tcp {
                source: canonical(SocketAddr::new(IpAddr::arbitrary(g), u16::arbitrary(g))),
                destination: canonical(SocketAddr::new(IpAddr::arbitrary(g), u16::arbitrary(g))),
            },
        };
        let somebody = endpoints != Endpoints::Local && bool::arbitrary(g);
        Header { endpoints, identity: somebody.then(|| sample::identity(g)) }
    }
}

quickcheck! {
    fn what_is_written_is_read_and_what_follows_is_left(header: Header, behind: Vec<u8>) -> bool {
        let bytes = header.to_bytes();
        let whole = [&bytes[..], &behind].concat();
        bytes.len() <= MAX_HEADER_BYTES && Header::parse(&whole) == Ok(Some((header, bytes.len())))
    }

    fn a_part_of_a_header_waits_for_the_rest(header: Header) -> bool {
        let bytes = header.to_bytes();
        (0..bytes.len()).all(|end| Header::parse(&bytes[..end]) == Ok(None))
    }

    fn any_change_gives_an_answer(header: Header, at: usize, mask: u8) -> bool {
        let mut bytes = header.to_bytes();
        let at = at % bytes.len();
        bytes[at] ^= mask;
        bytes.resize(MAX_HEADER_BYTES, 0);
        match Header::parse(&bytes) {
            Ok(Some((_, length))) => length <= bytes.len(),
            Ok(None) => false,
            Err(_) => true,
        }
    }
}
