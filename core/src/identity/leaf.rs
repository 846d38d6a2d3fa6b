//! The facts of an X.509-SVID leaf certificate that core needs, read by its own walk over the DER.

use super::der::{self, DerError, Reader, tag};
use super::{IdentityFault, SpiffeId, san};
use crate::time::WallTime;
use std::fmt;
use std::sync::Arc;

/// The longest serial number that is accepted, in bytes with the sign (RFC 5280 section 4.1.2.2).
const MAX_SERIAL_BYTES: usize = 21;

/// Object identifiers of extensions (RFC 5280 section 4.2.1), as encoded.
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

/// Bits of the first byte of a KeyUsage (RFC 5280 section 4.2.1.3).
const DIGITAL_SIGNATURE: u8 = 0x80;
const KEY_CERT_SIGN: u8 = 0x04;
const CRL_SIGN: u8 = 0x02;

/// A certificate's serial number; prints as hexadecimal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Arc<[u8]>);

impl Serial {
    /// The number's bytes, most significant first, as the certificate encodes them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a leaf certificate says. Reading it checks the constraints of X.509-SVID on leaves, but no signature and no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The one SPIFFE id.
    pub id: SpiffeId,
    /// The first second at which the certificate is valid.
    pub not_before: WallTime,
    /// The last second at which the certificate is valid.
    pub not_after: WallTime,
    /// The serial number.
    pub serial: Serial,
}

/// The verified identity of the peer of a TLS session, read from the very certificate that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Who the peer is.
    pub id: SpiffeId,
    /// The last second at which its certificate is valid.
    pub not_after: WallTime,
    /// Its certificate's serial number.
    pub serial: Serial,
}

impl From<Leaf> for PeerIdentity {
    fn from(leaf: Leaf) -> PeerIdentity {
        PeerIdentity { id: leaf.id, not_after: leaf.not_after, serial: leaf.serial }
    }
}

/// The fields of a certificate before any of them is judged.
struct Fields<'a> {
    serial: &'a [u8],
    not_before: u64,
    not_after: u64,
    key_usage: Option<&'a [u8]>,
    subject_alt_name: Option<&'a [u8]>,
    basic_constraints: Option<&'a [u8]>,
}

impl Leaf {
    /// Reads a leaf certificate from DER.
    ///
    /// # Errors
    /// When it is not readable, has other than exactly one URI name, or breaks a rule of X.509-SVID sections 2 and 4: a leaf
    /// is no certificate authority, its key usage is present with digitalSignature and without keyCertSign and cRLSign.
    pub fn read(certificate: &[u8]) -> Result<Leaf, IdentityFault> {
        let fields = fields(certificate).map_err(malformed)?;
        let names = fields.subject_alt_name.ok_or(IdentityFault::NoSubjectAltName)?;
        let id = san::spiffe_id(names)?;
        if let Some(value) = fields.basic_constraints
            && is_authority(value).map_err(malformed)?
        {
            return Err(IdentityFault::LeafIsAuthority);
        }
        let usage = fields.key_usage.map_or(Ok(0), key_usage).map_err(malformed)?;
        planted!(SigningLeafTaken, usage = usage & DIGITAL_SIGNATURE);
        if usage & (KEY_CERT_SIGN | CRL_SIGN) != 0 {
            return Err(IdentityFault::SigningLeaf);
        }
        if usage & DIGITAL_SIGNATURE == 0 {
            return Err(IdentityFault::NoDigitalSignature);
        }
        Ok(Leaf {
            id,
            not_before: WallTime::from_unix_secs(fields.not_before),
            not_after: WallTime::from_unix_secs(fields.not_after),
            serial: Serial(fields.serial.into()),
        })
    }
}

fn malformed(DerError(what): DerError) -> IdentityFault {
    IdentityFault::Malformed(what)
}

/// Walks `Certificate` and `TBSCertificate` (RFC 5280 section 4.1).
fn fields(certificate: &[u8]) -> Result<Fields<'_>, DerError> {
    let mut outer = Reader::new(certificate);
    let mut signed = Reader::new(outer.expect(tag::SEQUENCE, "the certificate is no sequence")?);
    outer.end()?;
    let mut tbs = Reader::new(signed.expect(tag::SEQUENCE, "the certificate's content is no sequence")?);
    tbs.expect(tag::VERSION, "the certificate is not of version 3")?;
    let serial = tbs.expect(tag::INTEGER, "the serial number is no integer")?;
    if serial.is_empty() || serial.len() > MAX_SERIAL_BYTES {
        return Err(DerError("the serial number is empty or too long"));
    }
    tbs.expect(tag::SEQUENCE, "the signature algorithm is no sequence")?;
    tbs.expect(tag::SEQUENCE, "the issuer is no sequence")?;
    let mut validity = Reader::new(tbs.expect(tag::SEQUENCE, "the validity is no sequence")?);
    let not_before = der::time(validity.element()?)?;
    let not_after = der::time(validity.element()?)?;
    validity.end()?;
    tbs.expect(tag::SEQUENCE, "the subject is no sequence")?;
    tbs.expect(tag::SEQUENCE, "the public key is no sequence")?;
    let mut fields = Fields {
        serial,
        not_before,
        not_after,
        key_usage: None,
        subject_alt_name: None,
        basic_constraints: None,
    };
    if !tbs.is_empty() {
        let mut wrapped = Reader::new(tbs.expect(tag::EXTENSIONS, "a field is not expected here")?);
        tbs.end()?;
        extensions(wrapped.expect(tag::SEQUENCE, "the extensions are no sequence")?, &mut fields)?;
        wrapped.end()?;
    }
    Ok(fields)
}

