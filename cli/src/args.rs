//! The command line: what can be typed, checked and turned into typed settings.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, ArgGroup, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use culvert_core::limit::Limits;

use crate::failure::Failure;
use crate::runtime::Runtime;

mod bench;
mod limit;
mod value;

pub use bench::{Against, BenchArgs, Load};
pub use limit::LimitSetting;
pub use value::{Forward, Pod, ValueError, WorkloadName};

/// The trust domain of a mesh that says nothing else.
pub const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";

const ABOUT: &str = "An ambient service mesh: no sidecars, no changes to applications.";

const EXAMPLES: &str = "\
Examples:
  culvert demo                      see the mesh work on this machine; root is not needed
  culvert demo --loopback           the same without network namespaces, on 127.77.0.0/16
  culvert node --mesh mesh.yaml --workload shop/frontend/frontend --ca ./dev-ca
  culvert ca issue --dir ./ca --workload shop/orders/orders --out ./creds
  culvert sim run --seeds 100       whole engines in simulated worlds that break and heal";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "culvert", about = ABOUT, after_help = EXAMPLES, disable_version_flag = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// One command with its arguments, checked as far as that is possible without looking at the machine.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the node proxy for one workload, or for several pods
    #[command(long_about = NODE_HELP, after_long_help = node_examples())]
    Node(NodeArgs),
    /// Capture a pod's traffic for the node, or stop to
    #[command(subcommand)]
    Redirect(RedirectCommand),
    /// Make and use a certificate authority for development
    #[command(subcommand)]
    Ca(CaCommand),
    /// Show the mesh at work: two nodes, five pods, every kind of traffic, each checked
    Demo(DemoArgs),
    /// Measure throughput and latency on this machine
    Bench(BenchArgs),
    /// Let whole engines meet random faults in a simulated world (runs `culvert-sim`)
    #[command(disable_help_flag = true)]
    Sim(SimArgs),
    /// Print the version, the commit and the cryptographic module
    Version,
    /// Try whether the demo's network namespaces can be built here
    #[command(hide = true)]
    DemoProbe,
    /// Run one of the demo's plain programs
    #[command(hide = true)]
    DemoProgram(DemoProgramArgs),
}

/// Arguments of `culvert sim`: those of `culvert-sim`, a program of its own, so that nothing of the simulator is in this one.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct SimArgs {
    /// As `culvert-sim --help` says
    #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

const NODE_HELP: &str = "\
Run the node proxy.

With --workload it serves the one workload that lives in the current network namespace; with --pod (repeatable) it \
serves several, each in its own. The mesh file is read again when it changes: a file that cannot be used is reported \
and the last good one stays in force. SIGTERM or SIGINT drains; a second one ends at once.";

const NODE_EXAMPLES: &str = "\
Examples:
  One workload here, with a CA for this machine only (made on first use):
    culvert node --mesh mesh.yaml --workload shop/frontend/frontend --ca ./dev-ca
  Two pods, with credentials made by `culvert ca issue`:
    culvert node --mesh mesh.yaml --credentials ./creds \\
      --pod shop/frontend/frontend=/run/netns/frontend --pod shop/cart/cart=/run/netns/cart
  Without a redirect: connections to 127.0.0.1:9000 go to 10.0.0.7:80 through the mesh:
    culvert node --mesh mesh.yaml --workload shop/frontend/frontend --ca ./dev-ca \\
      --forward 127.0.0.1:9000=10.0.0.7:80";

fn node_examples() -> String {
    format!("{NODE_EXAMPLES}\n\n{}", limit::table())
}

