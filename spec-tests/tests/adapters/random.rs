//! Random cases, each a function of its seed, whose outcome does not depend on time: every end is one that its other side has
//! waited for.

use std::time::Duration;

use culvert_core::seed::{Draws, Seed};
use culvert_sim::world::{Act, Reading, Script, Seen};

use crate::case::{Case, End, Kind, Served, Step};

/// The case of a seed.
pub fn case(seed: u64) -> Case {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut dice = Dice(Seed::new(bytes).child("adapters").draws());
    // Tunnels have most to go wrong.
    let kind = if dice.below(3) == 0 { Kind::Tunnel } else { Kind::ALL[dice.below(4)] };
    let mut case = Case::of_one_call(&format!("random {seed}"), kind, Script::echo(), Script::echo());
    (case.served, case.steps) = (Vec::new(), Vec::new());
    for served in 0..=dice.below(4) {
        let pair = dice.pair(kind);
        case.served.push(pair.served);
        case.steps.push(Step::Call { served, script: pair.client });
        case = case.sees(pair.sees.0, pair.sees.1, pair.near, pair.far);
    }
    case.chop = [None, None, Some(dice.between(500, 3000))][dice.below(3)];
    if kind.has_two_nodes() && dice.below(4) == 0 {
        // Credit and queues run out all the time.
        case.limits.stream_window = 16 << 10;
        case.limits.stream_window_wide = 16 << 10;
        case.limits.relay_queue = 16 << 10;
    }
    case
}

/// What the two applications of one call do, and what comes of it.
struct Pair {
    served: Served,
    client: Script,
    sees: (End, Option<End>),
    near: &'static str,
    far: &'static str,
}

struct Dice(Draws);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.next_u64() % (end as u64)).unwrap()
    }

    fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    /// How much is said at once: little, or much. At least the bytes that say whose they are.
    fn bytes(&mut self) -> u64 {
        let most = [8, 100, 5000, 90_000][self.below(4)];
        self.between(8, most.max(8)) as u64
    }

    fn reading(&mut self) -> Reading {
        if self.below(4) > 0 {
            return Reading::All;
        }
        Reading::Slow(self.between(2000, 50_000), Duration::from_millis(self.between(1, 2) as u64))
    }

    fn pair(&mut self, kind: Kind) -> Pair {
        match self.below(8) {
            0 => self.echo(),
            1 => refused(kind),
            _ => self.talk(),
        }
    }

    fn echo(&mut self) -> Pair {
        let bytes = self.bytes();
        let seen = End::new(bytes, Seen::Fin);
        Pair {
            served: Served::By(Script::echo().reading(self.reading())),
            client: Script::send(bytes).reading(self.reading()),
            sees: (seen, Some(seen)),
            near: "completed",
            far: "completed",
        }
    }

    /// Both say something, some of it in answer to the other, until one of them ends it.
    fn talk(&mut self) -> Pair {
        let (mut client, mut server) = (Vec::new(), Vec::new());
        let (mut out, mut back) = (0, 0);
        let say = |acts: &mut Vec<Act>, total: &mut u64, bytes: u64| {
            acts.push(Act::Send(bytes));
            *total += bytes;
        };
        for _ in 0..self.between(1, 3) {
            let (first, second) = (self.bytes(), self.bytes());
            say(&mut client, &mut out, first);
            if self.below(2) == 0 {
                server.push(Act::Receive(out));
            }
            say(&mut server, &mut back, second);
            if self.below(2) == 0 {
                client.push(Act::Receive(back));
            }
            if self.below(4) == 0 {
                client.push(Act::Pause(Duration::from_millis(self.between(1, 5) as u64)));
            }
        }
        // Everything has arrived everywhere before somebody resets.
        let all = [Act::Receive(out), Act::Send(8), Act::Receive(out + 8)];
        let end = self.below(4);
        if end < 2 {
            server.extend(all);
            back += 8;
            client.extend([Act::Receive(back), Act::Send(8)]);
            out += 8;
        }
        let fin = |received| End::new(received, Seen::Fin);
        let (sees, reason) = match end {
            0 => {
                // The client has heard that all is there, but for its own last word, which goes with its reset.
                client.push(Act::Reset);
                server.push(Act::AwaitEnd);
                ((End::new(back, Seen::Left), End::new(out, Seen::Reset)), "reset by the source")
            }
            1 => {
                server.push(Act::Reset);
                client.push(Act::AwaitEnd);
                ((End::new(back, Seen::Reset), End::new(out, Seen::Left)), "reset by the destination")
            }
            2 => {
                client.extend([Act::Fin, Act::AwaitEnd]);
                server.extend([Act::AwaitEnd, Act::Fin]);
                ((fin(back), fin(out)), "completed")
            }
            _ => {
                server.extend([Act::Fin, Act::AwaitEnd]);
                client.extend([Act::AwaitEnd, Act::Send(8), Act::Fin]);
                out += 8;
                ((fin(back), fin(out)), "completed")
            }
        };
        // What was said before a reset is taken at once: whoever reads slowly would lose what it had not read.
        let (one, other) =
            if end < 2 { (Reading::All, Reading::All) } else { (self.reading(), self.reading()) };
        Pair {
            served: Served::By(Script::acts(&server).reading(other)),
            client: Script::acts(&client).reading(one),
            sees: (sees.0, Some(sees.1)),
            near: reason,
            far: reason,
        }
    }
}

fn refused(kind: Kind) -> Pair {
    let why = "connection refused";
    Pair {
        served: Served::Nobody,
        client: Script::acts(&[Act::Send(8), Act::AwaitEnd]),
        sees: (End::new(0, Seen::Reset), None),
        near: if kind.has_two_nodes() { "the far proxy answered 503" } else { why },
        far: why,
    }
}
