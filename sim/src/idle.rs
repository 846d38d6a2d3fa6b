//! What a mesh costs in which nothing happens: nodes in a ring, each with a tunnel to the next, and keepalives.

use std::time::Duration;

use crate::world::{Script, Seen, Serve, World};

/// Nodes of the ring, and as many tunnels with one open connection each.
pub const NODES: usize = 20;

/// Lets the ring stand idle for so long, in simulated time; gives the inputs that its engines took meanwhile.
///
/// # Panics
///
/// A law is broken, or a connection is.
pub fn ring(time: Duration) -> usize {
    let mut world = World::new(7);
    world.without_replay();
    let nodes: Vec<_> = (0..NODES).map(|_| world.node()).collect();
    let pods: Vec<_> =
        nodes.iter().enumerate().map(|(number, node)| world.pod(*node, &format!("p{number}"))).collect();
    let targets: Vec<_> =
        pods.iter().map(|pod| world.serve(*pod, 8080, Serve::Script(Script::echo()))).collect();
    let mut calls = Vec::new();
    for (number, pod) in pods.iter().enumerate() {
        if let Some(target) = targets.get((number + 1) % NODES) {
            calls.push(world.call(*pod, *target, Script::keep(100)));
        }
    }
    world.run(Duration::from_secs(10));
    let inputs = |world: &World| nodes.iter().map(|node| world.inputs(*node)).sum::<usize>();
    let before = inputs(&world);
    world.run(time);
    let after = inputs(&world);
    for call in calls {
        assert_eq!((world.seen(call), world.received(call)), (Seen::Open, 100), "a connection of the ring");
    }
    world.finish();
    after - before
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PING and its answer at both ends of each tunnel in ten seconds, and no events beside.
    #[test]
    fn time_in_which_nothing_happens_costs_what_keepalives_cost() {
        let inputs = ring(Duration::from_secs(100));
        let pings = 2 * NODES * 10;
        assert!((4 * pings..20 * pings).contains(&inputs), "{inputs}");
    }
}