/// Arguments of `culvert node`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(group = ArgGroup::new("who").required(true).args(["workload", "pods"]))]
#[command(group = ArgGroup::new("keys").required(true).args(["credentials", "ca"]))]
pub struct NodeArgs {
    /// The mesh: workloads, services and policies, in YAML
    #[arg(long, value_name = "FILE")]
    pub mesh: PathBuf,
    /// The one workload in the current network namespace
    #[arg(long, value_name = "NS/NAME/SA")]
    pub workload: Option<WorkloadName>,
    /// A workload and its network namespace (repeatable)
    #[arg(long = "pod", value_name = "NS/NAME/SA=NETNS")]
    pub pods: Vec<Pod>,
    /// Keys, certificates and the trust bundle, as `culvert ca issue` writes them
    #[arg(long, value_name = "DIR")]
    pub credentials: Option<PathBuf>,
    /// A CA for development on this one machine, made on first use
    #[arg(long, value_name = "DIR")]
    pub ca: Option<PathBuf>,
    /// Worker threads [default: the number of cores]
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
    /// What the workers run on
    #[arg(long, value_enum, default_value_t = Runtime::Tokio, value_name = "RUNTIME")]
    pub runtime: Runtime,
    /// Where tunnels are taken; peers must be led there from port 15008
    #[arg(long, value_name = "PORT", default_value_t = 15008, hide = true)]
    pub hbone_port: u16,
    /// Take connections to LISTEN as if the workload had made them to TARGET (repeatable, with --workload)
    #[arg(long = "forward", value_name = "LISTEN=TARGET")]
    pub forwards: Vec<Forward>,
    /// Whether applications see the client's address: where permitted, always, or never
    #[arg(long, value_enum, default_value_t = OriginalSource::BestEffort, env = "ENABLE_ORIG_SRC", value_name = "WHEN")]
    pub original_source: OriginalSource,
    /// Send traffic between two pods of this node through a tunnel, too
    #[arg(long)]
    pub no_same_node: bool,
    /// Let nobody but its waypoint reach a workload, or the ports behind a service, that has one
    #[arg(long)]
    pub require_waypoint: bool,
    /// Where an application that takes the PROXY protocol is reached: at its pod's loopback address, or at the pod's own
    #[arg(long, action = ArgAction::Set, default_value_t = true, env = "LOCALHOST_APP_TUNNEL", value_name = "BOOL")]
    pub localhost_app_tunnel: bool,
    /// What to do with a policy that is named and has not arrived: wait and then deny, or skip it as Istio does
    #[arg(long, value_enum, default_value_t = Compatibility::Culvert, value_name = "WHOSE")]
    pub compat: Compatibility,
    /// Change a limit (repeatable; the long --help lists them)
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    pub limits: Vec<LimitSetting>,
}

/// Whether applications see the client's address (`ENABLE_ORIG_SRC`, node.md row 14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OriginalSource {
    /// Where the redirect and the kernel permit it.
    #[default]
    BestEffort,
    /// Always: a connection that cannot show it is refused.
    #[value(alias = "true")]
    Required,
    /// Never.
    #[value(alias = "false")]
    Never,
}

/// Whose semantics policies have that are named and have not arrived (node.md B5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Compatibility {
    /// Wait, then deny.
    #[default]
    Culvert,
    /// Skip them.
    Istio,
}

/// Whom a node serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// The one workload in the current network namespace, and the ports taken for it without a redirect.
    Here(WorkloadName, Vec<Forward>),
    /// Several workloads, each in its own network namespace.
    Pods(Vec<Pod>),
}

/// Where a node's keys and certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A directory that `culvert ca issue` wrote.
    Credentials(PathBuf),
    /// The directory of a development CA, made on first use.
    Ca(PathBuf),
}

/// What `culvert node` was asked for, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// The mesh file.
    pub mesh: PathBuf,
    /// Whom to serve.
    pub served: Served,
    /// Where keys come from.
    pub keys: KeySource,
    /// How many worker threads; `None` means one for each core.
    pub workers: Option<NonZeroUsize>,
    /// What they run on.
    pub runtime: Runtime,
    /// Whether applications see the client's address.
    pub original_source: OriginalSource,
    /// Whether two pods of this node meet in the proxy.
    pub same_node: bool,
    /// Whether what has a waypoint refuses all others.
    pub require_waypoint: bool,
    /// Whether applications that take the PROXY protocol are reached at loopback.
    pub localhost_app_tunnel: bool,
    /// How missing policies are taken.
    pub compat: Compatibility,
    /// Every bound.
    pub limits: Limits,
    /// Where tunnels are taken.
    pub hbone_port: u16,
}

