//! Applications: they follow a script, and check every byte that they get.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

use culvert_core::proxy_protocol::Header;
use culvert_core::time::Time;
use culvert_core::worklist::Worklist;

use serde::{Deserialize, Serialize};

use super::host::Pod;
use super::network::{Network, Side, WireId};
use super::payload::{self, HEADER};

/// One end of a connection as an application holds it: a client's, or one that a server accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppId(pub(super) usize);

/// What an application does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Sends so many bytes.
    Send(u64),
    /// Sends FIN.
    Fin,
    /// Closes with RST.
    Reset,
    /// Waits until it has received so many bytes in all.
    Receive(u64),
    /// Waits for the other side's FIN.
    AwaitEnd,
    /// Waits.
    Pause(#[serde(with = "crate::scenario::seconds")] Duration),
}

/// How an application reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading {
    /// Whatever comes.
    All,
    /// Nothing, ever.
    Never,
    /// So many bytes at a time, with pauses.
    Slow(usize, #[serde(with = "crate::scenario::seconds")] Duration),
}

/// What an application does with one connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// In order, beside the reading.
    pub acts: Vec<Act>,
    /// How it reads.
    pub reading: Reading,
    /// Sends back what it receives, and FIN after it.
    pub echo: bool,
}

impl Script {
    /// Does this and reads whatever comes.
    pub fn acts(acts: &[Act]) -> Script {
        Script { acts: acts.to_vec(), reading: Reading::All, echo: false }
    }

    /// Sends so many bytes and FIN, and waits for the other side's.
    pub fn send(bytes: u64) -> Script {
        Script::acts(&[Act::Send(bytes), Act::Fin, Act::AwaitEnd])
    }

    /// Sends so many bytes and keeps the connection.
    pub fn keep(bytes: u64) -> Script {
        Script::acts(&[Act::Send(bytes)])
    }

    /// Sends back whatever it gets.
    pub fn echo() -> Script {
        Script { acts: Vec::new(), reading: Reading::All, echo: true }
    }

    /// The same with another way to read.
    pub fn reading(self, reading: Reading) -> Script {
        Script { reading, ..self }
    }
}

/// How a connection stands for an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The dial is not answered yet.
    Dialling,
    /// The dial failed.
    Refused,
    /// Bytes may come.
    Open,
    /// FIN: there is nothing more.
    Fin,
    /// RST.
    Reset,
    /// It was this application that sent RST.
    Left,
}

/// An echo holds this much at most; beyond, it stops reading.
const ECHO: usize = 64 << 10;
/// What is read and written at once.
const READ: usize = 16 << 10;
const WRITE: usize = 16 << 10;

/// Bytes of a stream from what is sent of it on, so that each is made once, however few TCP takes at a time.
#[derive(Default)]
struct Made {
    bytes: Vec<u8>,
    taken: usize,
}

#[derive(Debug)]
pub(super) struct App {
    pub(super) wire: WireId,
    pub(super) side: Side,
    /// The number of the stream that it sends.
    pub(super) stream: u64,
    pub(super) dialled: SocketAddr,
    pub(super) local: SocketAddr,
    /// The pod or machine that it runs in.
    pub(super) place: Pod,
    pub(super) started: Time,
    script: Script,
    acts: VecDeque<Act>,
    pub(super) left_to_send: u64,
    resume: Option<Time>,
    next_read: Time,
    echo: VecDeque<u8>,
    pub(super) sent: u64,
    pub(super) fin_sent: bool,
    pub(super) fin_sent_at: Option<Time>,
    pub(super) received: u64,
    head: Vec<u8>,
    pub(super) seen: Seen,
    pub(super) ended_at: Option<Time>,
    pub(super) first_byte_at: Option<Time>,
    /// What came of the header that is awaited before all else.
    awaited: Option<Vec<u8>>,
    pub(super) told: Option<Header>,
    closed: bool,
}

impl App {
    pub(super) fn new(
        wire: WireId,
        side: Side,
        stream: u64,
        script: Script,
        dialled: SocketAddr,
        local: SocketAddr,
    ) -> App {
        App {
            wire,
            side,
            stream,
            dialled,
            local,
            place: Pod(0),
            started: Time::START,
            acts: script.acts.iter().copied().collect(),
            script,
            left_to_send: 0,
            resume: None,
            next_read: Time::START,
            echo: VecDeque::new(),
            sent: 0,
            fin_sent: false,
            fin_sent_at: None,
            received: 0,
            head: Vec::new(),
            seen: if side == Side::Dialler { Seen::Dialling } else { Seen::Open },
            ended_at: None,
            first_byte_at: None,
            awaited: None,
            told: None,
            closed: false,
        }
    }

