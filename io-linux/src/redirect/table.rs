//! The nf_tables batch that puts a ruleset in the kernel, all of it or nothing.

use super::expression;
use super::ruleset::{ChainPlan, RulePlan};
use crate::netlink::{Attributes, Message};

/// The name of our table; nothing else is ours.
pub(super) const TABLE: &str = "culvert";

/// `nfnetlink` message types: the subsystem in the high byte.
pub(super) const SUBSYSTEM: u16 = (libc::NFNL_SUBSYS_NFTABLES as u16) << 8;
/// `NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE`, `NFTA_RULE_TABLE`.
pub(super) const IN_TABLE: u16 = 1;
pub(super) const CHAIN_NAME: u16 = 3;
pub(super) const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
pub(super) const CHAIN_KIND: u16 = 7;
pub(super) const HOOK_NUMBER: u16 = 1;
pub(super) const HOOK_PRIORITY: u16 = 2;
pub(super) const RULE_CHAIN: u16 = 2;
pub(super) const RULE_EXPRESSIONS: u16 = 4;
pub(super) const RULE_USERDATA: u16 = 7;
/// The type of a comment among a rule's user data, as `nft` writes and shows it.
pub(super) const COMMENT: u8 = 0;

const ACCEPT: u32 = 1;

/// `struct nfgenmsg` for the family that covers IPv4 and IPv6.
pub(super) const HEADER: [u8; 4] = [libc::NFPROTO_INET as u8, 0, 0, 0];

/// Replaces the table by these chains.
pub(super) fn replacement(chains: &[ChainPlan]) -> Vec<Message> {
    let mut batch = vec![begin(), create_table(), delete_table(), create_table()];
    for chain in chains {
        batch.push(create_chain(chain));
        batch.extend(chain.rules.iter().map(|rule| create_rule(chain.name, rule)));
    }
    batch.push(end());
    batch
}

/// Removes the table, whether or not it is there: creating one that exists changes nothing.
pub(super) fn removal() -> Vec<Message> {
    vec![begin(), create_table(), delete_table(), end()]
}

fn begin() -> Message {
    boundary("begin a batch of nf_tables changes", libc::NFNL_MSG_BATCH_BEGIN)
}

fn end() -> Message {
    boundary("end a batch of nf_tables changes", libc::NFNL_MSG_BATCH_END)
}

fn boundary(what: &str, kind: i32) -> Message {
    // The resource id names the subsystem, in network order.
    let [high, low] = (libc::NFNL_SUBSYS_NFTABLES as u16).to_be_bytes();
    Message::new(what, u16::try_from(kind).unwrap_or_default(), 0, &[0, 0, high, low])
}

fn change(what: String, kind: i32, flags: i32, fill: impl FnOnce(&mut Attributes)) -> Message {
    let kind = SUBSYSTEM | u16::try_from(kind).unwrap_or_default();
    Message::new(what, kind, flags | libc::NLM_F_ACK, &HEADER).with(fill)
}

fn create_table() -> Message {
    change(format!("create table {TABLE}"), libc::NFT_MSG_NEWTABLE, libc::NLM_F_CREATE, |table| {
        table.put_text(IN_TABLE, TABLE);
    })
}

fn delete_table() -> Message {
    change(format!("delete table {TABLE}"), libc::NFT_MSG_DELTABLE, 0, |table| {
        table.put_text(IN_TABLE, TABLE);
    })
}

fn create_chain(plan: &ChainPlan) -> Message {
    let what = format!("create chain {}", plan.name);
    change(what, libc::NFT_MSG_NEWCHAIN, libc::NLM_F_CREATE, |chain| {
        chain
            .put_text(IN_TABLE, TABLE)
            .put_text(CHAIN_NAME, plan.name)
            .nest(CHAIN_HOOK, |hook| {
                hook.put_u32_be(HOOK_NUMBER, plan.hook.number())
                    .put_u32_be(HOOK_PRIORITY, plan.priority.cast_unsigned());
            })
            .put_u32_be(CHAIN_POLICY, ACCEPT)
            .put_text(CHAIN_KIND, plan.kind);
    })
}

fn create_rule(chain: &str, plan: &RulePlan) -> Message {
    let what = format!("create the rule '{}' in chain {chain}", plan.comment);
    change(what, libc::NFT_MSG_NEWRULE, libc::NLM_F_CREATE | libc::NLM_F_APPEND, |rule| {
        rule.put_text(IN_TABLE, TABLE)
            .put_text(RULE_CHAIN, chain)
            .nest(RULE_EXPRESSIONS, |list| expression::encode(&plan.expressions, list))
            .put(RULE_USERDATA, &comment(&plan.comment));
    })
}

/// User data are records of type, length and value in single bytes; a comment ends with NUL.
fn comment(words: &str) -> Vec<u8> {
    let mut value: Vec<u8> = words.bytes().take(usize::from(u8::MAX) - 1).collect();
    value.push(0);
    let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
    [&[COMMENT, length], value.as_slice()].concat()
}
