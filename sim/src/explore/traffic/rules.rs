//! What must hold of callers and tunnels.

use super::step::Answer;
use super::{
    Caller, Driving, Id, LIFETIME, Life, Phase, Stage, Step, StreamNumber, Theme, Traffic, Violation, broken,
};
use crate::explore::tunnel::{Event, Frame, Role};

/// Rounds within which all is over once everybody does his part.
const ROUNDS: usize = 24;

impl<D: Driving> Traffic<D> {
    pub(super) fn open_tunnels(&self) -> Vec<Id> {
        let open = |phase| phase != Phase::Dialling;
        self.carriers.iter().filter(|carrier| open(carrier.phase)).map(|carrier| carrier.id).collect()
    }

    /// The next frame arrives; where it is a GOAWAY, what it may end is known (D11).
    pub(super) fn deliver(&mut self, id: Id, to: Role) -> Result<(), Violation> {
        let Some(carrier) = self.carrier(id) else { return Ok(()) };
        let frame = carrier.link.under_way(to).front().copied();
        let users = carrier.users.clone();
        let before: Vec<(StreamNumber, Caller)> =
            users.iter().filter_map(|(stream, id)| Some((*stream, self.caller(*id)?.clone()))).collect();
        let Some(carrier) = self.carrier(id) else { return Ok(()) };
        let events = carrier.link().deliver(to);
        let tells_of_end = events.iter().any(|event| matches!(event, Event::Closed(_)));
        match to {
            Role::Client => self.client_told(id, events)?,
            Role::Server => return self.server_told(id, events),
        }
        let drains = self.scope.theme == Theme::Drain && self.server == Life::Draining;
        if drains && tells_of_end && !before.is_empty() {
            return broken("H1: a drain ended what it was to let finish");
        }
        match frame {
            Some(Frame::GoAway { last, .. }) if !tells_of_end => self.check_goaway(id, last, &before),
            Some(_) | None => Ok(()),
        }
    }

    /// A GOAWAY spares streams up to its last; those above did nothing, and are tried once more.
    fn check_goaway(
        &self,
        tunnel: Id,
        last: StreamNumber,
        before: &[(StreamNumber, Caller)],
    ) -> Result<(), Violation> {
        for (stream, caller) in before {
            let carried = self.stream_of(caller.id) == Some((tunnel, *stream));
            if *stream <= last && !carried {
                return broken("D11: GOAWAY ended a stream that it spares");
            }
            if *stream > last && carried {
                return broken("D11: GOAWAY did not end a stream above its last");
            }
            let again = self.callers.iter().any(|other| other.id == caller.id && other.retried);
            let may = caller.stage == Stage::Opening && !caller.retried && self.own.is_some();
            if *stream > last && may && !again {
                return broken("D11: what did nothing was not tried once more");
            }
        }
        Ok(())
    }

    /// The byte stream of a tunnel breaks.
    pub(super) fn lose(&mut self, id: Id) -> Result<(), Violation> {
        let Some(carrier) = self.carrier(id) else { return Ok(()) };
        let (client, server) = carrier.link().lose();
        self.client_told(id, client)?;
        self.server_told(id, server)
    }

    pub(super) fn check_now(&self) -> Result<(), Violation> {
        let waits = self.callers.iter().any(|caller| caller.stage == Stage::Waiting);
        let takes =
            |phase: Phase, retired: bool| phase == Phase::Dialling || phase == Phase::Open && !retired;
        if waits && !self.carriers.iter().any(|carrier| takes(carrier.phase, carrier.retired)) {
            return broken("L2: one waits without a dial or a tunnel");
        }
        for caller in &self.callers {
            if (caller.stage == Stage::Waiting) == self.stream_of(caller.id).is_some() {
                return broken("L2: one is carried and waits, or neither");
            }
        }
        let known = self.carriers.iter().filter(|carrier| self.pool.knows(carrier.id)).count();
        let taking = self.carriers.iter().filter(|carrier| takes(carrier.phase, carrier.retired)).count();
        if known != taking {
            return broken("S16: the pool knows other tunnels than those that take streams");
        }
        let kept = || self.carriers.iter().filter(|c| c.phase == Phase::Open && !c.retired);
        if kept().any(|carrier| carrier.link.client.was_told_to_go()) {
            return broken("S16: a tunnel stays in the pool after GOAWAY");
        }
        if kept().any(|carrier| carrier.outdated) {
            return broken("S16: a tunnel stays in the pool under a credential that was replaced");
        }
        let all_over = self.carriers.iter().all(|carrier| carrier.phase == Phase::Over);
        if self.client == Life::Over && !(self.callers.is_empty() && all_over) {
            return broken("L7: something is left after the client's deadline");
        }
        let serving = self.carriers.iter().any(|c| c.phase != Phase::Dialling && !c.link.server.is_over());
        if self.server == Life::Over && serving {
            return broken("L7: something is left after the server's deadline");
        }
        Ok(())
    }

    /// From here, once every dial opens, every frame arrives, and every application answers and ends: nobody is left, each
    /// stream ends at both ends, and nothing is kept of anybody (L2, L3, R2).
    pub(super) fn check_settled(&self) -> Result<(), Violation> {
        let mut settled = self.clone();
        for _ in 0..ROUNDS {
            if !settled.advance()? {
                break;
            }
        }
        if !settled.callers.is_empty() {
            return broken("L2: one never ends although everybody does his part");
        }
        let ends = settled.carriers.iter().flat_map(|carrier| [&carrier.link.client, &carrier.link.server]);
        if ends.into_iter().any(|end| end.open_streams() > 0) {
            return broken("R2: a stream is left that nobody uses");
        }
        if settled.server == Life::Draining && settled.carriers.iter().any(|c| !c.link.server.is_over()) {
            return broken("L7: a drain does not end although its streams have");
        }
        Ok(())
    }

    /// Everybody does one thing; whether there was something to do.
    fn advance(&mut self) -> Result<bool, Violation> {
        let mut steps = Vec::new();
        for carrier in &self.carriers {
            let tunnel = carrier.id;
            if carrier.phase == Phase::Dialling {
                let up = self.server == Life::Serving;
                steps.push(if up {
                    Step::Open { tunnel, peer: LIFETIME }
                } else {
                    Step::DialFails { tunnel }
                });
                continue;
            }
            for to in [Role::Client, Role::Server] {
                steps.extend(carrier.link.under_way(to).iter().map(|_| Step::Deliver { tunnel, to }));
            }
            for (stream, is_owed, can_send) in carrier.link.server.served() {
                if is_owed {
                    steps.push(Step::Answer { tunnel, stream, answer: Answer::Accept });
                } else if can_send {
                    steps.push(Step::FinishApplication { tunnel, stream });
                }
            }
        }
        let relaying = |caller: &&Caller| caller.stage == Stage::Relaying && !caller.finished;
        steps.extend(self.callers.iter().filter(relaying).map(|caller| Step::Finish { caller: caller.id }));
        for step in &steps {
            self.happens(step)?;
        }
        self.tidy();
        Ok(!steps.is_empty())
    }
}
