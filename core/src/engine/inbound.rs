//! What reaches a local pod: plain connections, and streams of tunnels. Both are judged, then dialled to the application.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::Engine;
use super::boundary::{Listener, Origin};
use super::flow::{End, FlowId, Kind, Side, Waiting};
use super::timers::Timer;
use super::tunnels::{StreamUser, TunnelId};
use crate::capture;
use crate::fault::Fault;
use crate::hbone::connect::{Authority, Baggage, ConnectRequest, ConnectResponse, RequestFault};
use crate::hbone::mux::StreamId;
use crate::identity::SpiffeId;
use crate::lies::{Answer, Lies};
use crate::mesh::Workload;
use crate::proxy_protocol::{Endpoints, Header};
use crate::telemetry::{Event, Path, Reason};
use crate::time::Now;

impl<L: Lies> Engine<L> {
    /// A plain connection to a local pod (node.md row 68).
    pub(super) fn admit_plaintext(&mut self, now: Now, id: FlowId) {
        let Some(flow) = self.flows.get(id) else { return };
        let (pod, peer, original) = (flow.pod, flow.origin.peer, flow.connection.destination);
        let Some(workload) = self.workload_of(pod) else { return self.wait(id, Waiting::Facts) };
        if self.awaits_facts(now, id, &workload, None) {
            return;
        }
        let target = match capture::inbound_plaintext(&self.local, &workload, original) {
            Ok(target) => target,
            Err(fault) => return self.fail(now, id, Reason::Failed(Fault::Target(fault))),
        };
        self.learn(id, |c| {
            c.target = Some(target.target);
            c.destination_identity = Some(workload.identity().clone());
            c.destination_workload = Some(workload.clone());
        });
        if !self.judge_new(now, id, &workload, None, peer.ip(), target.target) {
            return;
        }
        self.learn(id, |c| c.path = Path::Plaintext);
        self.reach_application(now, id, pod, target.dial);
    }

    /// A peer opened a stream on its tunnel.
    pub(super) fn stream_requested(
        &mut self,
        now: Now,
        tunnel: TunnelId,
        stream: StreamId,
        request: Result<ConnectRequest, RequestFault>,
        ignored: u32,
    ) {
        let Some(entry) = self.tunnels.get(tunnel) else { return };
        let origin = entry.origin;
        let request = match request {
            Ok(request) => request,
            Err(fault) => {
                if let Some(entry) = self.tunnels.get_mut(tunnel) {
                    let answer = ConnectResponse::new(fault.status());
                    let _gone = entry.tunnel.mux_mut().respond(stream, &answer, true);
                    self.dirty_tunnels.insert(tunnel);
                }
                return;
            }
        };
        if let Some(answer) = self.lies.answer() {
            return self.answer_falsely(tunnel, stream, answer);
        }
        let origin = Origin { listener: Listener::InboundHbone, ..origin };
        let id = self.new_flow(now, Kind::Tunnelled, origin, origin.local);
        if let Some(entry) = self.tunnels.get_mut(tunnel) {
            entry.streams.insert(stream, StreamUser::Flow(id, Side::Near));
        }
        if let Some(flow) = self.flows.get_mut(id) {
            flow.near = End::Stream(tunnel, stream);
        }
        let identity = self.tunnels.get(tunnel).and_then(|t| t.peer.as_ref()).map(|peer| peer.id.clone());
        planted!(
            IdentityOfAnother,
            identity = self.tunnels.iter().find_map(|(_, t)| t.peer.as_ref()).map(|p| p.id.clone())
        );
        self.learn(id, |c| {
            c.source_identity = identity;
            c.trace = request.trace.as_ref().map(|trace| trace.trace);
            c.hbone = Some(origin.local);
        });
        if ignored > 0 {
            self.report(Event::HeadersIgnored { peer: origin.peer, count: ignored });
        }
        if let Some(flow) = self.flows.get_mut(id) {
            flow.authority = Some(request.authority);
        }
        let valid = self.tunnels.get(tunnel).map_or(Ok(()), |entry| entry.expired(now.wall));
        match valid.map_err(Fault::Identity).and_then(|()| self.admit()) {
            Err(fault) => self.fail(now, id, Reason::Failed(fault)),
            Ok(()) => {
                self.timers.set(Timer::Flow(id), now.time.after(self.config.limits.wait_for_facts));
                self.resume(now, id);
            }
        }
    }

