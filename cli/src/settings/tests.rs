use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use super::*;
use crate::args::{Command, FactSource, KeySource, NodeSettings, Parsed, Served, parse_in};

const TYPED: &str = "culvert node --mesh m.yaml --workload shop/a/a --ca dir";

fn variables(texts: &[(&str, &str)]) -> Vec<(String, String)> {
    texts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn node(line: &str, environment: &[(&str, &str)]) -> Result<NodeSettings, Failure> {
    match parse_in(words(line), &variables(environment))? {
        Parsed::Command(command) => match *command {
            Command::Node(node) => node.settings(),
            other => panic!("{other:?}"),
        },
        Parsed::Text(text) => panic!("{text}"),
    }
}

fn message(line: &str, environment: &[(&str, &str)]) -> String {
    node(line, environment).unwrap_err().message().to_owned()
}

/// The flags that a file adds to an otherwise empty command line.
fn of_file(text: &str) -> Result<Vec<String>, Failure> {
    let typed = words("culvert node --config c.yaml");
    let completed = complete(typed, &[], |_| Ok(text.to_owned()))?;
    Ok(completed.arguments()[4..].iter().map(|word| word.to_string_lossy().into_owned()).collect())
}

#[test]
fn variables_say_what_flags_say() {
    let settings = node(
        TYPED,
        &[
            ("ZTUNNEL_WORKER_THREADS", "3"),
            ("POOL_MAX_STREAMS_PER_CONNECTION", "7"),
            ("POOL_UNUSED_RELEASE_TIMEOUT", "90s"),
            ("TERMINATION_GRACE_PERIOD_SECONDS", "30"),
            ("IPV6_ENABLED", "false"),
            ("KEEPALIVE_ENABLED", "true"),
            ("KEEPALIVE_TIME", "60"),
            ("USER_TIMEOUT_ENABLED", "true"),
            ("NETWORK", "east"),
            ("PACKET_MARK", "0x10"),
        ],
    )
    .unwrap();
    assert_eq!(settings.workers.map(usize::from), Some(3));
    assert_eq!(settings.limits.streams_per_tunnel, 7);
    assert_eq!(settings.limits.tunnel_idle, Duration::from_secs(90));
    assert_eq!(settings.grace, Duration::from_secs(25));
    assert!(!settings.ipv6);
    let keepalive = settings.sockets.keepalive.unwrap();
    assert_eq!((keepalive.idle, keepalive.probes), (Duration::from_secs(60), 9));
    assert_eq!(settings.sockets.user_timeout, Some(Duration::from_secs(60 + 9 * 180)));
    assert_eq!((settings.network.as_str(), settings.packet_mark), ("east", 16));
}

#[test]
fn what_is_typed_wins_over_the_environment_each_setting_by_itself() {
    let typed = format!("{TYPED} --workers 2 --limit streams-per-tunnel=5");
    let settings = node(
        &typed,
        &[
            ("ZTUNNEL_WORKER_THREADS", "3"),
            ("POOL_MAX_STREAMS_PER_CONNECTION", "7"),
            ("HTTP2_STREAM_WINDOW_SIZE", "65536"),
            ("PROXY_WORKLOAD_INFO", "other/b/b"),
            ("LOCAL_XDS_PATH", "other.yaml"),
        ],
    )
    .unwrap();
    assert_eq!(settings.workers.map(usize::from), Some(2));
    assert_eq!((settings.limits.streams_per_tunnel, settings.limits.stream_window), (5, 65_536));
    assert!(matches!(settings.served, Served::Here(workload, _) if workload.namespace == "shop"));
    // One of several ways to say whom to serve is enough to silence the others.
    let pods = "culvert node --mesh=m --ca=d --pod shop/a/a=/n/a";
    let settings = node(pods, &[("PROXY_WORKLOAD_INFO", "other/b/b")]).unwrap();
    assert!(matches!(settings.served, Served::Pods(_)));
    assert_eq!(settings.keys, KeySource::Ca("d".into()));
}

#[test]
fn of_two_variables_that_say_the_same_the_particular_one_counts() {
    let both = [("ZTUNNEL_RESOURCE_CPU_LIMIT", "1500m"), ("ZTUNNEL_WORKER_THREADS", "4")];
    assert_eq!(node(TYPED, &both).unwrap().workers.map(usize::from), Some(4));
    assert_eq!(node(TYPED, &both[..1]).unwrap().workers.map(usize::from), Some(1));
    let both = [("TERMINATION_GRACE_PERIOD_SECONDS", "30"), ("CONNECTION_TERMINATION_DEADLINE", "7s")];
    assert_eq!(node(TYPED, &both).unwrap().grace, Duration::from_secs(7));
    assert_eq!(node(TYPED, &[("TERMINATION_GRACE_PERIOD_SECONDS", "10")]).unwrap().grace.as_secs(), 9);
    assert_eq!(node(TYPED, &[("TERMINATION_GRACE_PERIOD_SECONDS", "1")]).unwrap().grace.as_secs(), 1);
}

#[test]
fn the_ways_to_a_control_plane_and_a_certificate_service_are_said_by_variables() {
    let environment = [
        ("XDS_ADDRESS", "https://istiod:15012"),
        ("XDS_ROOT_CA", "/roots.pem"),
        ("XDS_HEADER_X-Team", "mesh"),
        ("ISTIO_META_GENERATOR", "test"),
        ("CA_ADDRESS", "https://ca:15012"),
        ("AUTH_TOKEN", "/token"),
        ("CLUSTER_ID", "east"),
        ("SECRET_TTL", "3600"),
    ];
    let settings = node("culvert node --workload shop/a/a", &environment).unwrap();
    let FactSource::ControlPlane(discovery) = settings.facts else { panic!("{:?}", settings.facts) };
    assert_eq!(discovery.channel.token, Some("/token".into()));
    assert_eq!(discovery.channel.headers, [("X-Team".to_owned(), "mesh".to_owned())]);
    assert_eq!(discovery.channel.cluster_id.as_deref(), Some("east"));
    assert_eq!(discovery.identity.metadata.get("GENERATOR").map(String::as_str), Some("test"));
    let KeySource::Istio(istio) = settings.keys else { panic!("{:?}", settings.keys) };
    assert_eq!((istio.channel.token, istio.ttl), (Some("/token".into()), Duration::from_secs(3600)));
    // Who is told to read a file and to make certificates does without all of that.
    let settings = node(TYPED, &environment).unwrap();
    assert!(matches!(settings.facts, FactSource::File(_)));
    assert_eq!(settings.keys, KeySource::Ca("dir".into()));
    // Of two control planes, the one that is a file counts, as it does for Istio's proxy.
    let both = [("XDS_ADDRESS", "https://istiod:15012"), ("LOCAL_XDS_PATH", "mesh.yaml")];
    let settings = node("culvert node --workload shop/a/a --ca d", &both).unwrap();
    assert!(matches!(settings.facts, FactSource::File(_)));
}

#[test]
fn what_a_variable_cannot_mean_is_refused_by_its_name() {
    for (name, value) in [
        ("ZTUNNEL_WORKER_THREADS", "many"),
        ("ZTUNNEL_RESOURCE_CPU_LIMIT", "2x"),
        ("POOL_UNUSED_RELEASE_TIMEOUT", "soon"),
        ("HTTP2_STREAM_WINDOW_SIZE", "4GiB"),
        ("CONNECTION_TERMINATION_DEADLINE", "0s"),
        ("IPV6_ENABLED", "maybe"),
        ("ENABLE_ORIG_SRC", "sometimes"),
        ("KEEPALIVE_RETRIES", "0"),
        ("PACKET_MARK", "0"),
        ("PROXY_MODE", "shared"),
        ("XDS_ON_DEMAND", "often"),
        ("LOCAL_XDS", "workloads: []"),
        ("COMPLIANCE_POLICY", "fips-140-2"),
        ("TLS12_ENABLED", "true"),
        ("LOG_FORMAT", "plain"),
    ] {
        let message = message(TYPED, &[(name, value)]);
        assert!(message.starts_with(&format!("the environment variable {name}:")), "{message}");
        assert!(message.contains(value), "{message}");
    }
    // An empty one says nothing, and what is typed wrongly is not blamed on anybody else.
    assert!(node(TYPED, &[("PROXY_MODE", ""), ("COMPLIANCE_POLICY", " ")]).is_ok());
    let typed = format!("{TYPED} --workers many");
    assert!(message(&typed, &[("KEEPALIVE_RETRIES", "3")]).starts_with("invalid value 'many'"));
}

#[test]
fn what_has_no_effect_is_told() {
    let completed =
        complete(words(TYPED), &variables(&[("RUST_LOG", "debug")]), |_| Err(io::ErrorKind::NotFound.into()));
    let completed = completed.unwrap();
    assert_eq!(completed.without_effect.len(), 1);
    assert_eq!(completed.arguments(), words(TYPED));
}

#[test]
fn a_file_says_what_flags_say() {
    let flags = of_file(
        "workers: 2\nno-same-node: true\nuser-timeout: false\nlimit: {tunnel-idle: 90s, connections: 5}\n\
         forward: ['127.0.0.1:1=10.0.0.1:2', '127.0.0.1:3=10.0.0.1:4']\n",
    );
    let expected = [
        "--forward=127.0.0.1:1=10.0.0.1:2",
        "--forward=127.0.0.1:3=10.0.0.1:4",
        "--limit=connections=5",
        "--limit=tunnel-idle=90s",
        "--no-same-node",
        "--workers=2",
    ];
    assert_eq!(flags.unwrap(), expected);
}

#[test]
fn a_file_yields_to_the_environment_and_to_what_is_typed() {
    let text = "workers: 2\nnetwork: file\ngrace: 3s\nmesh: file.yaml\n";
    let typed = words("culvert node --config=c.yaml --grace 9s");
    let environment = variables(&[("NETWORK", "variable")]);
    let completed = complete(typed, &environment, |_| Ok(text.to_owned())).unwrap();
    let added: Vec<_> = completed.arguments()[5..].to_vec();
    assert_eq!(added, words("--network=variable --mesh=file.yaml --workers=2"));
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_the_key() {
    for (text, why) in [
        ("wrokers: 2", "wrokers is no setting"),
        ("config: other.yaml", "config is no setting"),
        ("workers: [1]", "workers is one value"),
        ("no-ipv6: 3", "no-ipv6 is true or false"),
        ("limit: 3", "limit is a list or a map"),
        ("- workers", "c.yaml: "),
    ] {
        let message = of_file(text).unwrap_err().message().to_owned();
        assert!(message.starts_with("c.yaml: ") && message.contains(why), "{message}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.yaml");
    std::fs::write(&path, "workers: many\n").unwrap();
    let message = message(&format!("{TYPED} --config {}", path.display()), &[]);
    assert!(message.starts_with(&format!("workers in {}: invalid value", path.display())), "{message}");
    let gone = complete(words("culvert node --config c.yaml"), &[], |_| Err(io::ErrorKind::NotFound.into()));
    assert!(gone.unwrap_err().message().starts_with("c.yaml: "));
}

#[test]
fn the_documentation_lists_every_variable() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let written = std::fs::read_to_string(path).unwrap();
    let (begin, end) = ("<!-- variables -->\n", "<!-- end of variables -->");
    let (before, rest) = written.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let wanted = [before, begin, "\n", &environment::table(), "\n", end, after].concat();
    if std::env::var_os("CULVERT_WRITE_DOCS").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    assert!(written == wanted, "docs/configuration.md is old: run this with CULVERT_WRITE_DOCS=1");
    let names: Vec<&str> =
        wanted.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "a variable stands there twice");
}
