//! TLS and HTTP/2 composed: one tunnel as a state machine over the bytes of one socket.
//!
//! **Internal**: for the simulator, the fuzz targets and the tests of this workspace; no part of the interface, and may change
//! with any version.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use rustls::pki_types::CertificateDer;

use super::mux::{Mux, MuxConfig, MuxEvent};
use crate::engine::boundary::Slices;
use crate::fault::Fault;
use crate::identity::PeerIdentity;
use crate::lies::{Honest, Lies};
use crate::limit::Limits;
use crate::time::WallTime;
use crate::tls::{Session, TlsFault, TlsIdentity};

/// Bytes of TLS input that a tunnel reads at once; more than the largest record, so that it always makes progress. The first is
/// for tunnels that were never given as much as they could take.
const INPUT_FIRST: usize = 20 << 10;
const INPUT: usize = 64 << 10;
/// Plaintext decrypted at once.
const PLAIN: usize = 64 << 10;

/// The memory that the tunnels of an engine read into. It is larger from the first time on that a read fills it: most of what
/// is read into it is a few records.
#[derive(Debug, Default)]
pub struct TunnelBlock {
    spare: Vec<u8>,
    filled_once: bool,
}

impl TunnelBlock {
    fn size(&self) -> usize {
        if self.filled_once { INPUT } else { INPUT_FIRST }
    }
}

/// What a tunnel has to say.
#[derive(Debug)]
pub enum TunnelEvent {
    /// The TLS handshake is done and the peer is who it says. Nothing of HTTP/2 is sent before [`Tunnel::authorise`].
    Authenticated(PeerIdentity),
    /// From the streams.
    Mux(MuxEvent),
    /// The tunnel is lost; what is queued (an alert, GOAWAY) can still be sent.
    Lost(Fault),
}

/// One HBONE connection, either side.
#[derive(Debug)]
pub struct Tunnel<L: Lies = Honest> {
    client: bool,
    lies: L,
    session: Option<Session>,
    own_not_after: Option<WallTime>,
    mux: Mux,
    input: Vec<u8>,
    filled: usize,
    plain: BytesMut,
    output: Vec<u8>,
    written: usize,
    output_limit: usize,
    events: VecDeque<TunnelEvent>,
    authenticated: bool,
    authorised: bool,
    ended: bool,
    lost: bool,
}

impl<L: Lies> Tunnel<L> {
    /// A tunnel that we dial.
    pub fn client(limits: &Limits, lies: &L) -> Tunnel<L> {
        Tunnel::new(true, Mux::client(&mux_config(limits)), limits, lies)
    }

    /// A tunnel that a peer dials.
    pub fn server(limits: &Limits, lies: &L) -> Tunnel<L> {
        Tunnel::new(false, Mux::server(&mux_config(limits)), limits, lies)
    }

    fn new(client: bool, mux: Mux, limits: &Limits, lies: &L) -> Tunnel<L> {
        Tunnel {
            client,
            lies: lies.for_tunnel(client),
            session: None,
            own_not_after: None,
            mux,
            input: Vec::new(),
            filled: 0,
            plain: BytesMut::new(),
            output: Vec::new(),
            written: 0,
            output_limit: limits.tunnel_queue,
            events: VecDeque::new(),
            authenticated: false,
            authorised: false,
            ended: false,
            lost: false,
        }
    }

    /// Begins TLS under this identity.
    pub fn start(&mut self, identity: &Arc<TlsIdentity>) {
        self.own_not_after = Some(identity.credential().not_after());
        let session = if self.client { Session::client(identity) } else { Session::server(identity) };
        match session {
            Ok(session) => self.session = Some(session),
            Err(fault) => self.lose(Fault::Tls(fault)),
        }
    }

    /// The peer is the one expected: HTTP/2 may begin.
    pub fn authorise(&mut self) {
        self.authorised = true;
    }

    /// The chain that the peer showed, leaf first; empty before it is authenticated.
    pub fn peer_chain(&self) -> &[CertificateDer<'static>] {
        self.session.as_ref().map(Session::peer_chain).unwrap_or_default()
    }

