//! One step of a rustls connection without buffers, the same for both roles.

use super::{MAX_PLAINTEXT_BYTES, RECORD_OVERHEAD_BYTES, TlsFault};
use bytes::BytesMut;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error};

/// A connection of either role.
pub(super) trait Role {
    type Data;

    fn records<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn common(&self) -> &CommonState;
}

impl Role for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn records<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

impl Role for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn records<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// There may be more to do with the input at hand.
    Again,
    /// A record of plaintext was appended.
    Plain,
    /// All complete records are processed.
    NeedInput,
    /// The peer sent close_notify.
    PeerClosed,
}

/// Advances by at most one record of plaintext. Returns how many bytes of the front of `input` are done with.
pub(super) fn advance<R: Role>(
    role: &mut R,
    input: &mut [u8],
    plain: &mut BytesMut,
    out: &mut Vec<u8>,
) -> Result<(usize, Next), TlsFault> {
    let UnbufferedStatus { mut discard, state, .. } = role.records(input);
    let next = match state.map_err(TlsFault::of)? {
        ConnectionState::EncodeTlsData(data) => {
            encode(data, out)?;
            Next::Again
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Next::Again
        }
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record.map_err(TlsFault::of)?;
                discard = discard.saturating_add(record.discard);
                plain.extend_from_slice(record.payload);
            }
            Next::Plain
        }
        ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => Next::NeedInput,
        ConnectionState::PeerClosed | ConnectionState::Closed => Next::PeerClosed,
        other => return Err(unexpected(&other)),
    };
    Ok((discard, next))
}

/// Encrypts `plain` onto `out`, or a close_notify if there is no `plain`. Whatever else was due to be sent goes first.
///
/// `scratch` stands for input that was processed but not consumed, the begin of a handshake message: rustls remembers its
/// length and looks behind it for more, so it must be there, whatever it holds.
pub(super) fn seal<R: Role>(
    role: &mut R,
    scratch: &mut [u8],
    plain: Option<&[u8]>,
    out: &mut Vec<u8>,
) -> Result<(), TlsFault> {
    loop {
        match role.records(scratch).state.map_err(TlsFault::of)? {
            ConnectionState::EncodeTlsData(data) => encode(data, out)?,
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::WriteTraffic(traffic) => return write(traffic, plain, out),
            ConnectionState::PeerClosed => {}
            ConnectionState::Closed => return Err(TlsFault::Closed),
            ConnectionState::BlockedHandshake => return Err(TlsFault::Handshaking),
            other => return Err(unexpected(&other)),
        }
    }
}

/// Appends what an error left to be sent, the alert. Nothing else may be asked of the connection after an error: rustls would
/// look for input that it has seen before.
pub(super) fn flush<R: Role>(role: &mut R, out: &mut Vec<u8>) {
    while role.common().wants_write() {
        let Ok(ConnectionState::EncodeTlsData(data)) = role.records(&mut []).state else { return };
        if encode(data, out).is_err() {
            return;
        }
    }
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, out: &mut Vec<u8>) -> Result<(), TlsFault> {
    append(out, 0, |space| {
        data.encode(space).map_err(|error| match error {
            EncodeError::InsufficientSize(size) => Some(size.required_size),
            EncodeError::AlreadyEncoded => None,
        })
    })
}

fn write<D>(
    mut traffic: WriteTraffic<'_, D>,
    plain: Option<&[u8]>,
    out: &mut Vec<u8>,
) -> Result<(), TlsFault> {
    let length = plain.map_or(2, <[u8]>::len);
    let records = length.div_ceil(MAX_PLAINTEXT_BYTES);
    append(out, length.saturating_add(records.saturating_mul(RECORD_OVERHEAD_BYTES)), |space| {
        let written = match plain {
            Some(plain) => traffic.encrypt(plain, space),
            None => traffic.queue_close_notify(space),
        };
        written.map_err(|error| match error {
            EncryptError::InsufficientSize(size) => Some(size.required_size),
            EncryptError::EncryptExhausted => None,
        })
    })
}

/// Appends what `write` writes, which it does into `expected` bytes or asks for as many as it needs.
fn append(
    out: &mut Vec<u8>,
    expected: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Result<(), TlsFault> {
    let start = out.len();
    let mut size = expected;
    // The second try has the size that the first one asked for; a third can only be a fault of the library.
    for _ in 0..3 {
        out.resize(start.saturating_add(size), 0);
        match write(out.get_mut(start..).unwrap_or_default()) {
            Ok(written) => {
                out.truncate(start.saturating_add(written));
                return Ok(());
            }
            Err(Some(required)) => size = required,
            Err(None) => break,
        }
    }
    out.truncate(start);
    Err(TlsFault::Internal("a record could not be written".to_owned()))
}

fn unexpected<D>(state: &ConnectionState<'_, '_, D>) -> TlsFault {
    TlsFault::of(Error::General(format!("unexpected connection state {state:?}")))
}
