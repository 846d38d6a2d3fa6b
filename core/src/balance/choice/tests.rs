use std::collections::BTreeMap;

use super::*;
use crate::balance::Observed;
use crate::limit::Limits;
use crate::mesh::{MeshFile, Uid};

fn snapshot(capacities: &[u32]) -> Snapshot {
    let mut text = String::from("services: [{namespace: n, hostname: h, ports: {80: 8080}}]\nworkloads:\n");
    for (at, capacity) in capacities.iter().enumerate() {
        text += &format!(
            "- {{uid: e{at}, namespace: n, workloadIps: [10.1.0.{at}], capacity: {capacity}, services: {{n/h: {{}}}}}}\n"
        );
    }
    Snapshot::from_file(serde_saphyr::from_str::<MeshFile>(&text).unwrap()).unwrap()
}

/// How many of some thousand draws fall on each endpoint.
fn chosen(snapshot: &Snapshot, observed: &Observed, avoid: Option<&Uid>) -> BTreeMap<String, u32> {
    let service = snapshot.services().next().unwrap();
    let endpoints = snapshot.endpoint_index(&service.key).unwrap();
    let seen = Seen { observed: Some(observed), avoid, ..Seen::default() };
    let mut draws = crate::seed::Seed::new([7; 32]).draws();
    let mut counts = BTreeMap::new();
    for _ in 0..4_096 {
        let source = snapshot.workload("e0").unwrap();
        let choice = Choice { snapshot, service, endpoints, source, seen: &seen, draw: draws.next_u64() };
        let endpoint = choose(&choice, |_| true).unwrap();
        *counts.entry(endpoint.uid.to_string()).or_insert(0) += 1;
    }
    counts
}

#[test]
fn connections_under_way_are_counted_and_forgotten() {
    let mut observed = Observed::new(&Limits::default());
    let uid = Uid::from("e7");
    observed.begun(&uid);
    observed.begun(&uid);
    assert_eq!(observed.in_flight(&uid), 2);
    observed.ended(&uid);
    assert_eq!(observed.in_flight(&uid), 1);
    observed.ended(&uid);
    observed.ended(&uid);
    assert_eq!(observed.in_flight(&uid), 0);
    assert!(!format!("{observed:?}").contains("e7"), "nothing is kept of it");
}

#[test]
fn of_two_the_one_is_taken_that_has_less_to_do() {
    let snapshot = snapshot(&[1, 1]);
    let mut observed = Observed::new(&Limits::default());
    let even = chosen(&snapshot, &observed, None);
    assert!(even.values().all(|count| (1_900..2_200).contains(count)), "{even:?}");
    observed.begun(&"e0".into());
    // The busy one is taken only where both draws fall on it.
    let counts = chosen(&snapshot, &observed, None);
    assert!((900..1_150).contains(&counts["e0"]), "{counts:?}");
    observed.begun(&"e1".into());
    let counts = chosen(&snapshot, &observed, None);
    assert_eq!(counts, even, "as busy as each other, the first is taken as if nothing were known");
}

#[test]
fn how_busy_an_endpoint_is_is_a_matter_of_its_capacity() {
    let snapshot = snapshot(&[4, 1]);
    let mut observed = Observed::new(&Limits::default());
    (0..3).for_each(|_| observed.begun(&"e0".into()));
    observed.begun(&"e1".into());
    // Three of four is less than one of one: only two draws of five that fall on `e1` choose it.
    let counts = chosen(&snapshot, &observed, None);
    assert!((100..230).contains(&counts["e1"]), "{counts:?}");
}

#[test]
fn one_that_was_tried_is_avoided_while_there_is_another() {
    let observed = Observed::new(&Limits::default());
    let counts = chosen(&snapshot(&[5, 1, 1]), &observed, Some(&"e0".into()));
    assert!(!counts.contains_key("e0") && counts.len() == 2, "{counts:?}");
    assert_eq!(chosen(&snapshot(&[5, 0]), &observed, Some(&"e0".into())).len(), 1);
}

#[test]
fn an_ejected_one_is_chosen_only_where_there_is_no_other() {
    let mut observed = Observed::new(&Limits::default());
    let snapshot = snapshot(&[1, 9]);
    let key = &snapshot.services().next().unwrap().key;
    (0..3).for_each(|_| {
        observed.failed(Seen::default().now, key, &"e1".into(), 2);
    });
    let counts = chosen(&snapshot, &observed, None);
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["e0"]);
    assert_eq!(chosen(&snapshot, &observed, Some(&"e0".into())).keys().collect::<Vec<_>>(), ["e1"]);
    assert_eq!(chosen(&snapshot, &observed, Some(&"e1".into())).keys().collect::<Vec<_>>(), ["e0"]);
}
