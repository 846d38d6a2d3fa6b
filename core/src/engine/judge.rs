//! Policy on flows: at their beginning, and again whenever facts change (node.md B4, B5).

use std::net::{IpAddr, SocketAddr};

use super::Engine;
use super::flow::{FlowId, Phase, Side};
use crate::capture;
use crate::fault::{Fault, LimitName};
use crate::identity::SpiffeId;
use crate::lies::Lies;
use crate::mesh::{Action, Changed, Uid, Workload};
use crate::policy::{self, Denial, Verdict};
use crate::telemetry::{Event, Reason};
use crate::time::Now;

impl<L: Lies> Engine<L> {
    /// What policy at `workload` says of a connection, and whether it had to come through a waypoint (node.md B13).
    pub(super) fn verdict(
        &self,
        id: FlowId,
        workload: &Workload,
        identity: Option<&SpiffeId>,
        source: IpAddr,
        destination: SocketAddr,
    ) -> Verdict {
        let for_itself = self.flows.get(id).is_none_or(|flow| !flow.for_another);
        let peer = identity.map(|identity| (identity, source));
        if for_itself && !capture::may_pass(&self.snapshot, &self.local, workload, destination.port(), peer) {
            return self.lies.verdict(Verdict::Deny(Denial::PastWaypoint));
        }
        let connection = policy::Connection { identity, source, destination };
        self.lies.verdict(policy::evaluate(&self.snapshot, workload, &connection, self.config.compat))
    }

    /// Puts a flow under the policies of its destination, so that it is judged again when they change.
    pub(super) fn judged_at(&mut self, id: FlowId, uid: &Uid) {
        self.no_longer_judged(id);
        if let Some(flow) = self.flows.get_mut(id) {
            flow.judged_at = Some(uid.clone());
            self.by_destination.entry(uid.clone()).or_default().insert(id);
        }
    }

    /// Takes a flow out from under the policies of the destination it was decided for before.
    pub(super) fn no_longer_judged(&mut self, id: FlowId) {
        let Some(uid) = self.flows.get_mut(id).and_then(|flow| flow.judged_at.take()) else { return };
        if let Some(flows) = self.by_destination.get_mut(&uid) {
            flows.remove(&id);
            if flows.is_empty() {
                self.by_destination.remove(&uid);
            }
        }
    }

    /// Marks the flows that a change of facts may end; none of their bytes move until they are judged.
    pub(super) fn mark_stale(&mut self, changed: &Changed) {
        let snapshot = self.snapshot.clone();
        let mut affected = Vec::new();
        for (uid, flows) in &self.by_destination {
            let changes = match snapshot.workload(uid.as_str()) {
                Some(workload) => {
                    changed.affects(workload)
                        || (changed.touches_routes() && capture::must_pass(&snapshot, &self.local, workload))
                }
                None => true,
            };
            if changes {
                affected.extend(flows);
            }
        }
        planted!(DiallingNotJudged => {
            affected.retain(|id| self.flows.get(*id).is_some_and(|flow| flow.phase != Phase::Dialling));
        });
        planted!(LiveNotJudged => affected.clear());
        self.stale.extend(&affected);
        // Drivers must hear that they are not read meanwhile: one that comes to read and gets no space is woken again only
        // by interest that returns.
        for id in affected {
            self.mark_dirty(id, Side::Near);
            self.mark_dirty(id, Side::Far);
        }
    }

    /// Judges stale flows: joined ones first, since the kernel moves their bytes, then as many as one turn has budget for.
    pub(super) fn sweep(&mut self, now: Now) {
        if self.stale.is_empty() {
            return;
        }
        let is_joined = |id: &FlowId| self.flows.get(*id).is_some_and(|f| f.joined);
        let joined = self.stale.iter().copied().filter(is_joined);
        let rest = self.stale.iter().copied().filter(|id| !is_joined(id));
        let turn: Vec<FlowId> = joined.chain(rest.take(self.config.limits.judgements_per_turn)).collect();
        planted!(RestNotJudged => self.stale.clear());
        for id in turn {
            self.stale.remove(&id);
            self.judge_again(now, id);
        }
    }

