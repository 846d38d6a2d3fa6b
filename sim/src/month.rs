//! Certificates over weeks: whole engines with core's rotation, an authority that is away, refuses or errs a tenth of the time, and
//! roots that follow one another, in virtual time.
#![expect(clippy::expect_used, reason = "a run is a test: what cannot be must fail it")]

use std::fmt;
use std::time::Duration;

use culvert_core::seed::{Draws, Seed};

use crate::cryptography::Cryptography;
use crate::world::{Issuing, NodeId, Pod, Roots, Script, Seen, Serve, World, Wrong};

const MINUTE: Duration = Duration::from_secs(60);
/// How long certificates are valid.
const LIFETIME: Duration = Duration::from_secs(3600);
/// Nodes that the workloads are spread over.
const NODES: usize = 5;
/// Calls in each quarter of an hour.
const CALLS: usize = 3;

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month {
    /// How long, in simulated days.
    pub days: u64,
    /// How many workloads, each with an identity of its own.
    pub workloads: usize,
    /// What chance is drawn from.
    pub seed: u64,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Calls between workloads that both had a valid certificate: all were answered.
    pub served: usize,
    /// Calls where one had none, while the authority was away: none was answered.
    pub refused: usize,
    /// How often the authority went away.
    pub outages: usize,
    /// Quarters of an hour in which it was away, of all.
    pub away: usize,
    /// Quarters of an hour.
    pub quarters: usize,
    /// Changes of roots.
    pub roots: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} calls under valid certificates, all answered; {} without, none answered; authority away {} times, \
             {} of {} quarters of an hour; {} changes of roots",
            self.served, self.refused, self.outages, self.away, self.quarters, self.roots
        )
    }
}

struct Scene {
    world: World,
    nodes: Vec<NodeId>,
    pods: Vec<Pod>,
    draws: Draws,
    /// Until when, in quarters, the authority stays as it is.
    until: usize,
    away: bool,
    report: Report,
}

impl Month {
    /// Runs it.
    ///
    /// # Panics
    /// A connection fails though both ends have a valid certificate, one is answered though one has none, or a law of the
    /// world is broken.
    pub fn run(&self) -> Report {
        let quarters = usize::try_from(self.days * 96).expect("days are few");
        let mut scene = self.scene();
        for quarter in 0..quarters {
            scene.weather(quarter);
            // Each third of the time has an end; at the first two the roots change.
            for change in 1..=2 {
                scene.roots(quarter, quarters * change / 3);
            }
            scene.world.run(5 * MINUTE);
            scene.calls();
            scene.world.run(10 * MINUTE);
        }
        scene.report.quarters = quarters;
        scene.behave(Issuing::After(Duration::from_millis(5)));
        scene.world.run(10 * MINUTE);
        assert!(scene.pods.iter().all(|pod| scene.world.is_certified(*pod)), "L5: one has not recovered");
        scene.world.finish();
        scene.report
    }

    fn scene(&self) -> Scene {
        let cryptography = Cryptography { exact: false, ..Cryptography::fake() };
        let mut world = World::with_cryptography(cryptography, self.seed, |_| ());
        world.lifetime(LIFETIME);
        world.rotating(MINUTE);
        let nodes: Vec<NodeId> = (0..NODES).map(|_| world.node()).collect();
        let pod = |number: usize| {
            let node = nodes.get(number % NODES).copied().expect("there are nodes");
            world.pod(node, &format!("w{number}"))
        };
        let pods: Vec<Pod> = (0..self.workloads.max(2)).map(pod).collect();
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        let draws = Seed::new(seed).child("month").draws();
        Scene { world, nodes, pods, draws, until: 8, away: false, report: Report::default() }
    }
}

impl Scene {
    fn draw(&mut self, below: usize) -> usize {
        let drawn = self.draws.next_u64() % u64::try_from(below.max(1)).unwrap_or(1);
        usize::try_from(drawn).unwrap_or(0)
    }

    fn behave(&mut self, issuing: Issuing) {
        for node in self.nodes.clone() {
            self.world.issuing(node, issuing);
        }
    }

    /// The authority goes away for a quarter of an hour to three hours, and is there for nine times as long.
    fn weather(&mut self, quarter: usize) {
        if quarter >= self.until {
            self.away = !self.away;
            let issuing = match (self.away, self.draw(3)) {
                (false, _) => Issuing::After(Duration::from_millis(5)),
                (true, 0) => Issuing::Never,
                (true, 1) => Issuing::Refusing(Duration::from_secs(1)),
                (true, _) => Issuing::Wrong(Wrong::Unchained),
            };
            self.behave(issuing);
            let long = 1 + self.draw(12);
            self.until = quarter + if self.away { long } else { 9 * long };
            self.report.outages += usize::from(self.away);
        }
        self.report.away += usize::from(self.away);
    }

    /// Both roots, then the new one issues, then, once nothing of the old one is valid any more, it alone.
    fn roots(&mut self, quarter: usize, at: usize) {
        let roots = match quarter.checked_sub(at) {
            Some(0) => Roots::Both,
            Some(4) => {
                self.world.succeed();
                return;
            }
            // What the old one issued is over after an hour.
            Some(10) => Roots::Old,
            _ => return,
        };
        for node in self.nodes.clone() {
            self.world.trust(node, roots);
        }
        self.report.roots += usize::from(roots == Roots::Both);
    }

    fn calls(&mut self) {
        let mut asked = Vec::new();
        for _ in 0..CALLS {
            let from = self.draw(self.pods.len());
            let to = (from + 1 + self.draw(self.pods.len() - 1)) % self.pods.len();
            let (Some(a), Some(b)) = (self.pods.get(from).copied(), self.pods.get(to).copied()) else {
                continue;
            };
            let certified = self.world.is_certified(a) && self.world.is_certified(b);
            if !certified && !self.away {
                // The authority answers who waits; whoever is first may be told no.
                continue;
            }
            let there = self.world.serve(b, 8080, Serve::Script(Script::echo()));
            let call = if certified {
                self.world.call(a, there, Script::send(1000))
            } else {
                self.world.call_in_vain(a, there, Script::send(1000))
            };
            asked.push((call, certified));
        }
        self.world.run(Duration::from_secs(20));
        for (call, certified) in asked {
            let outcome = (self.world.seen(call), self.world.received(call));
            if certified {
                assert_eq!(
                    outcome,
                    (Seen::Fin, 1000),
                    "a connection fails though both certificates are valid"
                );
                self.report.served += 1;
            } else {
                assert_eq!(outcome, (Seen::Reset, 0), "a connection is served without a certificate");
                self.report.refused += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_connection_fails_while_certificates_are_valid_and_none_is_served_after() {
        let report = Month { days: 3, workloads: 20, seed: 1 }.run();
        assert!(report.served > 500 && report.roots == 2, "{report}");
        assert!(report.refused > 0 && report.outages > 1, "{report}");
    }
}
