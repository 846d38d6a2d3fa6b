//! TCP as it behaves: ordered bytes in bounded buffers, partial reads and writes, FIN, RST, refused and unanswered dials.

mod path;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use culvert_core::fault::IoFault;
use culvert_core::seed::Draws;
use culvert_core::time::Time;

use super::agenda::{Agenda, Happening};
use super::app::AppId;
use super::attacker::AttackerId;
use super::node::NodeId;
use culvert_core::engine::boundary::{Origin, SocketId};
pub use path::Direction;
pub(super) use path::Paths;

/// A dial that is not answered is repeated after this; doubled each time (RFC 6298 section 2.1).
const SYN_AGAIN: Duration = Duration::from_secs(1);
/// So many times; then the kernel gives up.
const SYN_RETRIES: u32 = 6;
/// A connection on which nothing was heard is probed after this, and is lost if the other end does not know it.
pub const KEEPALIVE: Duration = Duration::from_secs(180);

/// A TCP connection of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WireId(u64);

/// One end of a connection: the one that dialled, or the one that was dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Dialler,
    Dialled,
}

impl Side {
    pub(super) fn other(self) -> Side {
        match self {
            Side::Dialler => Side::Dialled,
            Side::Dialled => Side::Dialler,
        }
    }
}

/// What travels.
#[derive(Clone, Debug)]
pub(super) enum Segment {
    Data(Vec<u8>),
    Fin,
    /// Asks whether the other end is still there; it is heard only where it is not.
    Probe,
    Reset,
}

/// Who holds an end.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Owner {
    App(AppId),
    Attacker(AttackerId),
    /// Accepted by the kernel, not yet by the process, which is stopped.
    Backlog(NodeId, Origin),
    Nobody,
    Node(NodeId, SocketId),
}

/// Who dialled: what a pod's application dials is redirected, what its proxy dials is not, and what is delivered to an
/// application in the proxy's process goes through memory, past every listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    App,
    Memory,
    Proxy,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) owner: Owner,
    /// Where it lives, whatever address it shows.
    pub(super) host: IpAddr,
    pub(super) address: SocketAddr,
    inbox: VecDeque<u8>,
    in_flight: usize,
    fin: bool,
    reset: bool,
    fin_sent: bool,
    closed: bool,
    /// Its host knows nothing of the connection any more, and has told nobody.
    forgotten: bool,
    last_arrival: Time,
    /// When the last byte towards it had been sent off.
    sent_off: Time,
    /// Bytes that have arrived, of which the sender does not know because the way back is cut.
    unacknowledged: usize,
}

impl End {
    fn new(owner: Owner, host: IpAddr, address: SocketAddr) -> End {
        End {
            owner,
            host,
            address,
            inbox: VecDeque::new(),
            in_flight: 0,
            fin: false,
            reset: false,
            fin_sent: false,
            closed: false,
            forgotten: false,
            last_arrival: Time::START,
            sent_off: Time::START,
            unacknowledged: 0,
        }
    }
}

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) via: Via,
    pub(super) target: SocketAddr,
    dialler: End,
    dialled: End,
    /// How many times the dial was repeated.
    repeated: u32,
}

impl Wire {
    /// The hosts that a segment towards `to` leaves and reaches.
    fn way(&self, to: Side) -> (IpAddr, IpAddr) {
        (self.end(to.other()).host, self.end(to).host)
    }

    pub(super) fn end(&self, side: Side) -> &End {
        match side {
            Side::Dialler => &self.dialler,
            Side::Dialled => &self.dialled,
        }
    }

    pub(super) fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Dialler => &mut self.dialler,
            Side::Dialled => &mut self.dialled,
        }
    }
}

/// All connections, and what is under way on them.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) now: Time,
    pub(super) agenda: Agenda,
    pub(super) paths: Paths,
    /// Bytes on their way to, or unread at, one end at most.
    pub(super) capacity: usize,
    /// Reads and writes move at most this much, a different part of it each time.
    pub(super) chop: Option<usize>,
    draws: Draws,
    wires: BTreeMap<WireId, Wire>,
    /// What is held back; TCP sends it again once the way is free.
    held_back: Vec<Happening>,
    /// How many times a clog was over that had held something back.
    pub(super) bursts: usize,
    /// Ends that can do something now, in no order; some are named twice.
    pub(super) woken: Vec<(WireId, Side)>,
    /// Memory for reads, lent to one at a time.
    space: Vec<u8>,
    dials: u64,
}

