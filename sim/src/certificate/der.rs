//! A small writer of DER (X.690), enough for a certificate.

use culvert_core::time::WallTime;

/// Tags that certificates use (X.690 section 8.1.2; RFC 5280 section 4.1).
pub(super) mod tag {
    pub(in crate::certificate) const BOOLEAN: u8 = 0x01;
    pub(in crate::certificate) const INTEGER: u8 = 0x02;
    pub(in crate::certificate) const BIT_STRING: u8 = 0x03;
    pub(in crate::certificate) const OCTET_STRING: u8 = 0x04;
    pub(in crate::certificate) const OID: u8 = 0x06;
    pub(in crate::certificate) const UTF8_STRING: u8 = 0x0c;
    pub(in crate::certificate) const UTC_TIME: u8 = 0x17;
    pub(in crate::certificate) const GENERALIZED_TIME: u8 = 0x18;
    pub(in crate::certificate) const SEQUENCE: u8 = 0x30;
    pub(in crate::certificate) const SET: u8 = 0x31;
    /// `[6]`, primitive: the URI of a GeneralName.
    pub(in crate::certificate) const URI: u8 = 0x86;
    /// `[0]`, constructed: the version of a certificate.
    pub(in crate::certificate) const VERSION: u8 = 0xa0;
    /// `[3]`, constructed: the extensions of a certificate.
    pub(in crate::certificate) const EXTENSIONS: u8 = 0xa3;
}

/// 9999-12-31T23:59:59Z, which stands for no end at all (RFC 5280 section 4.1.2.5), in seconds since 1970.
const NO_END: u64 = 253_402_300_799;
/// 2050-01-01T00:00:00Z, the first moment that has no UTCTime (RFC 5280 section 4.1.2.5), in seconds since 1970.
const END_OF_UTC_TIME: u64 = 2_524_608_000;

/// A tag, and a length of at most eight bytes.
const HEAD_BYTES_MAX: usize = 10;
const DAY_SECS: u64 = 86_400;
/// Days of the 400 years after which the calendar repeats itself.
const ERA_DAYS: u64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;

/// An element with `tag` whose value is `parts`, one after the other.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(HEAD_BYTES_MAX + length);
    out.push(tag);
    match u8::try_from(length) {
        Ok(short @ ..0x80) => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let significant = bytes.len() - length.leading_zeros() as usize / 8;
            out.push(0x80 | significant as u8);
            out.extend(bytes.iter().skip(bytes.len() - significant));
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// A SEQUENCE of `parts`.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(tag::SEQUENCE, parts)
}

/// A time in the form that RFC 5280 section 4.1.2.5 asks for; after the year 9999 it has none, and its last second stands in.
pub(super) fn time(wall: WallTime) -> Vec<u8> {
    let secs = wall.as_unix_secs().min(NO_END);
    let (year, month, day) = date(secs / DAY_SECS);
    let (hour, minute, second) = (secs % DAY_SECS / 3600, secs % 3600 / 60, secs % 60);
    let text = [year / 100, year % 100, month, day, hour, minute, second].map(two_digits);
    if secs < END_OF_UTC_TIME {
        element(tag::UTC_TIME, &[text[1..].as_flattened(), b"Z"])
    } else {
        element(tag::GENERALIZED_TIME, &[text.as_flattened(), b"Z"])
    }
}

fn two_digits(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

/// Year, month and day of a day since 1970. Years are counted from March, so that a leap day is the last day of its year.
fn date(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / (ERA_DAYS - 1);
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (year_of_era * 365 + year_of_era / 4 - year_of_era / 100);
    // Months from March on have 153 days in every five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_their_shortest_form() {
        let head = |length: usize| element(tag::SEQUENCE, &[&vec![0; length]])[1..][..4.min(length)].to_vec();
        assert_eq!(element(tag::SEQUENCE, &[]), [0x30, 0]);
        assert_eq!(head(127)[..2], [127, 0]);
        assert_eq!(head(128)[..3], [0x81, 128, 0]);
        assert_eq!(head(255)[..3], [0x81, 255, 0]);
        assert_eq!(head(256)[..4], [0x82, 1, 0, 0]);
        assert_eq!(head(65_536)[..4], [0x83, 1, 0, 0]);
    }

    #[test]
    fn times_are_written_as_rfc_5280_asks() {
        let text = |secs| {
            let element = time(WallTime::from_unix_secs(secs));
            (element[0], String::from_utf8(element[2..].to_vec()).unwrap())
        };
        let utc = |text: &str| (tag::UTC_TIME, text.to_owned());
        let general = |text: &str| (tag::GENERALIZED_TIME, text.to_owned());
        assert_eq!(text(0), utc("700101000000Z"));
        assert_eq!(text(951_782_399), utc("000228235959Z"));
        assert_eq!(text(951_782_400), utc("000229000000Z"));
        assert_eq!(text(1_800_000_000), utc("270115080000Z"));
        assert_eq!(text(END_OF_UTC_TIME - 1), utc("491231235959Z"));
        assert_eq!(text(END_OF_UTC_TIME), general("20500101000000Z"));
        assert_eq!(text(4_107_542_400), general("21000301000000Z"));
        assert_eq!(text(NO_END), general("99991231235959Z"));
        assert_eq!(text(u64::MAX), general("99991231235959Z"));
    }
}
