//! What is there of the redirect: read from the kernel, or expected of a configuration, in one comparable form.

use std::fmt;

use super::expression::{self, Expression};
use super::ruleset::ChainPlan;
use super::table::{
    CHAIN_HOOK, CHAIN_KIND, CHAIN_NAME, COMMENT, HEADER, HOOK_NUMBER, HOOK_PRIORITY, IN_TABLE, RULE_CHAIN,
    RULE_EXPRESSIONS, RULE_USERDATA, SUBSYSTEM, TABLE,
};
use crate::netlink::{Connection, Message, NetlinkError, attribute, read_u32_be, text};

/// The redirect of a namespace. Two that compare equal do the same; `Display` is for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirect {
    /// The chains of the table, in the order of their making.
    pub chains: Vec<Chain>,
    /// The routing rules and routes, one line each, sorted.
    pub routing: Vec<String>,
}

impl Redirect {
    /// Whether nothing of ours is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty() && self.routing.is_empty()
    }
}

/// One chain of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// `filter`, `nat` or `route`.
    pub kind: String,
    /// Number of the hook (`enum nf_inet_hooks`).
    pub hook: u32,
    /// Its place among the chains at that hook.
    pub priority: i32,
    /// Its rules in order: comment and instructions.
    pub rules: Vec<String>,
}

impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no redirect");
        }
        for chain in &self.chains {
            let hook = match chain.hook {
                0 => "prerouting",
                3 => "output",
                _ => "another hook",
            };
            writeln!(f, "chain {} ({}, {hook}, {})", chain.name, chain.kind, chain.priority)?;
            for rule in &chain.rules {
                writeln!(f, "  {rule}")?;
            }
        }
        self.routing.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// What [`read_chains`] answers once these are in the kernel.
pub(super) fn expected_chains(plans: &[ChainPlan]) -> Vec<Chain> {
    let chain = |plan: &ChainPlan| Chain {
        name: plan.name.to_owned(),
        kind: plan.kind.to_owned(),
        hook: plan.hook.number(),
        priority: plan.priority,
        rules: plan.rules.iter().map(|rule| describe(&rule.comment, &rule.expressions)).collect(),
    };
    plans.iter().map(chain).collect()
}

fn describe(comment: &str, expressions: &[Expression]) -> String {
    let steps: Vec<String> = expressions.iter().map(Expression::to_string).collect();
    format!("{comment} [{}]", steps.join(", "))
}

/// Reads the chains of our table and their rules.
pub(super) fn read_chains(connection: &mut Connection) -> Result<Vec<Chain>, NetlinkError> {
    let list = |what, kind: i32| {
        let kind = SUBSYSTEM | u16::try_from(kind).unwrap_or_default();
        Message::new(what, kind, libc::NLM_F_DUMP, &HEADER)
    };
    let mut chains = Vec::new();
    for reply in connection.dump(&list("list nf_tables chains", libc::NFT_MSG_GETCHAIN))? {
        chains.extend(reply.body.get(HEADER.len()..).and_then(read_chain));
    }
    for reply in connection.dump(&list("list nf_tables rules", libc::NFT_MSG_GETRULE))? {
        let Some((name, rule)) = reply.body.get(HEADER.len()..).and_then(read_rule) else { continue };
        if let Some(chain) = chains.iter_mut().find(|chain: &&mut Chain| chain.name == name) {
            chain.rules.push(rule);
        }
    }
    Ok(chains)
}

fn is_ours(body: &[u8]) -> bool {
    attribute(body, IN_TABLE).map(text).as_deref() == Some(TABLE)
}

fn read_chain(body: &[u8]) -> Option<Chain> {
    if !is_ours(body) {
        return None;
    }
    let hook = attribute(body, CHAIN_HOOK).unwrap_or_default();
    Some(Chain {
        name: attribute(body, CHAIN_NAME).map(text)?,
        kind: attribute(body, CHAIN_KIND).map(text).unwrap_or_default(),
        hook: attribute(hook, HOOK_NUMBER).and_then(read_u32_be).unwrap_or(u32::MAX),
        priority: attribute(hook, HOOK_PRIORITY).and_then(read_u32_be).unwrap_or_default().cast_signed(),
        rules: Vec::new(),
    })
}

/// The chain a rule is in, and the rule in words.
fn read_rule(body: &[u8]) -> Option<(String, String)> {
    if !is_ours(body) {
        return None;
    }
    let chain = attribute(body, RULE_CHAIN).map(text)?;
    let comment = attribute(body, RULE_USERDATA).map(read_comment).unwrap_or_default();
    let expressions = expression::decode(attribute(body, RULE_EXPRESSIONS).unwrap_or_default());
    Some((chain, describe(&comment, &expressions)))
}

fn read_comment(mut records: &[u8]) -> String {
    while let [kind, length, rest @ ..] = records {
        let Some(value) = rest.get(..usize::from(*length)) else { break };
        if *kind == COMMENT {
            return text(value);
        }
        records = rest.get(value.len()..).unwrap_or_default();
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    quickcheck! {
        fn any_user_data_is_read_without_panic(records: Vec<u8>) -> bool {
            read_comment(&records).chars().count() <= records.len()
        }
    }

    #[test]
    fn a_comment_is_found_behind_other_records() {
        assert_eq!(read_comment(&[7, 2, 1, 1, COMMENT, 3, b'h', b'i', 0]), "hi");
        assert_eq!(read_comment(&[COMMENT, 200, b'x']), "");
    }

    #[test]
    fn nothing_says_so() {
        assert_eq!(Redirect::default().to_string(), "no redirect");
    }
}
