//! What a control plane sends, as core's facts.
//!
//! A resource is taken whole or not at all. An enumeration's value that is not known, an address that is none, a port beyond
//! 65,535 or a matcher without a content refuse the resource that has them: left out, they would let through what they were
//! meant to stop. Extensions are for others, but for one within a matcher, which would narrow it.

mod policy;
mod workload;

use crate::{authorization, workload as wire};
use culvert_core::mesh::{KeyError, Policy, Scope, Service, ServiceError, Workload, WorkloadError};
use prost::Message;
use std::net::IpAddr;
use std::sync::Arc;

/// The longest resource that is looked at, in bytes. No object of Kubernetes, of which a control plane makes resources, is longer
/// than 1.5 MiB; decoded, an empty matcher of two bytes takes some 300.
pub const MAX_RESOURCE_BYTES: usize = 2 << 20;

/// Why a resource was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// An address that has neither 4 nor 16 bytes.
    #[error("{field}: {length} bytes are no address")]
    Address {
        /// Where it stands.
        field: &'static str,
        /// How many bytes it has.
        length: usize,
    },
    /// A matcher that is narrowed by what is not known.
    #[error("a matcher has the extension {0:?}")]
    Extension(String),
    /// No name of a service or policy.
    #[error("{field}: {reason}")]
    Key {
        /// Where it stands.
        field: &'static str,
        /// What is wrong with it.
        reason: KeyError,
    },
    /// A workload that wants mutual TLS of a kind that is not spoken.
    #[error("the workload takes mutual TLS of sidecars only")]
    LegacyMutualTls,
    /// Something that is needed is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A number that is no port.
    #[error("{field}: {value} is no port")]
    Port {
        /// Where it stands.
        field: &'static str,
        /// The number.
        value: u32,
    },
    /// A prefix that is longer than an address.
    #[error("{field}: a prefix of {bits} bits is longer than the address")]
    Prefix {
        /// Where it stands.
        field: &'static str,
        /// The length of the prefix.
        bits: u32,
    },
    /// No message of protobuf, or none of the expected kind.
    #[error("no message: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// A service whose fields make none.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A resource that is longer than any can be.
    #[error("{0} bytes are more than a resource may have")]
    TooLong(usize),
    /// An enumeration's value that is not known.
    #[error("{field}: {value} is not known")]
    Unknown {
        /// Where it stands.
        field: &'static str,
        /// The value.
        value: i32,
    },
    /// A workload whose fields make none.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
}

/// Why a policy was not understood. Where its scope was, it denies there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct PolicyError {
    /// The scope, if that much was understood.
    pub scope: Option<Scope>,
    /// What was not.
    pub reason: DecodeError,
}

/// What an Address is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A service.
    Service(Service),
    /// A workload.
    Workload(Workload),
}

/// Decodes an `istio.workload.Address` (protos.md 4.1).
///
/// # Errors
/// The first thing in it that is not understood.
pub fn address(bytes: &[u8]) -> Result<Address, DecodeError> {
    let message: wire::Address = message(bytes)?;
    match message.r#type {
        Some(wire::address::Type::Workload(workload)) => workload::workload(workload).map(Address::Workload),
        Some(wire::address::Type::Service(service)) => workload::service(service).map(Address::Service),
        None => Err(DecodeError::Missing("workload or service")),
    }
}

/// Decodes an `istio.security.Authorization` (protos.md 4.2).
///
/// # Errors
/// The first thing in it that is not understood.
pub fn authorization(bytes: &[u8]) -> Result<Policy, PolicyError> {
    let message: authorization::Authorization =
        message(bytes).map_err(|reason| PolicyError { scope: None, reason })?;
    let scope = policy::scope(message.scope);
    policy::policy(message).map_err(|reason| PolicyError { scope: scope.ok(), reason })
}

fn message<M: Message + Default>(bytes: &[u8]) -> Result<M, DecodeError> {
    if bytes.len() > MAX_RESOURCE_BYTES {
        return Err(DecodeError::TooLong(bytes.len()));
    }
    Ok(M::decode(bytes)?)
}

fn text(text: String) -> Arc<str> {
    text.into()
}

fn ip(field: &'static str, bytes: &[u8]) -> Result<IpAddr, DecodeError> {
    let short = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let long = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    short.or_else(|_| long()).map_err(|_| DecodeError::Address { field, length: bytes.len() })
}

fn port(field: &'static str, value: u32) -> Result<u16, DecodeError> {
    u16::try_from(value).map_err(|_| DecodeError::Port { field, value })
}

fn prefix(field: &'static str, bits: u32) -> Result<u8, DecodeError> {
    u8::try_from(bits).map_err(|_| DecodeError::Prefix { field, bits })
}

/// An enumeration's value, if it is known.
fn known<E: TryFrom<i32>>(field: &'static str, value: i32) -> Result<E, DecodeError> {
    E::try_from(value).map_err(|_| DecodeError::Unknown { field, value })
}

#[cfg(test)]
mod tests;
