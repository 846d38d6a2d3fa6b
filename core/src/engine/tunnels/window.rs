//! Windows of a tunnel's streams: wide where few move much, the usual where many share, low where memory is (node.md B8).

use super::{TunnelId, TunnelPhase};
use crate::engine::Engine;

/// Streams that may have a wide window at once: what they hold together stays below what many hold of the usual one.
const FEW: usize = 4;
/// Streams from which on all have the usual window again; more than [`FEW`], so that it does not go to and fro.
const MANY: usize = 16;

/// Which window the streams of a tunnel have, and what speaks for another.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    wide: bool,
    /// Bytes received while few streams were open.
    received: u64,
}

impl Engine {
    pub(super) fn count_received(&mut self, id: TunnelId, len: usize) {
        if let Some(entry) = self.tunnels.get_mut(id) {
            entry.window.received += len as u64;
        }
    }

    /// Widens the window of streams that have filled the usual one, and narrows it once there are many.
    pub(super) fn set_window(&mut self, id: TunnelId) {
        let (usual, wide) = (self.config.limits.stream_window, self.config.limits.stream_window_wide);
        let Some(entry) = self.tunnels.get_mut(id).filter(|t| t.phase == TunnelPhase::Open) else { return };
        let open = entry.streams.len();
        if open > FEW {
            entry.window.received = 0;
        }
        // Only readers that keep up are worth a wider window: what others would hold is memory.
        let read = entry.tunnel.mux().held_bytes() < usual as usize / 2;
        let widen = !entry.window.wide && entry.window.received > u64::from(usual) && wide > usual && read;
        let narrow = entry.window.wide && open > MANY;
        if !(widen || narrow) || self.windows_low {
            return;
        }
        entry.window.wide = widen;
        entry.window.received = 0;
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
                entry.window = Window::default();
                entry.tunnel.mux_mut().set_stream_window(window);
                self.dirty_tunnels.insert(id);
            }
        }
    }
}
