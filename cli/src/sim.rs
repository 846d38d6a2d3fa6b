//! `culvert sim`: campaigns of random worlds, one of them again, and how fast they are.

mod campaign;
mod summary;

use std::fs;
use std::num::NonZeroUsize;
use std::panic;
use std::path::Path;
use std::thread;

use culvert_sim::explore;
use culvert_sim::scenario::{Outcome, Scenario, VOCABULARY, Violation};

use crate::args::{SimBenchArgs, SimCommand, SimExploreArgs, SimReplayArgs, SimRunArgs};
use crate::failure::Failure;
use campaign::{Campaign, Runs};
use summary::Summary;

/// Seeds that `culvert sim bench` measures.
const BENCH_SEEDS: u64 = 2000;

/// Runs one of the simulator's commands to its end.
pub(crate) fn run(command: &SimCommand) -> Result<(), Failure> {
    // A broken law is a panic that the scenario catches and this command tells, with what led to it.
    panic::set_hook(Box::new(|_| ()));
    let result = match command {
        SimCommand::Run(args) => run_campaign(args),
        SimCommand::Replay(args) => replay(args),
        SimCommand::Bench(args) => bench(args),
        SimCommand::Explore(args) => visit(args),
    };
    drop(panic::take_hook());
    result
}

fn run_campaign(args: &SimRunArgs) -> Result<(), Failure> {
    let count = u64::try_from(args.seeds.get()).unwrap_or(u64::MAX);
    let seeds = args.from..args.from.saturating_add(count);
    let campaign = Campaign { seeds, jobs: jobs(args.jobs), runs: Runs::Twice };
    let summary = campaign.run(tell_failure)?;
    let never_seen = summary.never_seen(VOCABULARY);
    print(&summary, args.json, &never_seen);
    if summary.violations > 0 {
        return Err(Failure::new(format!("{} of {} seeds break a law", summary.violations, summary.seeds)));
    }
    if !never_seen.is_empty() {
        return Err(Failure::new(format!("never seen: {}", never_seen.join(", ")))
            .hint("run more seeds; if that does not help, scenarios no longer bring it about"));
    }
    Ok(())
}

fn visit(args: &SimExploreArgs) -> Result<(), Failure> {
    let machines: Vec<&str> = match &args.machine {
        Some(name) => vec![name],
        None => explore::MACHINES.iter().map(|known| known.name).collect(),
    };
    let mut broken = 0;
    for machine in machines {
        let summary = explore::run(machine, args.depth, &mut std::io::stdout()).map_err(|error| {
            let known: Vec<&str> = explore::MACHINES.iter().map(|known| known.name).collect();
            Failure::from_error(&error).hint(format!("machines are {}", known.join(", ")))
        })?;
        broken += usize::from(summary.violation.is_some());
    }
    if broken > 0 {
        return Err(Failure::new(format!("{broken} machines break a rule")));
    }
    Ok(())
}

fn bench(args: &SimBenchArgs) -> Result<(), Failure> {
    let campaign = Campaign { seeds: 0..BENCH_SEEDS, jobs: jobs(args.jobs), runs: Runs::Once };
    let summary = campaign.run(tell_failure)?;
    print(&summary, args.json, &[]);
    match summary.violations {
        0 => Ok(()),
        _ => Err(Failure::new("a law is broken, so the figures mean nothing")),
    }
}

fn replay(args: &SimReplayArgs) -> Result<(), Failure> {
    let scenario = match args.scenario.to_str().and_then(|text| text.parse().ok()) {
        Some(seed) => Scenario::of_seed(seed),
        None => read(&args.scenario)?,
    };
    println!("{scenario}");
    let outcome = scenario.tell();
    let lines = match (args.trace, &outcome.violation) {
        (true, _) => outcome.story.as_slice(),
        (false, Some(_)) => outcome.last(),
        (false, None) => &[],
    };
    lines.iter().for_each(|line| println!("{line}"));
    println!(
        "hash {:016x}, seen: {}",
        outcome.hash,
        outcome.seen.iter().copied().collect::<Vec<_>>().join(" ")
    );
    match &outcome.violation {
        None => Ok(()),
        Some(violation) => Err(broken(violation)),
    }
}

fn read(file: &Path) -> Result<Scenario, Failure> {
    let bytes =
        fs::read(file).map_err(|error| Failure::new(format!("cannot read {}: {error}", file.display())))?;
    Scenario::decode(&bytes).map_err(|error| Failure::new(format!("{}: {error}", file.display())))
}

fn broken(violation: &Violation) -> Failure {
    Failure::new(format!("{} is broken after {:?}: {}", violation.law(), violation.at, violation.message))
}

/// Prints what is needed to understand a failure and to see it again.
fn tell_failure(seed: u64, outcome: &Outcome) {
    let Some(violation) = &outcome.violation else { return };
    eprintln!("seed {seed}: {}", Scenario::of_seed(seed));
    outcome.last().iter().for_each(|line| eprintln!("{line}"));
    eprint!("{}", broken(violation));
    eprintln!("again: culvert sim replay {seed} --trace");
}

fn print(summary: &Summary, json: bool, never_seen: &[&'static str]) {
    if json {
        println!("{}", summary.json(never_seen));
    } else {
        print!("{summary}");
    }
}

fn jobs(asked: Option<NonZeroUsize>) -> NonZeroUsize {
    asked.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}
