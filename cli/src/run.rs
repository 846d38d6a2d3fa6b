//! Runs the commands that need no node.

use std::time::SystemTime;

use crate::args::{CaCommand, CaInitArgs, CaIssueArgs, Command, DemoProgramArgs};
use crate::bench;
use crate::ca::{Ca, CaError};
use crate::credentials::{CredentialDirectory, CredentialError, store};
use crate::demo::{self, programs};
use crate::failure::Failure;
use crate::node;
use crate::redirect;
use crate::sim;
use crate::version::Version;

impl From<CaError> for Failure {
    fn from(error: CaError) -> Failure {
        let failure = Failure::from_error(&error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<CredentialError> for Failure {
    fn from(error: CredentialError) -> Failure {
        let failure = Failure::from_error(&error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// Runs one command to its end.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Ca(CaCommand::Init(args)) => ca_init(&args),
        Command::Ca(CaCommand::Issue(args)) => ca_issue(&args),
        Command::Version => {
            println!("{}", Version::current());
            Ok(())
        }
        Command::Node(args) => node::run(*args),
        Command::Redirect(command) => redirect::run(&command),
        Command::Demo(args) => demo::start(&args),
        Command::Bench(args) => bench::run(args),
        Command::Sim(args) => sim::run(&args),
        Command::DemoProbe => demo::probe(),
        Command::DemoProgram(args) => demo_program(&args),
    }
}

fn demo_program(args: &DemoProgramArgs) -> Result<(), Failure> {
    let program = serde_json::from_str(&args.program)
        .map_err(|error| Failure::usage(format!("the program cannot be understood: {error}")))?;
    programs::run(&program).map_err(|error| Failure::from_error(&error))
}

fn ca_init(args: &CaInitArgs) -> Result<(), Failure> {
    let ca = Ca::open_or_init(&args.dir, &args.trust_domain)?;
    println!("{}: a CA for development, trust domain {}", args.dir.display(), ca.trust_domain());
    println!("whoever can read {} can be anyone in this mesh", args.dir.join("ca.key").display());
    Ok(())
}

fn ca_issue(args: &CaIssueArgs) -> Result<(), Failure> {
    let ca = Ca::open(&args.dir)?;
    let trust_domain = args.trust_domain.as_deref().unwrap_or(ca.trust_domain());
    let out = CredentialDirectory::new(&args.out);
    for workload in &args.workloads {
        let id = workload
            .identity(trust_domain)
            .map_err(|error| Failure::usage(format!("{workload}: {error}")))?;
        store(&out, &id, &ca.issue(&id, SystemTime::now(), args.ttl)?)?;
        println!("{id}: {} and {}", out.chain_path(&id).display(), out.key_path(&id).display());
    }
    println!("use them with `culvert node --credentials {} …`", args.out.display());
    Ok(())
}
