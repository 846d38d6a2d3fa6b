//! `culvert bench`: throughput, latency and cost of the mesh on this machine, beside a direct connection and Envoy.
//!
//! Client and server are threads of this process; each proxy is a process of its own with one worker, so that the
//! kernel counts what it uses. All paths are measured in turn, several times, and the medians compared: what else the
//! machine does then meets all of them alike.

mod envoy;
mod figure;
mod load;
mod path;
mod server;

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::args::{Against, BenchArgs, Load};
use crate::demo::runner::Interrupt;
use crate::failure::Failure;
use crate::runtime::Runtime;
use crate::signal;
use crate::usage;
use envoy::Envoy;
use figure::{Figure, PathName, Results};
use path::{Ground, Path, PathError};

/// Connections that carry requests at the same time.
const BUSY: usize = 32;
/// Connections that are made at the same time.
const AT_ONCE: usize = 8;
/// Connections whose memory is measured; fewer than the descriptors that a process may have anywhere.
const IDLE: usize = 400;
/// Readers that stall: with one more they are as many streams as go through one tunnel.
const STALLED: usize = 99;
/// A request that takes so long beside stalled readers is taken to be stuck.
const STUCK: Duration = Duration::from_secs(1);
/// How long a path may take to carry its first byte.
const START: Duration = Duration::from_secs(15);

impl From<PathError> for Failure {
    fn from(error: PathError) -> Failure {
        Failure::from_error(&error)
    }
}

/// How long each load lasts, and how often all are repeated.
#[derive(Clone, Copy, Debug)]
struct Plan {
    load: Duration,
    far: Duration,
    rounds: usize,
}

const FULL: Plan = Plan { load: Duration::from_millis(400), far: Duration::from_millis(1500), rounds: 3 };
const QUICK: Plan = Plan { load: Duration::from_millis(150), far: Duration::from_millis(300), rounds: 1 };

/// Measures and prints.
pub(crate) fn run(args: BenchArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::new();
    let stop = interrupt.clone();
    // Before any thread: they inherit which signals are blocked.
    signal::on_stop(move |_| stop.set())
        .map_err(|error| Failure::new(format!("cannot take care of signals: {error}")))?;
    let envoy = match args.against {
        Against::Envoy => Envoy::find(args.peers, args.python),
        Against::Nothing => None,
    };
    if args.against == Against::Envoy && envoy.is_none() {
        eprintln!("there is no Envoy here; {}", envoy::INSTALL);
    }
    let ground = Ground::prepare()?;
    let mut paths = vec![ground.direct()?];
    let runtimes: BTreeSet<Runtime> = args.runtime.iter().copied().collect();
    for runtime in &runtimes {
        paths.push(ground.culvert(&PathBuf::from("/proc/self/exe"), *runtime)?);
    }
    if let Some(envoy) = envoy {
        paths.push(envoy.path(&ground)?);
    }
    let plan = if args.quick { QUICK } else { FULL };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the client: {error}")))?;
    let mut bench = Bench { runtime, interrupt, plan, results: Results::default() };
    let loads = if args.only.is_empty() { Load::value_variants() } else { &args.only };
    bench.measure(&paths, loads)?;
    if args.json {
        for value in bench.results.json() {
            println!("{value}");
        }
    } else {
        println!("{}", method(plan));
        print!("{}", bench.results.table());
    }
    Ok(())
}

fn method(plan: Plan) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{cores} cores, loopback, one worker for each proxy; medians of {} rounds; above 1 x Culvert is better\n",
        plan.rounds
    )
}

struct Bench {
    runtime: tokio::runtime::Runtime,
    interrupt: Interrupt,
    plan: Plan,
    results: Results,
}

