//! The routing rule and the local routes, which bring answers to kept source addresses back to the node.

use super::{RETURN_MARK, ROUTE_TABLE, RULE_PREFERENCE};
use crate::netlink::{Attributes, Connection, Message, NetlinkError, attribute, read_u32};
use crate::socket::MARK_MASK;

/// The loopback has the first index in every namespace.
const LOOPBACK: u32 = 1;
/// `struct fib_rule_hdr` and `struct rtmsg` have the same size.
const HEADER: usize = 12;
/// `FR_ACT_TO_TBL`.
const TO_TABLE: u8 = 1;
/// Attributes of a routing rule (`linux/fib_rules.h`).
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;

const FAMILIES: [u8; 2] = [libc::AF_INET as u8, libc::AF_INET6 as u8];

/// Makes what is missing, in both families.
pub(super) fn apply(connection: &mut Connection) -> Result<(), NetlinkError> {
    for family in FAMILIES {
        for message in [add_rule(family), add_route(family)] {
            tolerate(connection.request(message), family, libc::EEXIST)?;
        }
    }
    Ok(())
}

/// Removes what is there, in both families.
pub(super) fn remove(connection: &mut Connection) -> Result<(), NetlinkError> {
    for family in FAMILIES {
        tolerate(connection.request(delete_rule(family)), family, libc::ENOENT)?;
        tolerate(connection.request(delete_route(family)), family, libc::ESRCH)?;
    }
    Ok(())
}

/// Forgives that the work was done already, and that a namespace or a kernel has no IPv6.
fn tolerate(outcome: Result<(), NetlinkError>, family: u8, done: i32) -> Result<(), NetlinkError> {
    const NO_IPV6: [i32; 4] = [libc::EAFNOSUPPORT, libc::EOPNOTSUPP, libc::EACCES, libc::ENODEV];
    match outcome.as_ref().err().and_then(NetlinkError::errno) {
        Some(errno) if errno == done => Ok(()),
        Some(errno) if i32::from(family) == libc::AF_INET6 && NO_IPV6.contains(&errno) => Ok(()),
        _ => outcome,
    }
}

/// What [`read`] answers once [`apply`] has succeeded for both families.
pub(super) fn expected() -> Vec<String> {
    let mut lines: Vec<String> =
        FAMILIES.into_iter().flat_map(|f| [describe_rule(f), describe_route(f)]).collect();
    lines.sort();
    lines
}

/// Reads those of our rules and routes that are there.
pub(super) fn read(connection: &mut Connection) -> Result<Vec<String>, NetlinkError> {
    let list = |what, kind| Message::new(what, kind, libc::NLM_F_DUMP, &[0; HEADER]);
    let mut lines = Vec::new();
    for reply in connection.dump(&list("list routing rules", libc::RTM_GETRULE))? {
        lines.extend(our_rule(&reply.body).map(describe_rule));
    }
    for reply in connection.dump(&list("list routes", libc::RTM_GETROUTE))? {
        lines.extend(our_route(&reply.body).map(describe_route));
    }
    lines.sort();
    Ok(lines)
}

fn describe_rule(family: u8) -> String {
    let family = name(family);
    format!("{family} rule {RULE_PREFERENCE}: mark {RETURN_MARK:#x}/{MARK_MASK:#x} lookup {ROUTE_TABLE}")
}

fn describe_route(family: u8) -> String {
    format!("{} route: local default dev lo table {ROUTE_TABLE}", name(family))
}

fn name(family: u8) -> &'static str {
    if i32::from(family) == libc::AF_INET { "ipv4" } else { "ipv6" }
}

fn add_rule(family: u8) -> Message {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL | libc::NLM_F_ACK;
    rule("add the routing rule", libc::RTM_NEWRULE, flags, family)
}

fn delete_rule(family: u8) -> Message {
    rule("delete the routing rule", libc::RTM_DELRULE, libc::NLM_F_ACK, family)
}

