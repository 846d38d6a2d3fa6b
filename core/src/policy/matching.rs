//! Whether a policy's rules match a connection (node.md 1.6).

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};

use super::Connection;
use crate::identity::SpiffeId;
use crate::mesh::{Action, Cidr, Match, Policy, ServiceAccountMatch, StringMatch};

/// A connection as policies look at it.
pub(super) struct Subject<'a> {
    identity: Option<&'a SpiffeId>,
    /// The identity without its scheme, written out when the first policy asks for it.
    principal: OnceCell<String>,
    source: IpAddr,
    destination: SocketAddr,
}

impl<'a> Subject<'a> {
    pub(super) fn new(connection: &Connection<'a>) -> Subject<'a> {
        let destination = connection.destination;
        Subject {
            identity: connection.identity,
            principal: OnceCell::new(),
            source: connection.source.to_canonical(),
            destination: SocketAddr::new(destination.ip().to_canonical(), destination.port()),
        }
    }

    /// Whether one of the policy's rules matches. A policy without rules matches nothing.
    pub(super) fn matches(&self, policy: &Policy) -> bool {
        policy.rules.iter().any(|rule| rule.iter().all(|clause| self.matches_clause(clause, policy.action)))
    }

    /// A clause without matches asks for nothing and so is satisfied.
    fn matches_clause(&self, clause: &[Match], action: Action) -> bool {
        clause.is_empty() || clause.iter().any(|wanted| self.matches_all(wanted, action))
    }

    fn matches_all(&self, wanted: &Match, action: Action) -> bool {
        // A match that asks for nothing is no match, lest it match everything.
        if asks_nothing(wanted) || self.lacks_identity_for(wanted, action) {
            return false;
        }
        let namespace = self.identity.map_or("", |identity| identity.namespace());
        both(&wanted.namespaces, &wanted.not_namespaces, |text| matches_text(text, namespace))
            && both(&wanted.service_accounts, &wanted.not_service_accounts, |account| {
                self.matches_account(account)
            })
            && both(&wanted.principals, &wanted.not_principals, |text| self.matches_principal(text))
            && both(&wanted.source_ips, &wanted.not_source_ips, |range: &Cidr| range.contains(self.source))
            && both(&wanted.destination_ips, &wanted.not_destination_ips, |range: &Cidr| {
                range.contains(self.destination.ip())
            })
            && both(&wanted.destination_ports, &wanted.not_destination_ports, |port| {
                *port == self.destination.port()
            })
    }

    /// "Anyone but x" allows nobody who has not shown who he is (node.md B5). To deny, a missing identity is as good as
    /// any other that is not x: strict mutual TLS is written that way.
    fn lacks_identity_for(&self, wanted: &Match, action: Action) -> bool {
        planted!(StrangerAllowed => return false);
        let asks = !wanted.not_namespaces.is_empty()
            || !wanted.not_service_accounts.is_empty()
            || !wanted.not_principals.is_empty();
        asks && action == Action::Allow && self.identity.is_none()
    }

    fn matches_account(&self, account: &ServiceAccountMatch) -> bool {
        self.identity.is_some_and(|identity| {
            identity.namespace() == account.namespace.as_ref()
                && identity.service_account() == account.service_account.as_ref()
        })
    }

    fn matches_principal(&self, text: &StringMatch) -> bool {
        self.identity.is_some_and(|identity| {
            let principal = self.principal.get_or_init(|| {
                let (domain, namespace) = (identity.trust_domain(), identity.namespace());
                format!("{domain}/ns/{namespace}/sa/{}", identity.service_account())
            });
            matches_text(text, principal)
        })
    }
}

fn asks_nothing(wanted: &Match) -> bool {
    // What most ask for is looked at first: of a thousand rules nearly all fail here or soon after.
    wanted.principals.is_empty() && *wanted == Match::default()
}

/// One of the wanted, if any is, and none of the unwanted.
fn both<T>(wanted: &[T], unwanted: &[T], holds: impl Fn(&T) -> bool) -> bool {
    (wanted.is_empty() || wanted.iter().any(&holds)) && !unwanted.iter().any(&holds)
}

fn matches_text(wanted: &StringMatch, text: &str) -> bool {
    match wanted {
        StringMatch::Exact(exact) => text == exact.as_ref(),
        StringMatch::Prefix(prefix) => text.starts_with(prefix.as_ref()),
        StringMatch::Presence => !text.is_empty(),
        StringMatch::Suffix(suffix) => text.ends_with(suffix.as_ref()),
    }
}
