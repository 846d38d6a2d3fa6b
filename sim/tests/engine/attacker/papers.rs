//! Who gets in: no key, a key that nobody vouches for, no TLS, nothing to say; and what a valid key is good for.

use culvert_core::fault::Fault;
use culvert_core::mesh::PolicyKey;
use culvert_core::policy::Denial;
use culvert_sim::frame::{Frame, PREFACE, kind};
use culvert_sim::world::{Papers, Seen};

use super::{TUNNEL, WINDOW, connect, mallory, siege};
use crate::mesh::{SECOND, faults};

#[test]
fn without_a_trusted_key_nothing_is_said_and_nothing_arrives() {
    for papers in [Papers::None, Papers::Plain, Papers::Forged(mallory())] {
        let mut siege = siege(1);
        let attacker = siege.attack(&papers);
        let words = siege.world.signature(attacker, 1000);
        siege.world.say_frames(attacker, &[connect(1), Frame::data(1, true, &words)]);
        siege.world.run(SECOND);
        assert_ne!(siege.world.standing(attacker), Seen::Open, "{papers:?}");
        assert_eq!(siege.world.heard(attacker), [], "{papers:?}");
        assert!(siege.world.served().is_empty(), "{papers:?}");
        assert_eq!(siege.lost().len(), 1, "{papers:?}: there is a reason in the log: {:?}", siege.lost());
        siege.peace(&[attacker]);
    }
}

#[test]
fn a_key_is_worth_what_policy_grants_its_identity() {
    for denied in [true, false] {
        let mut siege = siege(2);
        if denied {
            siege.world.facts("policies:\n- {name: no, namespace: default, scope: Global, action: Deny, rules: [[[{principals: [{Exact: cluster.local/ns/default/sa/mallory}]}]]]}");
        }
        let attacker = siege.tenant();
        if !denied {
            siege.world.pardon(attacker);
        }
        let words = siege.world.signature(attacker, 10_000);
        siege.world.say_frames(attacker, &[connect(1), Frame::data(1, true, &words)]);
        siege.world.run(SECOND);
        let echoed: Vec<u8> = siege
            .world
            .heard(attacker)
            .iter()
            .filter(|frame| frame.kind == kind::DATA)
            .flat_map(|frame| frame.payload.clone())
            .collect();
        if denied {
            assert_eq!((siege.statuses(attacker), echoed), (vec![401], vec![]));
            assert!(siege.world.served().is_empty());
            assert!(matches!(faults(&siege.world, siege.far)[..], [Fault::Denied(Denial::Rule(_))]));
        } else {
            assert_eq!((siege.statuses(attacker), echoed), (vec![200], words));
        }
        siege.peace(&[attacker]);
    }
}

#[test]
fn a_key_that_loses_its_permission_has_its_streams_cut() {
    let mut siege = siege(3);
    let attacker = siege.tenant();
    siege.world.say_frames(attacker, &[connect(1), connect(3)]);
    siege.world.run(SECOND);
    assert_eq!(siege.world.connections(siege.far), 2);
    siege.world.facts("policies:\n- {name: no, namespace: default, scope: Global, action: Deny, rules: [[[{principals: [{Exact: cluster.local/ns/default/sa/mallory}]}]]]}");
    assert_eq!(siege.world.connections(siege.far), 0);
    // Forbidden from the moment of the change on.
    let words = siege.world.signature(attacker, 1000);
    siege
        .world
        .say_frames(attacker, &[Frame::data(1, false, &words), connect(5), Frame::data(5, true, &words)]);
    siege.world.run(SECOND);
    assert_eq!(siege.resets(attacker)[..2], [10, 10]);
    assert_eq!(siege.statuses(attacker), [200, 200, 401]);
    siege.peace(&[attacker]);
}

#[test]
fn who_says_nothing_or_half_of_it_is_given_up_in_time() {
    let preface_but_one = PREFACE.len() - 1;
    let headers = connect(1);
    let cut = Frame::new(kind::HEADERS, 0, 1, &headers.payload[..5]);
    let words: [(Vec<u8>, u64); 5] = [
        (Vec::new(), 6),
        (PREFACE[..preface_but_one].to_vec(), 6),
        (PREFACE.to_vec(), 6),
        // After SETTINGS only the unanswered PING tells.
        ([PREFACE, &Frame::wire(&[Frame::settings(&[])])].concat(), 32),
        ([PREFACE, &Frame::wire(&[Frame::settings(&[]), Frame::settings_ack(), cut])].concat(), 32),
    ];
    for (words, seconds) in words {
        let mut siege = siege(4);
        let hbone = siege.world.address(siege.b, 15008);
        let attacker = siege.world.attack(siege.machine, hbone, &Papers::Valid(mallory()));
        siege.world.say(attacker, &words);
        siege.world.run(SECOND * 4);
        assert_eq!(siege.world.tunnels(siege.far), 1);
        siege.others_go_on(WINDOW + TUNNEL);
        siege.world.run(SECOND * u32::try_from(seconds - 4).unwrap());
        assert_eq!(siege.lost().len(), 1, "after {seconds} s: {:?}", siege.lost());
        assert_ne!(siege.world.standing(attacker), Seen::Open);
        siege.peace(&[attacker]);
    }
}

#[test]
fn the_first_bytes_of_a_stream_that_policy_holds_stay_where_they_are() {
    let mut siege = siege(5);
    let attacker = siege.tenant();
    let b = siege.b;
    siege.world.change(b, |spec| spec.authorization_policies = vec![PolicyKey::new("default", "later")]);
    let words = siege.world.signature(attacker, 60_000);
    let data = words.chunks(16_000).map(|part| Frame::data(1, false, part));
    let said: Vec<Frame> = std::iter::once(connect(1)).chain(data).collect();
    siege.world.say_frames(attacker, &said);
    siege.world.run(SECOND);
    assert!(siege.world.served().is_empty() && siege.statuses(attacker).is_empty());
    assert!(siege.world.held_bytes(siege.far) <= WINDOW + TUNNEL);
    siege.world.run(2 * SECOND);
    assert_eq!(siege.statuses(attacker), [401]);
    siege.world.change(b, |spec| spec.authorization_policies = Vec::new());
    siege.peace(&[attacker]);
}
