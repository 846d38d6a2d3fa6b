//! The end of a socket whose peer may go on sending after our FIN. The kernel answers that with RST once the socket is closed,
//! and forgets what it still has for the peer: so the socket is read, and what comes is dropped, until the peer has it all.

use std::io;
use std::time::Duration;

use culvert_linux::socket::{finish_on_close, unacknowledged};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// How long a peer has to take the last bytes.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pauses between looks at what the peer has; nothing tells of an acknowledgement.
const GLANCE: Duration = Duration::from_millis(5);

/// Closes a socket after its FIN was sent, once the peer's kernel has everything, or `PATIENCE` is over.
pub(super) fn close(stream: TcpStream) {
    let _gone = finish_on_close(&stream);
    if drained(&stream) {
        return;
    }
    tokio::spawn(async move {
        let _impatient = timeout_at(Instant::now() + PATIENCE, until_taken(&stream)).await;
    });
}

async fn until_taken(stream: &TcpStream) {
    loop {
        let _glance = timeout(GLANCE, stream.readable()).await;
        if drained(stream) {
            return;
        }
    }
}

/// Drops what has come. Whether the peer has everything, or is gone.
fn drained(stream: &TcpStream) -> bool {
    let mut scratch = [0; 16 << 10];
    // A peer that sends faster than this has to wait for others.
    for _ in 0..64 {
        match stream.try_read(&mut scratch) {
            Ok(1..) => {}
            Ok(0) => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(_) => return true,
        }
    }
    unacknowledged(stream).is_ok_and(|bytes| bytes == 0)
}
