//! Mutual TLS 1.3 between mesh peers: rustls behind a narrow face, as a state machine over the caller's bytes.
//!
//! **Internal**: for the simulator, the fuzz targets and the tests of this workspace; no part of the interface, and may change
//! with any version.
//!
//! A [`TlsContext`] makes one [`TlsIdentity`] of each credential, not of each connection; a [`Session`] is one connection of
//! either role. The session holds no buffer of its own: the caller keeps what [`Session::process`] did not consume and shows it
//! again, followed by whatever arrived since.
//!
//! 1. Make a session. A client calls [`Session::process`] with no input once, to get its first flight.
//! 2. Append what the network brings to the input buffer; call `process`; drop the bytes that it consumed; send what it appended.
//! 3. Once [`Session::peer`] is there, compare it with whom you expected, and use [`Session::encrypt`].
//! 4. At the network's end of file, [`Session::peer_closed`] tells an orderly end from a truncation.
//!
//! In TLS 1.3 the client is done before the server has judged its certificate. A refusal reaches the client later, as
//! [`TlsFault::CredentialRefused`] from `process`.

mod config;
mod fault;
mod session;
mod step;
#[cfg(test)]
mod tests;
mod wall;

pub use config::{TlsContext, TlsIdentity};
pub use fault::{Alert, TlsFault};
pub use session::Session;
pub use wall::WallCell;

/// The application protocol of every session, HTTP/2 (RFC 9113 section 3.2; node.md row 26).
pub const ALPN: &[u8] = b"h2";
/// The most plaintext that one record carries, in bytes (RFC 8446 section 5.1).
pub const MAX_PLAINTEXT_BYTES: usize = 16_384;
/// The most bytes that one incoming record has, with its header (RFC 8446 section 5.2).
pub const MAX_RECORD_BYTES: usize = 5 + MAX_PLAINTEXT_BYTES + 256;
/// What a record adds to its plaintext, in bytes: header, content type, tag of AES-GCM (RFC 8446 section 5.2).
pub const RECORD_OVERHEAD_BYTES: usize = 5 + 1 + 16;
/// An input buffer of this many bytes is enough: a full one always makes progress. It holds any record, and the longest
/// handshake message that is accepted together with the headers of the records that carry it.
pub const INPUT_BYTES: usize = 17 * 1024;
