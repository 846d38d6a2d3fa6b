//! The application that the benchmark talks to, and a link with a delay.
//!
//! A connection says with its first byte what it wants, see [`Wish`].

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes read or written at once.
pub(super) const CHUNK: usize = 256 << 10;
/// Pieces that a delayed link holds: 64 MiB, more than any window that is measured.
const LINK_PIECES: usize = 1024;
/// Bytes in one such piece.
const LINK_PIECE: usize = 64 << 10;

/// Bytes that the server has given since it started.
static GIVEN: AtomicU64 = AtomicU64::new(0);

/// Bytes that were given to readers so far, all connections: while it stands still, every reader stalls.
pub(super) fn given() -> u64 {
    GIVEN.load(Ordering::Relaxed)
}

/// What a connection wants of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Bytes back as they come.
    Echo,
    /// Bytes taken and dropped; after FIN their number, 8 bytes.
    Take,
    /// Bytes for so many milliseconds, given in 4 bytes, then FIN.
    Give,
}

impl Wish {
    /// The first byte of the connection.
    pub(super) fn byte(self) -> u8 {
        match self {
            Wish::Echo => b'e',
            Wish::Take => b't',
            Wish::Give => b'g',
        }
    }

    fn from_byte(byte: u8) -> Option<Wish> {
        [Wish::Echo, Wish::Take, Wish::Give].into_iter().find(|wish| wish.byte() == byte)
    }
}

/// Starts the server on a thread of its own; it ends with the process.
pub(super) fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("0.0.0.0:0")?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    thread::Builder::new().name("server".into()).spawn(move || {
        runtime.block_on(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            loop {
                // A connection that was reset before it was taken is its client's business.
                let Ok((stream, _)) = listener.accept().await else { continue };
                let _nodelay = stream.set_nodelay(true);
                // How a connection ends is told by its client.
                tokio::spawn(async move {
                    let _ended = serve(stream).await;
                });
            }
        });
    })?;
    Ok(address)
}

async fn serve(mut stream: tokio::net::TcpStream) -> io::Result<()> {
    match Wish::from_byte(stream.read_u8().await?) {
        Some(Wish::Echo) => echo(stream).await,
        Some(Wish::Take) => {
            let mut space = vec![0; CHUNK];
            let mut total = 0_u64;
            loop {
                match stream.read(&mut space).await? {
                    0 => return stream.write_u64(total).await,
                    len => total += len as u64,
                }
            }
        }
        Some(Wish::Give) => {
            let until = Instant::now() + Duration::from_millis(stream.read_u32().await?.into());
            let bytes = vec![b'g'; CHUNK];
            while Instant::now() < until {
                let len = stream.write(&bytes).await?;
                GIVEN.fetch_add(len as u64, Ordering::Relaxed);
            }
            stream.shutdown().await
        }
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

async fn echo(mut stream: tokio::net::TcpStream) -> io::Result<()> {
    // Idle connections are many: each holds little.
    let mut space = [0; 4 << 10];
    loop {
        match stream.read(&mut space).await? {
            0 => return stream.shutdown().await,
            len => stream.write_all(space.get(..len).unwrap_or_default()).await?,
        }
    }
}

/// Takes connections at `listen` and carries their bytes to `target` and back, each direction `delay` late.
///
/// Like a long link without loss: whatever is sent arrives in order and later; only what is above TCP feels the delay.
pub(super) fn start_link(listen: SocketAddr, target: SocketAddr, delay: Duration) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen)?;
    let address = listener.local_addr()?;
    thread::Builder::new().name("link".into()).spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(target) else { continue };
            // Without threads the connection closes, and its client reports that.
            let _refused = join(near, far, delay);
        }
    })?;
    Ok(address)
}

fn join(near: TcpStream, far: TcpStream, delay: Duration) -> io::Result<()> {
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    for (from, to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
        let (sender, pieces) = sync_channel(LINK_PIECES);
        thread::Builder::new().name("link-in".into()).spawn(move || take(from, &sender, delay))?;
        thread::Builder::new().name("link-out".into()).spawn(move || give(to, &pieces))?;
    }
    Ok(())
}

fn take(mut from: TcpStream, pieces: &SyncSender<(Instant, Vec<u8>)>, delay: Duration) {
    loop {
        let mut piece = vec![0; LINK_PIECE];
        let Ok(len @ 1..) = from.read(&mut piece) else { return };
        piece.truncate(len);
        if pieces.send((Instant::now() + delay, piece)).is_err() {
            return;
        }
    }
}

fn give(mut to: TcpStream, pieces: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((due, piece)) = pieces.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            return;
        }
    }
    // The other side may be gone already.
    let _gone = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_delays_both_ways() {
        let server = SocketAddr::from(([127, 0, 0, 1], start().unwrap().port()));
        let delay = Duration::from_millis(30);
        let link = start_link("127.0.0.1:0".parse().unwrap(), server, delay).unwrap();
        let mut stream = TcpStream::connect(link).unwrap();
        let start = Instant::now();
        stream.write_all(&[Wish::Echo.byte(), 7]).unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [7]);
        assert!(start.elapsed() >= 2 * delay);
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut answer).unwrap(), 0);
    }

    #[test]
    fn wishes_are_told_apart() {
        for wish in [Wish::Echo, Wish::Take, Wish::Give] {
            assert_eq!(Wish::from_byte(wish.byte()), Some(wish));
        }
        assert_eq!(Wish::from_byte(b'?'), None);
    }
}