    /// The end of our own certificate's validity.
    pub fn own_not_after(&self) -> Option<WallTime> {
        self.own_not_after
    }

    /// The lies told on it.
    pub(crate) fn lies(&self) -> &L {
        &self.lies
    }

    /// The streams.
    pub fn mux(&self) -> &Mux {
        &self.mux
    }

    /// The streams, to command; follow with [`Tunnel::turn`].
    pub fn mux_mut(&mut self) -> &mut Mux {
        &mut self.mux
    }

    /// Whether bytes from the socket can be taken in.
    pub fn wants_read(&self) -> bool {
        !self.lost && !self.ended && self.session.is_some() && self.plain.is_empty()
    }

    /// Memory for the next read: the block, which tunnels share as long as nothing waits in it, or the tunnel's own.
    pub fn read_space<'a>(&'a mut self, block: &'a mut TunnelBlock) -> &'a mut [u8] {
        if self.filled > 0 {
            return self.input.get_mut(self.filled..).unwrap_or_default();
        }
        let size = block.size();
        if block.spare.len() < size {
            if block.spare.is_empty() {
                block.spare = std::mem::take(&mut self.input);
            }
            block.spare.resize(size, 0);
        }
        &mut block.spare
    }

    /// So many bytes were read into the space.
    pub fn received(&mut self, block: &mut TunnelBlock, len: usize) {
        if self.filled == 0 {
            std::mem::swap(&mut self.input, &mut block.spare);
        }
        self.filled = (self.filled + len).min(self.input.len());
        block.filled_once |= self.filled == self.input.len();
    }

    /// Gives its memory to the tunnels that read after it, once all of it is decrypted.
    pub fn give_back(&mut self, block: &mut TunnelBlock) {
        if self.filled == 0 && block.spare.is_empty() {
            std::mem::swap(&mut self.input, &mut block.spare);
        }
    }

    /// The socket's FIN.
    pub fn received_end(&mut self) {
        self.ended = true;
    }

