//! The cases: what applications do, and what each of them must see.

use std::time::Duration;

use culvert_sim::world::{Act, Reading, Script, Seen};

use crate::case::{Case, End, Kind, Served, Side, Step};

/// How long a phase may take where its end is the question.
const BRIEF: Duration = Duration::from_millis(300);
/// How long a connection may be silent where that is the question: much longer than any of its phases takes on a busy machine.
const SILENCE: Duration = Duration::from_millis(800);
const MIB: u64 = 1 << 20;
/// How far a sender may be ahead of a reader that sleeps: 4 MiB that the kernel takes of each node's writes, small buffers everywhere
/// else, the windows of the case and the nodes' queues.
const AHEAD: u64 = 13 * MIB;
/// What is sent to it.
const MUCH: u64 = 24 * MIB;

const BY_SOURCE: &str = "reset by the source";
const BY_DESTINATION: &str = "reset by the destination";

/// Bytes, in large and in the smallest pieces.
pub fn of_bytes() -> Vec<Case> {
    Kind::ALL.into_iter().flat_map(|kind| [echo(kind), single_bytes(kind), much(kind)]).collect()
}

/// FIN of one side before the other has said all.
pub fn of_half_close() -> Vec<Case> {
    Kind::ALL.into_iter().flat_map(|kind| [client_ends_first(kind), server_ends_first(kind)]).collect()
}

/// RST of either side.
pub fn of_resets() -> Vec<Case> {
    Kind::ALL
        .into_iter()
        .flat_map(|kind| [client_resets(kind), server_resets(kind), server_leaves_after_its_end(kind)])
        .collect()
}

/// Readers that sleep.
pub fn of_backpressure() -> Vec<Case> {
    Kind::ALL.map(slow_reader).into()
}

/// Dials that come to nothing.
pub fn of_dials() -> Vec<Case> {
    Kind::ALL.into_iter().flat_map(|kind| [refused(kind), timed_out(kind)]).collect()
}

/// Nodes that go away.
pub fn of_drains() -> Vec<Case> {
    let near = |kind| [drain_deadline(kind, Side::Near), drained_in_time(kind)];
    let far = drain_deadline(Kind::Tunnel, Side::Far);
    Kind::ALL.into_iter().flat_map(near).chain([far]).collect()
}

/// Deadlines of several connections.
pub fn of_deadlines() -> Vec<Case> {
    Kind::PLAIN.into_iter().map(idle_in_order).chain([dials_time_out_in_order()]).collect()
}

/// A newer credential.
pub fn of_credentials() -> Vec<Case> {
    vec![rotated()]
}

/// A policy that comes while connections are open.
pub fn of_policy() -> Vec<Case> {
    [Kind::Tunnel, Kind::Local].map(denied).into()
}

fn acts(acts: &[Act]) -> Script {
    Script::acts(acts)
}

/// Greets, is greeted, waits a little and says the rest.
fn patient(wait: Duration) -> Script {
    acts(&[Act::Send(1000), Act::Receive(1000), Act::Pause(wait), Act::Send(50_000), Act::Fin, Act::AwaitEnd])
}

/// Sends as much as it got once, and waits for the end.
fn greeter() -> Script {
    acts(&[Act::Receive(1000), Act::Send(1000), Act::AwaitEnd])
}

fn echo(kind: Kind) -> Case {
    Case::of_one_call("an echo", kind, Script::send(200_000), Script::echo()).completes(200_000, 200_000)
}

/// More than a socket may move before others have their turn.
fn much(kind: Kind) -> Case {
    let all = 8 * MIB;
    Case::of_one_call("much at once", kind, Script::send(all), Script::echo()).completes(all, all)
}

fn client_ends_first(kind: Kind) -> Case {
    let server = acts(&[Act::AwaitEnd, Act::Send(70_000), Act::Fin]);
    Case::of_one_call("the client says FIN first", kind, Script::send(1000), server).completes(70_000, 1000)
}

