//! A stalled peer costs one deadline, for all who wait for it together, and delays nobody else (node.md B1, B2).

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use culvert_core::fault::{Fault, Stage};
use culvert_core::limit::Limits;
use culvert_core::telemetry::{Event, Reason};
use culvert_spec_tests::testbed::{
    Address, Ending, NodeSetup, PATIENCE, Server, TestNode, call, converse, echo, exchange, hear, take,
};

use crate::pair::Pair;

const CALLERS: usize = 8;

/// A pair, a server of it whose node is a process, and another server whose node is not.
struct Scene {
    pair: Pair,
    client: TestNode,
    server: culvert_spec_tests::testbed::CulvertProcess,
    other: Address,
    _other_node: TestNode,
    _programs: [Server; 2],
}

impl Scene {
    fn new(limits: Limits) -> Scene {
        let mut pair = Pair::new();
        let other = Address::take();
        pair.mesh = pair.mesh.workload_as("other", "server", &[other.ip]);
        let mut other_node = NodeSetup::new(&pair.mesh, "other", other.ip, &pair.certificates);
        other_node.workload.1 = "server".to_owned();
        let client = pair.client_node().forward(pair.client.port(8000), other.port(7000)).limits(limits);
        Scene {
            client: client.start(),
            server: pair.server_node().spawn(),
            _programs: [Server::start(pair.server.port(7000), echo), Server::start(other.port(7000), echo)],
            _other_node: other_node.start(),
            other,
            pair,
        }
    }

    /// Eight callers of the stalled server at once, each with how long it took to fail; meanwhile the other server is
    /// called without a pause.
    fn all_fail_together(&self) -> Vec<Duration> {
        assert_ne!(self.other.ip, self.pair.server.ip);
        let over = AtomicBool::new(false);
        let entry = self.pair.entry(7000);
        std::thread::scope(|scope| {
            let beside = scope.spawn(|| {
                let mut served = 0;
                while !over.load(Ordering::SeqCst) {
                    let begun = Instant::now();
                    let heard = call(self.pair.entry(8000), |stream| exchange(stream, b"hello"));
                    assert_eq!((heard.bytes.as_slice(), heard.ending), (&b"hello"[..], Ending::Eof));
                    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
                    served += 1;
                }
                served
            });
            let callers: Vec<_> = (0..CALLERS)
                .map(|_| {
                    scope.spawn(move || {
                        let begun = Instant::now();
                        let mut stream = converse(entry);
                        stream.write_all(b"hello").unwrap();
                        assert_eq!(hear(&stream, PATIENCE).ending, Ending::Reset);
                        begun.elapsed()
                    })
                })
                .collect();
            let outcomes: Vec<_> = callers.into_iter().map(|caller| caller.join()).collect();
            // Before anything may panic: what runs beside would never end.
            over.store(true, Ordering::SeqCst);
            let times = outcomes.into_iter().map(|outcome| outcome.unwrap()).collect();
            assert!(beside.join().unwrap() > CALLERS);
            times
        })
    }
}

fn spread(times: &[Duration]) -> Duration {
    *times.iter().max().unwrap() - *times.iter().min().unwrap()
}

#[test]
fn callers_of_a_peer_that_never_answered_fail_after_one_deadline() {
    let scene = Scene::new(Limits::default());
    scene.server.process.pause();
    let times = scene.all_fail_together();
    let deadline = Limits::default().tls_handshake;
    let margin = Duration::from_secs(2);
    assert!(times.iter().all(|time| *time > deadline - margin && *time < deadline + margin), "{times:?}");
    assert!(spread(&times) < Duration::from_secs(1), "{times:?}");
    scene.client.events.wait_for(CALLERS, |event| {
        matches!(event, Event::Closed { reason: Reason::Failed(Fault::Timeout(Stage::TlsHandshake)), .. })
    });
}

#[test]
fn callers_on_an_open_tunnel_that_stalls_fail_after_one_deadline_and_it_is_retired() {
    let deadline = Duration::from_secs(2);
    let limits = Limits { connect_response: deadline, ..Limits::default() };
    let scene = Scene::new(limits);
    let mut held = converse(scene.pair.entry(7000));
    held.write_all(b"x").unwrap();
    assert_eq!(take(&held, 1).unwrap(), b"x");
    scene.server.process.pause();
    let times = scene.all_fail_together();
    let margin = Duration::from_secs(1);
    assert!(times.iter().all(|time| *time > deadline - margin && *time < deadline + margin), "{times:?}");
    assert!(spread(&times) < Duration::from_secs(1), "{times:?}");
    // The next caller does not wait for the tunnel that stalled: it gets a new one.
    let opened = |event: &Event| matches!(event, Event::TunnelOpened { peer, .. } if *peer == scene.pair.server.hbone());
    let before = scene.client.events.all().iter().filter(|event| opened(event)).count();
    scene.server.process.signal(libc::SIGCONT);
    assert_eq!(call(scene.pair.entry(7000), |stream| exchange(stream, b"back")).bytes, b"back");
    scene.client.events.wait_for(before + 1, opened);
    // The connection that was there before goes on.
    let heard = exchange(&held, b"y");
    assert_eq!((heard.bytes.as_slice(), heard.ending), (&b"y"[..], Ending::Eof));
}
