//! Two real muxes, and the frames between them taken apart.

use std::collections::VecDeque;

use bytes::Bytes;
use culvert_core::hbone::connect::{Authority, ConnectRequest, ConnectResponse};
use culvert_core::hbone::mux::{Mux, MuxConfig, MuxEvent, MuxRefusal, StreamId};

use super::{Event, Frame, Outcome, Pair, Role, Step, at};
use crate::explore::tunnel::{ANY, Bounds, StreamNumber};

/// Bytes that the model counts as one.
const UNIT: usize = 100;
/// The client's preface (RFC 9113 section 3.4).
const PREFACE: usize = 24;
/// A frame's header (RFC 9113 section 4.1).
const HEADER: usize = 9;

/// One frame on its way, or the end of the bytes.
#[derive(Debug)]
struct Piece {
    /// What the model knows it as; nothing for what it leaves out.
    frame: Option<Frame>,
    bytes: Vec<u8>,
}

struct Side {
    role: Role,
    mux: Mux,
    /// Output that is no whole frame yet.
    partial: Vec<u8>,
    /// Acknowledgements of SETTINGS that the other side never sent are kept from it.
    drops_acknowledgements: bool,
    said_end: bool,
}

/// Two muxes, and what is under way to each.
pub(super) struct RealLink {
    client: Side,
    server: Side,
    to_client: VecDeque<Piece>,
    to_server: VecDeque<Piece>,
    streams: Vec<StreamId>,
}

impl Side {
    fn new(role: Role, mux: Mux) -> Side {
        Side { role, mux, partial: Vec::new(), drops_acknowledgements: false, said_end: false }
    }

    /// Drives until nothing moves: what was told, and the frames sent.
    fn drive(&mut self) -> (Vec<Event>, Vec<Piece>) {
        let (mut events, mut pieces) = (Vec::new(), Vec::new());
        loop {
            self.mux.drive();
            let mut moved = false;
            while let Some(event) = self.mux.poll_event() {
                moved = true;
                events.push(event_of(event));
            }
            while !self.mux.output().is_empty() {
                moved = true;
                let taken = self.mux.output().len();
                self.partial.extend_from_slice(self.mux.output());
                self.mux.consume_output(taken);
            }
            if !moved {
                break;
            }
        }
        while let Some(piece) = self.next_piece() {
            pieces.extend(piece);
        }
        if self.mux.is_closed() && !std::mem::replace(&mut self.said_end, true) {
            pieces.push(Piece { frame: Some(Frame::Eof), bytes: Vec::new() });
        }
        (events, pieces)
    }

    /// Cuts the next frame off the output; `Some(None)` where it is dropped.
    fn next_piece(&mut self) -> Option<Option<Piece>> {
        if self.partial.starts_with(b"PRI * ") {
            return Some(Some(Piece { frame: None, bytes: self.cut(PREFACE)? }));
        }
        let length = match self.partial.first_chunk::<HEADER>()? {
            [a, b, c, ..] => u32::from_be_bytes([0, *a, *b, *c]) as usize,
        };
        let bytes = self.cut(HEADER + length)?;
        if self.drops_acknowledgements && bytes.get(3..5) == Some(&[4, 1]) {
            return Some(None);
        }
        Some(Some(Piece { frame: frame_of(self.role, &bytes), bytes }))
    }

    fn cut(&mut self, length: usize) -> Option<Vec<u8>> {
        if self.partial.len() < length {
            return None;
        }
        let rest = self.partial.split_off(length);
        Some(std::mem::replace(&mut self.partial, rest))
    }
}

