//! The session itself: connections, requests, acknowledgements, deadlines.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::backoff::{BACKOFF_LAST, Backoff};
use super::demand::{Asked, Demands};
use super::subscription::Subscription;
use super::{Closed, Event, Input, Output, Request, ResourceType, Response};
use crate::seed::Seed;
use crate::time::Time;

/// In subscribe and unsubscribe at once: nothing but what is asked for by name (node.md row 73).
const EVERYTHING: &str = "*";

/// How a session is to be.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Whether workloads and services come only as they are asked for, and not all (node.md row 73). Policies always do.
    pub on_demand: bool,
    /// Where jitter comes from.
    pub seed: Seed,
}

/// How a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether a stream is open.
    pub connected: bool,
    /// Whether both kinds of resources were ever answered.
    pub ready: bool,
    /// Since when what is known may be out of date: since there is no stream.
    pub stale_since: Option<Time>,
    /// How many workloads and services are known.
    pub addresses: usize,
    /// How many policies are known.
    pub policies: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// A stream was asked for.
    Connecting,
    /// A stream is open, and whether anything was heard on it.
    Open { since: Time, heard: bool },
    /// None is tried before this.
    Waiting { until: Time },
}

/// What a node knows of its control plane, and what it has asked for.
#[derive(Clone, Debug)]
pub struct Session {
    config: Config,
    link: Link,
    stale_since: Option<Time>,
    addresses: Subscription,
    policies: Subscription,
    demands: Demands,
    backoff: Backoff,
    ready: bool,
    /// Whether anything was ever heard about policies.
    policies_heard: bool,
    /// What waits for the first answer about policies.
    held: Vec<Output>,
    outputs: VecDeque<Output>,
}

impl Session {
    /// A session that knows nothing; its first output asks for a connection.
    pub fn new(config: Config, now: Time) -> Session {
        Session {
            config,
            link: Link::Connecting,
            stale_since: Some(now),
            addresses: Subscription::new(ResourceType::Address),
            policies: Subscription::new(ResourceType::Authorization),
            demands: Demands::default(),
            backoff: Backoff::new(config.seed),
            ready: false,
            policies_heard: false,
            held: Vec::new(),
            outputs: [Output::Connect].into(),
        }
    }

    /// Takes in what an earlier process had, as a response that nobody sent: it is applied, and checked with the control plane
    /// at the first connection. Without policies nothing of it is applied.
    pub fn restore(&mut self, earlier: &Response) {
        let taken = self.subscription(earlier.resource_type).take(earlier);
        self.apply(earlier.resource_type, vec![Output::Apply(taken.delta)]);
    }

    /// Names and versions of what is in force, as they are sent at the next connection.
    pub fn versions(&self, of: ResourceType) -> impl ExactSizeIterator<Item = (&Arc<str>, &Arc<str>)> {
        match of {
            ResourceType::Address => self.addresses.versions(),
            ResourceType::Authorization => self.policies.versions(),
        }
    }

    /// How it is.
    pub fn status(&self) -> Status {
        Status {
            connected: matches!(self.link, Link::Open { .. }),
            ready: self.ready,
            stale_since: self.stale_since,
            addresses: self.addresses.versions().len(),
            policies: self.policies.versions().len(),
        }
    }

