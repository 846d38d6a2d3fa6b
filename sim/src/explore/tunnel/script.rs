//! Random scripts, played on a pair of models and on a pair of real muxes: both must do the same.
//!
//! A script is bytes: the bounds of the ends, then commands, frames that arrive, and losses. After each, both pairs must have
//! given the same answer and told the same, stream for stream; count the same open streams, room and held bytes; and have the
//! same frames under way in the same order.

mod real;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use arbitrary::{Arbitrary, Unstructured};
use culvert_core::hbone::mux::{
    CANCEL, CONNECT_ERROR, MuxFault, MuxRefusal, NO_ERROR, REFUSED_STREAM, ResetCause,
};
use culvert_core::seed::Seed;

use super::{ANY, Bounds, Event, Frame, Link, Role, StreamNumber};
use real::RealLink;

/// Bytes of one script: some eighty steps.
const SCRIPT: usize = 256;
/// What a script does before it ends, at most.
const STEPS: usize = 80;

/// One thing that happens to a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Abort { role: Role, code: u8 },
    Connect,
    Deliver { to: Role },
    Drain { role: Role },
    Finish { role: Role, stream: StreamNumber },
    Limit { streams: u8 },
    Lose,
    Release { role: Role, stream: StreamNumber, amount: u8 },
    Reset { role: Role, stream: StreamNumber, code: u8 },
    ResetLater { role: Role, stream: StreamNumber },
    Respond { stream: StreamNumber, end: bool },
    Send { role: Role, stream: StreamNumber, amount: u8 },
}

/// What one step came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The answer to a command.
    answer: Option<Result<(), MuxRefusal>>,
    /// What the client and the server were told.
    told: [Vec<Event>; 2],
    /// What is under way to the client and to the server.
    under_way: [Vec<Frame>; 2],
    /// Open streams of both.
    open: [usize; 2],
    /// What both were told and did not release.
    held: [usize; 2],
    /// Streams that the client can still open.
    room: usize,
}

/// A pair of ends.
pub(super) trait Pair {
    fn apply(&mut self, step: Step) -> Outcome;
}

/// What a number of scripts showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::explore) struct Played {
    /// Scripts.
    pub(in crate::explore) scripts: usize,
    /// Steps in all of them.
    pub(in crate::explore) steps: usize,
    /// Every kind of event and refusal, and how often it was seen.
    pub(in crate::explore) seen: BTreeMap<&'static str, usize>,
}

impl Played {
    fn note(&mut self, outcome: &Outcome) {
        self.steps += 1;
        let events = outcome.told.iter().flatten().map(kind_of_event);
        let refusal = outcome.answer.iter().filter_map(|answer| answer.err()).map(kind_of_refusal);
        events.chain(refusal).for_each(|kind| *self.seen.entry(kind).or_default() += 1);
    }

    /// Kinds that the scripts never came to.
    pub(in crate::explore) fn never_seen(&self) -> Vec<&'static str> {
        KINDS.into_iter().filter(|kind| !self.seen.contains_key(kind)).collect()
    }
}

/// Every kind of event and refusal that there is.
const KINDS: [&str; 22] = [
    "closed: eof",
    "closed: local",
    "closed: peer",
    "closed: truncated",
    "data",
    "drained",
    "end",
    "goaway",
    "peer settings",
    "refused: closing",
    "refused: full",
    "refused: stream",
    "request",
    "reset after end: peer",
    "reset after end: tunnel",
    "reset: peer",
    "reset: refused",
    "reset: tunnel",
    "response",
    "response: end",
    "writable",
    "goaway: names none",
];

