//! What the client's engine makes of what happens: the rules of the shipped one, on the shipped pool.

use std::sync::Arc;

use culvert_core::hbone::mux::{CONNECT_ERROR, MuxRefusal, ResetCause};
use culvert_core::hbone::pool::Acquired;

use super::{
    BOUNDS, Caller, Carrier, Driving, Id, LIFETIME, Life, Link, Phase, Stage, StreamNumber, Traffic,
    Violation, broken,
};
use crate::explore::tunnel::{Event, Role};

impl<D: Driving> Traffic<D> {
    /// A connection comes.
    pub(super) fn come(&mut self) -> Result<(), Violation> {
        let id = self.caller_ids.next(0);
        let stage = Stage::Waiting;
        self.callers.push(Caller {
            id,
            stage,
            retried: false,
            tries: 0,
            dialled: 0,
            finished: false,
            ended: false,
        });
        self.acquire(id)
    }

    pub(super) fn acquire(&mut self, caller: Id) -> Result<(), Violation> {
        match self.pool().acquire(&(), caller) {
            Acquired::Tunnel(tunnel) => self.open_stream(caller, tunnel),
            Acquired::Full => {
                self.callers.retain(|other| other.id != caller);
                Ok(())
            }
            Acquired::Waiting => {
                if let Some(caller) = self.caller(caller) {
                    caller.stage = Stage::Waiting;
                }
                self.dial();
                Ok(())
            }
        }
    }

    /// Starts the dials that those who wait justify; under a credential that is past its end there is none.
    pub(super) fn dial(&mut self) {
        for _ in 0..self.pool.dials_wanted(&()) {
            if self.own.is_none() {
                let told = self.pool().hopeless(&());
                self.callers.retain(|caller| !told.contains(&caller.id));
                return;
            }
            let id = self.carrier_ids.next(1);
            self.pool().dialling(&(), id);
            self.carriers.push(Carrier {
                id,
                phase: Phase::Dialling,
                link: Arc::new(Link::new(BOUNDS)),
                users: Vec::new(),
                retired: false,
                room: 0,
                own: self.own,
                peer: None,
                outdated: false,
            });
        }
    }

    /// A dialled tunnel is there.
    pub(super) fn opened(&mut self, id: Id, peer: u8) -> Result<(), Violation> {
        if let Some(carrier) = self.carrier(id) {
            carrier.phase = Phase::Open;
            carrier.peer = Some(peer);
        }
        self.turn(id)
    }

    /// Sends CONNECT for a caller.
    fn open_stream(&mut self, caller: Id, tunnel: Id) -> Result<(), Violation> {
        let driving = self.driving.clone();
        let cap = self.scope.limits.streams_per_tunnel;
        let Some(carrier) = self.carrier(tunnel) else {
            return broken("S16: a stream on a tunnel that is gone");
        };
        if driving.expired(carrier.own, carrier.peer) {
            self.retire(tunnel)?;
            return self.acquire(caller);
        }
        if carrier.own.is_none() || carrier.peer.is_none() {
            return broken("S9: a stream on a tunnel whose credentials are past their end");
        }
        if carrier.retired {
            return broken("S16: a stream on a tunnel that was retired");
        }
        let stream = match carrier.link().act(Role::Client, |end, effects| end.connect(effects)).0 {
            Ok(stream) if usize::from(carrier.link.client.open_streams()) <= cap => stream,
            Ok(_) => return broken("S16: more streams than the own cap permits"),
            // It was not known yet that it takes no more.
            Err(MuxRefusal::Closing) => {
                self.retire(tunnel)?;
                return self.acquire(caller);
            }
            Err(_) => return broken("S16: a stream where the peer takes none"),
        };
        carrier.users.push((stream, caller));
        carrier.room = carrier.room.saturating_sub(1);
        if let Some(caller) = self.caller(caller) {
            caller.stage = Stage::Opening;
            caller.tries += 1;
            if caller.tries > 2 {
                return broken("D11: one was tried a third time");
            }
        }
        Ok(())
    }

