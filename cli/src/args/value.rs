//! Values of single arguments: workload names, pods, forwards and durations.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use culvert_core::identity::{SpiffeId, SpiffeIdError};

/// Why the text of an argument is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not of the form `NAMESPACE/NAME/SERVICE_ACCOUNT`.
    #[error("expected NAMESPACE/NAME/SERVICE_ACCOUNT, such as shop/frontend-7d4b/frontend")]
    Workload,
    /// The namespace or the service account cannot be a part of a SPIFFE id.
    #[error("{0}")]
    Identity(#[from] SpiffeIdError),
    /// Not of the form `NAMESPACE/NAME/SERVICE_ACCOUNT=NETNS`.
    #[error(
        "expected NAMESPACE/NAME/SERVICE_ACCOUNT=NETNS, such as shop/frontend/frontend=/run/netns/frontend"
    )]
    Pod,
    /// Not of the form `LISTEN=TARGET`.
    #[error("expected LISTEN=TARGET, each ADDRESS:PORT, such as 127.0.0.1:9000=10.0.0.7:80")]
    Forward,
    /// A forward to port 0 has nowhere to go.
    #[error("the target's port must not be 0")]
    TargetPort,
    /// Not of the form `NAME=VALUE`.
    #[error("expected NAME=VALUE, such as connect-response=15s")]
    Limit,
    /// No bound of this name.
    #[error("no limit has this name; `culvert node --help` lists them")]
    LimitName,
    /// Not a time.
    #[error("expected a number and a unit (ms, s, m or h), such as 10s")]
    LimitTime,
    /// Not a count.
    #[error("expected a number above 0")]
    LimitCount,
    /// Not a size, or too large for what it bounds.
    #[error("expected bytes with or without KiB, MiB or GiB, such as 4MiB; windows below 2GiB")]
    LimitBytes,
    /// Not a duration.
    #[error("expected a number and a unit (s, m, h or d), such as 24h")]
    Duration,
    /// A duration of nothing.
    #[error("must be longer than 0")]
    ZeroDuration,
}

/// A workload as operators name it: `NAMESPACE/NAME/SERVICE_ACCOUNT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkloadName {
    /// The Kubernetes namespace.
    pub namespace: String,
    /// The pod's name, unique in its namespace.
    pub name: String,
    /// The Kubernetes service account.
    pub service_account: String,
}

impl WorkloadName {
    /// The workload's identity in `trust_domain`.
    pub fn identity(&self, trust_domain: &str) -> Result<SpiffeId, SpiffeIdError> {
        SpiffeId::new(trust_domain, &self.namespace, &self.service_account)
    }
}

impl FromStr for WorkloadName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<WorkloadName, ValueError> {
        let mut parts = text.split('/');
        let (Some(namespace), Some(name), Some(service_account), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ValueError::Workload);
        };
        if name.is_empty() || namespace.is_empty() || service_account.is_empty() {
            return Err(ValueError::Workload);
        }
        // Any valid trust domain shows whether the other two parts can make an identity.
        SpiffeId::new("cluster.local", namespace, service_account)?;
        Ok(WorkloadName {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            service_account: service_account.to_owned(),
        })
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.name, self.service_account)
    }
}

/// A workload and the network namespace it lives in: `NAMESPACE/NAME/SERVICE_ACCOUNT=NETNS`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pod {
    /// Which workload.
    pub workload: WorkloadName,
    /// A path to its network namespace, such as `/run/netns/frontend` or `/proc/4711/ns/net`.
    pub netns: PathBuf,
}

impl FromStr for Pod {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Pod, ValueError> {
        let (workload, netns) = text.split_once('=').ok_or(ValueError::Pod)?;
        if netns.is_empty() {
            return Err(ValueError::Pod);
        }
        Ok(Pod { workload: workload.parse()?, netns: netns.into() })
    }
}

/// A port on which the node takes connections as if the workload had made them to `target`: `LISTEN=TARGET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Forward {
    /// Where the node listens.
    pub listen: SocketAddr,
    /// The destination the connection is treated as having been made to.
    pub target: SocketAddr,
}

impl FromStr for Forward {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Forward, ValueError> {
        let (listen, target) = text.split_once('=').ok_or(ValueError::Forward)?;
        let listen = listen.parse().map_err(|_| ValueError::Forward)?;
        let target: SocketAddr = target.parse().map_err(|_| ValueError::Forward)?;
        if target.port() == 0 {
            return Err(ValueError::TargetPort);
        }
        Ok(Forward { listen, target })
    }
}

/// Parses a duration such as `90s`, `15m`, `24h` or `7d`.
pub fn duration(text: &str) -> Result<Duration, ValueError> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or(ValueError::Duration)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| ValueError::Duration)?;
    let unit_seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(ValueError::Duration),
    };
    match number.checked_mul(unit_seconds) {
        None => Err(ValueError::Duration),
        Some(0) => Err(ValueError::ZeroDuration),
        Some(seconds) => Ok(Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_name_has_three_parts_fit_for_an_identity() {
        let workload: WorkloadName = "shop/frontend-1/frontend".parse().unwrap();
        assert_eq!(
            workload.identity("cluster.local").unwrap().to_string(),
            "spiffe://cluster.local/ns/shop/sa/frontend"
        );
        assert_eq!("shop/frontend".parse::<WorkloadName>(), Err(ValueError::Workload));
        assert_eq!("shop/a/b/c".parse::<WorkloadName>(), Err(ValueError::Workload));
        assert_eq!("shop//b".parse::<WorkloadName>(), Err(ValueError::Workload));
        assert_eq!("shop/a/..".parse::<WorkloadName>(), Err(ValueError::Identity(SpiffeIdError::Segment)));
    }

    #[test]
    fn a_pod_names_its_namespace() {
        let pod: Pod = "shop/a/b=/run/netns/x=y".parse().unwrap();
        assert_eq!(pod.netns, PathBuf::from("/run/netns/x=y"));
        assert_eq!("shop/a/b".parse::<Pod>(), Err(ValueError::Pod));
        assert_eq!("shop/a/b=".parse::<Pod>(), Err(ValueError::Pod));
    }

    #[test]
    fn a_forward_has_two_addresses() {
        let forward: Forward = "127.0.0.1:9000=[fd00::7]:80".parse().unwrap();
        assert_eq!(forward.target.port(), 80);
        assert!("127.0.0.1:0=10.0.0.1:80".parse::<Forward>().is_ok());
        assert_eq!("127.0.0.1:9000".parse::<Forward>(), Err(ValueError::Forward));
        assert_eq!("127.0.0.1:1=10.0.0.1:0".parse::<Forward>(), Err(ValueError::TargetPort));
    }

    #[test]
    fn a_duration_needs_a_unit_and_is_not_zero() {
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(duration("10"), Err(ValueError::Duration));
        assert_eq!(duration("h"), Err(ValueError::Duration));
        assert_eq!(duration("0s"), Err(ValueError::ZeroDuration));
        assert_eq!(duration("99999999999999999d"), Err(ValueError::Duration));
    }

    quickcheck::quickcheck! {
        fn no_argument_text_panics(text: String) -> bool {
            let _ = text.parse::<WorkloadName>();
            let _ = text.parse::<Pod>();
            let _ = text.parse::<Forward>();
            let _ = duration(&text);
            true
        }
    }
}