impl Bench {
    /// Runs the loads in turn, each over all paths.
    fn measure(&mut self, paths: &[Path], loads: &[Load]) -> Result<(), Failure> {
        for path in paths {
            self.warm_up(path)?;
        }
        for round in 0..self.plan.rounds {
            for load in loads {
                for path in paths {
                    // On a machine that does much else a dial may run out of time: one failure is no result yet.
                    if self.load(path, *load, round).is_err() {
                        self.load(path, *load, round)?;
                    }
                }
            }
        }
        // Windows take long to fill: fewer rounds, and last, for what they held is memory that came to stay.
        let rounds = if loads.contains(&Load::Stalled) { self.plan.rounds.div_ceil(2) } else { 0 };
        for _ in 0..rounds {
            for path in paths {
                self.stalled(path)?;
            }
        }
        Ok(())
    }

    fn load(&mut self, path: &Path, load: Load, round: usize) -> Result<(), Failure> {
        match load {
            // Later, memory that a load has freed would carry the connections for nothing.
            Load::Idle if round == 0 => self.memory(path),
            Load::Bulk => self.bulk(path),
            Load::Far => self.far(path),
            Load::Requests => self.requests(path),
            Load::Latency => self.latency(path),
            Load::Connections => self.connections(path),
            Load::Idle | Load::Stalled => Ok(()),
        }
    }

    /// Runs a load; says what it was where it fails.
    fn drive<T>(
        &self,
        path: &Path,
        what: &str,
        load: impl Future<Output = io::Result<T>>,
    ) -> Result<T, Failure> {
        if self.interrupt.is_set() {
            return Err(Failure::new("interrupted"));
        }
        self.runtime.block_on(load::patiently(load)).map_err(|error| Self::failed(path, what, &error))
    }

    fn failed(path: &Path, what: &str, error: &io::Error) -> Failure {
        Failure::new(format!("{}: {what}: {error}", path.name.label()))
    }

    /// The same, with the CPU time that the path's proxies used meanwhile.
    fn drive_counted<T>(
        &self,
        path: &Path,
        what: &str,
        load: impl Future<Output = io::Result<T>>,
    ) -> Result<(T, Duration), Failure> {
        let before = Self::usage(path, usage::cpu)?;
        let done = self.drive(path, what, load)?;
        Ok((done, Self::usage(path, usage::cpu)?.saturating_sub(before)))
    }

    fn usage<T>(path: &Path, of: fn(&[u32]) -> io::Result<T>) -> Result<T, Failure> {
        of(&path.proxies).map_err(|error| Failure::new(format!("{}: {error}", path.name.label())))
    }

