//! HTTP/2 frames written and read by hand (RFC 9113 section 4.1), right or wrong: what liars and attackers speak.

use std::collections::VecDeque;

/// What a client says first (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length of a frame's header.
const HEADER: usize = 9;

/// Types of frames (RFC 9113 section 6).
pub mod kind {
    /// Bytes of a stream.
    pub const DATA: u8 = 0;
    /// A request or an answer.
    pub const HEADERS: u8 = 1;
    /// Retired, and ignored.
    pub const PRIORITY: u8 = 2;
    /// The end of a stream by force.
    pub const RST_STREAM: u8 = 3;
    /// What the sender wants of its peer.
    pub const SETTINGS: u8 = 4;
    /// Asks for an echo, or is one.
    pub const PING: u8 = 6;
    /// No new streams.
    pub const GOAWAY: u8 = 7;
    /// Credit.
    pub const WINDOW_UPDATE: u8 = 8;
    /// More of a header block.
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    /// Of SETTINGS and PING: an answer.
    pub const ACK: u8 = 1;
    /// Of DATA and HEADERS: the sender's last.
    pub const END_STREAM: u8 = 1;
    /// Of HEADERS and CONTINUATION: the block ends here.
    pub const END_HEADERS: u8 = 4;
}

/// Parameters of SETTINGS (RFC 9113 section 6.5.2).
pub mod setting {
    /// How many streams the peer may have open.
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    /// The window of each stream.
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    /// The longest frame.
    pub const MAX_FRAME_SIZE: u16 = 5;
}