impl Network {
    pub(super) fn new(draws: Draws, paths: Draws) -> Network {
        Network {
            now: Time::START,
            agenda: Agenda::default(),
            paths: Paths::new(paths),
            capacity: 128 << 10,
            chop: None,
            draws,
            wires: BTreeMap::new(),
            held_back: Vec::new(),
            bursts: 0,
            woken: Vec::new(),
            space: Vec::new(),
            dials: 0,
        }
    }

    pub(super) fn wire(&self, wire: WireId) -> Option<&Wire> {
        self.wires.get(&wire)
    }

    /// Starts a connection; `route` is the host at which its SYN arrives.
    pub(super) fn dial(
        &mut self,
        via: Via,
        owner: Owner,
        host: IpAddr,
        source: IpAddr,
        target: SocketAddr,
        route: IpAddr,
    ) -> WireId {
        self.dials += 1;
        let port = 20_000 + u16::try_from(self.dials % 40_000).unwrap_or(0);
        let wire = WireId(self.dials);
        let dialler = End::new(owner, host, SocketAddr::new(source, port));
        let dialled = End::new(Owner::Nobody, route, target);
        self.wires.insert(wire, Wire { via, target, dialler, dialled, repeated: 0 });
        let at = self.now.after(self.paths.delay(host, route));
        self.agenda.put(at, Happening::Syn(wire));
        wire
    }

    /// Takes a SYN off the network; nothing where it is held back or the dialler has given up.
    pub(super) fn syn(&mut self, id: WireId) -> Option<&Wire> {
        let wire = self.wires.get(&id)?;
        if wire.dialler.closed {
            self.wires.remove(&id);
            return None;
        }
        if self.paths.is_unreachable(wire.dialler.host, wire.dialled.host) {
            self.answer(id, Err(IoFault::Unreachable));
            return None;
        }
        if self.blocked(wire, Side::Dialled) {
            self.held_back.push(Happening::Syn(id));
            return None;
        }
        self.wires.get(&id)
    }

