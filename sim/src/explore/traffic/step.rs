//! The alphabet.

use std::fmt;

use super::{
    Caller, Carrier, Driving, Id, LIFETIME, Life, Phase, Stage, StreamNumber, Theme, Traffic, Violation,
};
use crate::explore::tunnel::Role;

/// What comes of dialling an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::explore) enum Answer {
    /// It is there: 200.
    Accept,
    /// It is not: 503 and the end.
    Fail,
    /// It resets: RST_STREAM.
    Abort,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::explore) enum Step {
    Age { tunnel: Id },
    Answer { tunnel: Id, stream: StreamNumber, answer: Answer },
    Come,
    Deliver { tunnel: Id, to: Role },
    DialFails { tunnel: Id },
    Drain { tunnel: Id },
    DrainClient,
    DrainServer,
    End { tunnel: Id },
    EndClient,
    EndServer,
    Finish { caller: Id },
    FinishApplication { tunnel: Id, stream: StreamNumber },
    GiveUp { caller: Id },
    Limit { tunnel: Id, streams: u8 },
    Lose { tunnel: Id },
    Open { tunnel: Id, peer: u8 },
    Rotate,
    Tick,
}

fn short(id: Id) -> u64 {
    id.0 & 0xffff_ffff
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Step::Age { tunnel } => write!(f, "the client takes tunnel {} out of use", short(tunnel)),
            Step::Answer { tunnel, stream, answer } => {
                write!(f, "the application of stream {stream} of tunnel {}: {answer:?}", short(tunnel))
            }
            Step::Come => f.write_str("a caller comes"),
            Step::Deliver { tunnel, to } => {
                write!(f, "a frame of tunnel {} reaches the {to:?}", short(tunnel))
            }
            Step::DialFails { tunnel } => write!(f, "dialling tunnel {} fails", short(tunnel)),
            Step::Drain { tunnel } => write!(f, "the server drains tunnel {}", short(tunnel)),
            Step::DrainClient => f.write_str("the client's node drains"),
            Step::DrainServer => f.write_str("the server's node drains"),
            Step::End { tunnel } => write!(f, "the server ends tunnel {}", short(tunnel)),
            Step::EndClient => f.write_str("the client's node ends"),
            Step::EndServer => f.write_str("the server's node ends"),
            Step::Finish { caller } => write!(f, "caller {} has no more to say", short(caller)),
            Step::FinishApplication { tunnel, stream } => {
                write!(f, "the application of stream {stream} of tunnel {} has no more to say", short(tunnel))
            }
            Step::GiveUp { caller } => write!(f, "caller {} gives up", short(caller)),
            Step::Limit { tunnel, streams } => {
                write!(f, "the server of tunnel {} now permits {streams} streams", short(tunnel))
            }
            Step::Lose { tunnel } => write!(f, "tunnel {} breaks", short(tunnel)),
            Step::Open { tunnel, peer } => {
                write!(f, "tunnel {} opens, its peer's credential is valid for {peer} ticks", short(tunnel))
            }
            Step::Rotate => f.write_str("the client's credential is rotated"),
            Step::Tick => f.write_str("time passes"),
        }
    }
}

impl Caller {
    fn steps(&self, steps: &mut Vec<Step>) {
        steps.push(Step::GiveUp { caller: self.id });
        if self.stage == Stage::Relaying && !self.finished {
            steps.push(Step::Finish { caller: self.id });
        }
    }
}

impl Carrier {
    fn steps(&self, theme: Theme, server: Life, steps: &mut Vec<Step>) {
        let tunnel = self.id;
        if self.phase == Phase::Dialling {
            steps.push(Step::DialFails { tunnel });
            if server == Life::Serving {
                steps.push(Step::Open { tunnel, peer: LIFETIME });
            }
            if theme == Theme::Rotation {
                steps.push(Step::Open { tunnel, peer: 0 });
            }
            return;
        }
        for to in [Role::Client, Role::Server] {
            if !self.link.under_way(to).is_empty() {
                steps.push(Step::Deliver { tunnel, to });
            }
        }
        let mut owed = false;
        for (stream, is_owed, can_send) in self.link.server.served() {
            // The order of the applications' answers decides nothing: the first that is owed one gets it.
            if is_owed && !std::mem::replace(&mut owed, true) {
                let answers = [Answer::Accept, Answer::Fail, Answer::Abort];
                let some = if theme == Theme::GoAway { 3 } else { 1 };
                steps.extend(answers.into_iter().take(some).map(|answer| Step::Answer {
                    tunnel,
                    stream,
                    answer,
                }));
            } else if !is_owed && can_send {
                steps.push(Step::FinishApplication { tunnel, stream });
            }
        }
        if self.phase == Phase::Open {
            steps.push(Step::Lose { tunnel });
            let expired = self.own.is_none() || self.peer.is_none();
            if !self.retired && (theme == Theme::GoAway || theme == Theme::Rotation && expired) {
                steps.push(Step::Age { tunnel });
            }
        }
        if theme == Theme::GoAway && !self.link.server.is_over() {
            steps.push(Step::End { tunnel });
            if !self.link.server.is_draining() {
                steps.push(Step::Drain { tunnel });
            }
            if !self.link.is_limited() {
                steps.push(Step::Limit { tunnel, streams: 1 });
            }
        }
    }
}

impl<D: Driving> Traffic<D> {
    pub(super) fn possible(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.client != Life::Over {
            steps.push(Step::Come);
            self.callers.iter().for_each(|caller| caller.steps(&mut steps));
        }
        self.carriers.iter().for_each(|carrier| carrier.steps(self.scope.theme, self.server, &mut steps));
        match self.scope.theme {
            Theme::Drain => {
                match self.server {
                    Life::Serving => steps.push(Step::DrainServer),
                    Life::Draining => steps.push(Step::EndServer),
                    Life::Over => {}
                }
                match self.client {
                    Life::Serving => steps.push(Step::DrainClient),
                    Life::Draining => steps.push(Step::EndClient),
                    Life::Over => {}
                }
            }
            Theme::GoAway => {}
            Theme::Rotation => {
                steps.push(Step::Tick);
                if self.own != Some(LIFETIME) {
                    steps.push(Step::Rotate);
                }
            }
        }
        steps
    }

    pub(super) fn happens(&mut self, step: &Step) -> Result<(), Violation> {
        match *step {
            Step::Age { tunnel } => self.retire(tunnel),
            Step::Answer { tunnel, stream, answer } => self.answer(tunnel, stream, answer),
            Step::Come => self.come(),
            Step::Deliver { tunnel, to } => self.deliver(tunnel, to),
            Step::DialFails { tunnel } => {
                self.lost(tunnel);
                Ok(())
            }
            Step::Drain { tunnel } => self.drain_tunnel(tunnel),
            Step::DrainClient => self.drain_client(),
            Step::DrainServer => self.drain_server(),
            Step::End { tunnel } => self.end_tunnel(tunnel),
            Step::EndClient => self.end_client(),
            Step::EndServer => self.end_server(),
            Step::Finish { caller } => self.finish(caller),
            Step::FinishApplication { tunnel, stream } => self.finish_application(tunnel, stream),
            Step::GiveUp { caller } => self.give_up(caller),
            Step::Limit { tunnel, streams } => {
                if let Some(carrier) = self.carrier(tunnel) {
                    carrier.link().limit(streams);
                }
                Ok(())
            }
            Step::Lose { tunnel } => self.lose(tunnel),
            Step::Open { tunnel, peer } => self.opened(tunnel, peer),
            Step::Rotate => self.rotate(),
            Step::Tick => {
                self.tick();
                Ok(())
            }
        }
    }
}
