//! `traceparent`: an id to find the two ends of a connection in logs (row 34; W3C Trace Context section 3.2).

use std::fmt;

use super::WireError;

const VERSION_0_BYTES: usize = 55;

/// A trace id, a parent id and flags. Printed as version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// trace-id, not all zero.
    pub trace: [u8; 16],
    /// parent-id, not all zero.
    pub parent: [u8; 8],
    /// trace-flags.
    pub flags: u8,
}

impl TraceParent {
    /// Reads `00-<32 hex>-<16 hex>-<2 hex>`; of a later version the same four fields (section 3.2.2.5).
    ///
    /// # Errors
    /// Another length, digits other than lower-case hexadecimal, version ff, or an id that is all zero.
    pub fn parse(text: &str) -> Result<TraceParent, WireError> {
        let bytes = text.as_bytes();
        let known =
            bytes.get(..VERSION_0_BYTES).ok_or(WireError::new(bytes.len(), "traceparent is too short"))?;
        let version: [u8; 1] = field(known, 0)?;
        let later = bytes.get(VERSION_0_BYTES);
        if version == [0xff] || (version == [0] && later.is_some()) || later.is_some_and(|b| *b != b'-') {
            return Err(WireError::new(0, "not a version of traceparent"));
        }
        if [2, 35, 52].iter().any(|at| known.get(*at) != Some(&b'-')) {
            return Err(WireError::new(2, "the fields are separated by dashes"));
        }
        let parent = TraceParent {
            trace: field(known, 3)?,
            parent: field(known, 36)?,
            flags: field::<1>(known, 53)?[0],
        };
        if parent.trace == [0; 16] || parent.parent == [0; 8] {
            return Err(WireError::new(3, "an id of zeros"));
        }
        Ok(parent)
    }
}

fn field<const N: usize>(text: &[u8], at: usize) -> Result<[u8; N], WireError> {
    let mut out = [0; N];
    for (i, byte) in out.iter_mut().enumerate() {
        let digit = |offset: usize| match text.get(at + 2 * i + offset) {
            Some(b @ b'0'..=b'9') => Ok(b - b'0'),
            Some(b @ b'a'..=b'f') => Ok(b - b'a' + 10),
            _ => Err(WireError::new(at + 2 * i + offset, "not a lower-case hexadecimal digit")),
        };
        *byte = digit(0)? << 4 | digit(1)?;
    }
    Ok(out)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        f.write_str("-")?;
        self.parent.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        write!(f, "-{:02x}", self.flags)
    }
}