    /// A dial is dropped at its target. It is repeated, until its kernel gives up.
    pub(super) fn drop_syn(&mut self, id: WireId) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let at = self.now.after(SYN_AGAIN * 2_u32.pow(wire.repeated));
        wire.repeated += 1;
        let what = if wire.repeated > SYN_RETRIES {
            Happening::Answer(id, Err(IoFault::TimedOut))
        } else {
            Happening::Syn(id)
        };
        self.agenda.put(at, what);
    }

    /// The dialled end is taken by `owner`.
    pub(super) fn answer(&mut self, id: WireId, result: Result<Owner, IoFault>) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let outcome = match result {
            Ok(owner) => {
                wire.dialled.owner = owner;
                Ok(())
            }
            Err(fault) => {
                wire.dialled.closed = true;
                Err(fault)
            }
        };
        let (from, to) = wire.way(Side::Dialler);
        let at = self.now.after(self.paths.delay(from, to));
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.dialler.last_arrival = at;
        }
        self.agenda.put(at, Happening::Answer(id, outcome));
    }

    /// The answer has arrived; says who dialled.
    pub(super) fn answered(
        &mut self,
        id: WireId,
        outcome: &Result<(), IoFault>,
    ) -> Option<(Owner, SocketAddr)> {
        let wire = self.wires.get(&id)?;
        // What nobody routes is told by a router on this side.
        if *outcome != Err(IoFault::Unreachable) && self.blocked(wire, Side::Dialler) {
            self.held_back.push(Happening::Answer(id, *outcome));
            return None;
        }
        if wire.dialler.closed {
            return None;
        }
        let who = (wire.dialler.owner.clone(), wire.dialler.address);
        if outcome.is_err() {
            self.wires.remove(&id);
        }
        Some(who)
    }

    pub(super) fn set_owner(&mut self, wire: WireId, side: Side, owner: Owner) {
        if let Some(wire) = self.wires.get_mut(&wire) {
            wire.end_mut(side).owner = owner;
        }
        self.woken.push((wire, side));
    }

    pub(super) fn read(&mut self, id: WireId, side: Side, space: &mut [u8]) -> io::Result<usize> {
        let most = self.chopped(space.len());
        let Some(wire) = self.wires.get_mut(&id) else { return Err(io::ErrorKind::ConnectionReset.into()) };
        let end = wire.end_mut(side);
        if end.inbox.is_empty() {
            // FIN is told before an RST that came after it, as by kernels.
            return match (end.fin, end.reset) {
                (true, _) => Ok(0),
                (false, true) => Err(io::ErrorKind::ConnectionReset.into()),
                (false, false) => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let len = most.min(end.inbox.len());
        let (front, back) = end.inbox.as_slices();
        let split = len.min(front.len());
        space[..split].copy_from_slice(&front[..split]);
        space[split..len].copy_from_slice(&back[..len - split]);
        end.inbox.drain(..len);
        // Whoever waited to write can do so now, if this is what it waited for.
        let held = end.inbox.len() + end.in_flight + end.unacknowledged;
        let (free, enough) = (self.capacity.saturating_sub(held), self.capacity / 4);
        if free >= enough && free.saturating_sub(len) < enough {
            self.woken.push((id, side.other()));
        }
        Ok(len)
    }

    /// Memory for the next read of at most so many bytes: as much as there is to read. To be given back.
    pub(super) fn lend(&mut self, id: WireId, side: Side, most: usize) -> Vec<u8> {
        let unread = self.wires.get(&id).map_or(0, |wire| wire.end(side).inbox.len());
        let mut space = std::mem::take(&mut self.space);
        space.resize(unread.clamp(1, most.max(1)), 0);
        space
    }

    pub(super) fn give_back(&mut self, space: Vec<u8>) {
        self.space = space;
    }

    pub(super) fn write(&mut self, id: WireId, side: Side, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(wire) = self.wires.get(&id) else { return Err(io::ErrorKind::ConnectionReset.into()) };
        if wire.end(side).reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        match self.space(wire.end(side.other())) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            room => Ok(self.put(id, side, slices, room)),
        }
    }

    /// Sends off a part of what there is room for.
    fn put(&mut self, id: WireId, side: Side, slices: &[IoSlice<'_>], room: usize) -> usize {
        let most = self.chopped(room);
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut bytes = Vec::with_capacity(most.min(offered));
        for slice in slices {
            bytes.extend_from_slice(slice.get(..most - bytes.len()).unwrap_or(slice));
        }
        let len = bytes.len();
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.end_mut(side.other()).in_flight += len;
        }
        self.send(id, side.other(), Segment::Data(bytes));
        if self.chop.is_some() {
            self.woken.push((id, side));
        }
        len
    }

    /// Bytes on their way to an end, or unread there.
    pub(super) fn arriving(&self, id: WireId, side: Side) -> u64 {
        self.wires.get(&id).map_or(0, |wire| (wire.end(side).inbox.len() + wire.end(side).in_flight) as u64)
    }

    /// How many bytes can be written at once.
    pub(super) fn room(&self, id: WireId, side: Side) -> usize {
        self.wires.get(&id).map_or(0, |wire| {
            if wire.end(side).reset { usize::MAX } else { self.space(wire.end(side.other())) }
        })
    }

    /// What can be written towards an end: nothing until a fair part of its buffer is free, as with kernels, which do not wake
    /// a writer for every byte that is read.
    fn space(&self, to: &End) -> usize {
        let free = self.capacity.saturating_sub(to.inbox.len() + to.in_flight + to.unacknowledged);
        if free < self.capacity / 4 { 0 } else { free }
    }

    /// Writes all of it, for which there is room.
    pub(super) fn write_whole(&mut self, id: WireId, side: Side, bytes: &[u8]) -> io::Result<()> {
        if self.wires.get(&id).is_none_or(|wire| wire.end(side).reset) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            done += self.put(id, side, &[IoSlice::new(rest)], rest.len());
        }
        Ok(())
    }

    /// Sends FIN.
    pub(super) fn finish(&mut self, id: WireId, side: Side) {
        let Some(end) = self.wires.get_mut(&id).map(|wire| wire.end_mut(side)) else { return };
        if !end.fin_sent && !end.reset {
            end.fin_sent = true;
            self.send(id, side.other(), Segment::Fin);
        }
    }

    /// Reads and drops what has come.
    pub(super) fn discard(&mut self, id: WireId, side: Side) {
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.end_mut(side).inbox.clear();
        }
    }

    /// Closes an end. What it has not read turns an orderly close into RST, as in kernels.
    pub(super) fn close(&mut self, id: WireId, side: Side, abort: bool) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let end = wire.end_mut(side);
        if end.closed {
            return;
        }
        end.closed = true;
        end.owner = Owner::Nobody;
        let unread = !end.inbox.is_empty();
        end.inbox.clear();
        if !end.reset {
            if abort || unread {
                self.send(id, side.other(), Segment::Reset);
            } else if !end.fin_sent {
                end.fin_sent = true;
                self.send(id, side.other(), Segment::Fin);
            }
        }
        self.woken.push((id, side.other()));
        self.remove_if_closed(id);
    }

    fn remove_if_closed(&mut self, id: WireId) {
        if self.wires.get(&id).is_some_and(|wire| wire.dialler.closed && wire.dialled.closed) {
            self.wires.remove(&id);
        }
    }

    /// The host of an end forgets the connection, and tells nobody: whatever arrives for it meets RST, a probe of an idle
    /// connection too.
    pub(super) fn forget(&mut self, id: WireId, side: Side) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let end = wire.end_mut(side);
        if end.closed {
            return;
        }
        (end.closed, end.forgotten, end.owner) = (true, true, Owner::Nobody);
        end.inbox.clear();
        self.agenda.put(self.now.after(KEEPALIVE), Happening::Arrive(id, side, Segment::Probe));
        self.remove_if_closed(id);
    }

    /// Something arrives.
    pub(super) fn arrive(&mut self, id: WireId, side: Side, segment: Segment) {
        let Some(wire) = self.wires.get(&id) else { return };
        if self.blocked(wire, side) {
            return self.held_back.push(Happening::Arrive(id, side, segment));
        }
        let unheard = self.blocked(wire, side.other());
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let end = wire.end_mut(side);
        match segment {
            Segment::Data(bytes) => {
                end.in_flight = end.in_flight.saturating_sub(bytes.len());
                if end.closed {
                    self.woken.push((id, side.other()));
                    return self.send(id, side.other(), Segment::Reset);
                }
                end.unacknowledged += if unheard { bytes.len() } else { 0 };
                if end.inbox.is_empty() {
                    end.inbox = bytes.into();
                } else {
                    end.inbox.extend(bytes);
                }
            }
            Segment::Fin | Segment::Probe if end.forgotten => {
                return self.send(id, side.other(), Segment::Reset);
            }
            Segment::Fin => end.fin = true,
            Segment::Probe => {}
            Segment::Reset => end.reset = true,
        }
        self.woken.push((id, side));
    }

    /// All ways are free again: what was held back arrives.
    pub(super) fn heal(&mut self) {
        self.paths.heal();
        self.release();
    }

    /// Clogs that are over by now are gone.
    pub(super) fn unclog(&mut self) {
        self.paths.unclog(self.now);
        self.bursts += usize::from(self.is_clogged());
        self.release();
    }

    /// What was held back comes again, before all else of this moment; and senders hear what has arrived.
    fn release(&mut self) {
        for happening in std::mem::take(&mut self.held_back) {
            self.agenda.put_first(self.now, happening);
        }
        for (id, wire) in &mut self.wires {
            for side in [Side::Dialler, Side::Dialled] {
                let (from, to) = wire.way(side.other());
                if wire.end(side).unacknowledged > 0 && !self.paths.blocked(from, to) {
                    wire.end_mut(side).unacknowledged = 0;
                    self.woken.push((*id, side.other()));
                }
            }
        }
    }

    /// Whether anything is held back.
    pub(super) fn is_clogged(&self) -> bool {
        !self.held_back.is_empty()
    }

    /// How many connections wait to be accepted by `node`.
    pub(super) fn backlog_of(&self, node: NodeId) -> usize {
        let waits = |wire: &&Wire| matches!(wire.dialled.owner, Owner::Backlog(owner, _) if owner == node);
        self.wires.values().filter(waits).count()
    }

    /// The connections of which one end belongs to `node`.
    pub(super) fn ends_of(&self, node: NodeId) -> Vec<(WireId, Side)> {
        let mut ends = Vec::new();
        for (id, wire) in &self.wires {
            for side in [Side::Dialler, Side::Dialled] {
                match wire.end(side).owner {
                    Owner::Node(owner, _) | Owner::Backlog(owner, _) if owner == node => {
                        ends.push((*id, side))
                    }
                    Owner::App(_)
                    | Owner::Attacker(_)
                    | Owner::Backlog(..)
                    | Owner::Node(..)
                    | Owner::Nobody => {}
                }
            }
        }
        ends
    }

    fn send(&mut self, id: WireId, to: Side, segment: Segment) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let (from, host) = wire.way(to);
        let bytes = if let Segment::Data(bytes) = &segment { bytes.len() } else { 0 };
        let end = wire.end_mut(to);
        end.sent_off = self.now.max(end.sent_off).after(self.paths.sending(from, host, bytes));
        let at = end.sent_off.after(self.paths.delay(from, host)).max(end.last_arrival);
        end.last_arrival = at;
        self.agenda.put(at, Happening::Arrive(id, to, segment));
    }

    fn blocked(&self, wire: &Wire, to: Side) -> bool {
        let (from, to) = wire.way(to);
        self.paths.blocked(from, to)
    }

    fn chopped(&mut self, most: usize) -> usize {
        let Some(limit) = self.chop else { return most };
        let draw = usize::try_from(self.draws.next_u64() % (limit as u64)).unwrap_or(0) + 1;
        most.min(draw)
    }
}