    /// Answers a CONNECT of which nothing else is done. An honest node never does.
    fn answer_falsely(&mut self, tunnel: TunnelId, stream: StreamId, answer: Answer) {
        if let (Answer::Status { status, end }, Some(entry)) = (answer, self.tunnels.get_mut(tunnel)) {
            let _gone = entry.tunnel.mux_mut().respond(stream, &ConnectResponse::new(status), end);
            self.dirty_tunnels.insert(tunnel);
        }
    }

    pub(super) fn admit_tunnelled(&mut self, now: Now, id: FlowId) {
        let Some(flow) = self.flows.get(id) else { return };
        let (pod, peer, local) = (flow.pod, flow.origin.peer, flow.origin.local);
        let Some(authority) = flow.authority.clone() else { return };
        let identity = flow.connection.source_identity.clone();
        let Some(workload) = self.workload_of(pod) else { return self.wait(id, Waiting::Facts) };
        if self.awaits_facts(now, id, &workload, Some(&authority)) {
            return;
        }
        let target = match capture::inbound_connect(&self.snapshot, &self.local, &workload, local, &authority)
        {
            Ok(target) => target,
            Err(fault) => return self.fail(now, id, Reason::Failed(Fault::Target(fault))),
        };
        let told = target.shown.map(|shown| self.header_of(peer, shown, identity.clone()));
        if let Some(flow) = self.flows.get_mut(id) {
            flow.for_another = target.for_another;
            flow.header = told;
        }
        self.learn(id, |c| {
            if let Authority::Ip(address) = authority {
                c.destination = address;
            }
            c.target = Some(target.target);
            c.destination_identity = Some(workload.identity().clone());
            c.destination_workload = Some(workload.clone());
        });
        if !self.judge_new(now, id, &workload, identity.as_ref(), peer.ip(), target.target) {
            return;
        }
        self.learn(id, |c| c.path = Path::Hbone);
        self.reach_application(now, id, pod, target.dial);
    }

    /// What an application is told of a connection before its bytes (node.md row 66).
    fn header_of(&self, source: SocketAddr, destination: SocketAddr, identity: Option<SpiffeId>) -> Bytes {
        planted!(HeaderOfNobody, identity = None);
        let endpoints = Endpoints::Tcp { source, destination };
        Bytes::from(Header { endpoints, identity }.to_bytes())
    }

    /// The application answered: so does CONNECT (node.md row 36).
    pub(super) fn accept_stream(&mut self, tunnel: TunnelId, stream: StreamId, id: FlowId) {
        let workload = self
            .flows
            .get(id)
            .filter(|_| self.config.response_baggage)
            .and_then(|f| f.connection.destination_workload.clone());
        let response =
            ConnectResponse { status: 200, baggage: workload.map(|workload| baggage_of(&workload)) };
        if let Some(entry) = self.tunnels.get_mut(tunnel) {
            // Where the stream is gone already its reset has ended the flow, or is about to.
            let _gone = entry.tunnel.mux_mut().respond(stream, &response, false);
            self.dirty_tunnels.insert(tunnel);
        }
    }
}

/// What a workload says of itself in the `baggage` header (node.md row 32).
pub(super) fn baggage_of(workload: &Arc<Workload>) -> Baggage {
    let mut baggage = Baggage::default();
    let about = &workload.about;
    for (key, value) in [
        ("k8s.cluster.name", about.cluster_id.as_ref()),
        ("k8s.namespace.name", workload.namespace()),
        (about.workload_type.baggage_key(), about.workload_name.as_ref()),
        ("service.name", about.canonical_name.as_ref()),
        ("service.version", about.canonical_revision.as_ref()),
        ("cloud.region", about.locality.region.as_ref()),
        ("cloud.availability_zone", about.locality.zone.as_ref()),
    ] {
        if !value.is_empty() {
            baggage.push(key, value);
        }
    }
    baggage
}
