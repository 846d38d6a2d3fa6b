//! What mio's events said of each socket of a worker.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Wake;

use culvert_linux::driver::Token;
use mio::event::{Event, Source};
use mio::{Interest, Registry};

/// The sockets that are registered, by mio's token.
#[derive(Debug)]
pub(crate) struct Sources {
    registry: Registry,
    places: RefCell<Places>,
}

#[derive(Debug, Default)]
struct Places {
    taken: Vec<Option<(Rc<Readiness>, Arc<Token>)>>,
    free: Vec<usize>,
}

/// One side of what is known of a socket: mio tells of changes only, so each is kept until the kernel was found to block.
#[derive(Debug, Default)]
pub(crate) struct Side {
    ready: Cell<bool>,
    /// The side has ended or broken: that stays so, and a system call tells more.
    ended: Cell<bool>,
    /// The driver was told to wait: it is woken once.
    awaited: Cell<bool>,
    /// The peer has sent urgent data: a read stops there, though there may be more.
    urgent: Cell<bool>,
}

impl Side {
    /// Whether a system call is worth a try. Where not, the driver is woken once it is.
    pub(crate) fn poll(&self) -> bool {
        let ready = self.ready.get() || self.ended.get();
        if !ready {
            self.awaited.set(true);
        }
        ready
    }

    pub(crate) fn block(&self) {
        self.ready.set(false);
    }

    /// A system call did less than it was asked for. Mostly that is all for now.
    pub(crate) fn fell_short(&self) {
        self.ready.set(self.urgent.get());
    }

    /// Notes an event; says whether somebody waits for it.
    fn note(&self, ready: bool, ended: bool) -> bool {
        self.ready.set(self.ready.get() || ready);
        self.ended.set(self.ended.get() || ended);
        (ready || ended) && self.awaited.replace(false)
    }
}

/// What is known of a socket.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    pub(crate) read: Side,
    pub(crate) write: Side,
}

/// A socket's place among the sources; it is given up with this.
#[derive(Debug)]
pub(crate) struct Place {
    index: usize,
    readiness: Rc<Readiness>,
    sources: Rc<Sources>,
}

impl Sources {
    pub(crate) fn new(registry: Registry) -> Sources {
        Sources { registry, places: RefCell::default() }
    }

    /// Registers a socket.
    pub(crate) fn add(
        self: &Rc<Self>,
        source: &mut impl Source,
        interest: Interest,
        token: &Arc<Token>,
    ) -> io::Result<Place> {
        let mut places = self.places.borrow_mut();
        let index = places.free.last().copied().unwrap_or(places.taken.len());
        self.registry.register(source, mio::Token(index), interest)?;
        let readiness = Rc::<Readiness>::default();
        let taken = Some((readiness.clone(), token.clone()));
        if places.free.pop().is_some() {
            if let Some(place) = places.taken.get_mut(index) {
                *place = taken;
            }
        } else {
            places.taken.push(taken);
        }
        Ok(Place { index, readiness, sources: self.clone() })
    }

    /// Notes an event and wakes whom it concerns.
    pub(crate) fn note(&self, event: &Event) {
        let places = self.places.borrow();
        let Some(Some((readiness, token))) = places.taken.get(event.token().0) else { return };
        if event.is_priority() {
            readiness.read.urgent.set(true);
        }
        let read = readiness.read.note(event.is_readable(), event.is_read_closed() || event.is_error());
        let write = readiness.write.note(event.is_writable(), event.is_write_closed() || event.is_error());
        if read || write {
            token.wake_by_ref();
        }
    }
}

impl Place {
    pub(crate) fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Takes the socket out of mio's hands.
    pub(crate) fn deregister(&self, source: &mut impl Source) -> io::Result<()> {
        self.sources.registry.deregister(source)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.sources.places.borrow_mut();
        if let Some(place) = places.taken.get_mut(self.index) {
            *place = None;
        }
        places.free.push(self.index);
    }
}
