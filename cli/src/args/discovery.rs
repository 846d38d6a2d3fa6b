//! How a node hears of the mesh from a control plane.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use culvert_channel::ChannelConfig;
use culvert_discovery::NodeIdentity;

use super::channel::{SYSTEM, header, roots};

/// The arguments of `culvert node` about its control plane.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct DiscoveryArgs {
    /// The control plane that tells of the mesh, such as `https://istiod.istio-system.svc:15012`
    #[arg(long, value_name = "URL")]
    pub xds: Option<String>,
    /// Who vouches for the control plane: a PEM file, PEM text, or SYSTEM for whom this machine trusts
    #[arg(long, value_name = "ROOTS", default_value = SYSTEM, requires = "xds")]
    pub xds_root_ca: String,
    /// The name that the control plane's certificate must bear, in place of the URL's host
    #[arg(long, value_name = "NAME", requires = "xds")]
    pub xds_hostname: Option<String>,
    /// A file with the token that is shown to the control plane, read anew for each connection
    #[arg(long, value_name = "FILE", requires = "xds")]
    pub xds_token: Option<PathBuf>,
    /// A header of each request to the control plane (repeatable)
    #[arg(long = "xds-header", value_name = "NAME=VALUE", value_parser = header, requires = "xds")]
    pub xds_headers: Vec<(String, String)>,
    /// What the control plane is told of this node besides (repeatable)
    #[arg(long = "xds-metadata", value_name = "NAME=VALUE", value_parser = header, requires = "xds")]
    pub xds_metadata: Vec<(String, String)>,
    /// Ask the control plane for workloads and services only as connections need them
    #[arg(long, requires = "xds")]
    pub xds_on_demand: bool,
    /// Where what the control plane said is kept, so that a node that starts without it can serve
    #[arg(long, value_name = "DIR", requires = "xds")]
    pub state: Option<PathBuf>,
    /// The Kubernetes node that this proxy serves, as the control plane knows it
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// The pod that this proxy runs in
    #[arg(long, value_name = "NAME")]
    pub pod_name: Option<String>,
    /// The namespace of that pod
    #[arg(long, value_name = "NAME")]
    pub pod_namespace: Option<String>,
    /// The address of that pod
    #[arg(long, value_name = "ADDRESS")]
    pub instance_ip: Option<IpAddr>,
}

/// How a control plane is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoverySettings {
    /// How it is reached.
    pub channel: ChannelConfig,
    /// Who asks.
    pub identity: NodeIdentity,
    /// Whether workloads and services are asked for only as connections need them.
    pub on_demand: bool,
    /// Where what it said is kept.
    pub state: Option<PathBuf>,
}

impl DiscoveryArgs {
    /// The settings, if there is a control plane.
    pub(super) fn settings(self, cluster_id: Option<String>) -> Option<DiscoverySettings> {
        let channel = ChannelConfig {
            roots: roots(self.xds_root_ca),
            alternative_hostname: self.xds_hostname,
            token: self.xds_token,
            cluster_id: cluster_id.clone(),
            headers: self.xds_headers,
            ..ChannelConfig::new(self.xds?)
        };
        let cluster = cluster_id.map(|cluster| ("CLUSTER_ID".to_owned(), cluster));
        let identity = NodeIdentity {
            address: self.instance_ip,
            pod: self.pod_name.unwrap_or_else(|| "culvert".into()),
            namespace: self.pod_namespace.unwrap_or_else(|| "default".into()),
            node: self.node_name.unwrap_or_default(),
            metadata: cluster.into_iter().chain(self.xds_metadata).collect::<BTreeMap<_, _>>(),
        };
        Some(DiscoverySettings { channel, identity, on_demand: self.xds_on_demand, state: self.state })
    }
}
