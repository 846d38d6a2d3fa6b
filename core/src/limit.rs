//! Every number that bounds something, in one place, with its source. All of them can be configured.

use std::time::Duration;

/// The named limits of one engine (one worker). Times bound phases that nest (node.md B1), sizes bound memory (B8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// TCP connect of a dial, tunnel or application (node.md row 15, B1).
    pub tcp_connect: Duration,
    /// TLS handshake, both sides (B1).
    pub tls_handshake: Duration,
    /// HTTP/2 preface and first SETTINGS (B1).
    pub http2_preface: Duration,
    /// From CONNECT to its response; longer than the far dial, so that its 503 arrives (B1).
    pub connect_response: Duration,
    /// How long a connection waits for the facts that decide it (node.md row 51).
    pub wait_for_facts: Duration,
    /// How long a referenced policy that has not arrived holds a connection before it is denied (B5).
    pub policy_hold: Duration,
    /// Interval of HTTP/2 PING on every tunnel (node.md row 40).
    pub ping_interval: Duration,
    /// After a PING without an answer for this long the tunnel is dead (node.md row 40).
    pub ping_timeout: Duration,
    /// A tunnel without streams closes after this (node.md row 47).
    pub tunnel_idle: Duration,
    /// A tunnel older than this takes no new streams (B3).
    pub tunnel_max_age: Duration,
    /// A half-closed connection without a byte for this long is aborted; zero turns it off (B7).
    pub half_closed_idle: Duration,
    /// A connection without a byte for this long is aborted; zero turns it off (B7).
    pub connection_idle: Duration,
    /// A connection older than this is aborted; zero turns it off (B7).
    pub connection_max_age: Duration,

    /// How long what was taken before an abort may take to be delivered before it (B6).
    pub flush_before_abort: Duration,

    /// Streams on one tunnel that we open at most, however many the peer permits (node.md row 46).
    pub streams_per_tunnel: usize,
    /// Tunnels for one pool key at most (B3).
    pub tunnels_per_key: usize,
    /// Connections that wait for tunnels of one key at most (B2).
    pub waiters_per_key: usize,
    /// Streams that a peer may have open on one tunnel (node.md row 39).
    pub peer_streams_per_tunnel: u32,
    /// Tunnels accepted that have not finished their handshake, per engine (attack A9).
    pub half_open_tunnels: usize,

    /// Tunnels that peers may have open, per engine; each costs memory and a descriptor, streams or not (B8).
    pub accepted_tunnels: usize,

    /// Flow-control window of a stream (B8).
    pub stream_window: u32,
    /// Flow-control window of a stream while few share a busy tunnel: what bulk over long links needs (B8).
    pub stream_window_wide: u32,
    /// Flow-control window of a stream once memory runs low (B8).
    pub stream_window_low: u32,
    /// Base of a tunnel's window; what stalled streams hold comes on top (B8).
    pub connection_window: u32,
    /// Bytes queued towards one socket or stream before its source is no longer read (B8).
    pub relay_queue: usize,
    /// TLS bytes queued towards one tunnel's socket before its streams are no longer drained (B8).
    pub tunnel_queue: usize,
    /// Bytes held in all queues of the engine from which windows shrink (B8).
    pub memory_low: usize,
    /// Bytes held in all queues of the engine from which new connections are refused (B8).
    pub memory_max: usize,
    /// Connections judged again in one turn after a change of facts (B4).
    pub judgements_per_turn: usize,
    /// Connections per engine at most.
    pub connections: usize,

    /// Failures in a row after which an endpoint of a service is ejected.
    pub eject_after: u32,
    /// How long an endpoint is ejected at first; each time twice as long.
    pub ejection: Duration,
    /// How long an endpoint is ejected at most, and its ejections are remembered.
    pub ejection_max: Duration,
    /// How long an endpoint that was ejected takes to have its full share again.
    pub ejection_return: Duration,
    /// Endpoints of which failures are remembered, per engine.
    pub outliers: usize,
    /// Names of endpoints that are remembered or asked for, per engine.
    pub names: usize,
}

impl Limits {
    /// All phases of a tunnel's dial together, before its first CONNECT (B1).
    pub(crate) fn dial(&self) -> Duration {
        self.tcp_connect + self.tls_handshake + self.http2_preface
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            tcp_connect: Duration::from_secs(10),
            tls_handshake: Duration::from_secs(5),
            http2_preface: Duration::from_secs(5),
            connect_response: Duration::from_secs(15),
            wait_for_facts: Duration::from_secs(5),
            policy_hold: Duration::from_secs(2),
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(20),
            tunnel_idle: Duration::from_secs(300),
            tunnel_max_age: Duration::from_secs(12 * 3600),
            half_closed_idle: Duration::from_secs(3600),
            connection_idle: Duration::ZERO,
            connection_max_age: Duration::ZERO,
            flush_before_abort: Duration::from_secs(5),
            streams_per_tunnel: 100,
            tunnels_per_key: 64,
            waiters_per_key: 4096,
            peer_streams_per_tunnel: 200,
            half_open_tunnels: 2048,
            accepted_tunnels: 16_384,
            stream_window: 4 << 20,
            stream_window_wide: 16 << 20,
            stream_window_low: 64 << 10,
            connection_window: 16 << 20,
            relay_queue: 256 << 10,
            tunnel_queue: 256 << 10,
            memory_low: 256 << 20,
            memory_max: 1 << 30,
            judgements_per_turn: 1024,
            connections: 200_000,
            eject_after: 3,
            ejection: Duration::from_secs(10),
            ejection_max: Duration::from_secs(300),
            ejection_return: Duration::from_secs(30),
            outliers: 1024,
            names: 4096,
        }
    }
}

/// Payload of one DATA frame, so that frame header and payload fill exactly one TLS record of 16,384 bytes.
pub const PAYLOAD_MAX: usize = 16_384 - 9;
/// Ports of the node proxy that it never dials as an application (node.md row 12).
pub const PROXY_PORTS: [u16; 4] = [15001, 15006, 15008, 15080];
