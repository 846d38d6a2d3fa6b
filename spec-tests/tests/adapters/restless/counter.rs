//! What the sockets at one address did, as a runtime that wraps another sees it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Counts of all sockets with one address of their own.
#[derive(Debug, Default)]
pub struct Counter {
    bytes_read: AtomicU64,
    most_slices: AtomicUsize,
}

impl Counter {
    pub fn read(&self, len: usize) {
        self.bytes_read.fetch_add(len as u64, Ordering::Relaxed);
    }

    pub fn asked_to_write(&self, slices: usize) {
        self.most_slices.fetch_max(slices, Ordering::Relaxed);
    }

    /// Bytes that came into the process's memory.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// The longest vector that a write was asked for with.
    pub fn most_slices(&self) -> usize {
        self.most_slices.load(Ordering::Relaxed)
    }
}

/// The counter of an address, for as long as the process lives: nodes make their runtimes themselves, on threads of their own.
pub fn counter_of(address: IpAddr) -> Arc<Counter> {
    static COUNTERS: Mutex<BTreeMap<IpAddr, Arc<Counter>>> = Mutex::new(BTreeMap::new());
    COUNTERS.lock().unwrap().entry(address.to_canonical()).or_default().clone()
}
