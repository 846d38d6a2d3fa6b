//! Beside a node that lies: what reaches applications, what honest nodes pay, and that they go on (attacks A1 to A7, A22 to A24
//! of `docs/security.md`).
#![expect(clippy::unwrap_used, reason = "a test panics to fail, in its helpers too")]

mod frames;
mod words;

use std::hash::{DefaultHasher, Hash, Hasher};

use culvert_core::lies::{Answer, StreamEnd};
use culvert_core::seed::Seed;
use culvert_sim::frame::{Frame, kind, setting};
use culvert_sim::liar::{Lie, SAME};
use culvert_sim::world::{Act, NodeId, Pod, Reading, Script, Seen, Serve, Step, World};

use crate::mesh::SECOND;

/// A liar's node with a pod, two honest nodes with one each.
struct Company {
    world: World,
    liar: NodeId,
    near: NodeId,
    far: NodeId,
    /// On the liar's node.
    x: Pod,
    /// On honest nodes.
    a: Pod,
    b: Pod,
}

fn company(seed: u64, lies: &[Lie]) -> Company {
    let mut world = World::with_limits(seed, |limits| {
        limits.stream_window = 128 << 10;
        limits.stream_window_wide = 128 << 10;
        limits.relay_queue = 64 << 10;
    });
    let (liar, near, far) = (world.liar(lies.to_vec()), world.node(), world.node());
    let (x, a, b) = (world.pod(liar, "x"), world.pod(near, "a"), world.pod(far, "b"));
    Company { world, liar, near, far, x, a, b }
}

fn echo() -> Serve {
    Serve::Script(Script::echo())
}

/// Every kind of lie that is told in the words of the mesh.
fn all_words() -> Vec<Lie> {
    let status = |status, end| Lie::Answers(Answer::Status { status, end });
    vec![
        Lie::Target("10.0.3.3:9999".into()),
        Lie::Target("127.0.0.1:8080".into()),
        Lie::Header("forwarded", "for=\"10.0.2.2:20000\";host=other".into()),
        Lie::Header("baggage", "k8s.namespace.name=kube-system,service.name=a".into()),
        Lie::Credulous,
        Lie::Unexpiring,
        Lie::Permissive,
        Lie::Answers(Answer::Never),
        status(200, false),
        status(200, true),
        status(204, false),
        status(302, true),
        status(401, true),
        status(599, false),
        Lie::AbortsAs(StreamEnd::Finish),
        Lie::AbortsAs(StreamEnd::Reset(0)),
        Lie::AbortsAs(StreamEnd::Reset(7)),
        Lie::AbortsAs(StreamEnd::Reset(0xdead)),
        Lie::FinishesAs(0),
        Lie::FinishesAs(7),
        Lie::FinishesAs(10),
    ]
}

/// Every kind of lie that is told in frames.
fn all_frames() -> Vec<Lie> {
    let mut lies = Vec::new();
    for kind in [
        kind::DATA,
        kind::HEADERS,
        kind::RST_STREAM,
        kind::SETTINGS,
        kind::PING,
        kind::GOAWAY,
        kind::WINDOW_UPDATE,
    ] {
        lies.extend([Lie::Withholds(kind), Lie::Deaf(kind)]);
    }
    lies.extend([Lie::Unanswering(kind::PING), Lie::Unanswering(kind::SETTINGS), Lie::Greedy]);
    lies.extend([Lie::Crumbs(20)]);
    for said in [
        Frame::settings(&[(setting::MAX_CONCURRENT_STREAMS, 0)]),
        Frame::settings(&[(setting::MAX_CONCURRENT_STREAMS, 1)]),
        Frame::settings(&[(setting::MAX_CONCURRENT_STREAMS, u32::MAX)]),
        Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]),
        Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, (1 << 31) - 1)]),
        Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 31)]),
        Frame::settings(&[(setting::MAX_FRAME_SIZE, (1 << 24) - 1)]),
        Frame::settings(&[(setting::MAX_FRAME_SIZE, 100)]),
        Frame::settings(&[(99, 99)]),
        Frame::ping(*b"liarliar"),
        Frame::goaway((1 << 31) - 1, 0),
        Frame::goaway(1, 0),
        Frame::goaway(0, 11),
        Frame::reset(SAME, 8),
        Frame::data(SAME, false, &[]),
        Frame::data(SAME, true, &[]),
        Frame::window_update(SAME, 0),
        Frame::window_update(SAME, (1 << 31) - 1),
        Frame::window_update(0, (1 << 31) - 1),
        Frame::new(200, 0, SAME, b"unknown"),
    ] {
        for after in [kind::HEADERS, kind::DATA] {
            let frames = vec![said.clone(); 3];
            lies.push(Lie::Says { after, count: 3, frames: frames.clone() });
            lies.push(Lie::Adds { to: after, frames });
        }
    }
    lies
}

