//! The numbers of a mux, each with its source.

use std::time::Duration;

use h2::{client, server};

/// The largest window (RFC 9113 section 6.9.1).
pub(super) const MAX_WINDOW: u32 = (1 << 31) - 1;
/// The smallest SETTINGS_MAX_FRAME_SIZE, and its initial value (RFC 9113 section 6.5.2).
const MIN_FRAME: u32 = 16_384;
/// The largest SETTINGS_MAX_FRAME_SIZE (RFC 9113 section 6.5.2).
const MAX_FRAME: u32 = (1 << 24) - 1;

/// Limits and advertised settings of one mux.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MuxConfig {
    /// Received bytes a stream may hold, in bytes: SETTINGS_INITIAL_WINDOW_SIZE. 4 MiB are about 640 Mbit/s at 50 ms
    /// round trip (node.md row 38 and B8).
    pub stream_window: u32,
    /// What the connection's window is above all that streams hold, in bytes. 16 MiB, as peers send (row 38).
    pub connection_window: u32,
    /// SETTINGS_MAX_FRAME_SIZE, in bytes, clamped to 16,384 to 16,777,215. 16 KiB, so that a frame is read in one
    /// record (B8).
    pub max_frame: u32,
    /// SETTINGS_MAX_HEADER_LIST_SIZE, in bytes. 16 KiB (B8).
    pub header_list: u32,
    /// Streams a client may have open with this server: SETTINGS_MAX_CONCURRENT_STREAMS. 200 (row 39).
    pub max_concurrent_streams: u32,
    /// Streams this client opens before the server has said how many it takes. 100 (row 38).
    pub initial_peer_streams: u32,
    /// The longest payload of a DATA frame sent, in bytes. 16,375: with its frame header it fills one TLS record.
    pub payload_max: usize,
    /// The longest piece of output, in bytes. 16,384: one TLS record.
    pub record_max: usize,
    /// Received bytes that wait to be decoded, in bytes. 64 KiB: four records.
    pub input_max: usize,
    /// Output above which nothing more is encoded, in bytes; it is exceeded by one frame at most. 64 KiB: four records.
    pub output_high: usize,
    /// Bytes of a stream above which [`send`](super::Mux::send) takes no more, in bytes. 256 KiB.
    pub stream_queue_high: usize,
    /// Bytes of a stream at which it is writable again, in bytes; half of `stream_queue_high` where that is less. 64 KiB.
    pub stream_queue_low: usize,
    /// Bytes of a stream that h2 holds of those, in bytes: four full frames keep every stream in h2's rotation busy.
    pub stream_send_buffer: usize,
    /// h2's allowance for the overhead of small DATA frames not read yet. 8 MiB: more than one whole input of 1-byte
    /// frames can use, since every frame is read in the drive that decodes it.
    pub data_frame_budget: usize,
    /// Streams reset by the peer between two frames that are accepted. One input of the longest run of HEADERS and
    /// RST_STREAM must not pass it: h2's own default of 20 would end a tunnel whose flows are cancelled together.
    pub pending_accept_resets: usize,
    /// Streams reset by the client before they were answered, less those answered, above which the connection is
    /// ended with ENHANCE_YOUR_CALM (rapid reset, CVE-2023-44487). 1,024.
    pub premature_resets: u32,
    /// Streams ended by our faults or the peer's, each leaving h2 some 600 bytes for good, after which the tunnel
    /// should be replaced. 8,192: at most 4.6 MiB.
    pub retire_after_cancels: u32,
    /// Events not taken yet above which no more input is taken. 4,096.
    pub events_max: usize,
}

impl Default for MuxConfig {
    fn default() -> MuxConfig {
        MuxConfig {
            stream_window: 4 << 20,
            connection_window: 16 << 20,
            max_frame: MIN_FRAME,
            header_list: 16 << 10,
            max_concurrent_streams: 200,
            initial_peer_streams: 100,
            payload_max: 16_375,
            record_max: 16_384,
            input_max: 64 << 10,
            output_high: 64 << 10,
            stream_queue_high: 256 << 10,
            stream_queue_low: 64 << 10,
            stream_send_buffer: 4 * 16_375,
            data_frame_budget: 8 << 20,
            pending_accept_resets: 200,
            premature_resets: 1024,
            retire_after_cancels: 8192,
            events_max: 4096,
        }
    }
}

// The settings that take the clock out of h2: a stream reset by us is remembered for ever, so the time at which late
// frames arrive decides nothing, and no late frame is answered. `retire_after_cancels` bounds what that costs.
const REMEMBER_RESETS: Duration = Duration::MAX;

impl MuxConfig {
    /// Bytes of a stream at which it is writable again: always fewer than those at which it is full, or it would be called
    /// writable while it is full, and never again.
    pub(super) fn writable_at(&self) -> usize {
        planted!(WritableTooLate => return self.stream_queue_low);
        self.stream_queue_low.min(self.stream_queue_high / 2)
    }

    pub(super) fn client_builder(&self) -> client::Builder {
        let mut builder = client::Builder::new();
        builder
            .initial_window_size(self.stream_window.min(MAX_WINDOW))
            .initial_connection_window_size(self.connection_window.min(MAX_WINDOW))
            .max_frame_size(self.max_frame.clamp(MIN_FRAME, MAX_FRAME))
            .max_header_list_size(self.header_list)
            .initial_max_send_streams(self.initial_peer_streams as usize)
            .max_send_buffer_size(self.stream_send_buffer.min(MAX_WINDOW as usize))
            .reset_stream_duration(REMEMBER_RESETS)
            .max_concurrent_reset_streams(usize::MAX)
            .data_frame_budget(self.data_frame_budget)
            .enable_push(false);
        builder
    }

    pub(super) fn server_builder(&self) -> server::Builder {
        let mut builder = server::Builder::new();
        builder
            .initial_window_size(self.stream_window.min(MAX_WINDOW))
            .initial_connection_window_size(self.connection_window.min(MAX_WINDOW))
            .max_frame_size(self.max_frame.clamp(MIN_FRAME, MAX_FRAME))
            .max_header_list_size(self.header_list)
            .max_concurrent_streams(self.max_concurrent_streams)
            .max_pending_accept_reset_streams(self.pending_accept_resets)
            .max_send_buffer_size(self.stream_send_buffer.min(MAX_WINDOW as usize))
            .reset_stream_duration(REMEMBER_RESETS)
            .max_concurrent_reset_streams(usize::MAX)
            .data_frame_budget(self.data_frame_budget);
        builder
    }
}
