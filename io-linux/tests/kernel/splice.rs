//! Relaying in the kernel: nothing is lost, reordered, or held without bound.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;

use culvert_linux::socket;
use culvert_linux::splice::{Direction, Interest, PipePool, Side, SpliceError, SplicePair, Step};

use crate::sandbox::ready;

const BUDGET: u64 = 256 * 1024;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (dialled, listener.accept().unwrap().0)
}

/// A client and a server with a relay's two sockets between them.
struct Scene {
    client: TcpStream,
    a: TcpStream,
    b: TcpStream,
    server: TcpStream,
}

impl Scene {
    fn new() -> Self {
        let ((client, a), (b, server)) = (pair(), pair());
        a.set_nonblocking(true).unwrap();
        b.set_nonblocking(true).unwrap();
        Self { client, a, b, server }
    }
}

/// Waits until one of the wanted things is so.
fn wait(a: (&TcpStream, Interest), b: (&TcpStream, Interest)) {
    let mut entries = [a, b].map(|(socket, interest)| {
        let events =
            if interest.read { libc::POLLIN } else { 0 } | if interest.write { libc::POLLOUT } else { 0 };
        // A socket that nothing is wanted of would still report its end, again and again.
        let fd = if events == 0 { -1 } else { socket.as_raw_fd() };
        libc::pollfd { fd, events, revents: 0 }
    });
    // SAFETY: two entries, and they outlive the call.
    assert!(unsafe { libc::poll(entries.as_mut_ptr(), 2, 10_000) } > 0, "the relay is stuck");
}

/// Relays until both directions are finished or one fails.
fn relay(a: &TcpStream, b: &TcpStream, pool: &mut PipePool) -> Result<SplicePair, SpliceError> {
    let mut pair = SplicePair::default();
    while !pair.is_finished() {
        let forward = pair.drive(Direction::Forward, a, b, pool, BUDGET)?;
        let backward = pair.drive(Direction::Backward, a, b, pool, BUDGET)?;
        for (step, target) in [(forward, b), (backward, a)] {
            if step == Step::Finished {
                socket::shutdown_write(target).unwrap();
            }
        }
        if forward != Step::Ready && backward != Step::Ready && !pair.is_finished() {
            wait((a, pair.interest(Side::A)), (b, pair.interest(Side::B)));
        }
    }
    Ok(pair)
}

/// An endless supply of bytes that do not repeat soon.
struct Bytes(u64);

impl Bytes {
    fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            chunk.copy_from_slice(&self.0.to_ne_bytes()[..chunk.len()]);
        }
    }
}

fn send(mut socket: &TcpStream, seed: u64, total: usize) {
    let (mut bytes, mut buffer) = (Bytes(seed), vec![0; 64 * 1024]);
    for _ in 0..total / buffer.len() {
        bytes.fill(&mut buffer);
        socket.write_all(&buffer).unwrap();
    }
    socket.shutdown(Shutdown::Write).unwrap();
}

fn expect(mut socket: &TcpStream, seed: u64, total: usize) {
    let (mut bytes, mut wanted, mut got) = (Bytes(seed), vec![0; 64 * 1024], vec![0; 64 * 1024]);
    for block in 0..total / got.len() {
        bytes.fill(&mut wanted);
        socket.read_exact(&mut got).unwrap();
        assert!(got == wanted, "block {block} differs");
    }
    assert_eq!(socket.read(&mut got).unwrap(), 0);
}

#[test]
fn sixty_four_mebibytes_each_way_arrive_as_sent() {
    const TOTAL: usize = 64 << 20;
    let scene = Scene::new();
    let mut pool = PipePool::new(4);
    thread::scope(|scope| {
        scope.spawn(|| send(&scene.client, 1, TOTAL));
        scope.spawn(|| send(&scene.server, 2, TOTAL));
        scope.spawn(|| expect(&scene.client, 2, TOTAL));
        scope.spawn(|| expect(&scene.server, 1, TOTAL));
        let pair = relay(&scene.a, &scene.b, &mut pool).unwrap();
        for direction in [Direction::Forward, Direction::Backward] {
            assert_eq!(pair.direction(direction).moved(), TOTAL as u64);
        }
    });
    assert!(pool.kept() > 0);
}

#[test]
fn each_direction_ends_on_its_own() {
    for flip in [false, true] {
        let scene = Scene::new();
        let (mut first, mut second) = (&scene.client, &scene.server);
        if flip {
            std::mem::swap(&mut first, &mut second);
        }
        thread::scope(|scope| {
            let relay = scope.spawn(|| relay(&scene.a, &scene.b, &mut PipePool::new(0)).map(drop));
            let mut got = Vec::new();
            first.write_all(b"request").unwrap();
            first.shutdown(Shutdown::Write).unwrap();
            second.read_to_end(&mut got).unwrap();
            assert_eq!(got, b"request");
            second.write_all(b"answer").unwrap();
            second.shutdown(Shutdown::Write).unwrap();
            got.clear();
            first.read_to_end(&mut got).unwrap();
            assert_eq!(got, b"answer");
            relay.join().unwrap().unwrap();
        });
    }
}

