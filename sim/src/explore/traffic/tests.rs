use super::*;
use crate::explore::explore;

/// What an engine may do wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fault {
    EndsTunnelsToDrain,
    KeepsAtGoAway,
    KeepsAtRotation,
    NeverRetries,
    OneRoomMore,
    OutlivesCredentials,
    RetriesAny,
    RetriesForEver,
    TellsNobodyOfLoss,
}

impl Driving for Fault {
    fn retries(&self, cause: ResetCause, unanswered: bool, retried: bool) -> bool {
        match self {
            Fault::NeverRetries => false,
            Fault::RetriesAny => unanswered && !retried,
            Fault::RetriesForEver => cause == ResetCause::Refused && unanswered,
            _ => Shipped.retries(cause, unanswered, retried),
        }
    }

    fn expired(&self, own: Option<u8>, peer: Option<u8>) -> bool {
        *self != Fault::OutlivesCredentials && Shipped.expired(own, peer)
    }

    fn room(&self, room: usize) -> usize {
        room + usize::from(*self == Fault::OneRoomMore)
    }

    fn retires_at_goaway(&self) -> bool {
        *self != Fault::KeepsAtGoAway
    }

    fn retires_at_rotation(&self) -> bool {
        *self != Fault::KeepsAtRotation
    }

    fn tells_of_loss(&self) -> bool {
        *self != Fault::TellsNobodyOfLoss
    }

    fn drains_in_order(&self) -> bool {
        *self != Fault::EndsTunnelsToDrain
    }
}

#[test]
fn each_fault_is_found_by_a_shortest_path() {
    let faults = [
        (Theme::Drain, Fault::EndsTunnelsToDrain, 4, "H1: a drain ended what it was to let finish"),
        (Theme::GoAway, Fault::KeepsAtGoAway, 4, "S16: a tunnel stays in the pool after GOAWAY"),
        (
            Theme::Rotation,
            Fault::KeepsAtRotation,
            4,
            "S16: a tunnel stays in the pool under a credential that was replaced",
        ),
        (Theme::GoAway, Fault::NeverRetries, 3, "D11: what did nothing was not tried once more"),
        (Theme::GoAway, Fault::OneRoomMore, 4, "S16: a stream where the peer takes none"),
        (
            Theme::Rotation,
            Fault::OutlivesCredentials,
            4,
            "S9: a stream on a tunnel whose credentials are past their end",
        ),
        (Theme::GoAway, Fault::RetriesAny, 4, "S17: two applications were dialled for one connection"),
        (Theme::GoAway, Fault::RetriesForEver, 6, "D11: one was tried a third time"),
        (Theme::GoAway, Fault::TellsNobodyOfLoss, 3, "L2: one is carried and waits, or neither"),
    ];
    for (theme, fault, length, rule) in faults {
        let found = explore(Traffic::new(Scope::new(theme, 2, 2), fault), 8).counterexample.unwrap();
        assert_eq!((found.path.len(), found.violation.0.as_str()), (length, rule), "{fault:?}");
    }
}

#[test]
fn no_order_of_events_breaks_the_shipped_decisions() {
    for theme in [Theme::Drain, Theme::GoAway, Theme::Rotation] {
        let found = explore(Traffic::new(Scope::new(theme, 2, 2), Shipped), 10);
        assert!(found.counterexample.is_none(), "{theme:?}: {:?}", found.counterexample);
        assert!(found.states > 3_000 && found.depth == 10, "{theme:?}: {} states", found.states);
    }
}
