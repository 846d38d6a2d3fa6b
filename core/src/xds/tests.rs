use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;
use crate::mesh::{PolicyEntry, PolicyKey, Snapshot, WorkloadSpec};
use crate::seed::Seed;
use crate::time::Time;

/// A session and what its node makes of it.
struct Node {
    session: Session,
    snapshot: Snapshot,
    now: Time,
    sent: Vec<Request>,
    events: Vec<Event>,
    known: Vec<(String, bool)>,
    forgotten: Vec<String>,
    connects: usize,
}

impl Node {
    fn new(on_demand: bool) -> Node {
        let session = Session::new(Config { on_demand, seed: Seed::new([3; 32]) }, Time::START);
        let snapshot = Snapshot::new();
        let mut node = Node {
            session,
            snapshot,
            now: Time::START,
            sent: Vec::new(),
            events: Vec::new(),
            known: Vec::new(),
            forgotten: Vec::new(),
            connects: 0,
        };
        node.poll();
        node
    }

    fn connected(on_demand: bool) -> Node {
        let mut node = Node::new(on_demand);
        node.hear(Input::Connected);
        node
    }

    fn hear(&mut self, input: Input) {
        self.session.handle_input(self.now, input);
        self.poll();
    }

    fn poll(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Apply(delta) => self.snapshot = self.snapshot.apply(delta).0,
                Output::Connect => self.connects += 1,
                Output::Known { name, exists } => self.known.push((name.to_string(), exists)),
                Output::Forgotten { name } => self.forgotten.push(name.to_string()),
                Output::Report(event) => self.events.push(event),
                Output::Send(request) => self.sent.push(request),
            }
        }
    }

    fn respond(&mut self, of: ResourceType, resources: Vec<Resource>, removed: &[&str]) -> Request {
        let removed = removed.iter().map(|name| (*name).into()).collect();
        self.hear(Input::Response(Response { resource_type: of, nonce: "n1".into(), resources, removed }));
        self.sent.pop().expect("every response is answered")
    }

    /// Nothing but what both answers need.
    fn answered(on_demand: bool) -> Node {
        let mut node = Node::connected(on_demand);
        node.respond(ResourceType::Authorization, Vec::new(), &[]);
        node.respond(ResourceType::Address, Vec::new(), &[]);
        node.sent.clear();
        node
    }

    fn reconnect(&mut self) {
        self.hear(Input::Closed(Closed::Recycled));
        self.now = self.session.next_deadline().expect("it is tried again");
        self.hear(Input::Tick);
        self.sent.clear();
        self.hear(Input::Connected);
    }
}

fn workload(uid: &str, ip: &str) -> Fact {
    let spec = WorkloadSpec {
        uid: uid.into(),
        namespace: "n".into(),
        workload_ips: vec![ip.parse().unwrap()],
        ..WorkloadSpec::default()
    };
    Fact::Workload(Arc::new(spec.try_into().unwrap()))
}

fn resource(fact: Fact, version: &str) -> Resource {
    Resource { name: fact.name().into(), version: version.into(), aliases: Vec::new(), content: Ok(fact) }
}

fn rejected(name: &str, scope: Option<Scope>) -> Resource {
    let content = Err(Rejection { scope, reason: "field 7: 99 is not known".into() });
    Resource { name: name.into(), version: "v9".into(), aliases: Vec::new(), content }
}

#[test]
fn a_node_is_ready_when_both_kinds_were_answered_and_applies_no_address_before_policies() {
    let mut node = Node::connected(false);
    assert_eq!(node.connects, 1);
    let [addresses, policies] = &node.sent[..] else { panic!("{:?}", node.sent) };
    assert_eq!(*addresses, Request::new(ResourceType::Address));
    assert_eq!(*policies, Request::new(ResourceType::Authorization));
    let ack = node.respond(ResourceType::Address, vec![resource(workload("a", "10.0.0.1"), "v1")], &[]);
    assert_eq!(ack, Request { nonce: "n1".into(), ..Request::new(ResourceType::Address) });
    assert!(node.snapshot.workload("a").is_none() && !node.session.status().ready);
    node.respond(ResourceType::Authorization, Vec::new(), &[]);
    assert!(node.snapshot.workload("a").is_some() && node.session.status().ready);
    assert_eq!(node.events, [Event::Connected, Event::Ready]);
}

