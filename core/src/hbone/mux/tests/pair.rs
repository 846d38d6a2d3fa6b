//! Two muxes joined in memory, and what each was told.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::hbone::connect::{Authority, ConnectRequest, ConnectResponse};
use crate::hbone::mux::{Mux, MuxConfig, MuxEvent, MuxFault, ResetCause, StreamId};
use crate::seed::{Draws, Seed};

/// Byte `offset` of a stream in one direction: says whose it is.
pub fn byte_at(stream: StreamId, from_client: bool, offset: usize) -> u8 {
    let mixed = (offset as u64).wrapping_mul(0x9e37_79b9) ^ u64::from(stream.as_u32()) << 7;
    (mixed ^ mixed >> 13 ^ u64::from(from_client)) as u8
}

pub fn payload(stream: StreamId, from_client: bool, offset: usize, length: usize) -> Bytes {
    (offset..offset + length).map(|at| byte_at(stream, from_client, at)).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub cause: ResetCause,
    pub after_end: bool,
}

/// One side, and all it was told.
pub struct Side {
    pub mux: Mux,
    pub is_client: bool,
    /// Streams whose bytes are not released.
    pub stalled: BTreeSet<StreamId>,
    pub requests: Vec<StreamId>,
    pub statuses: BTreeMap<StreamId, u16>,
    pub received: BTreeMap<StreamId, usize>,
    pub held: BTreeMap<StreamId, usize>,
    pub ends: BTreeSet<StreamId>,
    pub cuts: BTreeMap<StreamId, Cut>,
    pub writable: BTreeSet<StreamId>,
    pub goaways: Vec<(u32, u32)>,
    pub limits: Vec<u32>,
    pub pongs: usize,
    pub over: Option<Result<(), MuxFault>>,
    /// Every record written, joined.
    pub wire: Vec<u8>,
    pub records: Vec<usize>,
}

impl Side {
    pub fn new(mux: Mux, is_client: bool) -> Side {
        Side {
            mux,
            is_client,
            stalled: BTreeSet::new(),
            requests: Vec::new(),
            statuses: BTreeMap::new(),
            received: BTreeMap::new(),
            held: BTreeMap::new(),
            ends: BTreeSet::new(),
            cuts: BTreeMap::new(),
            writable: BTreeSet::new(),
            goaways: Vec::new(),
            limits: Vec::new(),
            pongs: 0,
            over: None,
            wire: Vec::new(),
            records: Vec::new(),
        }
    }

    pub fn take_events(&mut self) -> bool {
        let mut any = false;
        while let Some(event) = self.mux.poll_event() {
            any = true;
            self.note(event);
        }
        any
    }

    fn note(&mut self, event: MuxEvent) {
        assert_eq!(self.over, None, "{event:?} after the last event");
        match event {
            MuxEvent::Closed(fault) => self.over = Some(Err(fault)),
            MuxEvent::Data { stream, bytes } => {
                assert!(!self.ends.contains(&stream) && !self.cuts.contains_key(&stream));
                let offset = self.received.entry(stream).or_default();
                for (i, byte) in bytes.iter().enumerate() {
                    assert_eq!(
                        *byte,
                        byte_at(stream, !self.is_client, *offset + i),
                        "{stream:?} at {offset}+{i}"
                    );
                }
                *offset += bytes.len();
                if self.stalled.contains(&stream) {
                    *self.held.entry(stream).or_default() += bytes.len();
                } else {
                    self.mux.release(stream, bytes.len());
                }
            }
            MuxEvent::Drained => self.over = Some(Ok(())),
            MuxEvent::End { stream } => assert!(self.ends.insert(stream)),
            MuxEvent::GoAway { last, code } => self.goaways.push((last, code)),
            MuxEvent::PeerSettings { max_concurrent_streams } => self.limits.push(max_concurrent_streams),
            MuxEvent::Pong => self.pongs += 1,
            MuxEvent::Request { stream, request, ignored } => {
                assert_eq!((request, ignored), (Ok(target()), 0));
                self.requests.push(stream);
            }
            MuxEvent::Reset { stream, cause, after_end } => {
                assert_eq!(after_end, self.ends.contains(&stream));
                assert_eq!(self.cuts.insert(stream, Cut { cause, after_end }), None);
            }
            MuxEvent::Response { stream, response, ignored } => {
                assert_eq!(ignored, 0);
                assert_eq!(self.statuses.insert(stream, response.status), None);
            }
            MuxEvent::Writable { stream } => assert!(self.writable.insert(stream)),
        }
    }

