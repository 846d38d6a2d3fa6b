//! The flows of the demo and what each must be.

use super::mesh::{FREEZE_POLICY, STRICT_POLICY};
use super::place::Place;
use super::programs::Conversation;
use super::report::{FlowPath, Verdict};
use super::world::Side;

/// Bytes of the large transfer each way.
pub const BULK_BYTES: u64 = 64 << 20;
/// Bytes of an ordinary exchange.
const SMALL_BYTES: u64 = 4096;
/// Bytes each way in the half-close scenario: more than socket buffers hold by default.
const HALF_CLOSE_BYTES: u64 = 1 << 20;

/// What is done in a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A connection is held open, and a policy is added that forbids it.
    Cut,
    /// The machine's own `curl` fetches a file from `python3 -m http.server`.
    Http,
    /// Two programs talk.
    Talk(Conversation),
}

/// What a flow must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// How it goes.
    pub path: FlowPath,
    /// What policy says in the end.
    pub verdict: Verdict,
    /// The policy that must be named as deciding; `None` where none need be.
    pub policy: Option<&'static str>,
}

impl Expected {
    /// The ends at which a node must have recorded the flow.
    pub fn sides(&self) -> &'static [Side] {
        match self.path {
            FlowPath::Hbone => &[Side::Inbound, Side::Outbound],
            // One proxy carries both halves, and may count them as one flow.
            FlowPath::Local => &[],
            FlowPath::Plaintext => &[Side::Outbound],
            FlowPath::Refused => &[Side::Inbound],
        }
    }
}

/// One flow to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name in reports.
    pub name: &'static str,
    /// Where the client is.
    pub source: Place,
    /// Where the server is.
    pub destination: Place,
    /// What they do.
    pub action: Action,
    /// What must come of it.
    pub expected: Expected,
}

const fn allowed(path: FlowPath) -> Expected {
    Expected { path, verdict: Verdict::Allow, policy: None }
}

const fn denied(path: FlowPath, policy: Option<&'static str>) -> Expected {
    Expected { path, verdict: Verdict::Deny, policy }
}

/// All scenarios, in the order in which they are shown.
pub fn all() -> Vec<Scenario> {
    use Place::{Cart, Frontend, Orders, Outsider, Payments};
    let scenario = |name, source, destination, action, expected| Scenario {
        name,
        source,
        destination,
        action,
        expected,
    };
    let echo = || Action::Talk(Conversation::Echo { bytes: SMALL_BYTES });
    let half_close = Action::Talk(Conversation::HalfClose { bytes: HALF_CLOSE_BYTES });
    let upload = Action::Talk(Conversation::Upload { bytes: BULK_BYTES });
    let download = Action::Talk(Conversation::Download { bytes: BULK_BYTES });
    let (hbone, local) = (allowed(FlowPath::Hbone), allowed(FlowPath::Local));
    let plaintext = allowed(FlowPath::Plaintext);
    let refused = FlowPath::Refused;
    vec![
        scenario("cross-node", Frontend, Orders, echo(), hbone),
        scenario("same-node", Frontend, Cart, echo(), local),
        scenario("denied-identity", Cart, Orders, echo(), denied(refused, None)),
        scenario("meshed-to-strict", Cart, Payments, echo(), hbone),
        scenario("plaintext-to-strict", Outsider, Payments, echo(), denied(refused, Some(STRICT_POLICY))),
        scenario("passthrough", Frontend, Outsider, echo(), plaintext),
        scenario("half-close", Frontend, Orders, half_close, hbone),
        scenario("bulk-upload", Frontend, Orders, upload, hbone),
        scenario("bulk-download", Frontend, Orders, download, hbone),
        scenario("curl-http", Frontend, Orders, Action::Http, hbone),
        scenario("policy-cut", Frontend, Orders, Action::Cut, denied(FlowPath::Hbone, Some(FREEZE_POLICY))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_from_the_places() {
        for scenario in all() {
            let (source, destination) = (scenario.source.node(), scenario.destination.node());
            match scenario.expected.path {
                FlowPath::Hbone => {
                    assert!(source.is_some() && destination.is_some() && source != destination)
                }
                FlowPath::Local => assert!(source.is_some() && source == destination),
                FlowPath::Plaintext => assert!(destination.is_none()),
                FlowPath::Refused => assert_eq!(scenario.expected.verdict, Verdict::Deny),
            }
        }
    }

    #[test]
    fn names_differ_and_fit_the_table() {
        let mut names: Vec<&str> = all().iter().map(|scenario| scenario.name).collect();
        let count = names.len();
        assert!(names.iter().all(|name| name.len() <= 19));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
