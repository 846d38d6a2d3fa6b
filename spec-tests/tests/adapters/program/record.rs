//! What the programs of a case have seen so far, for whoever waits for it.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use culvert_sim::world::Seen;
use culvert_spec_tests::testbed::PATIENCE;

/// What one program has seen.
#[derive(Clone, Debug)]
pub struct Record {
    pub is_client: bool,
    /// Its own address.
    pub local: SocketAddr,
    /// The stream that it receives, once its first bytes are there.
    pub hears: Option<u64>,
    pub received: u64,
    pub sent: u64,
    pub seen: Seen,
    /// It has let go of its connection.
    pub over: bool,
    /// What is wrong, where something is.
    pub wrong: Option<String>,
    /// How many bytes its reader was behind, at most.
    pub ahead: u64,
}

/// The records of all programs of a case. The stream that a program sends has the number of its record, plus one.
#[derive(Clone, Default)]
pub struct Records(Arc<(Mutex<Vec<Record>>, Condvar)>);

impl Records {
    /// Everything, now.
    pub fn all(&self) -> MutexGuard<'_, Vec<Record>> {
        self.0.0.lock().unwrap()
    }

    /// A new program.
    pub fn add(&self, is_client: bool, local: SocketAddr, seen: Seen) -> usize {
        let mut all = self.all();
        all.push(Record {
            is_client,
            local,
            hears: None,
            received: 0,
            sent: 0,
            seen,
            over: seen != Seen::Open,
            wrong: None,
            ahead: 0,
        });
        self.0.1.notify_all();
        all.len() - 1
    }

    pub fn change(&self, number: usize, with: impl FnOnce(&mut Record)) {
        with(&mut self.all()[number]);
        self.0.1.notify_all();
    }

    pub fn complain(&self, number: usize, why: String) {
        self.change(number, |record| record.wrong = Some(why));
    }

    /// A program has sent so much in all.
    pub fn has_sent(&self, number: usize, sent: u64) {
        let mut all = self.all();
        let received = server_of(&all, number).map_or(0, |server| all[server].received);
        let record = &mut all[number];
        (record.sent, record.ahead) = (sent, record.ahead.max(sent.saturating_sub(received)));
    }

    /// Waits until something is so.
    ///
    /// # Panics
    /// It does not come, or something is wrong.
    pub fn wait(&self, what: &str, done: impl Fn(&[Record]) -> bool) {
        let until = Instant::now() + PATIENCE + PATIENCE / 2;
        let mut all = self.all();
        while !done(&all) {
            let wrong = all.iter().any(|record| record.wrong.is_some());
            let left = until.saturating_duration_since(Instant::now());
            assert!(!wrong && !left.is_zero(), "it does not come that {what}: {all:#?}");
            all = self.0.1.wait_timeout(all, left).unwrap().0;
        }
    }
}

/// The server that hears a client.
pub fn server_of(all: &[Record], client: usize) -> Option<usize> {
    let stream = client as u64 + 1;
    all.iter().position(|record| !record.is_client && record.hears == Some(stream))
}
