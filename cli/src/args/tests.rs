use super::*;

fn parsed(line: &str) -> Result<Parsed, Failure> {
    parse(line.split_whitespace().map(OsString::from))
}

fn command(line: &str) -> Command {
    match parsed(line) {
        Ok(Parsed::Command(command)) => *command,
        other => panic!("{line}: {other:?}"),
    }
}

fn failure(line: &str) -> Failure {
    match parsed(line) {
        Err(failure) => failure,
        Ok(Parsed::Command(command)) => match *command {
            Command::Node(node) => node.settings().unwrap_err(),
            other => panic!("{other:?}"),
        },
        Ok(other) => panic!("{line}: {other:?}"),
    }
}

fn node(line: &str) -> NodeSettings {
    match command(line) {
        Command::Node(node) => node.settings().unwrap(),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_definition_is_consistent() {
    CommandLine::command().debug_assert();
}

#[test]
fn a_node_for_one_workload() {
    let settings = node(
        "culvert node --mesh m.yaml --workload shop/a/b --ca ca --workers 2 --forward 127.0.0.1:1=10.0.0.1:2",
    );
    assert_eq!(settings.keys, KeySource::Ca("ca".into()));
    assert_eq!(settings.workers, NonZeroUsize::new(2));
    let Served::Here(workload, forwards) = settings.served else { panic!("not here") };
    assert_eq!(workload.to_string(), "shop/a/b");
    assert_eq!(forwards.len(), 1);
}

#[test]
fn a_node_for_several_pods() {
    let settings =
        node("culvert node --mesh m.yaml --pod shop/b/b=/n/b --pod shop/a/a=/n/a --credentials creds");
    assert_eq!(settings.keys, KeySource::Credentials("creds".into()));
    let Served::Pods(pods) = settings.served else { panic!("not pods") };
    assert_eq!(pods.len(), 2);
    assert_eq!(settings.workers, None);
}

#[test]
fn contradictions_are_usage_errors_with_a_hint() {
    for line in [
        "culvert",
        "culvert frobnicate",
        "culvert node --mesh m --workload shop/a/b",
        "culvert node --mesh m --ca x",
        "culvert node --workload shop/a/b --ca x",
        "culvert node --mesh m --workload shop/a/b --ca x --credentials y",
        "culvert node --mesh m --workload shop/a/b --pod shop/a/b=/n --ca x",
        "culvert node --mesh m --pod shop/a/b=/n --ca x --forward 127.0.0.1:1=127.0.0.1:2",
        "culvert node --mesh m --workload shop/a --ca x",
        "culvert node --mesh m --workload shop/a/b --ca x --workers 0",
        "culvert node --mesh m --pod shop/a/a=/n --pod shop/b/b=/n --ca x",
        "culvert redirect",
        "culvert ca issue --dir d --out o",
        "culvert ca issue --dir d --out o --workload shop/a/b --ttl soon",
    ] {
        let failure = failure(line);
        assert_eq!(failure.status(), crate::failure::STATUS_USAGE, "{line}");
        assert!(failure.advice().is_some(), "{line}: {failure}");
        assert_eq!(failure.to_string().lines().count(), 2, "{line}: {failure}");
    }
}

#[test]
fn a_wrong_value_is_explained() {
    let failure = failure("culvert node --mesh m --workload shop/a --ca x");
    assert!(failure.message().contains("NAMESPACE/NAME/SERVICE_ACCOUNT"), "{failure}");
    assert!(failure.message().contains("shop/a"), "{failure}");
}

#[test]
fn a_port_or_a_pod_given_twice_is_refused() {
    let twice = "culvert node --mesh m --workload a/b/c --ca x --forward 127.0.0.1:1=10.0.0.1:2 \
                 --forward 127.0.0.1:1=10.0.0.1:3";
    assert!(failure(twice).message().contains("127.0.0.1:1"));
    let pod = failure("culvert node --mesh m --pod shop/a/a=/n --pod shop/a/b=/m --ca x");
    assert!(pod.message().contains("twice"), "{pod}");
}

#[test]
fn a_waypoint_is_required_where_that_is_asked_for() {
    let usual = node("culvert node --mesh m --workload a/b/c --ca d");
    assert!(!usual.require_waypoint && usual.localhost_app_tunnel);
    let strict =
        node("culvert node --mesh m --workload a/b/c --ca d --require-waypoint --localhost-app-tunnel false");
    assert!(strict.require_waypoint && !strict.localhost_app_tunnel);
}

#[test]
fn issue_defaults_to_a_day() {
    let Command::Ca(CaCommand::Issue(issue)) =
        command("culvert ca issue --dir d --workload shop/a/b --workload shop/c/d --out o")
    else {
        panic!("not issue");
    };
    assert_eq!(issue.ttl, Duration::from_secs(86_400));
    assert_eq!(issue.workloads.len(), 2);
    assert_eq!(issue.trust_domain, None);
}

#[test]
fn help_is_text_and_shows_examples() {
    let Ok(Parsed::Text(text)) = parsed("culvert node --help") else { panic!("no help") };
    assert!(text.contains("Examples:") && text.contains("--forward"), "{text}");
    let Ok(Parsed::Text(text)) = parsed("culvert --help") else { panic!("no help") };
    assert!(!text.contains("demo-program"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
}

#[test]
fn a_bench_compares_with_envoy_unless_told_not_to() {
    let bench = |line: &str| match command(line) {
        Command::Bench(bench) => bench,
        other => panic!("{line}: {other:?}"),
    };
    let usual = bench("culvert bench");
    assert_eq!((usual.json, usual.quick, usual.against), (false, false, Against::Envoy));
    let other = bench("culvert bench --json --quick --against none --peers p --python v/python");
    assert_eq!((other.json, other.quick, other.against), (true, true, Against::Nothing));
    assert_eq!((other.peers, other.python), (Some("p".into()), Some("v/python".into())));
    assert_eq!(node("culvert node --mesh m --workload a/b/c --ca d").hbone_port, 15008);
    assert_eq!(bench("culvert bench --only bulk --only idle").only, [Load::Bulk, Load::Idle]);
    failure("culvert bench --against nginx");
}

#[test]
fn what_follows_sim_is_passed_on_as_it_is() {
    let Command::Sim(sim) = command("culvert sim run --seeds 9 --help") else { panic!("not sim") };
    assert_eq!(sim.arguments, ["run", "--seeds", "9", "--help"]);
    let Command::Sim(sim) = command("culvert sim --help") else { panic!("not sim") };
    assert_eq!(sim.arguments, ["--help"]);
}

#[test]
fn a_node_with_a_control_plane() {
    let settings = node(
        "culvert node --xds https://istiod:15012 --xds-root-ca root.pem --xds-token token --xds-header X-A=b=c \
         --xds-hostname istiod.svc --state s --cluster-id east --node-name k1 --pod-name p \
         --pod-namespace ns --instance-ip 10.0.0.9 --workload shop/a/b --ca ca",
    );
    let FactSource::ControlPlane(discovery) = settings.facts else { panic!("a file") };
    assert_eq!(discovery.channel.url, "https://istiod:15012");
    assert_eq!(discovery.channel.roots, culvert_channel::Roots::File("root.pem".into()));
    assert_eq!(discovery.channel.headers, [("X-A".to_owned(), "b=c".to_owned())]);
    assert_eq!(discovery.channel.alternative_hostname.as_deref(), Some("istiod.svc"));
    assert_eq!(discovery.channel.cluster_id.as_deref(), Some("east"));
    assert!(discovery.state.is_some() && discovery.channel.token.is_some());
    let identity = &discovery.identity;
    assert_eq!(
        (identity.pod.as_str(), identity.namespace.as_str(), identity.node.as_str()),
        ("p", "ns", "k1")
    );
    assert_eq!(identity.address, Some("10.0.0.9".parse().unwrap()));
}

#[test]
fn a_node_has_one_source_of_facts() {
    for line in [
        "culvert node --workload shop/a/b --ca ca",
        "culvert node --mesh m.yaml --xds https://istiod --workload shop/a/b --ca ca",
        "culvert node --xds-token t --workload shop/a/b --ca ca",
    ] {
        failure(line);
    }
}
