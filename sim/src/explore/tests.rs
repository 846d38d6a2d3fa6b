use super::*;

/// Counts to a bound that may be too far.
#[derive(Clone, Hash)]
struct Counter {
    at: usize,
    scope: usize,
    forbidden: usize,
}

impl Machine for Counter {
    type Step = usize;

    fn steps(&self) -> Vec<usize> {
        vec![1, 2]
    }

    fn apply(&mut self, step: &usize) -> Result<(), Violation> {
        self.at += step;
        Ok(())
    }

    fn in_scope(&self) -> bool {
        self.at <= self.scope
    }

    fn check(&self) -> Result<(), Violation> {
        if self.at == self.forbidden { Err(Violation("forbidden".to_owned())) } else { Ok(()) }
    }
}

#[test]
fn each_state_is_counted_once_and_the_scope_exhausted() {
    let found = explore(Counter { at: 0, scope: 9, forbidden: 100 }, 20);
    assert_eq!((found.states, found.transitions, found.depth, found.complete), (10, 20, 5, true));
    let found = explore(Counter { at: 0, scope: 9, forbidden: 100 }, 3);
    assert_eq!((found.states, found.depth, found.complete), (7, 3, false));
}

/// More states than a batch has, in a plane, some of them forbidden.
#[derive(Clone, Hash)]
struct Plane {
    x: u16,
    y: u16,
    forbidden: u16,
}

impl Machine for Plane {
    type Step = usize;

    fn steps(&self) -> Vec<usize> {
        vec![0, 1, 2]
    }

    fn apply(&mut self, step: &usize) -> Result<(), Violation> {
        match step {
            0 => self.x += 1,
            1 => self.y += 1,
            _ => (self.x, self.y) = (self.y, self.x),
        }
        Ok(())
    }

    fn in_scope(&self) -> bool {
        self.x < 200 && self.y < 200
    }

    fn check(&self) -> Result<(), Violation> {
        if self.x == self.forbidden { Err(Violation(format!("at {}", self.y))) } else { Ok(()) }
    }
}

#[test]
fn the_number_of_threads_decides_nothing() {
    for (forbidden, states) in [(u16::MAX, usize::MAX), (u16::MAX, 10_000), (150, usize::MAX)] {
        let outcomes = [1, 2, 3].map(|jobs| {
            let bounds = Bounds { depth: 1_000, states, jobs: NonZeroUsize::new(jobs) };
            let found = explore(Plane { x: 0, y: 0, forbidden }, bounds);
            let counterexample = found.counterexample.map(|found| (found.path, found.violation));
            (found.states, found.transitions, found.depth, found.complete, counterexample)
        });
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
        let (seen, _, _, complete, violation) = &outcomes[0];
        assert_eq!(
            (*complete, violation.is_some()),
            (states == usize::MAX && forbidden > 200, forbidden == 150)
        );
        assert!(forbidden == 150 || *seen == 40_000.min(*seen.max(&states)), "{seen} states");
    }
}

#[test]
fn the_path_to_a_violation_is_a_shortest_one() {
    let found = explore(Counter { at: 0, scope: 9, forbidden: 7 }, 20).counterexample.unwrap();
    assert_eq!(found.path.len(), 4);
    assert_eq!(found.path.iter().sum::<usize>(), 7);
}

#[test]
fn a_report_tells_the_path_to_a_violation() {
    let found = explore(Counter { at: 0, scope: 9, forbidden: 3 }, 20);
    let mut text = Vec::new();
    let summary = report("counter", &found, &mut text).unwrap();
    assert_eq!(summary.violation, Some(Violation("forbidden".to_owned())));
    let told = "counter: 3 states, 4 transitions, depth 1, deeper states not seen\nviolation: forbidden\n  1. 1\n  2. 2\n";
    assert_eq!(String::from_utf8(text).unwrap(), told);
}

#[test]
fn a_run_prints_states_and_depth() {
    for machine in MACHINES {
        let mut text = Vec::new();
        let summary = run(machine.name, 2, &mut text).unwrap();
        assert_eq!(summary.violation, None);
        let line = format!(
            "{}: {} states, {} transitions, depth 2, deeper states not seen\n",
            machine.name, summary.states, summary.transitions
        );
        assert_eq!(String::from_utf8(text).unwrap(), line);
    }
    assert!(matches!(run("pond", 1, &mut Vec::new()), Err(RunError::Unknown(_))));
}
