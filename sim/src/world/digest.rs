//! One number for what happened, the same in every process and build: what two runs of one seed are compared by (M1).

use std::fmt;
use std::hash::{Hash, Hasher};

use culvert_core::engine::boundary::Output;
use culvert_core::telemetry::{Connection, Event};

/// Takes in words and gives out a number. Not for tables: it knows no collisions by chance, but any on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digest(u64);

impl Default for Digest {
    fn default() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    fn word(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }

    /// All of an output but the facts that it refers to.
    pub(crate) fn output(&mut self, output: &Output) {
        std::mem::discriminant(output).hash(self);
        match output {
            Output::Connect { socket, pod, target, source } => (socket, pod, target, source).hash(self),
            Output::Deliver { socket, pod, peer, source, target, address } => {
                (socket, pod, peer, source, target, address).hash(self)
            }
            Output::Interest { socket, interest } => (socket, interest).hash(self),
            Output::Join { a, b } => (a, b).hash(self),
            Output::NeedCredential { id, demand } => (id, demand).hash(self),
            Output::DropCredential(id) => id.hash(self),
            Output::Resolve { host } => host.hash(self),
            Output::NeedFacts { name } => name.to_string().hash(self),
            Output::Finish { socket } => socket.hash(self),
            Output::Close { socket, mode } => (socket, mode).hash(self),
            Output::Report(event) => self.event(event),
        }
    }

    fn event(&mut self, event: &Event) {
        std::mem::discriminant(event).hash(self);
        match event {
            Event::Opened(connection) => self.connection(connection),
            Event::Closed { connection, bytes_sent, bytes_received, duration, reason } => {
                self.connection(connection);
                (bytes_sent, bytes_received, duration).hash(self);
                self.text(reason);
            }
            Event::TunnelOpened { peer, identity, side } => (peer, identity, side).hash(self),
            Event::TunnelClosed { peer, side, fault } => {
                (peer, side).hash(self);
                self.text(fault);
            }
            Event::DryRun { connection, policy, denies } => {
                self.connection(connection);
                (policy, denies).hash(self);
            }
            Event::HeadersIgnored { peer, count } => (peer, count).hash(self),
            Event::EndpointEjected { service, endpoint, lasts } => (service, endpoint, lasts).hash(self),
            Event::EndpointReturned { service, endpoint } => (service, endpoint).hash(self),
            Event::Misuse(what) => what.hash(self),
            Event::Drained => {}
            Event::WorkerRestarted { why, restarts } => (why, restarts).hash(self),
        }
    }

    fn connection(&mut self, connection: &Connection) {
        let Connection { reporter, path, source, destination, hbone, target, .. } = connection;
        (reporter, path, source, destination, hbone, target).hash(self);
        let Connection { source_identity, destination_identity, policy, trace, opened, .. } = connection;
        (source_identity, destination_identity, policy, trace, opened).hash(self);
        let names = [&connection.source_workload, &connection.destination_workload];
        names.map(|workload| workload.as_ref().map(|workload| &workload.uid)).hash(self);
    }

    fn text(&mut self, shown: &impl fmt::Display) {
        // Whole, since into how many pieces a formatter divides it is its own affair.
        self.write(shown.to_string().as_bytes());
    }
}

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.word(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn write_u8(&mut self, value: u8) {
        self.word(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.word(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.word(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.word(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.word(value as u64);
    }
}
