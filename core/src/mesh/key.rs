//! The names by which the three kinds of facts are known.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not NAMESPACE/NAME")]
pub struct KeyError(String);

/// The unique name of a workload, such as `cluster1//Pod/default/web-0`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(Arc<str>);

impl Uid {
    /// Makes a name of a text.
    pub fn new(text: impl Into<Arc<str>>) -> Uid {
        Uid(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names a Kubernetes pod: `Pod` stands as the kind before namespace and name.
    pub fn is_pod(&self) -> bool {
        self.0.rsplit('/').skip(2).any(|part| part == "Pod")
    }
}

impl Borrow<str> for Uid {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Uid {
        Uid(text.into())
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of a service: its namespace and hostname, written `NAMESPACE/HOSTNAME`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceKey {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The full hostname, such as `web.default.svc.cluster.local`.
    pub hostname: Arc<str>,
}

/// The key of a policy: its namespace and name, written `NAMESPACE/NAME`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyKey {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

macro_rules! pair_key {
    ($($key:ident { $second:ident }),*) => {$(
        impl $key {
            /// Makes a key of its parts.
            pub fn new(namespace: impl Into<Arc<str>>, $second: impl Into<Arc<str>>) -> $key {
                $key { namespace: namespace.into(), $second: $second.into() }
            }
        }

        impl FromStr for $key {
            type Err = KeyError;

            fn from_str(text: &str) -> Result<$key, KeyError> {
                match text.split_once('/') {
                    Some((namespace, rest)) if !namespace.is_empty() && !rest.is_empty() && !rest.contains('/') => {
                        Ok($key::new(namespace, rest))
                    }
                    _ => Err(KeyError(text.to_owned())),
                }
            }
        }

        impl TryFrom<String> for $key {
            type Error = KeyError;

            fn try_from(text: String) -> Result<$key, KeyError> {
                text.parse()
            }
        }

        impl From<$key> for String {
            fn from(key: $key) -> String {
                key.to_string()
            }
        }

        impl fmt::Display for $key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.namespace, self.$second)
            }
        }

        impl fmt::Debug for $key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

pair_key!(ServiceKey { hostname }, PolicyKey { name });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_told_by_its_kind_and_not_by_its_name() {
        assert!(Uid::from("cluster1//v1/Pod/default/a").is_pod());
        assert!(Uid::from("Kubernetes//Pod/default/a").is_pod());
        assert!(!Uid::from("Kubernetes/networking.istio.io/WorkloadEntry/Pod/Pod").is_pod());
        assert!(!Uid::from("Pod").is_pod());
    }

    #[test]
    fn keys_print_as_they_parse() {
        let key: PolicyKey = "default/deny-all".parse().unwrap();
        assert_eq!(key, PolicyKey::new("default", "deny-all"));
        assert_eq!(key.to_string(), "default/deny-all");
        for text in ["", "x", "/x", "x/", "a/b/c"] {
            assert!(text.parse::<ServiceKey>().is_err(), "{text}");
        }
    }
}
