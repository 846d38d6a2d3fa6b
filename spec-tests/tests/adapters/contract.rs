//! Every case on every ground.

use std::panic::{AssertUnwindSafe, catch_unwind};

use culvert_core::engine::boundary::MAX_SLICES;
use culvert_sim::world::Script;

use crate::case::{Case, Kind};
use crate::ground::{Ground, PLAIN, RESTLESS};
use crate::{cases, random};

/// How many random cases there are.
const RANDOM: u64 = 120;

/// After so many differences the rest is not looked at: what stands still takes its time.
const MOST_WRONG: usize = 2;

/// Runs cases on every ground; each must come out as it says, so all of them do the same. Prints the list of what was equal, and
/// goes on for a while where something was not.
fn same_everywhere(cases: &[Case]) {
    let restless = RESTLESS.each_ref().map(|kernel| kernel as &dyn Ground);
    let mut wrong = Vec::new();
    for case in cases {
        let mut equal = String::new();
        for ground in PLAIN.into_iter().chain(restless) {
            match catch_unwind(AssertUnwindSafe(|| ground.run(case))) {
                Ok(found) if found == case.expected => {
                    equal.push_str(" = ");
                    equal.push_str(ground.name());
                }
                Ok(found) => {
                    let (name, expected) = (ground.name(), &case.expected);
                    wrong.push(format!("{} on {name}: {found:?}, not {expected:?}: {case:?}", case.name));
                }
                Err(_) => wrong.push(format!("{} on {}: see above", case.name, ground.name())),
            }
        }
        println!("{:<60}{equal}", case.name);
        if wrong.len() > MOST_WRONG {
            break;
        }
    }
    assert!(wrong.is_empty(), "not as the cases say:\n{}", wrong.join("\n"));
}

#[test]
fn bytes_arrive_whole_however_they_are_cut() {
    same_everywhere(&cases::of_bytes());
}

#[test]
fn each_way_of_a_connection_ends_on_its_own() {
    same_everywhere(&cases::of_half_close());
}

#[test]
fn a_reset_of_either_side_is_one_at_the_other_after_the_bytes_before_it() {
    same_everywhere(&cases::of_resets());
}

#[test]
fn a_reader_that_sleeps_holds_its_sender_back() {
    same_everywhere(&cases::of_backpressure());
}

#[test]
fn a_dial_that_is_refused_or_not_answered_is_a_reset() {
    same_everywhere(&cases::of_dials());
}

#[test]
fn a_drain_lets_go_on_what_is_there_until_its_deadline_and_lets_nobody_in() {
    same_everywhere(&cases::of_drains());
}

#[test]
fn deadlines_come_in_their_order() {
    same_everywhere(&cases::of_deadlines());
}

#[test]
fn the_next_stream_uses_a_newer_credential_and_open_ones_go_on() {
    same_everywhere(&cases::of_credentials());
}

#[test]
fn a_policy_ends_what_is_open_and_refuses_what_comes() {
    same_everywhere(&cases::of_policy());
}

#[test]
fn random_scripts_are_seen_the_same_on_every_ground() {
    let cases: Vec<Case> = (0..RANDOM).map(random::case).collect();
    same_everywhere(&cases);
}

#[test]
fn what_is_joined_is_relayed_by_the_kernel_and_the_rest_passes_memory() {
    const MUCH: u64 = 4 << 20;
    for kernel in &RESTLESS {
        for kind in Kind::ALL {
            let echo = Script::echo();
            let case = Case::of_one_call("much", kind, Script::send(MUCH), echo).completes(MUCH, MUCH);
            let (history, traffic) = kernel.run_counted(&case);
            assert_eq!(history, case.expected, "{}", kernel.name);
            if kind.has_two_nodes() {
                // Each byte is read at both nodes, both ways.
                assert!(traffic.read > 4 * MUCH, "{}: {traffic:?}", kernel.name);
            } else {
                // What came before the far end was there.
                assert!(traffic.read < MUCH / 4, "{} {kind:?}: {traffic:?}", kernel.name);
            }
        }
    }
}

#[test]
fn writes_have_up_to_sixteen_slices_and_every_byte_arrives() {
    for kernel in &RESTLESS {
        let case = cases::slow_reader(Kind::Tunnel);
        let (history, traffic) = kernel.run_counted(&case);
        assert_eq!(history, case.expected, "{}", kernel.name);
        assert_eq!(traffic.most_slices, MAX_SLICES, "{}", kernel.name);
    }
}