fn server_ends_first(kind: Kind) -> Case {
    let client = acts(&[Act::Send(8), Act::AwaitEnd, Act::Send(70_000), Act::Fin]);
    let server = acts(&[Act::Send(1000), Act::Fin]);
    Case::of_one_call("the server says FIN first", kind, client, server).completes(1000, 70_008)
}

fn single_bytes(kind: Kind) -> Case {
    let case = Case::of_one_call("one byte at a time", kind, Script::send(300), Script::echo());
    Case { chop: Some(1), ..case.completes(300, 300) }
}

fn client_resets(kind: Kind) -> Case {
    let client = acts(&[Act::Send(1000), Act::Receive(1000), Act::Send(5000), Act::Reset]);
    Case::of_one_call("the client resets", kind, client, greeter()).sees(
        End::new(1000, Seen::Left),
        Some(End::new(6000, Seen::Reset)),
        BY_SOURCE,
        BY_SOURCE,
    )
}

fn server_resets(kind: Kind) -> Case {
    let server = acts(&[Act::Receive(1000), Act::Send(5000), Act::Reset]);
    let client = acts(&[Act::Send(1000), Act::AwaitEnd]);
    Case::of_one_call("the server resets", kind, client, server).sees(
        End::new(5000, Seen::Reset),
        Some(End::new(1000, Seen::Left)),
        BY_DESTINATION,
        BY_DESTINATION,
    )
}

/// The server says FIN after the last byte, and is gone before anybody answers.
fn server_leaves_after_its_end(kind: Kind) -> Case {
    let server = acts(&[Act::Receive(1000), Act::Send(5000), Act::Fin, Act::Reset]);
    let client = acts(&[Act::Send(1000), Act::AwaitEnd, Act::Fin]);
    Case::of_one_call("the server says FIN and resets", kind, client, server).sees(
        End::new(5000, Seen::Fin),
        Some(End::new(1000, Seen::Left)),
        "completed",
        "completed",
    )
}

/// A reader that sleeps most of the time, and a sender that does not.
pub fn slow_reader(kind: Kind) -> Case {
    let server = acts(&[Act::AwaitEnd, Act::Send(8), Act::Fin])
        .reading(Reading::Slow(400_000, Duration::from_millis(4)));
    let case = Case::of_one_call("a reader that sleeps", kind, Script::send(MUCH), server);
    let case = case.limits(|limits| (limits.stream_window, limits.stream_window_wide) = (1 << 20, 1 << 20));
    Case { ahead: Some(AHEAD), ..case.completes(8, MUCH) }
}

fn refused(kind: Kind) -> Case {
    let client = acts(&[Act::Send(8), Act::AwaitEnd]);
    let case = Case::of_one_call("nobody listens", kind, client, Script::echo()).served(vec![Served::Nobody]);
    fails(case, "the far proxy answered 503", "connection refused")
}

fn timed_out(kind: Kind) -> Case {
    let client = acts(&[Act::Send(8), Act::AwaitEnd]);
    let case = Case::of_one_call("nobody answers", kind, client, Script::echo()).served(vec![Served::Silent]);
    let case = case.limits(|limits| limits.tcp_connect = BRIEF);
    fails(case, "the far proxy answered 503", "timed out: tcp connect")
}

/// The one call never gets through; `why` is what the node at the server says.
fn fails(case: Case, answer: &str, why: &str) -> Case {
    let near = if case.kind.has_two_nodes() { answer } else { why };
    case.sees(End::new(0, Seen::Reset), None, near, why)
}

fn drain_deadline(kind: Kind, side: Side) -> Case {
    let name = format!("the {side:?} node's drain has its deadline");
    let client = acts(&[Act::Send(1000), Act::AwaitEnd]);
    let (near, far) = match side {
        Side::Near => ("draining", BY_SOURCE),
        Side::Far => (BY_DESTINATION, "draining"),
    };
    let reset = End::new(1000, Seen::Reset);
    Case::of_one_call(&name, kind, client.clone(), greeter())
        .steps(vec![
            Step::Call { served: 0, script: client },
            Step::Until { call: 0, received: 1000 },
            Step::Drain(side, BRIEF),
            Step::Over { call: 0 },
        ])
        .sees(reset, Some(reset), near, far)
}

