//! `culvert_core::seed`.

use culvert_core::seed::{Draws, Seed};

pub type DrawsIs = Draws;
const _: fn(&mut Draws) -> u64 = Draws::next_u64;
pub type SeedIs = Seed;
const _: fn([u8; 32]) -> Seed = Seed::new;
const _: fn(&Seed, &str) -> Seed = Seed::child;
const _: fn(&Seed) -> Draws = Seed::draws;
