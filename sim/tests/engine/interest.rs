//! What a driver was told to wait for is what the engine can use: what it was not told to stop, it is not told to go on with.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use culvert_core::capture::Local;
use culvert_core::engine::boundary::{
    Input, Interest, Listener, Origin, Output, PodId, Slices, SocketId, WorkloadRef,
};
use culvert_core::engine::{Config, Engine};
use culvert_core::limit::Limits;
use culvert_core::mesh::{Delta, Snapshot, Workload, WorkloadSpec};
use culvert_core::policy::Compat;
use culvert_core::seed::Seed;
use culvert_core::time::{Now, Time, WallTime};
use culvert_sim::crypto;

const NOW: Now = Now { time: Time::START, wall: WallTime::from_unix_secs(1_800_000_000) };

/// An engine without joins that serves one pod.
fn engine() -> Engine {
    let spec = WorkloadSpec {
        uid: "c//Pod/n/a".into(),
        name: "a".into(),
        namespace: "n".into(),
        service_account: "a".into(),
        workload_ips: vec!["10.0.0.1".parse().unwrap()],
        ..WorkloadSpec::default()
    };
    let mut delta = Delta::new();
    delta.upsert_workload(Workload::try_from(spec).unwrap());
    let config = Config {
        limits: Limits::default(),
        crypto: crypto::provider(),
        seed: Seed::new([1; 32]),
        local: Local::default(),
        compat: Compat::Culvert,
        keep_source: false,
        bind_pod_address: false,
        join: false,
        response_baggage: true,
    };
    let mut engine = Engine::new(config, Arc::new(Snapshot::new().apply(delta).0), NOW);
    let workload = WorkloadRef { namespace: "n".into(), name: "a".into(), service_account: "a".into() };
    engine.handle_input(NOW, Input::PodAdded { pod: PodId(0), workload, consumer: false });
    engine
}

/// The interest that is told last of a socket, among all outputs that there are.
fn told(engine: &mut Engine, of: SocketId) -> Option<Interest> {
    let mut last = None;
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Interest { socket, interest } if socket == of => last = Some(interest),
            _ => {}
        }
    }
    last
}

#[test]
fn a_reader_that_was_held_back_is_told_to_stop_and_to_go_on() {
    let mut engine = engine();
    let origin = Origin {
        pod: PodId(0),
        listener: Listener::Outbound,
        peer: "10.0.0.1:4000".parse().unwrap(),
        local: "10.0.0.1:15001".parse().unwrap(),
        original: Some("203.0.113.9:80".parse().unwrap()),
    };
    let near = engine.accept(NOW, origin);
    let dial = |output| match output {
        Output::Connect { socket, .. } => Some(socket),
        _ => None,
    };
    let far = std::iter::from_fn(|| engine.poll_output()).find_map(dial).unwrap();
    engine.handle_input(NOW, Input::Connected { socket: far, local: origin.peer });
    assert_eq!(told(&mut engine, near), Some(Interest { read: true, write: false }));

    // The far end takes nothing: what is read piles up to its limit.
    let mut held = 0;
    while let len @ 1.. = engine.read_space(near).len() {
        engine.handle_input(NOW, Input::Read { socket: near, len });
        held += len;
    }
    assert!(held >= Limits::default().relay_queue);
    assert_eq!(told(&mut engine, near), Some(Interest { read: false, write: false }));

    while held > 0 {
        let mut slices = Slices::new();
        engine.write_slices(far, &mut slices);
        let len: usize = slices.as_slice().iter().map(|slice| slice.len()).sum();
        engine.handle_input(NOW, Input::Wrote { socket: far, len });
        held -= len;
    }
    assert_eq!(told(&mut engine, near), Some(Interest { read: true, write: false }));
}
