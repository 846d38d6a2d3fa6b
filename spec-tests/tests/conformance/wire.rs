//! HTTP/2 frames written and read by hand, so that a peer can say anything.

use culvert_core::hbone::mux::{Mux, MuxConfig, MuxEvent};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// A number in the payload, most significant byte first.
    pub fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The settings, by number.
    pub fn settings(&self) -> Vec<(u16, u32)> {
        let read =
            |s: &[u8]| (u16::from_be_bytes([s[0], s[1]]), u32::from_be_bytes([s[2], s[3], s[4], s[5]]));
        self.payload.chunks(6).map(read).collect()
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// HEADERS of literals without indexing (RFC 7541 section 6.2.2).
pub fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.extend([0, u8::try_from(name.len()).unwrap()]);
        block.extend(name.as_bytes());
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    frame(HEADERS, END_HEADERS | flags, stream, &block)
}

pub fn connect(stream: u32) -> Vec<u8> {
    headers(stream, 0, &[(":method", "CONNECT"), (":authority", "10.0.0.1:80")])
}

pub fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut found = Vec::new();
    while let Some((header, rest)) = bytes.split_at_checked(9) {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let (payload, rest) = rest.split_at(length);
        let stream = u32::from_be_bytes(header[5..9].try_into().unwrap());
        found.push(Frame { kind: header[3], flags: header[4], stream, payload: payload.to_vec() });
        bytes = rest;
    }
    assert!(bytes.is_empty(), "a frame is cut");
    found
}

/// A mux whose peer is written by hand.
pub struct Lone {
    pub mux: Mux,
    pub told: Vec<MuxEvent>,
    pub written: Vec<u8>,
}

impl Lone {
    /// A server that has seen a client's preface and SETTINGS.
    pub fn server() -> Lone {
        let mut lone = Lone::new(Mux::server(&MuxConfig::default()));
        lone.feed(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, ACK, 0, &[])].concat());
        lone
    }

    /// A client that has seen a server's SETTINGS.
    pub fn client() -> Lone {
        let mut lone = Lone::new(Mux::client(&MuxConfig::default()));
        lone.feed(&[frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])].concat());
        lone
    }

    pub fn new(mux: Mux) -> Lone {
        Lone { mux, told: Vec::new(), written: Vec::new() }
    }

    pub fn feed(&mut self, mut bytes: &[u8]) {
        loop {
            let taken = self.mux.receive(bytes);
            bytes = &bytes[taken..];
            self.mux.drive();
            while !self.mux.output().is_empty() {
                self.written.extend_from_slice(self.mux.output());
                self.mux.consume_output(self.mux.output().len());
                self.mux.drive();
            }
            self.told.extend(std::iter::from_fn(|| self.mux.poll_event()));
            if bytes.is_empty() {
                return;
            }
        }
    }

    /// The frames written since last asked.
    pub fn frames(&mut self) -> Vec<Frame> {
        let written = std::mem::take(&mut self.written);
        frames(written.strip_prefix(PREFACE).unwrap_or(&written))
    }

    /// How many requests were told.
    pub fn requests(&self) -> usize {
        self.told.iter().filter(|event| matches!(event, MuxEvent::Request { .. })).count()
    }
}
