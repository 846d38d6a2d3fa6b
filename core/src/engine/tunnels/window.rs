//! Windows of a tunnel's streams: wide where few move much, the usual where many share, low where memory is (node.md B8).

use std::time::Duration;

use super::{TunnelId, TunnelPhase};
use crate::engine::Engine;
use crate::lies::Lies;
use crate::time::{Now, Time};

/// Streams that may have a wide window at once: what they hold together stays below what many hold of the usual one.
const FEW: usize = 4;
/// Streams from which on all have the usual window again; more than [`FEW`], so that it does not go to and fro.
const MANY: usize = 16;
/// A usual window passed on within this is worth a wider one: less than that, and round trips are not what holds it up.
const SPAN: Duration = Duration::from_secs(1);

/// Which window the streams of a tunnel have, and what speaks for another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    wide: bool,
    /// Bytes passed on to applications while few streams were open, since `since`.
    passed: u64,
    since: Time,
}

impl Window {
    pub(super) const USUAL: Window = Window { wide: false, passed: 0, since: Time::START };
}

impl<L: Lies> Engine<L> {
    /// Counts what applications took. What only arrives says nothing: whoever does not read has no use for more.
    pub(in crate::engine) fn count_passed(&mut self, now: Now, id: TunnelId, len: usize) {
        let Some(entry) = self.tunnels.get_mut(id) else { return };
        let window = &mut entry.window;
        if now.time.since(window.since) > SPAN {
            (window.passed, window.since) = (0, now.time);
        }
        window.passed += len as u64;
    }

    /// Widens the window of streams that pass on more than the usual one in a [`SPAN`], and narrows it once there are many.
    pub(super) fn set_window(&mut self, id: TunnelId) {
        let (usual, wide) = (self.config.limits.stream_window, self.config.limits.stream_window_wide);
        let Some(entry) = self.tunnels.get_mut(id).filter(|t| t.phase == TunnelPhase::Open) else { return };
        let open = entry.streams.len();
        if open > FEW {
            entry.window.passed = 0;
        }
        let widen = !entry.window.wide && entry.window.passed > u64::from(usual) && wide > usual;
        let narrow = entry.window.wide && open > MANY;
        if !(widen || narrow) || self.windows_low {
            return;
        }
        entry.window.wide = widen;
        entry.window.passed = 0;
        entry.tunnel.mux_mut().set_stream_window(if widen { wide } else { usual });
        self.dirty_tunnels.insert(id);
    }

    /// Windows shrink when memory runs low, and grow back (node.md B8).
    pub(in crate::engine) fn balance_memory(&mut self) {
        let limits = &self.config.limits;
        let low = if self.windows_low {
            self.held_bytes > limits.memory_low / 2
        } else {
            self.held_bytes > limits.memory_low
        };
        if low == self.windows_low {
            return;
        }
        self.windows_low = low;
        let window = if low { limits.stream_window_low } else { limits.stream_window };
        for id in self.tunnels.keys() {
            if let Some(entry) = self.tunnels.get_mut(id) {
                entry.window = Window::USUAL;
                entry.tunnel.mux_mut().set_stream_window(window);
                self.dirty_tunnels.insert(id);
            }
        }
    }
}
