//! The rules themselves (node.md row 18), as data.

use std::net::IpAddr;

use super::expression::Expression;
use super::{PROBE_V4, PROBE_V6, RETURN_MARK, RedirectConfig};
use crate::socket::{EXEMPT_MARK, MARK_MASK};

/// The zone that keeps the node's own DNS questions apart from those it answers (node.md row 18).
const DNS_ZONE: u16 = 1;
const DNS_PORT: u16 = 53;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SOURCE_PORT: u32 = 0;
const TARGET_PORT: u32 = 2;
/// Room for an interface name in a register.
const INTERFACE_NAME_SIZE: usize = 16;

/// `NF_IP_PRI_RAW`, `NF_IP_PRI_MANGLE`, `NF_IP_PRI_NAT_DST`.
const RAW: i32 = -300;
const MANGLE: i32 = -150;
const NAT: i32 = -100;

/// Where in the stack a chain sits (`enum nf_inet_hooks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Prerouting,
    Output,
}

impl Hook {
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Prerouting => 0,
            Self::Output => 3,
        }
    }
}

/// A chain to be made: its hook and its rules, in order.
#[derive(Clone, Debug)]
pub(super) struct ChainPlan {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) hook: Hook,
    pub(super) priority: i32,
    pub(super) rules: Vec<RulePlan>,
}

/// A rule to be made: what it does, and why in words, kept in the kernel beside it.
#[derive(Clone, Debug)]
pub(super) struct RulePlan {
    pub(super) comment: String,
    pub(super) expressions: Vec<Expression>,
}

/// All chains of a configuration.
pub(super) fn chains(config: &RedirectConfig) -> Vec<ChainPlan> {
    let chain = |name, kind, hook, priority, rules| ChainPlan { name, kind, hook, priority, rules };
    let mut chains = vec![
        chain("remember", "filter", Hook::Prerouting, MANGLE, vec![remember_kept_source()]),
        chain("return", "route", Hook::Output, MANGLE, vec![route_answers_back()]),
        chain("inbound", "nat", Hook::Prerouting, NAT, inbound(config)),
        chain("outbound", "nat", Hook::Output, NAT, outbound(config)),
    ];
    if config.dns.is_some() {
        let answers = udp_in_own_zone("answers to the node's own questions", SOURCE_PORT, false);
        let questions = udp_in_own_zone("the node's own questions", TARGET_PORT, true);
        chains.push(chain("dns-answers", "filter", Hook::Prerouting, RAW, vec![answers]));
        chains.push(chain("dns-questions", "filter", Hook::Output, RAW, vec![questions]));
    }
    chains
}

/// Exempt packets that come back in over the loopback are the node's own dials to an application.
fn remember_kept_source() -> RulePlan {
    rule("remember dials of the node to an application")
        .mark_is(true, EXEMPT_MARK)
        .load(Expression::LoadConnection(libc::NFT_CT_MARK.cast_unsigned()))
        .load(Expression::Bitwise { mask: !MARK_MASK, xor: RETURN_MARK })
        .load(Expression::StoreConnection(libc::NFT_CT_MARK.cast_unsigned()))
}

/// The application answers to the client's address; the mark sends the answer through the local route.
fn route_answers_back() -> RulePlan {
    rule("bring the application's answers back to the node")
        .mark_is(false, EXEMPT_MARK)
        .load(Expression::LoadConnection(libc::NFT_CT_MARK.cast_unsigned()))
        .masked(true, RETURN_MARK)
        .load(Expression::LoadMeta(libc::NFT_META_MARK.cast_unsigned()))
        .load(Expression::Bitwise { mask: !MARK_MASK, xor: RETURN_MARK })
        .load(Expression::StoreMeta(libc::NFT_META_MARK.cast_unsigned()))
}

fn inbound(config: &RedirectConfig) -> Vec<RulePlan> {
    let mut rules = vec![
        rule("the pod to itself").interface(libc::NFT_META_IIFNAME, "lo").accept(),
        rule("the node itself").mark_is(true, EXEMPT_MARK).accept(),
        rule("probes of the kubelet").address(Side::Source, PROBE_V4.into()).accept(),
        rule("probes of the kubelet").address(Side::Source, PROBE_V6.into()).accept(),
    ];
    if let Some(port) = config.outbound {
        for name in &config.virtual_interfaces {
            let comment = format!("from behind {name}: redirect to {port}");
            rules.push(rule(comment).interface(libc::NFT_META_IIFNAME, name).protocol(TCP).redirect_to(port));
        }
    }
    if let Some(port) = config.inbound {
        let comment = format!("plain connections to the pod: redirect to {port}");
        rules.push(rule(comment).protocol(TCP).port(TARGET_PORT, false, config.tunnel).redirect_to(port));
    }
    rules
}

