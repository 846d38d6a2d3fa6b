//! Beside an attacker that writes its frames by hand, with valid keys and without: nothing that is not permitted arrives, memory
//! stays bounded, others go on, and all is well once it has left (attacks A1 to A9, A23 and A32).

mod floods;
mod papers;
mod requests;

use culvert_core::identity::SpiffeId;
use culvert_core::telemetry::Event;
use culvert_sim::frame::{Frame, PREFACE, kind};
use culvert_sim::world::{AttackerId, NodeId, Papers, Pod, Reading, Script, Seen, Serve, World};

use crate::mesh::SECOND;

/// What a stream may hold at the node that is attacked.
const WINDOW: usize = 128 << 10;
/// What a tunnel may hold besides: what is read and written at once, and the queue of answers.
const TUNNEL: usize = 1 << 20;

/// Two nodes, a client's pod and a server's, and a machine for attackers.
struct Siege {
    world: World,
    far: NodeId,
    a: Pod,
    b: Pod,
    machine: Pod,
}

fn siege(seed: u64) -> Siege {
    let mut world = World::with_limits(seed, |limits| {
        limits.stream_window = WINDOW as u32;
        limits.stream_window_wide = WINDOW as u32;
        limits.relay_queue = 64 << 10;
    });
    let (near, far) = (world.node(), world.node());
    let (a, b) = (world.pod(near, "a"), world.pod(far, "b"));
    let machine = world.machine();
    world.serve(b, 8080, Serve::Script(Script::echo()));
    world.serve(b, 8081, Serve::Script(Script::acts(&[]).reading(Reading::Never)));
    // Credentials arrive.
    world.run(SECOND);
    Siege { world, far, a, b, machine }
}

fn mallory() -> SpiffeId {
    "spiffe://cluster.local/ns/default/sa/mallory".parse().unwrap_or_else(|e| panic!("{e}"))
}

/// CONNECT to the server that echoes.
fn connect(stream: u32) -> Frame {
    Frame::connect(stream, "10.0.2.2:8080")
}

/// CONNECT to the server that never reads.
fn connect_to_deaf(stream: u32) -> Frame {
    Frame::connect(stream, "10.0.2.2:8081")
}

impl Siege {
    /// An attacker with these papers that has said its preface and SETTINGS.
    fn attack(&mut self, papers: &Papers) -> AttackerId {
        let hbone = self.world.address(self.b, 15008);
        let attacker = self.world.attack(self.machine, hbone, papers);
        self.world.say(attacker, PREFACE);
        self.world.say_frames(attacker, &[Frame::settings(&[]), Frame::settings_ack()]);
        attacker
    }

    /// An attacker with a valid certificate, whose HTTP/2 has begun.
    fn tenant(&mut self) -> AttackerId {
        let attacker = self.attack(&Papers::Valid(mallory()));
        self.world.run(SECOND);
        assert_eq!(self.world.standing(attacker), Seen::Open);
        assert!(self.world.heard(attacker).iter().any(|frame| frame.is_ack_of(kind::SETTINGS)));
        attacker
    }

    /// The code of the last GOAWAY that an attacker was sent.
    fn goaway(&self, attacker: AttackerId) -> Option<u32> {
        let last = self.world.heard(attacker).iter().rfind(|frame| frame.kind == kind::GOAWAY)?;
        last.code()
    }

    /// The codes with which an attacker's streams were reset.
    fn resets(&self, attacker: AttackerId) -> Vec<u32> {
        let resets = self.world.heard(attacker).iter().filter(|frame| frame.kind == kind::RST_STREAM);
        resets.filter_map(Frame::code).collect()
    }

    /// The statuses that an attacker was answered with.
    fn statuses(&self, attacker: AttackerId) -> Vec<u16> {
        let heads = self.world.heard(attacker).iter().filter(|frame| frame.kind == kind::HEADERS);
        heads.filter_map(Frame::status).collect()
    }

    /// Tunnels that were given up because of what the peer did, with the words for it.
    fn lost(&self) -> Vec<String> {
        let closed = |(_, event): &(_, Event)| match event {
            Event::TunnelClosed { fault, .. } => Some(fault.to_string()),
            _ => None,
        };
        self.world.reports(self.far).iter().filter_map(closed).collect()
    }

    /// Another client is served now, and so it is from here on, while the node holds no more than `bytes`.
    fn others_go_on(&mut self, bytes: usize) {
        let there = self.world.address(self.b, 8080);
        let call = self.world.call(self.a, there, Script::send(200_000));
        for _ in 0..50 {
            self.world.run(SECOND / 50);
            let held = self.world.held_bytes(self.far);
            assert!(held <= bytes, "{held} bytes are held");
        }
        assert_eq!((self.world.seen(call), self.world.received(call)), (Seen::Fin, 200_000));
    }

    /// The attackers leave: what they had is gone, others are served, and the laws hold.
    fn peace(mut self, attackers: &[AttackerId]) {
        for attacker in attackers {
            self.world.withdraw(*attacker);
        }
        self.world.run(SECOND);
        assert_eq!(self.world.connections(self.far), 0, "connections of the attacker are left");
        // What it had sent before it left has five seconds to reach an application.
        self.world.run(5 * SECOND);
        assert_eq!(self.world.held_bytes(self.far), 0, "bytes of the attacker are left");
        self.others_go_on(WINDOW + TUNNEL);
        self.world.finish();
    }
}
