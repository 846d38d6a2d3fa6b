//! Aborts that let what was taken before them through: a socket or stream without a flow, until its queue has drained.

use super::Engine;
use super::boundary::{CloseMode, SocketId};
use super::flow::{End, FlowId, Side};
use super::sockets::User;
use super::timers::Timer;
use super::tunnels::TunnelId;
use crate::fault::reset_code;
use crate::hbone::connect::ConnectResponse;
use crate::hbone::mux::StreamId;
use crate::lies::{Lies, StreamEnd};
use crate::time::Now;

impl<L: Lies> Engine<L> {
    /// Ends a socket by RST once its queue is written, or the time for that is over.
    pub(super) fn abort_when_drained(&mut self, now: Now, socket: SocketId) {
        planted!(LastBytesDropped => return self.close_socket(socket, CloseMode::Abort));
        match self.sockets.get_mut(socket) {
            Some(entry) if entry.connected && !entry.queue.is_empty() => {
                entry.user = User::Leaving;
                self.dirty_sockets.insert(socket);
                self.timers.set(Timer::Socket(socket), now.time.after(self.config.limits.flush_before_abort));
            }
            Some(_) | None => self.close_socket(socket, CloseMode::Abort),
        }
    }

    /// A leaving socket was written to.
    pub(super) fn leaving_wrote(&mut self, socket: SocketId) {
        if self.sockets.get(socket).is_some_and(|entry| entry.queue.is_empty()) {
            self.close_socket(socket, CloseMode::Abort);
        }
    }

    /// Nothing that is queued towards a broken socket will arrive.
    pub(super) fn drop_queue(&mut self, id: FlowId, side: Side) {
        let Some(End::Socket(socket)) = self.flows.get(id).map(|flow| flow.end(side)) else { return };
        if let Some(entry) = self.sockets.get_mut(socket) {
            self.held_bytes = self.held_bytes.saturating_sub(std::mem::take(&mut entry.queued));
            entry.queue.clear();
        }
    }

    /// Answers a CONNECT that is refused; the answer is all.
    pub(super) fn refuse_stream(&mut self, tunnel: TunnelId, stream: StreamId, status: u16) {
        if let Some(entry) = self.tunnels.get_mut(tunnel) {
            // Where the stream is gone already nobody waits for the answer.
            let _gone = entry.tunnel.mux_mut().respond(stream, &ConnectResponse::new(status), true);
        }
        self.forget_stream(tunnel, stream);
    }

    /// Ends a stream by RST_STREAM, at once or after what is queued for it.
    pub(super) fn reset_stream(&mut self, now: Now, tunnel: TunnelId, stream: StreamId, flush: bool) {
        let end = self.lies.end(StreamEnd::Reset(reset_code::CONNECT_ERROR));
        if let Some(entry) = self.tunnels.get_mut(tunnel) {
            let mux = entry.tunnel.mux_mut();
            match end {
                StreamEnd::Finish => {
                    let _over = mux.finish(stream);
                }
                StreamEnd::Reset(code)
                    if flush && mux.queued(stream) > 0 && mux.reset_after_queued(stream, code).is_ok() =>
                {
                    let until = now.time.after(self.config.limits.flush_before_abort);
                    self.timers.set(Timer::Stream(tunnel, stream), until);
                }
                StreamEnd::Reset(code) => mux.reset(stream, code),
            }
        }
        self.forget_stream(tunnel, stream);
    }

    /// The time for flushing a stream is over.
    pub(super) fn stream_deadline(&mut self, tunnel: TunnelId, stream: StreamId) {
        if let Some(entry) = self.tunnels.get_mut(tunnel) {
            entry.tunnel.mux_mut().reset(stream, reset_code::CONNECT_ERROR);
            self.dirty_tunnels.insert(tunnel);
        }
    }
}
