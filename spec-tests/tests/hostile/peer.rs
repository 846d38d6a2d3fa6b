//! A client that passed the handshake, and then does as it likes.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use culvert_core::identity::SpiffeId;
use culvert_linux::node::CredentialSource;
use culvert_spec_tests::testbed::{AnyServer, Certificates, PATIENCE};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection};

use crate::frame;

/// A node that takes nothing for this long has stopped reading.
const STALL: Duration = Duration::from_millis(500);

/// What became of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The node's kernel has it.
    All,
    /// The node ended the connection before.
    Ended,
    /// The node stopped reading.
    Stalled,
}

/// One connection to a node.
pub struct Peer {
    /// TLS; hostile enough tests reach into it.
    pub tls: ClientConnection,
    /// The socket, which does not block.
    pub tcp: TcpStream,
    /// Whether it reads at all.
    pub listens: bool,
    /// Why it is over.
    pub ended: Option<String>,
    /// Plain bytes sent and received.
    pub bytes: (u64, u64),
    /// How many frames of each type came.
    pub frames: BTreeMap<u8, u64>,
    /// The answers.
    pub statuses: BTreeMap<u32, u16>,
    /// The streams that the node reset, with their codes.
    pub resets: BTreeMap<u32, u32>,
    /// The code of the last GOAWAY.
    pub goaway: Option<u32>,
    /// The window of every new stream, and what WINDOW_UPDATE added to each, 0 being the connection.
    window: i64,
    credit: BTreeMap<u32, i64>,
    inbox: Vec<u8>,
    pongs: u64,
    pings: u64,
}

/// A chain and its key, or nothing to show.
pub type Shown = Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>;

/// What a client that shows `shown` is made with.
pub fn tls_config(shown: Shown, alpn: &[&[u8]]) -> ClientConfig {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let anyone = AnyServer(provider.signature_verification_algorithms);
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(anyone));
    let mut config = match shown {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

/// The chain and key of one of the testbed's identities.
pub fn shown(certificates: &Certificates, name: &str) -> Shown {
    let id: SpiffeId = format!("spiffe://cluster.local/ns/default/sa/{name}").parse().unwrap();
    let material = certificates.clone().fetch(&id).unwrap();
    Some((material.chain, material.key))
}

/// Connects from an address.
///
/// # Errors
/// The node resets connections at once while too many are half open.
pub fn dial(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&to.into(), PATIENCE)?;
    socket.set_tcp_nodelay(true)?;
    Ok(TcpStream::from(socket))
}

impl Peer {
    /// A connection whose handshake has not begun.
    pub fn new(tcp: TcpStream, config: ClientConfig) -> Peer {
        tcp.set_nonblocking(true).unwrap();
        let name = ServerName::try_from("server.invalid").unwrap();
        let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
        tls.set_buffer_limit(None);
        Peer {
            tls,
            tcp,
            listens: true,
            ended: None,
            bytes: (0, 0),
            frames: BTreeMap::new(),
            statuses: BTreeMap::new(),
            resets: BTreeMap::new(),
            goaway: None,
            window: 65_535,
            credit: BTreeMap::from([(0, 65_535)]),
            inbox: Vec::new(),
            pongs: 0,
            pings: 0,
        }
    }

    /// Sends the preface and SETTINGS (without a table for header lists, so that answers can be read), and waits for the node's.
    pub fn greet(mut self) -> Peer {
        let hello =
            [frame::PREFACE, &frame::settings(&[(1, 0)]), &frame::frame(frame::SETTINGS, frame::ACK, 0, &[])];
        assert_eq!(self.send(&hello.concat()), Sent::All, "{:?}", self.ended);
        assert!(self.settle(), "{:?}", self.ended);
        self
    }

    /// Moves what can be moved, waiting for at most `wait`. Returns whether anything moved.
    fn step(&mut self, wait: Duration) -> bool {
        let mut events = 0;
        if self.listens || self.tls.is_handshaking() {
            events |= libc::POLLIN;
        }
        if self.tls.wants_write() {
            events |= libc::POLLOUT;
        }
        let mut poll = libc::pollfd { fd: self.tcp.as_raw_fd(), events, revents: 0 };
        // SAFETY: the pointer is to one pollfd that lives through the call.
        unsafe { libc::poll(&raw mut poll, 1, i32::try_from(wait.as_millis()).unwrap()) };
        let over = poll.revents & (libc::POLLERR | libc::POLLHUP) != 0;
        let mut moved = false;
        if poll.revents & libc::POLLOUT != 0 && self.tls.wants_write() {
            moved |= match self.tls.write_tls(&mut self.tcp) {
                Ok(_) => true,
                Err(error) => self.failed(&error),
            };
        }
        if poll.revents & libc::POLLIN != 0 || over {
            moved |= self.read();
        }
        moved
    }