impl NodeArgs {
    /// The settings these arguments stand for; what clap cannot express is checked here.
    pub fn settings(self) -> Result<NodeSettings, Failure> {
        let served = match self.workload {
            Some(workload) => Served::Here(workload, self.forwards),
            None if !self.forwards.is_empty() => {
                return Err(Failure::usage("--forward cannot be used with --pod").hint(
                    "a forward speaks for one workload: use --workload, in that workload's namespace",
                ));
            }
            None => Served::Pods(distinct(self.pods)?),
        };
        if let Served::Here(_, forwards) = &served {
            check_listens(forwards)?;
        }
        let keys = match (self.credentials, self.ca) {
            (Some(dir), _) => KeySource::Credentials(dir),
            (None, Some(dir)) => KeySource::Ca(dir),
            (None, None) => return Err(Failure::usage("one of --credentials and --ca is needed")),
        };
        let mut limits = Limits::default();
        for limit in &self.limits {
            limit.apply(&mut limits);
        }
        Ok(NodeSettings {
            mesh: self.mesh,
            served,
            keys,
            workers: self.workers,
            runtime: self.runtime,
            original_source: self.original_source,
            same_node: !self.no_same_node,
            require_waypoint: self.require_waypoint,
            localhost_app_tunnel: self.localhost_app_tunnel,
            compat: self.compat,
            limits,
            hbone_port: self.hbone_port,
        })
    }
}

/// Refuses two pods of one name or in one network namespace: their traffic could not be told apart.
fn distinct(mut pods: Vec<Pod>) -> Result<Vec<Pod>, Failure> {
    pods.sort();
    for (at, pod) in pods.iter().enumerate() {
        for other in pods.iter().skip(at + 1) {
            if (&pod.workload.namespace, &pod.workload.name)
                == (&other.workload.namespace, &other.workload.name)
            {
                return Err(Failure::usage(format!("--pod {} is given twice", pod.workload)));
            }
            if pod.netns == other.netns {
                return Err(Failure::usage(format!(
                    "{} and {} are both said to live in {}",
                    pod.workload,
                    other.workload,
                    pod.netns.display()
                ))
                .hint("each --pod needs a network namespace of its own"));
            }
        }
    }
    Ok(pods)
}

fn check_listens(forwards: &[Forward]) -> Result<(), Failure> {
    for (at, forward) in forwards.iter().enumerate() {
        let taken = |other: &Forward| other.listen == forward.listen && other.listen.port() != 0;
        if forwards.iter().skip(at + 1).any(taken) {
            return Err(Failure::usage(format!("--forward listens on {} twice", forward.listen)));
        }
    }
    Ok(())
}

/// `culvert redirect …`: the packet filter rules that send a pod's traffic to the node.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
#[command(after_help = "Applying twice changes nothing; removing leaves no trace. Both need CAP_NET_ADMIN.")]
pub enum RedirectCommand {
    /// Capture the TCP traffic of a network namespace
    Apply(RedirectArgs),
    /// Remove every rule that `apply` made
    Remove(RedirectArgs),
    /// Print the rules that are in force
    Show(RedirectArgs),
}

/// Where a redirect is applied, removed or shown.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct RedirectArgs {
    /// The network namespace [default: the current one]
    #[arg(long, value_name = "PATH")]
    pub netns: Option<PathBuf>,
}

const CA_EXAMPLES: &str = "\
A CA for development: its key lies in a file. Two hosts, without the CA's key leaving the first:
  culvert ca init  --dir ./ca
  culvert ca issue --dir ./ca --workload shop/frontend/frontend --out ./host1
  culvert ca issue --dir ./ca --workload shop/orders/orders     --out ./host2
  (copy ./host2 to the second host; on each: culvert node --credentials DIR …)";

/// `culvert ca …`.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
#[command(after_help = CA_EXAMPLES)]
pub enum CaCommand {
    /// Make a CA; an existing one is left as it is
    Init(CaInitArgs),
    /// Issue credentials for workloads into a directory that `culvert node --credentials` reads
    Issue(CaIssueArgs),
}