fn outbound(config: &RedirectConfig) -> Vec<RulePlan> {
    let mut rules = vec![
        rule("the node itself").mark_is(true, EXEMPT_MARK).accept(),
        rule("answers on their way back to the node").mark_is(true, RETURN_MARK).accept(),
        rule("answers to probes").address(Side::Target, PROBE_V4.into()).accept(),
        rule("answers to probes").address(Side::Target, PROBE_V6.into()).accept(),
        rule("the pod to itself").interface(libc::NFT_META_OIFNAME, "lo").accept(),
    ];
    if let Some(port) = config.dns {
        for protocol in [UDP, TCP] {
            let comment = format!("questions of the pod: redirect to {port}");
            rules.push(rule(comment).protocol(protocol).port(TARGET_PORT, true, DNS_PORT).redirect_to(port));
        }
    }
    if let Some(port) = config.outbound {
        let comment = format!("connections of the pod: redirect to {port}");
        rules.push(rule(comment).protocol(TCP).redirect_to(port));
    }
    rules
}

/// Without a zone of its own, a question that the node passes on could look like the pod's question it stems from.
fn udp_in_own_zone(comment: &str, port: u32, exempt: bool) -> RulePlan {
    rule(comment)
        .protocol(UDP)
        .port(port, true, DNS_PORT)
        .mark_is(exempt, EXEMPT_MARK)
        .load(Expression::Immediate(DNS_ZONE.to_ne_bytes().to_vec()))
        .load(Expression::StoreConnection(libc::NFT_CT_ZONE.cast_unsigned()))
}

fn rule(comment: impl Into<String>) -> RulePlan {
    RulePlan { comment: comment.into(), expressions: Vec::new() }
}

/// Which address of the network header.
#[derive(Clone, Copy)]
enum Side {
    Source,
    Target,
}

impl RulePlan {
    fn load(mut self, expression: Expression) -> Self {
        self.expressions.push(expression);
        self
    }

    fn accept(self) -> Self {
        self.load(Expression::Accept)
    }

    fn compare(self, equal: bool, value: &[u8]) -> Self {
        self.load(Expression::Compare { equal, value: value.to_vec() })
    }

    /// Compares the bits of [`MARK_MASK`] of the register.
    fn masked(self, equal: bool, mark: u32) -> Self {
        self.load(Expression::Bitwise { mask: MARK_MASK, xor: 0 }).compare(equal, &mark.to_ne_bytes())
    }

    fn mark_is(self, equal: bool, mark: u32) -> Self {
        self.load(Expression::LoadMeta(libc::NFT_META_MARK.cast_unsigned())).masked(equal, mark)
    }

    fn protocol(self, protocol: u8) -> Self {
        self.load(Expression::LoadMeta(libc::NFT_META_L4PROTO.cast_unsigned())).compare(true, &[protocol])
    }

    fn port(self, offset: u32, equal: bool, port: u16) -> Self {
        let base = libc::NFT_PAYLOAD_TRANSPORT_HEADER.cast_unsigned();
        self.load(Expression::LoadPayload { base, offset, length: 2 }).compare(equal, &port.to_be_bytes())
    }

    fn interface(self, key: i32, name: &str) -> Self {
        let mut padded = name.as_bytes().to_vec();
        padded.resize(INTERFACE_NAME_SIZE, 0);
        self.load(Expression::LoadMeta(key.cast_unsigned())).compare(true, &padded)
    }

    /// Offsets are those of the addresses in the two headers (RFC 791 section 3.1, RFC 8200 section 3).
    fn address(self, side: Side, address: IpAddr) -> Self {
        let base = libc::NFT_PAYLOAD_NETWORK_HEADER.cast_unsigned();
        let (family, offset, value) = match (address, side) {
            (IpAddr::V4(v4), Side::Source) => (libc::NFPROTO_IPV4, 12, v4.octets().to_vec()),
            (IpAddr::V4(v4), Side::Target) => (libc::NFPROTO_IPV4, 16, v4.octets().to_vec()),
            (IpAddr::V6(v6), Side::Source) => (libc::NFPROTO_IPV6, 8, v6.octets().to_vec()),
            (IpAddr::V6(v6), Side::Target) => (libc::NFPROTO_IPV6, 24, v6.octets().to_vec()),
        };
        let length = if address.is_ipv4() { 4 } else { 16 };
        self.load(Expression::LoadMeta(libc::NFT_META_NFPROTO.cast_unsigned()))
            .compare(true, &[u8::try_from(family).unwrap_or_default()])
            .load(Expression::LoadPayload { base, offset, length })
            .compare(true, &value)
    }

    fn redirect_to(self, port: u16) -> Self {
        self.load(Expression::Immediate(port.to_be_bytes().to_vec())).load(Expression::Redirect)
    }
}
