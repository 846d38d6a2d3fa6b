//! The command line: what can be typed, checked and turned into typed settings.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, ArgGroup, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use culvert_core::compliance::Compliance;
use culvert_core::limit::Limits;

use crate::failure::Failure;
use crate::runtime::Runtime;
use crate::settings;
use culvert_linux::socket::SocketSettings;

mod bench;
mod certificates;
mod channel;
mod discovery;
mod limit;
mod socket;
mod value;

pub use bench::{Against, BenchArgs, Load};
pub use certificates::{CertificateArgs, IstioSettings};
pub use discovery::{DiscoveryArgs, DiscoverySettings};
pub use limit::LimitSetting;
pub use socket::SocketArgs;
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
    Node(Box<NodeArgs>),
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
serves several, each in its own. It hears of the mesh from a control plane, with --xds, or from a file, with --mesh. The file \
is read again when it changes: one that cannot be used is reported and the last good one stays in force. So does what a \
control plane said while it is away. SIGTERM or SIGINT drains; a second one ends at once.";

const NODE_EXAMPLES: &str = "\
Examples:
  One workload here, with a CA for this machine only (made on first use):
    culvert node --mesh mesh.yaml --workload shop/frontend/frontend --ca ./dev-ca
  Two pods, with credentials made by `culvert ca issue`:
    culvert node --mesh mesh.yaml --credentials ./creds \\
      --pod shop/frontend/frontend=/run/netns/frontend --pod shop/cart/cart=/run/netns/cart
  With a control plane of Istio's, and its token:
    culvert node --xds https://istiod.istio-system.svc:15012 --xds-root-ca root-cert.pem --xds-token ./istio-token \\
      --state /var/lib/culvert --credentials ./creds --pod shop/frontend/frontend=/run/netns/frontend
  Without a redirect: connections to 127.0.0.1:9000 go to 10.0.0.7:80 through the mesh:
    culvert node --mesh mesh.yaml --workload shop/frontend/frontend --ca ./dev-ca \\
      --forward 127.0.0.1:9000=10.0.0.7:80";

fn node_examples() -> String {
    format!("{NODE_EXAMPLES}\n\n{}\n\n{}", limit::table(), settings::environment::help())
}

/// `culvert node` as a command of its own: what its settings are called.
#[derive(Debug, Parser)]
pub(crate) struct NodeCommand {
    #[command(flatten)]
    _node: NodeArgs,
}

/// Arguments of `culvert node`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(group = ArgGroup::new("facts").required(true).args(["mesh", "xds"]))]
#[command(group = ArgGroup::new("who").required(true).args(["workload", "pods"]))]
#[command(group = ArgGroup::new("keys").required(true).args(["credentials", "ca", "ca_address", "spiffe_endpoint_socket"]))]
pub struct NodeArgs {
    /// The mesh: workloads, services and policies, in YAML
    #[arg(long, value_name = "FILE")]
    pub mesh: Option<PathBuf>,
    /// Where else it hears of the mesh
    #[command(flatten)]
    pub discovery: DiscoveryArgs,
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
    /// Where certificates come from besides, and what is revoked
    #[command(flatten)]
    pub certificates: CertificateArgs,
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
    #[arg(long, value_enum, default_value_t = OriginalSource::BestEffort, value_name = "WHEN")]
    pub original_source: OriginalSource,
    /// Send traffic between two pods of this node through a tunnel, too
    #[arg(long)]
    pub no_same_node: bool,
    /// Let nobody but its waypoint reach a workload, or the ports behind a service, that has one
    #[arg(long)]
    pub require_waypoint: bool,
    /// Where an application that takes the PROXY protocol is reached: at its pod's loopback address, or at the pod's own
    #[arg(long, action = ArgAction::Set, default_value_t = true, value_name = "BOOL")]
    pub localhost_app_tunnel: bool,
    /// What to do with a policy that is named and has not arrived: wait and then deny, or skip it as Istio does
    #[arg(long, value_enum, default_value_t = Compatibility::Culvert, value_name = "WHOSE")]
    pub compat: Compatibility,
    /// Which cryptography is permitted: all that the module has, only key exchange that withstands quantum computers, or
    /// only what FIPS 140-3 approves
    #[arg(long, value_enum, default_value_t = CompliancePolicy::Standard, value_name = "POLICY")]
    pub compliance_policy: CompliancePolicy,
    /// A YAML file whose keys are these flags; flags and environment variables win over it
    #[arg(long, value_name = "FILE", env = "CULVERT_CONFIG")]
    pub config: Option<PathBuf>,
    /// How long connections may go on after SIGTERM
    #[arg(long, value_name = "DURATION", value_parser = value::duration, default_value = "5s")]
    pub grace: Duration,
    /// Answer a CONNECT without saying what the workload is
    #[arg(long)]
    pub no_response_baggage: bool,
    /// The cluster that this node is of, as control plane and certificate service are told
    #[arg(long, value_name = "NAME")]
    pub cluster_id: Option<String>,
    /// The network of this node
    #[arg(long, value_name = "NAME", default_value = "")]
    pub network: String,
    /// How its connections are set up
    #[command(flatten)]
    pub sockets: SocketArgs,
    /// Change a limit (repeatable; the long --help lists them)
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    pub limits: Vec<LimitSetting>,
    /// Variables of the environment that change nothing, each with the reason.
    #[arg(skip)]
    pub without_effect: Vec<(String, &'static str)>,
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

/// The rule that a node's cryptography keeps (`COMPLIANCE_POLICY`, node.md row 24).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CompliancePolicy {
    /// Everything; X25519MLKEM768 first.
    #[default]
    Standard,
    /// Only X25519MLKEM768.
    Pqc,
    /// Only what FIPS 140-3 approves, from a validated module.
    #[value(name = "fips-140-3")]
    Fips140_3,
}

impl From<CompliancePolicy> for Compliance {
    fn from(policy: CompliancePolicy) -> Compliance {
        match policy {
            CompliancePolicy::Standard => Compliance::Standard,
            CompliancePolicy::Pqc => Compliance::Pqc,
            CompliancePolicy::Fips140_3 => Compliance::Fips140_3,
        }
    }
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
    /// Istio's certificate service.
    Istio(IstioSettings),
    /// A SPIFFE Workload API, by its endpoint.
    Spiffe(String),
}

/// Where a node hears of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactSource {
    /// A control plane.
    ControlPlane(Box<DiscoverySettings>),
    /// A mesh file.
    File(PathBuf),
}

