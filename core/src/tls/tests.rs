//! Sessions of both roles over bytes in memory. `Side` is one end; `pump` carries bytes until nothing moves any more.

mod handshake;
mod hostile;
mod traffic;

use super::*;
use crate::identity::testing::{Ca, Template, WALL, provider};
use crate::identity::{Credential, Issued, Leaf};
use bytes::BytesMut;
use std::sync::Arc;

pub(super) const A: &str = "spiffe://cluster.local/ns/x/sa/a";
pub(super) const B: &str = "spiffe://cluster.local/ns/x/sa/b";

/// One end of a connection: a session and its caller's buffers.
pub(super) struct Side {
    pub(super) session: Session,
    pub(super) input: Vec<u8>,
    pub(super) plain: BytesMut,
    pub(super) out: Vec<u8>,
    pub(super) result: Result<(), TlsFault>,
}

impl Side {
    pub(super) fn new(session: Session) -> Side {
        Side { session, input: vec![], plain: BytesMut::new(), out: vec![], result: Ok(()) }
    }

    pub(super) fn process(&mut self) {
        match self.session.process(&mut self.input, &mut self.plain, &mut self.out, usize::MAX) {
            Ok(consumed) => drop(self.input.drain(..consumed)),
            Err(fault) => self.result = Err(fault),
        }
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.process();
    }

    pub(super) fn peer(&self) -> Option<String> {
        self.session.peer().map(|p| p.id.to_string())
    }
}

pub(super) fn context() -> TlsContext {
    TlsContext::new(&provider(), WallCell::new(WALL))
}

pub(super) fn identity(credential: &Arc<Credential>) -> Arc<TlsIdentity> {
    context().for_credential(credential).unwrap()
}

/// An identity whose certificate is what `template` says, whatever our own checks think of it.
pub(super) fn forged(ca: &Ca, template: Template, trusts: &Ca) -> Arc<TlsIdentity> {
    let (leaf, key) = ca.issue(template);
    let honest = trusts.credential(B);
    let issued = Issued {
        id: honest.id().clone(),
        chain: vec![leaf.to_vec()],
        bundle: honest.bundle().clone(),
        generation: 1,
    };
    let key = provider().key_provider.load_private_key(key).unwrap();
    let facts = Leaf::read(&honest.chain()[0]).unwrap();
    identity(&Arc::new(Credential::unchecked(issued, key, facts)))
}

pub(super) fn pair(client: &TlsIdentity, server: &TlsIdentity) -> (Side, Side) {
    (Side::new(Session::client(client).unwrap()), Side::new(Session::server(server).unwrap()))
}

/// Carries bytes both ways until neither side has any to send.
pub(super) fn pump(client: &mut Side, server: &mut Side) {
    client.process();
    while !client.out.is_empty() || !server.out.is_empty() {
        let (to_server, to_client) = (std::mem::take(&mut client.out), std::mem::take(&mut server.out));
        server.receive(&to_server);
        client.receive(&to_client);
    }
}

/// A pair of sessions after their handshake, of A connecting to B.
pub(super) fn connected() -> (Side, Side) {
    let ca = Ca::new("mesh");
    let (mut client, mut server) = pair(&identity(&ca.credential(A)), &identity(&ca.credential(B)));
    pump(&mut client, &mut server);
    assert_eq!((client.peer().as_deref(), server.peer().as_deref()), (Some(B), Some(A)));
    (client, server)
}
