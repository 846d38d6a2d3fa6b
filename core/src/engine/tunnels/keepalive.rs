//! An open tunnel's timer: PING, idle, age, and the end of a certificate's validity.

use super::{TunnelId, TunnelPhase};
use crate::engine::Engine;
use crate::engine::timers::Timer;
use crate::fault::{Fault, Stage};
use crate::lies::Lies;
use crate::time::Now;

impl<L: Lies> Engine<L> {
    pub(super) fn start_keepalive(&mut self, now: Now, id: TunnelId) {
        self.timers.set(Timer::Tunnel(id), now.time.after(self.config.limits.ping_interval));
    }

    /// A PING every interval, whether or not bytes move (node.md row 40).
    pub(super) fn keepalive(&mut self, now: Now, id: TunnelId) {
        let limits = self.config.limits.clone();
        let Some(entry) = self.tunnels.get_mut(id).filter(|t| t.phase == TunnelPhase::Open) else { return };
        planted!(PeerNeverDead => entry.ping_sent = None);
        if let Some(sent) = entry.ping_sent {
            let dead = sent.after(limits.ping_timeout);
            if dead <= now.time {
                return self.lose_tunnel(now, id, Fault::Timeout(Stage::Keepalive));
            }
            self.timers.set(Timer::Tunnel(id), dead);
        } else {
            entry.ping_sent = Some(now.time);
            // One that is under way already serves as well.
            let _under_way = entry.tunnel.mux_mut().ping();
            entry.tunnel.shrink();
            self.dirty_tunnels.insert(id);
            self.timers.set(Timer::Tunnel(id), now.time.after(limits.ping_interval));
        }
        let Some(entry) = self.tunnels.get(id) else { return };
        let old = entry.opened.after(limits.tunnel_max_age) <= now.time;
        let expired = entry.expired(now.wall).is_err();
        // A peer closes its own idle tunnels; one that never does is not waited for.
        let patience = if entry.key.is_some() { limits.tunnel_idle } else { limits.tunnel_idle * 2 };
        let idle = entry.is_empty() && entry.idle_since.after(patience) <= now.time;
        if old || expired || idle || entry.tunnel.mux().should_retire() {
            self.retire_tunnel(now, id);
        }
    }

    pub(super) fn pong(&mut self, now: Now, id: TunnelId) {
        let interval = self.config.limits.ping_interval;
        let Some(entry) = self.tunnels.get_mut(id) else { return };
        if let Some(sent) = entry.ping_sent.take() {
            self.timers.set(Timer::Tunnel(id), sent.after(interval).max(now.time));
        }
    }
}