impl RealLink {
    /// Two muxes that have exchanged their SETTINGS.
    pub(super) fn new(bounds: Bounds) -> RealLink {
        let config = MuxConfig {
            stream_window: u32::from(bounds.window) * UNIT as u32,
            max_concurrent_streams: u32::from(bounds.streams),
            stream_queue_high: usize::from(bounds.high) * UNIT,
            stream_queue_low: usize::from(bounds.low) * UNIT,
            ..MuxConfig::default()
        };
        let mut link = RealLink {
            client: Side::new(Role::Client, Mux::client(&config)),
            server: Side::new(Role::Server, Mux::server(&config)),
            to_client: VecDeque::new(),
            to_server: VecDeque::new(),
            streams: Vec::new(),
        };
        for _ in 0..4 {
            for role in [Role::Client, Role::Server] {
                link.turn(role);
                while !link.under_way(role.other()).is_empty() {
                    link.deliver(role.other());
                }
            }
        }
        link.client.drops_acknowledgements = true;
        link
    }

    fn side(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }

    fn under_way(&mut self, to: Role) -> &mut VecDeque<Piece> {
        match to {
            Role::Client => &mut self.to_client,
            Role::Server => &mut self.to_server,
        }
    }

    fn turn(&mut self, role: Role) -> Vec<Event> {
        let (events, pieces) = self.side(role).drive();
        self.under_way(role.other()).extend(pieces);
        events
    }

    /// The next frame that the model knows arrives, with those before it that the model does not.
    fn deliver(&mut self, to: Role) -> Vec<Event> {
        while let Some(piece) = self.under_way(to).pop_front() {
            let mux = &mut self.side(to).mux;
            match piece.frame {
                Some(Frame::Eof) => mux.receive_end(true),
                Some(_) | None => _ = mux.receive(&piece.bytes),
            }
            if piece.frame.is_some() {
                break;
            }
        }
        self.turn(to)
    }

    fn limit(&mut self, streams: u8) {
        // SETTINGS_MAX_CONCURRENT_STREAMS is number 3.
        let bytes = vec![0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, streams];
        self.to_client.push_back(Piece { frame: Some(Frame::Limit { streams }), bytes });
    }

    fn lose(&mut self) -> [Vec<Event>; 2] {
        let told = [Role::Client, Role::Server].map(|role| {
            self.side(role).mux.receive_end(false);
            self.turn(role)
        });
        self.to_client.clear();
        self.to_server.clear();
        told
    }

    fn command(&mut self, step: Step) -> (Option<Role>, Option<Result<(), MuxRefusal>>) {
        let id = |streams: &[StreamId], number: StreamNumber| {
            streams.get(usize::from(number).wrapping_sub(1)).copied().ok_or(MuxRefusal::Stream)
        };
        let streams = self.streams.clone();
        let (role, answer) = match step {
            Step::Abort { role, code } => {
                self.side(role).mux.abrupt_shutdown(u32::from(code));
                (role, None)
            }
            Step::Connect => {
                // Names are no part of the model.
                let target = Authority::parse("10.0.0.1:8080").map(ConnectRequest::new);
                let answer = match target {
                    Ok(request) => self.client.mux.connect(&request).map(|stream| self.streams.push(stream)),
                    Err(error) => Err(MuxRefusal::Malformed(error)),
                };
                (Role::Client, Some(answer))
            }
            Step::Drain { role } => {
                self.side(role).mux.graceful_shutdown();
                (role, None)
            }
            Step::Finish { role, stream } => {
                (role, Some(id(&streams, stream).and_then(|id| self.side(role).mux.finish(id))))
            }
            Step::Release { role, stream, amount } => {
                if let Ok(id) = id(&streams, stream) {
                    self.side(role).mux.release(id, usize::from(amount) * UNIT);
                }
                (role, None)
            }
            Step::Reset { role, stream, code } => {
                if let Ok(id) = id(&streams, stream) {
                    self.side(role).mux.reset(id, u32::from(code));
                }
                (role, None)
            }
            Step::ResetLater { role, stream } => {
                let code = culvert_core::hbone::mux::CONNECT_ERROR;
                let answer =
                    id(&streams, stream).and_then(|id| self.side(role).mux.reset_after_queued(id, code));
                (role, Some(answer))
            }
            Step::Respond { stream, end } => {
                let response = ConnectResponse::new(if end { 503 } else { 200 });
                let answer = id(&streams, stream).and_then(|id| self.server.mux.respond(id, &response, end));
                (Role::Server, Some(answer))
            }
            Step::Send { role, stream, amount } => {
                let bytes = Bytes::from(vec![amount; usize::from(amount) * UNIT]);
                (role, Some(id(&streams, stream).and_then(|id| self.side(role).mux.send(id, bytes))))
            }
            Step::Deliver { .. } | Step::Limit { .. } | Step::Lose => return (None, None),
        };
        (Some(role), answer)
    }
}

