//! The PROXY header: what is read is what a second reader finds, it is written again as it was read, and a part of a header is
//! never taken for one.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use culvert_core::proxy_protocol::{Endpoints, Header, IDENTITY_FIELD, MAX_HEADER_BYTES};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Header::parse(bytes) {
        Ok(Some((header, length))) => check(bytes, &header, length),
        Ok(None) => {
            assert!(bytes.len() < MAX_HEADER_BYTES, "a whole header waits for more");
            assert!(b"PROXY ".starts_with(bytes) || bytes.starts_with(&SIGNATURE[..bytes.len().min(12)]));
        }
        // What is refused is refused for good.
        Err(fault) => assert_eq!(Header::parse(&[bytes, &[0; 64]].concat()), Err(fault)),
    }
});

const SIGNATURE: [u8; 12] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];

fn check(bytes: &[u8], header: &Header, length: usize) {
    assert!((16..=MAX_HEADER_BYTES).contains(&length) && length <= bytes.len());
    for end in [0, 1, 12, 15, length / 2, length - 1].into_iter().filter(|end| *end < length) {
        assert_eq!(Header::parse(&bytes[..end]), Ok(None), "{end} of {length} bytes");
    }
    let written = header.to_bytes();
    assert!(written.len() <= MAX_HEADER_BYTES);
    assert_eq!(Header::parse(&written), Ok(Some((header.clone(), written.len()))));
    let (endpoints, identity) = second_reading(&bytes[..length]);
    assert_eq!(header.endpoints, endpoints);
    assert_eq!(header.identity.as_ref().map(ToString::to_string), identity);
}

/// The header by its offsets, as the specification's tables have them. Checksums are left to the unit tests.
fn second_reading(bytes: &[u8]) -> (Endpoints, Option<String>) {
    assert_eq!(bytes[..12], SIGNATURE);
    assert_eq!(usize::from(bytes[14]) * 256 + usize::from(bytes[15]) + 16, bytes.len());
    match (bytes[12], bytes[13]) {
        (0x20, _) => (Endpoints::Local, None),
        (0x21, 0x00) => (Endpoints::Unspecified, identity(&bytes[16..])),
        (0x21, 0x11) => {
            let ip = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).expect("four bytes"));
            (between(ip(16), ip(20), &bytes[24..28]), identity(&bytes[28..]))
        }
        (0x21, 0x21) => {
            let ip = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&bytes[at..at + 16]).expect("sixteen"));
            let (from, to) = (ip(16).to_canonical(), ip(32).to_canonical());
            (between(from, to, &bytes[48..52]), identity(&bytes[52..]))
        }
        other => panic!("{other:?} was taken"),
    }
}

fn between(source: IpAddr, destination: IpAddr, ports: &[u8]) -> Endpoints {
    let port = |at: usize| u16::from(ports[at]) << 8 | u16::from(ports[at + 1]);
    let (source, destination) = (SocketAddr::new(source, port(0)), SocketAddr::new(destination, port(2)));
    Endpoints::Tcp { source, destination }
}

fn identity(mut fields: &[u8]) -> Option<String> {
    let mut found = None;
    while let [kind, high, low, rest @ ..] = fields {
        let (value, rest) = rest.split_at(usize::from(*high) * 256 + usize::from(*low));
        if *kind == IDENTITY_FIELD {
            let text = String::from_utf8(value.to_vec()).expect("an identity is text");
            assert_eq!(found.replace(text), None, "two identities");
        }
        fields = rest;
    }
    assert!(fields.is_empty(), "half a field");
    found
}
