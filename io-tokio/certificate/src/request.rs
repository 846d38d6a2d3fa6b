//! What an authority is asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use culvert_core::identity::SpiffeId;
use culvert_proto::certificate::IstioCertificateRequest;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};

use crate::fault::FetchError;

/// The name under which the authority is told for whom a node asks that is not the caller (node.md row 78).
const IMPERSONATED: &str = "ImpersonatedIdentity";

/// A new key, and the request to certify it for `id`: without a subject, the id a critical URI name (node.md row 78).
pub(crate) fn request(
    id: &SpiffeId,
    ttl: Duration,
    impersonate: bool,
) -> Result<(KeyPair, IstioCertificateRequest), FetchError> {
    let refused = |error: rcgen::Error| FetchError::Request(error.to_string());
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(refused)?;
    let mut params = CertificateParams::default();
    // A name that is there, even an empty one of a default, would make the URI name uncritical.
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(id.to_string().try_into().map_err(refused)?)];
    let csr = params.serialize_request(&key).and_then(|request| request.pem()).map_err(refused)?;
    let metadata = impersonate.then(|| {
        let id = Value { kind: Some(Kind::StringValue(id.to_string())) };
        Struct { fields: BTreeMap::from([(IMPERSONATED.to_owned(), id)]) }
    });
    let validity_duration = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
    Ok((key, IstioCertificateRequest { csr, validity_duration, metadata }))
}
