//! Where a node could lie to its peers: hooks at every point at which another node has to take this one's word.
//!
//! **Internal**: for the simulator, the fuzz targets and the tests of this workspace; no part of the interface, and may change
//! with any version.
//!
//! An engine is generic over them so that tests can make a malicious peer of this very code, which keeps pace with the protocol
//! as no peer written by hand does. Production has only [`Honest`], which is zero-sized and whose hooks change nothing; there is
//! no feature or setting that could bring another in. `.ci/lies` shows that the shipped binary has none.
//!
//! A lie is what a node can tell whose key is valid: compromised, or with a bug. Whoever can break TLS is out of scope.

use std::borrow::Cow;
use std::fmt::Debug;

use bytes::BytesMut;
use http::Request;

use crate::identity::{IdentityFault, SpiffeId};
use crate::policy::Verdict;

/// What a node says and does where it could lie. Every default is the truth.
///
/// `due` is always what an honest node says at that point.
pub trait Lies: Clone + Debug {
    /// The lies of one tunnel, which may have a state of their own; `client` where this node dialled it.
    #[inline]
    #[must_use]
    fn for_tunnel(&self, _client: bool) -> Self {
        self.clone()
    }

    /// Another identity of this node under which a tunnel is dialled or accepted instead of `due` (node.md row 45).
    #[inline]
    fn presents(&self, _due: &SpiffeId) -> Option<SpiffeId> {
        None
    }

    /// Whether `found` is taken for one of those expected of the peer (node.md row 27).
    #[inline]
    fn believes(&self, found: &SpiffeId, expected: &[SpiffeId]) -> bool {
        expected.contains(found)
    }

    /// What this node thinks of the validity of its own and the peer's certificate during a session.
    ///
    /// # Errors
    /// What `due` says, where it is believed.
    #[inline]
    fn validity(&self, due: Result<(), IdentityFault>) -> Result<(), IdentityFault> {
        due
    }

    /// What this node's own policy says of a connection (node.md B5).
    #[inline]
    fn verdict(&self, due: Verdict) -> Verdict {
        due
    }

    /// Changes a CONNECT before it is sent: whom it asks for, and what it says of its source (node.md rows 31 to 35).
    #[inline]
    fn request(&mut self, _due: &mut Request<()>) {}

    /// Another answer to a CONNECT than to dial the application and to tell how that went (node.md rows 36 and 37).
    #[inline]
    fn answer(&mut self) -> Option<Answer> {
        None
    }

    /// How our side of a stream ends (node.md B6).
    #[inline]
    fn end(&mut self, due: StreamEnd) -> StreamEnd {
        due
    }

    /// Plaintext of a tunnel before it is encrypted: whole frames, but for those longer than a record.
    #[inline]
    fn sends<'a>(&mut self, due: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Borrowed(due)
    }

    /// Plaintext that was decrypted, before anybody looks at it; frames may be cut anywhere.
    #[inline]
    fn hears(&mut self, _plain: &mut BytesMut) {}
}

/// The truth. The only value of [`Lies`] outside tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Honest;

impl Lies for Honest {}

/// An answer to a CONNECT that nothing stands behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is none, ever.
    Never,
    /// A status, though no application was dialled.
    Status {
        /// The HTTP status, 200 to 599.
        status: u16,
        /// Whether END_STREAM comes with it; otherwise the stream stays open, and what comes on it is dropped.
        end: bool,
    },
}

/// How one side of a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// END_STREAM after the last byte.
    Finish,
    /// RST_STREAM with this error code.
    Reset(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honesty_takes_no_room_and_changes_nothing() {
        assert_eq!((size_of::<Honest>(), align_of::<Honest>()), (0, 1));
        let mut honest = Honest.for_tunnel(true);
        let due = [7_u8; 9];
        assert!(matches!(honest.sends(&due), Cow::Borrowed(sent) if sent.as_ptr() == due.as_ptr()));
        assert_eq!(honest.end(StreamEnd::Reset(10)), StreamEnd::Reset(10));
        assert_eq!((honest.end(StreamEnd::Finish), honest.answer()), (StreamEnd::Finish, None));
    }
}
