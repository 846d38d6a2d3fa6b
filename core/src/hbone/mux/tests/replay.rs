//! Random scripts: nothing panics, no byte changes streams, and the same script gives the same bytes.

use quickcheck::{Arbitrary, Gen, QuickCheck};

use super::pair::{Pair, Side, payload, target};
use crate::hbone::connect::ConnectResponse;
use crate::hbone::mux::{CANCEL, CONNECT_ERROR, MuxConfig, StreamId};

#[derive(Clone, Debug)]
enum Op {
    Answer(u8),
    Drain(bool),
    Exchange(u8),
    Finish(bool, u8),
    Open,
    Ping(bool),
    Reset(bool, u8, bool),
    Send(bool, u8, u16),
    Stall(bool, u8),
    Unstall(bool, u8),
    Window(bool, u32),
}

impl Arbitrary for Op {
    fn arbitrary(g: &mut Gen) -> Op {
        let (client, pick) = (bool::arbitrary(g), u8::arbitrary(g));
        match u8::arbitrary(g) % 40 {
            0..=5 => Op::Answer(pick),
            6 if pick < 20 => Op::Drain(client),
            7..=12 => Op::Exchange(1 + pick % 3),
            13..=15 => Op::Finish(client, pick),
            16..=20 => Op::Open,
            21 => Op::Ping(client),
            22 | 23 => Op::Reset(client, pick, bool::arbitrary(g)),
            24 => Op::Window(client, u32::arbitrary(g) % 300_000),
            25 | 26 => Op::Stall(client, pick),
            27 | 28 => Op::Unstall(client, pick),
            _ => Op::Send(client, pick, u16::arbitrary(g)),
        }
    }
}

/// A pair, the streams opened, and how much each side has sent on each.
struct Script {
    pair: Pair,
    streams: Vec<StreamId>,
    sent: std::collections::BTreeMap<(bool, StreamId), usize>,
}

impl Script {
    fn new() -> Script {
        let config = MuxConfig {
            stream_window: 50_000,
            connection_window: 100_000,
            max_concurrent_streams: 5,
            premature_resets: u32::MAX,
            ..MuxConfig::default()
        };
        let mut pair = Pair::new(&config, &config);
        pair.chop(9);
        Script { pair, streams: Vec::new(), sent: std::collections::BTreeMap::new() }
    }

    fn side(&mut self, client: bool) -> &mut Side {
        if client { &mut self.pair.client } else { &mut self.pair.server }
    }

    fn pick(&self, client: bool, pick: u8) -> Option<StreamId> {
        let known = if client { &self.streams } else { &self.pair.server.requests };
        known.get(usize::from(pick) % known.len().max(1)).copied()
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Answer(pick) => {
                let Some(stream) = self.pick(false, pick) else { return };
                let (status, end) = if pick > 240 { (503, true) } else { (200, false) };
                let response = ConnectResponse::new(status);
                if self.pair.server.mux.respond(stream, &response, end).is_ok() && end {
                    // The answer is all there is: what was queued before it is gone.
                    self.sent.remove(&(false, stream));
                }
            }
            Op::Drain(client) => self.side(client).mux.graceful_shutdown(),
            Op::Exchange(count) => (0..count).for_each(|_| _ = self.pair.exchange()),
            Op::Finish(client, pick) => {
                let Some(stream) = self.pick(client, pick) else { return };
                let _ = self.side(client).mux.finish(stream);
            }
            Op::Open => self.streams.extend(self.pair.client.mux.connect(&target())),
            Op::Ping(client) => drop(self.side(client).mux.ping()),
            Op::Reset(client, pick, later) => {
                let Some(stream) = self.pick(client, pick) else { return };
                let mux = &mut self.side(client).mux;
                if later {
                    let _ = mux.reset_after_queued(stream, CONNECT_ERROR);
                } else {
                    mux.reset(stream, CANCEL);
                }
            }
            Op::Send(client, pick, length) => {
                let Some(stream) = self.pick(client, pick) else { return };
                let at = self.sent.get(&(client, stream)).copied().unwrap_or_default();
                let bytes = payload(stream, client, at, usize::from(length));
                self.side(client).writable.remove(&stream);
                if self.side(client).mux.send(stream, bytes).is_ok() {
                    self.sent.insert((client, stream), at + usize::from(length));
                }
            }
            Op::Stall(client, pick) => {
                let Some(stream) = self.pick(client, pick) else { return };
                self.side(client).stalled.insert(stream);
            }
            Op::Unstall(client, pick) => {
                let Some(stream) = self.pick(client, pick) else { return };
                self.side(client).unstall(stream);
            }
            Op::Window(client, window) => self.side(client).mux.set_stream_window(window),
        }
        for side in [&mut self.pair.client, &mut self.pair.server] {
            side.writable.clear();
        }
    }

    /// Ends everything that is open and checks that nothing is left.
    fn finish(&mut self) {
        for client in [true, false] {
            self.side(client).mux.set_stream_window(50_000);
            let stalled = self.side(client).stalled.clone();
            stalled.into_iter().for_each(|stream| self.side(client).unstall(stream));
        }
        self.settle();
        for stream in self.pair.server.requests.clone() {
            let _ = self.pair.server.mux.respond(stream, &ConnectResponse::new(200), false);
        }
        for stream in self.streams.clone() {
            let _ = self.pair.client.mux.finish(stream);
            let _ = self.pair.server.mux.finish(stream);
        }
        self.settle();
        self.pair.assert_quiet();
        for ((client, stream), sent) in self.sent.clone() {
            let to = self.side(!client);
            let received = to.received.get(&stream).copied().unwrap_or_default();
            assert!(received <= sent);
            if to.ends.contains(&stream) {
                assert_eq!(received, sent, "{stream:?} ended");
            }
        }
    }

    fn settle(&mut self) {
        while self.pair.exchange() {
            self.pair.client.writable.clear();
            self.pair.server.writable.clear();
        }
    }
}

fn run(ops: &[Op]) -> (Vec<u8>, Vec<u8>) {
    let mut script = Script::new();
    ops.iter().for_each(|op| script.apply(op));
    script.finish();
    (script.pair.client.wire, script.pair.server.wire)
}

#[test]
fn random_scripts_end_quietly() {
    fn property(ops: Vec<Op>) -> bool {
        run(&ops);
        true
    }
    QuickCheck::new().rng(Gen::new(300)).tests(150).quickcheck(property as fn(Vec<Op>) -> bool);
}

#[test]
fn the_same_script_gives_the_same_bytes() {
    fn property(ops: Vec<Op>) -> bool {
        run(&ops) == run(&ops)
    }
    QuickCheck::new().rng(Gen::new(300)).tests(30).quickcheck(property as fn(Vec<Op>) -> bool);
}
