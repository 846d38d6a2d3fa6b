//! What the kernel and the certificate authority do: where a SYN goes, redirects, accepts, credentials.

use std::net::SocketAddr;

use culvert_core::engine::boundary::{Input, Listener, Origin, Output, PodId};
use culvert_core::fault::IoFault;
use culvert_core::identity::rotation;
use culvert_core::mesh::TunnelledApplication;

use super::agenda::Happening;
use super::app::{App, AppId, Script, Seen, Serve};
use super::host::{Host, Pod};
use super::network::{Owner, Side, Via, WireId};
use super::{NodeId, World};

/// What answers a dial.
enum Listening {
    App(Serve),
    Nothing,
    Proxy(NodeId, Origin),
    Unreachable,
}

impl World {
    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Accept(node) => self.accept_again(node),
            Happening::App(app) => {
                self.apps.ready.insert(app);
            }
            Happening::Answer(wire, outcome) => self.answered(wire, outcome),
            Happening::Arrive(wire, side, segment) => self.net.arrive(wire, side, segment),
            Happening::Credential(node, id) => self.authority_answers(node, id),
            Happening::Fetched(node, id, fetch) => self.fetched(node, id, fetch),
            Happening::Rotate(node) => self.rotation_due(node),
            Happening::Reissue(node, id) => self.issue(node, id),
            Happening::Asked(node, name) => self.asked(node, name),
            Happening::Resolved(node, host, outcome) => self.resolved(node, host, outcome),
            Happening::Renew(node, id) => self.renew(node, id),
            Happening::Root(phase) => self.next_root(phase),
            Happening::Facts(node, parcel) => self.arrived(node, parcel),
            Happening::Syn(wire) => self.syn(wire),
            Happening::Unclog => self.net.unclog(),
        }
    }

    /// Carries out what an engine wants of the world.
    pub(super) fn grant(&mut self, node: NodeId) {
        self.notice(node);
        let mut failed = Vec::new();
        for want in std::mem::take(&mut self.nodes[node.0].wants) {
            if let Output::Deliver { .. } = want {
                self.nodes[node.0].delivered.push(want.clone());
            }
            match want {
                Output::Connect { socket, pod, target, source } => {
                    if let Some(fault) = self.refuses_dial(node, pod_of(pod)) {
                        failed.push((socket, fault));
                        continue;
                    }
                    let host = self.host(pod_of(pod)).ip;
                    let target = self.within(pod_of(pod), target);
                    let source = source.unwrap_or(host);
                    let owner = Owner::Node(node, socket);
                    let wire = self.net.dial(Via::Proxy, owner, host, source, target, target.ip());
                    self.nodes[node.0].sockets.insert(socket, (wire, Side::Dialler));
                }
                Output::Deliver { socket, pod, source, address, .. } => {
                    let Host { ip: host, consumer, .. } = *self.host(pod_of(pod));
                    assert!(consumer && address.ip() == host, "{address} is delivered to {host}");
                    let owner = Owner::Node(node, socket);
                    let wire = self.net.dial(Via::Memory, owner, host, source.ip(), address, host);
                    self.nodes[node.0].in_memory.insert(socket);
                    self.nodes[node.0].sockets.insert(socket, (wire, Side::Dialler));
                }
                Output::NeedCredential { id, demand } if self.rotates() => {
                    self.rotate_by(node, rotation::Input::Wanted { id, demand });
                }
                // Where nodes renew by themselves, nobody is asked again because one is over.
                Output::NeedCredential { id, .. } if self.is_over(node, &id) => {}
                Output::NeedCredential { id, .. } => self.ask(node, id),
                Output::DropCredential(id) if self.rotates() => {
                    self.rotate_by(node, rotation::Input::Dropped { id });
                }
                Output::DropCredential(id) => self.forget_credential(node, &id),
                Output::Resolve { host } => self.look_up(node, host),
                Output::NeedFacts { name } => self.ask_for_facts(node, name),
                Output::Close { socket, mode } => {
                    // Opened and closed in one turn: it was wanted earlier in this list.
                    if let Some((wire, side)) = self.nodes[node.0].sockets.remove(&socket) {
                        self.net.close(wire, side, mode == culvert_core::engine::boundary::CloseMode::Abort);
                    }
                }
                Output::Finish { .. } | Output::Interest { .. } | Output::Join { .. } | Output::Report(_) => {
                }
            }
        }
        self.fail_dials(node, failed);
    }

    /// Where a dial within a pod goes: its loopback is its own, and is there for an application that is told of its peers.
    fn within(&self, pod: Pod, target: SocketAddr) -> SocketAddr {
        if !target.ip().is_loopback() {
            return target;
        }
        let tunnel = self.host(pod).spec.application_tunnel;
        let is_told = tunnel.is_some_and(|tunnel| tunnel.protocol == TunnelledApplication::Proxy);
        assert!(is_told, "S11: {target} is dialled within {pod:?}");
        SocketAddr::new(self.host(pod).ip, target.port())
    }

    fn syn(&mut self, id: WireId) {
        let Some(wire) = self.net.syn(id) else { return };
        let (via, target, from, peer) =
            (wire.via, wire.target, wire.end(Side::Dialler).host, wire.end(Side::Dialler).address);
        let listening = match self.listening(via, from, peer, target) {
            // As if it had been dialled there, by the same client.
            Listening::App(Serve::Forward(to)) => self.listening(Via::Proxy, target.ip(), peer, to),
            listening => listening,
        };
        match listening {
            Listening::App(Serve::Forward(_) | Serve::Silent) => {}
            Listening::App(Serve::Script(script)) => self.accept_app(id, target, script, false),
            Listening::App(Serve::Told(script)) => self.accept_app(id, target, script, true),
            Listening::Nothing => self.net.answer(id, Err(IoFault::Refused)),
            Listening::Unreachable => self.net.answer(id, Err(IoFault::Unreachable)),
            Listening::Proxy(node, _) if self.drops_dial(node, id) => {}
            Listening::Proxy(node, origin) => {
                self.net.answer(id, Ok(Owner::Backlog(node, origin)));
                self.accept_backlog(node);
            }
        }
    }

    /// An application accepts.
    fn accept_app(&mut self, wire: WireId, target: SocketAddr, script: Script, is_told: bool) {
        let app = AppId(self.apps.list.len());
        let place = self.host_at(target.ip()).unwrap_or(Pod(0));
        let entry = App::new(wire, Side::Dialled, app.0 as u64 + 1, script, target, target);
        let entry = if is_told { entry.awaits_header() } else { entry };
        self.apps.list.push(entry.at(place, self.net.now));
        self.net.answer(wire, Ok(Owner::App(app)));
        self.apps.ready.insert(app);
    }

    /// Accepts what the kernel has accepted for a process.
    pub(super) fn accept_backlog(&mut self, node: NodeId) {
        if !self.nodes[node.0].is_awake() {
            return;
        }
        let now = self.now_at(node);
        for (wire, side) in self.net.ends_of(node) {
            let Some(Owner::Backlog(_, origin)) =
                self.net.wire(wire).map(|wire| wire.end(side).owner.clone())
            else {
                continue;
            };
            if self.defers_accept(node) {
                return;
            }
            let entry = &mut self.nodes[node.0];
            let socket = entry.accept(&mut self.net, now, origin, wire);
            if entry.sockets.contains_key(&socket) {
                self.net.set_owner(wire, side, Owner::Node(node, socket));
            }
            self.grant(node);
        }
    }

    fn listening(&self, via: Via, from: std::net::IpAddr, peer: SocketAddr, target: SocketAddr) -> Listening {
        if via == Via::Memory {
            return self.served_at(target);
        }
        let source = self.host_at(from);
        let captured = source.and_then(|pod| Some((pod, self.host(pod).node?)));
        let recaptured = target.port() == 15008 && source.is_some_and(|pod| self.host(pod).recaptured);
        if let Some((pod, node)) = captured.filter(|_| via == Via::App || recaptured) {
            if let Some(origin) = self.own_listener(pod, peer, target) {
                return if self.nodes[node.0].killed {
                    Listening::Nothing
                } else {
                    Listening::Proxy(node, origin)
                };
            }
            let listener = if self.host(pod).consumer { Listener::Consumer } else { Listener::Outbound };
            return self.proxy(node, pod, listener, peer, target);
        }
        let Some(host) = self.host_at(target.ip()).filter(|host| !self.host(*host).removed) else {
            return Listening::Unreachable;
        };
        match self.host(host).node {
            // What a pod's own proxy dials within the pod passes the redirect by its mark, but where it listens itself it does.
            Some(node) if target.port() == 15008 || !(via == Via::Proxy && source == Some(host)) => {
                let listener =
                    if target.port() == 15008 { Listener::InboundHbone } else { Listener::InboundPlaintext };
                self.proxy(node, host, listener, peer, target)
            }
            Some(_) | None => self.served_at(target),
        }
    }

    fn served_at(&self, target: SocketAddr) -> Listening {
        let serve = self.apps.listeners.get(&target);
        serve.map_or(Listening::Nothing, |serve| Listening::App(serve.clone()))
    }

    fn proxy(
        &self,
        node: NodeId,
        pod: Pod,
        listener: Listener,
        peer: SocketAddr,
        target: SocketAddr,
    ) -> Listening {
        if self.nodes[node.0].killed {
            return Listening::Nothing;
        }
        let own = |port| SocketAddr::new(self.host(pod).ip, port);
        let (local, original) = match listener {
            Listener::Outbound => (own(15001), Some(target)),
            Listener::InboundPlaintext => (own(15006), Some(target)),
            Listener::InboundHbone => (target, None),
            Listener::Consumer => (target, Some(target)),
        };
        Listening::Proxy(node, Origin { pod: pod.id(), listener, peer, local, original })
    }

    fn answered(&mut self, wire: WireId, outcome: Result<(), IoFault>) {
        let Some((owner, local)) = self.net.answered(wire, &outcome) else { return };
        match owner {
            Owner::App(app) => {
                let entry = &mut self.apps.list[app.0];
                match outcome {
                    Ok(()) => entry.seen = Seen::Open,
                    Err(_) => {
                        entry.seen = Seen::Refused;
                        entry.ended_at = Some(self.net.now);
                    }
                }
                self.apps.ready.insert(app);
            }
            Owner::Attacker(attacker) => {
                let seen = if outcome.is_ok() { Seen::Open } else { Seen::Refused };
                self.attackers[attacker.0].seen = seen;
                self.busy.insert(attacker);
            }
            Owner::Node(node, socket) => {
                let input = match outcome {
                    Ok(()) => Input::Connected { socket, local },
                    Err(fault) => Input::Failed { socket, fault },
                };
                self.nodes[node.0].ready.insert(socket);
                self.input(node, input);
            }
            Owner::Backlog(..) | Owner::Nobody => {}
        }
    }
}

fn pod_of(pod: PodId) -> Pod {
    Pod(usize::try_from(pod.0).unwrap_or(usize::MAX))
}
