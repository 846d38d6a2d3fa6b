//! What stands at the far end of a tunnel: a peer that speaks TLS and HTTP/2 as one should, and then does what it likes.

use bytes::Bytes as Payload;
use culvert_core::engine::boundary::Slices;
use culvert_core::hbone::connect::{Authority, ConnectRequest, ConnectResponse};
use culvert_core::hbone::mux::{MuxEvent, StreamId};
use culvert_core::hbone::tunnel::{Tunnel, TunnelBlock, TunnelEvent};
use culvert_core::lies::Honest;
use culvert_core::limit::Limits;

use crate::input::Bytes;
use crate::peers::Cast;

/// The targets that a peer asks for.
const TARGETS: [&str; 8] = [
    "10.0.0.1:8080",
    "10.0.0.2:8080",
    "10.96.0.1:80",
    "web.example:80",
    "10.0.0.1:15008",
    "127.0.0.1:8080",
    "169.254.169.254:80",
    "10.0.0.3:8080",
];

/// The far end of one tunnel.
#[derive(Debug)]
pub struct Far {
    tunnel: Tunnel,
    /// What the tunnel reads into.
    space: TunnelBlock,
    streams: Vec<StreamId>,
    /// Bytes that have come and found no room yet.
    waiting: Vec<u8>,
}

impl Far {
    /// The peer of an engine that dials, or of one that is dialled.
    pub fn new(cast: &Cast, limits: &Limits, dialled: bool, stranger: bool) -> Far {
        let identity = if stranger { &cast.stranger } else { &cast.honest };
        let mut tunnel =
            if dialled { Tunnel::server(limits, &Honest) } else { Tunnel::client(limits, &Honest) };
        tunnel.start(identity);
        tunnel.turn();
        Far { tunnel, space: TunnelBlock::default(), streams: Vec::new(), waiting: Vec::new() }
    }

    /// Bytes of the engine.
    pub fn take(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        while !self.waiting.is_empty() && self.tunnel.wants_read() {
            let space = self.tunnel.read_space(&mut self.space);
            let len = space.len().min(self.waiting.len());
            if len == 0 {
                break;
            }
            space[..len].copy_from_slice(&self.waiting[..len]);
            self.waiting.drain(..len);
            self.tunnel.received(&mut self.space, len);
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.tunnel.turn();
        while let Some(event) = self.tunnel.poll_event() {
            match event {
                TunnelEvent::Authenticated(_) => {
                    self.tunnel.authorise();
                    self.tunnel.turn();
                }
                TunnelEvent::Mux(MuxEvent::Request { stream, .. }) => self.streams.push(stream),
                TunnelEvent::Mux(MuxEvent::Data { stream, bytes }) if bytes.len() % 3 != 0 => {
                    // Some are never passed on, so that windows fill.
                    self.tunnel.mux_mut().release(stream, bytes.len());
                }
                TunnelEvent::Mux(_) | TunnelEvent::Lost(_) => {}
            }
        }
    }

    /// What it has to say, at most so many bytes.
    pub fn give(&mut self, most: usize) -> Vec<u8> {
        self.tunnel.seal();
        let mut slices = Slices::new();
        self.tunnel.write_slices(&mut slices);
        let bytes: Vec<u8> =
            slices.as_slice().iter().flat_map(|slice| slice.iter().copied()).take(most).collect();
        self.tunnel.wrote(bytes.len());
        bytes
    }

    /// Does something with its streams.
    pub fn act(&mut self, bytes: &mut Bytes<'_>) {
        let (what, which) = (bytes.byte(), bytes.byte());
        let stream = self.streams.get(usize::from(which) % self.streams.len().max(1)).copied();
        let mux = self.tunnel.mux_mut();
        match (what % 10, stream) {
            (0 | 1, _) => {
                let target = TARGETS[usize::from(which) % TARGETS.len()];
                let target = Authority::parse(target).expect("the targets are authorities");
                if let Ok(stream) = mux.connect(&ConnectRequest::new(target)) {
                    self.streams.push(stream);
                }
            }
            (2, Some(stream)) => {
                let status = [200, 200, 200, 401, 503, 404][usize::from(bytes.byte()) % 6];
                let _gone = mux.respond(stream, &ConnectResponse::new(status), status != 200);
            }
            (3, Some(stream)) => {
                let payload = vec![0x5a; usize::from(bytes.short()) % 5000];
                let _gone = mux.send(stream, Payload::from(payload));
            }
            (4, Some(stream)) => drop(mux.finish(stream)),
            (5, Some(stream)) => mux.reset(stream, u32::from(bytes.byte() % 14)),
            (6, Some(stream)) => drop(mux.reset_after_queued(stream, 10)),
            (7, _) => mux.graceful_shutdown(),
            (8, _) => drop(mux.ping()),
            (9, _) => match which % 3 {
                0 => mux.abrupt_shutdown(u32::from(bytes.byte() % 14)),
                1 => mux.set_stream_window(u32::from(bytes.short())),
                _ => self.tunnel.close(),
            },
            _ => {}
        }
        self.turn();
    }
}
