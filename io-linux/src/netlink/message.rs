//! The layout of netlink messages and attributes (netlink(7)): lengths and types in host order, padded to four bytes.

const ALIGNMENT: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;
const NESTED: u16 = 0x8000;
/// Leaves the type of an attribute without its two flag bits.
const TYPE_MASK: u16 = 0x3fff;

/// A run of attributes under construction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    /// Appends one attribute. Payloads here are far below the 64 KiB that its length field can say.
    pub(crate) fn put(&mut self, kind: u16, payload: &[u8]) -> &mut Self {
        let length = u16::try_from(payload.len() + ATTRIBUTE_HEADER).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(payload);
        self.0.resize(self.0.len().next_multiple_of(ALIGNMENT), 0);
        self
    }

    pub(crate) fn put_u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// Network order, as all integers of nf_tables are.
    pub(crate) fn put_u32_be(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// A string with its final NUL.
    pub(crate) fn put_text(&mut self, kind: u16, text: &str) -> &mut Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.put(kind, &bytes)
    }

    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        fill(&mut inner);
        self.put(kind | NESTED, &inner.0)
    }

    /// Appends bytes that are already in the layout: a fixed header, or attributes made elsewhere.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// One request: what it is for, its type and flags, its fixed header and its attributes.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// For error messages, as the end of "cannot ...".
    pub(crate) what: String,
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) body: Attributes,
}

impl Message {
    /// A request whose body starts with the fixed header `header`; `NLM_F_REQUEST` is implied.
    pub(crate) fn new(what: impl Into<String>, kind: u16, flags: i32, header: &[u8]) -> Self {
        let mut body = Attributes::default();
        body.raw(header);
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST).unwrap_or_default();
        Self { what: what.into(), kind, flags, body }
    }

    /// Fills in the attributes.
    pub(crate) fn with(mut self, fill: impl FnOnce(&mut Attributes)) -> Self {
        fill(&mut self.body);
        self
    }

    /// Appends the message to `out` under the sequence number `sequence`.
    pub(super) fn encode(&self, sequence: u32, out: &mut Vec<u8>) {
        let body = self.body.as_bytes();
        let length = u32::try_from(super::connection::HEADER + body.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_ne_bytes());
        out.extend_from_slice(&self.kind.to_ne_bytes());
        out.extend_from_slice(&self.flags.to_ne_bytes());
        out.extend_from_slice(&sequence.to_ne_bytes());
        out.extend_from_slice(&0u32.to_ne_bytes());
        out.extend_from_slice(body);
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    }
}

/// The attributes in `bytes`, flag bits removed; ends at the first that does not fit.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (header, _) = bytes.split_first_chunk::<ATTRIBUTE_HEADER>()?;
        let [l0, l1, k0, k1] = *header;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let payload = bytes.get(ATTRIBUTE_HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & TYPE_MASK, payload))
    })
}

/// The first attribute of a type.
pub(crate) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, payload)| (found == kind).then_some(payload))
}

/// A host-order integer payload.
pub(crate) fn read_u32(payload: &[u8]) -> Option<u32> {
    payload.try_into().ok().map(u32::from_ne_bytes)
}

/// A network-order integer payload.
pub(crate) fn read_u32_be(payload: &[u8]) -> Option<u32> {
    payload.try_into().ok().map(u32::from_be_bytes)
}

/// A string payload, up to its NUL.
pub(crate) fn text(payload: &[u8]) -> String {
    let end = payload.iter().position(|&byte| byte == 0).unwrap_or(payload.len());
    String::from_utf8_lossy(payload.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    quickcheck! {
        fn attributes_are_read_back_as_written(written: Vec<(u16, Vec<u8>)>) -> bool {
            let mut buffer = Attributes::default();
            let written: Vec<_> = written.into_iter().map(|(k, p)| (k & TYPE_MASK, p)).collect();
            for (kind, payload) in &written {
                buffer.put(*kind, payload);
            }
            let read: Vec<_> = attributes(buffer.as_bytes()).map(|(k, p)| (k, p.to_vec())).collect();
            read == written && buffer.as_bytes().len() % ALIGNMENT == 0
        }

        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) -> bool {
            attributes(&bytes).map(|(_, payload)| payload.len() + ATTRIBUTE_HEADER).sum::<usize>() <= bytes.len()
        }
    }

    #[test]
    fn nesting_and_text() {
        let mut buffer = Attributes::default();
        buffer.nest(1, |inner| {
            inner.put_text(2, "lo").put_u32_be(3, 0x0102_0304);
        });
        let inner = attribute(buffer.as_bytes(), 1).unwrap();
        assert_eq!(text(attribute(inner, 2).unwrap()), "lo");
        assert_eq!(read_u32_be(attribute(inner, 3).unwrap()), Some(0x0102_0304));
        assert_eq!(attribute(inner, 4), None);
        assert_eq!(read_u32(b"abc"), None);
    }
}
