//! Peers that mean harm: a node of the mesh that lies, and attackers with frames of their own.

use serde::{Deserialize, Serialize};

use super::{Choices, Digit, Scarcity};

/// What the node of the last pod lies about, where one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scenario) enum Tale {
    /// Resets become orderly ends.
    AbortsAsFinish,
    /// Resets carry a code that promises a stream was not processed.
    AbortsAsRefused,
    /// CONNECT is never answered.
    Answerless,
    /// DATA comes in small pieces.
    Crumbs,
    /// GOAWAY is not heeded.
    DeafToGoaway,
    /// Orderly ends become resets.
    FinishesAsReset,
    /// GOAWAY comes twice while streams are open, first with the highest number.
    Goaway,
    /// More is sent than there is credit for.
    Greedy,
    /// CONNECT comes with headers of another's.
    Headers,
    /// It shows another identity than its pod's.
    Identity,
    /// SETTINGS change in mid-stream: windows past zero and up again, limits of streams down and up.
    Settings,
    /// CONNECT asks for other targets.
    Target,
    /// No credit is given.
    Uncrediting,
}

/// What an attacker does, beside all nodes and against one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scenario) enum Attack {
    /// A header block that does not end (A3).
    Continuation,
    /// Many tunnels with a valid key, and nothing in them (A9).
    Crowd,
    /// DATA of no bytes, and of one (A5).
    Empty,
    /// A key that nobody vouches for.
    Forged,
    /// What is no TLS.
    Garbage,
    /// GOAWAY again and again, with streams open (D11).
    Goaway,
    /// Headers that claim to come from another (A24).
    Headers,
    /// What is no CONNECT (A23).
    Request,
    /// Streams that are opened and reset (A1).
    Reset,
    /// SETTINGS in mid-stream, past zero (D12).
    Settings,
    /// Connections that say nothing (A9).
    Silent,
    /// Streams that are spoilt so that we reset them (A2).
    Spoil,
    /// Targets that are nobody's business (A22).
    Target,
}

impl Choices<'_> {
    pub(super) fn tale(&mut self) -> Option<Tale> {
        let all = [
            Tale::AbortsAsFinish,
            Tale::AbortsAsRefused,
            Tale::Answerless,
            Tale::Crumbs,
            Tale::DeafToGoaway,
            Tale::FinishesAsReset,
            Tale::Goaway,
            Tale::Greedy,
            Tale::Headers,
            Tale::Identity,
            Tale::Settings,
            Tale::Target,
            Tale::Uncrediting,
        ];
        self.one_in(4).then(|| self.of(all))
    }

    /// An attack; where there is little of what one takes up, rather that one.
    pub(super) fn attack(&mut self, scarcity: Option<Scarcity>) -> Attack {
        let hits = self.one_in(2);
        match scarcity {
            Some(Scarcity::AcceptedTunnels) if hits => return Attack::Crowd,
            Some(Scarcity::Connections) if hits => return Attack::Spoil,
            Some(Scarcity::HalfOpenTunnels) if hits => return Attack::Silent,
            _ => {}
        }
        let all = [
            Attack::Continuation,
            Attack::Crowd,
            Attack::Empty,
            Attack::Forged,
            Attack::Garbage,
            Attack::Goaway,
            Attack::Headers,
            Attack::Request,
            Attack::Reset,
            Attack::Settings,
            Attack::Silent,
            Attack::Spoil,
            Attack::Target,
        ];
        self.digit_of(Digit::Attack, all)
    }
}
