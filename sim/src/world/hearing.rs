//! A node's end of its stream to the control plane: the session of core. What it asks for and answers is what the control plane
//! of the world goes by.

use std::sync::Arc;

use culvert_core::mesh::{Delta, PolicyEntry, PolicyKey, ServiceKey, Snapshot, Uid};
use culvert_core::seed::Seed;
use culvert_core::time::Time;
use culvert_core::xds::{
    Closed, Config, Fact, Input, Output, Rejection, Request, Resource, ResourceType, Response, Session,
};

/// The name of a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Policy(PolicyKey),
    Service(ServiceKey),
    Workload(Uid),
}

impl Key {
    fn name(&self) -> String {
        match self {
            Key::Policy(key) => key.to_string(),
            Key::Service(key) => key.to_string(),
            Key::Workload(uid) => uid.to_string(),
        }
    }

    fn resource_type(&self) -> ResourceType {
        match self {
            Key::Policy(_) => ResourceType::Authorization,
            Key::Service(_) | Key::Workload(_) => ResourceType::Address,
        }
    }

    /// Of a name that a node says it has.
    fn of(resource_type: ResourceType, name: &str, facts: &Snapshot) -> Key {
        match (resource_type, name.parse(), name.parse()) {
            (ResourceType::Authorization, Ok(key), _) => Key::Policy(key),
            (ResourceType::Address, _, Ok(key)) if facts.service(&key).is_some() => Key::Service(key),
            _ => Key::Workload(Uid::new(name)),
        }
    }

    /// What `facts` say of it, as a control plane sends it; `None` if there is no such thing.
    fn content(&self, facts: &Snapshot) -> Option<Result<Fact, Rejection>> {
        Some(match self {
            Key::Policy(key) => match facts.policy(key)? {
                PolicyEntry::Decoded(policy) => Ok(Fact::Policy(policy.clone())),
                PolicyEntry::Undecodable { scope, reason } => {
                    Err(Rejection { scope: *scope, reason: reason.clone() })
                }
            },
            Key::Service(key) => Ok(Fact::Service(facts.service(key)?.clone())),
            Key::Workload(uid) => Ok(Fact::Workload(facts.workload(uid.as_str())?.clone())),
        })
    }

    /// Whether it is the same in two states of the world.
    pub(super) fn is_same(&self, one: &Snapshot, other: &Snapshot) -> bool {
        self.content(one) == self.content(other)
    }

    /// Whether there is such a thing.
    pub(super) fn exists(&self, facts: &Snapshot) -> bool {
        self.content(facts).is_some()
    }
}

/// What a node says it has: by key, as of which state of the world, if it understood it.
pub(super) type Held = Vec<(Key, Option<usize>)>;

/// A session, and a clock that its waits move on: a stream is set up anew when the world says so.
#[derive(Debug)]
pub(super) struct Hearing {
    session: Session,
    clock: Time,
    nonces: u64,
}

impl Hearing {
    /// One that knows nothing and has no stream.
    pub(super) fn new(seed: Seed, now: Time) -> Hearing {
        let mut hearing =
            Hearing { session: Session::new(Config { on_demand: false, seed }, now), clock: now, nonces: 0 };
        assert_eq!(
            hearing.session.poll_output(),
            Some(Output::Connect),
            "a session begins with a connection"
        );
        hearing
    }

    /// One with a stream that knows all that is so.
    pub(super) fn informed(seed: Seed, now: Time, facts: &Snapshot, version: usize) -> Hearing {
        let mut hearing = Hearing::new(seed, now);
        let workloads = facts.workloads().map(|workload| Key::Workload(workload.uid.clone()));
        let services = facts.services().map(|service| Key::Service(service.key.clone()));
        let policies = facts.policies().map(|(key, _)| Key::Policy(key.clone()));
        let keys: Vec<Key> = workloads.chain(services).chain(policies).collect();
        for of in [ResourceType::Authorization, ResourceType::Address] {
            hearing.session.restore(&response(of, &keys, facts, version, 0));
        }
        while hearing.session.poll_output().is_some() {}
        hearing.begin(now, &[]);
        hearing
    }

    /// The stream is broken.
    pub(super) fn lose(&mut self, now: Time) {
        self.clock = self.clock.max(now);
        self.session.handle_input(self.clock, Input::Closed(Closed::Failed("cut".into())));
        while let Some(output) = self.session.poll_output() {
            assert!(matches!(output, Output::Report(_)), "a stream that ends leads to {output:?}");
        }
    }