/// What honest nodes read: it tells whether a lie was told.
fn read_by(world: &World, nodes: [NodeId; 2]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for step in nodes.iter().flat_map(|node| &world.recording(*node).unwrap().steps) {
        if let Step::Read(_, _, bytes) = step {
            bytes.hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Whatever a liar does as source and as destination, those beside it are served, and after it has gone too.
fn live_beside(lies: &[Lie]) -> u64 {
    let Company { mut world, liar, near, far, x, a, b } = company(1, lies);
    let [at_x, at_b] = [x, b].map(|pod| world.serve(pod, 8080, echo()));
    let aborts = Serve::Script(Script::acts(&[Act::Send(50_000), Act::Receive(1), Act::Reset]));
    let rude = world.serve(x, 8081, aborts);
    let slow = world.serve(b, 8082, Serve::Script(Script::acts(&[]).reading(Reading::Never)));
    let denied = world.pod(liar, "denied");
    let unwelcome = world.pod(near, "unwelcome");
    world.deny("no-denied", denied);
    world.deny("no-unwelcome", unwelcome);
    for _ in 0..2 {
        for _ in 0..2 {
            world.call(x, at_b, Script::send(40_000));
            world.call(a, at_x, Script::send(40_000));
            world.call(a, rude, Script::keep(1000));
        }
        world.call(x, slow, Script::keep(1 << 20));
        world.call(x, at_b, Script::acts(&[Act::Send(50_000), Act::Receive(10_000), Act::Reset]));
        world.call_in_vain(denied, at_b, Script::send(1000));
        world.call_in_vain(unwelcome, at_b, Script::send(1000));
        // The liar may let it in: that is between it and its own.
        world.call(unwelcome, at_x, Script::send(1000));
        let call = world.call(a, at_b, Script::send(100_000));
        world.run(SECOND);
        assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 100_000), "{lies:?}");
    }
    [x, b].into_iter().for_each(|pod| world.rotate(pod));
    world.run(40 * SECOND);
    world.kill(liar);
    world.run(40 * SECOND);
    let call = world.call(a, at_b, Script::send(100_000));
    world.run(SECOND);
    assert_eq!((world.seen(call), world.received(call)), (Seen::Fin, 100_000), "{lies:?}");
    for node in [near, far] {
        assert_eq!(world.connections(node), 0, "{lies:?}");
    }
    let read = read_by(&world, [near, far]);
    world.finish();
    read
}

#[test]
fn whatever_a_liar_tells_others_are_served_and_the_laws_hold() {
    let truth = live_beside(&[]);
    // What is told of these two is told in tests of their own.
    let unheard = [Lie::Unexpiring, Lie::Credulous];
    let told = |lie: &Lie| live_beside(std::slice::from_ref(lie)) != truth;
    let wrong: Vec<Lie> = all_words()
        .into_iter()
        .chain(all_frames())
        .filter(|lie| told(lie) == unheard.contains(lie))
        .collect();
    assert!(wrong.is_empty(), "not told, or told unexpectedly: {wrong:?}");
}

#[test]
fn whatever_two_lies_are_told_at_once_others_are_served_and_the_laws_hold() {
    let lies: Vec<Lie> = all_words().into_iter().chain(all_frames()).collect();
    let mut draws = Seed::new([7; 32]).draws();
    let mut draw = || lies[draws.next_u64() as usize % lies.len()].clone();
    for _ in 0..30 {
        live_beside(&[draw(), draw()]);
    }
}
