//! The instructions of an nf_tables rule: built, written for the kernel, read back and shown.
//!
//! A rule is a list of instructions over registers. All rules here need one register, the first.

use std::fmt;

use crate::netlink::{Attributes, attribute, attributes, read_u32_be, text};

/// `NFT_REG_VERDICT` and `NFT_REG_1`.
const VERDICT_REGISTER: u32 = 0;
const REGISTER: u32 = 1;

const ELEMENT: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;
const VALUE: u16 = 1;
const VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;

const META_TARGET: u16 = 1;
const META_KEY: u16 = 2;
const META_SOURCE: u16 = 3;
const CT_TARGET: u16 = 1;
const CT_KEY: u16 = 2;
const CT_SOURCE: u16 = 4;
const IMMEDIATE_TARGET: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const COMPARE_SOURCE: u16 = 1;
const COMPARE_OPERATION: u16 = 2;
const COMPARE_DATA: u16 = 3;
const PAYLOAD_TARGET: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LENGTH: u16 = 4;
const BITWISE_SOURCE: u16 = 1;
const BITWISE_TARGET: u16 = 2;
const BITWISE_LENGTH: u16 = 3;
const BITWISE_MASK: u16 = 4;
const BITWISE_XOR: u16 = 5;
const REDIRECT_PORT: u16 = 1;

/// `NF_ACCEPT`.
const ACCEPT: u32 = 1;

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// Ends the packet's way through the chain.
    Accept,
    /// Keeps the bits of `mask` of the register, then flips those of `xor`; host order.
    Bitwise { mask: u32, xor: u32 },
    /// Goes on only if the register holds these bytes, or if it does not.
    Compare { equal: bool, value: Vec<u8> },
    /// Puts these bytes into the register.
    Immediate(Vec<u8>),
    /// Loads a fact of the connection (`NFT_CT_*`).
    LoadConnection(u32),
    /// Loads a fact of the packet's surroundings (`NFT_META_*`).
    LoadMeta(u32),
    /// Loads bytes of the packet; base 1 is the network header, 2 the transport header.
    LoadPayload { base: u32, offset: u32, length: u32 },
    /// Sends the connection to the local port in the register.
    Redirect,
    /// Stores the register into the connection.
    StoreConnection(u32),
    /// Stores the register into the packet's surroundings.
    StoreMeta(u32),
    /// An instruction we never write; its name.
    Unknown(String),
}

/// Writes a list of instructions, as the content of `NFTA_RULE_EXPRESSIONS`.
pub(super) fn encode(expressions: &[Expression], into: &mut Attributes) {
    for expression in expressions {
        into.nest(ELEMENT, |element| {
            element.put_text(NAME, expression.name()).nest(DATA, |data| expression.encode(data));
        });
    }
}

/// Reads what [`encode`] or the kernel has written.
pub(super) fn decode(bytes: &[u8]) -> Vec<Expression> {
    attributes(bytes)
        .filter(|(kind, _)| *kind == ELEMENT)
        .map(|(_, element)| {
            let name = attribute(element, NAME).map(text).unwrap_or_default();
            let data = attribute(element, DATA).unwrap_or_default();
            Expression::decode(&name, data).unwrap_or(Expression::Unknown(name))
        })
        .collect()
}

impl Expression {
    fn name(&self) -> &str {
        match self {
            Self::Accept | Self::Immediate(_) => "immediate",
            Self::Bitwise { .. } => "bitwise",
            Self::Compare { .. } => "cmp",
            Self::LoadConnection(_) | Self::StoreConnection(_) => "ct",
            Self::LoadMeta(_) | Self::StoreMeta(_) => "meta",
            Self::LoadPayload { .. } => "payload",
            Self::Redirect => "redir",
            Self::Unknown(name) => name,
        }
    }

    fn encode(&self, into: &mut Attributes) {
        match self {
            Self::Accept => {
                into.put_u32_be(IMMEDIATE_TARGET, VERDICT_REGISTER).nest(IMMEDIATE_DATA, |data| {
                    data.nest(VERDICT, |verdict| {
                        verdict.put_u32_be(VERDICT_CODE, ACCEPT);
                    });
                })
            }
            Self::Bitwise { mask, xor } => into
                .put_u32_be(BITWISE_SOURCE, REGISTER)
                .put_u32_be(BITWISE_TARGET, REGISTER)
                .put_u32_be(BITWISE_LENGTH, u32::BITS / 8)
                .nest(BITWISE_MASK, |data| {
                    data.put_u32(VALUE, *mask);
                })
                .nest(BITWISE_XOR, |data| {
                    data.put_u32(VALUE, *xor);
                }),
            Self::Compare { equal, value } => into
                .put_u32_be(COMPARE_SOURCE, REGISTER)
                .put_u32_be(COMPARE_OPERATION, u32::from(!equal))
                .nest(COMPARE_DATA, |data| {
                    data.put(VALUE, value);
                }),
            Self::Immediate(value) => {
                into.put_u32_be(IMMEDIATE_TARGET, REGISTER).nest(IMMEDIATE_DATA, |data| {
                    data.put(VALUE, value);
                })
            }
            Self::LoadConnection(key) => into.put_u32_be(CT_KEY, *key).put_u32_be(CT_TARGET, REGISTER),
            Self::LoadMeta(key) => into.put_u32_be(META_KEY, *key).put_u32_be(META_TARGET, REGISTER),
            Self::LoadPayload { base, offset, length } => into
                .put_u32_be(PAYLOAD_TARGET, REGISTER)
                .put_u32_be(PAYLOAD_BASE, *base)
                .put_u32_be(PAYLOAD_OFFSET, *offset)
                .put_u32_be(PAYLOAD_LENGTH, *length),
            Self::Redirect => into.put_u32_be(REDIRECT_PORT, REGISTER),
            Self::StoreConnection(key) => into.put_u32_be(CT_KEY, *key).put_u32_be(CT_SOURCE, REGISTER),
            Self::StoreMeta(key) => into.put_u32_be(META_KEY, *key).put_u32_be(META_SOURCE, REGISTER),
            Self::Unknown(_) => into,
        };
    }