    /// A stream is set up: what the node says it has, of the states of the world in `log`.
    pub(super) fn begin(&mut self, now: Time, log: &[Arc<Snapshot>]) -> Held {
        self.clock = self.clock.max(now);
        if let Some(at) = self.session.next_deadline() {
            self.clock = self.clock.max(at);
            self.session.handle_input(self.clock, Input::Tick);
            assert_eq!(self.session.poll_output(), Some(Output::Connect), "a wait ends with a connection");
        }
        self.session.handle_input(self.clock, Input::Connected);
        let mut held = Held::new();
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Report(_) => {}
                Output::Send(request) => held.extend(self::held(&request, log)),
                other => panic!("a new stream leads to {other:?}"),
            }
        }
        held
    }

    /// The control plane says how things are in a version: what the node takes in of it, and that it answers.
    pub(super) fn hear(
        &mut self,
        now: Time,
        keys: &[Key],
        facts: &Snapshot,
        version: usize,
        always: bool,
    ) -> Vec<Delta> {
        self.clock = self.clock.max(now);
        let mut deltas = Vec::new();
        for of in [ResourceType::Authorization, ResourceType::Address] {
            self.nonces += 1;
            let response = response(of, keys, facts, version, self.nonces);
            if !always && response.resources.is_empty() && response.removed.is_empty() {
                continue;
            }
            let is_bad = response.resources.iter().any(|resource| resource.content.is_err());
            let nonce = response.nonce.clone();
            self.session.handle_input(self.clock, Input::Response(response));
            let mut answers = 0;
            while let Some(output) = self.session.poll_output() {
                match output {
                    Output::Apply(delta) => deltas.push(delta),
                    Output::Report(_) => {}
                    Output::Send(Request { nonce: answered, error, .. }) => {
                        assert!(
                            answered == nonce && error.is_some() == is_bad,
                            "row 74: {nonce} is answered by {error:?}"
                        );
                        answers += 1;
                    }
                    other => panic!("a response leads to {other:?}"),
                }
            }
            assert_eq!(answers, 1, "row 74: a response is answered once");
        }
        deltas
    }

    /// What a node takes in that is told all this and knows none of it.
    pub(super) fn expected(keys: &[Key], facts: &Snapshot) -> Vec<Delta> {
        let of_type = |of| keys.iter().filter(move |key| key.resource_type() == of);
        let deltas = [ResourceType::Authorization, ResourceType::Address].map(|of| {
            let mut delta = Delta::new();
            of_type(of).for_each(|key| put(&mut delta, key, facts));
            delta
        });
        deltas.into_iter().filter(|delta| !delta.is_empty()).collect()
    }
}

fn held(request: &Request, log: &[Arc<Snapshot>]) -> Held {
    let of = request.resource_type;
    let versions = request.initial_versions.iter();
    versions
        .map(|(name, version)| {
            let version: Option<usize> = version.parse().ok();
            let facts = version.and_then(|version| log.get(version));
            (
                facts.map_or_else(|| Key::of(of, name, &Snapshot::new()), |facts| Key::of(of, name, facts)),
                version,
            )
        })
        .collect()
}

/// Those of one type, as a control plane tells of them.
fn response(of: ResourceType, keys: &[Key], facts: &Snapshot, version: usize, nonce: u64) -> Response {
    let (mut resources, mut removed) = (Vec::new(), Vec::new());
    for key in keys.iter().filter(|key| key.resource_type() == of) {
        let name: Arc<str> = key.name().into();
        match key.content(facts) {
            Some(content) => {
                let version = version.to_string().into();
                resources.push(Resource { name, version, aliases: Vec::new(), content });
            }
            None => removed.push(name),
        }
    }
    Response { resource_type: of, nonce: nonce.to_string().into(), resources, removed }
}

/// Puts a resource as it is in `source` into a delta.
fn put(delta: &mut Delta, key: &Key, source: &Snapshot) {
    match (key, key.content(source)) {
        (_, Some(Ok(Fact::Policy(policy)))) => delta.upsert_policy(policy),
        (_, Some(Ok(Fact::Service(service)))) => delta.upsert_service(service),
        (_, Some(Ok(Fact::Workload(workload)))) => delta.upsert_workload(workload),
        (Key::Policy(key), Some(Err(Rejection { scope, reason }))) => {
            delta.undecodable_policy(key.clone(), scope, reason);
        }
        (Key::Policy(key), None) => delta.remove_policy(key.clone()),
        (Key::Service(key), _) => delta.remove_service(key.clone()),
        (Key::Workload(uid), _) => delta.remove_workload(uid.clone()),
    }
}
