//! Connections that come another way than the redirect's: with a source that is not theirs, straight to a listener of the
//! proxy, or from the proxy itself.

use std::net::{IpAddr, SocketAddr};

use culvert_core::engine::boundary::{Listener, Origin};

use super::app::App;
use super::host::Pod;
use super::network::{Owner, Side, Via};
use super::{AppId, Script, World};

impl World {
    /// An application of a machine dials with the address of a pod as its source, and gets the answers all the same.
    pub fn call_as(&mut self, from: Pod, shown: Pod, target: SocketAddr, script: Script) -> AppId {
        let source = self.host(shown).ip;
        self.call_by(from, source, target.ip(), target, script)
    }

    /// What a pod's proxy dials on another's HBONE port is redirected to itself: its mark is lost.
    pub fn recapture(&mut self, pod: Pod, recaptured: bool) {
        self.hosts[pod.0].recaptured = recaptured;
    }

    pub(super) fn call_by(
        &mut self,
        from: Pod,
        source: IpAddr,
        route: IpAddr,
        target: SocketAddr,
        script: Script,
    ) -> AppId {
        let id = AppId(self.apps.list.len());
        let wire = self.net.dial(Via::App, Owner::App(id), self.host(from).ip, source, target, route);
        let local = self.net.wire(wire).map_or(target, |wire| wire.end(Side::Dialler).address);
        let stream = id.0 as u64 + 1;
        let app = App::new(wire, Side::Dialler, stream, script, target, local);
        self.apps.list.push(app.at(from, self.net.now));
        id
    }

    /// The listener that a pod's own application reaches where it dials one of the proxy's in its namespace: nothing redirects
    /// what stays within it.
    pub(super) fn own_listener(&self, pod: Pod, peer: SocketAddr, target: SocketAddr) -> Option<Origin> {
        if target.ip() != self.host(pod).ip {
            return None;
        }
        let listener = match target.port() {
            15001 => Listener::Outbound,
            15006 => Listener::InboundPlaintext,
            15008 => Listener::InboundHbone,
            _ => return None,
        };
        Some(Origin { pod: pod.id(), listener, peer, local: target, original: None })
    }
}