    /// The end of a turn: tells the pool what a tunnel has room for.
    pub(super) fn turn(&mut self, id: Id) -> Result<(), Violation> {
        let (cap, driving) = (self.scope.limits.streams_per_tunnel, self.driving.clone());
        let Some(carrier) = self.carrier(id).filter(|carrier| carrier.phase == Phase::Open) else {
            return Ok(());
        };
        let client = &carrier.link.client;
        if carrier.retired {
            if carrier.users.is_empty() && client.open_streams() == 0 {
                self.shut(id);
            }
            return Ok(());
        }
        let own = cap.saturating_sub(usize::from(client.open_streams()));
        let room = driving.room(own.min(usize::from(client.room())));
        if room == carrier.room && room != 0 {
            return Ok(());
        }
        carrier.room = room;
        for caller in self.pool().has_room(id, room) {
            self.open_stream(caller, id)?;
        }
        self.dial();
        // One that was dialled before a drain or a rotation has served those that waited for it.
        let outdated = self.carrier(id).is_some_and(|carrier| carrier.outdated);
        if self.client == Life::Draining || outdated && driving.retires_at_rotation() {
            return self.retire(id);
        }
        Ok(())
    }

    /// The tunnel takes no new streams and ends with its last.
    pub(super) fn retire(&mut self, id: Id) -> Result<(), Violation> {
        let Some(carrier) = self.carrier(id).filter(|c| c.phase == Phase::Open && !c.retired) else {
            return Ok(());
        };
        carrier.retired = true;
        let empty = carrier.users.is_empty() && carrier.link.client.open_streams() == 0;
        self.leave_pool(id);
        self.dial();
        if empty {
            self.shut(id);
        }
        Ok(())
    }

    fn leave_pool(&mut self, id: Id) {
        if self.pool.knows(id) {
            self.pool().retired(id);
        }
    }

    /// Ends a tunnel that carries nothing.
    fn shut(&mut self, id: Id) {
        self.leave_pool(id);
        self.close(id);
    }

    fn close(&mut self, id: Id) {
        if let Some(carrier) = self.carrier(id) {
            carrier.phase = Phase::Over;
            let _told = carrier.link().act(Role::Client, |end, effects| end.abrupt_shutdown(0, effects));
        }
    }

    /// The tunnel is lost, in whatever phase.
    pub(super) fn lost(&mut self, id: Id) {
        let tells = self.driving.tells_of_loss();
        let Some(carrier) = self.carrier(id) else { return };
        let users = std::mem::take(&mut carrier.users);
        let mut told: Vec<Id> = users.iter().map(|(_, caller)| *caller).filter(|_| tells).collect();
        let was = std::mem::replace(&mut carrier.phase, Phase::Over);
        match was {
            Phase::Dialling => told.extend(self.pool().failed(id)),
            Phase::Open => self.leave_pool(id),
            Phase::Over => {}
        }
        if was == Phase::Dialling {
            self.carriers.retain(|carrier| carrier.id != id);
        } else {
            self.close(id);
        }
        self.callers.retain(|caller| !told.contains(&caller.id));
        self.dial();
    }

    /// What the client's end of a tunnel told.
    pub(super) fn client_told(&mut self, id: Id, events: Vec<Event>) -> Result<(), Violation> {
        for event in events {
            let stream = event.stream().unwrap_or_default();
            let user = self.carrier(id).and_then(|carrier| carrier.user_of(stream));
            match event {
                Event::Closed(_) | Event::Drained => self.tunnel_ended(id, event == Event::Drained),
                Event::Data { .. } | Event::Request { .. } | Event::PeerSettings { .. } => {}
                Event::Writable { .. } => {}
                Event::End { .. } => self.heard_end(id, user),
                Event::GoAway { .. } => {
                    if self.driving.retires_at_goaway() {
                        self.retire(id)?;
                    }
                }
                Event::Reset { cause, .. } => {
                    let Some(user) = user else { continue };
                    let state = self.caller(user).map(|c| (c.stage == Stage::Opening, c.retried));
                    let Some((unanswered, retried)) = state else { continue };
                    if self.driving.retries(cause, unanswered, retried) {
                        self.forget(id, user);
                        if let Some(caller) = self.caller(user) {
                            caller.retried = true;
                        }
                        self.acquire(user)?;
                    } else if cause != ResetCause::Tunnel {
                        // A tunnel that is lost is told of in what follows.
                        self.forget(id, user);
                        self.callers.retain(|caller| caller.id != user);
                    }
                }
                Event::Response { end, .. } => match self.caller_of(user) {
                    Some(caller) if !end => caller.stage = Stage::Relaying,
                    Some(_) => self.refused(id, user),
                    None => {}
                },
            }
        }
        self.turn(id)
    }

    fn caller_of(&mut self, user: Option<Id>) -> Option<&mut Caller> {
        user.and_then(|user| self.caller(user))
    }

    /// An answer other than 200: the caller fails, and the stream is of no use.
    fn refused(&mut self, id: Id, user: Option<Id>) {
        if let Some(user) = user {
            self.give_up_stream(id, user);
            self.callers.retain(|caller| caller.id != user);
        }
    }

