//! One TLS session, of either role.

use super::step::{self, Next};
use super::{ALPN, INPUT_BYTES, TlsFault, TlsIdentity};
use crate::identity::{IdentityFault, Leaf, PeerIdentity};
use bytes::BytesMut;
use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, IpAddr, Ipv4Addr, ServerName};
use rustls::server::UnbufferedServerConnection;
use std::fmt;

/// Header of a record: content type, version, length (RFC 8446 section 5.1).
const RECORD_HEADER_BYTES: usize = 5;

enum Side {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// A TLS session as a state machine over bytes. It never reads a clock; certificates are judged at the time in the context's
/// [`WallCell`](super::WallCell).
///
/// After a fault other than [`TlsFault::Handshaking`] and [`TlsFault::Closed`] the session is over: what there is to send, an
/// alert, has been appended to `out`, and every later call returns the same fault again.
pub struct Session {
    side: Side,
    peer: Option<PeerIdentity>,
    /// How many bytes at the front of the caller's input are processed but not consumed: the begin of a handshake message.
    partial: usize,
    peer_closed: bool,
    closed: bool,
    failed: Option<TlsFault>,
}

impl Session {
    /// A session that connects as `identity`. Call [`Session::process`] without input for the first flight.
    ///
    /// # Errors
    /// [`TlsFault::Internal`] when the provider fails, for instance its source of randomness.
    pub fn client(identity: &TlsIdentity) -> Result<Session, TlsFault> {
        // Peers are known by their SPIFFE ids; the name is neither sent nor looked at (node.md row 26).
        let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0, 0, 0, 0])));
        let client =
            UnbufferedClientConnection::new(identity.client_config().clone(), name).map_err(TlsFault::of)?;
        Ok(Session::new(Side::Client(Box::new(client))))
    }

    /// A session that accepts as `identity`.
    ///
    /// # Errors
    /// [`TlsFault::Internal`] when the configuration does not fit the provider.
    pub fn server(identity: &TlsIdentity) -> Result<Session, TlsFault> {
        let server =
            UnbufferedServerConnection::new(identity.server_config().clone()).map_err(TlsFault::of)?;
        Ok(Session::new(Side::Server(Box::new(server))))
    }

    fn new(side: Side) -> Session {
        Session { side, peer: None, partial: 0, peer_closed: false, closed: false, failed: None }
    }

    /// Processes the complete records at the front of `input`, in place. Appends plaintext to `plain` and bytes to send to
    /// `out`. No record is opened while `plain` holds `plain_limit` bytes or more, so that it grows at most
    /// [`MAX_PLAINTEXT_BYTES`](super::MAX_PLAINTEXT_BYTES) beyond; call again, even without new input, when it was emptied.
    ///
    /// Returns how many bytes of the front of `input` are consumed. The rest must be shown again, as this call left it, at the
    /// front of the next call's input. After the peer's close_notify everything is consumed and ignored.
    ///
    /// # Errors
    /// Whatever ends the session. Plaintext of records before the offending one stays in `plain`; none is ever delivered of a
    /// peer whose identity or application protocol is refused.
    pub fn process(
        &mut self,
        input: &mut [u8],
        plain: &mut BytesMut,
        out: &mut Vec<u8>,
        plain_limit: usize,
    ) -> Result<usize, TlsFault> {
        self.check()?;
        let full = |plain: &BytesMut| plain.len() >= plain_limit;
        if self.peer_closed {
            return Ok(input.len());
        }
        if input.len() < self.partial || (self.peer.is_some() && full(plain)) {
            return Ok(0);
        }
        let complete = complete_records(input, self.partial);
        let mut consumed = 0_usize;
        loop {
            let mark = plain.len();
            let rest = input.get_mut(consumed..).unwrap_or_default();
            let (discard, next) = match self.advance(rest, plain, out) {
                Ok(step) => step,
                Err(fault) => return Err(self.fail(fault, out)),
            };
            consumed = consumed.saturating_add(discard);
            self.partial = match next {
                Next::Again => continue,
                Next::NeedInput => complete.saturating_sub(consumed),
                // No handshake message can be pending: data may not be interleaved with it (RFC 8446 section 5.1).
                Next::Plain | Next::PeerClosed => 0,
            };
            if let Err(fault) = self.establish() {
                plain.truncate(mark);
                return Err(self.abandon(fault, out));
            }
            match next {
                Next::Again => {}
                Next::Plain if full(plain) => return Ok(consumed),
                Next::Plain => {}
                Next::NeedInput if input.len().saturating_sub(consumed) >= INPUT_BYTES => {
                    return Err(self.abandon(TlsFault::HandshakeTooLong, out));
                }
                Next::NeedInput => return Ok(consumed),
                Next::PeerClosed if self.peer.is_none() => {
                    return Err(self.abandon(TlsFault::ClosedEarly, out));
                }
                Next::PeerClosed => {
                    self.peer_closed = true;
                    return Ok(input.len());
                }
            }
        }
    }

    /// Encrypts `plain` and appends the records to `out`, one for each [`MAX_PLAINTEXT_BYTES`](super::MAX_PLAINTEXT_BYTES) or
    /// part of it. Other messages that are due, a key update, go first.
    ///
    /// # Errors
    /// [`TlsFault::Handshaking`] before the handshake is done and [`TlsFault::Closed`] after [`Session::close_notify`], which
    /// leave the session as it is; whatever ended the session.
    pub fn encrypt(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsFault> {
        self.check()?;
        if self.peer.is_none() {
            return Err(TlsFault::Handshaking);
        }
        if self.closed {
            return Err(TlsFault::Closed);
        }
        if plain.is_empty() {
            return Ok(());
        }
        self.seal(Some(plain), out)
    }

    /// Appends a close_notify to `out`: the peer then knows that nothing was cut off (RFC 8446 section 6.1). Nothing can be
    /// sent afterwards, but data is still received. Does nothing the second time, nor before the handshake is done, when there
    /// is no data that could be cut off.
    ///
    /// # Errors
    /// Whatever ended the session.
    pub fn close_notify(&mut self, out: &mut Vec<u8>) -> Result<(), TlsFault> {
        self.check()?;
        if self.peer.is_none() || self.closed {
            return Ok(());
        }
        self.closed = true;
        self.seal(None, out)
    }

    /// Whether the handshake is still going on. It can also be over because the session failed.
    pub fn is_handshaking(&self) -> bool {
        self.peer.is_none() && self.failed.is_none()
    }

    /// Whether the peer sent close_notify: the end of file that follows is an orderly end, and without it a truncation.
    pub fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Who the peer is, once the handshake is done. Never there for a peer that was refused.
    pub fn peer(&self) -> Option<&PeerIdentity> {
        self.peer.as_ref().filter(|_| self.failed.is_none())
    }

    /// The group of the key exchange, once it is agreed on.
    #[cfg(test)]
    pub(super) fn key_exchange_group(&self) -> Option<rustls::NamedGroup> {
        self.common().negotiated_key_exchange_group().map(|group| group.name())
    }

    /// The chain that the peer showed, leaf first; empty before the handshake is done.
    pub fn peer_chain(&self) -> &[CertificateDer<'static>] {
        self.common().peer_certificates().filter(|_| self.peer.is_some()).unwrap_or_default()
    }

    /// What ended the session, if it failed.
    pub fn fault(&self) -> Option<&TlsFault> {
        self.failed.as_ref()
    }

    fn check(&self) -> Result<(), TlsFault> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn advance(
        &mut self,
        input: &mut [u8],
        plain: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Result<(usize, Next), TlsFault> {
        match &mut self.side {
            Side::Client(client) => step::advance(&mut **client, input, plain, out),
            Side::Server(server) => step::advance(&mut **server, input, plain, out),
        }
    }

    fn seal(&mut self, plain: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), TlsFault> {
        let mut scratch = vec![0; self.partial];
        let sealed = match &mut self.side {
            Side::Client(client) => step::seal(&mut **client, &mut scratch, plain, out),
            Side::Server(server) => step::seal(&mut **server, &mut scratch, plain, out),
        };
        sealed.map_err(|fault| self.fail(fault, out))
    }

    /// Once the handshake is done: reads the peer's identity off the certificate that was verified, and checks what the
    /// handshake agreed on.
    fn establish(&mut self) -> Result<(), TlsFault> {
        let common = self.common();
        if self.peer.is_some() || common.is_handshaking() {
            return Ok(());
        }
        let agreed = common.alpn_protocol();
        planted!(AlpnIgnored, agreed = Some(ALPN));
        if agreed != Some(ALPN) {
            return Err(TlsFault::NoAlpn);
        }
        let leaf = common
            .peer_certificates()
            .and_then(<[_]>::first)
            .ok_or(TlsFault::Identity(IdentityFault::NoCertificate))?;
        self.peer = Some(Leaf::read(leaf).map_err(TlsFault::Identity)?.into());
        Ok(())
    }

    fn common(&self) -> &CommonState {
        match &self.side {
            Side::Client(client) => client,
            Side::Server(server) => server,
        }
    }

    /// Ends the session after rustls returned an error: its alert is appended.
    fn fail(&mut self, fault: TlsFault, out: &mut Vec<u8>) -> TlsFault {
        match &mut self.side {
            Side::Client(client) => step::flush(&mut **client, out),
            Side::Server(server) => step::flush(&mut **server, out),
        }
        self.failed = Some(fault.clone());
        fault
    }

    /// Ends the session for a reason of our own, of which rustls knows nothing: the peer gets a close_notify if it can get
    /// anything.
    fn abandon(&mut self, fault: TlsFault, out: &mut Vec<u8>) -> TlsFault {
        if !self.common().is_handshaking() && !self.closed {
            self.closed = true;
            let mark = out.len();
            if self.seal(None, out).is_err() {
                out.truncate(mark);
            }
        }
        self.failed = Some(fault.clone());
        fault
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match &self.side {
            Side::Client(_) => "client",
            Side::Server(_) => "server",
        };
        f.debug_struct("Session")
            .field("role", &role)
            .field("peer", &self.peer)
            .field("peer_closed", &self.peer_closed)
            .field("closed", &self.closed)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// Where the last complete record of `input` ends, looking from `start`, which is at the begin of a record.
fn complete_records(input: &[u8], start: usize) -> usize {
    let mut end = start;
    while let Some(rest) = input.get(end..)
        && let Some(&[_, _, _, high, low]) = rest.first_chunk::<RECORD_HEADER_BYTES>()
    {
        let record = RECORD_HEADER_BYTES + usize::from(u16::from_be_bytes([high, low]));
        if rest.len() < record {
            break;
        }
        end += record;
    }
    end
}
