//! A node without a data plane: it hears, and keeps what it heard.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use culvert_channel::{ChannelConfig, Connector, Roots};
use culvert_core::mesh::{Policy, Service, ServiceSpec, Snapshot, Workload, WorkloadSpec};
use culvert_core::seed::Seed;
use culvert_core::xds::{Event, Fact};
use culvert_discovery::{Discovery, DiscoveryConfig, News, NodeIdentity};
use culvert_spec_tests::control_plane::{Authority, ControlPlane};
use culvert_spec_tests::testbed::PATIENCE;

#[derive(Default)]
pub struct Heard {
    pub snapshot: Snapshot,
    pub events: Vec<Event>,
    pub known: Vec<(String, bool)>,
    pub restored: bool,
}

/// Discovery, and what came of it. Dropping it ends it.
pub struct Listener {
    pub discovery: Discovery,
    heard: Arc<(Mutex<Heard>, Condvar)>,
}

impl Listener {
    pub fn start(config: DiscoveryConfig) -> Listener {
        let heard: Arc<(Mutex<Heard>, Condvar)> = Arc::default();
        let record = heard.clone();
        let take = move |news| {
            let mut heard = record.0.lock().unwrap();
            match news {
                News::Event(event) => heard.events.push(event),
                News::Facts(delta) => heard.snapshot = heard.snapshot.apply(delta).0,
                News::Known { name, exists } => heard.known.push((name.to_string(), exists)),
                News::Forgotten { name } => panic!("{name} was given up"),
                News::Restored { .. } => heard.restored = true,
                News::State(error) => panic!("{error}"),
                News::Unexpected(what) => panic!("{what}"),
            }
            record.1.notify_all();
        };
        Listener { discovery: Discovery::start(config, take).unwrap(), heard }
    }

    /// Waits until what was heard is what is wanted, and looks at it.
    pub fn wait<T>(&self, what: &str, wanted: impl Fn(&Heard) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = self.heard.0.lock().unwrap();
        loop {
            if let Some(found) = wanted(&heard) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} did not come; events: {:#?}", heard.events);
            heard = self.heard.1.wait_timeout(heard, left).unwrap().0;
        }
    }

    pub fn is_ready(&self) {
        self.wait("readiness", |heard| heard.events.contains(&Event::Ready).then_some(()));
    }

    pub fn has_workloads(&self, uids: &[&str]) {
        self.wait("the workloads", |heard| {
            heard
                .snapshot
                .workloads()
                .map(|workload| workload.uid.as_str())
                .eq(uids.iter().copied())
                .then_some(())
        });
    }

    pub fn look<T>(&self, look: impl Fn(&Heard) -> T) -> T {
        look(&self.heard.0.lock().unwrap())
    }
}

/// As a node of Kubernetes is configured.
pub fn config(control_plane: &ControlPlane, authority: Option<&Authority>) -> DiscoveryConfig {
    let mut channel = ChannelConfig::new(control_plane.url());
    if let Some(authority) = authority {
        channel.roots = Roots::Pem(authority.pem());
        channel.alternative_hostname = Some(authority.name().into());
    }
    discovery(channel)
}

pub fn discovery(channel: ChannelConfig) -> DiscoveryConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    DiscoveryConfig {
        connector: Connector::new(channel, provider).unwrap(),
        identity: NodeIdentity {
            address: Some("10.0.0.9".parse().unwrap()),
            pod: "culvert-a".into(),
            namespace: "mesh-system".into(),
            node: "k1".into(),
            metadata: Default::default(),
        },
        on_demand: false,
        state: None,
        seed: Seed::new([9; 32]),
    }
}

pub fn workload(uid: &str, ip: &str) -> Workload {
    workload_with(uid, ip, |_| ())
}

pub fn workload_with(uid: &str, ip: &str, change: impl FnOnce(&mut WorkloadSpec)) -> Workload {
    let mut spec = WorkloadSpec {
        uid: uid.into(),
        name: uid.into(),
        namespace: "default".into(),
        workload_ips: vec![ip.parse().unwrap()],
        ..WorkloadSpec::default()
    };
    change(&mut spec);
    spec.try_into().unwrap()
}

pub fn service(hostname: &str, vip: &str) -> Service {
    let spec = ServiceSpec {
        namespace: "default".into(),
        hostname: hostname.into(),
        vips: vec![format!("/{vip}").parse().unwrap()],
        ports: [(80, 8080)].into_iter().collect(),
        ..ServiceSpec::default()
    };
    spec.try_into().unwrap()
}

pub fn fact(workload: Workload) -> Fact {
    Fact::Workload(Arc::new(workload))
}

pub fn policy(policy: Policy) -> Fact {
    Fact::Policy(Arc::new(policy))
}
