//! The environment variables of Istio's node proxy (node.md 1.13), each as the flags that say the same.

use std::fmt::Write as _;

use super::{Origin, Setting};
use crate::args::DEFAULT_TRUST_DOMAIN;
use crate::failure::Failure;

/// Variables that are understood and change nothing here, each with the reason.
pub(crate) type WithoutEffect = Vec<(String, &'static str)>;

/// What a variable means.
enum Meaning {
    /// The value of a flag, as it is.
    Flag(&'static str),
    /// The value of a flag, in other words.
    Converted(&'static str, fn(&str) -> Result<String, String>),
    /// A limit.
    Limit(&'static str, fn(&str) -> Result<String, String>),
    /// `true` or `false`; the flag is given where it is the one that is named.
    Switch(&'static str, bool),
    /// One value of a few, which is what happens anyway; with the reason for others being refused.
    Only(&'static [&'static str], &'static str),
    /// The name is the beginning of several; the rest of each, and its value, are a NAME=VALUE of the flag.
    Each(&'static str),
    /// Understood, and without effect here, for this reason.
    Nothing(&'static str),
}

/// One variable.
struct Variable {
    name: &'static str,
    meaning: Meaning,
    /// What is said about it in the documentation.
    about: &'static str,
}

const fn variable(name: &'static str, meaning: Meaning, about: &'static str) -> Variable {
    Variable { name, meaning, about }
}

use Meaning::{Converted, Each, Flag, Limit, Nothing, Only, Switch};

/// Every variable, by subject.
const VARIABLES: &[Variable] = &[
    variable("ZTUNNEL_WORKER_THREADS", Flag("workers"), "worker threads"),
    variable(
        "ZTUNNEL_RESOURCE_CPU_LIMIT",
        Converted("workers", cores),
        "worker threads where ZTUNNEL_WORKER_THREADS does not say: as many as whole cores are permitted, at least one",
    ),
    variable(
        "ZTUNNEL_RESOURCE_CPU_REQUEST",
        Nothing("a node is not planned by what it asks for, but by what it may use"),
        "nothing",
    ),
    variable("POOL_MAX_STREAMS_PER_CONNECTION", Limit("streams-per-tunnel", as_is), "streams on one tunnel"),
    variable(
        "POOL_UNUSED_RELEASE_TIMEOUT",
        Limit("tunnel-idle", time),
        "how long a tunnel without streams stays open",
    ),
    variable(
        "CONNECTION_TERMINATION_DEADLINE",
        Converted("grace", time),
        "how long connections may go on after SIGTERM",
    ),
    variable(
        "TERMINATION_GRACE_PERIOD_SECONDS",
        Converted("grace", grace_period),
        "the same, where CONNECTION_TERMINATION_DEADLINE does not say: 5 s less than Kubernetes waits; 1 s less where that is 10 s or less",
    ),
    variable(
        "ENABLE_ORIG_SRC",
        Flag("original-source"),
        "whether applications see the client's address: `true` always, `false` never",
    ),
    variable("IPV6_ENABLED", Switch("no-ipv6", false), "`false`: listeners are IPv4 only"),
    variable(
        "HTTP2_STREAM_WINDOW_SIZE",
        Limit("stream-window", as_is),
        "bytes that a stream may have on their way",
    ),
    variable(
        "HTTP2_CONNECTION_WINDOW_SIZE",
        Limit("connection-window", as_is),
        "the same of a tunnel, to begin with",
    ),
    variable(
        "HTTP2_FRAME_SIZE",
        Nothing("frames are as large as one TLS record, which is where they are fastest"),
        "nothing",
    ),
    variable("KEEPALIVE_ENABLED", Switch("no-keepalive", false), "`false`: no TCP keepalive"),
    variable("KEEPALIVE_TIME", Converted("keepalive-time", time), "silence before the first probe"),
    variable("KEEPALIVE_INTERVAL", Converted("keepalive-interval", time), "time between probes"),
    variable(
        "KEEPALIVE_RETRIES",
        Flag("keepalive-retries"),
        "unanswered probes after which a connection is dead",
    ),
    variable(
        "USER_TIMEOUT_ENABLED",
        Switch("user-timeout", true),
        "`true`: bytes that stay unacknowledged for as long as keepalive takes end a connection",
    ),
    variable(
        "ENABLE_RESPONSE_BAGGAGE",
        Switch("no-response-baggage", false),
        "`false`: the answer to a CONNECT does not say what the workload is",
    ),
    variable("NETWORK", Flag("network"), "the network of this node"),
    variable("PACKET_MARK", Flag("packet-mark"), "the mark of the node's own packets"),
    variable(
        "PROXY_MODE",
        Only(
            &["dedicated"],
            "one process for all pods of a node needs the node agent's socket, which is not spoken here",
        ),
        "`dedicated`: one workload, in the namespace that this runs in",
    ),
    variable("PROXY_WORKLOAD_INFO", Flag("workload"), "the workload, as namespace/name/service account"),
    variable("LOCAL_XDS_PATH", Flag("mesh"), "a file with the mesh in place of a control plane"),
    variable(
        "LOCAL_XDS",
        Only(&[], "the mesh is read from a file, which LOCAL_XDS_PATH names"),
        "only empty",
    ),
    variable("XDS_ADDRESS", Flag("xds"), "the control plane"),
    variable("XDS_ROOT_CA", Flag("xds-root-ca"), "who vouches for it: a PEM file, PEM text, or `SYSTEM`"),
    variable("ALT_XDS_HOSTNAME", Flag("xds-hostname"), "the name that its certificate must bear"),
    variable(
        "XDS_HEADER_",
        Each("xds-header"),
        "a header of each request to it, such as `XDS_HEADER_x-team=mesh`",
    ),
    variable("ISTIO_META_", Each("xds-metadata"), "what it is told of this node besides"),
    variable(
        "XDS_ON_DEMAND",
        Switch("xds-on-demand", true),
        "`true`: workloads and services are heard of only as connections need them",
    ),
    variable("CA_ADDRESS", Flag("ca-address"), "the certificate service"),
    variable("CA_ROOT_CA", Flag("ca-root-ca"), "who vouches for it: a PEM file, PEM text, or `SYSTEM`"),
    variable("ALT_CA_HOSTNAME", Flag("ca-hostname"), "the name that its certificate must bear"),
    variable("CA_HEADER_", Each("ca-header"), "a header of each request to it"),
    variable(
        "AUTH_TOKEN",
        Flag("xds-token"),
        "a file with the token for the control plane, and for the certificate service",
    ),
    variable("AUTH_TOKEN", Flag("ca-token"), ""),
    variable("SECRET_TTL", Converted("secret-ttl", time), "how long certificates shall be valid"),
    variable(
        "SPIFFE_ENDPOINT_SOCKET",
        Flag("spiffe-endpoint-socket"),
        "a SPIFFE Workload API, where neither CA_ADDRESS nor a flag says otherwise",
    ),
    variable("CRL_PATH", Flag("crl"), "certificate revocation lists"),
    variable("CLUSTER_ID", Flag("cluster-id"), "the cluster of this node"),
    variable("NODE_NAME", Flag("node-name"), "the Kubernetes node that this proxy serves"),
    variable("POD_NAME", Flag("pod-name"), "the pod that this proxy runs in"),
    variable("POD_NAMESPACE", Flag("pod-namespace"), "the namespace of that pod"),
    variable("INSTANCE_IP", Flag("instance-ip"), "the address of that pod"),
    variable("SERVICE_ACCOUNT", Nothing("the proxy itself is no workload of the mesh"), "nothing"),
    variable(
        "LOCALHOST_APP_TUNNEL",
        Flag("localhost-app-tunnel"),
        "`false`: an application that takes the PROXY protocol is reached at its pod's address, not at loopback",
    ),
    variable("CLUSTER_DOMAIN", Nothing("names of services are answered by the cluster's DNS"), "nothing"),
    variable(
        "PREFERED_SERVICE_NAMESPACE",
        Nothing("names of services are answered by the cluster's DNS"),
        "nothing",
    ),
    variable("INPOD_UDS", Nothing("pods are said by --pod"), "nothing"),
    variable("INPOD_PORT_REUSE", Nothing("listeners are shared by the workers"), "nothing"),
    variable("UNSTABLE_ENABLE_SOCKS5", Only(&["false"], "SOCKS5 is not spoken"), "only `false`"),
    variable("ENABLE_PROXY", Only(&["true"], "a node is a proxy"), "only `true`"),
    variable("FAKE_CA", Only(&["false"], "a CA for development is made by --ca"), "only `false`"),
    variable(
        "COMPLIANCE_POLICY",
        Converted("compliance-policy", policy),
        "which cryptography is permitted: empty, `pqc` or `fips-140-3`",
    ),
    variable("TLS12_ENABLED", Only(&["false"], "only TLS 1.3 is spoken"), "only `false`"),
    variable("LOG_FORMAT", Only(&["json"], "the log is written as JSON, an object a line"), "only `json`"),
    variable("RUST_LOG", Nothing("the log has no levels: it tells each connection once"), "nothing"),
    variable("AUTHZ_POLICY_INFO_LOGGING", Nothing("denied connections are told of in any case"), "nothing"),
    variable(
        "TRUST_DOMAIN",
        Only(&[DEFAULT_TRUST_DOMAIN], "trust domains are said for each workload by the mesh's facts"),
        "only `cluster.local`",
    ),
];

/// The settings that variables say, in the order of the table, and those of them that change nothing.
///
/// # Errors
/// A value that means nothing; its variable is named.
pub(super) fn settings(environment: &[(String, String)]) -> Result<(Vec<Setting>, WithoutEffect), Failure> {
    let mut found: Vec<Setting> = Vec::new();
    let mut without_effect = Vec::new();
    for known in VARIABLES {
        if let Each(flag) = known.meaning {
            found.extend(each(known.name, flag, environment));
            continue;
        }
        let Some((name, value)) = environment.iter().find(|(name, _)| name == known.name) else { continue };
        // An empty variable is how manifests say nothing.
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        let refused = |why: String| {
            Failure::usage(format!("the environment variable {name}: {value}: {why}"))
                .hint("docs/configuration.md lists what is understood; an empty variable says nothing")
        };
        let mut say = |flag: &str, value: Option<String>| {
            found.push(Setting { flag: flag.to_owned(), value, origin: Origin::Variable(name.clone()) });
        };
        match &known.meaning {
            Flag(flag) => say(flag, Some(value.to_owned())),
            Converted(flag, convert) => say(flag, Some(convert(value).map_err(refused)?)),
            Limit(limit, convert) => {
                let value = convert(value).map_err(refused)?;
                say("limit", Some(format!("{limit}={value}")));
            }
            Switch(flag, when) => match value.parse::<bool>() {
                Ok(value) if value == *when => say(flag, None),
                Ok(_) => {}
                Err(_) => return Err(refused("expected true or false".to_owned())),
            },
            Only(values, _) if values.contains(&value) => {}
            Only(_, why) => return Err(refused((*why).to_owned())),
            Each(_) => {}
            Nothing(why) => without_effect.push((name.clone(), *why)),
        }
    }
    Ok((first_of_each(found), without_effect))
}

/// The settings of the variables that begin with `begin`.
fn each<'a>(
    begin: &'a str,
    flag: &'a str,
    environment: &'a [(String, String)],
) -> impl Iterator<Item = Setting> + 'a {
    environment.iter().filter_map(move |(name, value)| {
        let rest = name.strip_prefix(begin).filter(|rest| !rest.is_empty())?;
        let value = Some(format!("{rest}={value}"));
        Some(Setting { flag: flag.to_owned(), value, origin: Origin::Variable(name.clone()) })
    })
}

/// Where two variables say the same, the first of the table counts.
fn first_of_each(found: Vec<Setting>) -> Vec<Setting> {
    let mut kept: Vec<Setting> = Vec::new();
    for setting in found {
        if !kept.iter().any(|known| known.subject() == setting.subject()) {
            kept.push(setting);
        }
    }
    kept
}

fn as_is(value: &str) -> Result<String, String> {
    Ok(value.to_owned())
}

/// A time with a unit, or bare seconds.
fn time(value: &str) -> Result<String, String> {
    if value.chars().all(|c| c.is_ascii_digit()) {
        return Ok(format!("{value}s"));
    }
    Ok(value.to_owned())
}

/// What connections get of the seconds that Kubernetes waits before it kills (node.md row 99).
fn grace_period(value: &str) -> Result<String, String> {
    let seconds: u64 = value.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    let left = if seconds > 10 { seconds.saturating_sub(5) } else { seconds.saturating_sub(1) };
    Ok(format!("{}s", left.max(1)))
}

/// Kubernetes's quantity of cores: `2`, `0.5`, `1500m`.
fn cores(value: &str) -> Result<String, String> {
    let wrong = || "expected a number of cores, such as 2 or 1500m".to_owned();
    let whole = match value.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<u64>().map_err(|_| wrong())? / 1000,
        None => match value.split_once('.') {
            Some((whole, part)) if part.chars().all(|c| c.is_ascii_digit()) => {
                whole.parse().map_err(|_| wrong())?
            }
            Some(_) => return Err(wrong()),
            None => value.parse().map_err(|_| wrong())?,
        },
    };
    Ok(whole.max(1).to_string())
}

fn policy(value: &str) -> Result<String, String> {
    match value {
        "pqc" | "fips-140-3" => Ok(value.to_owned()),
        "fips-140-2" => Err("that standard has run out; fips-140-3 is in its place".to_owned()),
        _ => Err("expected pqc or fips-140-3".to_owned()),
    }
}

/// For `culvert node --help`: the variables, each with what it says.
pub(crate) fn help() -> String {
    let mut text = "Environment variables, where no flag says otherwise:".to_owned();
    for Variable { name, about, .. } in VARIABLES.iter().filter(|known| !known.about.is_empty()) {
        let _infallible = write!(text, "\n  {name:<34} {about}");
    }
    text
}

/// The table of the documentation: each variable, what it means, and the flag that says the same.
#[cfg(test)]
pub(super) fn table() -> String {
    let mut text = "| variable | meaning | flag |\n|---|---|---|\n".to_owned();
    for Variable { name, meaning, about } in VARIABLES.iter().filter(|known| !known.about.is_empty()) {
        let flag = match meaning {
            Flag(flag) | Converted(flag, _) | Switch(flag, _) => format!("`--{flag}`"),
            Limit(limit, _) => format!("`--limit {limit}=`"),
            Each(flag) => format!("`--{flag}`"),
            Only(..) => "-".to_owned(),
            Nothing(why) => format!("none: {why}"),
        };
        let rest = if matches!(meaning, Each(_)) { "*" } else { "" };
        text.push_str(&format!("| `{name}{rest}` | {about} | {flag} |\n"));
    }
    text
}