fn kind_of_event(event: &Event) -> &'static str {
    match event {
        Event::Closed(MuxFault::Eof) => "closed: eof",
        Event::Closed(MuxFault::Local { .. }) => "closed: local",
        Event::Closed(MuxFault::Peer { .. }) => "closed: peer",
        Event::Closed(MuxFault::Protocol { .. }) => "closed: protocol",
        Event::Closed(MuxFault::Truncated) => "closed: truncated",
        Event::Data { .. } => "data",
        Event::Drained => "drained",
        Event::End { .. } => "end",
        Event::GoAway { last: ANY, .. } => "goaway: names none",
        Event::GoAway { .. } => "goaway",
        Event::PeerSettings { .. } => "peer settings",
        Event::Request { .. } => "request",
        Event::Reset { cause: ResetCause::Peer { .. }, after_end: true, .. } => "reset after end: peer",
        Event::Reset { cause: ResetCause::Tunnel, after_end: true, .. } => "reset after end: tunnel",
        Event::Reset { cause: ResetCause::Peer { .. }, .. } => "reset: peer",
        Event::Reset { cause: ResetCause::Protocol { .. }, .. } => "reset: protocol",
        Event::Reset { cause: ResetCause::Refused, .. } => "reset: refused",
        Event::Reset { cause: ResetCause::Tunnel, .. } => "reset: tunnel",
        Event::Response { end: true, .. } => "response: end",
        Event::Response { .. } => "response",
        Event::Writable { .. } => "writable",
    }
}

fn kind_of_refusal(refusal: MuxRefusal) -> &'static str {
    match refusal {
        MuxRefusal::Closing => "refused: closing",
        MuxRefusal::Full => "refused: full",
        MuxRefusal::Malformed(_) => "refused: malformed",
        MuxRefusal::Stream => "refused: stream",
    }
}

/// The first step at which the two differ.
#[derive(Debug)]
pub(in crate::explore) struct Difference {
    steps: Vec<Step>,
    model: Outcome,
    real: Outcome,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            writeln!(f, "  {}. {step:?}", index + 1)?;
        }
        write!(f, "  model: {:?}\n  real:  {:?}", self.model, self.real)
    }
}

/// Plays the scripts of the seeds from `first`.
///
/// # Errors
///
/// What the model and the real tunnel do differently.
pub(in crate::explore) fn play(first: u64, count: usize) -> Result<Played, Box<Difference>> {
    let mut played = Played::default();
    for seed in (first..).take(count) {
        let bytes = bytes_of(seed);
        play_one(&bytes, &mut played, Link::new)?;
        played.scripts += 1;
    }
    Ok(played)
}

fn bytes_of(seed: u64) -> Vec<u8> {
    let mut key = [0; 32];
    key.first_chunk_mut::<8>().into_iter().for_each(|start| *start = seed.to_le_bytes());
    let mut draws = Seed::new(key).draws();
    (0..SCRIPT / 8).flat_map(|_| draws.next_u64().to_le_bytes()).collect()
}

fn play_one<P: Pair>(
    bytes: &[u8],
    played: &mut Played,
    model: impl Fn(Bounds) -> P,
) -> Result<(), Box<Difference>> {
    let mut input = Unstructured::new(bytes);
    let bounds = bounds(&mut input);
    let (mut model, mut real) = (model(bounds), RealLink::new(bounds));
    let (mut steps, mut opened) = (Vec::new(), 0);
    while let Some(step) = next_step(&mut input, opened).filter(|_| steps.len() < STEPS) {
        steps.push(step);
        let (expected, found) = (model.apply(step).by_stream(), real.apply(step).by_stream());
        if expected != found {
            return Err(Box::new(Difference { steps, model: expected, real: found }));
        }
        opened += u8::from(step == Step::Connect && found.answer == Some(Ok(())));
        played.note(&found);
    }
    Ok(())
}

fn bounds(input: &mut Unstructured<'_>) -> Bounds {
    let mut number = |most: u8| 1 + u8::arbitrary(input).unwrap_or_default() % most;
    let (window, high) = (number(4), number(4));
    // A mux calls a stream writable no later than at half of what fills its queue.
    let low = (number(high) - 1).min(high / 2);
    Bounds { window, high, low, streams: number(3) }
}

