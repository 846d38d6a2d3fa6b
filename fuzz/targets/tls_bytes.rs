//! Bytes of a peer, or of somebody in the middle, into a TLS session of either role: no identity without the handshake of a
//! peer of the mesh, no plaintext but what that peer sent, in order, however the records are cut.
#![no_main]

use std::sync::OnceLock;

use bytes::BytesMut;
use culvert_core::seed::{Draws, Seed};
use culvert_core::tls::{INPUT_BYTES, MAX_PLAINTEXT_BYTES, Session, TlsFault, TlsIdentity};
use culvert_fuzz::input::{self, Bytes};
use culvert_fuzz::peers::Cast;
use culvert_sim::crypto::random::with_stream;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    static CAST: OnceLock<Cast> = OnceLock::new();
    let Some(body) = input::body(data) else { return };
    let cast = CAST.get_or_init(Cast::new);
    let mut bytes = Bytes::new(body);
    let flags = bytes.byte();
    let mut script = Script::new(cast, flags);
    while !bytes.is_empty() {
        script.step(&mut bytes);
    }
    if !script.acted {
        in_one_piece(cast, flags, &script);
    }
});

/// A session with its caller's buffers.
struct End {
    session: Session,
    draws: Draws,
    input: Vec<u8>,
    plain: BytesMut,
    /// All plaintext that was taken.
    told: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    fault: Option<TlsFault>,
    fed: usize,
}

impl End {
    fn new(client: bool, identity: &TlsIdentity, seed: u8) -> End {
        let mut draws = Seed::new([seed; 32]).draws();
        let session = with_stream(&mut draws, || match client {
            true => Session::client(identity),
            false => Session::server(identity),
        });
        let session = session.expect("there is randomness");
        let (input, plain, told, out) = (vec![], BytesMut::new(), vec![], vec![]);
        End { session, draws, input, plain, told, out, written: 0, fault: None, fed: 0 }
    }

    /// Shows the session its input, until nothing more comes of it.
    fn process(&mut self, limit: usize) {
        loop {
            let before = (self.input.len(), self.out.len());
            let End { session, draws, input, plain, out, .. } = self;
            let result = with_stream(draws, || session.process(input, plain, out, limit));
            self.written += self.out.len() - before.1;
            assert!(
                self.plain.len() < limit.saturating_add(MAX_PLAINTEXT_BYTES),
                "{} bytes beyond {limit}",
                self.plain.len()
            );
            let taken = self.plain.len();
            self.told.extend_from_slice(&self.plain.split());
            match result {
                Ok(consumed) => {
                    assert!(consumed <= self.input.len());
                    self.input.drain(..consumed);
                    assert!(
                        before.0 < INPUT_BYTES || consumed > 0 || taken > 0,
                        "a full buffer makes no progress"
                    );
                    if taken == 0 || self.input.is_empty() {
                        return;
                    }
                }
                Err(fault) => {
                    self.over(&fault);
                    return;
                }
            }
        }
    }

    /// A fault is final: every call gives it again, nothing more is written, and there is no peer.
    fn over(&mut self, fault: &TlsFault) {
        assert_eq!(self.session.fault(), Some(fault));
        assert!(self.session.peer().is_none() && !self.session.is_handshaking());
        assert!(self.fault.as_ref().is_none_or(|before| before == fault));
        assert!(!matches!(fault, TlsFault::Internal(_)), "{fault}");
        let mut more = Vec::new();
        let again = self.session.process(&mut [], &mut self.plain, &mut more, usize::MAX);
        assert_eq!(again.as_ref(), Err(fault));
        assert!(more.is_empty() && self.plain.is_empty());
        self.fault = Some(fault.clone());
        self.input.clear();
    }
}

/// The session under test, the peer at the other end, and somebody between them.
struct Script {
    ours: End,
    peer: End,
    peer_id: Option<&'static str>,
    /// What the peer encrypted.
    sent: Vec<u8>,
    /// What came to our side.
    wire: Vec<u8>,
    limit: usize,
    acted: bool,
}