/// `struct fib_rule_hdr`: family, lengths of the addresses, type of service, table, two unused, action, flags.
fn rule(what: &str, kind: u16, flags: i32, family: u8) -> Message {
    let header = [family, 0, 0, 0, 0, 0, 0, TO_TABLE, 0, 0, 0, 0];
    Message::new(what, kind, flags, &header).with(|rule| {
        rule.put_u32(FRA_PRIORITY, RULE_PREFERENCE)
            .put_u32(FRA_FWMARK, RETURN_MARK)
            .put_u32(FRA_FWMASK, MARK_MASK)
            .put_u32(FRA_TABLE, ROUTE_TABLE);
    })
}

/// The family of a rule, if it is ours.
fn our_rule(body: &[u8]) -> Option<u8> {
    let number = |kind| attribute(body.get(HEADER..)?, kind).and_then(read_u32);
    let ours = number(FRA_PRIORITY) == Some(RULE_PREFERENCE)
        && number(FRA_FWMARK) == Some(RETURN_MARK)
        && number(FRA_FWMASK) == Some(MARK_MASK)
        && number(FRA_TABLE) == Some(ROUTE_TABLE);
    body.first().copied().filter(|_| ours)
}

fn add_route(family: u8) -> Message {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL | libc::NLM_F_ACK;
    route("add the local route", libc::RTM_NEWROUTE, flags, family)
}

fn delete_route(family: u8) -> Message {
    route("delete the local route", libc::RTM_DELROUTE, libc::NLM_F_ACK, family)
}

/// `struct rtmsg`: family, lengths of the addresses, type of service, table, protocol, scope, type, flags.
fn route(what: &str, kind: u16, flags: i32, family: u8) -> Message {
    let header = [family, 0, 0, 0, 0, libc::RTPROT_STATIC, libc::RT_SCOPE_HOST, libc::RTN_LOCAL, 0, 0, 0, 0];
    Message::new(what, kind, flags, &header).with(|route: &mut Attributes| {
        route.put_u32(libc::RTA_OIF, LOOPBACK).put_u32(libc::RTA_TABLE, ROUTE_TABLE);
    })
}

/// The family of a route, if it is ours.
fn our_route(body: &[u8]) -> Option<u8> {
    let [family, target_bits, _, _, _, _, _, kind, ..] = *body else { return None };
    let attributes = body.get(HEADER..)?;
    let ours = target_bits == 0
        && kind == libc::RTN_LOCAL
        && attribute(attributes, libc::RTA_TABLE).and_then(read_u32) == Some(ROUTE_TABLE)
        && attribute(attributes, libc::RTA_OIF).and_then(read_u32) == Some(LOOPBACK);
    ours.then_some(family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_requests_are_recognised_as_ours_and_others_are_not() {
        for family in FAMILIES {
            assert_eq!(our_rule(add_rule(family).body.as_bytes()), Some(family));
            assert_eq!(our_route(add_route(family).body.as_bytes()), Some(family));
            assert_eq!(our_rule(add_route(family).body.as_bytes()), None);
            assert_eq!(our_route(add_rule(family).body.as_bytes()), None);
        }
        assert_eq!(our_route(&[]), None);
        assert_eq!(our_rule(&[]), None);
    }

    #[test]
    fn only_a_missing_ipv6_is_forgiven() {
        let refused = |errno| {
            Err(NetlinkError::Refused {
                what: String::new(),
                source: std::io::Error::from_raw_os_error(errno),
                reason: None,
            })
        };
        let [v4, v6] = FAMILIES;
        assert!(tolerate(refused(libc::EAFNOSUPPORT), v6, libc::EEXIST).is_ok());
        assert!(tolerate(refused(libc::EAFNOSUPPORT), v4, libc::EEXIST).is_err());
        assert!(tolerate(refused(libc::EEXIST), v4, libc::EEXIST).is_ok());
        assert!(tolerate(refused(libc::EPERM), v6, libc::EEXIST).is_err());
    }
}
