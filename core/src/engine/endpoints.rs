//! What becomes of the endpoints that flows were decided for: counted while busy, ejected where they fail, and one more try
//! elsewhere for a connection that provably did nothing yet (node.md B2; invariant S17).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Engine;
use super::boundary::CloseMode;
use super::flow::{End, FlowId, Kind, Phase};
use super::names::Lookup;
use super::timers::Timer;
use crate::balance::Seen;
use crate::capture::{self, Captured, Decision, Need, Resolved, RouteFault};
use crate::fault::{Fault, IoFault, Stage};
use crate::lies::Lies;
use crate::mesh::{ServiceKey, Uid, Workload};
use crate::telemetry::{Event, Reason};
use crate::time::Now;

impl<L: Lies> Engine<L> {
    /// Decides where a flow goes, as the facts are now and with what was seen of endpoints.
    pub(super) fn decision_for(&mut self, now: Now, id: FlowId, source: &Workload) -> Option<Decision> {
        let decision = self.decision_knowing(now, id, source, None)?;
        let host = match &decision {
            Decision::Wait(Need::Resolve { host }) => host,
            Decision::Wait(Need::Facts { name }) => {
                self.ask(now, id, name);
                return Some(decision);
            }
            _ => return Some(decision),
        };
        match self.look_up(now, host) {
            Lookup::Known(resolved) => self.decision_knowing(now, id, source, Some(&resolved)),
            Lookup::Nowhere => Some(Decision::Refuse(RouteFault::NoAddress)),
            Lookup::Awaited => Some(decision),
        }
    }

    fn decision_knowing(
        &self,
        now: Now,
        id: FlowId,
        source: &Workload,
        resolved: Option<&Resolved>,
    ) -> Option<Decision> {
        let flow = self.flows.get(id)?;
        let (peer, original) = (flow.origin.peer, flow.connection.destination);
        let captured = Captured { source, peer, original, resolved };
        let seen = Seen { observed: Some(&self.observed), now: now.time, avoid: flow.avoid.as_ref() };
        Some(capture::outbound_seeing(&self.snapshot, &self.local, &captured, &seen, flow.draw))
    }

    /// Counts a flow as under way to the endpoint of a decision, and to no other.
    pub(super) fn count_endpoint(&mut self, id: FlowId, decision: &Decision) {
        let endpoint = destination(decision).map(|workload| workload.uid.clone());
        let Some(flow) = self.flows.get_mut(id) else { return };
        let before = std::mem::replace(&mut flow.endpoint, endpoint.clone());
        if let Some(endpoint) = endpoint {
            self.observed.begun(&endpoint);
        }
        self.uncount_endpoint(before);
    }

    pub(super) fn uncount_endpoint(&mut self, endpoint: Option<Uid>) {
        if let Some(endpoint) = endpoint {
            self.observed.ended(&endpoint);
        }
    }

    /// The service that a flow addressed, and the endpoint that was chosen of it; a waypoint that stands before it is none.
    fn chosen(&self, id: FlowId) -> Option<(ServiceKey, Uid)> {
        let flow = self.flows.get(id).filter(|flow| flow.kind == Kind::Outbound)?;
        let connection = &flow.connection;
        let key = &connection.service.as_ref()?.key;
        connection.destination_workload.as_ref()?.service_ports(key)?;
        Some((key.clone(), flow.endpoint.clone()?))
    }

    /// A flow has reached its endpoint.
    pub(super) fn endpoint_reached(&mut self, id: FlowId) {
        if let Some((service, endpoint)) = self.chosen(id) {
            self.observed.succeeded(&service, &endpoint);
        }
    }

    /// What these flows waited for has failed, once: their endpoint is one failure nearer to its ejection.
    pub(super) fn endpoint_failed(&mut self, now: Now, flows: &[FlowId], fault: &Fault) {
        if !is_endpoints(fault) {
            return;
        }
        let chosen: BTreeSet<(ServiceKey, Uid)> = flows.iter().filter_map(|id| self.chosen(*id)).collect();
        for (service, endpoint) in chosen {
            let count = self.snapshot.endpoint_index(&service).map_or(0, |endpoints| endpoints.len());
            if let Some(lasts) = self.observed.failed(now.time, &service, &endpoint, count) {
                self.report(Event::EndpointEjected { service, endpoint, lasts });
            }
        }
    }

    /// Reports the endpoints that are given connections again by now.
    pub(super) fn return_endpoints(&mut self, now: Now) {
        for back in self.observed.advance(now.time) {
            self.report(Event::EndpointReturned { service: back.service, endpoint: back.endpoint });
        }
    }

    /// What these flows waited for failed before anything of theirs was sent: each tries another endpoint once, or ends.
    pub(super) fn attempt_failed(&mut self, now: Now, flows: &[FlowId], fault: &Fault) {
        self.endpoint_failed(now, flows, fault);
        for id in flows {
            if let Some(flow) = self.flows.get_mut(*id) {
                flow.phase = Phase::Opening;
            }
            if !self.try_another(now, *id, fault) {
                self.fail(now, *id, Reason::Failed(fault.clone()));
            }
        }
    }

