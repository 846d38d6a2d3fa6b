//! The answer of a policy decision, with its reason.

use std::fmt;
use std::sync::Arc;

use crate::mesh::PolicyKey;

/// Whether a connection may reach a workload, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allow {
        /// The policy that allows it; `None` where no policy allows anything in particular.
        by: Option<PolicyKey>,
    },
    /// It may not.
    Deny(Denial),
    /// The facts do not say yet.
    Hold {
        /// The policies that are named and have not arrived, by key.
        missing: Vec<PolicyKey>,
    },
}

/// Why a connection may not reach a workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The policies it waited for did not arrive in time.
    #[error("policy {} did not arrive in time", Keys(.0))]
    Missing(Vec<PolicyKey>),
    /// There are policies that allow, and none allows this.
    #[error("no policy allows it")]
    NotAllowed,
    /// Connections to the workload must come through its waypoint, and the peer is another (node.md B13).
    #[error("it does not come from the destination's waypoint")]
    PastWaypoint,
    /// A policy denies it.
    #[error("denied by policy {0}")]
    Rule(PolicyKey),
    /// A policy that applies was not understood.
    #[error("policy {policy} was not understood: {reason}")]
    Undecodable {
        /// The policy.
        policy: PolicyKey,
        /// What was not understood.
        reason: Arc<str>,
    },
}

impl Denial {
    /// A short name for metrics, of a small fixed set.
    pub fn label(&self) -> &'static str {
        match self {
            Denial::Missing(_) => "policy_missing",
            Denial::NotAllowed => "not_allowed",
            Denial::PastWaypoint => "past_waypoint",
            Denial::Rule(_) => "explicitly_denied",
            Denial::Undecodable { .. } => "policy_undecodable",
        }
    }
}

impl Verdict {
    /// Whether it is [`Verdict::Allow`].
    pub fn is_allow(&self) -> bool {
        matches!(self, Verdict::Allow { .. })
    }

    /// What becomes of the answer when there is no more time to wait: a hold is a denial (node.md B5).
    pub fn at_deadline(self) -> Verdict {
        match self {
            Verdict::Hold { missing } => Verdict::Deny(Denial::Missing(missing)),
            decided @ (Verdict::Allow { .. } | Verdict::Deny(_)) => decided,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Allow { by: Some(policy) } => write!(f, "allowed by policy {policy}"),
            Verdict::Allow { by: None } => f.write_str("allowed: no policy restricts it"),
            Verdict::Deny(denial) => write!(f, "{denial}"),
            Verdict::Hold { missing } => write!(f, "waiting for policy {}", Keys(missing)),
        }
    }
}

struct Keys<'a>(&'a [PolicyKey]);

impl fmt::Display for Keys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, key) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{key}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_denial_has_a_word_of_its_own_for_metrics() {
        let key = PolicyKey::new("n", "p");
        let undecodable = Denial::Undecodable { policy: key.clone(), reason: "field 99".into() };
        let denials = [
            Denial::Missing(vec![key.clone()]),
            Denial::NotAllowed,
            Denial::PastWaypoint,
            Denial::Rule(key),
            undecodable,
        ];
        assert_eq!(
            denials.each_ref().map(Denial::label),
            ["policy_missing", "not_allowed", "past_waypoint", "explicitly_denied", "policy_undecodable"]
        );
    }

    #[test]
    fn only_to_allow_is_to_allow() {
        let key = PolicyKey::new("n", "p");
        assert!(Verdict::Allow { by: None }.is_allow());
        assert!(Verdict::Allow { by: Some(key.clone()) }.is_allow());
        assert!(!Verdict::Deny(Denial::NotAllowed).is_allow());
        assert!(!Verdict::Hold { missing: vec![key] }.is_allow());
    }
}
