//! Applications as programs with real sockets, which do what the simulator's do by the same scripts.

mod record;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use culvert_linux::socket::abort_on_close;
use culvert_sim::world::{Act, Reading, Script, Seen, fill_payload};
use culvert_spec_tests::testbed::PATIENCE;
use socket2::SockRef;

pub use record::{Record, Records, server_of};

/// The bytes that say whose a stream is.
const HEADER: usize = 8;
/// An echo holds this much at most; beyond, it stops reading.
const ECHO: usize = 1 << 20;
/// Bytes that one system call moves at most.
const MOST: usize = 256 << 10;

/// Where it is the question how far a sender is ahead, the buffers that a program's socket has in the kernel each way: what the
/// kernel would take of itself is more than a node ever does.
const BUFFER: usize = 128 << 10;

/// Makes the kernel's buffers of a program's socket small; those of a listener are inherited.
pub fn bound_buffers(socket: impl AsFd) {
    let fd = socket.as_fd();
    let socket = SockRef::from(&fd);
    socket.set_send_buffer_size(BUFFER).unwrap();
    socket.set_recv_buffer_size(BUFFER).unwrap();
}

/// One application, which has one connection.
pub struct Program {
    records: Records,
    number: usize,
    stream: TcpStream,
    script: Script,
    acts: VecDeque<Act>,
    most: usize,
    left_to_send: u64,
    resume: Option<Instant>,
    next_read: Instant,
    echo: VecDeque<u8>,
    head: Vec<u8>,
    sent: u64,
    fin_sent: bool,
    received: u64,
    seen: Seen,
    closed: bool,
    write_blocked: bool,
}

impl Program {
    /// Has a connection that is open from the program's point of view; its record has this number.
    pub fn new(
        records: &Records,
        number: usize,
        stream: TcpStream,
        script: &Script,
        chop: Option<usize>,
    ) -> Program {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        Program {
            records: records.clone(),
            number,
            stream,
            acts: script.acts.iter().copied().collect(),
            script: script.clone(),
            most: chop.unwrap_or(MOST).min(MOST),
            left_to_send: 0,
            resume: None,
            next_read: Instant::now(),
            echo: VecDeque::new(),
            head: Vec::new(),
            sent: 0,
            fin_sent: false,
            received: 0,
            seen: Seen::Open,
            closed: false,
            write_blocked: false,
        }
    }

    /// Does all that the script says, until the connection is over.
    pub fn run(mut self) {
        let until = Instant::now() + PATIENCE;
        while !self.closed {
            self.read();
            loop {
                let moved = self.write();
                let acted = self.act();
                if self.closed || !(moved || acted) {
                    break;
                }
            }
            if self.seen == Seen::Fin && self.fin_sent {
                self.closed = true;
            }
            if !self.closed && Instant::now() >= until {
                let why = format!("it does not end: {:?} are left", self.acts);
                self.records.complain(self.number, why);
                self.closed = true;
            }
            if !self.closed {
                self.wait(until);
            }
        }
        // Its descriptor first: who hears that it is over may look for what that does.
        let Program { records, number, stream, .. } = self;
        drop(stream);
        records.change(number, |record| record.over = true);
    }

    fn stream_number(&self) -> u64 {
        self.number as u64 + 1
    }

    fn act(&mut self) -> bool {
        let Some(act) = self.acts.front().copied() else { return false };
        let is_sent = self.left_to_send == 0;
        let done = match act {
            Act::Send(bytes) => {
                self.left_to_send += bytes;
                true
            }
            Act::Fin => is_sent && self.send_fin(),
            Act::Reset => is_sent && self.leave(),
            Act::Receive(bytes) => self.received >= bytes,
            Act::AwaitEnd => self.seen != Seen::Open,
            Act::Pause(time) => match self.resume {
                None => {
                    self.resume = is_sent.then(|| Instant::now() + time);
                    false
                }
                Some(at) => {
                    let over = at <= Instant::now();
                    self.resume = self.resume.filter(|_| !over);
                    over
                }
            },
        };
        if done {
            self.acts.pop_front();
        }
        done
    }

    fn send_fin(&mut self) -> bool {
        if !self.fin_sent {
            self.fin_sent = true;
            let _gone = self.stream.shutdown(std::net::Shutdown::Write);
        }
        true
    }