    fn decode(name: &str, data: &[u8]) -> Option<Self> {
        let number = |kind| attribute(data, kind).and_then(read_u32_be);
        let value = |kind| attribute(data, kind).and_then(|nested| attribute(nested, VALUE));
        let word = |kind| value(kind)?.try_into().ok().map(u32::from_ne_bytes);
        match name {
            "bitwise" => Some(Self::Bitwise { mask: word(BITWISE_MASK)?, xor: word(BITWISE_XOR)? }),
            "cmp" => {
                let equal = match number(COMPARE_OPERATION)? {
                    0 => true,
                    1 => false,
                    _ => return None,
                };
                Some(Self::Compare { equal, value: value(COMPARE_DATA)?.to_vec() })
            }
            "ct" if number(CT_SOURCE).is_some() => number(CT_KEY).map(Self::StoreConnection),
            "ct" => number(CT_KEY).map(Self::LoadConnection),
            "immediate" if number(IMMEDIATE_TARGET) == Some(VERDICT_REGISTER) => {
                let verdict = attribute(attribute(data, IMMEDIATE_DATA)?, VERDICT)?;
                (attribute(verdict, VERDICT_CODE).and_then(read_u32_be)? == ACCEPT).then_some(Self::Accept)
            }
            "immediate" => Some(Self::Immediate(value(IMMEDIATE_DATA)?.to_vec())),
            "meta" if number(META_SOURCE).is_some() => number(META_KEY).map(Self::StoreMeta),
            "meta" => number(META_KEY).map(Self::LoadMeta),
            "payload" => Some(Self::LoadPayload {
                base: number(PAYLOAD_BASE)?,
                offset: number(PAYLOAD_OFFSET)?,
                length: number(PAYLOAD_LENGTH)?,
            }),
            "redir" => Some(Self::Redirect),
            _ => None,
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Bitwise { mask, xor: 0 } => write!(f, "and {mask:#x}"),
            Self::Bitwise { mask, xor } => write!(f, "and {mask:#x} xor {xor:#x}"),
            Self::Compare { equal, value } => {
                write!(f, "{} {}", if *equal { "is" } else { "is not" }, hex(value))
            }
            Self::Immediate(value) => write!(f, "value {}", hex(value)),
            Self::LoadConnection(key) => write!(f, "ct {}", ct_name(*key)),
            Self::LoadMeta(key) => write!(f, "meta {}", meta_name(*key)),
            Self::LoadPayload { base, offset, length } => write!(f, "bytes {base}:{offset}+{length}"),
            Self::Redirect => f.write_str("redirect"),
            Self::StoreConnection(key) => write!(f, "set ct {}", ct_name(*key)),
            Self::StoreMeta(key) => write!(f, "set meta {}", meta_name(*key)),
            Self::Unknown(name) => write!(f, "unknown {name}"),
        }
    }
}

/// The name that `nft` gives a key.
fn meta_name(key: u32) -> String {
    match key.cast_signed() {
        libc::NFT_META_IIFNAME => "iifname".to_owned(),
        libc::NFT_META_L4PROTO => "l4proto".to_owned(),
        libc::NFT_META_MARK => "mark".to_owned(),
        libc::NFT_META_NFPROTO => "nfproto".to_owned(),
        libc::NFT_META_OIFNAME => "oifname".to_owned(),
        other => other.to_string(),
    }
}

/// The name that `nft` gives a key.
fn ct_name(key: u32) -> String {
    match key.cast_signed() {
        libc::NFT_CT_MARK => "mark".to_owned(),
        libc::NFT_CT_ZONE => "zone".to_owned(),
        other => other.to_string(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::{Arbitrary, Gen, quickcheck};

    impl Arbitrary for Expression {
        fn arbitrary(g: &mut Gen) -> Self {
            let key = u32::arbitrary(g);
            match u8::arbitrary(g) % 10 {
                0 => Self::Accept,
                1 => Self::Bitwise { mask: key, xor: u32::arbitrary(g) },
                2 => Self::Compare { equal: bool::arbitrary(g), value: Vec::arbitrary(g) },
                3 => Self::Immediate(Vec::arbitrary(g)),
                4 => Self::LoadConnection(key),
                5 => Self::LoadMeta(key),
                6 => Self::LoadPayload { base: key, offset: u32::arbitrary(g), length: u32::arbitrary(g) },
                7 => Self::Redirect,
                8 => Self::StoreConnection(key),
                _ => Self::StoreMeta(key),
            }
        }
    }

    quickcheck! {
        fn expressions_are_read_back_as_written(written: Vec<Expression>) -> bool {
            let mut bytes = Attributes::default();
            encode(&written, &mut bytes);
            decode(bytes.as_bytes()) == written
        }

        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) -> bool {
            decode(&bytes).len() <= bytes.len()
        }
    }

    #[test]
    fn instructions_of_others_are_named() {
        let mut bytes = Attributes::default();
        encode(&[Expression::Unknown("numgen".to_owned())], &mut bytes);
        assert_eq!(decode(bytes.as_bytes()), [Expression::Unknown("numgen".to_owned())]);
    }
}
