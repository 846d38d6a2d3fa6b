//! Random worlds: faults first, while only the laws must hold; then all is healed, and everything must work again.

use std::time::Duration;

use culvert_core::seed::{Draws, Seed};
use culvert_sim::world::{Act, AppId, Issuing, Joining, NodeId, Pod, Reading, Script, Seen, Serve, World};

use crate::mesh::SECOND;

const PORTS: [u16; 5] = [8080, 81, 82, 83, 84];

struct Swarm {
    world: World,
    draws: Draws,
    nodes: Vec<NodeId>,
    pods: Vec<Pod>,
    machine: Pod,
    calls: Vec<AppId>,
    trace: Vec<String>,
}

impl Swarm {
    fn new(number: u64) -> Swarm {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        let mut draws = Seed::new(bytes).draws();
        let mut pick = |of: u64| draws.next_u64() % of;
        let (streams, tunnels, window) = (1 + pick(5) as u32, 1 + pick(4) as usize, 16 << pick(6));
        let (queue, small) = (4 << pick(6), pick(2) == 0);
        let mut world = World::with_limits(number, |limits| {
            if small {
                limits.peer_streams_per_tunnel = streams;
                limits.tunnels_per_key = tunnels;
                limits.stream_window = window << 10;
                limits.connection_window = 4 * (window << 10);
                limits.relay_queue = queue << 10;
                limits.judgements_per_turn = 2;
            }
        });
        if pick(2) == 0 {
            world.chop(300 + pick(5000) as usize);
        }
        if pick(4) == 0 {
            world.without_local_path();
        }
        world.capacity(1 << (10 + pick(8)));
        world.latency(Duration::from_micros(1 + pick(50_000)));
        let nodes: Vec<NodeId> = (0..2 + pick(2)).map(|_| world.node()).collect();
        let pods: Vec<Pod> = (0..5).map(|n| world.pod(nodes[n % nodes.len()], &format!("p{n}"))).collect();
        let machine = world.machine();
        for pod in pods.iter().copied().chain([machine]) {
            let slow = Script::echo().reading(Reading::Slow(3000, Duration::from_millis(20)));
            let rude = Script::acts(&[Act::Receive(20_000), Act::Send(100), Act::Reset]);
            let first = Script::acts(&[Act::Send(40_000), Act::Fin]);
            for (port, script) in PORTS.iter().zip([Script::echo(), slow, rude, first]) {
                world.serve(pod, *port, Serve::Script(script));
            }
            world.serve(pod, PORTS[4], Serve::Silent);
        }
        Swarm { world, draws, nodes, pods, machine, calls: Vec::new(), trace: Vec::new() }
    }

    fn pick(&mut self, of: usize) -> usize {
        (self.draws.next_u64() % of as u64) as usize
    }

    fn any(&mut self) -> Pod {
        let number = self.pick(self.pods.len() + 1);
        self.pods.get(number).copied().unwrap_or(self.machine)
    }

    fn pod(&mut self) -> Pod {
        let number = self.pick(self.pods.len());
        self.pods[number]
    }

    fn script(&mut self) -> Script {
        let bytes = [8, 100, 5000, 40_000, 150_000][self.pick(5)];
        let pause = Act::Pause(Duration::from_millis(self.pick(3000) as u64));
        let script = match self.pick(6) {
            0 | 1 => Script::send(bytes),
            2 => Script::keep(bytes),
            3 => Script::acts(&[Act::Send(bytes), pause, Act::Reset]),
            4 => Script::acts(&[Act::Send(bytes), pause, Act::Send(bytes), Act::Fin, Act::AwaitEnd]),
            _ => Script::acts(&[pause, Act::Fin, Act::AwaitEnd]),
        };
        match self.pick(8) {
            0 => script.reading(Reading::Never),
            1 => script.reading(Reading::Slow(1000, Duration::from_millis(5))),
            _ => script,
        }
    }

    fn call(&mut self) {
        let (from, to, port, script) = (self.any(), self.any(), PORTS[self.pick(5)], self.script());
        let target = self.world.address(to, port);
        self.note(format!("call {from:?} {target} {script:?}"));
        if from != to {
            let call = self.world.call(from, target, script);
            self.calls.push(call);
        }
    }