#[test]
fn a_reset_is_told_with_its_side() {
    let mut pool = PipePool::new(1);
    let Scene { client, a, b, server } = Scene::new();
    socket::abort(client.into()).unwrap();
    assert!(ready(&a, libc::POLLIN));
    let outcome = SplicePair::default().drive(Direction::Forward, &a, &b, &mut pool, BUDGET);
    assert!(
        matches!(&outcome, Err(SpliceError::Source(e)) if e.kind() == io::ErrorKind::ConnectionReset),
        "{outcome:?}"
    );
    assert_eq!(pool.kept(), 1, "an empty pipe is given back");
    drop(server);

    let Scene { mut client, a, b, server } = Scene::new();
    socket::abort(server.into()).unwrap();
    assert!(ready(&b, libc::POLLIN));
    client.write_all(b"into the void").unwrap();
    assert!(ready(&a, libc::POLLIN));
    let mut pair = SplicePair::default();
    let outcome = pair.drive(Direction::Forward, &a, &b, &mut pool, BUDGET);
    assert!(matches!(outcome, Err(SpliceError::Target(_))), "{outcome:?}");
    assert_eq!(pair.direction(Direction::Forward).moved(), 0);
    assert_eq!(pool.kept(), 0, "a pipe with bytes in it is not");
}

#[test]
fn bytes_before_a_reset_are_passed_on() {
    let Scene { mut client, a, b, server } = Scene::new();
    let (mut pair, mut pool) = (SplicePair::default(), PipePool::new(1));
    client.write_all(b"last words").unwrap();
    assert!(ready(&a, libc::POLLIN));
    assert_eq!(pair.drive(Direction::Forward, &a, &b, &mut pool, BUDGET).unwrap(), Step::BlockedOnRead);
    socket::abort(client.into()).unwrap();
    assert!(ready(&a, libc::POLLIN));
    assert!(pair.drive(Direction::Forward, &a, &b, &mut pool, BUDGET).is_err());
    let mut got = [0; 10];
    (&server).read_exact(&mut got).unwrap();
    assert_eq!(&got, b"last words");
}

#[test]
fn a_reader_that_does_not_read_stops_the_sender() {
    let scene = Scene::new();
    let (mut pair, mut pool) = (SplicePair::default(), PipePool::new(4));
    scene.client.set_nonblocking(true).unwrap();
    let block = vec![7; 64 * 1024];
    let mut sent = 0usize;
    // Until the sender is blocked although the relay can do nothing more.
    loop {
        let written = match (&scene.client).write(&block) {
            Ok(length) => length,
            Err(full) => {
                assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
                0
            }
        };
        sent += written;
        let before = pair.direction(Direction::Forward).moved();
        let step = pair.drive(Direction::Forward, &scene.a, &scene.b, &mut pool, BUDGET).unwrap();
        let stuck = pair.direction(Direction::Forward).moved() == before && step == Step::BlockedOnWrite;
        if written == 0 && stuck && !writable_soon(&scene.client) {
            break;
        }
    }
    let held = pair.direction(Direction::Forward).held();
    assert!(held > 0 && held <= 1 << 20, "{held}");
    assert_eq!(pair.interest(Side::A), Interest::default());
    assert_eq!(pair.interest(Side::B), Interest { read: false, write: true });
    assert_eq!(pool.kept(), 0);

    // Once somebody reads, every byte that was sent arrives, and the pipe is given back.
    scene.client.shutdown(Shutdown::Write).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| io::copy(&mut &scene.server, &mut io::sink()).unwrap());
        loop {
            match pair.drive(Direction::Forward, &scene.a, &scene.b, &mut pool, BUDGET).unwrap() {
                Step::Finished => break socket::shutdown_write(&scene.b).unwrap(),
                Step::Ready => {}
                _ => wait((&scene.a, pair.interest(Side::A)), (&scene.b, pair.interest(Side::B))),
            }
        }
        assert_eq!(reader.join().unwrap(), sent as u64);
    });
    assert_eq!(pool.kept(), 1);
}

/// Whether the socket can be written to within a tenth of a second.
fn writable_soon(socket: &TcpStream) -> bool {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one entry, and it outlives the call.
    unsafe { libc::poll(&raw mut poll, 1, 100) == 1 }
}

#[test]
fn a_budget_gives_others_their_turn() {
    let scene = Scene::new();
    let (mut pair, mut pool) = (SplicePair::default(), PipePool::new(1));
    (&scene.client).write_all(&[1; 1000]).unwrap();
    assert!(ready(&scene.a, libc::POLLIN));
    assert_eq!(pair.drive(Direction::Forward, &scene.a, &scene.b, &mut pool, 1).unwrap(), Step::Ready);
    assert!(pair.direction(Direction::Forward).moved() >= 1);
    let step = loop {
        match pair.drive(Direction::Forward, &scene.a, &scene.b, &mut pool, 1).unwrap() {
            Step::Ready => {}
            step => break step,
        }
    };
    assert_eq!((step, pair.direction(Direction::Forward).moved()), (Step::BlockedOnRead, 1000));
}

/// Sends urgent data: what comes before and behind its mark are bytes of the stream as any others.
fn urge(stream: &TcpStream, byte: u8) {
    // SAFETY: one byte, which outlives the call.
    let sent = unsafe { libc::send(stream.as_raw_fd(), (&raw const byte).cast(), 1, libc::MSG_OOB) };
    assert_eq!(sent, 1, "{}", io::Error::last_os_error());
}

#[test]
fn what_stands_behind_urgent_data_is_not_taken_for_the_end() {
    let scene = Scene::new();
    let Scene { mut client, a, b, server } = scene;
    client.write_all(b"before").unwrap();
    urge(&client, b'!');
    client.write_all(b"behind").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    let outcome = relay(&a, &b, &mut PipePool::new(1)).map(drop);
    assert!(matches!(outcome, Err(SpliceError::Urgent)), "{outcome:?}");
    // Reading passes the mark, and all of it has come.
    let mut rest = Vec::new();
    (&a).read_to_end(&mut rest).unwrap();
    drop(b);
    let mut heard = Vec::new();
    (&server).read_to_end(&mut heard).unwrap();
    assert_eq!((heard.as_slice(), rest.as_slice()), (b"before".as_slice(), b"behind".as_slice()));
}