/// Arguments of `culvert ca init`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct CaInitArgs {
    /// The CA's directory
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The trust domain the CA stands for
    #[arg(long, value_name = "NAME", default_value = DEFAULT_TRUST_DOMAIN)]
    pub trust_domain: String,
}

/// Arguments of `culvert ca issue`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct CaIssueArgs {
    /// The CA's directory, made by `culvert ca init`
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// For whom (repeatable)
    #[arg(long = "workload", value_name = "NS/NAME/SA", required = true)]
    pub workloads: Vec<WorkloadName>,
    /// Refuse a CA of another trust domain [default: the CA's own]
    #[arg(long, value_name = "NAME")]
    pub trust_domain: Option<String>,
    /// How long the certificates are valid, such as 90s, 15m, 24h or 7d
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = value::duration)]
    pub ttl: Duration,
    /// Where to write keys, certificates and the trust bundle
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Arguments of `culvert demo`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(after_help = "Exit status 1 if anything differs from what a mesh must do. Ctrl-C cleans up.")]
pub struct DemoArgs {
    /// One JSON object a line, a summary last
    #[arg(long)]
    pub json: bool,
    /// Without network namespaces: everything on 127.77.0.0/16
    #[arg(long)]
    pub loopback: bool,
    /// What the nodes' workers run on
    #[arg(long, value_enum, default_value_t = Runtime::Tokio, value_name = "RUNTIME")]
    pub runtime: Runtime,
}

/// Arguments of the hidden `culvert demo-program`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct DemoProgramArgs {
    /// What to do, in JSON
    pub program: String,
}

/// What a command line turned out to be.
#[derive(Debug)]
pub enum Parsed {
    /// A command to run.
    Command(Box<Command>),
    /// Help that was asked for: to be printed, with success.
    Text(String),
}

/// Parses a command line whose first word is the program's name.
///
/// # Errors
///
/// A usage failure with one line about what is wrong and one about what to do.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, Failure> {
    Ok(match read::<CommandLine>(arguments)? {
        Line::Text(text) => Parsed::Text(text),
        Line::Read(line) => Parsed::Command(Box::new(line.command)),
    })
}

/// A command line of one of Culvert's programs.
#[derive(Debug)]
pub enum Line<L> {
    /// Help to print.
    Text(String),
    /// What was asked for.
    Read(L),
}

/// Reads a command line as every program of Culvert does.
///
/// # Errors
/// It makes no sense; the failure says why in one line (exit status 2).
pub fn read<L: CommandFactory + FromArgMatches>(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Line<L>, Failure> {
    let command = L::command();
    let name = command.get_name().to_owned();
    let matched = command
        .term_width(terminal_width())
        .try_get_matches_from(arguments)
        .and_then(|matches| L::from_arg_matches(&matches));
    match matched {
        Ok(line) => Ok(Line::Read(line)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp => Ok(Line::Text(error.to_string())),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Err(Failure::usage("a command is missing").hint(format!("see `{name} --help`")))
            }
            _ => Err(usage(&error.to_string())),
        },
    }
}

/// The width that help is wrapped to, in columns.
fn terminal_width() -> usize {
    let from_shell = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    from_shell.unwrap_or(100_usize).clamp(60, 120)
}

/// Turns clap's several paragraphs (what is wrong, tips, usage) into one line of each kind.
fn usage(rendered: &str) -> Failure {
    let mut paragraphs = rendered.split("\n\n");
    let message = paragraphs.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let tip = paragraphs.clone().find_map(|text| text.trim_start().strip_prefix("tip: "));
    let usage = paragraphs.find_map(|text| text.trim_start().strip_prefix("Usage: "));
    let failure = Failure::usage(message);
    match (tip, usage) {
        (Some(tip), _) => failure.hint(tip),
        (None, Some(usage)) => failure.hint(format!("usage: {}", usage.lines().next().unwrap_or_default())),
        (None, None) => failure.hint("see `culvert --help`"),
    }
}

#[cfg(test)]
mod tests;