    fn note(&mut self, what: String) {
        self.trace.push(format!("{:?} {what}", self.world.elapsed()));
    }

    fn fault(&mut self) {
        let (pod, number) = (self.pod(), self.pick(self.nodes.len()));
        let node = self.nodes[number];
        let kind = self.pick(15);
        self.note(format!("fault {kind} {pod:?} {node:?}"));
        match kind {
            0 => self.world.deny("no", pod),
            1 => self.world.remove_policy("no"),
            2 => self.world.strict(),
            3 => self.world.remove_policy("strict"),
            4 => self.world.blackhole(pod),
            5 => self.world.heal(),
            6 => self.world.stop(node),
            7 => self.world.resume(node),
            8 => self.world.rotate(pod),
            9 => self.world.joining(node, if number == 0 { Joining::Parted } else { Joining::Kernel }),
            10 => self.world.issuing(node, Issuing::Refusing(SECOND)),
            11 => {
                let uid = format!("c//Pod/default/{}", self.calls.len() + self.trace.len());
                self.world.change(pod, |spec| spec.uid = uid.into());
            }
            12 => self.world.forget(pod),
            13 => {
                let policies = vec![culvert_core::mesh::PolicyKey::new("default", "later")];
                self.world.change(pod, |spec| spec.authorization_policies = policies);
            }
            _ => {
                if let Some(call) = self.calls.pop() {
                    self.world.leave(call);
                }
            }
        }
    }

    fn chaos(&mut self) {
        for _ in 0..40 {
            for _ in 0..self.pick(4) {
                self.call();
            }
            if self.pick(3) == 0 {
                self.fault();
            }
            let time = [1, 10, 100, 1000, 8000][self.pick(5)];
            self.world.run(Duration::from_millis(time));
        }
    }

    fn heal(&mut self) {
        self.world.heal();
        self.world.remove_policy("no");
        self.world.remove_policy("strict");
        for node in self.nodes.clone() {
            self.world.resume(node);
            self.world.issuing(node, Issuing::After(Duration::from_millis(1)));
        }
        for pod in self.pods.clone() {
            self.world.change(pod, |spec| spec.authorization_policies.clear());
        }
        for call in std::mem::take(&mut self.calls) {
            self.world.leave(call);
        }
        self.world.run(60 * SECOND);
    }

    /// Everybody reaches everybody, but for the machine itself.
    fn everything_works(&mut self) {
        let mut calls = Vec::new();
        for from in self.pods.clone().into_iter().chain([self.machine]) {
            for to in self.pods.clone() {
                if from != to {
                    let target = self.world.address(to, PORTS[0]);
                    calls.push((from, to, self.world.call(from, target, Script::send(10_000))));
                }
            }
        }
        self.world.run(60 * SECOND);
        for (from, to, call) in calls {
            let saw = (self.world.seen(call), self.world.received(call));
            assert_eq!(saw, (Seen::Fin, 10_000), "{from:?} to {to:?}");
        }
    }
}

/// Prints what happened if a law is broken.
struct Story<'a>(u64, &'a mut Swarm);

impl Drop for Story<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("swarm {}:\n{}", self.0, self.1.trace.join("\n"));
        }
    }
}

fn run(numbers: std::ops::Range<u64>) {
    for number in numbers {
        let mut swarm = Swarm::new(number);
        {
            let story = Story(number, &mut swarm);
            story.1.chaos();
            story.1.heal();
            story.1.everything_works();
        }
        let Swarm { world, .. } = swarm;
        let finished = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.finish()));
        assert!(finished.is_ok(), "swarm {number} breaks a law at its end");
    }
}

#[test]
fn random_worlds_keep_the_laws_and_recover() {
    run(0..5);
}

#[test]
fn more_random_worlds_keep_the_laws_and_recover() {
    run(100..105);
}

/// A longer campaign, by hand.
#[test]
#[ignore = "takes minutes"]
fn many_random_worlds_keep_the_laws_and_recover() {
    run(1000..1200);
}