    fn judge_again(&mut self, now: Now, id: FlowId) {
        let Some(flow) = self.flows.get(id) else { return };
        let Some(uid) = flow.judged_at.clone() else { return };
        let Some(target) = flow.connection.target else { return };
        let connection = flow.connection.clone();
        let Some(workload) = self.snapshot.workload(uid.as_str()).cloned() else {
            return self.fail(now, id, Reason::Failed(Fault::WorkloadGone));
        };
        let verdict =
            self.verdict(id, &workload, connection.source_identity.as_ref(), connection.source.ip(), target);
        match verdict {
            Verdict::Allow { .. } => self.release_hold(id),
            Verdict::Deny(denial) => {
                self.learn(id, |c| c.policy = decided_by(&denial));
                let live = self.flows.get(id).is_some_and(|f| f.phase == Phase::Relaying);
                let fault = if live { Fault::Revoked(denial) } else { Fault::Denied(denial) };
                self.fail(now, id, Reason::Failed(fault));
            }
            Verdict::Hold { .. } => {
                let until = now.time.after(self.config.limits.policy_hold);
                planted!(HoldRestarts => if let Some(flow) = self.flows.get_mut(id) {
                    flow.held = None;
                });
                // One that waits for the policy to begin with counts from when it began to wait.
                if let Some(flow) =
                    self.flows.get_mut(id).filter(|flow| !matches!(flow.phase, Phase::Waiting(_)))
                {
                    flow.held.get_or_insert(until);
                }
                self.arm_relay(id);
            }
        }
        self.mark_dirty(id, Side::Near);
        self.mark_dirty(id, Side::Far);
    }

    /// Tells what policies in dry run would have done.
    pub(super) fn report_dry_runs(&mut self, id: FlowId, workload: &Workload) {
        let Some(flow) = self.flows.get(id) else { return };
        let Some(destination) = flow.connection.target else { return };
        let connection = flow.connection.clone();
        let asked = policy::Connection {
            identity: connection.source_identity.as_ref(),
            source: connection.source.ip(),
            destination,
        };
        let matches: Vec<(String, bool)> = policy::dry_run_matches(&self.snapshot, workload, &asked)
            .into_iter()
            .map(|policy| (policy.key().to_string(), policy.action == Action::Deny))
            .collect();
        for (policy, denies) in matches {
            self.report(Event::DryRun { connection: connection.clone(), policy, denies });
        }
    }

    fn release_hold(&mut self, id: FlowId) {
        if self.flows.get_mut(id).is_some_and(|flow| flow.held.take().is_some()) {
            self.arm_relay(id);
        }
    }

    /// A policy that was referenced did not arrive in time: deny (node.md B5).
    pub(super) fn hold_expired(&mut self, now: Now, id: FlowId) {
        planted!(HeldForEver => return);
        let Some(flow) = self.flows.get(id) else { return };
        let missing = flow
            .judged_at
            .as_ref()
            .and_then(|uid| self.snapshot.workload(uid.as_str()))
            .zip(flow.connection.target)
            .map(|(workload, target)| {
                self.verdict(
                    id,
                    workload,
                    flow.connection.source_identity.as_ref(),
                    flow.connection.source.ip(),
                    target,
                )
            });
        let denial = match missing {
            Some(Verdict::Hold { missing }) => Denial::Missing(missing),
            Some(Verdict::Deny(denial)) => denial,
            Some(Verdict::Allow { .. }) | None => Denial::Missing(Vec::new()),
        };
        let fault =
            if flow.phase == Phase::Relaying { Fault::Revoked(denial) } else { Fault::Denied(denial) };
        self.fail(now, id, Reason::Failed(fault));
    }

    /// Whether the connection that was just counted, or a tunnel, fits (node.md B8).
    pub(super) fn admit(&self) -> Result<(), Fault> {
        if self.draining.is_some_and(|until| until <= self.latest.time) {
            return Err(Fault::Drain);
        }
        if self.flows.len() > self.config.limits.connections {
            return Err(Fault::Limit(LimitName::Connections));
        }
        if self.held_bytes >= self.config.limits.memory_max {
            return Err(Fault::Limit(LimitName::Memory));
        }
        Ok(())
    }
}

/// The policy that a denial names, as `namespace/name`.
pub(super) fn decided_by(denial: &Denial) -> Option<String> {
    match denial {
        Denial::Rule(key) | Denial::Undecodable { policy: key, .. } => Some(key.to_string()),
        Denial::Missing(_) | Denial::NotAllowed | Denial::PastWaypoint => None,
    }
}