/// What `culvert node` was asked for, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// Where the mesh's facts come from.
    pub facts: FactSource,
    /// Whom to serve.
    pub served: Served,
    /// Where keys come from.
    pub keys: KeySource,
    /// A file with what is revoked.
    pub crl: Option<PathBuf>,
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
    /// What its cryptography is restricted to.
    pub compliance: Compliance,
    /// Every bound.
    pub limits: Limits,
    /// Where tunnels are taken.
    pub hbone_port: u16,
    /// How long connections may go on after SIGTERM.
    pub grace: Duration,
    /// Whether answers to CONNECT say what the workload is.
    pub response_baggage: bool,
    /// The network of this node.
    pub network: String,
    /// How connections are set up; the mark is `packet_mark` where the process may set one.
    pub sockets: SocketSettings,
    /// The mark of the node's own packets.
    pub packet_mark: u32,
    /// Whether listeners take IPv6, too.
    pub ipv6: bool,
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
        let keys = match (
            self.credentials,
            self.ca,
            self.certificates.istio(self.cluster_id.as_deref()),
            self.certificates.spiffe(),
        ) {
            (Some(dir), ..) => KeySource::Credentials(dir),
            (None, Some(dir), ..) => KeySource::Ca(dir),
            (None, None, Some(istio), _) => KeySource::Istio(istio),
            (None, None, None, Some(endpoint)) => KeySource::Spiffe(endpoint),
            (None, None, None, None) => {
                return Err(Failure::usage(
                    "one of --credentials, --ca, --ca-address and --spiffe-endpoint-socket is needed",
                ));
            }
        };
        let facts = match (self.mesh, self.discovery.settings(self.cluster_id)) {
            (Some(path), _) => FactSource::File(path),
            (None, Some(discovery)) => FactSource::ControlPlane(Box::new(discovery)),
            (None, None) => return Err(Failure::usage("one of --mesh and --xds is needed")),
        };
        let mut limits = Limits::default();
        for limit in &self.limits {
            limit.apply(&mut limits);
        }
        Ok(NodeSettings {
            facts,
            served,
            keys,
            crl: self.certificates.crl,
            workers: self.workers,
            runtime: self.runtime,
            original_source: self.original_source,
            same_node: !self.no_same_node,
            require_waypoint: self.require_waypoint,
            localhost_app_tunnel: self.localhost_app_tunnel,
            compat: self.compat,
            compliance: self.compliance_policy.into(),
            limits,
            hbone_port: self.hbone_port,
            grace: self.grace,
            response_baggage: !self.no_response_baggage,
            network: self.network,
            sockets: self.sockets.settings(),
            packet_mark: self.sockets.packet_mark,
            ipv6: !self.sockets.no_ipv6,
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

/// As [`parse`], with what the environment, and the file that `--config` names, say of `culvert node`.
///
/// # Errors
/// As [`parse`]; what was not typed is named by its variable or its key.
pub fn parse_in(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &[(String, String)],
) -> Result<Parsed, Failure> {
    let typed: Vec<OsString> = arguments.into_iter().collect();
    let asks_for_help = typed.iter().any(|word| word == "--help" || word == "-h");
    if typed.get(1).is_none_or(|command| command != "node") || asks_for_help {
        return parse(typed);
    }
    let completed = settings::complete(typed, environment, |path| std::fs::read_to_string(path))?;
    let mut line = matched::<CommandLine>(completed.arguments().iter().cloned()).map_err(|error| {
        let failure = usage(&error.to_string());
        match completed.culprit(&error) {
            Some(culprit) => failure.context(&culprit),
            None => failure,
        }
    })?;
    if let Command::Node(node) = &mut line.command {
        node.without_effect = completed.without_effect;
    }
    Ok(Parsed::Command(Box::new(line.command)))
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
    let name = L::command().get_name().to_owned();
    match matched::<L>(arguments) {
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

fn matched<L: CommandFactory + FromArgMatches>(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<L, clap::Error> {
    let matches = L::command().term_width(terminal_width()).try_get_matches_from(arguments)?;
    L::from_arg_matches(&matches)
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
