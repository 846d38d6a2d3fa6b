//! PROXY headers, right and wrong.

use culvert_core::proxy_protocol::{Endpoints, Header};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of any command, family and body.
fn raw(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    [SIGNATURE, &[command, family], &length, body].concat()
}

fn written(source: &str, destination: &str, identity: Option<&str>) -> Vec<u8> {
    let address = |text: &str| text.parse().expect("an address");
    let endpoints = Endpoints::Tcp { source: address(source), destination: address(destination) };
    let identity = identity.map(|id| id.parse().expect("an id"));
    Header { endpoints, identity }.to_bytes()
}

/// Headers by name.
pub fn headers() -> Vec<(&'static str, Vec<u8>)> {
    let id = Some("spiffe://cluster.local/ns/default/sa/web");
    let tcp = [10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2];
    let field = |kind: u8, value: &[u8]| [&[kind, 0, value.len() as u8], value].concat();
    let with = |fields: &[Vec<u8>]| raw(0x21, 0x11, &[&tcp[..], &fields.concat()].concat());
    let own = field(0xd0, b"spiffe://td/ns/n/sa/a");
    let mut followed = written("10.0.0.1:4567", "10.96.0.1:80", id);
    followed.extend(b"GET / HTTP/1.1\r\n\r\n");
    vec![
        ("ipv4", written("10.0.0.1:4567", "10.96.0.1:80", None)),
        ("ipv4-identity", followed),
        ("ipv6-identity", written("[2001:db8::1]:1", "[2001:db8::2]:443", id)),
        ("mixed", written("10.0.0.1:1", "[2001:db8::2]:443", id)),
        (
            "mapped",
            raw(
                0x21,
                0x21,
                &[[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1].repeat(2), vec![0, 1, 0, 2]].concat(),
            ),
        ),
        ("local", raw(0x20, 0x11, &tcp)),
        ("unspecified", raw(0x21, 0, &own)),
        ("datagram", raw(0x21, 0x12, &tcp)),
        ("unix", raw(0x21, 0x31, &[0; 216])),
        (
            "fields",
            with(&[field(1, b"h2"), field(4, &[0; 9]), own.clone(), field(0xd1, b"spiffe://td/ns/n/sa/b")]),
        ),
        ("twice", with(&[own.clone(), own])),
        // RFC 3309's sum of everything, its own bytes zero.
        ("checksum", with(&[field(3, &[0; 4])])),
        ("no-id", with(&[field(0xd0, b"spiffe://td/ns/n")])),
        ("cut-field", with(&[vec![4, 0, 9, 1]])),
        ("long", raw(0x21, 0x11, &[&tcp[..], &[0; 4085]].concat())),
        ("text", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec()),
        ("version-3", raw(0x31, 0x11, &tcp)),
    ]
}