#[test]
fn what_is_understood_is_applied_and_what_is_not_leaves_things_as_they_were() {
    let mut node = Node::answered(false);
    node.respond(ResourceType::Address, vec![resource(workload("a", "10.0.0.1"), "v1")], &[]);
    let before = node.snapshot.workload("a").unwrap().clone();
    let good = resource(workload("b", "10.0.0.2"), "v2");
    let misnamed = Resource { name: "c".into(), ..resource(workload("d", "10.0.0.3"), "v2") };
    let nack = node.respond(ResourceType::Address, vec![rejected("a", None), good, misnamed], &[]);
    assert_eq!(nack.error.unwrap(), "a: field 7: 99 is not known; c: it is of \"d\"");
    assert_eq!(nack.nonce.as_ref(), "n1");
    assert_eq!(node.snapshot.workload("a"), Some(&before));
    assert!(node.snapshot.workload("b").is_some());
    assert_eq!(node.snapshot.workloads().len(), 2);
    // What is in force is what the control plane hears of: it sends the rest again.
    node.reconnect();
    let versions: Vec<_> =
        node.sent[0].initial_versions.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
    assert_eq!(versions, [("a", "v1"), ("b", "v2")]);
}

#[test]
fn a_policy_that_is_not_understood_denies_until_it_is_or_is_gone() {
    let mut node = Node::answered(false);
    let key = PolicyKey::new("n", "p");
    let nack = node.respond(ResourceType::Authorization, vec![rejected("n/p", Some(Scope::Namespace))], &[]);
    assert!(nack.error.unwrap().starts_with("n/p: "));
    let entry = node.snapshot.policy(&key).unwrap();
    assert!(matches!(entry, PolicyEntry::Undecodable { scope: Some(Scope::Namespace), .. }), "{entry:?}");
    // A control plane without it says that it is gone only of what it is told to be here.
    node.reconnect();
    assert_eq!(node.sent[1].initial_versions, BTreeMap::from([("n/p".into(), "".into())]));
    node.respond(ResourceType::Authorization, Vec::new(), &["n/p"]);
    assert!(node.snapshot.policy(&key).is_none());
}

#[test]
fn an_address_among_policies_and_a_policy_among_addresses_are_refused() {
    let mut node = Node::answered(false);
    let nack =
        node.respond(ResourceType::Authorization, vec![resource(workload("a", "10.0.0.1"), "v1")], &[]);
    assert!(nack.error.unwrap().contains("another type"));
    assert!(node.snapshot.workload("a").is_none());
}

#[test]
fn a_policy_that_could_not_be_removed_is_refused() {
    let mut node = Node::answered(false);
    let policy = Policy {
        name: "p/q".into(),
        namespace: "n".into(),
        scope: Scope::Global,
        action: crate::mesh::Action::Allow,
        rules: Vec::new(),
        dry_run: false,
    };
    let sent = resource(Fact::Policy(Arc::new(policy)), "v1");
    assert!(
        node.respond(ResourceType::Authorization, vec![sent], &[])
            .error
            .unwrap()
            .ends_with("its name is none")
    );
    assert_eq!(node.snapshot.policies().len(), 0);
}

#[test]
fn a_flood_of_rejections_makes_a_short_answer() {
    let mut node = Node::answered(false);
    let many = (0..1_000).map(|n| Resource {
        content: Err(Rejection { scope: None, reason: "ü".repeat(10_000).into() }),
        ..rejected(&format!("n/{n}"), None)
    });
    let error = node.respond(ResourceType::Address, many.collect(), &[]).error.unwrap();
    assert!(error.len() < 16_384 && error.ends_with("and 968 more"), "{}", error.len());
}

