//! Who asks (node.md row 71).

use culvert_proto::discovery::Node;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// The address of a node that knows none of its own.
const NO_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1));

/// A node proxy as a control plane knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The address of the proxy's pod.
    pub address: Option<IpAddr>,
    /// The name of the proxy's pod.
    pub pod: String,
    /// The namespace of the proxy's pod.
    pub namespace: String,
    /// The node that it serves.
    pub node: String,
    /// What else the control plane is to know, by name.
    pub metadata: BTreeMap<String, String>,
}

impl NodeIdentity {
    /// As it stands in the first request of a stream. A control plane of Istio's knows by the first word of the id that it
    /// speaks to a node proxy.
    pub(crate) fn message(&self) -> Node {
        let NodeIdentity { pod, namespace, node, .. } = self;
        let address = self.address.unwrap_or(NO_ADDRESS);
        let own = [
            ("NAME", pod.clone()),
            ("NAMESPACE", namespace.clone()),
            ("INSTANCE_IPS", address.to_string()),
            ("NODE_NAME", node.clone()),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        let text = |value: String| Value { kind: Some(Kind::StringValue(value)) };
        Node {
            id: format!("ztunnel~{address}~{pod}.{namespace}~{namespace}.svc.cluster.local"),
            metadata: Some(Struct {
                fields: self
                    .metadata
                    .clone()
                    .into_iter()
                    .chain(own)
                    .map(|(name, value)| (name, text(value)))
                    .collect(),
            }),
            build_version: concat!("culvert ", env!("CARGO_PKG_VERSION")).into(),
            ..Node::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_who_it_is_as_node_proxies_do() {
        let identity = NodeIdentity {
            address: None,
            pod: "culvert-x".into(),
            namespace: "mesh-system".into(),
            node: "k1".into(),
            metadata: [("CLUSTER".into(), "east".into()), ("NAME".into(), "not mine".into())].into(),
        };
        let message = identity.message();
        assert_eq!(message.id, "ztunnel~1.1.1.1~culvert-x.mesh-system~mesh-system.svc.cluster.local");
        let fields = message.metadata.unwrap().fields;
        let text = |name: &str| match &fields[name].kind {
            Some(Kind::StringValue(text)) => text.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!((text("NODE_NAME"), text("NAMESPACE")), ("k1".into(), "mesh-system".into()));
        assert_eq!((text("CLUSTER"), text("NAME")), ("east".into(), "culvert-x".into()));
    }
}