    /// Sends a flow to another endpoint of its service; false where it was tried before, or there is none.
    fn try_another(&mut self, now: Now, id: FlowId, fault: &Fault) -> bool {
        let in_clear = self.flows.get(id).is_some_and(|flow| flow.far != End::None);
        let Some((_, failed)) = self.chosen(id).filter(|_| does_nothing(fault, in_clear)) else {
            return false;
        };
        planted!(RetriedWithoutEnd => return self.try_again(now, id, failed));
        if self.flows.get(id).is_none_or(|flow| flow.retried) {
            return false;
        }
        self.try_again(now, id, failed)
    }

    fn try_again(&mut self, now: Now, id: FlowId, failed: Uid) -> bool {
        let Some(flow) = self.flows.get_mut(id) else { return false };
        let (pod, far) = (flow.pod, flow.far);
        flow.avoid = Some(failed.clone());
        let Some(source) = self.workload_of(pod) else { return false };
        let Some(decision) = self.decision_for(now, id, &source) else { return false };
        if destination(&decision).is_none_or(|workload| workload.uid == failed) {
            return false;
        }
        if let End::Socket(socket) = far {
            self.close_socket(socket, CloseMode::Abort);
        }
        self.begin_anew(id);
        self.follow(now, id, pod, &source, decision);
        true
    }

    /// A CONNECT that provably did nothing is made once more: of an endpoint of the service other than this one, if there is any,
    /// else of this one on another tunnel.
    pub(super) fn connect_again(&mut self, now: Now, id: FlowId) {
        let avoid = self.chosen(id).map(|(_, endpoint)| endpoint);
        if let Some(flow) = self.flows.get_mut(id) {
            flow.avoid = avoid;
        }
        let source =
            self.flows.get(id).map(|flow| flow.pod).and_then(|pod| Some((pod, self.workload_of(pod)?)));
        let decided =
            source.and_then(|(pod, source)| Some((pod, self.decision_for(now, id, &source)?, source)));
        self.begin_anew(id);
        match decided {
            // It goes to the mesh again, or nowhere.
            Some((pod, decision, source)) if !matches!(decision, Decision::Passthrough { .. }) => {
                self.follow(now, id, pod, &source, decision);
            }
            Some(_) | None => self.fail(now, id, Reason::Failed(Fault::WorkloadGone)),
        }
    }

    /// Forgets what came of the first try.
    fn begin_anew(&mut self, id: FlowId) {
        // What it may have to wait for once more.
        self.timers.set(Timer::Flow(id), self.latest.time.after(self.config.limits.wait_for_facts));
        self.stale.remove(&id);
        self.no_longer_judged(id);
        if let Some(flow) = self.flows.get_mut(id) {
            flow.retried = true;
            flow.far = End::None;
            flow.held = None;
        }
        self.learn(id, |connection| {
            connection.hbone = None;
            connection.target = None;
            connection.destination_identity = None;
            connection.policy = None;
        });
    }
}

/// The workload that a decision leads to.
fn destination(decision: &Decision) -> Option<&Arc<Workload>> {
    match decision {
        Decision::Local(to) => Some(&to.destination),
        Decision::Plaintext { destination, .. } => Some(destination),
        Decision::Tunnel(to) => Some(&to.destination),
        Decision::Passthrough { .. } | Decision::Refuse(_) | Decision::Wait(_) => None,
    }
}

/// Whether a failure to reach an endpoint says something of it, and not of this node.
fn is_endpoints(fault: &Fault) -> bool {
    match fault {
        Fault::Io(fault) => match fault {
            IoFault::Reset
            | IoFault::Refused
            | IoFault::TimedOut
            | IoFault::Unreachable
            | IoFault::Other(_) => true,
            IoFault::AddressUnavailable | IoFault::Exhausted | IoFault::NotPermitted => false,
        },
        Fault::Identity(_) | Fault::WrongPeer { .. } | Fault::Tls(_) | Fault::Http2(_) => true,
        Fault::Timeout(stage) => matches!(
            stage,
            Stage::TcpConnect | Stage::TlsHandshake | Stage::Http2Preface | Stage::ConnectResponse
        ),
        // The far proxy could not reach its application.
        Fault::Status(status) => *status == 503,
        Fault::Denied(_)
        | Fault::Revoked(_)
        | Fault::Route(_)
        | Fault::Target(_)
        | Fault::Request(_)
        | Fault::TunnelLost(_)
        | Fault::StreamReset(_)
        | Fault::Limit(_)
        | Fault::Drain
        | Fault::WorkloadGone
        | Fault::Retired => false,
    }
}

/// Whether it is certain that no application saw a connection: no tunnel opened, or the kernel of the endpoint refused a dial in
/// clear.
fn does_nothing(fault: &Fault, in_clear: bool) -> bool {
    if in_clear {
        return matches!(fault, Fault::Io(IoFault::Refused | IoFault::Unreachable));
    }
    is_endpoints(fault) && !matches!(fault, Fault::Status(_) | Fault::Timeout(Stage::ConnectResponse))
}
