//! `forwarded`: the client's address and the service it called (row 33; RFC 7239).

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::WireError;
use super::authority::check_host;
use super::baggage::is_token;

/// The longest header that is read, in bytes: an address, a host name of 253 bytes, and what proxies add.
pub const MAX_FORWARDED_BYTES: usize = 1024;

/// The first element of the header; other elements and other parameters are skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Forwarded {
    /// `for`, where it is an address with a port.
    pub client: Option<SocketAddr>,
    /// `host`: the service's name, in lower case.
    pub host: Option<Arc<str>>,
}

impl Forwarded {
    /// Reads `for="1.2.3.4:5";host=name`. A `for` that is no address with a port (RFC 7239 section 6 allows others) is
    /// left out.
    ///
    /// # Errors
    /// The text is too long or breaks the grammar of RFC 7239 section 4, a parameter repeats, or `host` is no name.
    pub fn parse(text: &str) -> Result<Forwarded, WireError> {
        if text.len() > MAX_FORWARDED_BYTES {
            return Err(WireError::new(MAX_FORWARDED_BYTES, "forwarded is too long"));
        }
        let mut forwarded = Forwarded::default();
        let (mut seen_for, mut seen_host) = (false, false);
        let mut rest = text;
        while !rest.is_empty() {
            let at = text.len() - rest.len();
            let (name, after) = rest.split_once('=').ok_or(WireError::new(at, "a parameter without ="))?;
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(WireError::new(at, "a parameter's name is a token"));
            }
            let at = text.len() - after.len();
            let (value, after) = take_value(after, at)?;
            let seen = if name.eq_ignore_ascii_case("for") {
                forwarded.client = value.parse().ok();
                std::mem::replace(&mut seen_for, true)
            } else if name.eq_ignore_ascii_case("host") {
                check_host(&value, at)?;
                forwarded.host = Some(value.to_ascii_lowercase().into());
                std::mem::replace(&mut seen_host, true)
            } else {
                false
            };
            if seen {
                return Err(WireError::new(at, "a parameter repeats"));
            }
            rest = match after.strip_prefix(';') {
                Some(more) => more,
                None if after.is_empty() || after.trim_start().starts_with(',') => "",
                None => return Err(WireError::new(text.len() - after.len(), "not a separator")),
            };
        }
        Ok(forwarded)
    }
}

/// A token or a quoted string at the start of the text, and what follows it.
fn take_value(text: &str, at: usize) -> Result<(String, &str), WireError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.bytes().position(|b| !is_token(b)).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Ok((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok((value, chars.as_str())),
            '\\' => value.push(chars.next().ok_or(WireError::new(at, "an open quotation"))?),
            other => value.push(other),
        }
    }
    Err(WireError::new(at, "an open quotation"))
}

impl fmt::Display for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.client, &self.host) {
            (Some(client), Some(host)) => write!(f, "for=\"{client}\";host={host}"),
            (Some(client), None) => write!(f, "for=\"{client}\""),
            (None, Some(host)) => write!(f, "host={host}"),
            (None, None) => Ok(()),
        }
    }
}
