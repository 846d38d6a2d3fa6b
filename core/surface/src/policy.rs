//! `culvert_core::policy`.

use culvert_core::identity::SpiffeId;
use culvert_core::mesh::Policy;
use culvert_core::mesh::PolicyKey;
use culvert_core::mesh::Snapshot;
use culvert_core::mesh::Workload;
use culvert_core::policy::{Compat, Connection, Denial, Verdict, dry_run_matches, evaluate, missing};
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;

pub fn cases_of_compat(value: Compat) -> &'static str {
    match value {
        Compat::Culvert => "Culvert",
        Compat::Istio => "Istio",
    }
}
pub fn cases_of_denial(value: Denial) -> &'static str {
    match value {
        Denial::Missing(f0) => {
            let _: Vec<PolicyKey> = f0;
            "Missing"
        }
        Denial::NotAllowed => "NotAllowed",
        Denial::PastWaypoint => "PastWaypoint",
        Denial::Rule(f0) => {
            let _: PolicyKey = f0;
            "Rule"
        }
        Denial::Undecodable { policy, reason } => {
            let _: PolicyKey = policy;
            let _: Arc<str> = reason;
            "Undecodable"
        }
    }
}
const _: fn(&Denial) -> &'static str = Denial::label;
pub fn cases_of_verdict(value: Verdict) -> &'static str {
    match value {
        Verdict::Allow { by } => {
            let _: Option<PolicyKey> = by;
            "Allow"
        }
        Verdict::Deny(f0) => {
            let _: Denial = f0;
            "Deny"
        }
        Verdict::Hold { missing } => {
            let _: Vec<PolicyKey> = missing;
            "Hold"
        }
    }
}
const _: fn(&Verdict) -> bool = Verdict::is_allow;
const _: fn(Verdict) -> Verdict = Verdict::at_deadline;
const _: for<'a> fn(&'a Snapshot, &'a Workload, &Connection<'_>) -> Vec<&'a Policy> = dry_run_matches;
const _: fn(&Snapshot, &Workload, &Connection<'_>, Compat) -> Verdict = evaluate;
pub fn fields_of_connection<'a>(value: Connection<'a>) -> (Option<&'a SpiffeId>, IpAddr, SocketAddr) {
    let Connection { identity, source, destination } = value;
    (identity, source, destination)
}

pub fn policies_missing<'a>(
    snapshot: &'a Snapshot,
    destination: &'a Workload,
) -> impl Iterator<Item = &'a PolicyKey> {
    missing(snapshot, destination)
}
