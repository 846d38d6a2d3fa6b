//! Attackers: peers of a node's HBONE port that write their records and frames by hand, with a TLS stack of their own.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use culvert_core::identity::SpiffeId;
use culvert_core::seed::Draws;
use culvert_core::time::WallTime;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, version,
};

use super::app::Seen;
use super::network::{Network, Owner, Side, Via, WireId};
use super::{Pod, World, payload};
use crate::certificate::{Authority, Template};
use crate::crypto::random::with_stream;
use crate::cryptography::KeyName;
use crate::frame::{Frame, Frames};

/// Streams that attackers send have numbers from here on: no application has so high a one.
const STREAMS: u64 = 1 << 20;

/// Attackers that have keys of their own, where keys are not made for them alone.
const KEYS: usize = 8;

/// A connection of an attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttackerId(pub(super) usize);

/// What an attacker shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Papers {
    /// No certificate.
    None,
    /// No TLS either: what it says goes on the wire as it is.
    Plain,
    /// A certificate of this identity by an authority that nobody trusts.
    Forged(SpiffeId),
    /// A valid certificate of this identity: a compromised workload or node.
    Valid(SpiffeId),
}

#[derive(Debug)]
pub(super) struct Attacker {
    host: IpAddr,
    /// The identity that it can prove.
    key: Option<SpiffeId>,
    wire: WireId,
    tls: Option<Box<ClientConnection>>,
    draws: Draws,
    pub(super) seen: Seen,
    /// Plaintext that waits for the handshake, and bytes that wait for the network.
    words: Vec<u8>,
    out: VecDeque<u8>,
    frames: Frames,
    heard: Vec<Frame>,
    deaf: bool,
    gone: bool,
}

impl Attacker {
    /// Reads and writes as far as it goes.
    pub(super) fn run(&mut self, net: &mut Network) {
        if self.gone || matches!(self.seen, Seen::Dialling | Seen::Refused) {
            return;
        }
        let mut draws = self.draws.clone();
        with_stream(&mut draws, || self.exchange(net));
        self.draws = draws;
    }

