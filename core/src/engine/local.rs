//! What this process serves: pods, the facts it knows, and its going away.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Engine;
use super::boundary::{CloseMode, PodId, WorkloadRef};
use super::flow::{End, FlowId};
use super::sockets::User;
use super::timers::Timer;
use crate::fault::Fault;
use crate::identity::SpiffeId;
use crate::identity::rotation::Demand;
use crate::lies::Lies;
use crate::mesh::{Changed, Snapshot, TunnelProtocol, Uid, Workload};
use crate::telemetry::{Event, Reason};
use crate::time::{Now, Time};

/// A pod of this process.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) workload: WorkloadRef,
    /// Its application lives in this process.
    pub(super) consumer: bool,
    /// Its UID in the current facts, once they know it.
    pub(super) uid: Option<Uid>,
}

impl<L: Lies> Engine<L> {
    pub(super) fn pod_added(&mut self, now: Now, pod: PodId, workload: WorkloadRef, consumer: bool) {
        self.pods.insert(pod, Pod { workload, consumer, uid: None });
        self.find_pods();
        self.index_pods();
        self.prefetch_credentials();
        self.facts_changed(now);
    }

    pub(super) fn pod_removed(&mut self, now: Now, pod: PodId) {
        if self.pods.remove(&pod).is_none() {
            return;
        }
        self.index_pods();
        let flows: Vec<FlowId> = self
            .flows
            .iter()
            .filter(|(_, f)| f.pod == pod || self.reaches(f.far, pod))
            .map(|(id, _)| id)
            .collect();
        for flow in flows {
            self.fail(now, flow, Reason::Failed(Fault::WorkloadGone));
        }
        for tunnel in self.tunnels.keys() {
            if self.tunnels.get(tunnel).is_some_and(|t| t.pod == pod) {
                self.lose_tunnel(now, tunnel, Fault::WorkloadGone);
            }
        }
        self.forget_credentials();
    }

    fn reaches(&self, end: End, pod: PodId) -> bool {
        match end {
            End::Socket(socket) => self.sockets.get(socket).is_some_and(|s| s.pod == pod),
            End::None | End::Stream(..) => false,
        }
    }

    /// Finds the workload of each pod in the current facts; true if one is another than before.
    fn find_pods(&mut self) -> bool {
        let mut moved = false;
        for pod in self.pods.values_mut() {
            let w = &pod.workload;
            let found = self.snapshot.instances(&w.namespace, &w.name, &w.service_account).next();
            let found = found.map(|workload| &workload.uid);
            if pod.uid.as_ref() != found {
                pod.uid = found.cloned();
                moved = true;
            }
        }
        moved
    }

    fn index_pods(&mut self) {
        let known = |(id, pod): (&PodId, &Pod)| Some((pod.uid.clone()?, *id));
        self.pod_of_uid = self.pods.iter().filter_map(known).collect();
        self.local.workloads = self.pod_of_uid.keys().cloned().collect();
    }

    /// The facts about the workload in a pod, where they have arrived.
    pub(super) fn workload_of(&self, pod: PodId) -> Option<Arc<Workload>> {
        let uid = self.pods.get(&pod)?.uid.as_ref()?;
        self.snapshot.workload(uid.as_str()).cloned()
    }

    pub(super) fn serves_identity(&self, id: &SpiffeId) -> bool {
        self.pods.values().any(|pod| {
            pod.uid
                .as_ref()
                .and_then(|uid| self.snapshot.workload(uid.as_str()))
                .is_some_and(|workload| workload.identity() == id)
        })
    }

    /// Credentials of local workloads that take tunnels are fetched before the first connection needs them (node.md row 80).
    fn prefetch_credentials(&mut self) {
        let tunnelled = |workload: &&Arc<Workload>| workload.protocol == TunnelProtocol::Hbone;
        let identity = |uid: &Uid| Some(self.snapshot.workload(uid.as_str()).filter(tunnelled)?.identity());
        let wanted: BTreeSet<SpiffeId> = self
            .pod_of_uid
            .keys()
            .filter_map(identity)
            .filter(|id| !self.credentials.is_known(id))
            .cloned()
            .collect();
        for id in wanted {
            self.credential_for(&id, Demand::WarmUp);
        }
    }

    /// Takes in new facts: decisions from here on use them, and what they may end is judged again (node.md B4).
    pub(super) fn apply(&mut self, now: Now, snapshot: Arc<Snapshot>, changed: &Changed) {
        self.snapshot = snapshot;
        if self.find_pods() {
            self.index_pods();
        }
        self.forget_credentials();
        self.prefetch_credentials();
        self.mark_stale(changed);
        if !changed.removed.is_empty() {
            changed.removed.iter().for_each(|gone| self.observed.forget(gone));
            self.close_tunnels_to(now, &changed.removed);
        }
        self.facts_changed(now);
    }

    /// Gives every flow that waits another try, in the order in which they began.
    pub(super) fn facts_changed(&mut self, now: Now) {
        planted!(FactsWakeNobody => return);
        for flow in std::mem::take(&mut self.waiting) {
            self.resume(now, flow);
        }
        for tunnel in self.tunnels.keys() {
            self.try_accept_tunnel(now, tunnel);
        }
    }

    pub(super) fn drain(&mut self, now: Now, until: Time) {
        if self.draining.is_some() {
            return;
        }
        self.draining = Some(until);
        self.timers.set(Timer::Drain, until);
        for tunnel in self.tunnels.keys() {
            self.drain_tunnel(now, tunnel);
        }
    }

    pub(super) fn drain_deadline(&mut self, now: Now) {
        for flow in self.flows.keys() {
            planted!(DrainSparesHalfClosed => if self.flows.get(flow).is_some_and(|f| f.ended.near != f.ended.far) {
                continue;
            });
            self.fail(now, flow, Reason::Failed(Fault::Drain));
        }
        for socket in self.sockets.keys() {
            if self.sockets.get(socket).is_some_and(|entry| entry.user == User::Leaving) {
                self.close_socket(socket, CloseMode::Abort);
            }
        }
        self.hurry_tunnels(now);
    }

    /// Says once that everything ended after a drain began, what is still being delivered of connections that are over
    /// included.
    pub(super) fn finish_drain(&mut self) {
        let over = self.draining.is_some()
            && self.flows.len() == 0
            && self.tunnels.len() == 0
            && self.sockets.len() == 0;
        if over && !self.drained {
            self.drained = true;
            planted!(DrainDeadlineForgotten => self.timers.clear(Timer::Drain));
            self.report(Event::Drained);
        }
    }
}
