//! What a mux tells.

use std::collections::VecDeque;
use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::hbone::connect::{ConnectRequest, ConnectResponse, RequestFault, WireError};

/// NO_ERROR (RFC 9113 section 7).
pub const NO_ERROR: u32 = 0x0;
/// PROTOCOL_ERROR (RFC 9113 section 7).
pub const PROTOCOL_ERROR: u32 = 0x1;
/// INTERNAL_ERROR (RFC 9113 section 7).
pub const INTERNAL_ERROR: u32 = 0x2;
/// REFUSED_STREAM (RFC 9113 section 7): the stream was not processed, and may be opened again elsewhere.
pub const REFUSED_STREAM: u32 = 0x7;
/// CANCEL (RFC 9113 section 7).
pub const CANCEL: u32 = 0x8;
/// CONNECT_ERROR (RFC 9113 section 8.5): the TCP connection of a tunnel was reset. The code of every abort of ours.
pub const CONNECT_ERROR: u32 = 0xa;
/// ENHANCE_YOUR_CALM (RFC 9113 section 7).
pub const ENHANCE_YOUR_CALM: u32 = 0xb;

/// A stream of one mux: its HTTP/2 stream identifier, never used again in that mux.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) u32);

impl StreamId {
    /// The identifier on the wire.
    pub const fn as_u32(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream#{}", self.0)
    }
}

/// Why a stream ended before both of its sides were finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetCause {
    /// The peer sent RST_STREAM.
    Peer {
        /// Its error code.
        code: u32,
    },
    /// The peer broke HTTP/2 on this stream, and was sent RST_STREAM.
    Protocol {
        /// The error code sent.
        code: u32,
    },
    /// The peer has provably not processed the stream (RFC 9113 section 8.7): RST_STREAM with REFUSED_STREAM before
    /// any answer, or GOAWAY with a lower last stream. The same CONNECT may be tried elsewhere.
    Refused,
    /// The connection ended under it.
    Tunnel,
}

/// Why the connection ended other than by agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MuxFault {
    /// The peer closed the byte stream in order, but left streams open.
    #[error("the peer closed the connection with streams open")]
    Eof,
    /// [`abrupt_shutdown`](super::Mux::abrupt_shutdown) was called, or the peer reset too many streams.
    #[error("closed here with code {code}")]
    Local {
        /// The error code sent in GOAWAY.
        code: u32,
    },
    /// The peer sent GOAWAY with an error.
    #[error("closed by the peer with code {code}")]
    Peer {
        /// The error code received.
        code: u32,
    },
    /// The peer broke HTTP/2, and was sent GOAWAY.
    #[error("protocol error with code {code}")]
    Protocol {
        /// The error code sent.
        code: u32,
    },
    /// The byte stream ended without the peer's word for it.
    #[error("the connection was truncated")]
    Truncated,
}

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MuxRefusal {
    /// The connection is closed or takes no new streams.
    #[error("the connection takes no new streams")]
    Closing,
    /// As many streams are open as the peer allows, or a ping is under way.
    #[error("the peer's limit is reached")]
    Full,
    /// The text of the request or response cannot be written.
    #[error("malformed: {0}")]
    Malformed(WireError),
    /// The stream is unknown, or that side of it is finished, or it was answered before.
    #[error("the stream is not open for that")]
    Stream,
}

/// A fact from the connection. Events of one stream come in the order of the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MuxEvent {
    /// The connection ended. Every stream still open was told `Reset` before. The last event.
    Closed(MuxFault),
    /// Bytes of a stream; they hold its window until they are [released](super::Mux::release).
    Data {
        /// The stream.
        stream: StreamId,
        /// What was received, never empty.
        bytes: Bytes,
    },
    /// The connection ended by agreement, with no stream open. The last event.
    Drained,
    /// END_STREAM: every byte of the peer's side was told.
    End {
        /// The stream.
        stream: StreamId,
    },
    /// GOAWAY: no stream can be opened any more, those up to `last` go on.
    GoAway {
        /// The last stream that may be processed.
        last: u32,
        /// The error code.
        code: u32,
    },
    /// The peer's limit of streams is known, or has changed.
    PeerSettings {
        /// SETTINGS_MAX_CONCURRENT_STREAMS; `u32::MAX` where there is none.
        max_concurrent_streams: u32,
    },
    /// The answer to a [ping](super::Mux::ping).
    Pong,
    /// A client's request. It is answered by [`respond`](super::Mux::respond), also when it is at fault.
    Request {
        /// The stream.
        stream: StreamId,
        /// The CONNECT, or what is wrong with it.
        request: Result<ConnectRequest, RequestFault>,
        /// Optional headers that could not be parsed.
        ignored: u32,
    },
    /// The stream ended early; it is unknown from here on, unless `after_end`: then bytes that were told before are
    /// whole, may still be delivered, and are to be released.
    Reset {
        /// The stream.
        stream: StreamId,
        /// Why.
        cause: ResetCause,
        /// Whether `End` was told before, so that only the sending half was cut. Otherwise it is an abort, whatever
        /// its code (node.md B6).
        after_end: bool,
    },
    /// The server's answer.
    Response {
        /// The stream.
        stream: StreamId,
        /// The status and what came with it.
        response: ConnectResponse,
        /// Optional headers that could not be parsed.
        ignored: u32,
    },
    /// The stream's queue has fallen to its low mark after [`send`](super::Mux::send) had filled it.
    Writable {
        /// The stream.
        stream: StreamId,
    },
}

/// Payloads up to this size are joined or copied: a slice of a few bytes would otherwise pin a whole read buffer, and
/// each costs as much to keep as 100 bytes.
const SMALL: usize = 1024;

/// Events not taken yet, in order.
#[derive(Debug, Default)]
pub(super) struct Events {
    queue: VecDeque<MuxEvent>,
}

impl Events {
    pub(super) fn push(&mut self, event: MuxEvent) {
        self.queue.push_back(event);
    }

    pub(super) fn pop(&mut self) -> Option<MuxEvent> {
        self.queue.pop_front()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Appends received bytes; small ones are joined to those before.
    pub(super) fn push_data(&mut self, stream: StreamId, bytes: Bytes) {
        if bytes.len() > SMALL {
            return self.push(MuxEvent::Data { stream, bytes });
        }
        if let Some(MuxEvent::Data { stream: last, bytes: before }) = self.queue.back_mut()
            && *last == stream
            && before.len() + bytes.len() <= 4 * SMALL
        {
            let mut joined = std::mem::take(before).try_into_mut().unwrap_or_else(|b| BytesMut::from(&b[..]));
            joined.extend_from_slice(&bytes);
            *before = joined.freeze();
            return;
        }
        self.push(MuxEvent::Data { stream, bytes: Bytes::copy_from_slice(&bytes) });
    }
}
