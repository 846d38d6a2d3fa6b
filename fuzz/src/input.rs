//! How the targets read their inputs.

use std::sync::OnceLock;

/// The version of all structured inputs: their first byte. Change it when the meaning of the bytes behind it changes, and
/// write the seeds anew.
pub const VERSION: u8 = 1;

/// What stands behind the version byte of a structured input; `None` for another version. While corpora are replayed
/// (`CULVERT_FUZZ_REPLAY` is set) another version is an error, lest a stale corpus pass for a good one.
pub fn body(data: &[u8]) -> Option<&[u8]> {
    let (version, body) = data.split_first()?;
    if *version != VERSION {
        assert!(!is_replay(), "the input is of version {version}, the targets are of version {VERSION}");
        return None;
    }
    Some(body)
}

/// Whether corpora are replayed, of which every file must be of the version of now.
pub fn is_replay() -> bool {
    static REPLAY: OnceLock<bool> = OnceLock::new();
    *REPLAY.get_or_init(|| std::env::var_os("CULVERT_FUZZ_REPLAY").is_some())
}

/// A reader of bytes that never fails: behind the end there are zeros.
#[derive(Debug)]
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// Reads from the start.
    pub fn new(bytes: &'a [u8]) -> Bytes<'a> {
        Bytes(bytes)
    }

    /// Whether all is read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// Two bytes, the high one first.
    pub fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Four bytes, the high one first.
    pub fn word(&mut self) -> u32 {
        u32::from(self.short()) << 16 | u32::from(self.short())
    }

    /// As many bytes as there are, at most `count`.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }
}
