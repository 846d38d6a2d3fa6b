//! The messages of delta xDS, as the session in core knows them, and the other way.

use crate::decode::{self, Address};
use crate::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Resource as Wire};
use crate::{ADDRESS, AUTHORIZATION, encode, rpc};
use culvert_core::mesh::{PolicyKey, Scope};
use culvert_core::xds::{Fact, Rejection, Request, Resource, ResourceType, Response};
use prost::Message;
use prost_types::Any;

/// The code of a NACK: invalid argument (`google.rpc.Code`).
const INVALID_ARGUMENT: i32 = 3;

/// A type of resources that was not asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("resources of the type {0:?} were not asked for")]
pub struct UnknownType(pub String);

/// The type URL of a kind of resources (node.md row 72).
pub fn type_url(of: ResourceType) -> &'static str {
    match of {
        ResourceType::Address => ADDRESS,
        ResourceType::Authorization => AUTHORIZATION,
    }
}

/// The kind of resources that a type URL stands for.
///
/// # Errors
/// None that a node asks for.
pub fn resource_type(url: &str) -> Result<ResourceType, UnknownType> {
    match url {
        ADDRESS => Ok(ResourceType::Address),
        AUTHORIZATION => Ok(ResourceType::Authorization),
        other => Err(UnknownType(other.chars().take(256).collect())),
    }
}

/// What a control plane said; each resource decoded, or with the reason why it could not be.
///
/// # Errors
/// It is of a kind that a node does not ask for.
pub fn response(message: DeltaDiscoveryResponse) -> Result<Response, UnknownType> {
    let of = resource_type(&message.type_url)?;
    Ok(Response {
        resource_type: of,
        nonce: message.nonce.into(),
        resources: message.resources.into_iter().map(|resource| decoded(of, resource)).collect(),
        removed: message.removed_resources.into_iter().map(Into::into).collect(),
    })
}

fn decoded(of: ResourceType, message: Wire) -> Resource {
    Resource {
        name: message.name.into(),
        version: message.version.into(),
        aliases: message.aliases.into_iter().map(Into::into).collect(),
        content: content(of, message.resource),
    }
}

fn content(of: ResourceType, any: Option<Any>) -> Result<Fact, Rejection> {
    let refuse = |reason: String| Rejection { scope: None, reason: reason.into() };
    let any = any.ok_or_else(|| refuse("it has no content".into()))?;
    if any.type_url != type_url(of) {
        return Err(refuse(format!(
            "it is of the type {:?}",
            any.type_url.chars().take(256).collect::<String>()
        )));
    }
    match of {
        ResourceType::Address => match decode::address(&any.value) {
            Ok(Address::Service(service)) => Ok(Fact::Service(service.into())),
            Ok(Address::Workload(workload)) => Ok(Fact::Workload(workload.into())),
            Err(error) => Err(refuse(error.to_string())),
        },
        ResourceType::Authorization => match decode::authorization(&any.value) {
            Ok(policy) => Ok(Fact::Policy(policy.into())),
            Err(error) => Err(Rejection { scope: error.scope, reason: error.to_string().into() }),
        },
    }
}

/// What is sent to a control plane; with `node` in the first request of a stream.
pub fn request(request: Request, node: Option<Node>) -> DeltaDiscoveryRequest {
    let texts = |names: Vec<std::sync::Arc<str>>| names.iter().map(ToString::to_string).collect();
    DeltaDiscoveryRequest {
        node,
        type_url: type_url(request.resource_type).into(),
        resource_names_subscribe: texts(request.subscribe),
        resource_names_unsubscribe: texts(request.unsubscribe),
        initial_resource_versions: request
            .initial_versions
            .iter()
            .map(|(name, version)| (name.to_string(), version.to_string()))
            .collect(),
        response_nonce: request.nonce.to_string(),
        error_detail: request.error.map(|message| rpc::Status {
            code: INVALID_ARGUMENT,
            message,
            ..rpc::Status::default()
        }),
    }
}

/// A fact as a resource in some version.
pub fn resource(fact: &Fact, version: &str) -> Wire {
    let (url, value) = match fact {
        Fact::Policy(policy) => (AUTHORIZATION, encode::authorization(policy).encode_to_vec()),
        Fact::Service(service) => (ADDRESS, encode::service(service).encode_to_vec()),
        Fact::Workload(workload) => (ADDRESS, encode::workload(workload).encode_to_vec()),
    };
    wire(fact.name(), version, url, value)
}

/// A policy that was not understood, as a resource that is not understood either.
pub fn undecodable(key: &PolicyKey, scope: Option<Scope>, version: &str) -> Wire {
    wire(key.to_string(), version, AUTHORIZATION, encode::undecodable(key, scope).encode_to_vec())
}

fn wire(name: String, version: &str, url: &str, value: Vec<u8>) -> Wire {
    Wire {
        name,
        version: version.into(),
        resource: Some(Any { type_url: url.into(), value }),
        ..Wire::default()
    }
}
