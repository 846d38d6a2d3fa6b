//! HTTP/2 frames and header blocks, written byte by byte (RFC 9113 section 4, RFC 7541).

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap();
    let mut bytes = len.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A SETTINGS frame.
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let one = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &values.iter().flat_map(one).collect::<Vec<u8>>())
}

/// A RST_STREAM frame.
pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

/// A WINDOW_UPDATE frame.
pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// A header list, each field a literal without indexing and without Huffman's code.
pub fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            integer(&mut bytes, text.len());
            bytes.extend(*text);
        }
    }
    bytes
}

/// An integer with a prefix of 7 bits, whose eighth is zero.
fn integer(bytes: &mut Vec<u8>, value: usize) {
    if value < 127 {
        bytes.push(u8::try_from(value).unwrap());
        return;
    }
    bytes.push(127);
    let mut rest = value - 127;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// The header list of a CONNECT.
pub fn connect_block(authority: &str) -> Vec<u8> {
    block(&[(b":method", b"CONNECT"), (b":authority", authority.as_bytes())])
}

/// A CONNECT, in one frame.
pub fn connect(stream: u32, authority: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &connect_block(authority))
}

/// The status that a response's header list begins with; `None` where it does not begin with one.
pub fn status(block: &[u8]) -> Option<u16> {
    // Changes of the table's size may come first: an integer with a prefix of 5 bits.
    let mut block = block;
    while let Some((first, rest)) = block.split_first().filter(|(first, _)| **first & 0xe0 == 0x20) {
        let more = if first & 0x1f == 0x1f { rest.iter().position(|byte| byte & 0x80 == 0)? + 1 } else { 0 };
        block = &rest[more..];
    }
    let (first, rest) = block.split_first()?;
    match first {
        0x88..=0x8e => Some([200, 204, 206, 304, 400, 404, 500][usize::from(first - 0x88)]),
        0x08 | 0x18 | 0x48 => {
            let len = usize::from(rest.first()? & 0x7f);
            let text = rest.get(1..=len)?;
            let digits = if rest[0] & 0x80 == 0 { text.to_vec() } else { huffman_digits(text) };
            String::from_utf8(digits).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// The digits of a text in Huffman's code (RFC 7541 appendix B): 0, 1 and 2 have 5 bits, the others 6.
fn huffman_digits(bytes: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let mut digits = Vec::new();
    let mut at = 0;
    while let Some(five) = bits.get(at..at + 5) {
        let value = five.iter().fold(0, |value, bit| value << 1 | bit);
        if value <= 2 {
            digits.push(b'0' + value);
            at += 5;
        } else if let Some(sixth) = bits.get(at + 5).filter(|_| value != 31) {
            digits.push(b'0' + ((value << 1 | sixth) - 0b01_1001) + 3);
            at += 6;
        } else {
            break;
        }
    }
    digits
}
