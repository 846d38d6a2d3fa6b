//! The end of a socket whose peer may go on sending after our FIN. The kernel answers that with RST once the socket is closed,
//! and forgets what it still has for the peer: so the socket is read, and what comes is dropped, until the peer has it all.

use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

use culvert_core::time::Time;

use crate::socket::{finish_on_close, unacknowledged};

/// How long a peer has to take the last bytes.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first pause between looks at what the peer has, doubled up to the last; nothing tells of an acknowledgement.
const GLANCE_MIN: Duration = Duration::from_millis(5);
const GLANCE_MAX: Duration = Duration::from_millis(80);

struct Leaving {
    socket: TcpStream,
    look: Time,
    pause: Duration,
    until: Time,
}

/// The sockets of a worker that are being closed so.
#[derive(Default)]
pub(super) struct Lingering {
    leaving: Vec<Leaving>,
}

impl Lingering {
    /// Closes a socket after its FIN was sent, once the peer's kernel has everything, or `PATIENCE` is over.
    pub(super) fn close(&mut self, now: Time, socket: OwnedFd) {
        let _gone = finish_on_close(&socket);
        let socket = TcpStream::from(socket);
        if !drained(&socket) {
            let look = now.after(GLANCE_MIN);
            self.leaving.push(Leaving { socket, look, pause: GLANCE_MIN, until: now.after(PATIENCE) });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.leaving.is_empty()
    }

    /// When to look again.
    pub(super) fn next(&self) -> Option<Time> {
        self.leaving.iter().map(|leaving| leaving.look).min()
    }

    /// Looks at those that are due and closes those that are done.
    pub(super) fn look(&mut self, now: Time) {
        self.leaving.retain_mut(|leaving| {
            if leaving.look > now {
                return true;
            }
            leaving.pause = (leaving.pause * 2).min(GLANCE_MAX);
            leaving.look = now.after(leaving.pause);
            !drained(&leaving.socket) && now < leaving.until
        });
    }
}

/// Drops what has come. Whether the peer has everything, or is gone.
fn drained(mut socket: &TcpStream) -> bool {
    let mut scratch = [0; 16 << 10];
    // A peer that sends faster than this has to wait for others.
    for _ in 0..64 {
        match socket.read(&mut scratch) {
            Ok(1..) => {}
            Ok(0) => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(_) => return true,
        }
    }
    unacknowledged(socket).is_ok_and(|bytes| bytes == 0)
}
