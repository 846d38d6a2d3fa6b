//! Policies (protos.md 4.2).

use super::{DecodeError, ip, known, port, prefix, text};
use crate::authorization as wire;
use culvert_core::mesh::{Action, Cidr, Match, Policy, Scope, ServiceAccountMatch, StringMatch};

pub(super) fn scope(value: i32) -> Result<Scope, DecodeError> {
    Ok(match known("scope", value)? {
        wire::Scope::Global => Scope::Global,
        wire::Scope::Namespace => Scope::Namespace,
        wire::Scope::WorkloadSelector => Scope::WorkloadSelector,
    })
}

pub(super) fn policy(message: wire::Authorization) -> Result<Policy, DecodeError> {
    let action = match known("action", message.action)? {
        wire::Action::Allow => Action::Allow,
        wire::Action::Deny => Action::Deny,
    };
    let clause = |clause: wire::Clause| clause.matches.into_iter().map(wanted).collect();
    let rule = |rule: wire::Rule| rule.clauses.into_iter().map(clause).collect();
    Ok(Policy {
        name: text(message.name),
        namespace: text(message.namespace),
        scope: scope(message.scope)?,
        action,
        rules: message.rules.into_iter().map(rule).collect::<Result<_, _>>()?,
        dry_run: message.dry_run,
    })
}

fn wanted(message: wire::Match) -> Result<Match, DecodeError> {
    if let Some(extension) = message.extensions.into_iter().next() {
        return Err(DecodeError::Extension(extension.name));
    }
    Ok(Match {
        namespaces: texts("namespaces", message.namespaces)?,
        not_namespaces: texts("not_namespaces", message.not_namespaces)?,
        service_accounts: accounts(message.service_accounts),
        not_service_accounts: accounts(message.not_service_accounts),
        principals: texts("principals", message.principals)?,
        not_principals: texts("not_principals", message.not_principals)?,
        source_ips: ranges("source_ips", &message.source_ips)?,
        not_source_ips: ranges("not_source_ips", &message.not_source_ips)?,
        destination_ips: ranges("destination_ips", &message.destination_ips)?,
        not_destination_ips: ranges("not_destination_ips", &message.not_destination_ips)?,
        destination_ports: ports("destination_ports", &message.destination_ports)?,
        not_destination_ports: ports("not_destination_ports", &message.not_destination_ports)?,
    })
}

fn texts(field: &'static str, messages: Vec<wire::StringMatch>) -> Result<Vec<StringMatch>, DecodeError> {
    use wire::string_match::MatchType;
    let read = |message: wire::StringMatch| match message.match_type {
        Some(MatchType::Exact(value)) => Ok(StringMatch::Exact(text(value))),
        Some(MatchType::Prefix(value)) => Ok(StringMatch::Prefix(text(value))),
        Some(MatchType::Suffix(value)) => Ok(StringMatch::Suffix(text(value))),
        Some(MatchType::Presence(())) => Ok(StringMatch::Presence),
        None => Err(DecodeError::Missing(field)),
    };
    messages.into_iter().map(read).collect()
}

fn accounts(messages: Vec<wire::ServiceAccountMatch>) -> Vec<ServiceAccountMatch> {
    let read = |message: wire::ServiceAccountMatch| ServiceAccountMatch {
        namespace: text(message.namespace),
        service_account: text(message.service_account),
    };
    messages.into_iter().map(read).collect()
}

fn ranges(field: &'static str, messages: &[wire::Address]) -> Result<Vec<Cidr>, DecodeError> {
    let read = |message: &wire::Address| {
        let (address, bits) = (ip(field, &message.address)?, prefix(field, message.length)?);
        Cidr::new(address, bits).map_err(|_| DecodeError::Prefix { field, bits: message.length })
    };
    messages.iter().map(read).collect()
}

fn ports(field: &'static str, values: &[u32]) -> Result<Vec<u16>, DecodeError> {
    values.iter().map(|value| port(field, *value)).collect()
}
