//! Where a node's certificates come from, beside files, and what is revoked.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use culvert_channel::ChannelConfig;

use super::channel::{SYSTEM, header, roots};

use super::value::duration;

/// The arguments of `culvert node` about certificates.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct CertificateArgs {
    /// Istio's certificate service, as https://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub ca_address: Option<String>,
    /// Who vouches for the certificate service: a PEM file, PEM text, or SYSTEM for whom this machine trusts
    #[arg(long, value_name = "ROOTS", default_value = SYSTEM, requires = "ca_address")]
    pub ca_root_ca: String,
    /// The bearer token that says who asks, read at each request
    #[arg(long, value_name = "FILE", requires = "ca_address")]
    pub ca_token: Option<PathBuf>,
    /// A header of each request (repeatable)
    #[arg(long = "ca-header", value_name = "NAME=VALUE", value_parser = header, requires = "ca_address")]
    pub ca_headers: Vec<(String, String)>,
    /// The name that the service's certificate must bear, in place of the URL's host
    #[arg(long, value_name = "NAME", requires = "ca_address")]
    pub ca_hostname: Option<String>,
    /// Ask for one's own identity only, as a node of one workload does
    #[arg(long, requires = "ca_address")]
    pub ca_own_identity: bool,
    /// How long certificates shall be valid
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "24h")]
    pub secret_ttl: Duration,
    /// A SPIFFE Workload API that hands out certificates and bundles, as unix:///PATH or a path
    #[arg(long, value_name = "SOCKET")]
    pub spiffe_endpoint_socket: Option<String>,
    /// Certificate revocation lists, in PEM or DER; read again when they change
    #[arg(long, value_name = "PATH")]
    pub crl: Option<PathBuf>,
}

/// How Istio's certificate service is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IstioSettings {
    /// How it is reached.
    pub channel: ChannelConfig,
    /// How long certificates shall be valid.
    pub ttl: Duration,
    /// Whether it is told for whom a certificate is.
    pub impersonate: bool,
}

impl CertificateArgs {
    /// How the certificate service is asked, if there is one.
    pub(super) fn istio(&self, cluster_id: Option<&str>) -> Option<IstioSettings> {
        let mut channel = ChannelConfig::new(self.ca_address.clone()?);
        channel.roots = roots(self.ca_root_ca.clone());
        channel.token.clone_from(&self.ca_token);
        channel.headers.clone_from(&self.ca_headers);
        channel.alternative_hostname.clone_from(&self.ca_hostname);
        channel.cluster_id = cluster_id.map(str::to_owned);
        Some(IstioSettings { channel, ttl: self.secret_ttl, impersonate: !self.ca_own_identity })
    }

    /// The Workload API, if there is one; a path alone means a socket of this machine.
    pub(super) fn spiffe(&self) -> Option<String> {
        let endpoint = self.spiffe_endpoint_socket.as_deref()?;
        Some(if endpoint.contains("://") || endpoint.starts_with("unix:") {
            endpoint.to_owned()
        } else {
            format!("unix://{endpoint}")
        })
    }
}