/// One frame, whatever it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// What follows the header.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame of these parts.
    pub fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Frame {
        Frame { kind, flags, stream, payload: payload.to_vec() }
    }

    /// Bytes of a stream.
    pub fn data(stream: u32, end: bool, bytes: &[u8]) -> Frame {
        Frame::new(kind::DATA, if end { flag::END_STREAM } else { 0 }, stream, bytes)
    }

    /// A header block of literals without indexing (RFC 7541 section 6.2.2), in one frame; names and values have less than 127
    /// bytes each.
    pub fn headers(stream: u32, fields: &[(&str, &str)]) -> Frame {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            for text in [name, value] {
                block.push(text.len() as u8);
                block.extend_from_slice(text.as_bytes());
            }
        }
        Frame { kind: kind::HEADERS, flags: flag::END_HEADERS, stream, payload: block }
    }

    /// A CONNECT as HBONE has it.
    pub fn connect(stream: u32, authority: &str) -> Frame {
        Frame::headers(stream, &[(":method", "CONNECT"), (":authority", authority)])
    }

    /// RST_STREAM.
    pub fn reset(stream: u32, code: u32) -> Frame {
        Frame::new(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
    }

    /// SETTINGS with these parameters.
    pub fn settings(settings: &[(u16, u32)]) -> Frame {
        let pair = |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let payload: Vec<u8> = settings.iter().flat_map(pair).collect();
        Frame { kind: kind::SETTINGS, flags: 0, stream: 0, payload }
    }

    /// The acknowledgement of SETTINGS.
    pub fn settings_ack() -> Frame {
        Frame::new(kind::SETTINGS, flag::ACK, 0, &[])
    }

    /// PING with this text.
    pub fn ping(text: [u8; 8]) -> Frame {
        Frame::new(kind::PING, 0, 0, &text)
    }

    /// GOAWAY with the last stream and a code.
    pub fn goaway(last: u32, code: u32) -> Frame {
        Frame::new(kind::GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
    }

    /// WINDOW_UPDATE.
    pub fn window_update(stream: u32, increment: u32) -> Frame {
        Frame::new(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
    }

    /// Whether it is this kind of acknowledgement.
    pub fn is_ack_of(&self, kind: u8) -> bool {
        self.kind == kind && self.flags & flag::ACK != 0
    }

    /// The number at the front of the payload: a code, an increment, a last stream.
    pub fn number(&self) -> Option<u32> {
        self.payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// The error code, of RST_STREAM or GOAWAY.
    pub fn code(&self) -> Option<u32> {
        match self.kind {
            kind::RST_STREAM => self.number(),
            kind::GOAWAY => self.payload.get(4..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)),
            _ => None,
        }
    }

    /// The status of an answer, where it is one of those that every header table knows (RFC 7541 appendix A) or is spelled out
    /// in digits.
    pub fn status(&self) -> Option<u16> {
        const KNOWN: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
        let first = *self.payload.first().filter(|_| self.kind == kind::HEADERS)?;
        match first {
            0x88..=0x8e => KNOWN.get(usize::from(first - 0x88)).copied(),
            // A literal whose name is `:status`; its digits may be in Huffman's code, of five or six bits each.
            0x08..=0x0e | 0x48..=0x4e => digits(self.payload.get(1..)?),
            _ => None,
        }
    }

    /// Appends it as it goes on the wire.
    pub fn write(&self, into: &mut Vec<u8>) {
        let [_, a, b, c] = (self.payload.len() as u32).to_be_bytes();
        into.extend([a, b, c, self.kind, self.flags]);
        into.extend(self.stream.to_be_bytes());
        into.extend_from_slice(&self.payload);
    }

    /// It as it goes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        Frame::wire(std::slice::from_ref(self))
    }

    /// Frames as they go on the wire.
    pub fn wire(frames: &[Frame]) -> Vec<u8> {
        let mut wire = Vec::new();
        frames.iter().for_each(|frame| frame.write(&mut wire));
        wire
    }
}

/// The number in a string literal of decimal digits (RFC 7541 section 5.2 and appendix B: 0 to 2 have the codes 00000 to 00010,
/// 3 to 9 the codes 011001 to 011111).
fn digits(literal: &[u8]) -> Option<u16> {
    let (length, rest) = literal.split_first()?;
    let text = rest.get(..usize::from(length & 0x7f))?;
    if length & 0x80 == 0 {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    let bits: String = text.iter().map(|byte| format!("{byte:08b}")).collect();
    let mut rest = bits.as_str();
    let mut number = 0;
    for _ in 0..3 {
        let five = u16::from_str_radix(rest.get(..5)?, 2).ok()?;
        let (digit, length) = if five < 3 {
            (five, 5)
        } else {
            (u16::from_str_radix(rest.get(..6)?, 2).ok()?.checked_sub(0b01_1001 - 3)?, 6)
        };
        number = number * 10 + digit;
        rest = rest.get(length..)?;
    }
    Some(number)
}

/// Frames out of bytes, however these are cut.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    /// Bytes before the first frame.
    preface: usize,
    bytes: VecDeque<u8>,
}

impl Frames {
    /// Reads what a client says: its preface first.
    pub fn of_client() -> Frames {
        Frames { preface: PREFACE.len(), bytes: VecDeque::new() }
    }

    /// Reads what a server says.
    pub fn of_server() -> Frames {
        Frames::default()
    }

    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// The preface, once, where it is whole.
    pub fn preface(&mut self) -> Option<Vec<u8>> {
        if self.preface == 0 || self.bytes.len() < self.preface {
            return None;
        }
        Some(self.bytes.drain(..std::mem::take(&mut self.preface)).collect())
    }
}

impl Iterator for Frames {
    type Item = Frame;

    /// The next whole frame; none before the preface was taken.
    fn next(&mut self) -> Option<Frame> {
        if self.preface > 0 || self.bytes.len() < HEADER {
            return None;
        }
        let header: Vec<u8> = self.bytes.iter().copied().take(HEADER).collect();
        let &[a, b, c, kind, flags, s, t, u, v] = header.as_slice() else { return None };
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if self.bytes.len() < HEADER + length {
            return None;
        }
        self.bytes.drain(..HEADER);
        let payload = self.bytes.drain(..length).collect();
        Some(Frame { kind, flags, stream: u32::from_be_bytes([s, t, u, v]), payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written_however_cut() {
        let said = [
            Frame::settings(&[(setting::MAX_FRAME_SIZE, 1 << 20)]),
            Frame::connect(1, "10.0.0.1:80"),
            Frame::data(1, true, b"hello"),
            Frame::goaway(7, 11),
        ];
        let wire = [PREFACE, &Frame::wire(&said)].concat();
        for size in 1..wire.len() {
            let mut frames = Frames::of_client();
            let mut heard = Vec::new();
            let mut preface = None;
            for part in wire.chunks(size) {
                frames.push(part);
                preface = preface.or(frames.preface());
                heard.extend(frames.by_ref());
            }
            assert_eq!((heard.as_slice(), preface.as_deref()), (&said[..], Some(PREFACE)), "cut at {size}");
        }
        assert_eq!((said[3].number(), said[3].code()), (Some(7), Some(11)));
    }

    #[test]
    fn a_status_is_read_in_each_of_its_forms() {
        let status = |payload: &[u8]| Frame::new(kind::HEADERS, flag::END_HEADERS, 1, payload).status();
        assert_eq!(status(&[0x88]), Some(200));
        assert_eq!(status(b"\x08\x03401"), Some(401));
        // 4 is 011010, 0 is 00000, 1 is 00001 (RFC 7541 appendix B).
        assert_eq!(status(&[0x48, 0x82, 0b0110_1000, 0b0000_0001]), Some(401));
        // 5 is 011011, 3 is 011001: 503, padded with ones.
        assert_eq!(status(&[0x48, 0x83, 0b0110_1100, 0b0000_1100, 0b1111_1111]), Some(503));
        assert_eq!((status(&[]), status(&[0x82])), (None, None));
    }
}
