//! Which port of a workload stands behind which port of a service.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A map from service port to target port. Target 0 means: named or unknown, each endpoint knows its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortMap(Box<[(u16, u16)]>);

impl PortMap {
    /// The target port of a service port; `None` if the service has no such port.
    pub fn target(&self, service_port: u16) -> Option<u16> {
        let at = self.0.binary_search_by_key(&service_port, |&(port, _)| port).ok()?;
        self.0.get(at).map(|&(_, target)| target)
    }

    /// The pairs of service port and target port, by service port.
    pub fn pairs(&self) -> &[(u16, u16)] {
        &self.0
    }
}

/// Of two pairs with one service port the later one stays.
impl FromIterator<(u16, u16)> for PortMap {
    fn from_iter<I: IntoIterator<Item = (u16, u16)>>(pairs: I) -> PortMap {
        let sorted: BTreeMap<u16, u16> = pairs.into_iter().collect();
        PortMap(sorted.into_iter().collect())
    }
}

impl Serialize for PortMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

impl<'de> Deserialize<'de> for PortMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PortMap, D::Error> {
        deserializer.deserialize_map(PortsVisitor)
    }
}

struct PortsVisitor;

impl<'de> Visitor<'de> for PortsVisitor {
    type Value = PortMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of service ports to target ports")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PortMap, A::Error> {
        let mut pairs = BTreeMap::new();
        while let Some((port, target)) = map.next_entry::<u16, u16>()? {
            if port == 0 {
                return Err(A::Error::custom("0 is no service port"));
            }
            if pairs.insert(port, target).is_some() {
                return Err(A::Error::custom(format_args!("service port {port} appears twice")));
            }
        }
        Ok(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_or_absent() {
        let ports: PortMap = [(443, 0), (80, 8080), (80, 8081)].into_iter().collect();
        assert_eq!(ports.target(80), Some(8081));
        assert_eq!(ports.target(443), Some(0));
        assert_eq!(ports.target(8080), None);
        assert_eq!(ports.pairs(), [(80, 8081), (443, 0)]);
    }
}
