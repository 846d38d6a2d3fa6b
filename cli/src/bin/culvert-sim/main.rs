//! `culvert-sim`, or `culvert sim`: campaigns of random worlds, one of them again, the least of it, exploration, and how fast
//! all that is.

mod args;
mod campaign;
mod enumerate;
mod real;
mod summary;

use std::fs;
use std::num::NonZeroUsize;
use std::panic;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use culvert::args::{Line, read};
use culvert::failure::Failure;
use culvert_sim::cryptography::Cryptography;
use culvert_sim::explore::{self, Bounds, Known};
use culvert_sim::idle;
use culvert_sim::month::Month;
use culvert_sim::scenario::{Enumeration, Golden, Outcome, Scenario, VOCABULARY, Violation, shrink_with};

use args::{
    BenchArgs, CertificatesArgs, Command, CommandLine, ExploreArgs, Provider, ReplayArgs, RunArgs, ShrinkArgs,
};
use campaign::{Campaign, Runs};
use summary::Summary;

/// With the cryptography of production, one of so many scenarios is measured.
const REAL: u64 = 5;
/// Simulated time for which the idle mesh is measured.
const IDLE: Duration = Duration::from_secs(20_000);

fn main() -> ExitCode {
    let outcome = read::<CommandLine>(std::env::args_os()).and_then(|line| match line {
        Line::Text(text) => {
            print!("{text}");
            Ok(())
        }
        Line::Read(line) => run(&line.command),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprint!("{failure}");
            ExitCode::from(failure.status())
        }
    }
}

fn run(command: &Command) -> Result<(), Failure> {
    // A broken law is a panic that the scenario catches and this command tells, with what led to it.
    panic::set_hook(Box::new(|_| ()));
    match command {
        Command::Run(args) => run_campaign(args),
        Command::Replay(args) => replay(args),
        Command::Shrink(args) => make_small(args),
        Command::Bench(args) => bench(args),
        Command::Explore(args) => visit(args),
        Command::Certificates(args) => certificates(args),
    }
}

fn run_campaign(args: &RunArgs) -> Result<(), Failure> {
    let seeds = args.from..args.from.saturating_add(number(args.seeds));
    let cryptography = cryptography(args.provider);
    let campaign = Campaign { seeds, jobs: jobs(args.jobs), runs: Runs::Twice, cryptography };
    let summary = campaign.run(|seed, outcome| tell_seed(seed, args.provider, outcome))?;
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

fn certificates(args: &CertificatesArgs) -> Result<(), Failure> {
    let CertificatesArgs { days, workloads, seed } = *args;
    let begun = Instant::now();
    let month = Month { days, workloads, seed };
    let report = panic::catch_unwind(|| month.run()).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Failure::new(text.unwrap_or_else(|| "a law is broken".to_owned()))
    })?;
    println!("{days} days, {workloads} workloads: {report} ({:.1} s)", begun.elapsed().as_secs_f64());
    Ok(())
}

fn visit(args: &ExploreArgs) -> Result<(), Failure> {
    let wanted = |name: &str| args.machine.as_deref().is_none_or(|machine| machine == name);
    let machines: Vec<&Known> = explore::MACHINES.iter().filter(|known| wanted(known.name)).collect();
    let (scripts, scenarios) = (wanted(explore::SCRIPTS), wanted(enumerate::NAME));
    if machines.is_empty() && !scripts && !scenarios {
        let all = explore::MACHINES.iter().map(|known| known.name).chain([explore::SCRIPTS, enumerate::NAME]);
        let name = args.machine.as_deref().unwrap_or_default();
        return Err(Failure::usage(format!("no machine is named {name:?}"))
            .hint(format!("machines are {}", all.collect::<Vec<_>>().join(", "))));
    }
    let (begun, mut states, mut broken) = (Instant::now(), 0, 0);
    for known in &machines {
        println!("{}: {}", known.name, known.says);
        let bounds = Bounds {
            depth: args.depth.unwrap_or(known.depth),
            states: args.states.unwrap_or(known.states),
            jobs: Some(jobs(args.jobs)),
        };
        let (found, failed) = one_machine(known.name, bounds)?;
        states += found;
        broken += usize::from(failed);
    }
    if scripts {
        broken += usize::from(one_machine(explore::SCRIPTS, Bounds::from(0))?.1);
    }
    if !machines.is_empty() {
        println!("{states} states of all machines in {:.1} s", begun.elapsed().as_secs_f64());
    }
    if scenarios {
        broken += usize::from(all_scenarios(args)?);
    }
    if broken > 0 {
        return Err(Failure::new(format!("{broken} machines break a rule")));
    }
    if states < args.at_least {
        return Err(Failure::new(format!("{states} states, and {} were asked for", args.at_least)));
    }
    Ok(())
}

