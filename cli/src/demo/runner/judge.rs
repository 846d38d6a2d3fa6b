//! Compares what programs and nodes saw of a flow with what the scenario demands.

use crate::demo::programs::{Ended, Report};
use crate::demo::report::{FlowPath, FlowResult, Verdict};
use crate::demo::scenario::{Action, Expected, Scenario};
use crate::demo::world::{FlowRecord, Side};

/// What the programs saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// `None`: the client said nothing.
    pub(super) client: Option<Report>,
    /// `None`: no connection reached the server, or it has not ended.
    pub(super) server: Option<Report>,
}

impl Seen {
    fn answered(&self) -> bool {
        self.client.as_ref().is_some_and(|report| report.bytes_received > 0)
    }
}

/// What the nodes recorded of one flow, as one.
#[derive(Clone, Debug)]
pub(super) struct Merged {
    path: Option<FlowPath>,
    verdict: Verdict,
    policy: Option<String>,
    source_identity: String,
    destination_identity: String,
    sides: Vec<Side>,
}

impl Merged {
    pub(super) fn new(records: &[FlowRecord], seen: &Seen) -> Merged {
        // The destination's node judges and has verified the source; the source's node chose the path.
        let inbound = || records.iter().filter(|record| record.side == Side::Inbound);
        let outbound = || records.iter().filter(|record| record.side == Side::Outbound);
        let judged = || inbound().chain(outbound());
        let denied = records.iter().any(|record| record.verdict == Verdict::Deny);
        let verdict = if denied { Verdict::Deny } else { Verdict::Allow };
        let taken = || outbound().chain(inbound()).map(|record| record.path);
        let path = if denied && !seen.answered() {
            Some(FlowPath::Refused)
        } else {
            // A node that cut a flow may call it refused; its path is where its bytes went.
            taken().find(|path| *path != FlowPath::Refused).or_else(|| taken().next())
        };
        let deciding = |record: &&FlowRecord| record.verdict == verdict;
        Merged {
            path,
            verdict,
            policy: judged().filter(deciding).find_map(|record| record.policy.clone()),
            source_identity: judged().find_map(|record| record.source_identity.clone()).unwrap_or_default(),
            destination_identity: judged()
                .find_map(|record| record.destination_identity.clone())
                .unwrap_or_default(),
            sides: records.iter().map(|record| record.side).collect(),
        }
    }

    /// Whether the nodes have said all that is demanded, so that waiting for more is of no use.
    pub(super) fn complete(&self, expected: &Expected) -> bool {
        self.path.is_some() && self.differs(expected).is_none()
    }

    fn differs(&self, expected: &Expected) -> Option<String> {
        let Some(path) = self.path else { return Some("no node recorded the flow".into()) };
        if path != expected.path {
            return Some(format!("the path is {path}, not {}", expected.path));
        }
        if self.verdict != expected.verdict {
            return Some(format!("the verdict is {}, not {}", self.verdict, expected.verdict));
        }
        if let Some(policy) = expected.policy
            && self.policy.as_deref() != Some(policy)
        {
            let named = self.policy.as_deref().unwrap_or("none");
            return Some(format!("the deciding policy is {named}, not {policy}"));
        }
        let missing = expected.sides().iter().find(|side| !self.sides.contains(side));
        missing.map(|side| {
            let node = match side {
                Side::Inbound => "destination",
                Side::Outbound => "source",
            };
            format!("the node of the {node} did not record the flow")
        })
    }
}

/// The flow's result.
pub(super) fn result(scenario: &Scenario, seen: &Seen, merged: &Merged) -> FlowResult {
    let differs = programs_differ(scenario, seen)
        .or_else(|| merged.differs(&scenario.expected))
        .or_else(|| identities_differ(scenario, merged));
    let client = seen.client.as_ref();
    FlowResult {
        name: scenario.name.into(),
        source: scenario.source.label(),
        destination: scenario.destination.label(),
        source_identity: merged.source_identity.clone(),
        destination_identity: merged.destination_identity.clone(),
        path: merged.path.unwrap_or(FlowPath::Refused),
        verdict: merged.verdict,
        policy: merged.policy.clone().unwrap_or_default(),
        bytes_sent: client.map_or(0, |report| report.bytes_sent),
        bytes_received: client.map_or(0, |report| report.bytes_received),
        latency_us: client.and_then(|report| report.latency_us),
        ok: differs.is_none(),
        differs: differs.unwrap_or_default(),
    }
}

fn programs_differ(scenario: &Scenario, seen: &Seen) -> Option<String> {
    let Some(client) = &seen.client else { return Some("the client gave no report".into()) };
    if scenario.action == Action::Cut {
        return cut_differs(client, seen.server.as_ref());
    }
    if scenario.expected.verdict == Verdict::Deny {
        return denial_differs(client, seen.server.as_ref());
    }
    if client.ended != Ended::Eof {
        return Some(format!("the client's connection ended by {:?}, not in order", client.ended));
    }
    if !client.matches {
        return Some("the client did not get the bytes that were sent".into());
    }
    // A web server gives no report of this kind.
    if scenario.action == Action::Http {
        return None;
    }
    match &seen.server {
        None => Some("the server gave no report".into()),
        Some(server) if !server.matches => Some("the server did not get the bytes that were sent".into()),
        Some(_) => None,
    }
}

fn cut_differs(client: &Report, server: Option<&Report>) -> Option<String> {
    let reset = |report: &Report| report.ended == Ended::Reset;
    if client.bytes_received == 0 {
        Some("the connection never worked".into())
    } else if !reset(client) {
        Some(format!("the client learnt of the cut by {:?}, not by a reset", client.ended))
    } else if !server.is_some_and(reset) {
        Some("the server did not learn of the cut by a reset".into())
    } else {
        None
    }
}

fn denial_differs(client: &Report, server: Option<&Report>) -> Option<String> {
    if server.is_some() {
        Some("the connection reached the application".into())
    } else if client.bytes_received > 0 {
        Some(format!("the client received {} bytes", client.bytes_received))
    } else if client.ended == Ended::Timeout {
        Some("the client was left waiting".into())
    } else {
        None
    }
}

fn identities_differ(scenario: &Scenario, merged: &Merged) -> Option<String> {
    // Nobody verifies anybody on a flow that leaves the mesh.
    if scenario.expected.path == FlowPath::Plaintext {
        return None;
    }
    let wrong = |what: &str, found: &str, wanted: &str| {
        (found != wanted).then(|| format!("the {what} is identified as {found:?}, not {wanted:?}"))
    };
    wrong("source", &merged.source_identity, &scenario.source.identity_text())
        .or_else(|| wrong("destination", &merged.destination_identity, &scenario.destination.identity_text()))
}

#[cfg(test)]
mod tests;