    /// What is to be written to the socket; call [`Tunnel::seal`] before.
    pub fn write_slices<'a>(&'a self, into: &mut Slices<'a>) {
        if let Some(bytes) = self.output.get(self.written..).filter(|bytes| !bytes.is_empty()) {
            into.push(bytes);
        }
    }

    /// Whether there is anything to write.
    pub fn wants_write(&self) -> bool {
        self.written < self.output.len() || (self.authorised && !self.lost && !self.mux.output().is_empty())
    }

    /// The socket took so many bytes.
    pub fn wrote(&mut self, len: usize) {
        self.written = (self.written + len).min(self.output.len());
        if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
        }
    }

    /// Bytes that this tunnel holds towards its socket or before it.
    pub fn held_bytes(&self) -> usize {
        self.output.len() - self.written
            + self.filled
            + self.plain.len()
            + self.mux.queued_bytes()
            + self.mux.output_len()
    }

    /// Gives memory back that only a busy tunnel needs.
    pub fn shrink(&mut self) {
        if self.filled == 0 {
            self.input = Vec::new();
        }
        if self.output.is_empty() {
            self.output = Vec::new();
        }
        if self.plain.is_empty() {
            self.plain = BytesMut::new();
        }
    }

    /// The next thing to say.
    pub fn poll_event(&mut self) -> Option<TunnelEvent> {
        self.events.pop_front()
    }

    /// Moves bytes as far as they go: decrypt, drive the streams, encrypt.
    pub fn turn(&mut self) {
        loop {
            let mut progress = self.decrypt();
            if self.authorised {
                progress |= self.exchange();
            }
            if !progress {
                break;
            }
        }
        self.check_end();
    }

    fn decrypt(&mut self) -> bool {
        let Some(session) = self.session.as_mut().filter(|_| !self.lost) else { return false };
        // Only a handshake has something to do without input.
        if !self.plain.is_empty() || (self.authenticated && self.filled == 0) {
            return false;
        }
        let input = self.input.get_mut(..self.filled).unwrap_or_default();
        let before = self.output.len();
        let result = session.process(input, &mut self.plain, &mut self.output, PLAIN);
        let consumed = match result {
            Ok(consumed) => {
                self.lies.hears(&mut self.plain);
                consumed
            }
            Err(fault) => {
                self.lose(self.tls_fault(fault));
                return false;
            }
        };
        if consumed > 0 {
            self.input.copy_within(consumed..self.filled, 0);
            self.filled -= consumed;
        }
        let wrote = self.output.len() > before;
        if !self.authenticated
            && let Some(session) = &self.session
            && !session.is_handshaking()
            && let Some(peer) = session.peer()
        {
            self.authenticated = true;
            self.events.push_back(TunnelEvent::Authenticated(peer.clone()));
        }
        consumed > 0 || wrote
    }

    fn tls_fault(&self, fault: TlsFault) -> Fault {
        match fault {
            TlsFault::Identity(fault) => Fault::Identity(fault),
            fault => Fault::Tls(fault),
        }
    }

    /// Plaintext into the streams, and what they say of it.
    fn exchange(&mut self) -> bool {
        let mut progress = false;
        if !self.plain.is_empty() {
            progress = self.mux.receive_all(&mut self.plain);
            let room = self.mux.receive_room().min(self.plain.len());
            if room > 0 {
                self.mux.receive(self.plain.get(..room).unwrap_or_default());
                self.plain.advance(room);
                progress = true;
            }
        }
        self.drive();
        progress
    }

    fn drive(&mut self) {
        self.mux.drive();
        while let Some(event) = self.mux.poll_event() {
            self.events.push_back(TunnelEvent::Mux(event));
        }
    }

    /// Makes records of what the streams have to send, as far as there is room; true if there is an event to handle.
    ///
    /// Only when the socket takes bytes: what many streams say until then shares records.
    pub fn seal(&mut self) -> bool {
        if !self.authorised {
            return false;
        }
        while let Some(session) = self.session.as_mut().filter(|_| !self.lost) {
            let mut progress = false;
            while self.output.len() - self.written < self.output_limit && !self.mux.output().is_empty() {
                let piece = self.mux.output();
                let len = piece.len();
                if let Err(fault) = session.encrypt(&self.lies.sends(piece), &mut self.output) {
                    self.lose(Fault::Tls(fault));
                    return true;
                }
                self.mux.consume_output(len);
                progress = true;
            }
            if !progress {
                break;
            }
            self.drive();
        }
        !self.events.is_empty()
    }

    /// FIN with and without close_notify are two things: the second is truncation (attack A10).
    fn check_end(&mut self) {
        let Some(session) = self.session.as_ref().filter(|_| !self.lost) else { return };
        let closed = session.peer_closed();
        if !(self.ended || closed) || !self.plain.is_empty() {
            return;
        }
        self.ended = true;
        if !self.authenticated {
            return self.lose(Fault::Tls(TlsFault::Truncated));
        }
        self.mux.receive_end(closed);
        self.drive();
        // The peer may still read what was said before.
        self.seal();
        let fault = if closed { Fault::Retired } else { Fault::Tls(TlsFault::Truncated) };
        self.lose(fault);
    }

    fn lose(&mut self, fault: Fault) {
        if !self.lost {
            self.lost = true;
            self.events.push_back(TunnelEvent::Lost(fault));
        }
    }

    /// Ends the tunnel from our side: GOAWAY where HTTP/2 has begun, then close_notify.
    pub fn close(&mut self) {
        if !self.lost && self.authorised {
            // What the streams have said goes out first, however much it is: the last bytes of those that ended, and the
            // resets, because to some peers the end of a tunnel is no abort of its streams.
            self.output_limit = usize::MAX;
            self.exchange();
            self.mux.abrupt_shutdown(0);
            self.drive();
            self.seal();
        }
        if let Some(session) = self.session.as_mut() {
            // A session that has failed has said so already.
            let _over = session.close_notify(&mut self.output);
        }
        self.lost = true;
    }
}

fn mux_config(limits: &Limits) -> MuxConfig {
    MuxConfig {
        stream_window: limits.stream_window,
        connection_window: limits.connection_window,
        max_concurrent_streams: limits.peer_streams_per_tunnel,
        stream_queue_high: limits.relay_queue,
        ..MuxConfig::default()
    }
}
