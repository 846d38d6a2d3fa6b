//! What windows do to bulk over long links, and to those who share a tunnel with it (node.md B8).

use std::time::Duration;

use culvert_sim::world::{Script, Serve, World};

const MIB: u64 = 1 << 20;
const BULK: u64 = 32 * MIB;

/// How long bulk takes over a link of 50 ms round trip, where few streams may have this window.
fn bulk(wide: u32) -> Duration {
    let mut world = World::with_limits(31, |limits| limits.stream_window_wide = wide);
    world.without_replay();
    world.latency(Duration::from_millis(25));
    world.capacity(64 << 20);
    let (near, far) = (world.node(), world.node());
    let (a, b) = (world.pod(near, "a"), world.pod(far, "b"));
    let server = world.serve(b, 8080, Serve::Script(Script::acts(&[])));
    let call = world.call(a, server, Script::send(BULK));
    let arrived = |world: &World| world.heard_by(call).is_some_and(|server| world.received(server) == BULK);
    assert!(world.run_until(Duration::from_secs(20), arrived));
    let elapsed = world.elapsed();
    world.finish();
    elapsed
}

#[test]
fn a_stream_alone_gets_the_window_that_a_long_link_needs() {
    let usual = bulk(4 << 20);
    // 32 MiB in windows of 4 MiB need eight round trips.
    assert!(usual > Duration::from_millis(8 * 50), "{usual:?}");
    let wide = bulk(16 << 20);
    assert!(wide < usual * 3 / 4, "{wide:?} instead of {usual:?}");
}