/// Runs every scenario of the enumeration; whether one breaks a law.
fn all_scenarios(args: &ExploreArgs) -> Result<bool, Failure> {
    println!(
        "{}: two calls, and every pair of changes at either end of them, in whole worlds",
        enumerate::NAME
    );
    let before = campaign::cpu()?;
    let depth = args.depth.unwrap_or(Enumeration::WHOLE);
    let found = enumerate::run(depth, jobs(args.jobs), |name, scenario, outcome| {
        tell_failure(name, scenario, Provider::Fake, outcome);
    });
    let seconds = campaign::cpu()?.saturating_sub(before).as_secs_f64();
    println!(
        "{}: {} scenarios, {} distinct hashes, {} kinds of events seen, {} violations",
        enumerate::NAME,
        found.scenarios,
        found.hashes.len(),
        found.seen.len(),
        found.violations
    );
    let rate = found.scenarios as f64 / seconds.max(0.001);
    println!("  {seconds:.1} s of CPU; in one, {rate:.0} scenarios, each run twice");
    Ok(found.violations > 0)
}

/// The states of a machine, and whether it breaks a rule.
fn one_machine(name: &str, bounds: Bounds) -> Result<(usize, bool), Failure> {
    let begun = Instant::now();
    let summary =
        explore::run(name, bounds, &mut std::io::stdout()).map_err(|error| Failure::from_error(&error))?;
    let seconds = begun.elapsed().as_secs_f64();
    match summary.states {
        0 => println!("  {seconds:.1} s"),
        states => println!("  {seconds:.1} s, {:.0} states a second", states as f64 / seconds.max(0.001)),
    }
    Ok((summary.states, summary.violation.is_some()))
}

fn bench(args: &BenchArgs) -> Result<(), Failure> {
    bench_scenarios(args, Provider::Fake, number(args.seeds))?;
    bench_scenarios(args, Provider::Real, number(args.seeds).div_ceil(REAL))?;
    let before = campaign::cpu()?;
    let inputs = idle::ring(IDLE);
    let used = campaign::cpu()?.saturating_sub(before).as_secs_f64();
    let rate = IDLE.as_secs_f64() / used.max(0.001);
    if args.json {
        println!(
            "{}",
            serde_json::json!({ "idle_nodes": idle::NODES, "idle_simulated_per_cpu_second": rate.round() })
        );
    } else {
        println!(
            "{} idle nodes with a tunnel each: {rate:.0} simulated seconds for one of CPU, {inputs} events",
            idle::NODES
        );
    }
    Ok(())
}

fn bench_scenarios(args: &BenchArgs, provider: Provider, seeds: u64) -> Result<(), Failure> {
    let campaign = Campaign {
        seeds: 0..seeds,
        jobs: jobs(args.jobs),
        runs: Runs::Once,
        cryptography: cryptography(provider),
    };
    let summary = campaign.run(|seed, outcome| tell_seed(seed, provider, outcome))?;
    if provider == Provider::Real && !args.json {
        println!("with the cryptography of production:");
    }
    print(&summary, args.json, &[]);
    if summary.violations > 0 {
        return Err(Failure::new("a law is broken, so the figures mean nothing"));
    }
    Ok(())
}

fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let golden = if args.scenario.extension().is_some_and(|suffix| suffix == "yaml") {
        let text = fs::read_to_string(&args.scenario).map_err(|error| unread(&args.scenario, &error))?;
        Golden::read(&text).map_err(|error| refused(&args.scenario, &error))?
    } else {
        let bytes = bytes_of(&args.scenario)?;
        let scenario = Scenario::decode(&bytes).map_err(|error| refused(&args.scenario, &error))?;
        Golden { says: "What happens.".to_owned(), shows: Vec::new(), scenario }
    };
    if args.text {
        return write_text(&golden, &cryptography(args.provider));
    }
    println!("{}", golden.scenario);
    let outcome = golden.tell_with(&cryptography(args.provider));
    let lines = match (args.trace, &outcome.violation) {
        (true, _) => outcome.story.as_slice(),
        (false, Some(_)) => outcome.last(),
        (false, None) => &[],
    };
    lines.iter().for_each(|line| println!("{line}"));
    let seen = outcome.seen.iter().copied().collect::<Vec<_>>().join(" ");
    println!("hash {:016x}, seen: {seen}", outcome.hash);
    match &outcome.violation {
        None => Ok(()),
        Some(violation) => Err(broken(violation)),
    }
}

