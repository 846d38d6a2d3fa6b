//! Authorization policies as facts; what they mean is in [`crate::policy`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::address::Cidr;
use super::key::PolicyKey;

/// An authorization policy of layer 4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// The name within the namespace.
    pub name: Arc<str>,
    /// The namespace.
    pub namespace: Arc<str>,
    /// To which workloads it applies.
    pub scope: Scope,
    /// What it does with connections that match.
    pub action: Action,
    /// Rules, of which one must match; each of clauses, of which all must match; each of matches, of which one must.
    #[serde(default)]
    pub rules: Vec<Vec<Vec<Match>>>,
    /// Whether it is only reported, never enforced.
    #[serde(default)]
    pub dry_run: bool,
}

impl Policy {
    /// The key.
    pub fn key(&self) -> PolicyKey {
        PolicyKey::new(self.namespace.clone(), self.name.clone())
    }
}

/// To which workloads a policy applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// All.
    Global,
    /// Those of its namespace.
    Namespace,
    /// Those that name it.
    WorkloadSelector,
}

/// What a policy does with connections that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// They are allowed, and others are not unless another policy allows them.
    Allow,
    /// They are denied.
    Deny,
}

/// What a connection must be like: in each kind of attribute, one of the first list (if it is not empty) and none of the
/// second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the attributes are those of protos.md 4.2, and their names say which")]
pub struct Match {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<StringMatch>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_namespaces: Vec<StringMatch>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_accounts: Vec<ServiceAccountMatch>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_service_accounts: Vec<ServiceAccountMatch>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub principals: Vec<StringMatch>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_principals: Vec<StringMatch>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_ips: Vec<Cidr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_source_ips: Vec<Cidr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destination_ips: Vec<Cidr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_destination_ips: Vec<Cidr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destination_ports: Vec<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_destination_ports: Vec<u16>,
}

/// How a text must look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StringMatch {
    /// It is this.
    Exact(Arc<str>),
    /// It starts with this.
    Prefix(Arc<str>),
    /// It is not empty.
    Presence,
    /// It ends with this.
    Suffix(Arc<str>),
}

/// A service account of any trust domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccountMatch {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The service account.
    pub service_account: Arc<str>,
}

/// What is known of a policy that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyEntry {
    /// It was understood.
    Decoded(Arc<Policy>),
    /// It was not understood, and denies wherever it could apply (node.md B5).
    Undecodable {
        /// Its scope, if that much was understood. Else it counts for its namespace and for whoever names it.
        scope: Option<Scope>,
        /// What was not understood.
        reason: Arc<str>,
    },
}

impl PolicyEntry {
    /// The scope, if it is known.
    pub fn scope(&self) -> Option<Scope> {
        match self {
            PolicyEntry::Decoded(policy) => Some(policy.scope),
            PolicyEntry::Undecodable { scope, .. } => *scope,
        }
    }
}
