//! A client's and a server's mux, joined.

use bytes::Bytes;
use culvert_core::hbone::connect::{Authority, ConnectRequest, ConnectResponse};
use culvert_core::hbone::mux::{Mux, MuxConfig, MuxEvent, MuxFault, ResetCause, StreamId};

pub fn target() -> ConnectRequest {
    ConnectRequest::new(Authority::parse("10.0.0.1:8080").unwrap())
}

pub struct Side {
    pub mux: Mux,
    /// Whether received bytes are passed on at once.
    pub reads: bool,
    pub told: Vec<MuxEvent>,
    pub wire: Vec<u8>,
}

impl Side {
    fn new(mux: Mux) -> Side {
        Side { mux, reads: true, told: Vec::new(), wire: Vec::new() }
    }

    fn take(&mut self) -> bool {
        let before = self.told.len();
        while let Some(event) = self.mux.poll_event() {
            if let MuxEvent::Data { stream, bytes } = &event
                && self.reads
            {
                self.mux.release(*stream, bytes.len());
            }
            self.told.push(event);
        }
        self.told.len() > before
    }

    /// The bytes of a stream that arrived.
    pub fn bytes(&self, of: StreamId) -> Vec<u8> {
        let piece = |event: &MuxEvent| match event {
            MuxEvent::Data { stream, bytes } if *stream == of => bytes.to_vec(),
            _ => Vec::new(),
        };
        self.told.iter().flat_map(piece).collect()
    }

    pub fn ended(&self, of: StreamId) -> bool {
        self.told.contains(&MuxEvent::End { stream: of })
    }

    /// How a stream was reset, and whether after its end; each at most once.
    pub fn reset(&self, of: StreamId) -> Option<(ResetCause, bool)> {
        let resets: Vec<_> = self
            .told
            .iter()
            .filter_map(|event| match event {
                MuxEvent::Reset { stream, cause, after_end } if *stream == of => Some((*cause, *after_end)),
                _ => None,
            })
            .collect();
        assert!(resets.len() <= 1, "{resets:?}");
        resets.first().copied()
    }

    pub fn response(&self, of: StreamId) -> Option<&ConnectResponse> {
        self.told.iter().find_map(|event| match event {
            MuxEvent::Response { stream, response, .. } if *stream == of => Some(response),
            _ => None,
        })
    }

    pub fn goaways(&self) -> Vec<(u32, u32)> {
        let goaway = |event: &MuxEvent| match event {
            MuxEvent::GoAway { last, code } => Some((*last, *code)),
            _ => None,
        };
        self.told.iter().filter_map(goaway).collect()
    }

    /// How the connection ended: `None` while it has not, `Ok` in order.
    pub fn over(&self) -> Option<Result<(), MuxFault>> {
        match self.told.last() {
            Some(MuxEvent::Drained) => Some(Ok(())),
            Some(MuxEvent::Closed(fault)) => Some(Err(*fault)),
            _ => None,
        }
    }
}

pub struct Pair {
    pub client: Side,
    pub server: Side,
}

impl Pair {
    pub fn new() -> Pair {
        Pair::with(&MuxConfig::default(), &MuxConfig::default())
    }

    pub fn with(client: &MuxConfig, server: &MuxConfig) -> Pair {
        let (client, server) = (Side::new(Mux::client(client)), Side::new(Mux::server(server)));
        let mut pair = Pair { client, server };
        pair.settle();
        pair
    }

    /// The side that sends and the one that receives.
    pub fn sides(&mut self, from_client: bool) -> (&mut Side, &mut Side) {
        if from_client { (&mut self.client, &mut self.server) } else { (&mut self.server, &mut self.client) }
    }

    fn step(&mut self, from_client: bool) -> bool {
        let (from, to) = self.sides(from_client);
        from.mux.drive();
        let mut moved = from.take();
        while !from.mux.output().is_empty() {
            let count = from.mux.output().len().min(to.mux.receive_room());
            if count == 0 {
                break;
            }
            let bytes = from.mux.output()[..count].to_vec();
            from.wire.extend_from_slice(&bytes);
            assert_eq!(to.mux.receive(&bytes), count);
            from.mux.consume_output(count);
            to.mux.drive();
            to.take();
            moved = true;
        }
        moved | to.take()
    }

    /// Carries bytes until nothing moves.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            if !(self.step(true) | self.step(false)) {
                return;
            }
        }
        panic!("the pair never comes to rest");
    }

    /// A stream that was answered 200.
    pub fn open(&mut self) -> StreamId {
        let stream = self.ask();
        self.server.mux.respond(stream, &ConnectResponse::new(200), false).unwrap();
        self.settle();
        assert_eq!(self.client.response(stream).map(|response| response.status), Some(200));
        stream
    }

    /// A stream that was not answered yet.
    pub fn ask(&mut self) -> StreamId {
        let stream = self.client.mux.connect(&target()).unwrap();
        self.settle();
        let asked = |event: &MuxEvent| matches!(event, MuxEvent::Request { stream: s, .. } if *s == stream);
        assert!(self.server.told.iter().any(asked));
        stream
    }

    /// Sends bytes and carries everything; fails if the other side stops it.
    pub fn send(&mut self, from_client: bool, stream: StreamId, bytes: &[u8]) {
        for piece in bytes.chunks(50_000) {
            let piece = Bytes::copy_from_slice(piece);
            if self.sides(from_client).0.mux.send(stream, piece.clone()).is_err() {
                self.settle();
                self.sides(from_client).0.mux.send(stream, piece).unwrap();
            }
        }
        self.settle();
    }
}

/// Bytes that say where they belong.
pub fn pattern(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at as u64 * 0x9e37) >> 5) as u8 ^ seed).collect()
}