    /// The same in this pod or machine, from now on.
    pub(super) fn at(self, place: Pod, now: Time) -> App {
        App { place, started: now, ..self }
    }

    /// The same, with a header before all else.
    pub(super) fn awaits_header(self) -> App {
        App { awaited: Some(Vec::new()), ..self }
    }

    /// What is left of bytes once the header before them, if one is awaited, was taken off.
    fn after_header(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let awaited = self.awaited.as_mut()?;
        awaited.extend_from_slice(bytes);
        match Header::parse(awaited) {
            Ok(Some((header, len))) => {
                let rest = awaited.split_off(len);
                (self.told, self.awaited) = (Some(header), None);
                Some(rest)
            }
            Ok(None) => Some(Vec::new()),
            Err(fault) => panic!("E2: not the header that is due: {fault}"),
        }
    }

    /// The number of the stream that it receives, once its head is there.
    pub(super) fn hears(&self) -> Option<u64> {
        Some(u64::from_be_bytes(self.head.as_slice().try_into().ok()?))
    }

    /// Acts, reads and writes as far as it goes; says when to come back.
    pub(super) fn run(&mut self, net: &mut Network) -> Option<Time> {
        if self.closed || matches!(self.seen, Seen::Dialling | Seen::Refused) {
            return None;
        }
        let mut back = self.read(net);
        loop {
            let moved = self.write(net);
            let acted = self.act(net);
            if self.closed || !(moved || acted) {
                break;
            }
        }
        if let Some(at) = self.resume.filter(|_| !self.closed) {
            back = Some(back.map_or(at, |back: Time| back.min(at)));
        }
        self.close_if_done(net);
        back
    }

    pub(super) fn has_closed(&self) -> bool {
        self.closed
    }

    /// It holds its connection no more, and does nothing from here on.
    pub(super) fn let_go(&mut self) {
        self.closed = true;
    }

    /// Lets go of the connection with RST.
    pub(super) fn leave(&mut self, net: &mut Network) {
        if !self.closed {
            net.close(self.wire, self.side, true);
            self.closed = true;
            if matches!(self.seen, Seen::Open | Seen::Dialling) {
                self.seen = Seen::Left;
                self.ended_at = Some(net.now);
            }
        }
    }

    fn act(&mut self, net: &mut Network) -> bool {
        let Some(act) = self.acts.front().copied() else { return false };
        let done = match act {
            Act::Send(bytes) => {
                self.left_to_send += bytes;
                true
            }
            Act::Fin if self.left_to_send > 0 => false,
            Act::Fin => {
                self.send_fin(net);
                true
            }
            Act::Reset if self.left_to_send > 0 => false,
            Act::Reset => {
                self.leave(net);
                true
            }
            Act::Receive(bytes) => self.received >= bytes,
            Act::AwaitEnd => self.seen != Seen::Open,
            Act::Pause(time) => match self.resume {
                None if self.left_to_send > 0 => false,
                None => {
                    self.resume = Some(net.now.after(time));
                    false
                }
                Some(at) if at <= net.now => {
                    self.resume = None;
                    true
                }
                Some(_) => false,
            },
        };
        if done {
            self.acts.pop_front();
        }
        done
    }

    fn send_fin(&mut self, net: &mut Network) {
        if !self.fin_sent {
            self.fin_sent = true;
            self.fin_sent_at = Some(net.now);
            net.finish(self.wire, self.side);
        }
    }

    fn write(&mut self, net: &mut Network) -> bool {
        let mut moved = false;
        let mut made = Made::default();
        while !self.closed && !self.fin_sent {
            match self.offer(net, &mut made) {
                Ok(0) => break,
                Ok(len) => {
                    self.sent += len as u64;
                    if self.script.echo {
                        self.echo.drain(..len);
                    } else {
                        self.left_to_send -= len as u64;
                        made.taken += len;
                    }
                    moved = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.end(net, Seen::Reset);
                    break;
                }
            }
        }
        if self.script.echo && self.seen == Seen::Fin && self.echo.is_empty() && !self.fin_sent {
            self.send_fin(net);
        }
        moved
    }

