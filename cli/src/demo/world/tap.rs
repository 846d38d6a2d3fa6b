//! A relay in the place of a wire: passes a connection on as it is, and looks for canaries in what passes.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use socket2::{Domain, SockRef, Socket, Type};

use crate::demo::canary::Canary;

const CHUNK_BYTES: usize = 64 * 1024;

/// How often each canary has passed any of the taps that share this.
pub(super) struct Watch {
    canaries: Vec<(Canary, AtomicU64)>,
}

impl Watch {
    pub(super) fn for_canaries(canaries: impl IntoIterator<Item = Canary>) -> Watch {
        Watch { canaries: canaries.into_iter().map(|canary| (canary, AtomicU64::new(0))).collect() }
    }

    /// `None` for a canary that nobody looks for.
    pub(super) fn seen(&self, canary: &Canary) -> Option<u64> {
        let found = self.canaries.iter().find(|(known, _)| known == canary);
        found.map(|(_, count)| count.load(Ordering::Relaxed))
    }
}

/// Looks for one canary in a stream of chunks, also where it is cut.
struct Search<'a> {
    canary: &'a Canary,
    /// The end of what has passed, one byte too short to hold a canary.
    tail: Vec<u8>,
}

impl Search<'_> {
    fn feed(&mut self, chunk: &[u8]) -> u64 {
        let reach = self.canary.as_bytes().len().saturating_sub(1);
        let head = chunk.get(..reach.min(chunk.len())).unwrap_or_default();
        self.tail.extend_from_slice(head);
        // Neither part is long enough for a whole canary, so what is found here was cut.
        let found = self.canary.count(&self.tail) + self.canary.count(chunk);
        if head.len() < chunk.len() {
            self.tail.clear();
            self.tail.extend_from_slice(chunk.get(chunk.len() - reach..).unwrap_or_default());
        } else {
            self.tail.drain(..self.tail.len().saturating_sub(reach));
        }
        found
    }
}

/// A listener whose connections are passed on; dropping it ends the listening, and connections end with their ends.
pub(super) struct Tap {
    listener: Arc<TcpListener>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    /// Passes what connects to `listen` on to `target`, from the address that the client has.
    pub(super) fn open(listen: SocketAddr, target: SocketAddr, watch: Arc<Watch>) -> io::Result<Tap> {
        let listener = Arc::new(TcpListener::bind(listen)?);
        let accepting = listener.clone();
        let thread = thread::Builder::new().name("tap".into()).spawn(move || {
            while let Ok((client, peer)) = accepting.accept() {
                let watch = watch.clone();
                // Without a thread the connection is dropped, which its client sees.
                let _dropped = thread::Builder::new()
                    .name("wire".into())
                    .spawn(move || connect(peer.ip(), target).map(|server| pass(&client, &server, &watch)));
            }
        })?;
        Ok(Tap { listener, thread: Some(thread) })
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // A thread that waits in accept sees an error then.
        let _closed = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn connect(source: IpAddr, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect(&target.into())?;
    Ok(socket.into())
}

/// Relays until both halves are closed, or either side breaks.
fn pass(client: &TcpStream, server: &TcpStream, watch: &Watch) {
    for stream in [client, server] {
        let _slower = stream.set_nodelay(true);
    }
    thread::scope(|scope| {
        scope.spawn(|| copy(client, server, watch));
        copy(server, client, watch);
    });
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, watch: &Watch) {
    let search = |(canary, _): &'_ (Canary, AtomicU64)| canary.clone();
    let canaries: Vec<Canary> = watch.canaries.iter().map(search).collect();
    let mut searches: Vec<Search<'_>> =
        canaries.iter().map(|canary| Search { canary, tail: Vec::new() }).collect();
    let mut space = vec![0; CHUNK_BYTES];
    loop {
        let count = match from.read(&mut space) {
            Ok(0) => return drop(to.shutdown(Shutdown::Write)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let chunk = space.get(..count).unwrap_or_default();
        for (search, (_, found)) in searches.iter_mut().zip(&watch.canaries) {
            found.fetch_add(search.feed(chunk), Ordering::Relaxed);
        }
        if to.write_all(chunk).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        // A side that is gone needs no ending.
        let _gone = stream.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    quickcheck::quickcheck! {
        fn cuts_hide_nothing(cuts: Vec<u8>, gaps: Vec<u8>) -> bool {
            let canary = Canary::mesh(3);
            let mut stream = Vec::new();
            for gap in &gaps {
                stream.extend(std::iter::repeat_n(b'c', usize::from(gap % 40)));
                stream.extend_from_slice(canary.as_bytes());
            }
            let mut search = Search { canary: &canary, tail: Vec::new() };
            let (mut rest, mut found) = (stream.as_slice(), 0);
            for cut in cuts {
                let (chunk, later) = rest.split_at(usize::from(cut).min(rest.len()));
                found += search.feed(chunk);
                rest = later;
            }
            found + search.feed(rest) == gaps.len() as u64
        }
    }

    #[test]
    fn a_connection_passes_both_ways_and_is_watched() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = TcpListener::bind(any).unwrap();
        let watch = Arc::new(Watch::for_canaries([Canary::mesh(1), Canary::passthrough(1)]));
        let tap = Tap::open(any, server.local_addr().unwrap(), watch.clone()).unwrap();
        let mut client = TcpStream::connect(tap.listener.local_addr().unwrap()).unwrap();
        client.write_all(Canary::passthrough(1).as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let (mut served, peer) = server.accept().unwrap();
        assert_eq!(peer.ip(), client.local_addr().unwrap().ip());
        let mut text = Vec::new();
        served.read_to_end(&mut text).unwrap();
        served.write_all(&text).unwrap();
        drop(served);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, Canary::passthrough(1).as_bytes());
        assert_eq!(watch.seen(&Canary::passthrough(1)), Some(2));
        assert_eq!(watch.seen(&Canary::mesh(1)), Some(0));
        assert_eq!(watch.seen(&Canary::mesh(2)), None);
        let address = tap.listener.local_addr().unwrap();
        drop(tap);
        assert!(TcpStream::connect(address).is_err());
    }
}