impl Pair for RealLink {
    fn apply(&mut self, step: Step) -> Outcome {
        let (role, answer) = self.command(step);
        let told = match (step, role) {
            (Step::Deliver { to }, _) => at(to, self.deliver(to)),
            (Step::Limit { streams }, _) => {
                self.limit(streams);
                Default::default()
            }
            (Step::Lose, _) => self.lose(),
            (_, Some(role)) => at(role, self.turn(role)),
            (_, None) => Default::default(),
        };
        let muxes = [&self.client.mux, &self.server.mux];
        Outcome {
            answer,
            told,
            under_way: [&self.to_client, &self.to_server]
                .map(|pieces| pieces.iter().filter_map(|piece| piece.frame).collect()),
            open: muxes.map(Mux::open_streams),
            held: muxes.map(|mux| mux.held_bytes() / UNIT),
            room: self.client.mux.room(),
        }
    }
}

/// A stream's number in the model; 0 stays 0.
fn number_of(stream: u32) -> StreamNumber {
    if stream == u32::MAX >> 1 { ANY } else { stream.div_ceil(2) as u8 }
}

fn frame_of(from: Role, bytes: &[u8]) -> Option<Frame> {
    let (&[a, b, c, kind, flags, w, x, y, z], payload) = bytes.split_first_chunk::<HEADER>()?;
    let stream = number_of(u32::from_be_bytes([w & 0x7f, x, y, z]));
    let (end, acknowledges) = (flags & 1 != 0, flags & 1 != 0);
    let word = |at: usize| {
        let four = payload.get(at..at + 4)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*four))
    };
    Some(match kind {
        0 => {
            let amount = (u32::from_be_bytes([0, a, b, c]) as usize / UNIT) as u8;
            Frame::Data { stream, amount, end }
        }
        1 if from == Role::Client => Frame::Connect { stream },
        1 => Frame::Response { stream, end },
        3 => Frame::Reset { stream, code: word(0)? as u8 },
        6 if acknowledges => Frame::Pong,
        6 => Frame::Ping,
        7 => Frame::GoAway { last: number_of(word(0)?), code: word(4)? as u8 },
        8 if stream != 0 => Frame::Credit { stream, amount: (word(0)? as usize / UNIT) as u8 },
        _ => return None,
    })
}

fn event_of(event: MuxEvent) -> Event {
    let number = |stream: StreamId| number_of(stream.as_u32());
    match event {
        MuxEvent::Closed(fault) => Event::Closed(fault),
        MuxEvent::Data { stream, bytes } => {
            Event::Data { stream: number(stream), amount: (bytes.len() / UNIT) as u8 }
        }
        MuxEvent::Drained => Event::Drained,
        MuxEvent::End { stream } => Event::End { stream: number(stream) },
        MuxEvent::GoAway { last, code } => Event::GoAway { last: number_of(last), code: code as u8 },
        MuxEvent::PeerSettings { max_concurrent_streams } => {
            Event::PeerSettings { streams: max_concurrent_streams as u8 }
        }
        // Nobody sends a PING of its own here.
        MuxEvent::Pong => Event::PeerSettings { streams: u8::MAX },
        MuxEvent::Request { stream, .. } => Event::Request { stream: number(stream) },
        MuxEvent::Reset { stream, cause, after_end } => {
            Event::Reset { stream: number(stream), cause, after_end }
        }
        MuxEvent::Response { stream, response, .. } => {
            Event::Response { stream: number(stream), end: response.status != 200 }
        }
        MuxEvent::Writable { stream } => Event::Writable { stream: number(stream) },
    }
}
