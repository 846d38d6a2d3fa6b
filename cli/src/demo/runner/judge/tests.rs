use std::net::SocketAddr;

use super::*;
use crate::demo::scenario;

fn target() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7100))
}

fn named(name: &str) -> Scenario {
    scenario::all().into_iter().find(|scenario| scenario.name == name).unwrap()
}

fn report(received: u64, ended: Ended, matches: bool) -> Report {
    Report { bytes_sent: 8, bytes_received: received, ended, latency_us: None, matches }
}

/// What a mesh that does everything right makes of a scenario.
fn right(scenario: &Scenario) -> (Seen, Vec<FlowRecord>) {
    let expected = scenario.expected;
    let (good, reset) = (report(8, Ended::Eof, true), report(8, Ended::Reset, false));
    let seen = match (&scenario.action, expected.verdict) {
        (Action::Cut, _) => Seen { client: Some(reset.clone()), server: Some(reset) },
        (Action::Http, _) => Seen { client: Some(good), server: None },
        (_, Verdict::Allow) => Seen { client: Some(good.clone()), server: Some(good) },
        (_, Verdict::Deny) => Seen { client: Some(report(0, Ended::Reset, false)), server: None },
    };
    let identity = |text: String| (!text.is_empty()).then_some(text);
    let record = |side| FlowRecord {
        side,
        target: target(),
        source_identity: identity(scenario.source.identity_text()),
        destination_identity: identity(scenario.destination.identity_text()),
        path: expected.path,
        verdict: expected.verdict,
        policy: expected.policy.map(str::to_owned),
    };
    (seen, vec![record(Side::Outbound), record(Side::Inbound)])
}

fn judged(scenario: &Scenario, seen: &Seen, records: &[FlowRecord]) -> FlowResult {
    result(scenario, seen, &Merged::new(records, seen))
}

#[test]
fn what_must_be_is_ok() {
    for scenario in scenario::all() {
        let (seen, records) = right(&scenario);
        let result = judged(&scenario, &seen, &records);
        assert!(result.ok, "{result:?}");
        assert!(Merged::new(&records, &seen).complete(&scenario.expected));
        assert_eq!(result.path, scenario.expected.path);
    }
}

#[test]
fn a_flow_that_nobody_recorded_is_not_ok() {
    for scenario in scenario::all() {
        let (seen, _) = right(&scenario);
        let merged = Merged::new(&[], &seen);
        assert!(!merged.complete(&scenario.expected));
        assert!(!judged(&scenario, &seen, &[]).ok, "{}", scenario.name);
    }
}

#[test]
fn any_wrong_record_is_told() {
    let scenario = named("cross-node");
    let (seen, records) = right(&scenario);
    let with = |change: fn(&mut FlowRecord)| {
        let mut records = records.clone();
        records.iter_mut().for_each(change);
        judged(&scenario, &seen, &records).differs
    };
    assert_eq!(with(|record| record.path = FlowPath::Plaintext), "the path is plaintext, not hbone");
    assert_eq!(with(|record| record.verdict = Verdict::Deny), "the verdict is deny, not allow");
    assert!(with(|record| record.source_identity = None).starts_with("the source is identified as \"\""));
    assert!(with(|record| record.destination_identity = None).starts_with("the destination is"));
    let half = judged(&scenario, &seen, &records[..1]).differs;
    assert_eq!(half, "the node of the destination did not record the flow");

    let strict = named("plaintext-to-strict");
    let (seen, mut records) = right(&strict);
    records.iter_mut().for_each(|record| record.policy = Some("shop/other".into()));
    let differs = judged(&strict, &seen, &records).differs;
    assert_eq!(differs, "the deciding policy is shop/other, not shop/payments-strict");
}

#[test]
fn any_wrong_end_of_a_program_is_told() {
    let differs = |name: &str, client: Option<Report>, server: Option<Report>| {
        let scenario = named(name);
        let (_, records) = right(&scenario);
        judged(&scenario, &Seen { client, server }, &records).differs
    };
    let good = || Some(report(8, Ended::Eof, true));
    let reset = || Some(report(8, Ended::Reset, false));
    assert_eq!(differs("cross-node", None, good()), "the client gave no report");
    assert_eq!(differs("cross-node", good(), None), "the server gave no report");
    assert!(differs("cross-node", reset(), good()).contains("Reset"));
    assert!(differs("half-close", good(), reset()).contains("the server did not get"));
    assert!(differs("bulk-upload", Some(report(8, Ended::Eof, false)), good()).contains("did not get"));
    assert!(differs("denied-identity", Some(report(0, Ended::Reset, false)), good()).contains("reached"));
    assert!(differs("denied-identity", Some(report(0, Ended::Timeout, false)), None).contains("waiting"));
    assert!(differs("policy-cut", good(), reset()).contains("Eof, not by a reset"));
    assert!(differs("policy-cut", reset(), good()).contains("server did not learn"));
}

#[test]
fn a_denial_after_bytes_keeps_its_path() {
    let scenario = named("policy-cut");
    let (seen, mut records) = right(&scenario);
    records[1].path = FlowPath::Refused;
    assert_eq!(judged(&scenario, &seen, &records).path, FlowPath::Hbone);
}
