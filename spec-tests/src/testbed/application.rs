//! Plain programs that know nothing of a mesh.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// How what an application reads came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// FIN.
    Eof,
    /// RST.
    Reset,
    /// Nothing came before the deadline.
    Silence,
}

/// What an application has read.
#[derive(Clone, PartialEq, Eq)]
pub struct Heard {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What came after them.
    pub ending: Ending,
}

impl std::fmt::Debug for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, then {:?}", self.bytes.len(), self.ending)
    }
}

/// `len` bytes, each of which says where it belongs.
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    let mut state = seed;
    while bytes.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bytes.extend_from_slice(&(mixed ^ (mixed >> 27)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Connects, with a deadline for every later call.
///
/// # Errors
/// `ConnectionReset`: the connection was taken and reset before this thread could run again. `ConnectionRefused`:
/// nobody listens.
pub fn dial(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// As [`dial`], where nothing resets the connection before the caller has done its part.
///
/// # Panics
/// Nobody listens, or the connection was reset at once.
pub fn converse(address: SocketAddr) -> TcpStream {
    dial(address).unwrap_or_else(|e| panic!("dialling {address}: {e}"))
}

/// Connects, does `talk`, and tells how that ended, which may be before it began.
///
/// # Panics
/// Nobody listens.
pub fn call(address: SocketAddr, talk: impl FnOnce(&TcpStream) -> Heard) -> Heard {
    match dial(address) {
        Ok(stream) => talk(&stream),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {
            Heard { bytes: Vec::new(), ending: Ending::Reset }
        }
        Err(error) => panic!("dialling {address}: {error}"),
    }
}

/// Reads until the end, or until nothing has come for `silence`.
pub fn hear(mut stream: &TcpStream, silence: Duration) -> Heard {
    stream.set_read_timeout(Some(silence)).unwrap();
    let mut bytes = Vec::new();
    let mut space = vec![0; 64 << 10];
    let ending = loop {
        match stream.read(&mut space) {
            Ok(0) => break Ending::Eof,
            Ok(len) => bytes.extend_from_slice(&space[..len]),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => break Ending::Silence,
                ErrorKind::Interrupted => {}
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => break Ending::Reset,
                other => panic!("reading: {other:?}"),
            },
        }
    };
    Heard { bytes, ending }
}

/// Reads exactly `len` bytes.
///
/// # Errors
/// They do not come.
pub fn take(mut stream: &TcpStream, len: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Sends `data` while reading until the end, or until nothing has come for `silence`. Once all is sent comes
/// `after_all`.
fn say(stream: &TcpStream, data: &[u8], silence: Duration, after_all: impl FnOnce() + Send) -> Heard {
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let mut writer = stream;
            let outcome = writer.write_all(data);
            if outcome.is_ok() {
                after_all();
            }
            outcome
        });
        let mut heard = hear(stream, silence);
        if heard.ending != Ending::Eof {
            // A writer that still waits would wait for ever.
            let _gone = stream.shutdown(Shutdown::Both);
        }
        // A socket tells that it was reset once, to whoever asks first; to the other it looks like an end.
        let outcome = writer.join().unwrap();
        if outcome.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset) {
            heard.ending = Ending::Reset;
        }
        heard
    })
}

/// Sends `data` and FIN while reading until the end.
pub fn exchange(stream: &TcpStream, data: &[u8]) -> Heard {
    say(stream, data, PATIENCE, || {
        let _gone = stream.shutdown(Shutdown::Write);
    })
}

/// Sends `data`, without FIN, while reading until the end, or until nothing has come for `silence`.
pub fn greet(stream: &TcpStream, data: &[u8], silence: Duration) -> Heard {
    say(stream, data, silence, || {})
}

/// Closes with RST.
pub fn abort(stream: TcpStream) {
    culvert_linux::socket::abort(stream.into()).unwrap();
}

/// Reads up to a line feed, byte by byte.
pub fn read_line(mut stream: &TcpStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while matches!(stream.read(&mut byte), Ok(1)) && byte != *b"\n" {
        line.push(byte[0]);
    }
    String::from_utf8_lossy(&line).into_owned()
}

/// Sends every byte back, then answers FIN by FIN, and anything else by RST.
pub fn echo(stream: TcpStream) {
    let mut space = vec![0; 64 << 10];
    let (mut reader, mut writer) = (&stream, &stream);
    loop {
        match reader.read(&mut space) {
            Ok(0) => {
                let _gone = stream.shutdown(Shutdown::Write);
                return;
            }
            Ok(len) => {
                if writer.write_all(&space[..len]).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// A listener with a thread for each connection. Dropping it stops listening.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves every connection to `address` with `serve`.
    ///
    /// # Panics
    /// The address is in use.
    pub fn start(address: SocketAddr, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind(address).unwrap_or_else(|e| panic!("listening on {address}: {e}"));
        Server::with(listener, serve)
    }

    /// Serves every connection to `listener` with `serve`.
    pub fn with(listener: TcpListener, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, serve) = (stop.clone(), Arc::new(serve));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), serve) = (stream, serve.clone()) else { continue };
                let _nodelay = stream.set_nodelay(true);
                std::thread::spawn(move || serve(stream));
            }
        });
        Server { address, stop, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // The listener waits for one more connection; where none gets through it is left to the end of the process.
        let deadline = Instant::now() + Duration::from_secs(1);
        if TcpStream::connect_timeout(&self.address, deadline - Instant::now()).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _panicked = thread.join();
        }
    }
}
