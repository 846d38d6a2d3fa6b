//! `baggage`: a workload in `key=value` pairs (row 32; W3C Baggage section 3.3).

use std::fmt;

use http::HeaderValue;
use http::header::GetAll;

use super::WireError;

/// The longest header that is read, in bytes (W3C Baggage section 3.3.2).
pub const MAX_BAGGAGE_BYTES: usize = 8192;
/// The most pairs that are read (W3C Baggage section 3.3.2).
pub const MAX_BAGGAGE_MEMBERS: usize = 64;

/// Pairs in the order of the wire; keys may repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Baggage {
    members: Vec<(String, String)>,
}

impl Baggage {
    /// Reads `key=value` pairs separated by commas. Percent signs in values are decoded, properties (after `;`) are
    /// dropped, empty members are skipped.
    ///
    /// # Errors
    /// The text is too long or has too many members, a key is no token (RFC 9110 section 5.6.2), or a value is not
    /// UTF-8 or has control characters after decoding.
    pub fn parse(text: &str) -> Result<Baggage, WireError> {
        let mut baggage = Baggage::default();
        if text.len() > MAX_BAGGAGE_BYTES {
            return Err(WireError::new(MAX_BAGGAGE_BYTES, "baggage is too long"));
        }
        let mut at = 0;
        for member in text.split(',') {
            baggage.add(member, at)?;
            at += member.len() + 1;
        }
        Ok(baggage)
    }

    pub(super) fn from_headers(values: GetAll<'_, HeaderValue>) -> Result<Option<Baggage>, WireError> {
        let mut text = String::new();
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            text.push_str(value.to_str().map_err(|_| WireError::new(text.len(), "not ASCII"))?);
        }
        if text.is_empty() { Ok(None) } else { Baggage::parse(&text).map(Some) }
    }

    fn add(&mut self, member: &str, at: usize) -> Result<(), WireError> {
        let (pair, _properties) = member.split_once(';').unwrap_or((member, ""));
        let pair = pair.trim_matches([' ', '\t']);
        if pair.is_empty() {
            return Ok(());
        }
        let (key, value) = pair.split_once('=').ok_or(WireError::new(at, "a member without ="))?;
        let (key, value) = (key.trim_end_matches([' ', '\t']), value.trim_start_matches([' ', '\t']));
        if key.is_empty() || !key.bytes().all(is_token) {
            return Err(WireError::new(at, "a key is a token"));
        }
        if self.members.len() == MAX_BAGGAGE_MEMBERS {
            return Err(WireError::new(at, "too many members"));
        }
        self.members.push((key.to_owned(), decode(value, at)?));
        Ok(())
    }

    /// Appends a pair. One that could not be read back (a key that is no token, control characters in the value, a
    /// pair over the limits) is left out, and false returned.
    pub fn push(&mut self, key: &str, value: &str) -> bool {
        let valid = !key.is_empty() && key.bytes().all(is_token) && !value.chars().any(char::is_control);
        let grown = self.to_string().len() + key.len() + 3 * value.len() + 2;
        if !valid || self.members.len() == MAX_BAGGAGE_MEMBERS || grown > MAX_BAGGAGE_BYTES {
            return false;
        }
        self.members.push((key.to_owned(), value.to_owned()));
        true
    }

    /// The first value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.members.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// All pairs.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

fn decode(value: &str, at: usize) -> Result<String, WireError> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        let decoded = match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                let (high, low) = (digit(), digit());
                let pair = high.zip(low).ok_or(WireError::new(at, "a bad percent sign"))?;
                u8::try_from(pair.0 * 16 + pair.1).unwrap_or_default()
            }
            other => other,
        };
        out.push(decoded);
    }
    let text = String::from_utf8(out).map_err(|_| WireError::new(at, "a value is not UTF-8"))?;
    // A line break here would be one in a log.
    if text.chars().any(char::is_control) {
        return Err(WireError::new(at, "a control character in a value"));
    }
    Ok(text)
}

pub(super) fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// baggage-octet (W3C Baggage section 3.3.1), without the percent sign.
fn is_plain(b: u8) -> bool {
    b.is_ascii_graphic() && !matches!(b, b'"' | b',' | b';' | b'\\' | b'%')
}

impl fmt::Display for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (key, value)) in self.members.iter().enumerate() {
            write!(f, "{}{key}=", if i == 0 { "" } else { "," })?;
            for byte in value.bytes() {
                if is_plain(byte) {
                    write!(f, "{}", char::from(byte))?;
                } else {
                    write!(f, "%{byte:02X}")?;
                }
            }
        }
        Ok(())
    }
}
