use super::*;

#[test]
fn the_model_does_what_the_mux_does() {
    let played = play(0, 2_000).unwrap_or_else(|difference| panic!("they differ:\n{difference}"));
    assert_eq!(played.never_seen(), [""; 0], "{played:?}");
}

/// Plays until a model differs from the mux; the seed at which it does.
fn first_difference<P: Pair>(model: impl Fn(Bounds) -> P) -> Option<u64> {
    (0..2_000).find(|seed| play_one(&bytes_of(*seed), &mut Played::default(), &model).is_err())
}

#[test]
fn a_model_of_other_bounds_is_found_out() {
    let others: [fn(Bounds) -> Bounds; 4] = [
        |bounds| Bounds { window: bounds.window + 1, ..bounds },
        |bounds| Bounds { high: bounds.high + 1, ..bounds },
        |bounds| Bounds { low: bounds.low + 1, ..bounds },
        |bounds| Bounds { streams: bounds.streams + 1, ..bounds },
    ];
    for (index, other) in others.into_iter().enumerate() {
        assert!(first_difference(|bounds| Link::new(other(bounds))).is_some(), "bound {index}");
    }
}

/// A model that does one thing wrongly.
struct Wrong {
    link: Link,
    fault: Fault,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    CutsWhatGoAwaySpares,
    ForgetsQueueAtEnd,
    LosesTruncation,
    NoSecondGoAway,
    RefusedIsReset,
}

impl Pair for Wrong {
    fn apply(&mut self, step: Step) -> Outcome {
        let step = match (self.fault, step) {
            (Fault::ForgetsQueueAtEnd, Step::ResetLater { role, stream }) => {
                Step::Reset { role, stream, code: CONNECT_ERROR as u8 }
            }
            (Fault::LosesTruncation, Step::Lose) => Step::Abort { role: Role::Client, code: 0 },
            (Fault::CutsWhatGoAwaySpares, Step::Drain { role }) => Step::Abort { role, code: 0 },
            (Fault::NoSecondGoAway, Step::Drain { role: Role::Server }) => Step::Drain { role: Role::Client },
            (_, step) => step,
        };
        let mut outcome = self.link.apply(step);
        if let Fault::RefusedIsReset = self.fault {
            for event in outcome.told.iter_mut().flatten() {
                if let Event::Reset { cause, .. } = event
                    && *cause == ResetCause::Refused
                {
                    *cause = ResetCause::Peer { code: REFUSED_STREAM };
                }
            }
        }
        outcome
    }
}

#[test]
fn a_model_that_does_one_thing_wrongly_is_found_out() {
    let faults = [
        Fault::CutsWhatGoAwaySpares,
        Fault::ForgetsQueueAtEnd,
        Fault::LosesTruncation,
        Fault::NoSecondGoAway,
        Fault::RefusedIsReset,
    ];
    for fault in faults {
        assert!(first_difference(|bounds| Wrong { link: Link::new(bounds), fault }).is_some(), "{fault:?}");
    }
}