fn extensions<'a>(list: &'a [u8], fields: &mut Fields<'a>) -> Result<(), DerError> {
    let mut list = Reader::new(list);
    while !list.is_empty() {
        let mut extension = Reader::new(list.expect(tag::SEQUENCE, "an extension is no sequence")?);
        let oid = extension.expect(tag::OID, "an extension has no identifier")?;
        if let Some(critical) = extension.optional(tag::BOOLEAN)? {
            der::boolean(critical)?;
        }
        let value = extension.expect(tag::OCTET_STRING, "an extension has no value")?;
        extension.end()?;
        let slot = match oid {
            KEY_USAGE => &mut fields.key_usage,
            SUBJECT_ALT_NAME => &mut fields.subject_alt_name,
            BASIC_CONSTRAINTS => &mut fields.basic_constraints,
            _ => continue,
        };
        // Of two, a different reader might take the other one.
        if slot.replace(value).is_some() {
            return Err(DerError("an extension is there twice"));
        }
    }
    Ok(())
}

fn is_authority(value: &[u8]) -> Result<bool, DerError> {
    let mut outer = Reader::new(value);
    let mut constraints = Reader::new(outer.expect(tag::SEQUENCE, "the basic constraints are no sequence")?);
    outer.end()?;
    constraints.optional(tag::BOOLEAN)?.map_or(Ok(false), der::boolean)
}

/// The first byte of the usage bits.
fn key_usage(value: &[u8]) -> Result<u8, DerError> {
    let mut outer = Reader::new(value);
    let bits = outer.expect(tag::BIT_STRING, "the key usage is no bit string")?;
    outer.end()?;
    match bits {
        [0..=7] => Ok(0),
        [0..=7, first, ..] => Ok(*first),
        _ => Err(DerError("the key usage is no bit string")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::{Ca, Template};
    use quickcheck::quickcheck;
    use rcgen::{BasicConstraints, CustomExtension, IsCa, KeyUsagePurpose, SanType};

    const ID: &str = "spiffe://cluster.local/ns/x/sa/a";

    fn read(change: impl FnOnce(&mut Template)) -> Result<Leaf, IdentityFault> {
        let mut template = Template::svid(&[ID]);
        change(&mut template);
        Leaf::read(&Ca::new("mesh").issue(template).0)
    }

    #[test]
    fn an_svid_is_read() {
        let leaf = read(|t| {
            t.params.not_before = rcgen::date_time_ymd(2024, 2, 29);
            t.params.not_after = rcgen::date_time_ymd(2051, 1, 1);
            t.params.serial_number = Some(vec![0x0a, 0xff].into());
        })
        .unwrap();
        assert_eq!(leaf.id.to_string(), ID);
        assert_eq!(leaf.not_before.as_unix_secs(), 1_709_164_800);
        assert_eq!(leaf.not_after.as_unix_secs(), 2_556_144_000);
        assert_eq!(leaf.serial.to_string(), "0aff");
    }

    #[test]
    fn leaf_constraints_are_checked() {
        use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign, KeyEncipherment};
        let usages = |u: Vec<KeyUsagePurpose>| read(|t| t.params.key_usages = u);
        assert!(usages(vec![DigitalSignature, KeyEncipherment]).is_ok());
        assert_eq!(usages(vec![]), Err(IdentityFault::NoDigitalSignature));
        assert_eq!(usages(vec![KeyEncipherment]), Err(IdentityFault::NoDigitalSignature));
        assert_eq!(usages(vec![DigitalSignature, KeyCertSign]), Err(IdentityFault::SigningLeaf));
        assert_eq!(usages(vec![DigitalSignature, CrlSign]), Err(IdentityFault::SigningLeaf));
        assert_eq!(
            read(|t| t.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            Err(IdentityFault::LeafIsAuthority)
        );
        assert!(read(|t| t.params.is_ca = IsCa::ExplicitNoCa).is_ok());
    }

    #[test]
    fn names_are_counted() {
        assert_eq!(read(|t| t.params.subject_alt_names.clear()), Err(IdentityFault::NoSubjectAltName));
        let dns = || SanType::DnsName("a.x.svc".try_into().unwrap());
        assert_eq!(
            read(|t| t.params.subject_alt_names = vec![dns()]),
            Err(IdentityFault::NoUri { others: 1 })
        );
        assert!(read(|t| t.params.subject_alt_names.push(dns())).is_ok());
        let uri = || SanType::URI("https://x/".try_into().unwrap());
        assert_eq!(read(|t| t.params.subject_alt_names.push(uri())), Err(IdentityFault::ManyUris(2)));
    }

    #[test]
    fn a_second_extension_of_names_is_refused() {
        let second = [&[0x30, 34, 0x86, 32][..], b"spiffe://cluster.local/ns/x/sa/b"].concat();
        let refused = read(|t| {
            t.params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 17], second))
        });
        assert_eq!(refused, Err(IdentityFault::Malformed("an extension is there twice")));
    }

    quickcheck! {
        fn any_change_or_cut_gives_an_answer(at: usize, with: u8, cut: bool) -> bool {
            thread_local!(static DER: Vec<u8> = Ca::new("mesh").issue(Template::svid(&[ID])).0.to_vec());
            let mut der = DER.with(Clone::clone);
            let at = at % der.len();
            if cut {
                der.truncate(at);
                return Leaf::read(&der).is_err();
            }
            der[at] = with;
            Leaf::read(&der).map_or(true, |leaf| leaf.id.to_string().parse() == Ok(leaf.id))
        }
    }
}
