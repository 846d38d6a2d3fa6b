//! What an authority answers, checked before anybody uses it.

use std::collections::BTreeMap;

use culvert_core::identity::{Leaf, SpiffeId};
use culvert_linux::node::Material;
use rcgen::{KeyPair, PublicKeyData, SubjectPublicKeyInfo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::fault::AnswerError;

/// The credential that an answer holds: the leaf first, the root last. `roots`, where there are any, take the place of the answer's.
pub(crate) fn material(
    id: &SpiffeId,
    key: &KeyPair,
    answer: &[String],
    roots: Option<Vec<CertificateDer<'static>>>,
) -> Result<Material, AnswerError> {
    let mut chain = Vec::new();
    for (index, entry) in answer.iter().enumerate() {
        let found: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(entry.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| AnswerError::Pem { index })?;
        if found.is_empty() {
            return Err(AnswerError::Pem { index });
        }
        chain.extend(found);
    }
    let root = chain.pop().filter(|_| !chain.is_empty()).ok_or(AnswerError::NoRoot)?;
    let [first, ..] = chain.as_slice() else { return Err(AnswerError::NoRoot) };
    let leaf = Leaf::read(first).map_err(AnswerError::Leaf)?;
    if leaf.id != *id {
        return Err(AnswerError::OtherIdentity { wanted: id.clone(), found: leaf.id });
    }
    if !is_of(first, key) {
        return Err(AnswerError::Key);
    }
    Ok(Material {
        chain,
        key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        roots: roots.unwrap_or_else(|| vec![root]),
        federated: BTreeMap::new(),
    })
}

/// Whether a certificate is for this key.
fn is_of(certificate: &CertificateDer<'_>, key: &KeyPair) -> bool {
    let spki = webpki::EndEntityCert::try_from(certificate)
        .map(|certificate| certificate.subject_public_key_info().to_vec());
    let certified = spki.ok().and_then(|spki| SubjectPublicKeyInfo::from_der(&spki).ok());
    certified.is_some_and(|certified| certified.der_bytes() == key.der_bytes())
}