impl Script {
    fn new(cast: &Cast, flags: u8) -> Script {
        let client = flags & 1 != 0;
        let (peer, peer_id) = if flags & 2 == 0 {
            (&cast.honest, Some("spiffe://cluster.local/ns/x/sa/honest"))
        } else {
            (&cast.stranger, None)
        };
        let (ours, mut peer) = (End::new(client, &cast.own, 3), End::new(!client, peer, 4));
        peer.process(usize::MAX);
        let limit = if flags & 4 == 0 { usize::MAX } else { 100 };
        let mut script = Script { ours, peer, peer_id, sent: vec![], wire: vec![], limit, acted: false };
        script.deliver(&[]);
        if flags & 8 != 0 {
            // The handshake, undisturbed.
            for _ in 0..4 {
                script.exchange(usize::MAX);
            }
        }
        script
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let op = bytes.byte();
        match op % 10 {
            0 | 1 => self.exchange(1 + usize::from(bytes.short())),
            2 => {
                for _ in 0..bytes.byte() {
                    self.exchange(1);
                }
            }
            3 => self.exchange(usize::MAX),
            4 => {
                let count = usize::from(bytes.byte());
                let injected = bytes.take(count).to_vec();
                self.deliver(&injected);
            }
            5 => {
                // A record of any type, its length right.
                let (kind, count) = (20 + bytes.byte() % 6, bytes.byte());
                let content = bytes.take(usize::from(count));
                let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
                self.deliver(&[&[kind, 3, 3, 0, length], content].concat());
            }
            6 => {
                let (at, mask) = (usize::from(bytes.short()), bytes.byte());
                if let Some(byte) = self.peer.out.get_mut(at) {
                    *byte ^= mask;
                }
            }
            7 => {
                let count = usize::from(bytes.byte()).min(self.peer.out.len());
                self.peer.out.drain(..count);
            }
            8 => self.peer_sends(bytes),
            _ => self.act(bytes),
        }
        self.check();
    }

    /// Carries at most `count` bytes to our side, and all that is for the peer to the peer.
    fn exchange(&mut self, count: usize) {
        let count = count.min(self.peer.out.len());
        let piece: Vec<u8> = self.peer.out.drain(..count).collect();
        self.deliver(&piece);
        let reply = std::mem::take(&mut self.ours.out);
        self.peer.input.extend_from_slice(&reply);
        if self.peer.fault.is_none() {
            self.peer.process(usize::MAX);
        }
    }

    fn deliver(&mut self, piece: &[u8]) {
        self.wire.extend_from_slice(piece);
        self.ours.fed += piece.len();
        if self.ours.fault.is_none() {
            self.ours.input.extend_from_slice(piece);
            self.ours.process(self.limit);
        }
    }

    fn peer_sends(&mut self, bytes: &mut Bytes<'_>) {
        let (count, close) = (usize::from(bytes.short()), bytes.byte() & 0x80 != 0);
        let End { session, draws, out, .. } = &mut self.peer;
        let payload: Vec<u8> = (0..=u8::MAX).cycle().skip(self.sent.len() % 256).take(count).collect();
        if with_stream(draws, || session.encrypt(&payload, out)).is_ok() {
            self.sent.extend_from_slice(&payload);
        }
        if close {
            let _ = with_stream(draws, || session.close_notify(out));
        }
    }

    /// Our own side sends or closes.
    fn act(&mut self, bytes: &mut Bytes<'_>) {
        self.acted = true;
        let (count, close) = (usize::from(bytes.short()), bytes.byte() & 0x80 != 0);
        let End { session, draws, out, written, .. } = &mut self.ours;
        let before = out.len();
        let early = session.peer().is_none();
        let sealed = with_stream(draws, || session.encrypt(&vec![0x55; count], out));
        assert!(!early || sealed.is_err() && out.len() == before, "plaintext was sealed for nobody");
        if close {
            let _ = with_stream(draws, || session.close_notify(out));
        }
        assert!(out.len() - before <= count + 64 * (2 + count / MAX_PLAINTEXT_BYTES));
        *written += 0;
    }

    fn check(&self) {
        let End { session, told, written, fed, .. } = &self.ours;
        if let Some(peer) = session.peer() {
            assert_eq!(Some(peer.id.to_string().as_str()), self.peer_id, "an identity that nobody proved");
        }
        assert!(told.is_empty() || self.peer_id.is_some(), "plaintext of a stranger");
        assert!(self.sent.starts_with(told), "plaintext that the peer did not send");
        assert!(*written <= 4096 + 2 * fed, "{written} bytes for {fed}");
        if session.peer_closed() {
            assert_eq!(*told, self.sent, "an orderly end before the last byte");
        }
    }
}

/// What came to our side, cut nowhere, comes to the same.
fn in_one_piece(cast: &Cast, flags: u8, script: &Script) {
    let mut whole = End::new(flags & 1 != 0, &cast.own, 3);
    whole.process(usize::MAX);
    for piece in script.wire.chunks(INPUT_BYTES) {
        if whole.fault.is_none() {
            whole.input.extend_from_slice(piece);
            whole.process(usize::MAX);
        }
    }
    assert_eq!(whole.told, script.ours.told);
    assert_eq!(whole.fault, script.ours.fault);
    assert_eq!(whole.session.peer(), script.ours.session.peer());
    assert_eq!(whole.session.peer_closed(), script.ours.session.peer_closed());
}
