//! Whether a connection may reach a workload: a pure function of current facts (node.md 1.6, B4 and B5).
//!
//! Three answers are possible. *Hold* is the one where the facts are not complete: the workload names a policy that has
//! not arrived, and what is known does not decide the matter alone.

mod matching;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

pub use verdict::{Denial, Verdict};

use crate::identity::SpiffeId;
use crate::mesh::{Action, Policy, PolicyEntry, PolicyKey, Snapshot, Workload};
use matching::Subject;

/// What a policy can ask of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection<'a> {
    /// The identity of the peer that TLS verified; `None` for plaintext.
    pub identity: Option<&'a SpiffeId>,
    /// The address of the peer on the transport.
    pub source: IpAddr,
    /// The address that is dialled for it.
    pub destination: SocketAddr,
}

/// How facts that are not there are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// Connections wait for policies that are named and have not arrived.
    #[default]
    Culvert,
    /// Such policies are skipped; [`missing`] names them for the log. Everything else is as without.
    Istio,
}

/// Judges a connection to a workload.
///
/// In this order: an enforced policy that denies and matches; a policy that was not understood; a policy that is named
/// and missing; then, if any enforced policy allows anything, one must allow this.
pub fn evaluate(
    snapshot: &Snapshot,
    destination: &Workload,
    connection: &Connection<'_>,
    compat: Compat,
) -> Verdict {
    planted!(UnknownPolicySkipped, compat = Compat::Istio);
    let subject = Subject::new(connection);
    let mut undecodable = None;
    let mut absent = BTreeSet::new();
    let mut allowed_by = None;
    let mut needs_allow = false;
    for (key, entry) in snapshot.policies_for(destination) {
        match entry {
            None => {
                absent.insert(key.clone());
            }
            Some(PolicyEntry::Undecodable { reason, .. }) => {
                undecodable.get_or_insert_with(|| Denial::Undecodable {
                    policy: key.clone(),
                    reason: reason.clone(),
                });
            }
            Some(PolicyEntry::Decoded(policy)) if policy.dry_run => {}
            Some(PolicyEntry::Decoded(policy)) => match policy.action {
                Action::Deny if subject.matches(policy) => return Verdict::Deny(Denial::Rule(key.clone())),
                Action::Deny => {}
                Action::Allow => {
                    needs_allow = true;
                    planted!(AllowOutranksDeny => if subject.matches(policy) {
                        return Verdict::Allow { by: Some(key.clone()) };
                    });
                    if allowed_by.is_none() && subject.matches(policy) {
                        allowed_by = Some(key.clone());
                    }
                }
            },
        }
    }
    planted!(UndecodableSkipped, undecodable = None);
    if let Some(denial) = undecodable {
        return Verdict::Deny(denial);
    }
    if !absent.is_empty() && compat == Compat::Culvert {
        return Verdict::Hold { missing: absent.into_iter().collect() };
    }
    if needs_allow && allowed_by.is_none() {
        return Verdict::Deny(Denial::NotAllowed);
    }
    Verdict::Allow { by: allowed_by }
}

/// The policies of a dry run that match a connection, by key: reported, never enforced.
pub fn dry_run_matches<'a>(
    snapshot: &'a Snapshot,
    destination: &'a Workload,
    connection: &Connection<'_>,
) -> Vec<&'a Policy> {
    let subject = Subject::new(connection);
    let mut matched = std::collections::BTreeMap::new();
    for (key, entry) in snapshot.policies_for(destination) {
        if let Some(PolicyEntry::Decoded(policy)) = entry
            && policy.dry_run
            && subject.matches(policy)
        {
            matched.insert(key, policy.as_ref());
        }
    }
    matched.into_values().collect()
}

/// The policies a workload names that have not arrived, by key.
pub fn missing<'a>(snapshot: &'a Snapshot, destination: &'a Workload) -> impl Iterator<Item = &'a PolicyKey> {
    destination.authorization_policies.iter().filter(|key| snapshot.policy(key).is_none())
}
