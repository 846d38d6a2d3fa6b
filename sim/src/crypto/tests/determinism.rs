//! The bytes on the wire are a function of the seed, and their number not even of that.

use super::*;
use std::process::Command;

/// All that crosses the wire in a handshake and an exchange, in the order in which it does.
fn wire(seed: u8) -> Vec<u8> {
    let (mut a, mut b) = pair(seed);
    let mut all = Vec::new();
    pump(&mut a, &mut b, |_, flight| all.extend_from_slice(flight));
    a.send(&[1; 20_000]);
    b.send(&[2; 20_000]);
    pump(&mut a, &mut b, |_, flight| all.extend_from_slice(flight));
    assert_eq!((a.plain.len(), b.plain.len()), (20_000, 20_000));
    all
}

fn digest(bytes: &[u8]) -> String {
    let mut sponge = sponge::Sponge::new(0);
    sponge.absorb(bytes);
    format!("{:016x?}", sponge.words::<2>())
}

#[test]
fn one_seed_gives_one_wire() {
    let first = wire(1);
    assert!(wire(1) == first);
    for seed in 2..12 {
        let other = wire(seed);
        assert!(other != first && other.len() == first.len(), "seed {seed}: {} bytes", other.len());
    }
}

#[test]
fn another_process_gives_the_same_wire() {
    let own = digest(&wire(3));
    let program = std::env::current_exe().unwrap();
    let child = "crypto::tests::determinism::print_the_wire";
    let output = Command::new(program).args(["--exact", child, "--ignored", "--nocapture"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let found = text.lines().find_map(|line| line.split_once("wire of seed 3: "));
    assert_eq!(found.map(|(_, digest)| digest), Some(own.as_str()), "{text}");
}

#[test]
#[ignore = "the other process of another_process_gives_the_same_wire"]
fn print_the_wire() {
    println!("\nwire of seed 3: {}", digest(&wire(3)));
}
