//! A small reader of DER (X.690), enough to walk a certificate: total, bounded by its input, without allocation.

/// What is wrong with a DER encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DerError(pub(super) &'static str);

/// Universal and context tags that certificates use (X.690 section 8.1.2; RFC 5280 section 4.1).
pub(super) mod tag {
    pub(in crate::identity) const BOOLEAN: u8 = 0x01;
    pub(in crate::identity) const INTEGER: u8 = 0x02;
    pub(in crate::identity) const BIT_STRING: u8 = 0x03;
    pub(in crate::identity) const OCTET_STRING: u8 = 0x04;
    pub(in crate::identity) const OID: u8 = 0x06;
    pub(in crate::identity) const UTC_TIME: u8 = 0x17;
    pub(in crate::identity) const GENERALIZED_TIME: u8 = 0x18;
    pub(in crate::identity) const SEQUENCE: u8 = 0x30;
    /// `[0]`, constructed: the version of a certificate.
    pub(in crate::identity) const VERSION: u8 = 0xa0;
    /// `[3]`, constructed: the extensions of a certificate.
    pub(in crate::identity) const EXTENSIONS: u8 = 0xa3;
}

/// One tag and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) value: &'a [u8],
}

/// A cursor over consecutive DER elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element's tag, without reading it.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Reads one element. Lengths must be definite, minimal and below 64 KiB; tags of more than one byte are refused.
    pub(super) fn element(&mut self) -> Result<Element<'a>, DerError> {
        let (&tag, rest) = self.rest.split_first().ok_or(DerError("an element is missing"))?;
        if tag & 0x1f == 0x1f {
            return Err(DerError("a tag has more than one byte"));
        }
        let (length, rest) = length(rest)?;
        let (value, rest) = rest.split_at_checked(length).ok_or(DerError("a length runs past the end"))?;
        self.rest = rest;
        Ok(Element { tag, value })
    }

    /// Reads one element that must have `tag`, and returns its value.
    pub(super) fn expect(&mut self, tag: u8, missing: &'static str) -> Result<&'a [u8], DerError> {
        let element = self.element()?;
        if element.tag == tag { Ok(element.value) } else { Err(DerError(missing)) }
    }

    /// Reads one element if it has `tag`.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, DerError> {
        if self.peek() == Some(tag) { self.element().map(|e| Some(e.value)) } else { Ok(None) }
    }

    /// Checks that nothing follows.
    pub(super) fn end(&self) -> Result<(), DerError> {
        if self.is_empty() { Ok(()) } else { Err(DerError("bytes follow the last element")) }
    }
}

fn length(bytes: &[u8]) -> Result<(usize, &[u8]), DerError> {
    match *bytes {
        [short @ 0..=0x7f, ref rest @ ..] => Ok((usize::from(short), rest)),
        [0x81, one @ 0x80..=0xff, ref rest @ ..] => Ok((usize::from(one), rest)),
        [0x82, high @ 1..=0xff, low, ref rest @ ..] => Ok((usize::from(high) << 8 | usize::from(low), rest)),
        [] | [0x81] | [0x82] | [0x82, _] => Err(DerError("a length is cut short")),
        [0x80, ..] => Err(DerError("a length is indefinite")),
        [0x81 | 0x82, ..] => Err(DerError("a length is not minimal")),
        [0x83..=0xff, ..] => Err(DerError("a length is beyond 64 KiB")),
    }
}

/// A BOOLEAN's value; DER allows only 0x00 and 0xff.
pub(super) fn boolean(value: &[u8]) -> Result<bool, DerError> {
    match value {
        [0x00] => Ok(false),
        [0xff] => Ok(true),
        _ => Err(DerError("a boolean is neither 0x00 nor 0xff")),
    }
}

