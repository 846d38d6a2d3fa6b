//! The facts of a mesh in one piece, as they are written in a file (node.md 1.14).

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::key::{PolicyKey, ServiceKey, Uid};
use super::policy::Policy;
use super::service::Service;
use super::workload::Workload;

/// All facts of a mesh. Reading the text is the caller's part; unknown fields and repeated keys are errors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MeshFile {
    /// The workloads, each with its own uid.
    #[serde(deserialize_with = "unique")]
    pub workloads: Vec<Arc<Workload>>,
    /// The policies, each with its own key.
    #[serde(deserialize_with = "unique")]
    pub policies: Vec<Arc<Policy>>,
    /// The services, each with its own key.
    #[serde(deserialize_with = "unique")]
    pub services: Vec<Arc<Service>>,
}

/// Why facts make no mesh.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeshError {
    /// Two policies have one key.
    #[error("policy {0} appears twice")]
    DuplicatePolicy(PolicyKey),
    /// Two services have one key.
    #[error("service {0} appears twice")]
    DuplicateService(ServiceKey),
    /// Two workloads have one uid.
    #[error("workload {0} appears twice")]
    DuplicateWorkload(Uid),
}

impl MeshFile {
    /// Checks that no key appears twice; reading the text has checked it already.
    ///
    /// # Errors
    ///
    /// The first key that appears twice.
    pub fn check(&self) -> Result<(), MeshError> {
        first_repeated(&self.workloads)?;
        first_repeated(&self.services)?;
        first_repeated(&self.policies)
    }
}

trait Keyed {
    type Key: Ord;
    fn key(&self) -> Self::Key;
    fn repeated(key: Self::Key) -> MeshError;
}

impl Keyed for Workload {
    type Key = Uid;

    fn key(&self) -> Uid {
        self.uid.clone()
    }

    fn repeated(key: Uid) -> MeshError {
        MeshError::DuplicateWorkload(key)
    }
}

impl Keyed for Service {
    type Key = ServiceKey;

    fn key(&self) -> ServiceKey {
        self.key.clone()
    }

    fn repeated(key: ServiceKey) -> MeshError {
        MeshError::DuplicateService(key)
    }
}

impl Keyed for Policy {
    type Key = PolicyKey;

    fn key(&self) -> PolicyKey {
        Policy::key(self)
    }

    fn repeated(key: PolicyKey) -> MeshError {
        MeshError::DuplicatePolicy(key)
    }
}

fn first_repeated<T: Keyed>(items: &[Arc<T>]) -> Result<(), MeshError> {
    let mut seen = BTreeSet::new();
    match items.iter().find(|item| !seen.insert(item.key())) {
        Some(item) => Err(T::repeated(item.key())),
        None => Ok(()),
    }
}

fn unique<'de, D, T>(deserializer: D) -> Result<Vec<Arc<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Keyed + DeserializeOwned,
{
    deserializer.deserialize_option(UniqueVisitor(PhantomData))
}

/// Refuses a repeated key where it stands, so that the reader of the text can name the line.
struct UniqueVisitor<T>(PhantomData<T>);

impl<'de, T: Keyed + DeserializeOwned> Visitor<'de> for UniqueVisitor<T> {
    type Value = Vec<Arc<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Arc<T>>, A::Error> {
        let mut seen = BTreeSet::new();
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<Arc<T>>()? {
            if !seen.insert(item.key()) {
                return Err(A::Error::custom(T::repeated(item.key())));
            }
            items.push(item);
        }
        Ok(items)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Arc<T>>, D::Error> {
        deserializer.deserialize_seq(self)
    }

    // A key with nothing after it: a list without items.
    fn visit_none<E: serde::de::Error>(self) -> Result<Vec<Arc<T>>, E> {
        Ok(Vec::new())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Vec<Arc<T>>, E> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests;