/// The next step; `opened` streams were, and one more is sometimes named.
fn next_step(input: &mut Unstructured<'_>, opened: u8) -> Option<Step> {
    if input.is_empty() {
        return None;
    }
    let mut number = |most: u8| u8::arbitrary(input).unwrap_or_default() % most;
    let (kind, side) = (number(200), number(16));
    let role = if side < 8 { Role::Client } else { Role::Server };
    let small = side % 8;
    let mut stream = || 1 + number(opened + 1);
    Some(match kind {
        0..3 => Step::Drain { role },
        3 => Step::Abort { role, code: if small < 4 { NO_ERROR as u8 } else { 2 } },
        4 => Step::Lose,
        5..9 => Step::Limit { streams: small % 5 },
        9..29 => Step::Connect,
        29..49 => Step::Respond { stream: stream(), end: small == 0 },
        49..79 => Step::Send { role, stream: stream(), amount: small % 4 },
        79..89 => Step::Finish { role, stream: stream() },
        89..95 => {
            let codes = [CANCEL, CONNECT_ERROR, NO_ERROR, REFUSED_STREAM];
            let code = codes.get(usize::from(small) % codes.len()).map_or(0, |code| *code as u8);
            Step::Reset { role, stream: stream(), code }
        }
        95..99 => Step::ResetLater { role, stream: stream() },
        99..119 => Step::Release { role, stream: stream(), amount: 1 + small % 5 },
        _ => Step::Deliver { to: role },
    })
}

impl Outcome {
    /// Events of one stream keep their order, and those of the connection theirs; between them there is none.
    fn by_stream(mut self) -> Outcome {
        self.told.iter_mut().for_each(|events| events.sort_by_key(Event::stream));
        self
    }
}

fn at(role: Role, events: Vec<Event>) -> [Vec<Event>; 2] {
    match role {
        Role::Client => [events, Vec::new()],
        Role::Server => [Vec::new(), events],
    }
}

impl Pair for Link {
    fn apply(&mut self, step: Step) -> Outcome {
        let command = |role, answer: Result<(), MuxRefusal>, events| (Some(answer), at(role, events));
        let (answer, told) = match step {
            Step::Abort { role, code } => {
                (None, at(role, self.act(role, |end, effects| end.abrupt_shutdown(code, effects)).1))
            }
            Step::Connect => {
                let (answer, events) = self.act(Role::Client, |end, effects| end.connect(effects));
                command(Role::Client, answer.map(|_| ()), events)
            }
            Step::Deliver { to } => (None, at(to, self.deliver(to))),
            Step::Drain { role } => {
                (None, at(role, self.act(role, |e, effects| e.graceful_shutdown(effects)).1))
            }
            Step::Finish { role, stream } => {
                let (answer, events) = self.act(role, |end, effects| end.finish(stream, effects));
                command(role, answer, events)
            }
            Step::Limit { streams } => {
                self.limit(streams);
                (None, Default::default())
            }
            Step::Lose => {
                let (client, server) = self.lose();
                (None, [client, server])
            }
            Step::Release { role, stream, amount } => {
                (None, at(role, self.act(role, |end, effects| end.release(stream, amount, effects)).1))
            }
            Step::Reset { role, stream, code } => {
                (None, at(role, self.act(role, |end, effects| end.reset(stream, code, effects)).1))
            }
            Step::ResetLater { role, stream } => {
                let code = CONNECT_ERROR as u8;
                let (answer, events) =
                    self.act(role, |end, effects| end.reset_after_queued(stream, code, effects));
                command(role, answer, events)
            }
            Step::Respond { stream, end } => {
                let (answer, events) = self.act(Role::Server, |e, effects| e.respond(stream, end, effects));
                command(Role::Server, answer, events)
            }
            Step::Send { role, stream, amount } => {
                let (answer, events) = self.act(role, |end, effects| end.send(stream, amount, effects));
                command(role, answer, events)
            }
        };
        let ends = [&self.client, &self.server];
        Outcome {
            answer,
            told,
            under_way: [Role::Client, Role::Server].map(|to| self.under_way(to).iter().copied().collect()),
            open: ends.map(|end| usize::from(end.open_streams())),
            held: ends.map(|end| usize::from(end.held())),
            room: usize::from(self.client.room()),
        }
    }
}