    /// Waits until bytes go through, both ways to go.
    fn warm_up(&self, path: &Path) -> Result<(), Failure> {
        let until = Instant::now() + START;
        for to in [path.near, path.far] {
            loop {
                match self.drive(path, "the first byte", load::idle(to, 1)) {
                    Ok(_) => break,
                    Err(failure) if Instant::now() > until || self.interrupt.is_set() => return Err(failure),
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        }
        Ok(())
    }

    /// Makes connections and lets them be.
    fn memory(&mut self, path: &Path) -> Result<(), Failure> {
        if path.proxies.is_empty() {
            return Ok(());
        }
        // What a first tunnel and the allocator take once is not the connections'.
        self.drive(path, "connections", load::connections(path.near, AT_ONCE, Duration::from_millis(50)))?;
        let before = Self::usage(path, usage::resident)?;
        let held = self.drive(path, "idle connections", load::idle(path.near, IDLE))?;
        let grown = Self::usage(path, usage::resident)?.saturating_sub(before);
        self.results.add(path.name, Figure::Memory, grown as f64 / 1024.0 / held.len() as f64);
        Ok(())
    }

    fn bulk(&mut self, path: &Path) -> Result<(), Failure> {
        let time = self.plan.load;
        let (up, up_cpu) = self.drive_counted(path, "upload", load::upload(path.near, time))?;
        let (down, down_cpu) = self.drive_counted(path, "download", load::download(path.near, time))?;
        self.results.add(path.name, Figure::Upload, gigabits(up));
        self.results.add(path.name, Figure::Download, gigabits(down));
        let cpu = (up_cpu + down_cpu).as_secs_f64() / ((up.bytes + down.bytes) as f64 / 1e9);
        self.add_cost(path, Figure::CpuPerGigabyte, cpu);
        Ok(())
    }

    fn far(&mut self, path: &Path) -> Result<(), Failure> {
        let bulk = self.drive(path, "upload at 50 ms", load::upload(path.far, self.plan.far))?;
        self.results.add(path.name, Figure::UploadFar, gigabits(bulk));
        Ok(())
    }

    fn requests(&mut self, path: &Path) -> Result<(), Failure> {
        let load = load::requests(path.near, BUSY, self.plan.load);
        let (rounds, cpu) = self.drive_counted(path, "requests", load)?;
        self.results.add(path.name, Figure::Requests, rounds.rate());
        self.results.add(path.name, Figure::BusyMedian, rounds.quantile(0.5));
        self.results.add(path.name, Figure::BusyTail, rounds.quantile(0.99));
        self.add_cost(path, Figure::CpuPerRequest, each(cpu, rounds.latencies.len()));
        Ok(())
    }

    fn latency(&mut self, path: &Path) -> Result<(), Failure> {
        let rounds = self.drive(path, "single requests", load::requests(path.near, 1, self.plan.load))?;
        self.results.add(path.name, Figure::Median, rounds.quantile(0.5));
        self.results.add(path.name, Figure::Tail, rounds.quantile(0.99));
        Ok(())
    }

    fn connections(&mut self, path: &Path) -> Result<(), Failure> {
        let load = load::connections(path.near, AT_ONCE, self.plan.load);
        let (rounds, cpu) = self.drive_counted(path, "new connections", load)?;
        self.results.add(path.name, Figure::Connections, rounds.rate());
        self.add_cost(path, Figure::CpuPerConnection, each(cpu, rounds.latencies.len()));
        Ok(())
    }

    fn stalled(&mut self, path: &Path) -> Result<(), Failure> {
        let single = || load::requests(path.near, 1, self.plan.load);
        let before = self.drive(path, "single requests", single())?;
        let held = self.drive(path, "stalled readers", load::stalled(path.near, STALLED))?;
        let patience = self.plan.load + STUCK;
        let beside = async { Ok(tokio::time::timeout(patience, single()).await) };
        let beside = match self.drive(path, "requests beside stalled readers", beside)? {
            Ok(rounds) => {
                rounds.map_err(|error| Self::failed(path, "requests beside stalled readers", &error))?
            }
            // The readers have taken the tunnel with them: at least this is what a request took.
            Err(_) => load::Rounds { elapsed: patience, latencies: vec![STUCK] },
        };
        drop(held);
        self.results.add(path.name, Figure::StalledTail, beside.quantile(0.99));
        self.results.add(path.name, Figure::StalledRatio, beside.quantile(0.99) / before.quantile(0.99));
        Ok(())
    }

    /// What proxies use; where there are none, nothing is used and nothing is said.
    fn add_cost(&mut self, path: &Path, figure: Figure, cost: f64) {
        if path.name != PathName::Direct {
            self.results.add(path.name, figure, cost);
        }
    }
}

fn gigabits(bulk: load::Bulk) -> f64 {
    bulk.bytes as f64 * 8.0 / 1e9 / bulk.elapsed.as_secs_f64()
}

/// Microseconds for each of `count`.
fn each(cpu: Duration, count: usize) -> f64 {
    cpu.as_secs_f64() * 1e6 / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        let bulk = load::Bulk { bytes: 250_000_000, elapsed: Duration::from_millis(500) };
        assert_eq!(gigabits(bulk), 4.0);
        assert_eq!(each(Duration::from_millis(3), 30), 100.0);
        assert!(!each(Duration::ZERO, 0).is_finite());
    }
}