    fn exchange(&mut self, net: &mut Network) {
        self.seal();
        let mut space = [0; 16 << 10];
        while !self.deaf && self.seen == Seen::Open {
            match net.read(self.wire, Side::Dialler, &mut space) {
                Ok(0) => self.seen = Seen::Fin,
                Ok(len) => self.take(space.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.seen = Seen::Reset,
            }
            self.seal();
        }
        while !self.out.is_empty() {
            let (front, back) = self.out.as_slices();
            match net.write(self.wire, Side::Dialler, &[IoSlice::new(front), IoSlice::new(back)]) {
                Ok(len) => drop(self.out.drain(..len)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.seen = Seen::Reset;
                    self.out.clear();
                }
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        let Some(tls) = &mut self.tls else { return self.frames.push(bytes) };
        while !bytes.is_empty() {
            // What a peer that refuses us says after its alert is of no use.
            if tls.read_tls(&mut bytes).is_err() || tls.process_new_packets().is_err() {
                break;
            }
            let mut plain = Vec::new();
            let _incomplete = tls.reader().read_to_end(&mut plain);
            self.frames.push(&plain);
        }
        self.heard.extend(self.frames.by_ref());
    }

    /// Makes bytes for the network of what there is to say.
    fn seal(&mut self) {
        let Some(tls) = &mut self.tls else { return self.out.extend(self.words.drain(..)) };
        if !tls.is_handshaking() && !self.words.is_empty() {
            let words = std::mem::take(&mut self.words);
            // Its buffer is unbounded.
            let _all = tls.writer().write(&words);
        }
        while tls.wants_write() {
            let mut records = Vec::new();
            if tls.write_tls(&mut records).is_err() {
                break;
            }
            self.out.extend(records);
        }
    }

    pub(super) fn leave(&mut self, net: &mut Network) {
        if !std::mem::replace(&mut self.gone, true) {
            net.close(self.wire, Side::Dialler, true);
        }
    }
}

impl World {
    /// Somebody on a machine, or with the means of a pod's node, dials the HBONE port at `target` and does TLS, if at all, as
    /// its papers permit. Nothing of what it sends may reach any application unless [`World::pardon`] says so.
    pub fn attack(&mut self, from: Pod, target: SocketAddr, papers: &Papers) -> AttackerId {
        let id = AttackerId(self.attackers.len());
        let ip = self.host(from).ip;
        let wire = self.net.dial(Via::Proxy, Owner::Attacker(id), ip, ip, target, target.ip());
        let mut draws = self.seed.child(&format!("attacker {}", id.0)).draws();
        let config = self.tls_of(id, papers);
        let tls = config.map(|config| {
            let name = ServerName::IpAddress(target.ip().into());
            let made = with_stream(&mut draws, || ClientConnection::new(config, name));
            let mut tls = made.expect("the configuration fits the provider");
            tls.set_buffer_limit(None);
            Box::new(tls)
        });
        self.apps.forbidden.insert(STREAMS + id.0 as u64);
        let key = match papers {
            Papers::Valid(identity) => Some(identity.clone()),
            Papers::Forged(_) | Papers::None | Papers::Plain => None,
        };
        self.attackers.push(Attacker {
            host: ip,
            key,
            wire,
            tls,
            draws,
            seen: Seen::Dialling,
            words: Vec::new(),
            out: VecDeque::new(),
            frames: Frames::of_server(),
            heard: Vec::new(),
            deaf: false,
            gone: false,
        });
        id
    }

    /// What this attacker sends may reach an application after all: policy permits it.
    pub fn pardon(&mut self, attacker: AttackerId) {
        self.apps.forbidden.remove(&(STREAMS + attacker.0 as u64));
    }

    /// The first bytes of what this attacker sends to applications, by which they know whose they are.
    pub fn signature(&self, attacker: AttackerId, len: u64) -> Vec<u8> {
        (0..len).map(|offset| payload::byte(STREAMS + attacker.0 as u64, offset)).collect()
    }

    /// Says this once it can.
    pub fn say(&mut self, attacker: AttackerId, bytes: &[u8]) {
        self.attackers[attacker.0].words.extend_from_slice(bytes);
        self.busy.insert(attacker);
        self.turn();
    }

    /// Says these frames once it can.
    pub fn say_frames(&mut self, attacker: AttackerId, frames: &[Frame]) {
        self.say(attacker, &Frame::wire(frames));
    }

    /// From here on this attacker reads nothing.
    pub fn deafen(&mut self, attacker: AttackerId) {
        self.attackers[attacker.0].deaf = true;
    }

    /// The frames that an attacker was sent.
    pub fn heard(&self, attacker: AttackerId) -> &[Frame] {
        &self.attackers[attacker.0].heard
    }

    /// How an attacker's connection stands.
    pub fn standing(&self, attacker: AttackerId) -> Seen {
        self.attackers[attacker.0].seen
    }

    /// Bytes that an attacker wants to send and TCP does not take.
    pub fn unsaid(&self, attacker: AttackerId) -> usize {
        let attacker = &self.attackers[attacker.0];
        attacker.words.len() + attacker.out.len()
    }

    /// An attacker gives up, with RST.
    pub fn withdraw(&mut self, attacker: AttackerId) {
        self.attackers[attacker.0].leave(&mut self.net);
        self.turn();
    }

    /// Whether somebody at this address has a valid key of this identity: its node, or an attacker.
    pub(super) fn holds(&self, ip: IpAddr, identity: &SpiffeId) -> bool {
        let nodes = self.hosts.iter().filter(|host| host.ip == ip).filter_map(|host| host.node);
        let papers = |attacker: &Attacker| attacker.host == ip && attacker.key.as_ref() == Some(identity);
        nodes.into_iter().any(|node| self.issued.contains(&(node, identity.clone())))
            || self.attackers.iter().any(papers)
    }

    fn tls_of(&self, attacker: AttackerId, papers: &Papers) -> Option<Arc<ClientConfig>> {
        let seed = self.seed.child(&format!("papers {}", attacker.0));
        let notary = &self.cryptography.notary;
        let (id, authority) = match papers {
            Papers::Plain => return None,
            Papers::None => (None, self.authority.clone()),
            Papers::Valid(id) => (Some(id), self.authority.clone()),
            Papers::Forged(id) => {
                let name = KeyName::new(seed, "forger");
                (Some(id), Authority::with(notary, &name, id.trust_domain()).expect("it has a name"))
            }
        };
        let provider = self.cryptography.provider.clone();
        let schemes = provider.signature_verification_algorithms.supported_schemes();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .expect("the provider has TLS 1.3")
            .with_root_certificates(RootCertStore::empty());
        let mut config = match id {
            None => builder.with_no_client_auth(),
            Some(id) => {
                let key = notary.key(&KeyName::new(seed, format!("attacker {}", attacker.0 % KEYS)));
                let begin = WallTime::from_unix_secs(0);
                let end = WallTime::from_unix_secs(self.now().wall.as_unix_secs() + (30 << 20));
                let leaf = authority.certify(&Template::svid(id, begin, end), &*key);
                let certified = CertifiedKey::new(vec![leaf], key);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
        };
        config.dangerous().set_certificate_verifier(Arc::new(Anybody { schemes }));
        config.alpn_protocols = vec![b"h2".to_vec()];
        Some(Arc::new(config))
    }
}

/// Takes any server for the right one: whom it attacks is its own affair.
#[derive(Debug)]
struct Anybody {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