fn drained_in_time(kind: Kind) -> Case {
    let server = Script::echo();
    Case::of_one_call("a drain lets go on what is there, and nobody in", kind, patient(BRIEF), server)
        .steps(vec![
            Step::Call { served: 0, script: patient(BRIEF) },
            Step::Until { call: 0, received: 1000 },
            Step::Drain(Side::Near, Duration::from_secs(5)),
            Step::TurnedAway { served: 0 },
        ])
        .completes(51_000, 51_000)
}

fn rotated() -> Case {
    let client = patient(BRIEF);
    let mut case = Case::of_one_call("a newer credential", Kind::Tunnel, client.clone(), Script::echo())
        .steps(vec![
            Step::Call { served: 0, script: client },
            Step::Until { call: 0, received: 1000 },
            Step::Rotate,
            Step::Call { served: 0, script: Script::send(2000) },
            Step::Over { call: 1 },
        ])
        .completes(51_000, 51_000)
        .completes(2000, 2000);
    // The one that is open keeps its tunnel, the next has one under the new credential.
    case.expected.tunnels = 2;
    case
}

fn dials_time_out_in_order() -> Case {
    let client = acts(&[Act::Send(8), Act::AwaitEnd]);
    let call = || Step::Call { served: 0, script: acts(&[Act::Send(8), Act::AwaitEnd]) };
    let mut case = Case::of_one_call("dials time out in order", Kind::Tunnel, client, Script::echo())
        .served(vec![Served::Silent])
        .steps(vec![call(), call(), call(), call()])
        .limits(|limits| limits.tcp_connect = BRIEF);
    for _ in 0..4 {
        case = fails(case, "the far proxy answered 503", "timed out: tcp connect");
    }
    case.expected.order = vec![0, 1, 2, 3];
    Case { in_order: true, ..case }
}

/// Each falls silent after the one before it; the second speaks again after all of them.
fn idle_in_order(kind: Kind) -> Case {
    let idle = acts(&[Act::Send(1000), Act::AwaitEnd]);
    let twice =
        acts(&[Act::Send(1000), Act::Receive(1000), Act::Pause(SILENCE / 4), Act::Send(8), Act::AwaitEnd]);
    let call = |script: &Script| Step::Call { served: 0, script: script.clone() };
    let until = |call| Step::Until { call, received: 1000 };
    let steps = vec![call(&idle), until(0), call(&twice), until(1), call(&idle), until(2)];
    let mut case = Case::of_one_call("silence ends in order", kind, idle, greeter())
        .steps(steps)
        .limits(|limits| limits.connection_idle = SILENCE);
    for received in [1000, 1008, 1000] {
        let (client, server) = (End::new(1000, Seen::Reset), End::new(received, Seen::Reset));
        case = case.sees(client, Some(server), "timed out: idle", "");
    }
    case.expected.order = vec![0, 2, 1];
    Case { in_order: true, ..case }
}

fn denied(kind: Kind) -> Case {
    let client = acts(&[Act::Send(1000), Act::AwaitEnd]);
    let call = || Step::Call { served: 0, script: acts(&[Act::Send(1000), Act::AwaitEnd]) };
    let reset = End::new(1000, Seen::Reset);
    let revoked = "closed by a policy change: denied by policy default/no-more";
    let denied = "denied: denied by policy default/no-more";
    let near = |here: &'static str, far: &'static str| if kind.has_two_nodes() { far } else { here };
    Case::of_one_call("policy denies what is open, and what comes", kind, client, greeter())
        .steps(vec![
            call(),
            Step::Until { call: 0, received: 1000 },
            Step::Deny,
            Step::Over { call: 0 },
            call(),
        ])
        .sees(reset, Some(reset), near(revoked, BY_DESTINATION), revoked)
        .sees(End::new(0, Seen::Reset), None, near(denied, "the far proxy answered 401"), denied)
}