    fn failed(&mut self, error: &std::io::Error) -> bool {
        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
            return false;
        }
        // What the node said last may still be there to read.
        while self.read() {}
        self.ended.get_or_insert_with(|| format!("{:?}", error.kind()));
        true
    }

    fn read(&mut self) -> bool {
        match self.tls.read_tls(&mut self.tcp) {
            Ok(0) => {
                self.ended.get_or_insert_with(|| "end".to_owned());
                return false;
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return false;
            }
            Err(error) => {
                self.ended.get_or_insert_with(|| format!("{:?}", error.kind()));
                return false;
            }
        }
        if let Err(error) = self.tls.process_new_packets() {
            self.ended.get_or_insert_with(|| error.to_string());
        }
        let mut space = [0; 16 << 10];
        while let Ok(len @ 1..) = self.tls.reader().read(&mut space) {
            self.bytes.1 += u64::try_from(len).unwrap();
            self.inbox.extend(&space[..len]);
        }
        self.parse();
        true
    }

    fn parse(&mut self) {
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        while rest.len() >= 9 {
            let len = usize::from(rest[1]) << 8 | usize::from(rest[2]) | usize::from(rest[0]) << 16;
            let Some(payload) = rest.get(9..9 + len) else { break };
            let stream = u32::from_be_bytes([rest[5], rest[6], rest[7], rest[8]]);
            self.heard(rest[3], rest[4], stream, payload);
            rest = &rest[9 + len..];
        }
        self.inbox = rest.to_vec();
    }

    fn heard(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        *self.frames.entry(kind).or_default() += 1;
        let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match kind {
            frame::HEADERS => {
                let status = frame::status(payload).unwrap_or_else(|| panic!("no status in {payload:x?}"));
                self.statuses.insert(stream, status);
            }
            frame::RST_STREAM => {
                self.resets.insert(stream, code(0));
            }
            frame::WINDOW_UPDATE => *self.credit.entry(stream).or_default() += i64::from(code(0)),
            frame::SETTINGS => {
                for setting in payload.chunks_exact(6).filter(|setting| setting.starts_with(&[0, 4])) {
                    self.window = u32::from_be_bytes(setting[2..].try_into().unwrap()).into();
                }
            }
            frame::GOAWAY => self.goaway = Some(code(4)),
            frame::PING if flags & frame::ACK != 0 && payload.starts_with(b"set") => self.pongs += 1,
            _ => {}
        }
    }

    /// Sends bytes as plain text of TLS.
    pub fn send(&mut self, bytes: &[u8]) -> Sent {
        for piece in bytes.chunks(16 << 10) {
            if let Err(error) = self.tls.writer().write_all(piece) {
                self.ended.get_or_insert_with(|| error.to_string());
                return Sent::Ended;
            }
            let sent = self.flush();
            if sent != Sent::All {
                return sent;
            }
            self.bytes.0 += u64::try_from(piece.len()).unwrap();
        }
        Sent::All
    }

    /// Sends what TLS has to send.
    pub fn flush(&mut self) -> Sent {
        let mut moved = Instant::now();
        while self.tls.wants_write() || self.tls.is_handshaking() {
            if self.step(Duration::from_millis(100)) {
                moved = Instant::now();
            }
            if self.ended.is_some() || self.goaway.is_some() {
                return Sent::Ended;
            }
            // What does not listen waits for as long as it takes to see a node that does not, either.
            if moved.elapsed() > if self.listens { PATIENCE } else { STALL } {
                return Sent::Stalled;
            }
        }
        if self.listens {
            while self.step(Duration::ZERO) {}
        }
        if self.ended.is_some() || self.goaway.is_some() { Sent::Ended } else { Sent::All }
    }

    /// Sends DATA as far as the windows allow, and at most `most` bytes. Returns how many.
    pub fn spend(&mut self, stream: u32, most: i64) -> usize {
        let own = self.window + self.credit.get(&stream).copied().unwrap_or_default();
        let len = most.min(own).min(self.credit[&0]).max(0);
        for at in [0, stream] {
            *self.credit.entry(at).or_default() -= len;
        }
        let data = vec![1; usize::try_from(len).unwrap()];
        for piece in data.chunks(16_000) {
            if self.send(&frame::frame(frame::DATA, 0, stream, piece)) != Sent::All {
                return 0;
            }
        }
        data.len()
    }

    /// Reads until something is so. Returns false where the connection ends before.
    ///
    /// # Panics
    /// It never is.
    pub fn wait(&mut self, wanted: impl Fn(&Peer) -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(self) {
            if self.ended.is_some() {
                return false;
            }
            assert!(Instant::now() < deadline, "what was waited for did not come: {:?}", self.frames);
            self.step(Duration::from_millis(100));
        }
        true
    }

    /// Waits until the node has decoded all that was sent. Returns false where it ended the connection.
    pub fn settle(&mut self) -> bool {
        self.pings += 1;
        let pings = self.pings;
        self.send(&frame::frame(frame::PING, 0, 0, b"settle!!")) == Sent::All
            && self.wait(|peer| peer.pongs >= pings || peer.goaway.is_some())
            && self.goaway.is_none()
    }

    /// Sends CONNECT and waits for what comes of it: a status, or the code of a reset as a negative number.
    pub fn ask(&mut self, stream: u32, request: &[u8]) -> i64 {
        self.send(request);
        self.wait(|peer| peer.statuses.contains_key(&stream) || peer.resets.contains_key(&stream));
        match (self.statuses.get(&stream), self.resets.get(&stream)) {
            (Some(status), _) => i64::from(*status),
            (_, Some(code)) => -i64::from(*code),
            _ => panic!("the tunnel is over: {:?}, GOAWAY {:?}", self.ended, self.goaway),
        }
    }

    /// Reads until the connection is over, whatever else comes.
    pub fn drain(&mut self) {
        self.wait(|peer| peer.ended.is_some());
    }
}