    fn leave(&mut self) -> bool {
        abort_on_close(&self.stream).unwrap();
        self.end(Seen::Left);
        true
    }

    fn end(&mut self, seen: Seen) {
        if self.seen == Seen::Open {
            self.seen = seen;
            self.records.change(self.number, |record| record.seen = seen);
        }
        self.closed |= seen != Seen::Fin;
    }

    fn write(&mut self) -> bool {
        let mut moved = false;
        let mut bytes = Vec::new();
        self.write_blocked = false;
        while !self.closed && !self.fin_sent {
            if self.script.echo {
                bytes.clear();
                bytes.extend(self.echo.iter().copied().take(self.most));
            } else {
                let len = self.most.min(usize::try_from(self.left_to_send).unwrap());
                bytes.resize(len, 0);
                fill_payload(self.stream_number(), self.sent, &mut bytes);
            }
            if bytes.is_empty() {
                break;
            }
            match (&self.stream).write(&bytes) {
                Ok(len) => {
                    self.sent += len as u64;
                    if self.script.echo {
                        self.echo.drain(..len);
                    } else {
                        self.left_to_send -= len as u64;
                    }
                    moved = true;
                    self.records.has_sent(self.number, self.sent);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.write_blocked = true;
                    break;
                }
                Err(_) => self.end(Seen::Reset),
            }
        }
        if self.script.echo && self.seen == Seen::Fin && self.echo.is_empty() {
            self.send_fin();
        }
        moved
    }

    fn read(&mut self) {
        let (most, every) = match self.script.reading {
            Reading::All => (usize::MAX, None),
            Reading::Never => return,
            Reading::Slow(..) if self.next_read > Instant::now() => return,
            Reading::Slow(bytes, every) => (bytes, Some(every)),
        };
        let mut left = most;
        let mut space = vec![0; MOST];
        while left > 0 && self.seen == Seen::Open && self.echo.len() < ECHO {
            let room = left.min(self.most);
            match (&self.stream).read(&mut space[..room]) {
                Ok(0) => self.end(Seen::Fin),
                Ok(len) => {
                    left -= len;
                    self.take(&space[..len]);
                    self.write();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.end(Seen::Reset),
            }
        }
        if let Some(every) = every.filter(|_| left < most) {
            self.next_read = Instant::now() + every;
        }
    }

    /// Checks what has come: every byte says whose it is, and where it belongs.
    fn take(&mut self, bytes: &[u8]) {
        if self.script.echo {
            self.echo.extend(bytes);
        }
        let head = bytes.len().min(HEADER - self.head.len());
        self.head.extend_from_slice(&bytes[..head]);
        let begun = self.received + head as u64;
        self.received += bytes.len() as u64;
        let hears = self.head.as_slice().try_into().ok().map(u64::from_be_bytes);
        if let Some(stream) = hears {
            let mut expected = vec![0; bytes.len() - head];
            fill_payload(stream, begun, &mut expected);
            if bytes[head..] != expected {
                self.records
                    .complain(self.number, format!("after byte {begun} of stream {stream} comes another's"));
                self.closed = true;
            }
        }
        let received = self.received;
        self.records.change(self.number, |record| (record.received, record.hears) = (received, hears));
    }

    /// Waits until the kernel has something, or the script goes on.
    fn wait(&self, until: Instant) {
        let slow = matches!(self.script.reading, Reading::Slow(..)) && self.next_read > Instant::now();
        let reads =
            self.seen == Seen::Open && self.script.reading != Reading::Never && self.echo.len() < ECHO;
        let mut events = if reads && !slow { libc::POLLIN } else { 0 };
        if self.write_blocked {
            events |= libc::POLLOUT;
        }
        let next = [Some(until), self.resume, slow.then_some(self.next_read)];
        let left = next.into_iter().flatten().min().unwrap().saturating_duration_since(Instant::now());
        wait_for(&self.stream, events, left);
    }
}

/// Waits until one of these events is there, or the time is over. Where no event is wanted none interrupts.
fn wait_for(socket: impl AsFd, events: i16, time: Duration) {
    let fd = if events == 0 { -1 } else { socket.as_fd().as_raw_fd() };
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    let millis = i32::try_from(time.as_micros().div_ceil(1000)).unwrap();
    // SAFETY: the one entry lives as long as the call, which writes nothing else.
    unsafe { libc::poll(&mut entry, 1, millis) };
}
