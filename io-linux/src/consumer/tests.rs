use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::pipe::ROOM;
use super::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A waker, and how often it was woken since it was last asked.
fn counted() -> (Waker, impl Fn() -> usize) {
    let count = Arc::<Count>::default();
    (Waker::from(count.clone()), move || count.0.swap(0, Ordering::Relaxed))
}

fn write(end: &End, bytes: &[u8], waker: &Waker) -> io::Result<usize> {
    end.write(&[IoSlice::new(bytes)], waker)
}

fn kind(outcome: io::Result<usize>) -> io::ErrorKind {
    outcome.unwrap_err().kind()
}

#[test]
fn bytes_and_fin_arrive_in_order_and_the_other_way_goes_on() {
    let (waker, woken) = counted();
    let (one, other) = connection();
    let mut space = [0; 16];
    assert_eq!(kind(other.read(&mut space, &waker)), io::ErrorKind::WouldBlock);
    assert_eq!(one.write(&[IoSlice::new(b"he"), IoSlice::new(b"llo")], &waker).unwrap(), 5);
    assert_eq!(woken(), 1);
    one.finish();
    assert_eq!(other.read(&mut space, &waker).unwrap(), 5);
    assert_eq!(&space[..5], b"hello");
    assert_eq!(other.read(&mut space, &waker).unwrap(), 0);
    assert_eq!(write(&other, b"bye", &waker).unwrap(), 3);
    assert_eq!(one.read(&mut space, &waker).unwrap(), 3);
    assert_eq!(kind(write(&one, b"more", &waker)), io::ErrorKind::BrokenPipe);
}

#[test]
fn a_full_lane_blocks_until_somebody_reads() {
    let (waker, woken) = counted();
    let (one, other) = connection();
    assert_eq!(write(&one, &vec![7; ROOM + 1], &waker).unwrap(), ROOM);
    assert_eq!(kind(write(&one, b"x", &waker)), io::ErrorKind::WouldBlock);
    assert!(!one.poll_writable(&waker));
    let mut space = vec![0; ROOM];
    assert_eq!((other.read(&mut space, &waker).unwrap(), woken()), (ROOM, 1));
    assert!(one.poll_writable(&waker));
}

#[test]
fn an_end_that_is_dropped_unfinished_resets_the_other() {
    let (waker, woken) = counted();
    let (one, other) = connection();
    write(&one, b"part", &waker).unwrap();
    assert!(!one.poll_readable(&waker));
    assert!(other.poll_readable(&waker));
    drop(one);
    assert_eq!(kind(other.read(&mut [0; 4], &waker)), io::ErrorKind::ConnectionReset);
    assert_eq!(kind(write(&other, b"x", &waker)), io::ErrorKind::ConnectionReset);
    let _quiet = woken();
    let (one, other) = connection();
    assert!(!other.poll_readable(&waker));
    drop(one);
    assert_eq!(woken(), 1);
}

#[test]
fn an_end_that_is_dropped_after_fin_leaves_what_it_said() {
    let (waker, woken) = counted();
    let (one, other) = connection();
    write(&one, b"all", &waker).unwrap();
    write(&other, &vec![0; ROOM], &waker).unwrap();
    assert!(!other.poll_writable(&waker));
    one.finish();
    drop(one);
    assert_eq!(woken(), 1);
    let mut space = [0; 8];
    assert_eq!(other.read(&mut space, &waker).unwrap(), 3);
    assert_eq!(other.read(&mut space, &waker).unwrap(), 0);
    assert_eq!(kind(write(&other, b"x", &waker)), io::ErrorKind::BrokenPipe);
}

fn offered(backlog: &Backlog) -> (End, bool) {
    let (ours, theirs) = connection();
    let source: SocketAddr = "192.0.2.1:9".parse().unwrap();
    let target = Authority::Ip("192.0.2.2:80".parse().unwrap());
    (ours, backlog.offer(Connection::delivered(theirs, None, source, target)))
}

#[test]
fn a_backlog_refuses_beyond_its_room_and_ends_with_its_node() {
    let (waker, woken) = counted();
    let (backlog, mut incoming) = backlog(1);
    assert!(incoming.poll_accept(&waker).is_pending());
    let (_first, taken) = offered(&backlog);
    assert!(taken && woken() == 1);
    let (refused, taken) = offered(&backlog);
    assert!(!taken);
    assert_eq!(kind(refused.read(&mut [0; 1], &waker)), io::ErrorKind::ConnectionReset);
    assert!(matches!(incoming.poll_accept(&waker), Poll::Ready(Some(_))));
    assert!(incoming.poll_accept(&waker).is_pending());
    drop(backlog.clone());
    assert!(incoming.poll_accept(&waker).is_pending());
    drop(backlog);
    assert!(woken() >= 1);
    assert!(matches!(incoming.poll_accept(&waker), Poll::Ready(None)));
}

#[test]
fn nobody_takes_what_is_offered_once_the_application_is_gone() {
    let (waker, _) = counted();
    let (backlog, incoming) = backlog(8);
    let (waiting, taken) = offered(&backlog);
    assert!(taken);
    drop(incoming);
    assert_eq!(kind(waiting.read(&mut [0; 1], &waker)), io::ErrorKind::ConnectionReset);
    assert!(!offered(&backlog).1);
}
