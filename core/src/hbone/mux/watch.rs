//! A look at the frame headers the peer sends, for facts that h2 keeps to itself: that SETTINGS came or were
//! acknowledged, and what GOAWAY said. h2 judges the frames; this reads past anything.

/// Length of the client's preface (RFC 9113 section 3.4).
const PREFACE: usize = 24;
/// Length of a frame header (RFC 9113 section 4.1).
pub(super) const FRAME_HEADER: usize = 9;
/// What is kept of GOAWAY: last stream and error code (RFC 9113 section 6.8).
const GOAWAY_FIXED: usize = 8;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;

/// What was seen and not asked for yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// SETTINGS of the peer came.
    pub(super) settings: bool,
    /// The peer acknowledged SETTINGS.
    pub(super) acknowledged: bool,
    /// Last stream and error code of the last GOAWAY.
    pub(super) goaway: Option<(u32, u32)>,
}

/// Where in the peer's frames the reading is.
#[derive(Debug, Default)]
pub(super) struct Watch {
    skip: usize,
    kept: Vec<u8>,
    wanted: usize,
    pub(super) seen: Seen,
}

impl Watch {
    pub(super) fn new(server: bool) -> Watch {
        Watch { skip: if server { PREFACE } else { 0 }, wanted: FRAME_HEADER, ..Watch::default() }
    }

    pub(super) fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let n = self.skip.min(bytes.len());
                self.skip -= n;
                bytes = bytes.get(n..).unwrap_or_default();
                continue;
            }
            let n = (self.wanted - self.kept.len()).min(bytes.len());
            let (taken, rest) = bytes.split_at(n);
            self.kept.extend_from_slice(taken);
            bytes = rest;
            if self.kept.len() == self.wanted {
                self.complete();
            }
        }
    }

    fn complete(&mut self) {
        if let [a, b, c, kind, flags, _, _, _, _] = *self.kept.as_slice() {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            self.seen.settings |= kind == SETTINGS && flags & ACK == 0;
            self.seen.acknowledged |= kind == SETTINGS && flags & ACK != 0;
            if kind == GOAWAY && length >= GOAWAY_FIXED {
                self.wanted = FRAME_HEADER + GOAWAY_FIXED;
                self.skip = 0;
                return;
            }
            self.skip = length;
        } else if let [a, b, c, _, _, _, _, _, _, w, x, y, z, code @ ..] = self.kept.as_slice() {
            let code = u32::from_be_bytes(code.try_into().unwrap_or_default());
            self.seen.goaway = Some((u32::from_be_bytes([*w & 0x7f, *x, *y, *z]), code));
            self.skip = (u32::from_be_bytes([0, *a, *b, *c]) as usize).saturating_sub(GOAWAY_FIXED);
            self.wanted = FRAME_HEADER;
        }
        self.kept.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_goaway_are_seen_however_cut() {
        let mut wire = vec![b'x'; PREFACE];
        wire.extend([0, 0, 3, 0, 0, 0, 0, 0, 1, 4, 4, 4]);
        wire.extend([0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0]);
        let before_settings = wire.len();
        wire.extend([0, 0, 6, SETTINGS, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100]);
        wire.extend([0, 0, 10, GOAWAY, 0, 0, 0, 0, 0, 0x80, 0, 1, 1, 0, 0, 0, 2, b'h', b'i']);
        wire.extend([0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0]);
        for size in 1..wire.len() {
            let mut watch = Watch::new(true);
            watch.see(&wire[..before_settings]);
            assert!(!watch.seen.settings && watch.seen.acknowledged);
            let mut last = Vec::new();
            for chunk in wire[before_settings..].chunks(size) {
                watch.see(chunk);
                last.extend(watch.seen.goaway.take());
            }
            assert!(watch.seen.settings);
            assert_eq!(last.last(), Some(&(9, 0)), "chunks of {size}");
            assert!(size > 18 || last.first() == Some(&(257, 2)), "chunks of {size}: {last:?}");
        }
    }
}
