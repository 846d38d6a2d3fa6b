//! What an engine is made with.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

use crate::capture::Local;
use crate::limit::Limits;
use crate::policy::Compat;
use crate::seed::Seed;

/// The configuration of an engine. Everything that varies between runs comes in here or as an input.
///
/// [`Config::new`] has the usual values; what differs is set afterwards.
#[derive(Clone, Debug)]
pub struct Config {
    /// Every bound.
    pub limits: Limits,
    /// Where TLS takes its algorithms and its randomness.
    pub crypto: Arc<CryptoProvider>,
    /// The root of all draws other than TLS's.
    pub seed: Seed,
    /// Facts of this process that decisions need: network, own ports, whether same-node connections are joined.
    pub local: Local,
    /// How unknown policies are treated (node.md B5).
    pub compat: Compat,
    /// Whether a client's address is shown to the application (node.md row 14).
    pub keep_source: bool,
    /// Whether a dial for a pod names the pod's address as its source; needed where pods are loopback addresses of one
    /// namespace instead of namespaces of their own.
    pub bind_pod_address: bool,
    /// Whether two plain sockets are relayed in the kernel where the driver can.
    pub join: bool,
    /// Whether the answer to a CONNECT says what the workload is, in a `baggage` header (node.md row 36).
    pub response_baggage: bool,
}

impl Config {
    /// The usual limits and facts; nothing of the kernel's is presumed: no address but the driver's own is shown or bound, and
    /// nothing is relayed in the kernel.
    pub fn new(crypto: Arc<CryptoProvider>, seed: Seed) -> Config {
        Config {
            limits: Limits::default(),
            crypto,
            seed,
            local: Local::default(),
            compat: Compat::default(),
            keep_source: false,
            bind_pod_address: false,
            join: false,
            response_baggage: true,
        }
    }
}
