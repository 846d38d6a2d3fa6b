//! An authenticated gRPC channel to a control plane.
//!
//! A [`ChannelConfig`] says where the control plane is, whom to believe that it is the one, and how to say who we are.
//! A [`Connector`] made of it dials: each [`Channel`] is one HTTP/2 connection, over TLS unless the URL says otherwise, on
//! which the generated clients of tonic run. A channel that ended is not revived behind the caller's back: [`Connector::connect`]
//! always dials anew, [`Connector::shared`] hands out the connection in use while that is still the right one.
//!
//! Files are read when they are used: roots and a client certificate at each connection, a token at each request, so that
//! what is rotated under a name is followed without a restart.
//!
//! ```no_run
//! use culvert_channel::{ChannelConfig, Connector, MAX_MESSAGE_BYTES, Roots};
//! use culvert_proto::certificate::istio_certificate_service_client::IstioCertificateServiceClient;
//!
//! # async fn run(provider: std::sync::Arc<rustls::crypto::CryptoProvider>) -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = ChannelConfig::new("https://istiod.istio-system.svc:15012");
//! config.roots = Roots::File("/var/run/secrets/istio/root-cert.pem".into());
//! config.token = Some("/var/run/secrets/tokens/istio-token".into());
//! let connector = Connector::new(config, provider)?;
//! let channel = connector.shared().await?;
//! let client = IstioCertificateServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
//! # Ok(())
//! # }
//! ```

mod config;
mod connect;
mod fault;
mod request;
mod tls;

pub use config::{ChannelConfig, ClientCertificate, Roots};
pub use connect::Connector;
pub use fault::{ConfigError, ConnectError, RequestError, Stage};
pub use request::Channel;

/// How long a message may be that a control plane sends (node.md row 70). Set it on a generated client: tonic's own limit is 4 MiB.
pub const MAX_MESSAGE_BYTES: usize = 200 << 20;
