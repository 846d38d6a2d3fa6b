//! The command line of the simulator.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const ABOUT: &str =
    "Whole engines in simulated worlds that break and heal, and small machines of the core in every state.";

const EXAMPLES: &str = "\
Examples:
  culvert sim run --seeds 1000            a thousand random worlds, each twice, on every core
  culvert sim run --provider real         the same with the cryptography of production
  culvert sim replay 17 --trace           one of them as a timeline
  culvert sim replay broken.bin --trace   the same from bytes in a file, or from a readable scenario (broken.yaml)
  culvert sim shrink 17 --out small.bin   the least of it that still breaks the same law
  culvert sim explore --machine pool      every state that the tunnel pool can reach
  culvert sim explore --machine scenarios every pair of two changes, in small worlds";

const RUN_HELP: &str = "\
Each seed is a world of nodes, pods and applications that check every byte: faults first, then all is healed and everything
must work again. Each runs twice, and both runs must be the same.

Exit status 1 if a law is broken, or if something never occurred that scenarios can show: then more seeds are needed, or
the scenarios have become blind.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "culvert sim", about = ABOUT, after_help = EXAMPLES, disable_version_flag = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// `culvert sim …`.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Run a campaign of random worlds
    #[command(long_about = RUN_HELP)]
    Run(RunArgs),
    /// Run one world again
    Replay(ReplayArgs),
    /// Make a world that breaks a law as small as possible
    Shrink(ShrinkArgs),
    /// Measure the simulator itself, with the same worlds each time
    Bench(BenchArgs),
    /// Visit every state that small machines of the core can reach
    Explore(ExploreArgs),
    /// Renew certificates for weeks, with an authority that is often away and roots that change
    Certificates(CertificatesArgs),
}

/// Arguments of `culvert sim certificates`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct CertificatesArgs {
    /// Simulated days
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) days: u64,
    /// Workloads, each with an identity of its own
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) workloads: usize,
    /// What chance is drawn from
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
}

/// Whose cryptography nodes, attackers and authorities have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Provider {
    /// The simulator's, which protects nothing and costs nearly nothing
    #[default]
    Fake,
    /// That of production: aws-lc-rs with P-256 keys
    Real,
}

/// Arguments of `culvert sim run`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct RunArgs {
    /// How many seeds
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) seeds: NonZeroUsize,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) from: u64,
    /// Threads [default: the number of cores]
    #[arg(long, value_name = "J")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Whose cryptography: the simulator's, or that of production
    #[arg(long, value_enum, default_value_t)]
    pub(crate) provider: Provider,
}

/// Arguments of `culvert sim replay`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct ReplayArgs {
    /// A seed, a file with a scenario (its bytes, or readable: .yaml), or its bytes as hex:0200…
    #[arg(value_name = "SEED|FILE")]
    pub(crate) scenario: PathBuf,
    /// Print the timeline: who dialled whom, what went wrong, what each node decided
    #[arg(long)]
    pub(crate) trace: bool,
    /// Print it as readable text that can be kept (.yaml), instead of what happens
    #[arg(long, conflicts_with = "trace")]
    pub(crate) text: bool,
    /// Whose cryptography: the simulator's, or that of production
    #[arg(long, value_enum, default_value_t)]
    pub(crate) provider: Provider,
}

/// Arguments of `culvert sim shrink`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct ShrinkArgs {
    /// A seed, a file with the bytes of a scenario, or these as hex:0200…
    #[arg(value_name = "SEED|FILE")]
    pub(crate) scenario: PathBuf,
    /// Write the bytes that are left to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Whose cryptography: the simulator's, or that of production
    #[arg(long, value_enum, default_value_t)]
    pub(crate) provider: Provider,
}

/// Arguments of `culvert sim bench`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct BenchArgs {
    /// How many scenarios
    #[arg(long, value_name = "N", default_value = "5000")]
    pub(crate) seeds: NonZeroUsize,
    /// Threads [default: the number of cores]
    #[arg(long, value_name = "J")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `culvert sim explore`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct ExploreArgs {
    /// One machine [default: all of them]
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,
    /// How many events deep, or with how many free choices [default: what each machine names as its own]
    #[arg(long, value_name = "D")]
    pub(crate) depth: Option<usize>,
    /// States at which an exploration stops [default: what each machine names as its own]
    #[arg(long, value_name = "N")]
    pub(crate) states: Option<usize>,
    /// Threads [default: the number of cores]
    #[arg(long, value_name = "J")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// The fewest states of all machines together that are enough
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) at_least: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use culvert::args::{Line, read};

    fn command(line: &str) -> Option<Command> {
        match read::<CommandLine>(line.split_whitespace().map(Into::into)) {
            Ok(Line::Read(line)) => Some(line.command),
            Ok(Line::Text(_)) | Err(_) => None,
        }
    }

    #[test]
    fn a_campaign_has_seeds_and_a_replay_one_scenario() {
        let Some(Command::Run(run)) = command("sim run --seeds 9 --from 4 --jobs 2 --json") else {
            panic!("not a campaign");
        };
        assert_eq!((run.seeds.get(), run.from, run.jobs, run.json), (9, 4, NonZeroUsize::new(2), true));
        let Some(Command::Replay(replay)) = command("sim replay 17 --trace") else { panic!("not a replay") };
        assert_eq!((&replay.scenario, replay.trace), (&"17".into(), true));
        assert_eq!((run.provider, replay.provider), (Provider::Fake, Provider::Fake));
        let Some(Command::Run(run)) = command("sim run --provider real") else { panic!("not a campaign") };
        assert_eq!(run.provider, Provider::Real);
        assert_eq!(command("sim run --provider other"), None);
        assert_eq!(command("sim run --seeds 0"), None);
        assert_eq!(command("sim replay"), None);
    }
}