/// Prints a scenario as text that can be kept, with all that it shows.
fn write_text(golden: &Golden, cryptography: &Cryptography) -> Result<(), Failure> {
    let shows = golden.tell_with(cryptography).seen.into_iter().map(str::to_owned).collect();
    let golden = Golden { shows, ..golden.clone() };
    let text = serde_saphyr::to_string(&golden).map_err(|error| Failure::from_error(&error))?;
    print!("{text}");
    Ok(())
}

fn make_small(args: &ShrinkArgs) -> Result<(), Failure> {
    let bytes = bytes_of(&args.scenario)?;
    Scenario::decode(&bytes).map_err(|error| refused(&args.scenario, &error))?;
    let cryptography = cryptography(args.provider);
    let Some(small) = shrink_with(&cryptography, &bytes) else {
        return Err(Failure::new(format!("{} breaks no law", args.scenario.display())));
    };
    let scenario = Scenario::decode(&small.bytes).map_err(|error| Failure::from_error(&error))?;
    println!(
        "{} of {} bytes still break {}, found by {} runs",
        small.bytes.len(),
        bytes.len(),
        small.law,
        small.runs
    );
    println!("{scenario}");
    scenario.tell_with(&cryptography).story.iter().for_each(|line| println!("{line}"));
    if let Some(out) = &args.out {
        fs::write(out, &small.bytes)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", out.display())))?;
        println!("again: culvert sim replay {} --trace{}", out.display(), option(args.provider));
    }
    Ok(())
}

/// The bytes of a seed, of what an enumeration calls a scenario, or of a file.
fn bytes_of(scenario: &Path) -> Result<Vec<u8>, Failure> {
    if let Some(seed) = scenario.to_str().and_then(|text| text.parse().ok()) {
        return Ok(Scenario::bytes_of(seed));
    }
    if let Some(bytes) = scenario.to_str().and_then(enumerate::bytes) {
        return Ok(bytes);
    }
    fs::read(scenario).map_err(|error| unread(scenario, &error))
}

fn unread(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot read {}: {error}", file.display()))
}

fn refused(file: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("{}: {error}", file.display()))
}

fn broken(violation: &Violation) -> Failure {
    Failure::new(format!("{} is broken after {:?}: {}", violation.law(), violation.at, violation.message))
}

fn tell_seed(seed: u64, provider: Provider, outcome: &Outcome) {
    tell_failure(&seed.to_string(), &Scenario::of_seed(seed), provider, outcome);
}

/// Prints what is needed to understand a failure and to see it again.
fn tell_failure(name: &str, scenario: &Scenario, provider: Provider, outcome: &Outcome) {
    let Some(violation) = &outcome.violation else { return };
    eprintln!("scenario {name}: {scenario}");
    outcome.last().iter().for_each(|line| eprintln!("{line}"));
    eprint!("{}", broken(violation));
    let option = option(provider);
    eprintln!(
        "again: culvert sim replay {name} --trace{option}; the least of it: culvert sim shrink {name}{option}"
    );
}

fn cryptography(provider: Provider) -> Cryptography {
    match provider {
        Provider::Fake => Cryptography::fake(),
        Provider::Real => real::cryptography(),
    }
}

/// What a command needs so that it has this provider.
fn option(provider: Provider) -> &'static str {
    match provider {
        Provider::Fake => "",
        Provider::Real => " --provider real",
    }
}

fn print(summary: &Summary, json: bool, never_seen: &[&'static str]) {
    if json {
        println!("{}", summary.json(never_seen));
    } else {
        print!("{summary}");
    }
}

fn number(count: NonZeroUsize) -> u64 {
    u64::try_from(count.get()).unwrap_or(u64::MAX)
}

fn jobs(asked: Option<NonZeroUsize>) -> NonZeroUsize {
    asked.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}