#[test]
fn a_node_on_demand_asks_for_nothing_and_then_by_name() {
    let mut node = Node::answered(true);
    node.reconnect();
    assert_eq!(node.sent[0].subscribe, ["*".into()]);
    assert_eq!(node.sent[0].unsubscribe, ["*".into()]);
    assert_eq!(node.sent[1], Request::new(ResourceType::Authorization));
    node.sent.clear();
    for name in ["net/10.0.0.1", "n/x.example", "net/10.0.0.1"] {
        node.hear(Input::Demand(name.into()));
    }
    let asked: Vec<_> = node.sent.iter().flat_map(|request| &request.subscribe).map(AsRef::as_ref).collect();
    assert_eq!(asked, ["net/10.0.0.1", "n/x.example"]);
    let answer =
        Resource { aliases: vec!["net/10.0.0.1".into()], ..resource(workload("a", "10.0.0.1"), "v1") };
    node.respond(ResourceType::Address, vec![answer], &["n/x.example"]);
    assert_eq!(node.known, [("net/10.0.0.1".into(), true), ("n/x.example".into(), false)]);
    // Both are answered from memory from here on, and told at the next connection, as is what came of them.
    node.known.clear();
    node.hear(Input::Demand("n/x.example".into()));
    node.hear(Input::Demand("a".into()));
    assert_eq!(node.known, [("n/x.example".into(), false), ("a".into(), true)]);
    node.reconnect();
    let asked: Vec<_> = node.sent[0].subscribe.iter().map(AsRef::as_ref).collect();
    assert_eq!(asked, ["*", "n/x.example", "net/10.0.0.1", "a"]);
    node.known.clear();
    node.respond(ResourceType::Address, Vec::new(), &["a"]);
    assert_eq!(node.known, [("net/10.0.0.1".into(), false)]);
}

#[test]
fn too_many_names_give_up_one_of_which_there_is_nothing() {
    let mut node = Node::answered(true);
    let names: Vec<Arc<str>> = (0..MAX_DEMANDS).map(|n| format!("net/{n}").into()).collect();
    names.iter().for_each(|name| node.hear(Input::Demand(name.clone())));
    node.hear(Input::Demand("one/more".into()));
    // That it cannot be asked for says nothing about it.
    assert!(node.known.is_empty());
    node.respond(ResourceType::Address, Vec::new(), &["net/7"]);
    node.hear(Input::Demand("one/more".into()));
    let last = node.sent.last().unwrap();
    assert_eq!(
        (&last.subscribe[..], &last.unsubscribe[..]),
        (&["one/more".into()][..], &["net/7".into()][..])
    );
    assert_eq!(node.forgotten, ["net/7"]);
}

#[test]
fn waits_grow_but_not_after_an_orderly_end_of_a_stream_that_was_used() {
    let mut node = Node::new(false);
    let wait_after = |node: &mut Node, answered: bool, lived: Duration, why: Closed| {
        if answered {
            node.hear(Input::Connected);
            node.respond(ResourceType::Address, Vec::new(), &[]);
        }
        node.now = node.now.after(lived);
        node.hear(Input::Closed(why));
        let until = node.session.next_deadline().unwrap();
        let wait = until.since(node.now);
        node.now = until;
        node.hear(Input::Tick);
        wait
    };
    let failed = || Closed::Failed("refused".into());
    for _ in 0..20 {
        wait_after(&mut node, false, Duration::ZERO, failed());
    }
    assert!(wait_after(&mut node, true, Duration::from_secs(1), failed()) >= BACKOFF_LAST / 2);
    assert!(wait_after(&mut node, false, Duration::ZERO, Closed::Recycled) >= BACKOFF_LAST / 2);
    assert!(wait_after(&mut node, true, Duration::from_secs(1), Closed::Recycled) <= BACKOFF_FIRST);
    for _ in 0..20 {
        wait_after(&mut node, false, Duration::ZERO, failed());
    }
    assert!(wait_after(&mut node, true, BACKOFF_LAST, failed()) <= BACKOFF_FIRST);
}

#[test]
fn what_an_earlier_process_had_serves_until_the_control_plane_says_otherwise() {
    let mut node = Node::new(false);
    let earlier =
        |of, resources| Response { resource_type: of, nonce: "".into(), resources, removed: Vec::new() };
    node.session.restore(&earlier(ResourceType::Address, vec![resource(workload("a", "10.0.0.1"), "v1")]));
    node.poll();
    assert!(node.snapshot.workload("a").is_none());
    node.session.restore(&earlier(ResourceType::Authorization, vec![rejected("n/p", None)]));
    node.poll();
    assert!(node.snapshot.workload("a").is_some() && node.snapshot.policies().len() == 1);
    assert!(!node.session.status().ready && node.session.status().stale_since == Some(Time::START));
    node.hear(Input::Connected);
    assert_eq!(node.sent[0].initial_versions.len(), 1);
    node.respond(ResourceType::Address, Vec::new(), &["a"]);
    assert!(node.snapshot.workload("a").is_none() && node.session.status().stale_since.is_none());
}

