//! Record protection with the sizes of AES-GCM: a stream that hides the plaintext from a careless eye, and a tag that detects
//! changes.

use super::sponge::{Sponge, apply_stream};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
    UnsupportedOperationError, make_tls13_aad,
};
use rustls::{ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion};

/// Length of the tag of AES-GCM (RFC 5116 section 5.1).
const TAG_BYTES: usize = 16;
const SEAL: u64 = 0x7365_616c;

pub(super) static AES_256_GCM: Algorithm = Algorithm { key_bytes: 32 };
pub(super) static AES_128_GCM: Algorithm = Algorithm { key_bytes: 16 };

pub(super) struct Algorithm {
    key_bytes: usize,
}

impl Tls13AeadAlgorithm for Algorithm {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Direction::new(&key, &iv))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Direction::new(&key, &iv))
    }

    fn key_len(&self) -> usize {
        self.key_bytes
    }

    /// Never gives its keys away: nobody else could use them.
    fn extract_keys(
        &self,
        _key: AeadKey,
        _iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

/// One direction of a connection, under one key.
struct Direction {
    keyed: Sponge,
}

impl Direction {
    fn new(key: &AeadKey, iv: &Iv) -> Direction {
        let mut keyed = Sponge::new(SEAL);
        keyed.absorb_item(key.as_ref());
        keyed.absorb_item(iv.as_ref());
        Direction { keyed }
    }

    /// The key of the stream of record `sequence`, and the tag's sponge, which waits for the ciphertext.
    fn record(&self, sequence: u64, payload_bytes: usize) -> ([u64; 2], Sponge) {
        let mut sponge = self.keyed.clone();
        sponge.absorb(&sequence.to_le_bytes());
        let stream = sponge.words();
        sponge.absorb(&make_tls13_aad(payload_bytes));
        (stream, sponge)
    }
}

impl MessageEncrypter for Direction {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let length = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(length);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&message.typ.to_array());
        let (stream, mut tag) = self.record(sequence, length);
        apply_stream(stream, payload.as_mut());
        tag.absorb(payload.as_ref());
        payload.extend_from_slice(&tag.bytes::<TAG_BYTES>());
        Ok(OutboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, payload))
    }

    fn encrypted_payload_len(&self, payload_bytes: usize) -> usize {
        payload_bytes.saturating_add(1 + TAG_BYTES)
    }
}

impl MessageDecrypter for Direction {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let length = message.payload.len();
        let (stream, mut tag) = self.record(sequence, length);
        let (sealed, found) =
            message.payload.split_last_chunk_mut::<TAG_BYTES>().ok_or(Error::DecryptError)?;
        tag.absorb(sealed);
        if tag.bytes::<TAG_BYTES>() != *found {
            return Err(Error::DecryptError);
        }
        apply_stream(stream, sealed);
        message.payload.truncate(length.saturating_sub(TAG_BYTES));
        message.into_tls13_unpadded_message()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::cipher::OutboundChunks;

    fn direction(key: u8, iv: u8) -> Direction {
        Direction::new(&AeadKey::from([key; 32]), &Iv::from([iv; 12]))
    }

    fn seal(plain: &[u8], sequence: u64) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ: ContentType::ApplicationData,
            version: ProtocolVersion::TLSv1_3,
            payload: OutboundChunks::Single(plain),
        };
        direction(1, 2).encrypt(message, sequence).unwrap().payload.as_ref().to_vec()
    }

    fn open(mut direction: Direction, sealed: &[u8], sequence: u64) -> Result<Vec<u8>, Error> {
        let mut sealed = sealed.to_vec();
        let message =
            InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, &mut sealed);
        direction.decrypt(message, sequence).map(|plain| plain.payload.to_vec())
    }

    #[test]
    fn a_record_opens_in_its_place_under_its_key_only() {
        for length in [0, 1, 7, 8, 31, 32, 33, 1000, 16_384] {
            let plain: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let sealed = seal(&plain, 3);
            assert_eq!(sealed.len(), length + 17);
            assert!(
                length < 8 || !sealed.windows(8).any(|window| window == &plain[..8]),
                "{length} in the clear"
            );
            assert_eq!(open(direction(1, 2), &sealed, 3), Ok(plain));
            assert_eq!(open(direction(1, 2), &sealed, 4), Err(Error::DecryptError));
            assert_eq!(open(direction(9, 2), &sealed, 3), Err(Error::DecryptError));
            assert_eq!(open(direction(1, 9), &sealed, 3), Err(Error::DecryptError));
        }
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_detected() {
        let sealed = seal(&[5; 100], 0);
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(direction(1, 2), &changed, 0), Err(Error::DecryptError), "bit {bit}");
        }
        for length in 0..sealed.len() {
            let cut = open(direction(1, 2), &sealed[..length], 0);
            assert_eq!(cut, Err(Error::DecryptError), "cut to {length}");
        }
    }

    #[test]
    fn keys_are_not_given_away() {
        assert!(AES_256_GCM.extract_keys(AeadKey::from([0; 32]), Iv::from([0; 12])).is_err());
        assert_eq!((AES_256_GCM.key_len(), AES_128_GCM.key_len()), (32, 16));
    }
}
