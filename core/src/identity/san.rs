//! The subject alternative names of a leaf: exactly one URI, which is the SPIFFE id.
//!
//! The names are counted here rather than taken from a library because libraries leave out names that they cannot read, and a
//! certificate with a second, unreadable URI must not pass as one with a single URI (node.md row B10).

use super::der::{DerError, Reader, tag};
use super::{IdentityFault, SpiffeId};

/// GeneralName `uniformResourceIdentifier [6]` (RFC 5280 section 4.2.1.6).
const URI: u8 = 0x86;
/// The other GeneralName choices: otherName, rfc822Name, dNSName, x400Address, directoryName, ediPartyName, iPAddress,
/// registeredID. SPIFFE leaves them to the deployment: they neither help nor hurt.
const OTHERS: [u8; 8] = [0xa0, 0x81, 0x82, 0xa3, 0xa4, 0xa5, 0x87, 0x88];

/// The one SPIFFE id in the value of a SubjectAltName extension.
pub(super) fn spiffe_id(extension: &[u8]) -> Result<SpiffeId, IdentityFault> {
    let (uris, others, first) = count(extension).map_err(|DerError(what)| IdentityFault::Malformed(what))?;
    planted!(SecondIdIgnored, uris = uris.min(1));
    match (uris, first) {
        (0, _) | (_, None) => Err(IdentityFault::NoUri { others }),
        (1, Some(uri)) if !uri.is_ascii() => Err(IdentityFault::UriNotAscii),
        (1, Some(uri)) => {
            let text = std::str::from_utf8(uri).map_err(|_| IdentityFault::UriNotAscii)?;
            text.parse().map_err(IdentityFault::BadId)
        }
        (many, Some(_)) => Err(IdentityFault::ManyUris(many)),
    }
}

/// How many names are URIs, how many are others, and the first URI.
fn count(extension: &[u8]) -> Result<(usize, usize, Option<&[u8]>), DerError> {
    let mut outer = Reader::new(extension);
    let mut names =
        Reader::new(outer.expect(tag::SEQUENCE, "the subject alternative names are no sequence")?);
    outer.end()?;
    let (mut uris, mut others, mut first) = (0, 0, None);
    while !names.is_empty() {
        let name = names.element()?;
        if name.tag == URI {
            uris += 1;
            first = first.or(Some(name.value));
        } else if OTHERS.contains(&name.tag) {
            others += 1;
        } else {
            return Err(DerError("a subject alternative name is of no known kind"));
        }
    }
    Ok((uris, others, first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SpiffeIdError;
    use quickcheck::quickcheck;

    const ID: &[u8] = b"spiffe://cluster.local/ns/x/sa/a";

    fn names(names: &[(u8, &[u8])]) -> Vec<u8> {
        let body: Vec<u8> = names.iter().flat_map(|(t, v)| [&[*t, v.len() as u8][..], v].concat()).collect();
        [&[tag::SEQUENCE, body.len() as u8][..], &body].concat()
    }

    #[test]
    fn exactly_one_uri_is_the_id() {
        let id: SpiffeId = "spiffe://cluster.local/ns/x/sa/a".parse().unwrap();
        assert_eq!(spiffe_id(&names(&[(URI, ID)])), Ok(id.clone()));
        assert_eq!(spiffe_id(&names(&[(0x82, b"a.x.svc"), (URI, ID), (0x87, &[10, 0, 0, 1])])), Ok(id));
    }

    #[test]
    fn any_other_number_of_uris_is_refused() {
        assert_eq!(spiffe_id(&names(&[])), Err(IdentityFault::NoUri { others: 0 }));
        assert_eq!(spiffe_id(&names(&[(0x82, b"a")])), Err(IdentityFault::NoUri { others: 1 }));
        assert_eq!(spiffe_id(&names(&[(URI, ID), (URI, ID)])), Err(IdentityFault::ManyUris(2)));
        assert_eq!(spiffe_id(&names(&[(URI, ID), (URI, b"\xff\xfe")])), Err(IdentityFault::ManyUris(2)));
        assert_eq!(
            spiffe_id(&names(&[(URI, b"\xff"), (URI, ID), (URI, b"")])),
            Err(IdentityFault::ManyUris(3))
        );
        assert_eq!(spiffe_id(&names(&[(URI, ID), (URI, b"http://x/")])), Err(IdentityFault::ManyUris(2)));
    }

    #[test]
    fn a_bad_uri_is_refused_with_its_reason() {
        assert_eq!(spiffe_id(&names(&[(URI, b"spiffe://t/ns/\xff/sa/a")])), Err(IdentityFault::UriNotAscii));
        assert_eq!(
            spiffe_id(&names(&[(URI, b"http://a/")])),
            Err(IdentityFault::BadId(SpiffeIdError::Scheme))
        );
        assert_eq!(spiffe_id(&names(&[(URI, b"")])), Err(IdentityFault::BadId(SpiffeIdError::Scheme)));
        assert_eq!(
            spiffe_id(&names(&[(URI, b"spiffe://t/ns/a\0/sa/a")])),
            Err(IdentityFault::BadId(SpiffeIdError::Segment))
        );
    }

    #[test]
    fn a_name_of_unknown_kind_hides_nothing() {
        for kind in [0xa6, 0x89, 0x06, 0xc6, 0x1f] {
            let refused = spiffe_id(&names(&[(URI, ID), (kind, ID)]));
            assert!(matches!(refused, Err(IdentityFault::Malformed(_))), "{kind:x} {refused:?}");
        }
        let trailing = [names(&[(URI, ID)]), vec![0]].concat();
        assert!(matches!(spiffe_id(&trailing), Err(IdentityFault::Malformed(_))));
    }

    quickcheck! {
        fn any_bytes_give_an_answer(bytes: Vec<u8>) -> bool {
            spiffe_id(&bytes).is_err()
        }

        fn any_cut_is_refused(at: usize) -> bool {
            let whole = names(&[(0x82, b"a"), (URI, ID)]);
            spiffe_id(&whole[..at % whole.len()]).is_err()
        }
    }
}
