//! The command line of the simulator.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  culvert sim run --seeds 100             a hundred random worlds, each twice, on every core
  culvert sim replay 17 --trace           one of them as a timeline
  culvert sim replay broken.bin --trace   the same from bytes in a file";

const RUN_HELP: &str = "\
Each seed is a world of nodes, pods and applications that check every byte: faults first, then all is healed and everything
must work again. Each runs twice, and both runs must be the same.

Exit status 1 if a law is broken, or if something never occurred that scenarios can show: then more seeds are needed, or
the scenarios have become blind.";

/// `culvert sim …`.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum SimCommand {
    /// Run a campaign of random worlds
    #[command(long_about = RUN_HELP)]
    Run(SimRunArgs),
    /// Run one world again
    Replay(SimReplayArgs),
    /// Measure the simulator itself, with the same worlds each time
    Bench(SimBenchArgs),
    /// Visit every state that small machines of the core can reach
    Explore(SimExploreArgs),
}

/// Arguments of `culvert sim run`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct SimRunArgs {
    /// How many seeds
    #[arg(long, value_name = "N", default_value = "50")]
    pub seeds: NonZeroUsize,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub from: u64,
    /// Threads [default: the number of cores]
    #[arg(long, value_name = "J")]
    pub jobs: Option<NonZeroUsize>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `culvert sim explore`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct SimExploreArgs {
    /// One machine [default: all of them]
    #[arg(long, value_name = "NAME")]
    pub machine: Option<String>,
    /// How many events deep
    #[arg(long, value_name = "D", default_value_t = 8)]
    pub depth: usize,
}

/// Arguments of `culvert sim replay`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct SimReplayArgs {
    /// A seed, or a file with the bytes of a scenario
    #[arg(value_name = "SEED|FILE")]
    pub scenario: PathBuf,
    /// Print the timeline: who dialled whom, what went wrong, what each node decided
    #[arg(long)]
    pub trace: bool,
}

/// Arguments of `culvert sim bench`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct SimBenchArgs {
    /// Threads [default: the number of cores]
    #[arg(long, value_name = "J")]
    pub jobs: Option<NonZeroUsize>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}
