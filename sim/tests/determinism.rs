//! The same inputs give the same outputs: of one seed, of one recording, in every process (M1).
#![expect(clippy::unwrap_used, reason = "a test panics to fail, in its helpers too")]

use std::process::Command;
use std::time::Duration;

use culvert_core::telemetry::{Event, Path};
use culvert_sim::world::{Act, NodeId, Polling, Reading, Recording, Script, Serve, Step, World};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// A world in which everything happens that the simulator knows, and its nodes.
fn fair(seed: u64) -> (World, Vec<NodeId>) {
    let mut world = World::new(seed);
    world.chop(3000);
    let nodes = vec![world.node(), world.node(), world.node()];
    let (a, b, c) = (world.pod(nodes[0], "a"), world.pod(nodes[1], "b"), world.pod(nodes[0], "c"));
    let (d, machine) = (world.pod(nodes[2], "d"), world.machine());
    let mut echoes = Vec::new();
    for pod in [b, c, d, machine] {
        echoes.push(world.serve(pod, 8080, Serve::Script(Script::echo())));
    }
    let deaf = world.serve(b, 81, Serve::Script(Script::acts(&[]).reading(Reading::Never)));
    let rude = world.serve(b, 82, Serve::Script(Script::acts(&[Act::Receive(50_000), Act::Reset])));
    let silent = world.serve(b, 83, Serve::Silent);
    let slow =
        Script::acts(&[Act::Send(30_000), Act::Pause(SECOND), Act::Send(300), Act::Fin, Act::AwaitEnd])
            .reading(Reading::Slow(2000, 5 * MILLI));
    for source in [a, b, c, machine] {
        for echo in &echoes {
            world.call(source, *echo, Script::send(60_000));
            world.call(source, *echo, slow.clone());
        }
        for (target, script) in [
            (deaf, Script::keep(1 << 20)),
            (rude, Script::keep(100_000)),
            (silent, Script::send(8)),
            (world.address(b, 9), Script::send(8)),
            (echoes[0], Script::acts(&[Act::Send(20_000), Act::Reset])),
        ] {
            world.call(source, target, script);
        }
        world.run(20 * MILLI);
    }
    world.run(500 * MILLI);
    world.rotate(a);
    world.deny("no-c", c);
    world.call(c, echoes[0], Script::send(10_000));
    world.run(3 * SECOND);
    world.remove_policy("no-c");
    world.blackhole(d);
    world.call(a, echoes[2], Script::send(10_000));
    world.run(40 * SECOND);
    world.heal();
    world.call(c, echoes[0], Script::keep(50_000));
    world.run(SECOND);
    world.remove_pod(c);
    world.call(a, echoes[0], Script::keep(50_000));
    world.run(SECOND);
    world.call(a, echoes[2], Script::keep(50_000));
    world.run(SECOND);
    world.kill(nodes[2]);
    world.run(SECOND);
    world.drain(nodes[1], 5 * SECOND);
    world.run(10 * SECOND);
    (world, nodes)
}

fn hash_of(world: &World, nodes: &[NodeId]) -> u64 {
    let hashes = nodes.iter().map(|node| world.recording(*node).unwrap().replay(Polling::Eager).hash());
    hashes.fold(0, |all, hash| all.rotate_left(21) ^ hash)
}

/// Not a test: what the other process does.
#[test]
#[ignore = "run by the test that compares two processes"]
fn print_hash() {
    let (world, nodes) = fair(42);
    println!("hash={:016x}", hash_of(&world, &nodes));
    world.finish();
}

#[test]
fn a_recording_gives_the_same_in_two_processes() {
    let (world, nodes) = fair(42);
    let inputs: usize = nodes.iter().map(|node| world.recording(*node).unwrap().steps.len()).sum();
    assert!(inputs >= 10_000, "{inputs} inputs are too few to say much");
    for node in &nodes {
        assert_eq!(
            &world.recording(*node).unwrap().replay(Polling::Eager),
            world.outcome(*node),
            "the replay of {node:?}"
        );
    }
    let here = format!("hash={:016x}", hash_of(&world, &nodes));
    let other = Command::new(std::env::current_exe().expect("a test has a program"))
        .args(["--exact", "print_hash", "--ignored", "--nocapture"])
        .output()
        .expect("the program runs again");
    let said = String::from_utf8_lossy(&other.stdout).into_owned();
    assert!(said.contains(&here), "{here}, but elsewhere:\n{said}");
    world.finish();
}

#[test]
fn the_recording_has_every_kind_of_connection() {
    let (world, nodes) = fair(42);
    let mut paths = Vec::new();
    let mut faults = std::collections::BTreeSet::new();
    for node in &nodes {
        for (_, event) in world.reports(*node) {
            if let Event::Closed { connection, reason, .. } = event {
                paths.push(connection.path);
                faults.insert(reason.to_string());
            }
        }
    }
    for path in [Path::Hbone, Path::Local, Path::Plaintext, Path::Refused] {
        assert!(paths.contains(&path), "no {path:?}");
    }
    for word in [
        "completed",
        "reset by the source",
        "reset by the destination",
        "denied",
        "policy change",
        "answered 401",
        "answered 503",
        "connection refused",
        "timed out: tcp connect",
        "workload is gone",
        "draining",
        "the tunnel was lost",
    ] {
        assert!(faults.iter().any(|fault| fault.contains(word)), "no {word:?} among {faults:#?}");
    }
    world.finish();
}

#[test]
fn another_seed_and_one_changed_byte_give_another_hash() {
    let (world, nodes) = fair(42);
    let recording = world.recording(nodes[0]).unwrap();
    let whole = recording.replay(Polling::Eager).hash();
    let reads: Vec<usize> = (0..recording.steps.len())
        .filter(|index| matches!(&recording.steps[*index], Step::Read(_, _, bytes) if bytes.len() > 1000))
        .collect();
    assert!(reads.len() > 10);
    for part in 0..4 {
        let mut changed: Recording = recording.clone();
        if let Step::Read(_, _, bytes) = &mut changed.steps[reads[reads.len() * part / 4]] {
            bytes[500] ^= 1;
        }
        assert_ne!(changed.replay(Polling::Eager).hash(), whole, "a byte in quarter {part}");
    }
    let (other, same) = fair(43);
    assert_ne!(other.recording(same[0]).unwrap().replay(Polling::Eager).hash(), whole, "another seed");
    other.finish();
    world.finish();
}
