//! Core's sessions over the fake provider.

mod determinism;
mod speed;
mod tampering;

use super::*;
use crate::certificate::Authority;
use bytes::BytesMut;
use culvert_core::identity::{Credential, IdentityFault};
use culvert_core::seed::{Draws, Seed};
use culvert_core::time::WallTime;
use culvert_core::tls::{RECORD_OVERHEAD_BYTES, Session, TlsContext, TlsFault, TlsIdentity, WallCell};

const START: WallTime = WallTime::from_unix_secs(1_800_000_000);
const END: WallTime = WallTime::from_unix_secs(1_800_086_400);
const A: &str = "spiffe://cluster.local/ns/x/sa/a";
const B: &str = "spiffe://cluster.local/ns/x/sa/b";

/// One end of a connection: a session, its caller's buffers, and its stream of randomness.
struct Side {
    session: Session,
    stream: Draws,
    input: Vec<u8>,
    plain: BytesMut,
    out: Vec<u8>,
    fault: Option<TlsFault>,
}

impl Side {
    fn new(mut stream: Draws, make: impl FnOnce() -> Result<Session, TlsFault>) -> Side {
        let session = random::with_stream(&mut stream, make).unwrap();
        Side { session, stream, input: vec![], plain: BytesMut::new(), out: vec![], fault: None }
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let Side { session, stream, input, plain, out, fault } = self;
        match random::with_stream(stream, || session.process(input, plain, out, usize::MAX)) {
            Ok(consumed) => drop(input.drain(..consumed)),
            Err(new) => *fault = Some(new),
        }
    }

    fn send(&mut self, plain: &[u8]) {
        let Side { session, stream, out, .. } = self;
        random::with_stream(stream, || session.encrypt(plain, out)).unwrap();
    }

    fn peer(&self) -> Option<String> {
        self.session.peer().map(|peer| peer.id.to_string())
    }
}

fn authority() -> Authority {
    Authority::new(&Seed::new([0; 32]), "cluster.local").unwrap()
}

fn credential(authority: &mut Authority, id: &str) -> Arc<Credential> {
    authority.issue(&id.parse().unwrap(), START, END).unwrap()
}

fn identity(provider: &CryptoProvider, credential: &Arc<Credential>) -> Arc<TlsIdentity> {
    TlsContext::new(provider, WallCell::new(START)).for_credential(credential).unwrap()
}

/// A connecting to B; each has the same identity whatever the seed of its randomness is.
fn pair(seed: u8) -> (Side, Side) {
    let mut authority = authority();
    let [a, b] = [A, B].map(|id| identity(&provider(), &credential(&mut authority, id)));
    sides(seed, &a, &b)
}

fn sides(seed: u8, a: &TlsIdentity, b: &TlsIdentity) -> (Side, Side) {
    let stream = |label| Seed::new([seed; 32]).child(label).draws();
    (Side::new(stream("a"), || Session::client(a)), Side::new(stream("b"), || Session::server(b)))
}

/// Carries bytes both ways until neither side has any to send. Each flight goes through `link`, which may change it.
fn pump(client: &mut Side, server: &mut Side, mut link: impl FnMut(Direction, &mut Vec<u8>)) {
    client.receive(&[]);
    while !client.out.is_empty() || !server.out.is_empty() {
        let mut to_server = std::mem::take(&mut client.out);
        let mut to_client = std::mem::take(&mut server.out);
        link(Direction::ToServer, &mut to_server);
        link(Direction::ToClient, &mut to_client);
        server.receive(&to_server);
        client.receive(&to_client);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

fn connect(client: &mut Side, server: &mut Side) {
    pump(client, server, |_, _| ());
    assert_eq!((&client.fault, &server.fault), (&None, &None));
}

#[test]
fn sessions_carry_data_both_ways_in_records_of_the_real_sizes() {
    let (mut a, mut b) = pair(1);
    connect(&mut a, &mut b);
    assert_eq!((a.peer().as_deref(), b.peer().as_deref()), (Some(B), Some(A)));
    let there: Vec<u8> = (0..1 << 20).map(|i: u32| (i.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    let back: Vec<u8> = there.iter().map(|byte| !byte).collect();
    a.send(&there);
    b.send(&back);
    assert_eq!(a.out.len(), (1 << 20) + 64 * RECORD_OVERHEAD_BYTES);
    connect(&mut a, &mut b);
    assert!(a.plain == back && b.plain == there);
}

#[test]
fn either_cipher_suite_does() {
    let mut authority = authority();
    for suite in 0..2 {
        let mut provider = CryptoProvider::clone(&provider());
        provider.cipher_suites = vec![provider.cipher_suites[suite]];
        let [a, b] = [A, B].map(|id| identity(&provider, &credential(&mut authority, id)));
        let (mut a, mut b) = sides(1, &a, &b);
        connect(&mut a, &mut b);
        a.send(b"over it");
        connect(&mut a, &mut b);
        assert_eq!(b.plain, "over it", "suite {suite}");
    }
}

#[test]
fn without_a_stream_there_is_no_session() {
    let a = identity(&provider(), &credential(&mut authority(), A));
    assert!(matches!(Session::client(&a), Err(TlsFault::Internal(_))));
    let (mut client, mut server) = pair(1);
    client.receive(&[]);
    let fault = server.session.process(&mut client.out, &mut server.plain, &mut server.out, usize::MAX);
    assert!(matches!(fault, Err(TlsFault::Internal(_))), "{fault:?}");
}

#[test]
fn peers_that_are_not_to_be_trusted_are_refused() {
    let mut own = authority();
    let b = identity(&provider(), &credential(&mut own, B));
    let early = WallTime::from_unix_secs(START.as_unix_secs() - 1);
    let over = own.issue(&A.parse().unwrap(), WallTime::from_unix_secs(0), early).unwrap();
    let mut elsewhere = Authority::new(&Seed::new([0; 32]), "other.org").unwrap();
    elsewhere.federate(&own).unwrap();
    let foreign = credential(&mut elsewhere, "spiffe://other.org/ns/x/sa/a");
    let refusal = |client: &Arc<Credential>| {
        let (mut client, mut server) = sides(1, &identity(&provider(), client), &b);
        pump(&mut client, &mut server, |_, _| ());
        assert!(matches!(client.fault, Some(TlsFault::CredentialRefused(_))), "{:?}", client.fault);
        server.fault
    };
    assert!(matches!(refusal(&over), Some(TlsFault::Identity(IdentityFault::Expired { .. }))));
    assert!(matches!(refusal(&foreign), Some(TlsFault::Identity(IdentityFault::OtherTrustDomain { .. }))));
}