/// Seconds since 1970 of a UTCTime or GeneralizedTime in the one form that RFC 5280 section 4.1.2.5 allows.
pub(super) fn time(element: Element<'_>) -> Result<u64, DerError> {
    const BAD: DerError = DerError("a time is not of the form YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ");
    let (digits, utc) = match (element.tag, element.value.split_last()) {
        (tag::UTC_TIME, Some((b'Z', digits))) if digits.len() == 12 => (digits, true),
        (tag::GENERALIZED_TIME, Some((b'Z', digits))) if digits.len() == 14 => (digits, false),
        _ => return Err(BAD),
    };
    let mut fields = [0_u64; 7];
    for (field, pair) in fields.iter_mut().zip(digits.chunks_exact(2)) {
        let &[tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = pair else { return Err(BAD) };
        *field = u64::from(tens - b'0') * 10 + u64::from(ones - b'0');
    }
    let (year, [month, day, hour, minute, second]) = if utc {
        let [y, rest @ .., _] = fields;
        // RFC 5280: a two-digit year of 50 or more is of the twentieth century.
        (if y >= 50 { 1900 + y } else { 2000 + y }, rest)
    } else {
        let [century, y, rest @ ..] = fields;
        (century * 100 + y, rest)
    };
    let valid = year >= 1970
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !valid {
        return Err(DerError("a time is out of range"));
    }
    Ok(((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let before = year - 1;
    let leaps = before / 4 - before / 100 + before / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    let months: u64 = (1..month).map(|m| days_in(year, m)).sum();
    (year - 1970) * 365 + leaps + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn one(bytes: &[u8]) -> Result<(u8, usize), DerError> {
        Reader::new(bytes).element().map(|e| (e.tag, e.value.len()))
    }

    #[test]
    fn lengths_are_definite_minimal_and_bounded() {
        let long = [&[4, 0x82, 1, 0][..], &[7; 256]].concat();
        assert_eq!(one(&long), Ok((4, 256)));
        assert_eq!(one(&[4, 0x81, 0x80].iter().copied().chain([7; 128]).collect::<Vec<_>>()), Ok((4, 128)));
        assert_eq!(one(&[5, 0]), Ok((5, 0)));
        for bad in [
            &[4][..],
            &[4, 1],
            &[4, 0x80],
            &[4, 0x81],
            &[4, 0x81, 0x7f],
            &[4, 0x82, 0, 0x90],
            &[4, 0x82, 1],
            &[4, 0x83, 1, 0, 0],
            &[4, 0xff],
            &[0x1f, 0],
            &[],
        ] {
            assert!(one(bad).is_err(), "{bad:x?}");
        }
    }

    #[test]
    fn times_have_their_one_form() {
        let utc = |text: &str| time(Element { tag: tag::UTC_TIME, value: text.as_bytes() });
        let general = |text: &str| time(Element { tag: tag::GENERALIZED_TIME, value: text.as_bytes() });
        assert_eq!(utc("700101000000Z"), Ok(0));
        assert_eq!(utc("000229235959Z"), Ok(951_868_799));
        assert_eq!(utc("491231235959Z"), Ok(2_524_607_999));
        assert_eq!(general("20500101000000Z"), Ok(2_524_608_000));
        assert_eq!(general("20240229000000Z"), Ok(1_709_164_800));
        for bad in [
            "690101000000Z",
            "010229000000Z",
            "001301000000Z",
            "000001000000Z",
            "000100000000Z",
            "000101240000Z",
            "000101006000Z",
            "000101000060Z",
            "0001010000Z",
            "000101000000+0000",
            "00010100000aZ",
            "",
            "Z",
        ] {
            assert!(utc(bad).is_err(), "{bad}");
        }
        assert!(general("19691231235959Z").is_err() && general("21000229000000Z").is_err());
    }

    quickcheck! {
        fn any_bytes_are_read_without_panic_and_within_bounds(bytes: Vec<u8>) -> bool {
            let mut reader = Reader::new(&bytes);
            let mut seen = 0;
            while let Ok(element) = reader.element() {
                let _ = time(element);
                let _ = boolean(element.value);
                seen += element.value.len() + 2;
            }
            seen <= bytes.len()
        }

        fn days_count_on_from_day_to_day(offset: u16) -> bool {
            let year = 1970 + u64::from(offset) % 8000;
            days_since_1970(year, 12, 31) + 1 == days_since_1970(year + 1, 1, 1)
                && (1..12).all(|m| days_since_1970(year, m, days_in(year, m)) + 1 == days_since_1970(year, m + 1, 1))
        }
    }
}