/// What there is, and what there was before it: names with the versions of each, the last in force; `None` is gone.
#[derive(Clone, Debug)]
struct History {
    steps: Vec<(Fact, bool)>,
    order: Vec<u8>,
}

impl Arbitrary for History {
    fn arbitrary(g: &mut Gen) -> History {
        let fact = |g: &mut Gen| match u8::arbitrary(g) % 3 {
            0 => Fact::Workload(Arc::new(Arbitrary::arbitrary(g))),
            1 => Fact::Service(Arc::new(Arbitrary::arbitrary(g))),
            _ => Fact::Policy(Arc::new(Arbitrary::arbitrary(g))),
        };
        let steps = (0..usize::arbitrary(g) % 24).map(|_| (fact(g), u8::arbitrary(g) % 4 != 0)).collect();
        History { steps, order: Vec::arbitrary(g) }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = History>> {
        let order = self.order.clone();
        let fewer = (0..self.steps.len()).map({
            let steps = self.steps.clone();
            move |at| {
                steps.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, step)| step.clone()).collect()
            }
        });
        Box::new(fewer.map(move |steps| History { steps, order: order.clone() }))
    }
}

fn type_of(fact: &Fact) -> ResourceType {
    match fact {
        Fact::Policy(_) => ResourceType::Authorization,
        Fact::Service(_) | Fact::Workload(_) => ResourceType::Address,
    }
}

/// A control plane: what is so, by name, each in a version.
#[derive(Default)]
struct Server {
    facts: BTreeMap<String, (Fact, usize)>,
}

impl Server {
    fn after(history: &History) -> Server {
        let mut server = Server::default();
        for (version, (fact, there)) in history.steps.iter().enumerate() {
            server.facts.remove(&fact.name());
            if *there {
                server.facts.insert(fact.name(), (fact.clone(), version));
            }
        }
        server
    }

    fn snapshot(&self) -> Snapshot {
        let mut delta = Delta::new();
        for (fact, _) in self.facts.values() {
            put(&mut delta, fact.clone());
        }
        Snapshot::new().apply(delta).0
    }

    /// Answers the first request of a connection, cut into parts of one resource each.
    fn answer(&self, request: &Request) -> Vec<Response> {
        let of = request.resource_type;
        let has = |name: &str, version: usize| {
            request.initial_versions.get(name).is_some_and(|known| **known == version.to_string())
        };
        let response =
            |resources, removed| Response { resource_type: of, nonce: "n".into(), resources, removed };
        let differing = self.facts.iter().filter(|(name, (fact, at))| type_of(fact) == of && !has(name, *at));
        let gone = request.initial_versions.keys().filter(|name| !self.facts.contains_key(&***name));
        let mut parts = vec![response(Vec::new(), gone.cloned().collect())];
        parts.extend(
            differing
                .map(|(_, (fact, at))| response(vec![resource(fact.clone(), &at.to_string())], Vec::new())),
        );
        parts
    }
}

fn put(delta: &mut Delta, fact: Fact) {
    match fact {
        Fact::Policy(policy) => delta.upsert_policy(policy),
        Fact::Service(service) => delta.upsert_service(service),
        Fact::Workload(workload) => delta.upsert_workload(workload),
    }
}

fn step(fact: &Fact, there: bool, version: usize) -> Response {
    let of = type_of(fact);
    let name: Arc<str> = fact.name().into();
    let resources = if there { vec![resource(fact.clone(), &version.to_string())] } else { Vec::new() };
    let removed = if there { Vec::new() } else { vec![name] };
    Response { resource_type: of, nonce: version.to_string().into(), resources, removed }
}

