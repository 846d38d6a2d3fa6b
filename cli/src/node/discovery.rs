//! The facts of a node whose mesh a control plane tells of.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use culvert_channel::Connector;
use culvert_core::mesh::{Destination, Snapshot};
use culvert_core::seed::Seed;
use culvert_core::xds::{Closed, Event, ResourceType};
use culvert_discovery::{Discovery, DiscoveryConfig, News};
use culvert_linux::node::Node;
use rustls::crypto::CryptoProvider;
use serde_json::json;

use super::{Happened, log};
use crate::args::DiscoverySettings;
use crate::failure::Failure;

/// Starts to ask; what comes of it is sent to `events`.
pub(super) fn start(
    settings: &DiscoverySettings,
    provider: &Arc<CryptoProvider>,
    events: Sender<Happened>,
) -> Result<Discovery, Failure> {
    let connector = Connector::new(settings.channel.clone(), provider.clone()).map_err(|error| {
        Failure::from_error(&error).hint("--xds is a URL such as https://istiod.istio-system.svc:15012")
    })?;
    let mut seed = [0; 32];
    provider.secure_random.fill(&mut seed).map_err(|_| Failure::new("no randomness for the node's seed"))?;
    let config = DiscoveryConfig {
        connector,
        identity: settings.identity.clone(),
        on_demand: settings.on_demand,
        state: settings.state.clone(),
        seed: Seed::new(seed),
    };
    Discovery::start(config, move |news| {
        let _ending = events.send(Happened::Discovery(news));
    })
    .map_err(|error| Failure::new(format!("cannot start discovery: {error}")))
}

/// Waits for the first facts: all that the control plane has, or what an earlier process knew. `None` if the node is stopped
/// before.
pub(super) fn first_facts(happened: &Receiver<Happened>) -> Option<(Snapshot, bool)> {
    let mut snapshot = Snapshot::new();
    loop {
        match happened.recv().ok()? {
            Happened::Stop => return None,
            // Nothing else speaks before there are facts.
            Happened::Lists(_) | Happened::Mesh(_) | Happened::Trusted(_) => {}
            Happened::Discovery(news) => {
                tell(&news);
                match news {
                    News::Facts(delta) => snapshot = snapshot.apply(delta).0,
                    News::Event(Event::Ready) => return Some((snapshot, true)),
                    News::Restored { .. } => return Some((snapshot, false)),
                    News::Event(_)
                    | News::Known { .. }
                    | News::Forgotten { .. }
                    | News::State(_)
                    | News::Unexpected(_) => {}
                }
            }
        }
    }
}

/// What a running node makes of news; whether both kinds of resources have been answered just now.
pub(super) fn take(node: &Node, news: News) -> bool {
    tell(&news);
    match news {
        News::Facts(delta) => {
            node.apply_delta(delta);
            false
        }
        // A node asks for nothing else than destinations.
        News::Known { name, .. } => {
            Destination::try_from(String::from(&*name)).into_iter().for_each(|name| node.known(&name));
            false
        }
        News::Forgotten { name } => {
            Destination::try_from(String::from(&*name)).into_iter().for_each(|name| node.forgotten(&name));
            false
        }
        news => matches!(news, News::Event(Event::Ready)),
    }
}

fn tell(news: &News) {
    let line = match news {
        News::Event(Event::Connected) => json!({"event": "control plane connected"}),
        News::Event(Event::Disconnected { why, retry_in }) => {
            let why = match why {
                Closed::Failed(why) => why,
                Closed::Recycled => "it ended the stream in good order",
            };
            let retry_in = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX);
            json!({"event": "control plane lost", "error": why, "retry_in_ms": retry_in, "kept": "the last good state"})
        }
        News::Event(Event::Rejected { resource_type, name, reason }) => {
            let what = match resource_type {
                ResourceType::Address => "workload or service",
                ResourceType::Authorization => "policy",
            };
            json!({"event": "resource refused", "type": what, "name": name, "error": reason})
        }
        News::Restored { addresses, policies } => {
            json!({"event": "state restored", "addresses": addresses, "policies": policies})
        }
        News::State(error) => json!({"event": "state not kept", "error": error.to_string()}),
        News::Unexpected(what) => json!({"event": "control plane misunderstood", "error": what}),
        News::Event(Event::Ready) | News::Facts(_) | News::Known { .. } | News::Forgotten { .. } => return,
    };
    log::line(&line);
}
