//! A runtime that is as bad as a runtime may be (fault H12): it wakes too often and for nothing, says ready where nothing is, moves
//! less than it could, and says that the kernel would block where it would not, as long as it wakes afterwards. Whatever it
//! does, what applications see must stay the same.

mod counter;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::Wake;
use std::time::Duration;

use culvert_core::engine::pump::Socket;
use culvert_linux::driver::{Driver, Listen, Runtime, Stream, Token};
use culvert_linux::socket::{AcceptError, local_address};
use culvert_mio::Mio;
use culvert_smol::Smol;
use culvert_tokio::Tokio;

pub use counter::{Counter, counter_of};

/// A runtime that can turn the driver of one that wraps it.
pub trait Wrapped: Runtime {
    /// As [`Runtime::run`].
    fn drive(start: impl FnOnce(Self) -> io::Result<Driver<Restless<Self>>>) -> io::Result<()>;
}

impl Wrapped for Tokio {
    fn drive(start: impl FnOnce(Tokio) -> io::Result<Driver<Restless<Tokio>>>) -> io::Result<()> {
        culvert_tokio::drive(start)
    }
}

impl Wrapped for Smol {
    fn drive(start: impl FnOnce(Smol) -> io::Result<Driver<Restless<Smol>>>) -> io::Result<()> {
        culvert_smol::drive(start)
    }
}

impl Wrapped for Mio {
    fn drive(start: impl FnOnce(Mio) -> io::Result<Driver<Restless<Mio>>>) -> io::Result<()> {
        culvert_mio::drive(start)
    }
}

/// Tokens that are remembered, whether their sockets are still there or not.
const REMEMBERED: usize = 32;
/// The pause between wakes from another thread.
const PAUSE: Duration = Duration::from_millis(1);
/// How many of those there are: without an end, they would make good for any wake that somebody lost.
const FROM_OUTSIDE: usize = 60;

/// What decides what goes wrong next, and on whom.
#[derive(Clone)]
struct Mischief(Arc<Mutex<State>>);

struct State {
    draw: u64,
    tokens: VecDeque<Arc<Token>>,
}

impl Mischief {
    fn new() -> Mischief {
        Mischief(Arc::new(Mutex::new(State { draw: 0x9e37_79b9_7f4a_7c15, tokens: VecDeque::new() })))
    }

    /// A number below `end`.
    fn below(&self, end: usize) -> usize {
        let draw = &mut self.0.lock().unwrap().draw;
        // Xorshift: what matters is only that it has no rhythm.
        *draw ^= *draw << 13;
        *draw ^= *draw >> 7;
        *draw ^= *draw << 17;
        usize::try_from(*draw >> 16).unwrap() % end
    }

    /// Once in so many times.
    fn strikes(&self, once_in: usize) -> bool {
        self.below(once_in) == 0
    }

    fn remember(&self, token: &Arc<Token>) {
        let tokens = &mut self.0.lock().unwrap().tokens;
        tokens.push_back(token.clone());
        if tokens.len() > REMEMBERED {
            tokens.pop_front();
        }
    }

    /// Wakes one of the sockets that are, or were.
    fn wake_somebody(&self) {
        let number = self.below(REMEMBERED);
        let token = self.0.lock().unwrap().tokens.get(number).cloned();
        if let Some(token) = token {
            token.wake();
        }
    }

    /// Wakes all of them.
    fn wake_everybody(&self) {
        let tokens = self.0.lock().unwrap().tokens.clone();
        for token in tokens {
            token.wake();
        }
    }

    /// Some of what may go wrong at any time. Less than one wake comes of a wake, or there would be no end of them.
    fn stir(&self) {
        if self.strikes(16) {
            self.wake_somebody();
        }
        if self.strikes(1024) {
            self.wake_everybody();
        }
    }
}

/// Such a runtime.
pub struct Restless<R> {
    inner: R,
    mischief: Mischief,
    /// The thread that wakes from outside ends with it.
    _outside: Sender<()>,
}