    fn heard_end(&mut self, id: Id, user: Option<Id>) {
        let Some(caller) = self.caller_of(user) else { return };
        caller.ended = true;
        let (done, caller) = (caller.finished, caller.id);
        if done {
            self.forget(id, caller);
            self.callers.retain(|other| other.id != caller);
        }
    }

    fn tunnel_ended(&mut self, id: Id, in_order: bool) {
        let idle = self.carrier(id).is_some_and(|carrier| carrier.users.is_empty());
        if in_order && idle { self.shut(id) } else { self.lost(id) }
    }

    fn forget(&mut self, id: Id, caller: Id) {
        if let Some(carrier) = self.carrier(id) {
            carrier.users.retain(|(_, user)| *user != caller);
        }
    }

    fn give_up_stream(&mut self, id: Id, caller: Id) {
        let Some(carrier) = self.carrier(id) else { return };
        let stream = carrier.users.iter().find(|(_, user)| *user == caller).map(|(stream, _)| *stream);
        if let Some(stream) = stream {
            let code = CONNECT_ERROR as u8;
            let _told = carrier.link().act(Role::Client, |end, effects| end.reset(stream, code, effects));
        }
        self.forget(id, caller);
    }

    /// A caller's application resets its connection.
    pub(super) fn give_up(&mut self, caller: Id) -> Result<(), Violation> {
        self.callers.retain(|other| other.id != caller);
        match self.stream_of(caller) {
            None => {
                self.pool().cancelled(caller);
                Ok(())
            }
            Some((tunnel, _)) => {
                self.give_up_stream(tunnel, caller);
                self.turn(tunnel)
            }
        }
    }

    /// A caller's application has nothing more to say.
    pub(super) fn finish(&mut self, caller: Id) -> Result<(), Violation> {
        let Some((tunnel, stream)) = self.stream_of(caller) else { return Ok(()) };
        let events = match self.carrier(tunnel) {
            Some(carrier) => carrier.link().act(Role::Client, |end, effects| end.finish(stream, effects)).1,
            None => Vec::new(),
        };
        let Some(entry) = self.caller(caller) else { return Ok(()) };
        entry.finished = true;
        if entry.ended {
            self.callers.retain(|other| other.id != caller);
            self.forget(tunnel, caller);
        }
        self.client_told(tunnel, events)
    }

    /// Our credential is replaced.
    pub(super) fn rotate(&mut self) -> Result<(), Violation> {
        self.own = Some(LIFETIME);
        self.carriers.iter_mut().for_each(|carrier| carrier.outdated = true);
        if !self.driving.retires_at_rotation() {
            return Ok(());
        }
        let all: Vec<Id> = self.carriers.iter().map(|carrier| carrier.id).collect();
        all.into_iter().try_for_each(|id| self.retire(id))
    }

    /// Time passes: what was valid for no more than this tick is past its end.
    pub(super) fn tick(&mut self) {
        let less = |left: Option<u8>| left.and_then(|left| left.checked_sub(1));
        self.own = less(self.own);
        for carrier in &mut self.carriers {
            let over = carrier.phase == Phase::Over;
            carrier.own = if over { None } else { less(carrier.own) };
            carrier.peer = if over { None } else { less(carrier.peer) };
        }
    }

    /// The client's node drains: open tunnels take no more streams; those who come are served by tunnels that then retire.
    pub(super) fn drain_client(&mut self) -> Result<(), Violation> {
        self.client = Life::Draining;
        let all: Vec<Id> = self.carriers.iter().map(|carrier| carrier.id).collect();
        all.into_iter().try_for_each(|id| self.retire(id))
    }

    /// The client's deadline: every caller fails and every tunnel ends.
    pub(super) fn end_client(&mut self) -> Result<(), Violation> {
        self.client = Life::Over;
        for caller in self.callers.iter().map(|caller| caller.id).collect::<Vec<Id>>() {
            self.give_up(caller)?;
        }
        for id in self.carriers.iter().map(|carrier| carrier.id).collect::<Vec<Id>>() {
            self.lost(id);
        }
        Ok(())
    }
}

impl Carrier {
    /// The tunnel, to change it.
    pub(super) fn link(&mut self) -> &mut Link {
        Arc::make_mut(&mut self.link)
    }

    fn user_of(&self, stream: StreamNumber) -> Option<Id> {
        self.users.iter().find(|(number, _)| *number == stream).map(|(_, caller)| *caller)
    }
}
