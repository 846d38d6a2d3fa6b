//! The facts that a hold depends on, and what they mean, said a second time and plainly.

use culvert_core::mesh::{
    Action, Delta, Match, Policy, PolicyKey, Scope, StringMatch, Uid, Workload, WorkloadSpec,
};
use culvert_core::policy::Verdict;

use crate::explore::Violation;

/// The workload, and the namespace of it and of its policies.
pub(super) const UID: &str = "w";
const NAMESPACE: &str = "n";
/// The namespace of the identity that the first connection has.
pub(super) const SOURCE: &str = "a";
const NAMES: [&str; 2] = ["p", "q"];

/// What is known of one policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::explore) enum Content {
    /// It has not arrived, or is gone.
    #[default]
    Absent,
    /// It would deny everybody, and is only reported.
    DryRun,
    /// It is enforced.
    Rule { scope: Scope, action: Action, rule: Rule },
    /// It was not understood; the scope perhaps was.
    Undecodable { scope: Option<Scope> },
}

impl std::hash::Hash for Content {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        FORMS.iter().position(|form| form == self).hash(state);
    }
}

/// Whom a policy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::explore) enum Rule {
    /// Identities of the source's namespace.
    In,
    /// Others than those.
    NotIn,
}

const fn rule(scope: Scope, action: Action, rule: Rule) -> Content {
    Content::Rule { scope, action, rule }
}

/// Every form that a policy takes.
pub(super) const FORMS: [Content; 18] = [
    Content::Absent,
    Content::DryRun,
    rule(Scope::Global, Action::Allow, Rule::In),
    rule(Scope::Global, Action::Allow, Rule::NotIn),
    rule(Scope::Global, Action::Deny, Rule::In),
    rule(Scope::Global, Action::Deny, Rule::NotIn),
    rule(Scope::Namespace, Action::Allow, Rule::In),
    rule(Scope::Namespace, Action::Allow, Rule::NotIn),
    rule(Scope::Namespace, Action::Deny, Rule::In),
    rule(Scope::Namespace, Action::Deny, Rule::NotIn),
    rule(Scope::WorkloadSelector, Action::Allow, Rule::In),
    rule(Scope::WorkloadSelector, Action::Allow, Rule::NotIn),
    rule(Scope::WorkloadSelector, Action::Deny, Rule::In),
    rule(Scope::WorkloadSelector, Action::Deny, Rule::NotIn),
    Content::Undecodable { scope: None },
    Content::Undecodable { scope: Some(Scope::Global) },
    Content::Undecodable { scope: Some(Scope::Namespace) },
    Content::Undecodable { scope: Some(Scope::WorkloadSelector) },
];

/// One form for each way in which a policy reaches a workload.
pub(super) const FEW_FORMS: [Content; 5] = [
    Content::Absent,
    rule(Scope::Global, Action::Deny, Rule::In),
    rule(Scope::Namespace, Action::Allow, Rule::In),
    rule(Scope::WorkloadSelector, Action::Deny, Rule::NotIn),
    Content::Undecodable { scope: None },
];

/// A verdict without its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Allow,
    Deny,
    Hold,
}

impl Answer {
    pub(super) fn of(verdict: &Verdict) -> Answer {
        match verdict {
            Verdict::Allow { .. } => Answer::Allow,
            Verdict::Deny(_) => Answer::Deny,
            Verdict::Hold { .. } => Answer::Hold,
        }
    }
}

/// All facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Facts {
    pub(super) policies: [Content; 2],
    /// Which policies the workload names; nothing where it is gone.
    pub(super) names: Option<[bool; 2]>,
}

impl Facts {
    /// The delta that makes other facts of these.
    pub(super) fn delta_to(&self, other: &Facts) -> Result<Delta, Violation> {
        let mut delta = Delta::new();
        for ((name, before), after) in NAMES.iter().zip(&self.policies).zip(&other.policies) {
            if before != after {
                set(&mut delta, name, *after);
            }
        }
        match other.names {
            names if names == self.names => {}
            Some(names) => delta.upsert_workload(workload(names)?),
            None => delta.remove_workload(Uid::new(UID)),
        }
        Ok(delta)
    }

    /// What the facts say of a connection with the known identity, or of one with none.
    pub(super) fn answer(&self, has_identity: bool) -> Option<Answer> {
        let names = self.names?;
        let applying: Vec<Content> = self
            .policies
            .iter()
            .zip(names)
            .filter(|(content, named)| *named || content.applies_unnamed())
            .map(|(content, _)| *content)
            .collect();
        let any = |holds: &dyn Fn(&Content) -> bool| applying.iter().any(holds);
        let rules = |wanted: Action, must_match: bool| {
            any(&|content| match content {
                Content::Rule { action, rule, .. } => {
                    *action == wanted && (!must_match || rule.matches(wanted, has_identity))
                }
                Content::Absent | Content::DryRun | Content::Undecodable { .. } => false,
            })
        };
        Some(if rules(Action::Deny, true) || any(&|content| matches!(content, Content::Undecodable { .. })) {
            Answer::Deny
        } else if any(&|content| *content == Content::Absent) {
            Answer::Hold
        } else if rules(Action::Allow, false) && !rules(Action::Allow, true) {
            Answer::Deny
        } else {
            Answer::Allow
        })
    }
}

impl Content {
    /// Whether it counts for a workload of its namespace that does not name it.
    fn applies_unnamed(&self) -> bool {
        match self {
            Content::Absent => false,
            Content::DryRun | Content::Undecodable { scope: None } => true,
            Content::Rule { scope, .. } | Content::Undecodable { scope: Some(scope) } => {
                *scope != Scope::WorkloadSelector
            }
        }
    }
}

impl Rule {
    /// Nobody without an identity is in the namespace; outside it he is only where that is held against him.
    fn matches(self, action: Action, has_identity: bool) -> bool {
        match self {
            Rule::In => has_identity,
            Rule::NotIn => !has_identity && action == Action::Deny,
        }
    }
}

fn set(delta: &mut Delta, name: &str, content: Content) {
    let mut policy = Policy {
        name: name.into(),
        namespace: NAMESPACE.into(),
        scope: Scope::Namespace,
        action: Action::Deny,
        // One rule without clauses, which is everybody.
        rules: vec![vec![]],
        dry_run: true,
    };
    match content {
        Content::Absent => delta.remove_policy(PolicyKey::new(NAMESPACE, name)),
        Content::DryRun => delta.upsert_policy(policy),
        Content::Rule { scope, action, rule } => {
            let texts = vec![StringMatch::Exact(SOURCE.into())];
            let asks = match rule {
                Rule::In => Match { namespaces: texts, ..Match::default() },
                Rule::NotIn => Match { not_namespaces: texts, ..Match::default() },
            };
            policy.rules = vec![vec![vec![asks]]];
            (policy.scope, policy.action, policy.dry_run) = (scope, action, false);
            delta.upsert_policy(policy);
        }
        Content::Undecodable { scope } => {
            delta.undecodable_policy(PolicyKey::new(NAMESPACE, name), scope, "unreadable");
        }
    }
}

fn workload(names: [bool; 2]) -> Result<Workload, Violation> {
    let named = NAMES.iter().zip(names).filter(|(_, named)| *named);
    let spec = WorkloadSpec {
        uid: UID.into(),
        namespace: NAMESPACE.into(),
        authorization_policies: named.map(|(name, _)| PolicyKey::new(NAMESPACE, *name)).collect(),
        ..WorkloadSpec::default()
    };
    Workload::try_from(spec).map_err(|error| Violation(error.to_string()))
}