    /// Something happened.
    pub fn handle_input(&mut self, now: Time, input: Input) {
        match input {
            Input::Closed(why) => self.closed(now, why),
            Input::Connected => self.connected(now),
            Input::Demand(name) => self.demand(name),
            Input::Response(response) => self.response(&response),
            Input::Tick => {
                if matches!(self.link, Link::Waiting { until } if until <= now) {
                    self.link = Link::Connecting;
                    self.outputs.push_back(Output::Connect);
                }
            }
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to say [`Input::Tick`].
    pub fn next_deadline(&self) -> Option<Time> {
        match self.link {
            Link::Waiting { until } => Some(until),
            Link::Connecting | Link::Open { .. } => None,
        }
    }

    fn connected(&mut self, now: Time) {
        if self.link != Link::Connecting {
            return;
        }
        self.link = Link::Open { since: now, heard: false };
        self.stale_since = None;
        self.outputs.push_back(Output::Report(Event::Connected));
        for resource_type in [ResourceType::Address, ResourceType::Authorization] {
            let first = self.first_request(resource_type);
            self.outputs.push_back(Output::Send(first));
        }
    }

    fn first_request(&self, resource_type: ResourceType) -> Request {
        let mut request = Request::new(resource_type);
        let named = self.config.on_demand && resource_type == ResourceType::Address;
        let known = self.versions(resource_type);
        if named {
            // The control plane forgot what was subscribed: what is known is, like what was asked for.
            request.subscribe = [Arc::from(EVERYTHING)]
                .into_iter()
                .chain(self.demands.names().cloned())
                .chain(known.map(|(name, _)| name).filter(|name| !self.demands.has(name)).cloned())
                .collect();
            request.unsubscribe = vec![EVERYTHING.into()];
        }
        planted!(VersionsForgotten => return request);
        request.initial_versions =
            self.versions(resource_type).map(|(name, version)| (name.clone(), version.clone())).collect();
        request
    }

    fn closed(&mut self, now: Time, why: Closed) {
        match self.link {
            Link::Waiting { .. } => return,
            Link::Connecting => {}
            Link::Open { since, heard } => {
                self.stale_since = Some(now);
                // One that ends every stream before it has said anything is waited for like one that is not there.
                if (why == Closed::Recycled && heard) || now.since(since) >= BACKOFF_LAST {
                    self.backoff.reset();
                }
            }
        }
        planted!(EveryEndOrderly => self.backoff.reset());
        let retry_in = self.backoff.wait();
        self.link = Link::Waiting { until: now.after(retry_in) };
        self.outputs.push_back(Output::Report(Event::Disconnected { why, retry_in }));
    }

    fn demand(&mut self, name: Arc<str>) {
        if !self.config.on_demand || self.addresses.knows(&name) {
            let exists = self.addresses.knows(&name);
            return self.outputs.push_back(Output::Known { name, exists });
        }
        match self.demands.ask(&name) {
            Asked::Answered(exists) => self.outputs.push_back(Output::Known { name, exists }),
            Asked::Now { instead_of } => {
                if let Some(name) = &instead_of {
                    self.outputs.push_back(Output::Forgotten { name: name.clone() });
                }
                // Without a stream, the first request of the next one says it.
                if matches!(self.link, Link::Open { .. }) {
                    let mut request = Request::new(ResourceType::Address);
                    request.subscribe = vec![name];
                    request.unsubscribe = instead_of.into_iter().collect();
                    self.outputs.push_back(Output::Send(request));
                }
            }
            Asked::Pending => {}
        }
    }

    fn response(&mut self, response: &Response) {
        let Link::Open { heard, .. } = &mut self.link else { return };
        *heard = true;
        let of = response.resource_type;
        let subscription = self.subscription(of);
        let taken = subscription.take(response);
        let (error, events) = (taken.error(), taken.events(of).collect::<Vec<_>>());
        let mut outputs = Vec::new();
        if !taken.delta.is_empty() {
            outputs.push(Output::Apply(taken.delta));
        }
        if of == ResourceType::Address {
            for resource in &response.resources {
                let exists = self.addresses.knows(&resource.name);
                self.demands.arrived(resource, exists, &mut outputs);
            }
            for name in &response.removed {
                self.demands.removed(name, &mut outputs);
            }
        }
        self.subscription(of).answered = true;
        self.apply(of, outputs);
        self.outputs.extend(events.into_iter().map(Output::Report));
        self.outputs.push_back(Output::Send(Request {
            nonce: response.nonce.clone(),
            error,
            ..Request::new(of)
        }));
        if !self.ready && self.addresses.answered && self.policies.answered {
            self.ready = true;
            self.outputs.push_back(Output::Report(Event::Ready));
        }
    }

    /// Addresses wait for policies, once.
    fn apply(&mut self, of: ResourceType, outputs: Vec<Output>) {
        planted!(AddressesFirst => return self.outputs.extend(outputs));
        match of {
            ResourceType::Address if !self.policies_heard => self.held.extend(outputs),
            ResourceType::Address => self.outputs.extend(outputs),
            ResourceType::Authorization => {
                self.policies_heard = true;
                self.outputs.extend(outputs);
                self.outputs.extend(std::mem::take(&mut self.held));
            }
        }
    }

    fn subscription(&mut self, of: ResourceType) -> &mut Subscription {
        match of {
            ResourceType::Address => &mut self.addresses,
            ResourceType::Authorization => &mut self.policies,
        }
    }
}

impl Request {
    /// A request that asks for nothing.
    pub(super) fn new(resource_type: ResourceType) -> Request {
        Request {
            resource_type,
            subscribe: Vec::new(),
            unsubscribe: Vec::new(),
            initial_versions: BTreeMap::new(),
            nonce: Arc::default(),
            error: None,
        }
    }
}
