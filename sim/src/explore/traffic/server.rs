//! The servers' ends of the tunnels, and the applications behind them.

use culvert_core::hbone::mux::CONNECT_ERROR;

use super::step::Answer;
use super::{Driving, Id, Life, StreamNumber, Traffic, Violation, broken};
use crate::explore::tunnel::{Effects, End, Event, Role};

impl<D: Driving> Traffic<D> {
    /// What the server's end of a tunnel told.
    pub(super) fn server_told(&mut self, id: Id, events: Vec<Event>) -> Result<(), Violation> {
        for event in events {
            match event {
                Event::Request { stream } => self.requested(id, stream)?,
                // The client takes the tunnel back: it ends with its streams.
                Event::GoAway { .. } => self.drain_tunnel(id)?,
                Event::Closed(_)
                | Event::Data { .. }
                | Event::Drained
                | Event::End { .. }
                | Event::PeerSettings { .. }
                | Event::Reset { .. }
                | Event::Response { .. }
                | Event::Writable { .. } => {}
            }
        }
        Ok(())
    }

    /// A request dials its application.
    fn requested(&mut self, id: Id, stream: StreamNumber) -> Result<(), Violation> {
        let user =
            self.carrier(id).and_then(|carrier| carrier.users.iter().find(|user| user.0 == stream).copied());
        let Some(caller) = user.and_then(|(_, caller)| self.caller(caller)) else { return Ok(()) };
        caller.dialled += 1;
        if caller.dialled > 1 {
            return broken("S17: two applications were dialled for one connection");
        }
        Ok(())
    }

    /// The server's engine does something.
    fn serve(&mut self, id: Id, what: impl FnOnce(&mut End, &mut Effects)) -> Result<(), Violation> {
        let Some(carrier) = self.carrier(id) else { return Ok(()) };
        let ((), events) = carrier.link().act(Role::Server, what);
        self.server_told(id, events)
    }

    /// The application is there, or not.
    pub(super) fn answer(&mut self, id: Id, stream: StreamNumber, answer: Answer) -> Result<(), Violation> {
        self.serve(id, |end, effects| match answer {
            Answer::Accept => _ = end.respond(stream, false, effects),
            Answer::Fail => _ = end.respond(stream, true, effects),
            Answer::Abort => end.reset(stream, CONNECT_ERROR as u8, effects),
        })
    }

    /// The application has nothing more to say.
    pub(super) fn finish_application(&mut self, id: Id, stream: StreamNumber) -> Result<(), Violation> {
        self.serve(id, |end, effects| _ = end.finish(stream, effects))
    }

    /// The server takes no more streams on this tunnel.
    pub(super) fn drain_tunnel(&mut self, id: Id) -> Result<(), Violation> {
        let in_order = self.driving.drains_in_order();
        self.serve(id, |end, effects| match in_order {
            true => end.graceful_shutdown(effects),
            false => end.abrupt_shutdown(0, effects),
        })
    }

    /// The server ends this tunnel with GOAWAY.
    pub(super) fn end_tunnel(&mut self, id: Id) -> Result<(), Violation> {
        self.serve(id, |end, effects| end.abrupt_shutdown(0, effects))
    }

    /// The server's node drains.
    pub(super) fn drain_server(&mut self) -> Result<(), Violation> {
        self.server = Life::Draining;
        let open: Vec<Id> = self.open_tunnels();
        open.into_iter().try_for_each(|id| self.drain_tunnel(id))
    }

    /// Its deadline: all that is left ends.
    pub(super) fn end_server(&mut self) -> Result<(), Violation> {
        self.server = Life::Over;
        let open: Vec<Id> = self.open_tunnels();
        open.into_iter().try_for_each(|id| self.end_tunnel(id))
    }
}
