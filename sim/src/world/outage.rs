//! What goes wrong between hosts: ways that are cut, clogged, slow or lossy, hosts without a route, connections forgotten.

use std::time::Duration;

use super::agenda::Happening;
use super::app::{App, Seen};
use super::network::Direction;
use super::{AppId, Pod, World};

impl World {
    /// From here on nothing passes between a pod or machine and other hosts.
    pub fn blackhole(&mut self, pod: Pod) {
        self.cut(pod, Direction::Out);
        self.cut(pod, Direction::In);
    }

    /// From here on nothing passes in one direction between a pod or machine and other hosts.
    pub fn cut(&mut self, pod: Pod, direction: Direction) {
        let ip = self.host(pod).ip;
        self.net.paths.cut(ip, direction);
    }

    /// Nothing passes between a pod or machine and other hosts for so long; then it comes all at once.
    pub fn clog(&mut self, pod: Pod, time: Duration) {
        let (ip, until) = (self.host(pod).ip, self.net.now.after(time));
        self.net.paths.clog(ip, until);
        self.net.agenda.put(until, Happening::Unclog);
    }

    /// From here on nobody has a route to a pod or machine: dials fail, and what is sent on connections is repeated in vain.
    pub fn lose_route(&mut self, pod: Pod) {
        let ip = self.host(pod).ip;
        self.net.paths.lose_route(ip);
    }

    /// All ways are free again.
    pub fn heal(&mut self) {
        self.net.heal();
    }

    /// The time between hosts, one way.
    pub fn latency(&mut self, latency: Duration) {
        self.net.paths.latency = latency;
    }

    /// Every segment between hosts takes up to so much longer, each a different part of it.
    pub fn jitter(&mut self, jitter: Duration) {
        self.net.paths.jitter = jitter;
    }

    /// A connection between hosts carries so many bytes in a second, one way.
    pub fn bandwidth(&mut self, bytes: u64) {
        self.net.paths.bandwidth = Some(bytes);
    }

    /// One of so many segments between hosts is lost and sent again later, from here on; none with `None`.
    pub fn loss(&mut self, one_of: Option<u64>) {
        self.net.paths.loss = one_of;
    }

    /// How many segments were lost so far.
    pub fn lost(&self) -> usize {
        self.net.paths.lost
    }

    /// How many times a clog was over that had held something back.
    pub fn bursts(&self) -> usize {
        self.net.bursts
    }

    /// Whether anything is held back now on a way that is not free.
    pub fn is_clogged(&self) -> bool {
        self.net.is_clogged()
    }

    /// The host of an application forgets its connection, as one that has lost its power: nobody is told, and what arrives for
    /// it later meets RST.
    pub fn lose(&mut self, app: AppId) {
        let now = self.net.now;
        let App { wire, side, .. } = self.apps.list[app.0];
        if self.apps.list[app.0].vanish(now) {
            self.net.forget(wire, side);
        }
        self.turn();
    }
}

impl App {
    /// It is gone without a word; whether it was there.
    fn vanish(&mut self, now: culvert_core::time::Time) -> bool {
        if self.has_closed() {
            return false;
        }
        self.let_go();
        if matches!(self.seen, Seen::Open | Seen::Dialling) {
            self.seen = Seen::Left;
            self.ended_at = Some(now);
        }
        true
    }
}