    /// Offers TCP what comes next; how much it took, which is nothing where there is nothing to offer.
    fn offer(&self, net: &mut Network, made: &mut Made) -> io::Result<usize> {
        let room = net.room(self.wire, self.side).min(WRITE);
        if self.script.echo {
            let (front, back) = self.echo.as_slices();
            let front = &front[..front.len().min(room)];
            let back = &back[..back.len().min(room - front.len())];
            if front.is_empty() {
                return Ok(0);
            }
            return net.write(self.wire, self.side, &[IoSlice::new(front), IoSlice::new(back)]);
        }
        let len = room.min(usize::try_from(self.left_to_send).unwrap_or(usize::MAX));
        if len == 0 {
            return Ok(0);
        }
        let (there, wanted) = (made.bytes.len(), made.taken + len);
        if there < wanted {
            made.bytes.resize(wanted, 0);
            let offset = self.sent + (there - made.taken) as u64;
            payload::fill(self.stream, offset, &mut made.bytes[there..]);
        }
        net.write(self.wire, self.side, &[IoSlice::new(&made.bytes[made.taken..wanted])])
    }

    fn read(&mut self, net: &mut Network) -> Option<Time> {
        let (most, every) = match self.script.reading {
            Reading::All => (usize::MAX, None),
            Reading::Never => return None,
            Reading::Slow(..) if self.next_read > net.now => return Some(self.next_read),
            Reading::Slow(bytes, every) => (bytes, Some(every)),
        };
        let mut left = most;
        while left > 0 && self.seen == Seen::Open && self.echo.len() < ECHO {
            let mut space = net.lend(self.wire, self.side, left.min(READ));
            let result = net.read(self.wire, self.side, &mut space);
            if let Ok(len @ 1..) = result {
                self.take(net.now, &space[..len]);
            }
            net.give_back(space);
            match result {
                Ok(0) => self.end(net, Seen::Fin),
                Ok(len) => {
                    left -= len;
                    self.write(net);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.end(net, Seen::Reset),
            }
        }
        let every = every.filter(|_| left < most)?;
        self.next_read = net.now.after(every);
        Some(self.next_read)
    }

    fn take(&mut self, now: Time, bytes: &[u8]) {
        let rest = self.after_header(bytes);
        let bytes = rest.as_deref().unwrap_or(bytes);
        self.first_byte_at.get_or_insert(now);
        if self.script.echo {
            self.echo.extend(bytes);
        }
        let mut rest = bytes;
        while self.received < HEADER
            && let Some((byte, tail)) = rest.split_first()
        {
            self.head.push(*byte);
            self.received += 1;
            rest = tail;
        }
        let Some(stream) = self.hears() else { return };
        if let Some(offset) = payload::first_difference(stream, self.received, rest) {
            panic!("E2: byte {offset} of stream {stream} is another's");
        }
        self.received += rest.len() as u64;
    }

    fn end(&mut self, net: &mut Network, seen: Seen) {
        self.seen = seen;
        self.ended_at = Some(net.now);
        if seen == Seen::Reset {
            self.closed = true;
            net.close(self.wire, self.side, true);
        }
    }

    fn close_if_done(&mut self, net: &mut Network) {
        let done = self.seen == Seen::Fin && self.fin_sent;
        if done && !self.closed {
            self.closed = true;
            net.close(self.wire, self.side, false);
        }
    }
}

/// What listens at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serve {
    /// Accepts, and does this with each connection.
    Script(Script),
    /// The same, with a PROXY protocol header in front of what it gets, which says who speaks to it.
    Told(Script),
    /// Passes every dial on to another address as it is, as the gateway of a network does.
    Forward(SocketAddr),
    /// Never answers a dial.
    Silent,
}

/// All applications.
#[derive(Debug, Default)]
pub(super) struct Apps {
    pub(super) list: Vec<App>,
    pub(super) listeners: BTreeMap<SocketAddr, Serve>,
    pub(super) ready: Worklist<AppId>,
    /// Which application received a stream first; an echo brings it back to its sender.
    pub(super) heard_by: BTreeMap<u64, AppId>,
    /// Applications whose own proxy was killed: their kernel says FIN for it.
    pub(super) orphans: std::collections::BTreeSet<AppId>,
    /// Client's address and target of connections between proxies in clear, one of which was killed: its kernel says FIN.
    pub(super) severed: std::collections::BTreeSet<(std::net::IpAddr, SocketAddr)>,
    /// Streams of which no byte may reach anybody.
    pub(super) forbidden: std::collections::BTreeSet<u64>,
}
