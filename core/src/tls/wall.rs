//! The wall time that rustls sees.

use crate::time::WallTime;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The wall time as last stored, shared by the clones. rustls asks for the time instead of being told; the engine stores
/// `now.wall` here before it calls into a session, so that the answer is still an argument.
#[derive(Clone, Debug)]
pub struct WallCell(Arc<AtomicU64>);

impl WallCell {
    /// Makes a cell that shows `wall`.
    pub fn new(wall: WallTime) -> WallCell {
        WallCell(Arc::new(AtomicU64::new(wall.as_unix_secs())))
    }

    /// Stores the time.
    pub fn set(&self, wall: WallTime) {
        self.0.store(wall.as_unix_secs(), Ordering::Relaxed);
    }

    /// The time as last stored.
    pub fn get(&self) -> WallTime {
        WallTime::from_unix_secs(self.0.load(Ordering::Relaxed))
    }
}

impl TimeProvider for WallCell {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.get().as_unix_secs())))
    }
}