/// In another order, but of each name; some twice.
fn shuffled(history: &History) -> Vec<Response> {
    let mut by_name: BTreeMap<String, Vec<Response>> = BTreeMap::new();
    for (version, (fact, there)) in history.steps.iter().enumerate().rev() {
        by_name.entry(fact.name()).or_default().push(step(fact, *there, version));
    }
    let mut out = Vec::new();
    let mut draws = history.order.iter().cycle();
    while !by_name.is_empty() {
        let draw = usize::from(draws.next().copied().unwrap_or(0));
        let name = by_name.keys().nth(draw % by_name.len()).cloned().unwrap();
        let left = by_name.get_mut(&name).unwrap();
        let next = left.pop().unwrap();
        out.extend((draw % 3 == 0).then(|| next.clone()));
        out.push(next);
        if left.is_empty() {
            by_name.remove(&name);
        }
    }
    out
}

/// Neighbours of one kind in one response.
fn joined(parts: Vec<Response>, order: &[u8]) -> Vec<Response> {
    let mut out: Vec<Response> = Vec::new();
    for (part, draw) in parts.into_iter().zip(order.iter().copied().chain(std::iter::repeat(0))) {
        match out.last_mut() {
            // A removal in a response comes after what it brings, so that only what brings is joined.
            Some(last)
                if draw % 2 == 1 && last.resource_type == part.resource_type && last.removed.is_empty() =>
            {
                last.resources.extend(part.resources);
                last.removed.extend(part.removed);
            }
            _ => out.push(part),
        }
    }
    out
}

fn hear_all(node: &mut Node, responses: Vec<Response>) {
    for response in responses {
        node.hear(Input::Response(response));
    }
}

fn heard_nothing_yet(node: &mut Node) {
    node.respond(ResourceType::Authorization, Vec::new(), &[]);
    node.respond(ResourceType::Address, Vec::new(), &[]);
}

quickcheck! {
    fn in_whatever_order_parts_and_repetitions_facts_come_they_come_to_the_same(history: History) -> bool {
        let mut node = Node::connected(false);
        hear_all(&mut node, joined(shuffled(&history), &history.order));
        heard_nothing_yet(&mut node);
        node.snapshot.is_identical_to(&Server::after(&history).snapshot())
    }

    fn a_node_that_was_away_comes_to_the_same_removals_included(before: History, meanwhile: History) -> bool {
        let mut node = Node::connected(false);
        heard_nothing_yet(&mut node);
        hear_all(&mut node, shuffled(&before));
        node.reconnect();
        // Versions are the control plane's own: those of another history mean nothing else here.
        let mut server = Server::after(&meanwhile);
        server.facts.values_mut().for_each(|(_, version)| *version += before.steps.len());
        let answers: Vec<Response> = node.sent.clone().iter().flat_map(|request| server.answer(request)).collect();
        hear_all(&mut node, answers);
        node.snapshot.is_identical_to(&server.snapshot())
    }

    fn a_rejected_response_leaves_the_rejected_part_as_it_was(before: History, after: History) -> bool {
        let mut node = Node::connected(false);
        heard_nothing_yet(&mut node);
        hear_all(&mut node, shuffled(&before));
        let (snapshot, versions) = (node.snapshot.clone(), node.session.versions(ResourceType::Address).len());
        for (fact, _) in after.steps.iter().filter(|(fact, _)| type_of(fact) == ResourceType::Address) {
            let nack = node.respond(ResourceType::Address, vec![rejected(&fact.name(), None)], &[]);
            assert!(nack.error.is_some());
        }
        node.snapshot.is_identical_to(&snapshot) && node.session.versions(ResourceType::Address).len() == versions
    }

    fn nothing_that_is_said_at_any_time_is_too_much(said: Vec<u8>, history: History) -> bool {
        let mut node = Node::new(true);
        for (at, word) in said.into_iter().enumerate() {
            node.now = node.now.after(Duration::from_millis(u64::from(word)));
            let fact = history.steps.get(at % history.steps.len().max(1));
            node.hear(match (word % 6, fact) {
                (0, _) => Input::Connected,
                (1, _) => Input::Closed(Closed::Recycled),
                (2, _) => Input::Closed(Closed::Failed("reset".into())),
                (3, Some((fact, _))) => Input::Demand(fact.name().into()),
                (4, Some((fact, there))) => Input::Response(step(fact, *there, at)),
                _ => Input::Tick,
            });
            let waits = node.session.next_deadline();
            assert!(waits.is_none_or(|until| until.since(node.now) <= BACKOFF_LAST));
        }
        true
    }
}
