//! Connections between a change of facts and their judgement, as a driver sees them (node.md B4, B5).
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what cannot be must fail a test")]

use std::sync::Arc;

use culvert_core::capture::Local;
use culvert_core::engine::boundary::{
    CloseMode, Input, Interest, Listener, Origin, Output, PodId, Slices, SocketId, WorkloadRef,
};
use culvert_core::engine::{Config, Engine};
use culvert_core::fault::IoFault;
use culvert_core::limit::Limits;
use culvert_core::mesh::{MeshFile, Snapshot};
use culvert_core::policy::Compat;
use culvert_core::seed::Seed;
use culvert_core::time::{Now, Time, WallTime};
use culvert_sim::crypto;

const POD: &str = "workloads:\n- {uid: b, name: b, namespace: n, workloadIps: [10.0.0.2], protocol: HBONE";
const RULE: &str = "rules: [[[{destinationPorts: [1]}]]]";

fn now() -> Now {
    Now { time: Time::START, wall: WallTime::from_unix_secs(1_800_000_000) }
}

fn facts(rest: &str) -> Arc<Snapshot> {
    let file: MeshFile = serde_saphyr::from_str(&format!("{POD}{rest}\n")).unwrap();
    Arc::new(Snapshot::from_file(file).unwrap())
}

fn outputs(engine: &mut Engine) -> Vec<Output> {
    std::iter::from_fn(|| engine.poll_output()).collect()
}

fn interests(outputs: &[Output], socket: SocketId) -> Vec<Interest> {
    let of_socket = |output: &Output| match output {
        Output::Interest { socket: of, interest } if *of == socket => Some(*interest),
        _ => None,
    };
    outputs.iter().filter_map(of_socket).collect()
}

/// An engine that relays so many plain connections to its pod, with the near and far socket of each.
fn relaying(count: u16, judgements_per_turn: usize) -> (Engine, Vec<(SocketId, SocketId)>) {
    let config = Config {
        limits: Limits { judgements_per_turn, ..Limits::default() },
        crypto: crypto::provider(),
        seed: Seed::new([1; 32]),
        local: Local::default(),
        compat: Compat::Culvert,
        keep_source: true,
        bind_pod_address: false,
        join: false,
        response_baggage: true,
    };
    let mut engine = Engine::new(config, facts("}"), now());
    let workload = WorkloadRef { namespace: "n".into(), name: "b".into(), service_account: "default".into() };
    engine.handle_input(now(), Input::PodAdded { pod: PodId(0), workload, consumer: false });
    let pairs = (0..count).map(|number| {
        let origin = Origin {
            pod: PodId(0),
            listener: Listener::InboundPlaintext,
            peer: format!("192.168.0.9:{}", 40_000 + number).parse().unwrap(),
            local: "10.0.0.2:15006".parse().unwrap(),
            original: Some("10.0.0.2:80".parse().unwrap()),
        };
        let near = engine.accept(now(), origin);
        let far = outputs(&mut engine).into_iter().find_map(|output| match output {
            Output::Connect { socket, .. } => Some(socket),
            _ => None,
        });
        let far = far.expect("the application is dialled");
        let local = "192.168.0.9:1".parse().unwrap();
        engine.handle_input(now(), Input::Connected { socket: far, local });
        (near, far)
    });
    let pairs = pairs.collect();
    outputs(&mut engine);
    (engine, pairs)
}

fn apply(engine: &mut Engine, from: &Snapshot, to: Arc<Snapshot>) {
    let changed = Arc::new(from.diff_to(&to));
    engine.handle_input(now(), Input::Apply { snapshot: to, changed });
}

#[test]
fn a_connection_that_awaits_its_judgement_is_not_read_and_is_again_after_it() {
    let (mut engine, pairs) = relaying(3, 1);
    let permitted =
        format!("}}\npolicies:\n- {{name: one, namespace: n, scope: Namespace, action: Deny, {RULE}}}");
    apply(&mut engine, &facts("}"), facts(&permitted));
    let (near, _) = pairs[2];
    // A driver that finds it readable now gets no space, and would not look again of its own accord.
    assert!(engine.read_space(near).is_empty());
    let off = outputs(&mut engine);
    assert_eq!(interests(&off, near), [Interest::default()], "the driver is told");
    while engine.next_deadline().is_some_and(|deadline| deadline.at <= now().time) {
        engine.handle_input(now(), Input::Tick);
    }
    assert!(!engine.read_space(near).is_empty());
    let on = outputs(&mut engine);
    assert_eq!(interests(&on, near), [Interest { read: true, write: false }], "and is told again");
}

#[test]
fn a_reset_is_no_way_around_a_hold() {
    let (mut engine, pairs) = relaying(1, 1024);
    let (near, far) = pairs[0];
    let len = engine.read_space(near).len().min(1000);
    engine.handle_input(now(), Input::Read { socket: near, len });
    apply(&mut engine, &facts("}"), facts(", authorizationPolicies: [n/later]}"));
    outputs(&mut engine);
    engine.handle_input(now(), Input::Failed { socket: near, fault: IoFault::Reset });
    let mut slices = Slices::new();
    engine.write_slices(far, &mut slices);
    assert!(slices.is_empty(), "what was held is not delivered");
    let closed = Output::Close { socket: far, mode: CloseMode::Abort };
    assert!(outputs(&mut engine).contains(&closed));
    assert_eq!(engine.held_bytes(), 0);
}

#[test]
fn a_drain_ends_once_what_was_left_is_delivered() {
    use culvert_core::telemetry::Event;
    let (mut engine, pairs) = relaying(1, 1024);
    let (near, far) = pairs[0];
    let len = engine.read_space(near).len().min(1000);
    engine.handle_input(now(), Input::Read { socket: near, len });
    engine.handle_input(now(), Input::Failed { socket: near, fault: IoFault::Reset });
    let until = now().time.after(std::time::Duration::from_secs(1));
    engine.handle_input(now(), Input::Drain { until });
    let drained = Output::Report(Event::Drained);
    assert!(!outputs(&mut engine).contains(&drained), "bytes are still to be delivered");
    engine.handle_input(now(), Input::Wrote { socket: far, len });
    assert!(outputs(&mut engine).contains(&drained));
}