    /// Releases all a stalled stream holds.
    pub fn unstall(&mut self, stream: StreamId) {
        self.stalled.remove(&stream);
        let held = self.held.remove(&stream).unwrap_or_default();
        self.mux.release(stream, held);
    }

    /// Takes all output there is room for, in records.
    pub fn take_output(&mut self, most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < most && !self.mux.output().is_empty() {
            let record = self.mux.output();
            let take = record.len().min(most - out.len());
            out.extend_from_slice(&record[..take]);
            self.records.push(take);
            self.mux.consume_output(take);
        }
        self.wire.extend_from_slice(&out);
        out
    }
}

pub fn target() -> ConnectRequest {
    ConnectRequest::new(Authority::parse("10.0.0.1:8080").unwrap())
}

pub struct Pair {
    pub client: Side,
    pub server: Side,
    draws: Option<Draws>,
}

impl Pair {
    pub fn new(client: &MuxConfig, server: &MuxConfig) -> Pair {
        let mut pair = Pair::unsettled(client, server);
        pair.settle();
        pair
    }

    /// Not a byte has moved.
    pub fn unsettled(client: &MuxConfig, server: &MuxConfig) -> Pair {
        let client = Side::new(Mux::client(client), true);
        let server = Side::new(Mux::server(server), false);
        Pair { client, server, draws: None }
    }

    pub fn default() -> Pair {
        Pair::new(&MuxConfig::default(), &MuxConfig::default())
    }

    /// From here on bytes move in pieces of random length.
    pub fn chop(&mut self, seed: u8) {
        self.draws = Some(Seed::new([seed; 32]).draws());
    }

    fn step(from: &mut Side, to: &mut Side, most: usize) -> bool {
        from.mux.drive();
        let told = from.take_events();
        let bytes = from.take_output(most.min(to.mux.receive_room()));
        assert_eq!(to.mux.receive(&bytes), bytes.len());
        to.mux.drive();
        told | to.take_events() | !bytes.is_empty()
    }

    /// One exchange in each direction; false if nothing moved.
    pub fn exchange(&mut self) -> bool {
        let mut most = || self.draws.as_mut().map_or(usize::MAX, |d| 1 + (d.next_u64() % 5000) as usize);
        let (there, back) = (most(), most());
        Pair::step(&mut self.client, &mut self.server, there)
            | Pair::step(&mut self.server, &mut self.client, back)
    }

    /// Moves bytes until none are left.
    pub fn settle(&mut self) {
        for _ in 0..1_000_000 {
            if !self.exchange() {
                return;
            }
        }
        panic!("the pair never comes to rest");
    }

    /// Opens a stream and answers it with 200.
    pub fn open(&mut self) -> StreamId {
        let stream = self.client.mux.connect(&target()).unwrap();
        self.settle();
        assert_eq!(self.server.requests.last(), Some(&stream));
        self.server.mux.respond(stream, &ConnectResponse::new(200), false).unwrap();
        self.settle();
        assert_eq!(self.client.statuses.get(&stream), Some(&200));
        stream
    }

    /// Sends `length` bytes from one side and moves everything, until they arrived or nothing moves.
    pub fn transfer(&mut self, stream: StreamId, from_client: bool, start: usize, length: usize) {
        let mut sent = 0;
        loop {
            let (from, _) = if from_client {
                (&mut self.client, &mut self.server)
            } else {
                (&mut self.server, &mut self.client)
            };
            let before = sent;
            while sent < length {
                let bytes = payload(stream, from_client, start + sent, (length - sent).min(30_000));
                let n = bytes.len();
                if from.mux.send(stream, bytes).is_err() {
                    break;
                }
                sent += n;
            }
            from.writable.clear();
            if !self.exchange() && sent == before {
                return;
            }
        }
    }

    /// Nothing is open and no credit is lost.
    pub fn assert_quiet(&self) {
        for side in [&self.client, &self.server] {
            let books = &side.mux.books;
            assert_eq!((books.live, books.held, books.credit), (0, 0, 0), "{:?}", side.mux);
            assert_eq!((side.mux.applied, side.mux.streams.len()), (0, 0));
        }
    }
}