impl<R: Wrapped> Restless<R> {
    fn new(inner: R) -> Restless<R> {
        let mischief = Mischief::new();
        let (outside, ended) = channel();
        let waker = mischief.clone();
        std::thread::spawn(move || {
            for _ in 0..FROM_OUTSIDE {
                if ended.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                waker.wake_somebody();
            }
        });
        Restless { inner, mischief, _outside: outside }
    }
}

impl<R: Wrapped> Runtime for Restless<R> {
    type Stream = RestlessStream<R::Stream>;
    type Listener = RestlessListener<R::Listener>;

    fn run(start: impl FnOnce(Self) -> io::Result<Driver<Self>>) -> io::Result<()> {
        R::drive(|inner| start(Restless::new(inner)))
    }

    fn stream(&mut self, socket: OwnedFd, token: &Arc<Token>) -> io::Result<Self::Stream> {
        self.mischief.remember(token);
        let counter = counter_of(local_address(&socket)?.ip());
        let inner = self.inner.stream(socket, token)?;
        Ok(RestlessStream { inner, token: token.clone(), mischief: self.mischief.clone(), counter })
    }

    fn listener(&mut self, listener: TcpListener, token: &Arc<Token>) -> io::Result<Self::Listener> {
        self.mischief.remember(token);
        let inner = self.inner.listener(listener, token)?;
        Ok(RestlessListener { inner, token: token.clone(), mischief: self.mischief.clone() })
    }
}

/// A connection on it.
pub struct RestlessStream<S> {
    inner: S,
    token: Arc<Token>,
    mischief: Mischief,
    counter: Arc<Counter>,
}

impl<S> RestlessStream<S> {
    /// Says that the kernel would block, and wakes later: now, twice.
    fn lies(&self) -> Option<io::Error> {
        self.mischief.strikes(8).then(|| {
            self.token.wake_by_ref();
            self.token.wake_by_ref();
            io::ErrorKind::WouldBlock.into()
        })
    }
}

impl<S: Socket> Socket for RestlessStream<S> {
    fn try_read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.mischief.stir();
        if let Some(lie) = self.lies() {
            return Err(lie);
        }
        let most = if self.mischief.strikes(4) { 1 + self.mischief.below(space.len()) } else { space.len() };
        let read = self.inner.try_read(&mut space[..most]);
        self.counter.read(read.as_ref().map_or(0, |len| *len));
        read
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.mischief.stir();
        self.counter.asked_to_write(slices.len());
        if let Some(lie) = self.lies() {
            return Err(lie);
        }
        if !self.mischief.strikes(4) {
            return self.inner.try_write(slices);
        }
        // A few of the slices, the last of them not whole.
        let whole = self.mischief.below(slices.len());
        let last = &slices[whole];
        let part = &last[..1 + self.mischief.below(last.len())];
        let mut fewer: Vec<IoSlice<'_>> = slices[..whole].to_vec();
        fewer.push(IoSlice::new(part));
        self.inner.try_write(&fewer)
    }
}

impl<S: AsFd> AsFd for RestlessStream<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<S: Stream> Stream for RestlessStream<S> {
    fn poll_readable(&mut self) -> bool {
        self.mischief.stir();
        self.mischief.strikes(8) || self.inner.poll_readable()
    }

    fn poll_writable(&mut self) -> bool {
        self.mischief.stir();
        self.mischief.strikes(8) || self.inner.poll_writable()
    }

    fn read_would_block(&mut self) {
        self.inner.read_would_block();
    }

    fn write_would_block(&mut self) {
        self.inner.write_would_block();
    }

    fn into_socket(self) -> io::Result<OwnedFd> {
        self.inner.into_socket()
    }
}

/// A listener on it.
pub struct RestlessListener<L> {
    inner: L,
    token: Arc<Token>,
    mischief: Mischief,
}

impl<L: Listen> Listen for RestlessListener<L> {
    fn poll_accept(&mut self) -> Result<Option<(OwnedFd, SocketAddr)>, AcceptError> {
        self.mischief.stir();
        if self.mischief.strikes(4) {
            self.token.wake_by_ref();
            return Ok(None);
        }
        self.inner.poll_accept()
    }
}
