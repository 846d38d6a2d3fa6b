//! Loads: what a client does to a path, and what it saw of it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::server::{self, CHUNK, Wish};

/// Bytes of a request, and of its answer.
const REQUEST: usize = 100;
/// Bytes that the kernel takes for a reader that stalls.
const STALLED_BUFFER: u32 = 32 << 10;
/// Readers for which nothing was sent for so long are taken to have stalled.
const STANDSTILL: Duration = Duration::from_millis(100);
/// How much longer than it should a load may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes moved in one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bulk {
    pub(super) bytes: u64,
    pub(super) elapsed: Duration,
}

/// Things done one after another on several connections.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rounds {
    pub(super) elapsed: Duration,
    /// How long each took, ascending.
    pub(super) latencies: Vec<Duration>,
}

impl Rounds {
    /// How many a second.
    pub(super) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The time within which `share` of them were done, in microseconds.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let at = (self.latencies.len() as f64 * share) as usize;
        let found = self.latencies.get(at).or(self.latencies.last());
        found.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    }
}

/// Runs `load` to its end, or gives up.
pub(super) async fn patiently<T>(load: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(PATIENCE, load).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came back")),
    }
}

async fn open(to: SocketAddr, wish: Wish) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&[wish.byte()]).await?;
    Ok(stream)
}

/// An echo connection over which one byte has come back: the whole path stands.
async fn open_echo(to: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&[Wish::Echo.byte(), 1]).await?;
    stream.read_u8().await?;
    Ok(stream)
}

/// Sends for `time` and waits until the far end has taken it all.
pub(super) async fn upload(to: SocketAddr, time: Duration) -> io::Result<Bulk> {
    let mut stream = open(to, Wish::Take).await?;
    let bytes = vec![b't'; CHUNK];
    let start = Instant::now();
    while start.elapsed() < time {
        stream.write_all(&bytes).await?;
    }
    stream.shutdown().await?;
    let taken = stream.read_u64().await?;
    Ok(Bulk { bytes: taken, elapsed: start.elapsed() })
}

/// Receives what the far end sends in `time`.
pub(super) async fn download(to: SocketAddr, time: Duration) -> io::Result<Bulk> {
    let mut stream = open(to, Wish::Give).await?;
    let start = Instant::now();
    stream.write_u32(u32::try_from(time.as_millis()).unwrap_or(u32::MAX)).await?;
    // Envoy resets what is left of a stream that only its far end has finished, bytes under way included.
    stream.shutdown().await?;
    let mut space = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        match stream.read(&mut space).await? {
            0 => return Ok(Bulk { bytes, elapsed: start.elapsed() }),
            len => bytes += len as u64,
        }
    }
}

/// Small requests, one at a time on each of `connections` kept alive, for `time`.
pub(super) async fn requests(to: SocketAddr, connections: usize, time: Duration) -> io::Result<Rounds> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        streams.push(open_echo(to).await?);
    }
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for mut stream in streams {
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            let mut space = [b'r'; REQUEST];
            while start.elapsed() < time {
                let sent = Instant::now();
                stream.write_all(&space).await?;
                stream.read_exact(&mut space).await?;
                latencies.push(sent.elapsed());
            }
            Ok(latencies)
        });
    }
    gather(tasks, start).await
}

/// Connections made, used once and closed, `at_once` at a time, for `time`.
pub(super) async fn connections(to: SocketAddr, at_once: usize, time: Duration) -> io::Result<Rounds> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..at_once {
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while start.elapsed() < time {
                let began = Instant::now();
                let mut stream = open_echo(to).await?;
                latencies.push(began.elapsed());
                stream.shutdown().await?;
                if stream.read(&mut [0]).await? != 0 {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "more came than was sent"));
                }
            }
            Ok(latencies)
        });
    }
    gather(tasks, start).await
}

async fn gather(mut tasks: JoinSet<io::Result<Vec<Duration>>>, start: Instant) -> io::Result<Rounds> {
    let mut latencies = Vec::new();
    while let Some(done) = tasks.join_next().await {
        latencies.extend(done.map_err(io::Error::other)??);
    }
    let elapsed = start.elapsed();
    latencies.sort_unstable();
    Ok(Rounds { elapsed, latencies })
}

/// Connections over which one byte has gone each way, and nothing more.
pub(super) async fn idle(to: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(open_echo(to).await?);
    }
    Ok(streams)
}

/// Connections whose far end sends without pause and whose near end never reads; returns once nothing moves any more.
pub(super) async fn stalled(to: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let socket = TcpSocket::new_v4()?;
        // What the kernel holds at the client's end is no proxy's doing, and takes time to fill.
        socket.set_recv_buffer_size(STALLED_BUFFER)?;
        let mut stream = socket.connect(to).await?;
        stream.write_u8(Wish::Give.byte()).await?;
        stream.write_u32(u32::MAX).await?;
        streams.push(stream);
    }
    loop {
        let before = server::given();
        tokio::time::sleep(STANDSTILL).await;
        if before > 0 && server::given() == before {
            return Ok(streams);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(load: impl Future<Output = io::Result<T>>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(patiently(load)).unwrap()
    }

    fn server() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], server::start().unwrap().port()))
    }

    const TIME: Duration = Duration::from_millis(30);

    #[test]
    fn bytes_go_each_way() {
        let to = server();
        let up = block_on(upload(to, TIME));
        assert!(up.bytes >= CHUNK as u64 && up.elapsed >= TIME, "{up:?}");
        let down = block_on(download(to, TIME));
        assert!(down.bytes >= CHUNK as u64 && down.elapsed >= TIME, "{down:?}");
    }

    #[test]
    fn rounds_are_counted_and_sorted() {
        let to = server();
        for rounds in [block_on(requests(to, 3, TIME)), block_on(connections(to, 3, TIME))] {
            assert!(rounds.latencies.len() >= 3 && rounds.latencies.is_sorted());
            assert!(rounds.rate() > 0.0 && rounds.quantile(0.5) <= rounds.quantile(0.99));
        }
        assert_eq!(block_on(idle(to, 2)).len(), 2);
        assert_eq!(block_on(stalled(to, 2)).len(), 2);
    }

    #[test]
    fn a_quantile_is_one_of_the_latencies() {
        let latencies = (1..=100).map(Duration::from_micros).collect();
        let rounds = Rounds { elapsed: Duration::from_secs(2), latencies };
        assert_eq!((rounds.rate(), rounds.quantile(0.5), rounds.quantile(0.99)), (50.0, 51.0, 100.0));
        assert!(Rounds { elapsed: TIME, latencies: Vec::new() }.quantile(0.5).is_nan());
    }
}
